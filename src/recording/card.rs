//! A sound card's clock against the local one: which local instant each of its samples belongs to.
//!
//! Pure. Each block's stamp says when its first sample was captured, give or take what callbacks
//! jitter. Medians over a tenth of a second go into a robust straight line over the last minute:
//! its height places the samples, its slope is the card's rate. This is one of two loops; the
//! other, local against session clock, is [`crate::clock`]'s, and neither knows of the other.

use std::collections::VecDeque;

use crate::units::Micros;

/// Samples of one median: a tenth of a second's worth.
const BIN_MICROS: f64 = 100_000.0;
/// Medians that the line goes through: one minute. A crystal that warms up by 10 ppm in ten
/// minutes bends away from a line of that length by 5 us.
const BINS: usize = 600;
/// What a card may be off before anything is measured: with this weight the line begins level.
const PRIOR_PPM: f64 = 100.0;
/// What it may have changed while the device was away.
const RETURN_PPM: f64 = 20.0;
/// Least scatter of medians that is believed, microseconds: stamps are whole microseconds.
const LEAST_SCATTER: f64 = 2.0;
/// Medians in a row that must lie off the line, on the same side, before the line itself moves:
/// half a second, longer than anything that only stalls.
const STEP_BINS: usize = 5;
/// ... and by this much at least, microseconds, and by this many times the usual scatter.
const STEP_MICROS: f64 = 1_500.0;
const STEP_SCATTERS: f64 = 6.0;
/// Seconds of stamps before a rate is told to anybody.
const TELL_AFTER: f64 = 10.0;

/// A median of neighbouring stamps.
#[derive(Clone, Copy, Debug)]
struct Bin {
    /// Sample index in the middle, as microseconds at the nominal rate.
    at: f64,
    /// How much later than at the nominal rate, microseconds.
    late: f64,
}

