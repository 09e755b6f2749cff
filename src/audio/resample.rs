//! Between a card's rate and 48 kHz, for cards that cannot do 48 kHz themselves.
//!
//! Runs in the device callbacks: any block length in, no allocation after `new`. A card at 48 kHz
//! passes through untouched and without delay.

use super::fraction::FractionalReader;
use crate::units::SAMPLE_RATE;

/// Kernel length at equal rates, in samples of the slower side: 24 are 0.25 ms of delay at 48 kHz.
const TAPS: f64 = 24.0;
/// Cutoff relative to the slower side's Nyquist frequency: the window's slope ends just above it.
const CUTOFF: f64 = 0.92;
/// Longest block taken in one go, in samples; longer ones go in parts.
const MAX_BLOCK: usize = 4_096;

/// A rate that no audio card has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot convert from or to {0} Hz; choose a device rate from 8000 to 384000")]
pub struct ResampleError(pub u32);

fn reader(from: u32, to: u32) -> Result<Option<FractionalReader>, ResampleError> {
    for rate in [from, to] {
        if !(8_000..=384_000).contains(&rate) {
            return Err(ResampleError(rate));
        }
    }
    if from == to {
        return Ok(None);
    }
    // Going down, the kernel must reach as far in time as at the slower rate.
    let down = (f64::from(from) / f64::from(to)).max(1.0);
    let taps = (TAPS * down).ceil() as usize;
    Ok(Some(FractionalReader::new(taps, CUTOFF / down, MAX_BLOCK)))
}

/// From a microphone's rate to 48 kHz: samples come in as the card has them.
pub struct InputResampler {
    reader: Option<FractionalReader>,
    /// Input samples for one output sample.
    step: f64,
}

impl InputResampler {
    /// For a card at `device_rate` hertz.
    pub fn new(device_rate: u32) -> Result<Self, ResampleError> {
        let step = f64::from(device_rate) / f64::from(SAMPLE_RATE);
        Ok(Self { reader: reader(device_rate, SAMPLE_RATE)?, step })
    }

    /// Most samples that [`Self::process`] can give for `len` samples of input.
    pub fn max_output(&self, len: usize) -> usize {
        match self.reader {
            Some(_) => (len as f64 / self.step).ceil() as usize + 2,
            None => len,
        }
    }

    /// Converts a block; returns how many samples were written to `out`. What does not fit is
    /// dropped: give it [`Self::max_output`].
    pub fn process(&mut self, input: &[f32], out: &mut [f32]) -> usize {
        let Some(reader) = &mut self.reader else {
            let len = input.len().min(out.len());
            out[..len].copy_from_slice(&input[..len]);
            return len;
        };
        let mut written = 0;
        for part in input.chunks(MAX_BLOCK) {
            reader.push(part);
            while reader.ready() {
                let sample = reader.next(self.step);
                if let Some(slot) = out.get_mut(written) {
                    *slot = sample;
                    written += 1;
                }
            }
        }
        written
    }

    /// Delay that it adds, in samples at 48 kHz.
    pub fn delay_samples(&self) -> f64 {
        self.reader.as_ref().map_or(0.0, |r| r.look_ahead() as f64 / self.step)
    }
}

/// From 48 kHz to a speaker's rate: samples are asked for as the card needs them.
pub struct OutputResampler {
    reader: Option<FractionalReader>,
    /// 48 kHz samples for one of the card's.
    step: f64,
    scratch: Box<[f32]>,
}

impl OutputResampler {
    /// For a card at `device_rate` hertz.
    pub fn new(device_rate: u32) -> Result<Self, ResampleError> {
        let step = f64::from(SAMPLE_RATE) / f64::from(device_rate);
        let scratch = vec![0.0; MAX_BLOCK].into_boxed_slice();
        Ok(Self { reader: reader(SAMPLE_RATE, device_rate)?, step, scratch })
    }

