//! How late frames are: each one's need against the least recent one, and the playout depth that
//! follows from it.
//!
//! Pure arithmetic, no allocation. A frame's *need* is the sample of the speaker's output at which
//! the callback that had it first began, less the frame's own position in the sound: who plays each
//! sample that much after its position has the frame in time, with a sample less he has not. So a
//! callback's period counts exactly as far as it costs something, and callbacks that run late do not
//! count at all. Of a frame that comes more than once, as copies do, the first counts. Lost frames
//! never come in here: loss is not jitter, and a buffer that takes it for jitter never shrinks
//! again.

/// Width of a histogram bin, in samples: 0.125 ms.
const BIN: i64 = 6;
/// Bins up to the ceiling; bin 0 holds exactly the least, the last one everything above.
const BINS: usize = 240;
/// Deepest playout, in samples (PRD 4.2.1: 30 ms).
pub const CEILING: i64 = BIN * BINS as i64;
/// Depth at the start, in samples (PRD 4.2.1: 5 ms).
const START: i64 = 240;
/// So long a path must have been seen, speech or silence, before less than the start depth is
/// believed, in samples: 2 s.
const START_SEEN: i64 = 96_000;
/// So much may needs differ by places against the callbacks alone, in samples: 10 ms.
const PLACES: i64 = 480;
/// Between two packets the path counts as seen for no longer than this, in samples: 60 ms, two of
/// silence lost.
const SEEN_BETWEEN: i64 = 2_880;
/// Samples after which an observation weighs 1/e: 1.25 s. Long enough to meet the tail of ordinary
/// jitter, short enough that the depth follows within seconds when a path has calmed down.
const MEMORY: f32 = 60_000.0;
/// What a share of made-up sound costs, in samples of depth for all of it: up to 1.5 % each tenth
/// is worth 0.07 ms, beyond that 0.25. Had the first the higher price, too, 10 ms of jitter on both
/// lines would cost 0.6 ms more delay.
const UNPLAYABLE_WEIGHT: [f32; 2] = [70.0 * 48.0, 250.0 * 48.0];
/// A frame that is late is heard from its arrival on: what is made up instead is by so much longer
/// than it is late, in samples. Half a piece of what is made up at a time, and a part of the seam.
const LATE_MORE: i64 = 48;
/// Up to this share the lower price holds.
const FEW: f32 = 0.015;
/// The least need is looked for in the last one to two of these stretches, in samples: 2 s.
const STRETCH: i64 = 96_000;
/// What nothing has needed for one to two of these stretches is no longer kept, in samples of sound
/// that has come: 0.375 s. Half a second of calm, and the depth of a spike is taken back. In silence
/// that are as many packets, which take four times as long.
const RECENT: i64 = 18_000;
/// Needs beyond the ceiling for so long mean that the path has changed, not that frames are late:
/// 80 ms, in samples.
const PATH_CHANGE: i64 = 3_840;

/// The least of the values of the last one to two stretches.
#[derive(Clone, Debug)]
pub struct Least {
    stretch: i64,
    least: [i64; 2],
    began: Option<i64>,
}

impl Least {
    /// Over stretches of that many units of `at`.
    pub fn over(stretch: i64) -> Self {
        Self { stretch, least: [i64::MAX; 2], began: None }
    }

    /// A value at a place that does not go back.
    pub fn push(&mut self, at: i64, value: i64) {
        let began = *self.began.get_or_insert(at);
        let lasted = at.wrapping_sub(began);
        if lasted >= self.stretch {
            // After a long gap the stretch before is too old as well.
            let stale = lasted >= 2 * self.stretch;
            self.least = [i64::MAX, if stale { i64::MAX } else { self.least[0] }];
            self.began = Some(at);
        }
        // The highest value stands for none.
        self.least[0] = self.least[0].min(value).min(i64::MAX - 1);
    }

    /// `None` before the first value.
    pub fn get(&self) -> Option<i64> {
        let least = self.least[0].min(self.least[1]);
        (least != i64::MAX).then_some(least)
    }

    /// As after `over`.
    pub fn forget(&mut self) {
        *self = Self::over(self.stretch);
    }

    fn replace(&mut self, value: i64) {
        self.least = [value; 2];
    }
}

