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
    // Their widths differ between systems.
    let (seconds, nanos): (i64, i64) = (t.tv_sec as _, t.tv_nsec as _);
    seconds * 1_000_000 + nanos / 1_000
}

/// How far [`now`]'s clock is ahead of another one. A thread that is interrupted between the two
/// readings would be wrong by the whole interruption, so the other clock is read between two
/// readings of ours, again when these lie too far apart.
#[cfg(unix)]
fn ahead_of(other: libc::clockid_t) -> i64 {
    // Three readings take well under a microsecond; anything near this is an interruption.
    const CLOSE: i64 = 10;
    let mut best = (i64::MAX, 0);
    for _ in 0..4 {
        let before = now().0;
        let there = read(other);
        let apart = now().0 - before;
        if apart < best.0 {
            best = (apart, before + apart / 2 - there);
        }
        if apart <= CLOSE {
            break;
        }
    }
    best.1
}

/// Brings an instant of `CLOCK_MONOTONIC` (microseconds) to [`now`]'s clock.
#[cfg(target_os = "linux")]
pub fn from_monotonic(micros: i64) -> Micros {
    Micros(micros + ahead_of(libc::CLOCK_MONOTONIC))
}

/// Brings an instant of `CLOCK_REALTIME` (microseconds since 1970) to [`now`]'s clock.
#[cfg(unix)]
pub fn from_realtime(micros: i64) -> Micros {
    Micros(micros + ahead_of(libc::CLOCK_REALTIME))
}

/// The local clock, the system's clock that stands still in sleep, and how far the one that goes on
/// in sleep is ahead of that: all time slept since the start. Microseconds.
#[cfg(unix)]
pub fn sleep_reading() -> (Micros, i64, i64) {
    #[cfg(target_os = "linux")]
    const CLOCKS: [libc::clockid_t; 2] = [libc::CLOCK_MONOTONIC, libc::CLOCK_BOOTTIME];
    // mach_absolute_time and mach_continuous_time.
    #[cfg(target_os = "macos")]
    const CLOCKS: [libc::clockid_t; 2] = [libc::CLOCK_UPTIME_RAW, libc::CLOCK_MONOTONIC_RAW];
    // Elsewhere nothing tells: the computer never sleeps.
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    const CLOCKS: [libc::clockid_t; 2] = [libc::CLOCK_MONOTONIC, libc::CLOCK_MONOTONIC];
    let (awake, all) = side_by_side(1_000, || {
        let [before, all] = CLOCKS.map(read);
        (before, all, read(CLOCKS[0]))
    });
    (now(), awake, all - awake)
}

/// Of readings of one clock before and behind another's those that lie within `close`, or the closest
/// of some: who is interrupted in between has not slept, and who slept in between looks again.
fn side_by_side(close: i64, mut read: impl FnMut() -> (i64, i64, i64)) -> (i64, i64) {
    let mut best = (i64::MAX, 0, 0);
    for _ in 0..4 {
        let (before, all, after) = read();
        let apart = after - before;
        if apart < best.0 {
            best = (apart, before + apart / 2, all);
        }
        if apart < close {
            break;
        }
    }
    (best.1, best.2)
}

/// The local clock, the system's clock that stands still in sleep, and how far the one that goes on
/// in sleep is ahead of that: all time slept since the start. Microseconds; the second and third to
/// a tick, 16 ms.
#[cfg(windows)]
pub fn sleep_reading() -> (Micros, i64, i64) {
    use windows_sys::Win32::System::SystemInformation::GetTickCount64;
    use windows_sys::Win32::System::WindowsProgramming::QueryUnbiasedInterruptTime;
    // Units of 100 ns, and milliseconds.
    let awake = || {
        let mut ticks = 0u64;
        // SAFETY: `ticks` is a valid place to write to; the call cannot fail.
        unsafe { QueryUnbiasedInterruptTime(&mut ticks) };
        (ticks / 10) as i64
    };
    // SAFETY: the call takes nothing and cannot fail.
    let all = || unsafe { GetTickCount64() } as i64 * 1_000;
    let (awake, all) = side_by_side(20_000, || (awake(), all(), awake()));
    (now(), awake, all - awake)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_between_two_clocks_is_looked_over() {
        let mut readings = [(0, 900_100, 900_000), (900_010, 900_111, 900_012)].into_iter();
        assert_eq!(side_by_side(1_000, || readings.next().unwrap()), (900_011, 900_111));
        let mut n = 0;
        let always = || {
            n += 1;
            (0, 5, 10_000 - n)
        };
        assert_eq!(side_by_side(1_000, always), (4_998, 5));
        assert_eq!(n, 4);
    }
}
