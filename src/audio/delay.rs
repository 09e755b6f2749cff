//! How late packets are: each one's delay against the fastest recent one, and the playout depth
//! that follows from it.
//!
//! Pure arithmetic, no allocation. Lost frames never come in here: loss is not jitter, and a buffer
//! that takes it for jitter never shrinks again.

use super::codec::FRAME_MICROS;
use crate::units::Micros;

/// Width of a histogram bin, in microseconds.
const BIN: i64 = 500;
/// Bins below the ceiling; one more holds everything above it.
const BINS: usize = 60;
/// Deepest playout, in microseconds (PRD 4.2.1: 30 ms).
pub const CEILING: i64 = BIN * BINS as i64;
/// Depth at the start, in microseconds (PRD 4.2.1: 5 ms).
const START: i64 = 5_000;
/// What the start depth weighs, in frames: it is forgotten after some 3 s of a calm path.
const START_WEIGHT: f32 = 20.0;
/// Frames after which an observation weighs 1/e: 1.25 s. Long enough to meet the tail of ordinary
/// jitter, short enough that the depth follows within seconds when a path has calmed down.
const MEMORY: f32 = 250.0;
/// What a share of unplayable frames costs, in milliseconds of depth for all of them: one percent
/// is worth 4 ms.
const UNPLAYABLE_WEIGHT: f32 = 400.0;
/// The fastest packet is looked for in the last one to two of these stretches, in microseconds.
const STRETCH: i64 = 2_000_000;
/// So many packets in a row beyond the ceiling mean that the path has changed, not that they are
/// late: 80 ms of them.
const PATH_CHANGE: u32 = 16;

/// Sliding minimum, histogram and jitter of one peer's packets.
#[derive(Clone, Debug)]
pub struct DelayTracker {
    /// Least (arrival - sequence x 5 ms) of this stretch and of the one before.
    least: [i64; 2],
    stretch_began: Option<Micros>,
    bins: [f32; BINS + 1],
    /// The base that the bins were filled against.
    bins_base: i64,
    beyond: u32,
    beyond_least: i64,
    last: Option<i64>,
    jitter: f32,
    target: i64,
}

impl Default for DelayTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl DelayTracker {
    /// A tracker that expects 5 ms of jitter until packets show otherwise.
    pub fn new() -> Self {
        let mut bins = [0.0; BINS + 1];
        bins[(START / BIN - 1) as usize] = START_WEIGHT;
        Self {
            least: [i64::MAX; 2],
            stretch_began: None,
            bins,
            bins_base: 0,
            beyond: 0,
            beyond_least: i64::MAX,
            last: None,
            jitter: 0.0,
            target: START,
        }
    }

    /// Forgets where the fastest packet lay but not how packets spread: the stream was interrupted.
    pub fn forget_base(&mut self) {
        self.least = [i64::MAX; 2];
        self.stretch_began = None;
        self.beyond = 0;
        self.last = None;
    }

    /// Takes the arrival of a frame, also of one that came too late to be played.
    pub fn push(&mut self, sequence: u64, arrival: Micros) {
        let offset = offset(arrival, sequence);
        self.slide(arrival, offset);
        let base = self.base().expect("slide has taken this packet in");
        self.move_bins(base);

        let late = offset.wrapping_sub(base).max(0);
        if late > CEILING {
            self.beyond += 1;
            self.beyond_least = self.beyond_least.min(offset);
            if self.beyond >= PATH_CHANGE {
                self.least = [self.beyond_least; 2];
                self.beyond = 0;
            }
        } else {
            self.beyond = 0;
        }
        if self.beyond == 0 {
            self.beyond_least = i64::MAX;
        }

        for bin in &mut self.bins {
            *bin *= 1.0 - 1.0 / MEMORY;
        }
        self.bins[((late / BIN) as usize).min(BINS)] += 1.0;
        self.target = self.cheapest_depth();

        // RFC 3550, 6.4.1: the mean difference of neighbours' delays, smoothed over 16.
        if let Some(last) = self.last.replace(offset) {
            let difference = offset.wrapping_sub(last).unsigned_abs() as f32 / 1_000.0;
            self.jitter += (difference.min(1_000.0) - self.jitter) / 16.0;
        }
    }

    /// Least recent (arrival - sequence x 5 ms), in microseconds; `None` before the first packet.
    pub fn base(&self) -> Option<i64> {
        let base = self.least[0].min(self.least[1]);
        (base != i64::MAX).then_some(base)
    }

