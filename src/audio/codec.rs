//! Opus as the live stream uses it (PRD 4.2.1): 48 kHz mono, 5 ms, RESTRICTED_LOWDELAY, CBR.
//!
//! The encoder belongs to the talk thread, a decoder ([`super::decoder`]) to the speaker callback.
//! Neither allocates after `new`: libopus keeps its scratch memory on the stack.

use opus::{Application, Bitrate, Channels, Encoder};

use crate::units::SAMPLE_RATE;

/// Samples of one frame: 5 ms at 48 kHz.
pub const FRAME: usize = 240;
/// Samples of a 2.5 ms frame, which the encoder takes as well.
pub const HALF_FRAME: usize = 120;
/// Duration of [`FRAME`], in microseconds.
pub const FRAME_MICROS: i64 = 5_000;
/// Samples by which a decoded signal lags behind the captured one: RESTRICTED_LOWDELAY looks ahead
/// 2.5 ms (measured; VOIP and AUDIO 6.5 ms).
pub const LOOK_AHEAD: usize = 120;

/// How long the live frames of a stream are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FrameLength {
    /// 5 ms.
    #[default]
    Full,
    /// 2.5 ms: 2.5 ms sooner, for twice the headers and at least 80 kbit/s.
    Half,
}

impl FrameLength {
    /// Samples at 48 kHz.
    pub const fn samples(self) -> usize {
        match self {
            Self::Full => FRAME,
            Self::Half => HALF_FRAME,
        }
    }

    /// Duration, microseconds.
    pub const fn micros(self) -> i64 {
        match self {
            Self::Full => FRAME_MICROS,
            Self::Half => FRAME_MICROS / 2,
        }
    }
}

/// The codec refused something.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The encoder or decoder could not be made or set up.
    #[error("cannot set up Opus: {0}; reinstall the program, its libopus is not the expected one")]
    Setup(#[source] opus::Error),
    /// As above, by libopus' own number.
    #[error(
        "cannot set up Opus (its error {0}); reinstall the program, its libopus is not the expected one"
    )]
    Decoder(i32),
    /// The bitrate is outside of what Opus can do at 5 ms.
    #[error("{0} bit/s is no live audio bitrate; use 6000 to 204800")]
    Bitrate(i32),
    /// A frame is neither 240 nor 120 samples long.
    #[error("a frame of {0} samples cannot be encoded; frames are 240 or 120 samples")]
    FrameLength(usize),
    /// Encoding failed: the output buffer is too small for the bitrate.
    #[error("Opus could not encode a frame: {0}; give it a larger output buffer")]
    Encode(#[source] opus::Error),
    /// Bytes that are not one frame of the expected length.
    #[error("Opus could not decode a frame (its error {0}); conceal it")]
    Decode(i32),
}

/// Longest Opus packet of a frame of silence: its first byte alone, or with an empty length.
const SILENCE_BYTES: usize = 2;

/// So many frames after silence stand for themselves, so that one of them may be lost.
const FRAMES_APART: u8 = 4;

/// The live encoder. One per program: all peers get the same frames.
pub struct TalkEncoder {
    inner: Encoder,
    quiet: Option<Quiet>,
    /// Frames that are still to be encoded without looking back.
    apart: u8,
}

impl TalkEncoder {
    /// Makes an encoder with a constant bitrate in bit/s (PRD: 24,000 to 32,000).
    pub fn new(bitrate_bps: i32) -> Result<Self, CodecError> {
        let mut inner = Encoder::new(SAMPLE_RATE, Channels::Mono, Application::LowDelay)
            .map_err(CodecError::Setup)?;
        inner.set_vbr(false).map_err(CodecError::Setup)?;
        // 5 and 10 sound alike (PESQ 3.96, 3.94) and cost 25 us a frame; DTX engages at 10 only.
        inner.set_complexity(10).map_err(CodecError::Setup)?;
        // In-band FEC is not asked for: below 10 ms frames libopus never writes any (measured).
        let mut encoder = Self { inner, quiet: None, apart: 0 };
        encoder.set_bitrate(bitrate_bps)?;
        Ok(encoder)
    }

    /// The same with discontinuous transmission (PRD 4.2.1): after 0.2 s of silence frames come
    /// out as 1 byte, for which [`Self::is_silence`] is true.
    pub fn with_dtx(bitrate_bps: i32) -> Result<Self, CodecError> {
        let mut encoder = Self::new(bitrate_bps)?;
        encoder.inner.set_dtx(true).map_err(CodecError::Setup)?;
        encoder.quiet = Some(Quiet::new());
        Ok(encoder)
    }

    /// Whether an encoded frame says nothing but that there is silence.
    pub fn is_silence(encoded: &[u8]) -> bool {
        encoded.len() <= SILENCE_BYTES
    }

    /// Changes the constant bitrate, in bit/s, from the next frame on.
    pub fn set_bitrate(&mut self, bitrate_bps: i32) -> Result<(), CodecError> {
        // The upper end is what a packet's frame holds, the lower what libopus takes.
        if !(6_000..=204_800).contains(&bitrate_bps) {
            return Err(CodecError::Bitrate(bitrate_bps));
        }
        self.inner.set_bitrate(Bitrate::Bits(bitrate_bps)).map_err(CodecError::Setup)
    }

