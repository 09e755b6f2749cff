//! Asks the system for a scheduling class for the calling thread, and says what came of it.
//!
//! Nothing here waits or retries: a refusal is an answer that the dashboard shows, never an error,
//! because the program runs without real-time priority too, only less steadily.

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Plays a microphone's part: a device callback, or the thread that stands in for one.
    Capture,
    /// Encodes and sends live audio.
    Talk,
    /// Plays a speaker's part.
    Playback,
    /// Receives: what comes late here is heard late. Must not run for long without waiting.
    Receive,
    /// Late by some milliseconds at most: the camera.
    High,
    /// Everything else.
    Normal,
    /// Whatever may wait: flushing to disk, statistics.
    Low,
}

/// The system's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The thread runs in the class that was asked for.
    pub granted: bool,
    /// `SCHED_FIFO 10`, or `refused: WHY; try WHAT`.
    pub text: String,
}

impl Grant {
    /// Of a thread that ended before it could tell.
    pub fn unknown() -> Self {
        Self { granted: false, text: "refused: the thread ended; please report this".into() }
    }

    fn yes(text: impl Into<String>) -> Self {
        Self { granted: true, text: text.into() }
    }

    // Windows and macOS each need only one of the two ways to refuse.
    #[allow(dead_code)]
    fn no(why: impl std::fmt::Display, remedy: &str) -> Self {
        Self { granted: false, text: format!("refused: {why}; {remedy}") }
    }
}

// The system's last error in its own words, without Rust's "(os error 1)".
#[cfg(any(target_os = "linux", windows))]
fn last_error() -> String {
    let text = std::io::Error::last_os_error().to_string();
    text.split(" (os error").next().unwrap_or(&text).trim_end_matches('.').to_owned()
}

/// Asks for the calling thread.
pub fn ask(role: Role) -> Grant {
    match role {
        Role::Normal => Grant::yes("normal"),
        Role::Capture | Role::Talk | Role::Playback | Role::Receive => system::real_time(role),
        Role::High => system::high(),
        Role::Low => system::low(),
    }
}

/// Asks for the calling thread, which is a system's audio callback: one system call that does not
/// wait, no allocation. What came of it, never 0; [`raised`] puts it into words.
pub fn raise(role: Role) -> i32 {
    match system::raise(role) {
        0 => -1,
        code => code,
    }
}

/// What [`raise`] gave, in words.
pub fn raised(code: i32) -> Grant {
    system::raised(code)
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Grant, Role, last_error};

    // Below the kernel's interrupt threads (50) and below what sound servers use (20 and more):
    // they feed us, so they must win. Capture wins over talk because what it misses is lost for
    // good, also in the recording.
    const CAPTURE: i32 = 12;
    const TALK: i32 = 10;
    const PLAYBACK: i32 = 11;
    const RECEIVE: i32 = 9;
    // Enough to win over a browser, allowed to root and to members of `audio` on most systems.
    const HIGH_NICE: i32 = -11;
    const LOW_NICE: i32 = 10;

    const REMEDY: &str = "try a line '@audio - rtprio 95' in /etc/security/limits.d/audio.conf, \
                          your user in the group audio, and a new login";

    fn wanted(role: Role) -> i32 {
        match role {
            Role::Capture => CAPTURE,
            Role::Playback => PLAYBACK,
            Role::Receive => RECEIVE,
            _ => TALK,
        }
    }

    // The priority, or less than 0 with the error in errno.
    fn fifo(priority: i32) -> i32 {
        let param = libc::sched_param { sched_priority: priority };
        // SAFETY: plain values; 0 is the calling thread. RESET_ON_FORK keeps a child process
        // (the window) from inheriting the class.
        let done = unsafe {
            libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &param)
        };
        if done == 0 { priority } else { -1 }
    }

    pub fn raise(role: Role) -> i32 {
        // SAFETY: no arguments.
        let class = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
        let mut param = libc::sched_param { sched_priority: 0 };
        // A sound system that has raised its thread by itself knows better.
        // SAFETY: `param` is a valid place to write to; 0 is the calling thread.
        if matches!(class, libc::SCHED_FIFO | libc::SCHED_RR)
            && unsafe { libc::sched_getparam(0, &mut param) } == 0
        {
            return param.sched_priority;
        }
        let got = fifo(wanted(role));
        if got > 0 { got } else { -std::io::Error::last_os_error().raw_os_error().unwrap_or(1) }
    }

    pub fn raised(code: i32) -> Grant {
        if code > 0 {
            return Grant::yes(format!("real time {code}"));
        }
        let why = std::io::Error::from_raw_os_error(-code).to_string();
        Grant::no(why.split(" (os error").next().unwrap_or(&why), REMEDY)
    }

    pub fn real_time(role: Role) -> Grant {
        let priority = wanted(role);
        if fifo(priority) == priority {
            return Grant::yes(format!("SCHED_FIFO {priority}"));
        }
        let why = last_error();
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a valid place to write to.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_RTPRIO, &mut limit) } == 0;
        if known && limit.rlim_cur >= 1 {
            let lower = i32::try_from(limit.rlim_cur).unwrap_or(priority).min(priority);
            if fifo(lower) == lower {
                return Grant::yes(format!("SCHED_FIFO {lower}"));
            }
        }
        Grant::no(why, REMEDY)
    }

    pub fn high() -> Grant {
        nice(HIGH_NICE, "this thread runs at normal priority, which is enough on an idle machine")
    }

    pub fn low() -> Grant {
        nice(LOW_NICE, "this thread runs at normal priority")
    }

    fn nice(value: i32, remedy: &str) -> Grant {
        // SAFETY: plain values. On Linux `setpriority` with a thread's id sets that thread alone.
        let done = unsafe {
            let thread = libc::syscall(libc::SYS_gettid) as libc::id_t;
            libc::setpriority(libc::PRIO_PROCESS, thread, value)
        };
        if done == 0 {
            Grant::yes(format!("nice {value}"))
        } else {
            Grant::no(last_error(), remedy)
        }
    }
}