    /// The depth to keep, 0 to 30,000 microseconds over the fastest recent packet.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Interarrival jitter (RFC 3550), in milliseconds.
    pub fn jitter_ms(&self) -> f32 {
        self.jitter
    }

    fn slide(&mut self, arrival: Micros, offset: i64) {
        let began = *self.stretch_began.get_or_insert(arrival);
        let lasted = arrival.0.wrapping_sub(began.0);
        if lasted >= STRETCH {
            // After a long gap the stretch before is too old as well.
            let stale = lasted >= 2 * STRETCH;
            self.least = [i64::MAX, if stale { i64::MAX } else { self.least[0] }];
            self.stretch_began = Some(arrival);
        }
        self.least[0] = self.least[0].min(offset);
    }

    /// Keeps the bins relative to the base when that moves: a path that has become slower as a
    /// whole has no more jitter than before.
    fn move_bins(&mut self, base: i64) {
        let moved = base.wrapping_sub(self.bins_base) / BIN;
        if self.last.is_none() {
            self.bins_base = base;
            return;
        }
        if moved == 0 {
            return;
        }
        self.bins_base = self.bins_base.wrapping_add(moved * BIN);
        let old = self.bins;
        self.bins = [0.0; BINS + 1];
        for (i, weight) in old.into_iter().enumerate() {
            let to = (i as i64).saturating_sub(moved).clamp(0, BINS as i64);
            self.bins[to as usize] += weight;
        }
    }

    /// Least of (share of frames that would come too late x weight + depth).
    fn cheapest_depth(&self) -> i64 {
        let total: f32 = self.bins.iter().sum();
        let mut unplayable = total;
        let mut best = (f32::MAX, 0);
        for (i, bin) in self.bins.iter().enumerate() {
            let depth_ms = (i as i64 * BIN) as f32 / 1_000.0;
            let cost = unplayable / total * UNPLAYABLE_WEIGHT + depth_ms;
            if cost < best.0 {
                best = (cost, i as i64 * BIN);
            }
            unplayable -= bin;
        }
        best.1
    }
}

/// (arrival - sequence x 5 ms): the same for all packets of a path without jitter.
pub fn offset(at: Micros, sequence: u64) -> i64 {
    at.0.wrapping_sub((sequence as i64).wrapping_mul(FRAME_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(tracker: &mut DelayTracker, from: u64, count: u64, delay: impl Fn(u64) -> i64) {
        for n in from..from + count {
            tracker.push(n, Micros(n as i64 * FRAME_MICROS + delay(n)));
        }
    }

    #[test]
    fn depth_starts_at_5_ms_and_a_calm_path_brings_it_down_within_4_s() {
        let mut tracker = DelayTracker::new();
        assert_eq!(tracker.target(), 5_000);
        feed(&mut tracker, 0, 20, |_| 20_000);
        assert_eq!(tracker.target(), 5_000);
        feed(&mut tracker, 20, 800, |_| 20_000);
        assert!(tracker.target() <= 500, "{}", tracker.target());
        assert_eq!(tracker.jitter_ms(), 0.0);
    }

    #[test]
    fn depth_covers_ordinary_jitter_and_one_spike_does_not_move_it() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |n| (n as i64 * 7_919) % 10_000);
        assert!((9_000..=10_500).contains(&tracker.target()), "{}", tracker.target());
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0);
        feed(&mut tracker, 1000, 1, |_| 25_000);
        assert!(tracker.target() <= 500, "{}", tracker.target());
    }

    #[test]
    fn a_slower_path_is_a_new_base_and_no_jitter() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0);
        feed(&mut tracker, 1000, 1500, |_| 20_000);
        assert_eq!(tracker.base(), Some(20_000));
        assert!(tracker.target() <= 500, "{}", tracker.target());
    }

    #[test]
    fn a_step_beyond_the_ceiling_is_taken_as_a_new_path_within_100_ms() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0);
        feed(&mut tracker, 1000, 20, |_| 400_000);
        assert_eq!(tracker.base(), Some(400_000));
    }

    #[test]
    fn no_arrival_leads_outside_of_the_bounds() {
        let mut tracker = DelayTracker::new();
        for (sequence, arrival) in
            [(u64::MAX, i64::MIN), (0, i64::MAX), (1 << 63, 0), (5, i64::MIN), (6, 7)]
        {
            tracker.push(sequence, Micros(arrival / 2));
            assert!((0..=CEILING).contains(&tracker.target()));
        }
    }
}
