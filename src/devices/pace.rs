//! When a thread that plays a device's part owes how many samples. Reads no clock itself.
//!
//! Positions follow from the elapsed time alone, so a late wake-up is made good by more blocks and
//! never shifts what comes after it.

use crate::units::{Micros, SAMPLE_RATE};

/// Samples per block: 5 ms, the period a good sound card would use.
pub const BLOCK: usize = 240;

// A real card overruns when nobody reads for about this long; catching up on more (a stopped
// process, a debugger) would only flood the queues behind.
const FORGIVEN: i64 = 2_000_000;

/// A block that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// Index of its first sample, counted from the start.
    pub position: u64,
    /// When its first sample was "captured", or is played.
    pub at: Micros,
    /// Samples left out in front of it because the thread was away for too long.
    pub skipped: u64,
}

/// The schedule of one stream.
#[derive(Clone, Debug)]
pub struct Pace {
    start: Micros,
    position: u64,
}

impl Pace {
    /// The first sample belongs to `start`.
    pub fn new(start: Micros) -> Self {
        Self { start, position: 0 }
    }

    fn instant(&self, position: u64) -> Micros {
        // Rounded down, in whole seconds and the rest, so that no product overflows in any session.
        let rate = u64::from(SAMPLE_RATE);
        let (seconds, rest) = (position / rate, position % rate);
        self.start + (seconds * 1_000_000 + rest * 1_000_000 / rate) as i64
    }

    /// When the next block is complete.
    pub fn deadline(&self) -> Micros {
        self.instant(self.position + BLOCK as u64)
    }

    /// Takes the next block if it is due by `now`.
    pub fn due(&mut self, now: Micros) -> Option<Due> {
        if now < self.deadline() {
            return None;
        }
        let mut skipped = 0;
        if now.since(self.deadline()) > FORGIVEN {
            let elapsed = now.since(self.start).max(0) as u64;
            let whole = elapsed / 1_000_000 * u64::from(SAMPLE_RATE)
                + elapsed % 1_000_000 * u64::from(SAMPLE_RATE) / 1_000_000;
            let block = BLOCK as u64;
            // The last block that is complete by now.
            let to = (whole / block).saturating_sub(1) * block;
            skipped = to - self.position;
            self.position = to;
        }
        let due = Due { position: self.position, at: self.instant(self.position), skipped };
        self.position += BLOCK as u64;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_delivered_are_elapsed_time_times_the_rate_however_late_the_wakes_are() {
        let mut pace = Pace::new(Micros(1_000));
        let mut delivered = 0u64;
        // Wakes at odd distances, up to 100 ms late.
        let mut now = Micros(1_000);
        for k in 0..10_000i64 {
            now = now + (k * 7_919) % 100_000;
            while let Some(due) = pace.due(now) {
                assert_eq!(due.position, delivered);
                assert_eq!(due.skipped, 0);
                assert_eq!(due.at.since(Micros(1_000)), (due.position as i64) * 1_000_000 / 48_000);
                delivered += BLOCK as u64;
            }
            let owed = now.since(Micros(1_000)) as u64 * 48 / 1_000;
            assert!(owed - delivered < BLOCK as u64, "at {now:?}: {delivered} of {owed}");
        }
    }

    #[test]
    fn a_block_is_not_due_before_its_last_sample() {
        let mut pace = Pace::new(Micros(0));
        assert_eq!(pace.due(Micros(4_999)), None);
        assert_eq!(pace.due(Micros(5_000)).map(|d| d.position), Some(0));
        assert_eq!(pace.due(Micros(5_000)), None);
        assert_eq!(pace.deadline(), Micros(10_000));
    }

    #[test]
    fn a_thread_that_was_stopped_skips_like_an_overrun_and_stays_on_the_clock() {
        let mut pace = Pace::new(Micros(0));
        assert!(pace.due(Micros(5_000)).is_some());
        let due = pace.due(Micros(60_000_000)).expect("long due");
        assert_eq!(due.position + BLOCK as u64, 60 * 48_000);
        assert_eq!(due.skipped, 60 * 48_000 - 2 * BLOCK as u64);
        assert_eq!(pace.due(Micros(60_000_000)), None);
        assert_eq!(pace.deadline(), Micros(60_005_000));
    }
}
