//! How much was sent to a peer lately, at least and at most.
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

    /// The lowest and the highest rate of the last second, kbit/s; `None` before one has passed.
    pub fn range(&self) -> Option<[f64; 2]> {
        let edge = |from, of: fn(f64, f64) -> f64| self.slots.iter().copied().fold(from, of);
        (self.next >= SLOTS).then(|| [edge(f64::MAX, f64::min), edge(0.0, f64::max)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_of_the_last_second_are_kept_and_older_ones_are_not() {
        let mut sent = SentRate::default();
        let (mut bytes, mut range) = (0, Vec::new());
        for tick in 0..100i64 {
            // 100 kbit/s, and 800 for half a second.
            bytes += if (40..50).contains(&tick) { 5_000 } else { 625 };
            sent.look(bytes, Micros(tick * 50_000));
            range.push(sent.range().map(|kbps| kbps.map(f64::round)));
        }
        assert_eq!((range[10], range[35]), (None, Some([100.0; 2])));
        assert!(range[60].is_some_and(|[least, most]| least == 100.0 && most > 600.0));
        assert_eq!(range[90], Some([100.0; 2]));
    }
}