#[cfg(target_os = "macos")]
mod system {
    use mach2::kern_return::KERN_SUCCESS;
    use mach2::mach_time::{mach_timebase_info, mach_timebase_info_data_t};
    use mach2::thread_policy::{
        THREAD_TIME_CONSTRAINT_POLICY, THREAD_TIME_CONSTRAINT_POLICY_COUNT, thread_policy_set,
        thread_time_constraint_policy_data_t,
    };

    use super::{Grant, Role};

    // One audio frame. The scheduler takes the period as a hint only.
    const PERIOD_NS: u64 = 5_000_000;
    // Encoding and sealing for three peers takes well under 1 ms; the system demotes a thread
    // that uses much more than it asked for.
    const COMPUTATION_NS: u64 = 1_500_000;
    // Later than this and the frame boundary is missed.
    const CONSTRAINT_NS: u64 = 4_000_000;

    pub fn real_time(_: Role) -> Grant {
        let mut base = mach_timebase_info_data_t { numer: 0, denom: 0 };
        // SAFETY: `base` is a valid place to write to.
        unsafe { mach_timebase_info(&mut base) };
        let ticks =
            |ns: u64| (ns * u64::from(base.denom.max(1)) / u64::from(base.numer.max(1))) as u32;
        let mut policy = thread_time_constraint_policy_data_t {
            period: ticks(PERIOD_NS),
            computation: ticks(COMPUTATION_NS),
            constraint: ticks(CONSTRAINT_NS),
            preemptible: 1,
        };
        // SAFETY: the policy is the structure that this flavour takes, with its own count.
        let done = unsafe {
            thread_policy_set(
                libc::pthread_mach_thread_np(libc::pthread_self()),
                THREAD_TIME_CONSTRAINT_POLICY,
                std::ptr::from_mut(&mut policy).cast(),
                THREAD_TIME_CONSTRAINT_POLICY_COUNT,
            )
        };
        if done == KERN_SUCCESS {
            Grant::yes("time constraint 5 ms")
        } else {
            Grant::no(format!("thread_policy_set gave {done}"), "close programs that use much CPU")
        }
    }

    // Core Audio calls back on a time-constraint thread of its own.
    pub fn raise(_: Role) -> i32 {
        1
    }

    pub fn raised(_: i32) -> Grant {
        Grant::yes("time constraint by Core Audio")
    }

    pub fn high() -> Grant {
        class(libc::qos_class_t::QOS_CLASS_USER_INTERACTIVE, "user interactive")
    }

