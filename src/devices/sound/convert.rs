//! Between the device's sample format and channels and our mono `f32`.
//!
//! Runs in audio callbacks: no allocation, lock, log or wait.

use cpal::{Data, FromSample, I24, Sample, SampleFormat, SizedSample, U24};

/// Formats that can be converted, best first: wide enough for a quiet voice, then cheap.
pub const FORMATS: [SampleFormat; 10] = [
    SampleFormat::F32,
    SampleFormat::I32,
    SampleFormat::I24,
    SampleFormat::F64,
    SampleFormat::I16,
    SampleFormat::U32,
    SampleFormat::U24,
    SampleFormat::U16,
    SampleFormat::I8,
    SampleFormat::U8,
];

// The largest value below 1 that every integer format can take without overflow.
const CEILING: f32 = 1.0 - f32::EPSILON / 2.0;

/// Calls `f` with the samples in their own type; nothing for a format that is not in [`FORMATS`].
macro_rules! each_format {
    ($format:expr, $run:ident) => {
        match $format {
            SampleFormat::F32 => $run!(f32),
            SampleFormat::F64 => $run!(f64),
            SampleFormat::I32 => $run!(i32),
            SampleFormat::I24 => $run!(I24),
            SampleFormat::I16 => $run!(i16),
            SampleFormat::I8 => $run!(i8),
            SampleFormat::U32 => $run!(u32),
            SampleFormat::U24 => $run!(U24),
            SampleFormat::U16 => $run!(u16),
            SampleFormat::U8 => $run!(u8),
            _ => {}
        }
    };
}

/// Frames in a callback's data.
pub fn frames(data: &Data, channels: usize) -> usize {
    data.len() / channels.max(1)
}

/// One channel of the frames from `first` on, as many as `out` takes.
pub fn pick(data: &Data, channels: usize, channel: usize, first: usize, out: &mut [f32]) {
    macro_rules! run {
        ($t:ty) => {
            if let Some(samples) = data.as_slice::<$t>() {
                pick_from(samples, channels, channel, first, out);
            }
        };
    }
    each_format!(data.sample_format(), run);
}

fn pick_from<T: SizedSample>(
    samples: &[T],
    channels: usize,
    channel: usize,
    first: usize,
    out: &mut [f32],
) where
    f32: FromSample<T>,
{
    let frames = samples.chunks_exact(channels.max(1)).skip(first);
    for (to, frame) in out.iter_mut().zip(frames) {
        *to = frame.get(channel).map_or(0.0, |s| f32::from_sample(*s));
    }
}

/// Writes mono to the frames from `first` on: to both of two channels, to the front pair of more,
/// silence to the others.
pub fn spread(mono: &[f32], data: &mut Data, channels: usize, first: usize) {
    macro_rules! run {
        ($t:ty) => {
            if let Some(samples) = data.as_slice_mut::<$t>() {
                spread_to(mono, samples, channels, first);
            }
        };
    }
    each_format!(data.sample_format(), run);
}

fn spread_to<T: SizedSample + FromSample<f32>>(
    mono: &[f32],
    samples: &mut [T],
    channels: usize,
    first: usize,
) {
    let frames = samples.chunks_exact_mut(channels.max(1)).skip(first);
    for (frame, from) in frames.zip(mono) {
        let value = T::from_sample(from.clamp(-1.0, CEILING));
        let (front, rest) = frame.split_at_mut(frame.len().min(2));
        front.fill(value);
        rest.fill(T::EQUILIBRIUM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through<T: SizedSample>(mut samples: Vec<T>, f: impl FnOnce(&mut Data)) -> Vec<T> {
        // SAFETY: the vector outlives `data` and is of the type named.
        let mut data =
            unsafe { Data::from_parts(samples.as_mut_ptr().cast(), samples.len(), T::FORMAT) };
        f(&mut data);
        samples
    }

    #[test]
    fn the_wanted_channel_is_picked_and_no_other() {
        let frames = vec![1i16 << 14, 0, -(1 << 14), 7, 0, 9];
        through(frames, |data| {
            let mut out = [9.0; 2];
            pick(data, 2, 0, 1, &mut out);
            assert_eq!(out, [-0.5, 0.0]);
            pick(data, 2, 1, 0, &mut out[..1]);
            assert_eq!(out[0], 0.0);
        });
    }

    #[test]
    fn every_format_gives_back_what_was_played_into_it() {
        fn check<T: SizedSample>(tolerance: f32) {
            let mono = [0.0, 0.5, -0.5, 0.25, -1.0, 1.0, 3.0, -3.0];
            let wanted = [0.0, 0.5, -0.5, 0.25, -1.0, 1.0, 1.0, -1.0];
            through(vec![T::EQUILIBRIUM; 16], |data| {
                spread(&mono, data, 2, 0);
                for channel in 0..2 {
                    let mut back = [9.0f32; 8];
                    pick(data, 2, channel, 0, &mut back);
                    for (b, w) in back.iter().zip(wanted) {
                        assert!((b - w).abs() <= tolerance, "{:?}: {b} for {w}", T::FORMAT);
                    }
                }
            });
        }
        check::<f32>(1e-6);
        check::<f64>(1e-6);
        check::<i32>(1e-6);
        check::<I24>(1e-6);
        check::<u32>(1e-6);
        check::<U24>(1e-6);
        check::<i16>(1.0 / 32_768.0);
        check::<u16>(1.0 / 32_768.0);
        check::<i8>(1.0 / 128.0);
        check::<u8>(1.0 / 128.0);
    }

    #[test]
    fn rear_channels_stay_silent() {
        let out = through(vec![9i16; 8], |data| spread(&[0.5, -0.5], data, 4, 0));
        assert_eq!(out, [16_384, 16_384, 0, 0, -16_384, -16_384, 0, 0]);
    }
}
