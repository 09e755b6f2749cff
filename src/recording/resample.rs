//! Reads a recorded signal between its samples: a windowed sinc of the 120 dB class.
//!
//! Pure. The reader knows no rate loop: whoever asks says at which place, as exactly as an `f64`
//! can (see [`super::timeline`]). Nothing is allocated after the kernel was made.

use std::f64::consts::PI;
use std::sync::Arc;

use crate::units::SAMPLE_RATE;

/// Samples at 48 kHz that the kernel spans, half before the place and half behind it. With
/// [`BETA`] the band between pass and stop is 3 kHz wide.
const TAPS: usize = 128;
/// Kaiser window: side lobes 125 dB down.
const BETA: f64 = 12.9;
/// Middle of that band as a share of the lower rate's half: flat to 20.9 kHz, nothing above 24.
const CUTOFF: f64 = 0.935;
/// Rows of the kernel table; a cubic between them is off by less than -150 dB.
const PHASES: usize = 128;
/// Partial sums side by side: the order of additions is fixed, so the compiler may use vectors.
const LANES: usize = 8;

/// The kernel for signals of one rate; sharing it costs nothing.
#[derive(Clone)]
pub struct Kernel {
    taps: usize,
    /// `PHASES + 3` rows, row r for the fraction (r - 1) / PHASES.
    rows: Arc<[f32]>,
}

impl Kernel {
    /// For signals of `rate` hertz that become 48 kHz: what 48 kHz cannot hold is kept out.
    pub fn new(rate: u32) -> Self {
        let ratio = f64::from(SAMPLE_RATE) / f64::from(rate.max(1));
        // A higher rate's kernel spans the same time in more samples.
        let taps = (TAPS as f64 / ratio.min(1.0)).ceil() as usize;
        let taps = taps.next_multiple_of(2 * LANES);
        let cutoff = CUTOFF * ratio.min(1.0);
        let half = taps as f64 / 2.0;
        let mut rows = vec![0.0f32; (PHASES + 3) * taps];
        let mut weights = vec![0.0f64; taps];
        let window_top = bessel(BETA);
        for (r, row) in rows.chunks_exact_mut(taps).enumerate() {
            let fraction = (r as f64 - 1.0) / PHASES as f64;
            for (tap, weight) in weights.iter_mut().enumerate() {
                let x = tap as f64 - (half - 1.0) - fraction;
                let inside = 1.0 - (x / half).powi(2);
                let window =
                    if inside <= 0.0 { 0.0 } else { bessel(BETA * inside.sqrt()) / window_top };
                *weight = sinc(x * cutoff) * window;
            }
            // The same gain at every fraction, or a steady tone would waver.
            let sum: f64 = weights.iter().sum();
            for (slot, weight) in row.iter_mut().zip(&weights) {
                *slot = (weight / sum) as f32;
            }
        }
        Self { taps, rows: rows.into() }
    }

    /// Reads nothing but zeros, for tests that only look at places.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { taps: 0, rows: Arc::from([]) }
    }

    /// Samples that must be there at and before a place.
    pub fn before(&self) -> usize {
        self.taps / 2
    }

    /// Samples before a place worth keeping when the place is not known yet.
    pub(super) fn taps_kept(&self) -> u64 {
        2 * self.taps as u64
    }

    /// Samples that must be there behind a place.
    pub fn behind(&self) -> usize {
        self.taps / 2
    }

    /// The signal's value at `place`, counted in samples from `samples[0]`. At least
    /// [`Kernel::before`] samples must lie up to it and [`Kernel::behind`] behind it; 0 otherwise.
    pub fn read(&self, samples: &[f32], place: f64) -> f32 {
        let whole = place.floor();
        let first = whole as i64 + 1 - (self.taps / 2) as i64;
        let Some(window) =
            usize::try_from(first).ok().and_then(|first| samples.get(first..first + self.taps))
        else {
            return 0.0;
        };
        let at = (place - whole) * PHASES as f64;
        let row = (at as usize).min(PHASES - 1);
        let t = at - row as f64;
        // Lagrange's cubic through the rows at -1, 0, 1, 2.
        let c = [
            (-t * (t - 1.0) * (t - 2.0) / 6.0) as f32,
            ((t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0) as f32,
            (-(t + 1.0) * t * (t - 2.0) / 2.0) as f32,
            ((t + 1.0) * t * (t - 1.0) / 6.0) as f32,
        ];
        let rows = &self.rows[row * self.taps..(row + 4) * self.taps];
        let (a, rest) = rows.split_at(self.taps);
        let (b, rest) = rest.split_at(self.taps);
        let (d, e) = rest.split_at(self.taps);
        let mut sums = [0.0f32; LANES];
        let mut i = 0;
        while i + LANES <= self.taps {
            let (w, a, b) = (&window[i..i + LANES], &a[i..i + LANES], &b[i..i + LANES]);
            let (d, e) = (&d[i..i + LANES], &e[i..i + LANES]);
            for l in 0..LANES {
                let weight = c[0] * a[l] + c[1] * b[l] + c[2] * d[l] + c[3] * e[l];
                sums[l] += w[l] * weight;
            }
            i += LANES;
        }
        sums.iter().sum()
    }
}

