//! How soon the system ends a wait whose time is over.
//!
//! Windows looks at its timers 64 times a second unless a program asks for more, so a wait of 5 ms
//! takes up to 16. Other systems need no asking.

/// While this lives, waits of this process end within about a millisecond.
#[derive(Debug)]
#[must_use = "dropping it gives the fine timers back"]
pub struct FineTimers(());

impl FineTimers {
    /// Asks for them. A refusal costs steadiness only, so that nobody need know.
    pub fn ask() -> Self {
        system::ask();
        Self(())
    }
}

impl Drop for FineTimers {
    fn drop(&mut self) {
        system::give_back();
    }
}

#[cfg(windows)]
mod system {
    use windows_sys::Win32::Media::{timeBeginPeriod, timeEndPeriod};
    use windows_sys::Win32::System::Threading::{
        GetCurrentProcess, PROCESS_POWER_THROTTLING_CURRENT_VERSION,
        PROCESS_POWER_THROTTLING_EXECUTION_SPEED, PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION,
        PROCESS_POWER_THROTTLING_STATE, ProcessPowerThrottling, SetProcessInformation,
    };

    // The smallest that every machine takes.
    const PERIOD_MS: u32 = 1;

    pub fn ask() {
        // Windows 11 takes fine timers, and the fast cores, from programs whose window is covered:
        // a call is held while people look at something else. Named and not set means never.
        set_throttling(PROCESS_POWER_THROTTLING_EXECUTION_SPEED);
        // Windows 10 does not know the second one and would refuse both.
        set_throttling(
            PROCESS_POWER_THROTTLING_EXECUTION_SPEED
                | PROCESS_POWER_THROTTLING_IGNORE_TIMER_RESOLUTION,
        );
        // SAFETY: a plain value; counted, so each call is matched by one in `give_back`.
        unsafe { timeBeginPeriod(PERIOD_MS) };
    }

    pub fn give_back() {
        // SAFETY: as above.
        unsafe { timeEndPeriod(PERIOD_MS) };
    }

    fn set_throttling(named: u32) {
        let state = PROCESS_POWER_THROTTLING_STATE {
            Version: PROCESS_POWER_THROTTLING_CURRENT_VERSION,
            ControlMask: named,
            StateMask: 0,
        };
        // SAFETY: the structure that this class takes, with its own size; the pseudo handle of the
        // calling process is always valid.
        unsafe {
            SetProcessInformation(
                GetCurrentProcess(),
                ProcessPowerThrottling,
                std::ptr::from_ref(&state).cast(),
                size_of_val(&state) as u32,
            );
        }
    }
}

#[cfg(not(windows))]
mod system {
    pub fn ask() {}
    pub fn give_back() {}
}
