//! Opus decoding as the live stream needs it: one that can go back to before it made something up.
//!
//! libopus promises that a decoder's state is one block of memory which may be copied as it is
//! (opus.h, `opus_decoder_init`); the crate that wraps it does not offer that, so the few calls are
//! made here.

use std::ffi::c_int;

use opusic_sys as sys;

use super::codec::CodecError;
use crate::units::SAMPLE_RATE;

/// A live decoder. One per peer: concealment goes on from what that peer said last.
pub struct TalkDecoder {
    state: Box<[u64]>,
    kept: Box<[u64]>,
}

impl TalkDecoder {
    /// Makes a decoder, and all memory that it will ever use.
    pub fn new() -> Result<Self, CodecError> {
        // SAFETY: a pure function of its argument.
        let bytes = unsafe { sys::opus_decoder_get_size(1) };
        let Ok(bytes @ 1..) = usize::try_from(bytes) else {
            return Err(CodecError::Decoder(bytes));
        };
        let memory = || vec![0u64; bytes.div_ceil(size_of::<u64>())].into_boxed_slice();
        let mut decoder = Self { state: memory(), kept: memory() };
        // SAFETY: the block is as long as was asked for, and aligned for what is in it.
        let code = unsafe { sys::opus_decoder_init(decoder.pointer(), SAMPLE_RATE as i32, 1) };
        if code != sys::OPUS_OK {
            return Err(CodecError::Decoder(code));
        }
        decoder.keep();
        Ok(decoder)
    }

    fn pointer(&mut self) -> *mut sys::OpusDecoder {
        self.state.as_mut_ptr().cast()
    }

    /// Decodes one frame of exactly `out`'s length, 240 or 120 samples.
    pub fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), CodecError> {
        let samples = self.run(frame, out);
        match usize::try_from(samples) {
            Ok(samples) if samples == out.len() => Ok(()),
            Ok(other) => Err(CodecError::FrameLength(other)),
            Err(_) => Err(CodecError::Decode(samples)),
        }
    }

    /// Makes up 240 or 120 samples from what was decoded last; silence when the decoder cannot.
    pub fn conceal(&mut self, out: &mut [f32]) {
        if usize::try_from(self.run(&[], out)) != Ok(out.len()) {
            out.fill(0.0);
        }
    }

    /// Remembers what was decoded so far, for [`Self::go_back`]: a copy of some kilobytes.
    pub fn keep(&mut self) {
        self.kept.copy_from_slice(&self.state);
    }

    /// Forgets what came after [`Self::keep`], decoded or made up.
    pub fn go_back(&mut self) {
        self.state.copy_from_slice(&self.kept);
    }

    /// Forgets what was decoded, as after `new`.
    pub fn reset(&mut self) {
        // SAFETY: an initialised state; the request takes no argument. It cannot fail.
        unsafe { sys::opus_decoder_ctl(self.pointer(), sys::OPUS_RESET_STATE) };
    }

    /// Samples written, or libopus' error. No frame at all is one to be made up.
    fn run(&mut self, frame: &[u8], out: &mut [f32]) -> c_int {
        let data = if frame.is_empty() { std::ptr::null() } else { frame.as_ptr() };
        let length = i32::try_from(frame.len()).unwrap_or(i32::MAX);
        let room = c_int::try_from(out.len()).unwrap_or(c_int::MAX);
        // SAFETY: an initialised state; `length` bytes may be read and `room` samples be written.
        unsafe { sys::opus_decode_float(self.pointer(), data, length, out.as_mut_ptr(), room, 0) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::TalkEncoder;
    use super::*;

    fn frames(count: usize) -> Vec<Vec<u8>> {
        let mut encoder = TalkEncoder::new(32_000).unwrap();
        let mut frame = |n: usize| {
            let pcm: [f32; 240] = std::array::from_fn(|i| {
                let t = (n * 240 + i) as f32 / 48_000.0;
                (t * 300.0 * std::f32::consts::TAU).sin() * 0.3 * (1.0 + (t * 5.0).sin()) / 2.0
            });
            let mut out = [0; 128];
            let len = encoder.encode(&pcm, &mut out).unwrap();
            out[..len].to_vec()
        };
        (0..count).map(&mut frame).collect()
    }

    #[test]
    fn who_goes_back_decodes_as_if_nothing_had_been_made_up() {
        let said = frames(60);
        let (mut straight, mut bent) = (TalkDecoder::new().unwrap(), TalkDecoder::new().unwrap());
        for (n, frame) in said.iter().enumerate() {
            let (mut a, mut b) = ([0.0; 240], [0.0; 240]);
            straight.decode(frame, &mut a).unwrap();
            if n % 7 == 3 {
                bent.keep();
                bent.conceal(&mut b);
                assert_ne!(a, b);
                bent.go_back();
            }
            bent.decode(frame, &mut b).unwrap();
            assert_eq!(a, b, "frame {n}");
        }
    }

    #[test]
    fn a_decoder_that_is_reset_is_a_new_one() {
        let said = frames(10);
        let mut used = TalkDecoder::new().unwrap();
        let mut out = [0.0; 240];
        said.iter().for_each(|frame| used.decode(frame, &mut out).unwrap());
        used.reset();
        let mut fresh = TalkDecoder::new().unwrap();
        for frame in &said {
            let (mut a, mut b) = ([0.0; 240], [0.0; 240]);
            used.decode(frame, &mut a).unwrap();
            fresh.decode(frame, &mut b).unwrap();
            assert_eq!(a, b);
        }
    }

    #[test]
    fn bytes_that_are_no_frame_are_refused() {
        let mut decoder = TalkDecoder::new().unwrap();
        let mut out = [0.0; 240];
        // Two frames of 20 ms, and code 3 without a count.
        assert!(matches!(
            decoder.decode(&[0xD9, 1, 2, 3, 4], &mut out),
            Err(CodecError::Decode(_))
        ));
        assert!(matches!(decoder.decode(&[0xDB], &mut out), Err(CodecError::Decode(_))));
        decoder.conceal(&mut out);
        assert_eq!(out, [0.0; 240], "nothing was said yet");
    }
}