/// Sliding minimum and histogram of one peer's needs.
#[derive(Clone, Debug)]
pub struct DelayTracker {
    least: Least,
    /// The highest recent need, negated.
    most: Least,
    bins: [f32; BINS + 2],
    /// The base that the bins were filled against.
    bins_base: Option<i64>,
    /// Samples of sound in a row that came beyond the ceiling, and the least need among them.
    beyond: i64,
    beyond_least: i64,
    depth: i64,
    /// For how many samples the path has been seen since the start, up to [`START_SEEN`].
    seen: i64,
    /// Where the output was when that was counted last.
    seen_at: Option<i64>,
    /// Need of the first frame.
    first: Option<i64>,
    /// Samples of sound that have come.
    heard: i64,
}

impl Default for DelayTracker {
    fn default() -> Self {
        Self::new()
    }
}

impl DelayTracker {
    /// A tracker that expects 5 ms of jitter until frames show otherwise.
    pub fn new() -> Self {
        Self {
            least: Least::over(STRETCH),
            most: Least::over(RECENT),
            bins: [0.0; BINS + 2],
            bins_base: None,
            beyond: 0,
            beyond_least: i64::MAX,
            depth: START,
            seen: 0,
            seen_at: None,
            first: None,
            heard: 0,
        }
    }

    /// Forgets where the least need lay but not how needs spread: the stream was interrupted.
    pub fn forget_base(&mut self) {
        self.least.forget();
        self.most.forget();
        self.bins_base = None;
        self.beyond = 0;
        self.beyond_least = i64::MAX;
        self.seen_at = None;
        self.first = None;
    }

    /// Takes the need of a frame of `frame` samples that was had at sample `at` of the output, also
    /// of one that came too late to be played, or that only says that silence goes on.
    pub fn push(&mut self, need: i64, at: i64, frame: i64) {
        self.heard = self.heard.wrapping_add(frame);
        self.least.push(at, need);
        self.most.push(self.heard, need.saturating_neg());
        let base = self.base().expect("this need has been taken in");
        self.move_bins(base);

        let late = need.saturating_sub(base).max(0);
        if late > CEILING {
            self.beyond += frame;
            self.beyond_least = self.beyond_least.min(need);
            if self.beyond >= PATH_CHANGE {
                self.least.replace(self.beyond_least);
                self.beyond = 0;
            }
        } else {
            self.beyond = 0;
        }
        if self.beyond == 0 {
            self.beyond_least = i64::MAX;
        }

        let keep = 1.0 - frame as f32 / MEMORY;
        for bin in &mut self.bins {
            *bin *= keep;
        }
        let bin = late.saturating_add(BIN - 1) / BIN;
        self.bins[(bin as usize).min(BINS + 1)] += frame as f32 / START as f32;
        let most =
            self.most.get().map_or(CEILING, |most| most.saturating_add(base).saturating_neg());
        let since = at.saturating_sub(self.seen_at.replace(at).unwrap_or(at));
        self.seen = (self.seen + since.clamp(0, SEEN_BETWEEN)).min(START_SEEN);
        let cheapest = self.cheapest_depth(frame);
        self.depth = if self.seen < START_SEEN {
            // The level that the first frame was given stays, though the least need is found later:
            // another place against the callbacks is no reason to play faster at once.
            let first = *self.first.get_or_insert(base);
            let later = Some(first.saturating_sub(base)).filter(|l| (0..=PLACES).contains(l));
            cheapest.max(START + later.unwrap_or(0))
        } else {
            // More than anything has needed lately helps nobody.
            cheapest.min((most + BIN - 1) / BIN * BIN).max(0)
        };
    }

    /// Least recent need; `None` before the first frame.
    pub fn base(&self) -> Option<i64> {
        self.least.get()
    }

    /// The depth to keep over [`Self::base`], 0 to [`CEILING`] samples.
    pub fn depth(&self) -> i64 {
        self.depth
    }

    /// The depth that this share of the frames needs, in samples.
    pub fn quantile(&self, share: f32) -> i64 {
        let enough = self.bins.iter().sum::<f32>() * share;
        let mut sum = 0.0;
        for (i, bin) in self.bins.iter().enumerate() {
            sum += bin;
            if sum >= enough {
                return (i as i64 * BIN).min(CEILING);
            }
        }
        CEILING
    }