/// A smooth curve's value between its samples, by a Hann-windowed sinc over `reach` samples to
/// either side; what lies outside of `samples` counts as 0.
pub(super) fn sinc_at(samples: &[f64], at: f64, reach: i64) -> f64 {
    let whole = at.floor() as i64;
    (whole - reach + 1..=whole + reach)
        .filter_map(|i| {
            let value = samples.get(usize::try_from(i).ok()?)?;
            let x = at - i as f64;
            let window = 0.5 + 0.5 * (PI * x / (reach as f64 + 1.0)).cos();
            Some(value * sinc(x) * window)
        })
        .sum()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { (PI * x).sin() / (PI * x) }
}

/// Modified Bessel function of the first kind, order 0, by its power series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for k in 1..60 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// A tone of `hertz` at `rate`, read at 48,000 places a second that lie `ppm` further apart.
    fn read(rate: u32, hertz: f64, ppm: f64, count: usize) -> Vec<f64> {
        let kernel = Kernel::new(rate);
        let step = f64::from(rate) / 48_000.0 * (1.0 + ppm * 1e-6);
        let turn = TAU * hertz / f64::from(rate);
        let n = (count as f64 * step) as usize + 2 * kernel.taps;
        let input: Vec<f32> = (0..n).map(|i| (0.5 * (turn * i as f64).sin()) as f32).collect();
        let first = kernel.before() as f64 + 0.3;
        (0..count).map(|i| f64::from(kernel.read(&input, first + step * i as f64))).collect()
    }

    /// Fits a sine of that frequency; gives its amplitude and, relative to full scale in dB, what
    /// is left when it is taken away: distortion, images, aliases and noise together.
    fn fit(signal: &[f64], turn: f64) -> (f64, f64) {
        // Least squares in sine and cosine.
        let (mut ss, mut cc, mut sc, mut ys, mut yc) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (i, y) in signal.iter().enumerate() {
            let (s, c) = (turn * i as f64).sin_cos();
            ss += s * s;
            cc += c * c;
            sc += s * c;
            ys += y * s;
            yc += y * c;
        }
        let det = ss * cc - sc * sc;
        let (a, b) = ((ys * cc - yc * sc) / det, (yc * ss - ys * sc) / det);
        let rest: f64 = signal
            .iter()
            .enumerate()
            .map(|(i, y)| {
                let (s, c) = (turn * i as f64).sin_cos();
                (y - a * s - b * c).powi(2)
            })
            .sum();
        (a.hypot(b), 10.0 * (2.0 * rest / signal.len() as f64).log10())
    }

    #[test]
    fn a_tone_comes_out_as_pure_as_120_db_at_every_rate_and_drift() {
        for (rate, ppm) in
            [(48_000, 200.0), (48_000, -37.0), (44_100, 50.0), (96_000, -200.0), (192_000, 3.0)]
        {
            let step = f64::from(rate) / 48_000.0 * (1.0 + ppm * 1e-6);
            for hertz in [100.0, 997.0, 5_003.0, 12_007.0, 19_001.0] {
                let out = read(rate, hertz, ppm, 24_000);
                let (level, rest) = fit(&out, TAU * hertz / f64::from(rate) * step);
                assert!((20.0 * (level / 0.5).log10()).abs() < 0.001, "{rate} {hertz}: {level}");
                // 0.5 is 6 dB below full scale; -126 dBFS is 120 dB below the tone.
                assert!(rest < -126.0, "{rate} Hz card, {hertz} Hz: rest {rest:.1} dBFS");
            }
        }
    }

    #[test]
    fn what_48_khz_cannot_hold_is_kept_out_by_120_db() {
        for (rate, hertz) in [(96_000, 25_000.0), (96_000, 40_000.0), (192_000, 70_000.0)] {
            let out = read(rate, hertz, 100.0, 24_000);
            let power: f64 = out.iter().map(|s| s * s).sum::<f64>() / out.len() as f64;
            let level = 10.0 * (2.0 * power / 0.25).log10();
            assert!(level < -120.0, "{hertz} Hz at {rate}: {level:.1} dB of it got through");
        }
    }

    #[test]
    fn an_image_of_44_100_is_120_db_below_its_tone() {
        // 19,001 Hz at 44,100 has its image at 25,099, which 48 kHz folds to 22,901 Hz.
        let out = read(44_100, 19_001.0, 0.0, 48_000);
        let (image, _) = fit(&out, TAU * 22_901.0 / 48_000.0);
        let level = 20.0 * (image / 0.5).log10();
        assert!(level < -120.0, "{level:.1} dB");
    }

    #[test]
    fn outside_of_what_is_there_it_is_silent() {
        let kernel = Kernel::new(48_000);
        let samples = vec![1.0; TAPS];
        assert_eq!(kernel.read(&samples, 10.0), 0.0);
        assert_eq!(kernel.read(&samples, -500.0), 0.0);
        assert_eq!(kernel.read(&samples, 1e12), 0.0);
        assert!((kernel.read(&samples, (TAPS / 2 - 1) as f64) - 1.0).abs() < 1e-6);
    }
}
