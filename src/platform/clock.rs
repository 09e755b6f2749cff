//! The one place that reads the local monotonic clock.
//!
//! `CLOCK_MONOTONIC_RAW` where there is one: NTP does not slew it, so a session's skew is the
//! hardware's alone. Sound and camera drivers stamp with `CLOCK_MONOTONIC` and the kernel stamps
//! packets with `CLOCK_REALTIME`; both are brought over by reading the two clocks side by side.

use crate::units::Micros;

/// The local monotonic clock, now.
#[cfg(unix)]
pub fn now() -> Micros {
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_RAW;
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;
    Micros(read(CLOCK))
}

/// The local monotonic clock, now.
#[cfg(windows)]
pub fn now() -> Micros {
    use std::sync::OnceLock;
    use windows_sys::Win32::System::Performance::{
        QueryPerformanceCounter, QueryPerformanceFrequency,
    };
    static FREQUENCY: OnceLock<i64> = OnceLock::new();
    let frequency = *FREQUENCY.get_or_init(|| {
        let mut f = 0;
        // SAFETY: `f` is a valid place to write to; the call cannot fail since Windows XP.
        unsafe { QueryPerformanceFrequency(&mut f) };
        f.max(1)
    });
    let mut ticks = 0;
    // SAFETY: as above.
    unsafe { QueryPerformanceCounter(&mut ticks) };
    Micros((i128::from(ticks) * 1_000_000 / i128::from(frequency)) as i64)
}

#[cfg(unix)]
fn read(clock: libc::clockid_t) -> i64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid place to write to; the clocks named here exist on every such system.
    unsafe { libc::clock_gettime(clock, &mut t) };
    i64::from(t.tv_sec) * 1_000_000 + i64::from(t.tv_nsec) / 1_000
}

/// Brings an instant of `CLOCK_MONOTONIC` (microseconds) to [`now`]'s clock.
#[cfg(target_os = "linux")]
pub fn from_monotonic(micros: i64) -> Micros {
    Micros(micros + now().0 - read(libc::CLOCK_MONOTONIC))
}

/// Brings an instant of `CLOCK_REALTIME` (microseconds since 1970) to [`now`]'s clock.
#[cfg(unix)]
pub fn from_realtime(micros: i64) -> Micros {
    Micros(micros + now().0 - read(libc::CLOCK_REALTIME))
}