    /// Keeps the bins relative to the base when that moves: a path that has become slower as a
    /// whole has no more jitter than before.
    fn move_bins(&mut self, base: i64) {
        let bins_base = *self.bins_base.get_or_insert(base);
        let moved = base.saturating_sub(bins_base) / BIN;
        if moved == 0 {
            return;
        }
        self.bins_base = Some(bins_base.saturating_add(moved * BIN));
        let old = self.bins;
        self.bins = [0.0; BINS + 2];
        for (i, weight) in old.into_iter().enumerate() {
            let to = (i as i64).saturating_sub(moved).clamp(0, BINS as i64 + 1);
            self.bins[to as usize] += weight;
        }
    }

    /// Least of (share of the sound that would be made up x weight + depth), for frames of so many
    /// samples.
    fn cheapest_depth(&self, frame: i64) -> i64 {
        let total: f32 = self.bins.iter().sum();
        let price = |share: f32| {
            share.min(FEW) * UNPLAYABLE_WEIGHT[0] + (share - FEW).max(0.0) * UNPLAYABLE_WEIGHT[1]
        };
        // Of a frame that is late by less than `whole` bins a part is heard. What is made up of those
        // is a sum over them that moves along with the depth: weights, and weights by their bins.
        let whole = (((frame - LATE_MORE) / BIN).max(0) as usize).min(BINS);
        let part = |bin: usize| self.bins.get(bin).copied().unwrap_or(0.0);
        let (mut count, mut lateness) = (0.0, 0.0);
        for bin in 1..=whole {
            count += part(bin);
            lateness += part(bin) * bin as f32;
        }
        let mut lost: f32 = self.bins[1 + whole..].iter().sum();
        let mut best = (f32::MAX, 0);
        for i in 0..=BINS {
            let depth = i as i64 * BIN;
            let made_up = (lateness * BIN as f32 + count * LATE_MORE as f32) / frame as f32;
            let cost = price((lost + made_up).max(0.0) / total) + depth as f32;
            if cost < best.0 {
                best = (cost, depth);
            }
            // One bin deeper: all are late by one bin less, the next one no more, one more in part.
            lateness -= count;
            count -= part(i + 1);
            let enters = if i + 1 + whole <= BINS { part(i + 1 + whole) } else { 0.0 };
            count += enters;
            lateness += enters * whole as f32;
            lost -= enters;
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of 240 samples whose needs spread as `late` says, in milliseconds.
    fn feed(tracker: &mut DelayTracker, from: u64, count: u64, late: impl Fn(u64) -> f64) {
        for n in from..from + count {
            tracker.push((late(n) * 48.0) as i64, n as i64 * 240, 240);
        }
    }

    #[test]
    fn depth_starts_at_5_ms_and_a_calm_path_brings_it_down_within_4_s() {
        let mut tracker = DelayTracker::new();
        assert_eq!(tracker.depth(), START);
        feed(&mut tracker, 0, 20, |_| 20.0);
        assert_eq!(tracker.depth(), START);
        feed(&mut tracker, 20, 800, |_| 20.0);
        assert_eq!(tracker.depth(), 0, "needs that are all the same need no depth");
    }

    #[test]
    fn depth_covers_ordinary_jitter_and_one_spike_does_not_move_it() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |n| ((n * 7_919) % 10_000) as f64 / 1e3);
        assert!((9 * 48..=10 * 48 + 24).contains(&tracker.depth()), "{}", tracker.depth());
        assert!((7 * 48..8 * 48).contains(&tracker.quantile(0.75)), "{}", tracker.quantile(0.75));
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0.0);
        feed(&mut tracker, 1000, 1, |_| 25.0);
        assert_eq!(tracker.depth(), 0);
    }

    #[test]
    fn a_slower_path_is_a_new_base_and_no_jitter() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0.0);
        feed(&mut tracker, 1000, 1500, |_| 20.0);
        assert_eq!(tracker.base(), Some(960));
        assert!(tracker.depth() <= BIN, "{}", tracker.depth());
    }

    #[test]
    fn a_step_beyond_the_ceiling_is_taken_as_a_new_path_within_100_ms() {
        let mut tracker = DelayTracker::new();
        feed(&mut tracker, 0, 1000, |_| 0.0);
        feed(&mut tracker, 1000, 20, |_| 400.0);
        assert_eq!(tracker.base(), Some(19_200));
    }

    #[test]
    fn no_need_leads_outside_of_the_bounds() {
        let mut tracker = DelayTracker::new();
        for (need, at) in [(i64::MAX - 1, 0), (i64::MIN, 9), (0, i64::MAX), (5, i64::MAX), (7, 0)] {
            tracker.push(need, at, 240);
            assert!((0..=CEILING).contains(&tracker.depth()));
        }
    }
}
