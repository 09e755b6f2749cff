//! Between a card's interleaved samples and our mono `f32`.
//!
//! Runs in the device callbacks: no allocation, no panic. A microphone is one channel, never an
//! average: two inputs of one interface are two people, or one person twice out of phase.

/// A sample format that a device may have.
pub trait DeviceSample: Copy {
    /// Full scale is 1.0; what is not a number is silence.
    fn to_f32(self) -> f32;
    /// Values beyond full scale are clamped.
    fn from_f32(value: f32) -> Self;
}

impl DeviceSample for f32 {
    fn to_f32(self) -> f32 {
        if self.is_finite() { self } else { 0.0 }
    }
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl DeviceSample for f64 {
    fn to_f32(self) -> f32 {
        (self as f32).to_f32()
    }
    fn from_f32(value: f32) -> Self {
        f64::from(value)
    }
}

macro_rules! signed {
    ($($t:ty: $scale:expr),*) => {$(
        impl DeviceSample for $t {
            fn to_f32(self) -> f32 {
                (f64::from(self) / $scale) as f32
            }
            // A cast from float to integer saturates.
            fn from_f32(value: f32) -> Self {
                (f64::from(value) * $scale).round() as $t
            }
        }
    )*};
}
signed!(i8: 128.0, i16: 32_768.0, i32: 2_147_483_648.0);

macro_rules! unsigned {
    ($($t:ty: $scale:expr),*) => {$(
        impl DeviceSample for $t {
            fn to_f32(self) -> f32 {
                ((f64::from(self) - $scale) / $scale) as f32
            }
            fn from_f32(value: f32) -> Self {
                (f64::from(value) * $scale + $scale).round() as $t
            }
        }
    )*};
}
unsigned!(u8: 128.0, u16: 32_768.0, u32: 2_147_483_648.0);

/// A 24-bit value, -2^23 to 2^23-1, held in 32 bits (cpal's `I24::inner`), as `f32`.
pub fn i24_to_f32(value: i32) -> f32 {
    (f64::from(value) / 8_388_608.0) as f32
}

/// An `f32` as a 24-bit value held in 32 bits, clamped to -2^23 to 2^23-1.
pub fn f32_to_i24(value: f32) -> i32 {
    ((f64::from(value) * 8_388_608.0).round() as i32).clamp(-8_388_608, 8_388_607)
}

/// Copies channel `channel` (from 0) of interleaved `input` into `out`; returns the frames copied.
///
/// A channel that the input does not have is its last one. Stops when either side ends.
pub fn pick_channel<S: DeviceSample>(
    input: &[S],
    channels: usize,
    channel: usize,
    out: &mut [f32],
) -> usize {
    pick_channel_with(input, channels, channel, out, S::to_f32)
}

/// [`pick_channel`] for a format of which only the conversion is known.
pub fn pick_channel_with<S: Copy>(
    input: &[S],
    channels: usize,
    channel: usize,
    out: &mut [f32],
    to_f32: impl Fn(S) -> f32,
) -> usize {
    let channels = channels.max(1);
    let channel = channel.min(channels - 1);
    let mut frames = 0;
    for (frame, slot) in input.chunks_exact(channels).zip(out) {
        *slot = to_f32(frame[channel]);
        frames += 1;
    }
    frames
}

/// Writes mono samples to every channel of interleaved `out`; what `mono` does not fill is silence.
pub fn spread_mono<S: DeviceSample>(mono: &[f32], channels: usize, out: &mut [S]) {
    spread_mono_with(mono, channels, out, S::from_f32);
}

/// [`spread_mono`] for a format of which only the conversion is known.
pub fn spread_mono_with<S: Copy>(
    mono: &[f32],
    channels: usize,
    out: &mut [S],
    from_f32: impl Fn(f32) -> S,
) {
    let mut samples = mono.iter();
    for frame in out.chunks_mut(channels.max(1)) {
        frame.fill(from_f32(samples.next().copied().unwrap_or(0.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_channel_is_taken_and_never_mixed() {
        let input = [0i16, 16_384, 0, -32_768, 0, 8_192];
        let mut out = [9.0; 4];
        assert_eq!(pick_channel(&input, 2, 1, &mut out), 3);
        assert_eq!(out, [0.5, -1.0, 0.25, 9.0]);
        assert_eq!(pick_channel(&input, 2, 7, &mut out), 3, "a missing channel is the last one");
        assert_eq!(out[0], 0.5);
        assert_eq!(pick_channel(&input, 0, 0, &mut out[..2]), 2, "no channels reads as one");
    }

    #[test]
    fn every_format_has_silence_and_full_scale_where_it_should() {
        fn check<S: DeviceSample + PartialEq + std::fmt::Debug>(silence: S, lowest: S) {
            assert_eq!(silence.to_f32(), 0.0);
            assert_eq!(S::from_f32(0.0), silence);
            assert_eq!(lowest.to_f32(), -1.0);
            assert_eq!(S::from_f32(-1.0), lowest);
        }
        check(0.0f32, -1.0);
        check(0.0f64, -1.0);
        check(0i8, i8::MIN);
        check(0i16, i16::MIN);
        check(0i32, i32::MIN);
        check(128u8, 0);
        check(32_768u16, 0);
        check(1u32 << 31, 0);
        assert_eq!(i24_to_f32(-8_388_608), -1.0);
        assert_eq!(f32_to_i24(2.0), 8_388_607);
        assert_eq!(i16::from_f32(2.0), i16::MAX);
        assert_eq!(u16::from_f32(-2.0), 0);
        assert_eq!(f32::NAN.to_f32(), 0.0);
    }

    #[test]
    fn mono_goes_to_all_channels_and_the_rest_is_silence() {
        let mut out = [7i16; 7];
        spread_mono(&[0.5, -0.5], 3, &mut out);
        assert_eq!(out, [16_384, 16_384, 16_384, -16_384, -16_384, -16_384, 0]);
        let mut out = [9i32; 2];
        spread_mono_with(&[0.5], 2, &mut out, f32_to_i24);
        assert_eq!(out, [4_194_304; 2]);
    }
}