/// A card's measured rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CardRate {
    /// How much faster than its nominal rate the card runs by the local clock, parts per million.
    pub ppm: f64,
    /// Standard error of that.
    pub uncertainty: f64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct CardClock {
    /// Microseconds of one sample at the nominal rate.
    sample: f64,
    /// Index and stamp that everything is counted from.
    origin: Option<(f64, i64)>,
    bins: VecDeque<Bin>,
    /// The stamps of the bin that is being filled.
    filling: Vec<Bin>,
    /// The line: lateness at `middle`, and lateness per microsecond.
    height: f64,
    slope: f64,
    middle: f64,
    slope_error: f64,
    /// What the slope is taken for before the stamps say better, and how surely.
    prior: (f64, f64),
    /// Usual distance of a median from the line, microseconds.
    scatter: f64,
    scratch: Vec<f64>,
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl CardClock {
    /// For a card of that nominal rate, hertz.
    pub fn new(rate: u32) -> Self {
        Self {
            sample: 1e6 / f64::from(rate.max(1)),
            origin: None,
            bins: VecDeque::with_capacity(BINS + 1),
            filling: Vec::with_capacity(64),
            height: 0.0,
            slope: 0.0,
            middle: 0.0,
            slope_error: PRIOR_PPM * 1e-6,
            prior: (0.0, PRIOR_PPM * 1e-6),
            scatter: LEAST_SCATTER,
            scratch: Vec::with_capacity(BINS + 1),
        }
    }

    /// Whether no stamp has come since the start (or [`CardClock::restart`]).
    pub fn is_new(&self) -> bool {
        self.origin.is_none()
    }

    /// Forgets which sample belongs where, and keeps the rate: the device was away.
    pub fn restart(&mut self) {
        self.origin = None;
        self.bins.clear();
        self.filling.clear();
        self.prior = (self.slope, self.slope_error.max(RETURN_PPM * 1e-6));
        self.slope_error = self.prior.1;
        self.height = 0.0;
        self.middle = 0.0;
    }

    /// Takes the stamp of a block that begins with sample `index`.
    pub fn observe(&mut self, index: f64, stamp: Micros) {
        let (first, zero) = *self.origin.get_or_insert((index, stamp.0));
        let at = (index - first) * self.sample;
        let late = stamp.since(Micros(zero)) as f64 - at;
        let begun = self.filling.first().map(|b| b.at);
        if begun.is_some_and(|begun| at - begun >= BIN_MICROS) {
            self.close_bin();
        }
        self.filling.push(Bin { at, late });
        if self.bins.len() < STEP_BINS {
            // The first half second cannot wait for medians.
            self.fit();
        }
    }

    /// The local instant of sample `index`, microseconds; `None` before the first stamp.
    pub fn local(&self, index: f64) -> Option<f64> {
        let (first, zero) = self.origin?;
        let at = (index - first) * self.sample;
        Some(zero as f64 + at + self.height + self.slope * (at - self.middle))
    }

    /// Local microseconds that one sample takes.
    pub fn micros_per_sample(&self) -> f64 {
        self.sample * (1.0 + self.slope)
    }

    /// The card's rate against the local clock, once enough stamps have come.
    pub fn rate(&self) -> Option<CardRate> {
        let span = self.bins.back()?.at - self.bins.front()?.at;
        (span >= TELL_AFTER * 1e6).then_some(CardRate {
            // Samples that take longer make a slower card.
            ppm: (1.0 / (1.0 + self.slope) - 1.0) * 1e6,
            uncertainty: self.slope_error * 1e6,
        })
    }

    fn middle_of_filling(&mut self) -> Option<Bin> {
        self.scratch.clear();
        self.scratch.extend(self.filling.iter().map(|b| b.late));
        let late = median(&mut self.scratch)?;
        let at = self.filling.iter().map(|b| b.at).sum::<f64>() / self.filling.len() as f64;
        Some(Bin { at, late })
    }

    fn close_bin(&mut self) {
        let Some(bin) = self.middle_of_filling() else { return };
        self.filling.clear();
        if self.bins.len() == BINS {
            self.bins.pop_front();
        }
        self.bins.push_back(bin);
        self.follow_step();
        self.fit();
    }

    fn off(&self, bin: &Bin) -> f64 {
        bin.late - self.height - self.slope * (bin.at - self.middle)
    }

    /// When the latest medians all lie off the line, what lies between device and program has
    /// become longer or shorter: the older ones move along, so that the rate stays known.
    fn follow_step(&mut self) {
        let older = self.bins.len().saturating_sub(STEP_BINS);
        if older < STEP_BINS {
            return;
        }
        let least = STEP_MICROS.max(STEP_SCATTERS * self.scatter);
        let newest = self.bins.range(older..);
        let all_later = newest.clone().all(|b| self.off(b) > least);
        let all_earlier = newest.clone().all(|b| self.off(b) < -least);
        if !all_later && !all_earlier {
            return;
        }
        let mut steps: Vec<f64> = newest.map(|b| self.off(b)).collect();
        let Some(step) = median(&mut steps) else { return };
        self.bins.iter_mut().take(older).for_each(|b| b.late += step);
        self.height += step;
    }

    /// Weighted least squares; who lies far off counts less (Huber), three rounds of it.
    fn fit(&mut self) {
        let partial = if self.bins.len() < STEP_BINS { self.middle_of_filling() } else { None };
        let count = self.bins.len() + usize::from(partial.is_some());
        if count == 0 {
            return;
        }
        if self.bins.is_empty() {
            // One median has a height and no slope.
            let Some(bin) = partial else { return };
            (self.height, self.slope, self.middle) = (bin.late, self.prior.0, bin.at);
            return;
        }
        let all = || self.bins.iter().chain(partial.as_ref()).copied();
        let mean = all().map(|b| b.at).sum::<f64>() / count as f64;
        let (mut height, mut slope) = if count < 2 * STEP_BINS {
            // No line worth its name yet: begin from the plain mean.
            let late = all().map(|b| b.late - self.prior.0 * (b.at - mean)).sum::<f64>();
            (late / count as f64, self.prior.0)
        } else {
            (self.height + self.slope * (mean - self.middle), self.slope)
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        for _ in 0..3 {
            let off = |b: &Bin| b.late - height - slope * (b.at - mean);
            scratch.clear();
            scratch.extend(all().map(|b| off(&b).abs()));
            let scatter = (1.4826 * median(&mut scratch).unwrap_or(0.0)).max(LEAST_SCATTER);
            let huber = 1.5 * scatter;
            let (mut w0, mut wt, mut wtt, mut wy, mut wty) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for b in all() {
                let far = off(&b).abs();
                let w = if far <= huber { 1.0 } else { huber / far };
                let t = b.at - mean;
                w0 += w;
                wt += w * t;
                wtt += w * t * t;
                wy += w * b.late;
                wty += w * t * b.late;
            }
            // The prior weighs as an observation of the slope with its own error.
            let weight = (scatter / self.prior.1).powi(2);
            wtt += weight;
            wty += weight * self.prior.0;
            let det = w0 * wtt - wt * wt;
            if det > 0.0 {
                slope = (w0 * wty - wt * wy) / det;
                height = (wy - slope * wt) / w0;
                self.slope_error = scatter * (w0 / det).sqrt();
            }
            self.scatter = scatter;
        }
        self.scratch = scratch;
        (self.height, self.slope, self.middle) = (height, slope, mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds stamps of a card that runs `ppm` fast, `late(block)` microseconds late each; gives
    /// the largest error of [`CardClock::local`] after `settled` seconds.
    fn run(card: &mut CardClock, ppm: f64, seconds: i64, late: impl Fn(i64) -> i64) -> f64 {
        let truth = |index: f64| 5e6 + index / (48_000.0 * (1.0 + ppm * 1e-6)) * 1e6;
        let mut worst = 0.0f64;
        for block in 0..seconds * 200 {
            let index = (block * 240) as f64;
            card.observe(index, Micros(truth(index) as i64 + late(block)));
            if block > 200 * 20 {
                worst = worst.max((card.local(index).unwrap() - truth(index)).abs());
            }
        }
        worst
    }

    /// A repeatable number from 0 up to `below`.
    fn dice(n: i64, below: i64) -> i64 {
        let mut x = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x ^= x >> 31;
        (x.wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as i64 % below
    }

    #[test]
    fn exact_stamps_give_the_exact_rate() {
        for ppm in [-200.0, -3.0, 0.0, 50.0, 200.0] {
            let mut card = CardClock::new(48_000);
            let worst = run(&mut card, ppm, 60, |_| 0);
            let rate = card.rate().unwrap();
            assert!((rate.ppm - ppm).abs() < 0.1, "{rate:?} for {ppm}");
            assert!(worst < 3.0, "{worst} us");
        }
    }

    #[test]
    fn stamps_that_jitter_by_milliseconds_give_the_rate_to_a_ppm() {
        let mut card = CardClock::new(48_000);
        // Up to 3 ms either way, and each twentieth callback 30 ms late.
        let late = |n| dice(n, 6_000) - 3_000 + if dice(n + 7, 20) == 0 { 30_000 } else { 0 };
        let worst = run(&mut card, 150.0, 120, late);
        let rate = card.rate().unwrap();
        assert!((rate.ppm - 150.0).abs() < 2.0 && rate.uncertainty < 2.0, "{rate:?}");
        assert!(worst < 500.0, "{worst} us");
    }

    #[test]
    fn a_path_that_becomes_longer_moves_the_line_and_not_the_rate() {
        let mut card = CardClock::new(48_000);
        run(&mut card, 80.0, 60, |_| 0);
        let mut card = CardClock::new(48_000);
        let late = |n| dice(n, 200) + if n > 200 * 40 { 12_000 } else { 0 };
        run(&mut card, 80.0, 60, late);
        let rate = card.rate().unwrap();
        assert!((rate.ppm - 80.0).abs() < 2.0, "{rate:?}");
        let index = 60.0 * 48_000.0;
        let truth = 5e6 + index / (48_000.0 * (1.0 + 80e-6)) * 1e6 + 12_100.0;
        assert!((card.local(index).unwrap() - truth).abs() < 100.0);
    }

    #[test]
    fn a_device_that_returns_is_placed_anew_at_its_known_rate() {
        let mut card = CardClock::new(44_100);
        let at = |n: i64| (n as f64 * 441.0 * 1e6 / (44_100.0 * (1.0 - 120e-6))) as i64;
        for n in 0..6_000 {
            card.observe((n * 441) as f64, Micros(at(n)));
        }
        card.restart();
        assert!(card.is_new() && card.local(0.0).is_none());
        card.observe(9e6, Micros(500_000_000));
        assert_eq!(card.local(9e6), Some(5e8));
        let second = card.local(9e6 + 44_100.0).unwrap() - 5e8;
        assert!((second - 1e6 * (1.0 + 120e-6)).abs() < 2.0, "{second}");
    }

    #[test]
    fn a_rate_is_told_only_after_ten_seconds() {
        let mut card = CardClock::new(48_000);
        run(&mut card, 10.0, 9, |_| 0);
        assert_eq!(card.rate(), None);
    }
}