    /// Encodes 240 (or 120) samples; returns the number of bytes written to `out`.
    pub fn encode(&mut self, pcm: &[f32], out: &mut [u8]) -> Result<usize, CodecError> {
        if pcm.len() != FRAME && pcm.len() != HALF_FRAME {
            return Err(CodecError::FrameLength(pcm.len()));
        }
        if let Some(quiet) = &mut self.quiet {
            let allowed = quiet.push(pcm);
            if allowed != quiet.allowed {
                quiet.allowed = allowed;
                // Opus listens for 20 ms before it calls a soft onset speech; that would cut it.
                let _ = self.inner.set_dtx(allowed);
            }
        }
        let len = self.inner.encode_float(pcm, out).map_err(CodecError::Encode)?;
        if self.quiet.is_some() {
            self.stand_apart(Self::is_silence(&out[..len]));
        }
        Ok(len)
    }

    /// The decoder does not follow through silence: what comes after it must not be said as a
    /// difference to frames that were kept back, or it is too soft for half a second (measured:
    /// 20 dB at first).
    fn stand_apart(&mut self, silent: bool) {
        let before = self.apart;
        self.apart = if silent { FRAMES_APART } else { before.saturating_sub(1) };
        if (before > 0) != (self.apart > 0) {
            let _ = self.inner.set_prediction_disabled(self.apart > 0);
        }
    }
}

/// Says when a frame stands out of the room's noise, so that no onset is taken for silence.
struct Quiet {
    /// Mean square of the noise: falls at once, rises by 3 dB a second.
    floor: f32,
    allowed: bool,
}

impl Quiet {
    /// So far above the noise a frame is no silence: 6 dB.
    const ABOVE: f32 = 4.0;
    /// Below this nobody hears anything: -70 dBFS.
    const INAUDIBLE: f32 = 1e-7;
    /// How much the floor rises in a sample: 3 dB in a second.
    const RISE: f32 = 1.0 + 0.693 / 48_000.0;

    fn new() -> Self {
        Self { floor: Self::INAUDIBLE, allowed: true }
    }

    /// Whether this frame may be silence.
    fn push(&mut self, pcm: &[f32]) -> bool {
        let power = pcm.iter().map(|s| s * s).sum::<f32>() / pcm.len() as f32;
        let allowed = power <= self.floor.max(Self::INAUDIBLE) * Self::ABOVE;
        let risen = self.floor * (1.0 + (Self::RISE - 1.0) * pcm.len() as f32);
        self.floor = if power.is_finite() { risen.min(power).max(Self::INAUDIBLE) } else { risen };
        allowed
    }
}

/// Samples at 48 kHz that an Opus packet holds, by its own first bytes (RFC 6716, 3.1); `None` when
/// it is none.
pub fn packet_samples(packet: &[u8]) -> Option<usize> {
    opus::packet::get_nb_samples(packet, SAMPLE_RATE).ok().filter(|samples| *samples > 0)
}

#[cfg(test)]
mod tests {
    use super::super::TalkDecoder;
    use super::*;

    #[test]
    fn constant_bitrate_gives_frames_of_one_size() {
        for (bitrate, bytes) in [(24_000, 15), (32_000, 20), (64_000, 40), (96_000, 60)] {
            let mut encoder = TalkEncoder::new(bitrate).unwrap();
            let mut out = [0; 256];
            for frame in 0..20 {
                let pcm: [f32; FRAME] =
                    std::array::from_fn(|i| ((frame * FRAME + i) as f32 * 0.05).sin() * 0.2);
                assert_eq!(encoder.encode(&pcm, &mut out).unwrap(), bytes);
            }
        }
    }

    #[test]
    fn the_decoded_signal_lags_by_the_look_ahead() {
        let mut encoder = TalkEncoder::new(96_000).unwrap();
        let mut decoder = TalkDecoder::new().unwrap();
        let click_at = 10 * FRAME + 60;
        let mut heard = Vec::new();
        for frame in 0..20 {
            let mut pcm = [0.0; FRAME];
            if frame == 10 {
                pcm[60] = 0.9;
            }
            let mut bytes = [0; 128];
            let len = encoder.encode(&pcm, &mut bytes).unwrap();
            let mut out = [0.0; FRAME];
            decoder.decode(&bytes[..len], &mut out).unwrap();
            heard.extend_from_slice(&out);
        }
        let (peak, _) =
            heard.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
        assert!((peak as i64 - (click_at + LOOK_AHEAD) as i64).abs() <= 2, "{peak}");
    }

    #[test]
    fn a_wrong_bitrate_length_or_frame_is_an_error() {
        assert!(matches!(TalkEncoder::new(0), Err(CodecError::Bitrate(0))));
        let mut encoder = TalkEncoder::new(32_000).unwrap();
        assert!(matches!(
            encoder.encode(&[0.0; 100], &mut [0; 99]),
            Err(CodecError::FrameLength(100))
        ));
        let mut decoder = TalkDecoder::new().unwrap();
        let mut out = [0.0; FRAME];
        // Two frames of 20 ms in one packet (code 1) are not ours.
        assert!(decoder.decode(&[0xD9, 1, 2, 3, 4], &mut out).is_err());
    }
}
