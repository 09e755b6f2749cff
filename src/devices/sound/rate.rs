//! Between the device's rate and 48 kHz, for cards that have no 48 kHz.
//!
//! A fixed ratio by windowed sinc; following the card's drift is the playout's and the recording's
//! work. `process` runs in audio callbacks: no allocation (all buffers are made in `new`), lock,
//! log or wait.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler, Resizable, SincInterpolationParameters, SincInterpolationType,
    WindowFunction,
};

use crate::units::SAMPLE_RATE;

// 128 taps: transparent for speech, and a delay of 64 input samples, 1.5 ms at 44.1 kHz.
const TAPS: usize = 128;

fn build(ratio: f64, chunk: usize, fixed: FixedAsync) -> Option<Async<f32>> {
    let parameters = SincInterpolationParameters {
        sinc_len: TAPS,
        f_cutoff: None,
        oversampling_factor: 256,
        interpolation: SincInterpolationType::Cubic,
        window: WindowFunction::BlackmanHarris2,
    };
    // The ratio never changes: 1.0 around the given one.
    Async::new_sinc(ratio, 1.0, &parameters, chunk, 1, fixed).ok()
}

/// From a device to 48 kHz.
pub struct ToCall {
    inner: Async<f32>,
    out: Vec<f32>,
    chunk: usize,
}

impl ToCall {
    /// For blocks of at most `chunk` samples. `None`: no such ratio.
    pub fn new(device_rate: u32, chunk: usize) -> Option<Self> {
        let ratio = f64::from(SAMPLE_RATE) / f64::from(device_rate.max(1));
        let inner = build(ratio, chunk, FixedAsync::Input)?;
        let out = vec![0.0; inner.output_frames_max()];
        Some(Self { inner, out, chunk })
    }

    /// Samples at 48 kHz by which the output lags behind the input.
    pub fn delay(&self) -> usize {
        self.inner.output_delay()
    }

    /// Converts one block, at most `chunk` samples; what it gives varies by a sample or so.
    pub fn process(&mut self, input: &[f32]) -> &[f32] {
        let n = input.len().min(self.chunk);
        if n == 0 || self.inner.set_chunk_size(n).is_err() {
            return &[];
        }
        let capacity = self.out.len();
        let written = match (
            InterleavedSlice::new(&input[..n], 1, n),
            InterleavedSlice::new_mut(&mut self.out, 1, capacity),
        ) {
            (Ok(from), Ok(mut to)) => {
                self.inner.process_into_buffer(&from, &mut to, None).map_or(0, |(_, n)| n)
            }
            _ => 0,
        };
        &self.out[..written]
    }
}

/// From 48 kHz to a device.
pub struct FromCall {
    inner: Async<f32>,
    input: Vec<f32>,
    chunk: usize,
}

impl FromCall {
    /// For blocks of at most `chunk` samples at the device's rate. `None`: no such ratio.
    pub fn new(device_rate: u32, chunk: usize) -> Option<Self> {
        let ratio = f64::from(device_rate.max(1)) / f64::from(SAMPLE_RATE);
        let inner = build(ratio, chunk, FixedAsync::Output)?;
        let input = vec![0.0; inner.input_frames_max()];
        Some(Self { inner, input, chunk })
    }

    /// Delay in microseconds.
    pub fn delay_micros(&self, device_rate: u32) -> i64 {
        self.inner.output_delay() as i64 * 1_000_000 / i64::from(device_rate.max(1))
    }

    /// Fills `out` (at most `chunk` samples), asking `source` for exactly the samples at 48 kHz
    /// that this takes.
    pub fn process(&mut self, out: &mut [f32], source: impl FnOnce(&mut [f32])) {
        let n = out.len().min(self.chunk);
        if n == 0 || self.inner.set_chunk_size(n).is_err() {
            out.fill(0.0);
            return;
        }
        let needed = self.inner.input_frames_next().min(self.input.len());
        source(&mut self.input[..needed]);
        let made = match (
            InterleavedSlice::new(&self.input[..needed], 1, needed),
            InterleavedSlice::new_mut(&mut out[..n], 1, n),
        ) {
            (Ok(from), Ok(mut to)) => {
                self.inner.process_into_buffer(&from, &mut to, None).map_or(0, |(_, n)| n)
            }
            _ => 0,
        };
        out[made.min(n)..].fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    // Amplitude of one frequency, by correlation over whole periods.
    fn level(signal: &[f32], hz: f64, rate: f64) -> f64 {
        let (mut re, mut im) = (0.0, 0.0);
        for (k, s) in signal.iter().enumerate() {
            let a = TAU * hz * k as f64 / rate;
            re += f64::from(*s) * a.cos();
            im += f64::from(*s) * a.sin();
        }
        2.0 * re.hypot(im) / signal.len() as f64
    }

    #[test]
    fn a_tone_from_a_44100_card_is_the_same_tone_at_48000_in_blocks_of_any_size() {
        let mut to = ToCall::new(44_100, 512).expect("a usual ratio");
        let mut out = Vec::new();
        let mut at = 0usize;
        for k in 0..2_000usize {
            let n = 1 + (k * 37) % 512;
            let block: Vec<f32> = (at..at + n)
                .map(|i| (0.5 * (TAU * 1_000.0 * i as f64 / 44_100.0).sin()) as f32)
                .collect();
            at += n;
            out.extend_from_slice(to.process(&block));
        }
        let expected = at as f64 * 48_000.0 / 44_100.0;
        assert!((out.len() as f64 - expected).abs() < 600.0, "{} of {expected}", out.len());
        let settled = &out[4_800..4_800 + 96_000];
        assert!((level(settled, 1_000.0, 48_000.0) - 0.5).abs() < 1e-3);
        let power: f64 = settled.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / 96_000.0;
        // What is not the tone is at least 80 dB below it.
        assert!((power - 0.125).abs() < 0.125e-3, "{power}");
    }

    #[test]
    fn a_44100_speaker_pulls_48000_samples_a_second_and_fills_every_block() {
        let mut from = FromCall::new(44_100, 512).expect("a usual ratio");
        let mut pulled = 0usize;
        let mut out = Vec::new();
        for k in 0..1_000usize {
            let mut block = vec![9.0f32; 1 + (k * 53) % 512];
            from.process(&mut block, |input| {
                for (i, s) in input.iter_mut().enumerate() {
                    *s = (0.5 * (TAU * 1_000.0 * (pulled + i) as f64 / 48_000.0).sin()) as f32;
                }
                pulled += input.len();
            });
            out.extend_from_slice(&block);
        }
        let expected = out.len() as f64 * 48_000.0 / 44_100.0;
        assert!((pulled as f64 - expected).abs() < 600.0, "{pulled} of {expected}");
        let settled = &out[4_410..4_410 + 88_200];
        assert!((level(settled, 1_000.0, 44_100.0) - 0.5).abs() < 1e-3);
    }

    #[test]
    fn nothing_is_allocated_while_converting() {
        let mut to = ToCall::new(96_000, 256).expect("a usual ratio");
        let mut from = FromCall::new(96_000, 256).expect("a usual ratio");
        let block = [0.1f32; 256];
        let mut out = [0.0f32; 256];
        assert_no_alloc::assert_no_alloc(|| {
            for n in [256, 1, 100, 256] {
                to.process(&block[..n]);
                from.process(&mut out[..n], |i| i.fill(0.0));
            }
        });
    }
}