    pub fn low() -> Grant {
        class(libc::qos_class_t::QOS_CLASS_UTILITY, "utility")
    }

    fn class(class: libc::qos_class_t, name: &str) -> Grant {
        // SAFETY: plain values, for the calling thread.
        let done = unsafe { libc::pthread_set_qos_class_self_np(class, 0) };
        if done == 0 {
            Grant::yes(name)
        } else {
            Grant::no(format!("error {done}"), "this thread runs at normal priority")
        }
    }
}

#[cfg(windows)]
mod system {
    use windows_sys::Win32::System::Threading::{
        AvSetMmThreadCharacteristicsW, GetCurrentThread, SetThreadPriority,
        THREAD_PRIORITY_ABOVE_NORMAL, THREAD_PRIORITY_BELOW_NORMAL,
    };

    use super::{Grant, Role, last_error};

    // "Pro Audio", terminated.
    const TASK: [u16; 10] = {
        let (name, mut wide, mut i) = (*b"Pro Audio\0", [0; 10], 0);
        while i < name.len() {
            wide[i] = name[i] as u16;
            i += 1;
        }
        wide
    };
    const REMEDY: &str = "start the service 'Multimedia Class Scheduler'";

    fn pro_audio() -> bool {
        let mut index = 0;
        // SAFETY: a terminated string and a valid place to write to. The class ends with the
        // thread, so the handle need not be kept.
        let handle = unsafe { AvSetMmThreadCharacteristicsW(TASK.as_ptr(), &mut index) };
        !handle.is_null()
    }

    pub fn raise(_: Role) -> i32 {
        if pro_audio() {
            return 1;
        }
        -std::io::Error::last_os_error().raw_os_error().unwrap_or(1).abs()
    }

    pub fn raised(code: i32) -> Grant {
        if code > 0 {
            return Grant::yes("MMCSS Pro Audio");
        }
        Grant::no(std::io::Error::from_raw_os_error(-code), REMEDY)
    }

    pub fn real_time(_: Role) -> Grant {
        if pro_audio() { Grant::yes("MMCSS Pro Audio") } else { Grant::no(last_error(), REMEDY) }
    }

    pub fn high() -> Grant {
        set(THREAD_PRIORITY_ABOVE_NORMAL, "above normal")
    }

    pub fn low() -> Grant {
        set(THREAD_PRIORITY_BELOW_NORMAL, "below normal")
    }

    fn set(priority: i32, name: &str) -> Grant {
        // SAFETY: the pseudo handle of the calling thread is always valid.
        if unsafe { SetThreadPriority(GetCurrentThread(), priority) } != 0 {
            Grant::yes(name)
        } else {
            Grant::no(last_error(), "this thread runs at normal priority")
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    use super::{Grant, Role};

    pub fn real_time(_: Role) -> Grant {
        Grant::no("unknown system", "this thread runs at normal priority")
    }

    pub fn raise(_: Role) -> i32 {
        -1
    }

    pub fn raised(_: i32) -> Grant {
        real_time(Role::High)
    }

    pub fn high() -> Grant {
        real_time(Role::High)
    }

    pub fn low() -> Grant {
        real_time(Role::Low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_gets_an_answer_that_a_person_can_act_on() {
        for role in [
            Role::Capture,
            Role::Talk,
            Role::Playback,
            Role::Receive,
            Role::High,
            Role::Normal,
            Role::Low,
        ] {
            // A thread of its own, because the class stays with the thread.
            let grant = std::thread::spawn(move || ask(role)).join().expect("asking cannot panic");
            assert!(!grant.text.is_empty());
            if !grant.granted {
                assert!(grant.text.starts_with("refused: "), "{}", grant.text);
                assert!(grant.text.contains("; "), "says what to do: {}", grant.text);
                assert!(!grant.text.contains("os error"), "{}", grant.text);
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_granted_real_time_class_is_the_one_the_kernel_reports() {
        std::thread::spawn(|| {
            let grant = ask(Role::Talk);
            // SAFETY: 0 is the calling thread.
            let class = unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK;
            assert_eq!(grant.granted, class == libc::SCHED_FIFO, "{}", grant.text);
        })
        .join()
        .expect("asking cannot panic");
    }
}
