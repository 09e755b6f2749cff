//! How much was sent to a peer lately, at most.
//!
//! Belongs to the control thread; pure.

use crate::units::Micros;

/// Each slot is so long, microseconds ...
const SLOT: i64 = 250_000;
/// ... and so many are looked back at.
const SLOTS: usize = 5;

/// Watches a counter of bytes.
#[derive(Clone, Debug, Default)]
pub struct SentRate {
    began: Option<(u64, Micros)>,
    slots: [f64; SLOTS],
    next: usize,
}

impl SentRate {
    /// The counter's value now.
    pub fn look(&mut self, bytes: u64, now: Micros) {
        let (before, at) = *self.began.get_or_insert((bytes, now));
        let elapsed = now.since(at);
        if elapsed < SLOT {
            return;
        }
        self.slots[self.next % SLOTS] = bytes.saturating_sub(before) as f64 * 8e3 / elapsed as f64;
        self.next += 1;
        self.began = Some((bytes, now));
    }

    /// The highest rate of the last second, kbit/s; `None` before one has passed.
    pub fn most(&self) -> Option<f64> {
        (self.next >= SLOTS).then(|| self.slots.iter().copied().fold(0.0, f64::max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_rate_of_the_last_second_is_kept_and_older_ones_are_not() {
        let mut sent = SentRate::default();
        let (mut bytes, mut most) = (0, Vec::new());
        for tick in 0..100i64 {
            // 100 kbit/s, and 800 for half a second.
            bytes += if (40..50).contains(&tick) { 5_000 } else { 625 };
            sent.look(bytes, Micros(tick * 50_000));
            most.push(sent.most().map(|kbps| kbps.round()));
        }
        assert_eq!((most[10], most[35]), (None, Some(100.0)));
        assert!(most[60].is_some_and(|kbps| kbps > 600.0));
        assert_eq!(most[90], Some(100.0));
    }
}
