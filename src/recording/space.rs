//! How long the disk lasts. Pure: free bytes come in, seconds go out.

/// Free space under which the recording ends while the file can still be closed (DESIGN section
/// 6): a minute and a half at 18 Mbit/s, for a sleeping laptop's log files and the like.
pub const LEAST_SPACE: u64 = 200 << 20;
/// Free space under which the safety tracks end, so that the rest is the recording's own: three of
/// them take some 180 MB an hour until they are closed, 100 after it.
pub const LEAST_SPACE_TRACKS: u64 = LEAST_SPACE + (100 << 20);
/// What a safety track takes of the disk, bit/s: some 32,000 of sound, as much for the fragments'
/// slots, its index and, until it is closed, its journal; rounded up.
pub const TRACK_BPS: u64 = 150_000;
/// Free space under which a warning is due at the start (PRD 4.5).
pub const LITTLE_SPACE: u64 = 20_000_000_000;
/// A rate from the first seconds would promise nonsense.
const MEASURED_SECONDS: f64 = 10.0;

/// Seconds of recording until the space is used up, at the rate of the recording so far
/// (`bytes` in `seconds`), or in its first seconds at the one aimed at, in bit/s.
pub fn seconds_left(free: u64, bytes: u64, seconds: f64, aimed_bps: u64) -> f64 {
    let usable = free.saturating_sub(LEAST_SPACE) as f64;
    let rate = if seconds >= MEASURED_SECONDS && bytes > 0 {
        bytes as f64 / seconds
    } else {
        aimed_bps.max(1) as f64 / 8.0
    };
    usable / rate
}

/// Bytes of an hour at that rate, bit/s.
pub fn hour(bps: u64) -> u64 {
    bps.saturating_mul(3_600) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_the_aimed_one_until_it_was_measured() {
        let free = LEAST_SPACE + 9_000_000_000;
        // 18 Mbit/s.
        assert_eq!(seconds_left(free, 1_000, 1.0, 18_000_000), 4_000.0);
        assert_eq!(seconds_left(free, 45_000_000, 10.0, 18_000_000), 2_000.0);
        assert_eq!(seconds_left(LEAST_SPACE - 1, 0, 0.0, 18_000_000), 0.0);
        assert!(seconds_left(free, 0, 20.0, 0).is_finite());
        assert_eq!(hour(18_000_000), 8_100_000_000);
    }
}
