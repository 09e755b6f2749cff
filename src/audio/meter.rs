//! Peak and mean level of a signal, and clipping.
//!
//! [`Meter`] is for one thread; [`SharedMeter`] is written by a real-time thread and read by
//! another. Neither allocates, locks or waits.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// What silence reads as, dBFS.
pub const FLOOR_DB: f32 = -120.0;
/// From here on a sample counts as clipped: the largest 16-bit value.
const CLIP: f32 = 32_767.0 / 32_768.0;

/// A level over some stretch of sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Highest sample, dBFS; -120 for silence.
    pub peak_db: f32,
    /// Mean power, dBFS (a full-scale square wave is 0, a sine -3); -120 for silence.
    pub rms_db: f32,
    /// Samples at full scale.
    pub clipped: u64,
}

impl Default for Level {
    fn default() -> Self {
        Self { peak_db: FLOOR_DB, rms_db: FLOOR_DB, clipped: 0 }
    }
}

/// An amplitude (1.0 is full scale) in dBFS, not below [`FLOOR_DB`].
pub fn decibels(amplitude: f32) -> f32 {
    if amplitude > 1e-6 { (20.0 * amplitude.log10()).max(FLOOR_DB) } else { FLOOR_DB }
}

/// Measures what is pushed until it is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    peak: f32,
    power: f64,
    samples: u64,
    clipped: u64,
}

impl Meter {
    /// An empty meter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes samples, full scale 1.0.
    pub fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            let amplitude = sample.abs();
            self.peak = self.peak.max(amplitude);
            self.power += f64::from(sample) * f64::from(sample);
            self.clipped += u64::from(amplitude >= CLIP);
        }
        self.samples += samples.len() as u64;
    }

    /// The level since the last call; silence when nothing was pushed.
    pub fn take(&mut self) -> Level {
        let rms = (self.power / self.samples.max(1) as f64).sqrt() as f32;
        let level =
            Level { peak_db: decibels(self.peak), rms_db: decibels(rms), clipped: self.clipped };
        *self = Self::default();
        level
    }
}

/// A meter that one real-time thread writes and any other reads.
///
/// Every figure is exact on its own; a reading between two stores may pair the peak of one block
/// with the power of the next, which a level display cannot show.
#[derive(Debug, Default)]
pub struct SharedMeter {
    /// Bits of the peak; those of non-negative floats order as integers do.
    peak: AtomicU32,
    /// Sum of squares in units of 2^-32, so that adding is one atomic instruction. It overflows
    /// after a day of full scale without a reading.
    power: AtomicU64,
    samples: AtomicU64,
    clipped: AtomicU64,
}

impl SharedMeter {
    /// An empty meter.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes samples, full scale 1.0. For the real-time thread.
    pub fn push(&self, samples: &[f32]) {
        let mut block = Meter::new();
        block.push(samples);
        self.peak.fetch_max(block.peak.to_bits(), Ordering::Relaxed);
        self.power.fetch_add((block.power * 4_294_967_296.0) as u64, Ordering::Relaxed);
        self.samples.fetch_add(block.samples, Ordering::Relaxed);
        self.clipped.fetch_add(block.clipped, Ordering::Relaxed);
    }

    /// Clipped samples from the start.
    pub fn clipped(&self) -> u64 {
        self.clipped.load(Ordering::Relaxed)
    }

    /// The level since the last call. `clipped` counts from the start and is not reset.
    pub fn take(&self) -> Level {
        let samples = self.samples.swap(0, Ordering::Relaxed);
        let power = self.power.swap(0, Ordering::Relaxed) as f64 / 4_294_967_296.0;
        Level {
            peak_db: decibels(f32::from_bits(self.peak.swap(0, Ordering::Relaxed))),
            rms_db: decibels((power / samples.max(1) as f64).sqrt() as f32),
            clipped: self.clipped.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(amplitude: f32) -> Vec<f32> {
        (0..4800).map(|i| (i as f32 * std::f32::consts::TAU / 48.0).sin() * amplitude).collect()
    }

    #[test]
    fn a_half_scale_sine_peaks_at_minus_6_and_means_minus_9() {
        let mut meter = Meter::new();
        meter.push(&sine(0.5));
        let level = meter.take();
        assert!((level.peak_db + 6.02).abs() < 0.05, "{level:?}");
        assert!((level.rms_db + 9.03).abs() < 0.05, "{level:?}");
        assert_eq!(level.clipped, 0);
        assert_eq!(meter.take(), Level::default(), "taken is gone");
    }

    #[test]
    fn the_shared_meter_reads_the_same_and_keeps_its_clip_count() {
        let shared = SharedMeter::new();
        for block in sine(0.5).chunks(64) {
            shared.push(block);
        }
        shared.push(&[1.0, -1.0]);
        let level = shared.take();
        assert!(level.peak_db.abs() < 0.01 && (level.rms_db + 9.03).abs() < 0.05, "{level:?}");
        assert_eq!(level.clipped, 2);
        assert_eq!(shared.take().clipped, 2);
        assert_eq!(shared.take().peak_db, FLOOR_DB);
    }
}