    /// Fills `out`; `source` is asked for exactly the 48 kHz samples that this needs, as a rule in
    /// one go.
    pub fn pull(&mut self, out: &mut [f32], mut source: impl FnMut(&mut [f32])) {
        let Some(reader) = &mut self.reader else {
            source(out);
            return;
        };
        // So long that what it needs fits into the scratch.
        let part_len = ((MAX_BLOCK / 2) as f64 / self.step.max(1.0)) as usize;
        for part in out.chunks_mut(part_len.max(1)) {
            let needed = reader.needed(part.len(), self.step).min(self.scratch.len());
            if needed > 0 {
                source(&mut self.scratch[..needed]);
                reader.push(&self.scratch[..needed]);
            }
            for sample in part {
                // Rounding may leave the last one short by a sample.
                while !reader.ready() {
                    source(&mut self.scratch[..1]);
                    reader.push(&self.scratch[..1]);
                }
                *sample = reader.next(self.step);
            }
        }
    }

    /// Delay that it adds, in samples at 48 kHz.
    pub fn delay_samples(&self) -> f64 {
        self.reader.as_ref().map_or(0.0, |r| r.look_ahead() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(position: f64, rate: f64) -> f64 {
        (position / rate * 1_000.0 * std::f64::consts::TAU).sin() * 0.5
    }

    #[test]
    fn a_tone_comes_in_at_the_right_pitch_level_and_delay_for_any_block_length() {
        for rate in [8_000u32, 16_000, 44_100, 48_000, 88_200, 96_000, 192_000] {
            for block in [1usize, 64, 441, 1024, 5000] {
                let mut resampler = InputResampler::new(rate).unwrap();
                let input: Vec<f32> =
                    (0..rate / 4).map(|i| tone(f64::from(i), f64::from(rate)) as f32).collect();
                let mut output = Vec::new();
                for part in input.chunks(block) {
                    let mut out = vec![0.0; resampler.max_output(part.len())];
                    let len = resampler.process(part, &mut out);
                    output.extend_from_slice(&out[..len]);
                }
                let missing = 12_000.0 - output.len() as f64;
                assert!((missing - resampler.delay_samples()).abs() <= 2.0, "{rate}: {missing}");
                for (i, sample) in output.iter().enumerate().skip(200) {
                    let error = (f64::from(*sample) - tone(i as f64, 48_000.0)).abs();
                    assert!(error < 2e-3, "{rate} in {block}: {error} at {i}");
                }
            }
        }
    }

    #[test]
    fn a_tone_goes_out_at_the_right_pitch_and_no_sample_more_is_taken_than_needed() {
        for rate in [8_000u32, 44_100, 48_000, 96_000, 192_000] {
            for block in [1usize, 64, 441, 3000] {
                let mut resampler = OutputResampler::new(rate).unwrap();
                let mut taken = 0u32;
                let mut output = vec![0.0; rate as usize / 4];
                for part in output.chunks_mut(block) {
                    resampler.pull(part, |samples| {
                        for sample in samples {
                            *sample = tone(f64::from(taken), 48_000.0) as f32;
                            taken += 1;
                        }
                    });
                }
                let more = f64::from(taken) - 12_000.0;
                assert!((more - resampler.delay_samples()).abs() <= 6.0, "{rate}: {more}");
                for (i, sample) in output.iter().enumerate().skip(200) {
                    let error = (f64::from(*sample) - tone(i as f64, f64::from(rate))).abs();
                    assert!(error < 2e-3, "{rate} in {block}: {error} at {i}");
                }
            }
        }
    }

    #[test]
    fn what_lies_above_the_slower_side_does_not_fold_down() {
        let mut resampler = InputResampler::new(96_000).unwrap();
        let input: Vec<f32> = (0..9_600)
            .map(|i| (f64::from(i) / 96_000.0 * 30_000.0 * std::f64::consts::TAU).sin() as f32)
            .collect();
        let mut out = vec![0.0; resampler.max_output(input.len())];
        let len = resampler.process(&input, &mut out);
        let peak = out[200..len - 200].iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(peak < 0.01, "{peak}");
    }

    #[test]
    fn a_rate_that_no_card_has_is_an_error() {
        assert_eq!(InputResampler::new(0).err(), Some(ResampleError(0)));
        assert_eq!(OutputResampler::new(1_000_000).err(), Some(ResampleError(1_000_000)));
    }
}
