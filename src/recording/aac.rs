//! AAC-LC for the recording: 48 kHz mono, 192 kbit/s constant (PRD 4.3.2), by fdk-aac.
//!
//! The encoder's delay is taken out here, so that packet n of the file decodes to samples
//! 1024 n to 1024 n + 1023 even for readers that ignore edit lists. One thread owns it.

use fdk_aac::enc::{AudioObjectType, BitRate, ChannelMode, Encoder, EncoderParams, Transport};

use super::sound::{PACKET_SAMPLES as FRAME_SAMPLES, SoundPacket};
use crate::units::SAMPLE_RATE;

/// Constant bitrate in bit/s (PRD 4.3.2).
pub const BITRATE: u32 = 192_000;

/// What lies between a sample going in and coming out of a decoder, as fdk-aac tells (nDelay)
/// and as measured; checked when the encoder opens.
const DELAY_SAMPLES: u32 = 2_048;

/// Silence encoded before the first sample: two packets in which only silence meets the
/// encoder's own start (its psychoacoustics and bit reservoir).
const PRE_ROLL_SAMPLES: u32 = 2 * FRAME_SAMPLES;

/// Packets that are left out: after them, decoded time begins with the file's first sample.
const LEFT_OUT: u64 = ((DELAY_SAMPLES + PRE_ROLL_SAMPLES) / FRAME_SAMPLES) as u64;

/// Where the dither's generator starts; any odd number would do. Fixed, so that the same input
/// gives the same file.
const DITHER_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// Why sound is not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AacError {
    /// fdk-aac did not start.
    #[error("the AAC encoder did not start: {0}; try again, or report it")]
    Start(String),
    /// Its delay is not the one that this code takes out.
    #[error("the AAC encoder's delay is {0} samples instead of 2048; build with the bundled one")]
    Delay(u32),
    /// It refused samples.
    #[error("the AAC encoder failed: {0}; what was recorded so far stays valid")]
    Encode(String),
}

/// See the module.
pub struct AacEncoder {
    encoder: Encoder,
    asc: Vec<u8>,
    /// Dithered samples that do not fill a packet yet.
    waiting: Vec<i16>,
    /// Room for one packet.
    packet: Vec<u8>,
    /// Packets that came out, those left out included.
    made: u64,
    dither: Dither,
}

impl AacEncoder {
    /// Starts the encoder; the next sample pushed is the file's first.
    pub fn new() -> Result<Self, AacError> {
        let start = |e: fdk_aac::enc::EncoderError| AacError::Start(e.to_string());
        let encoder = Encoder::new(EncoderParams {
            bit_rate: BitRate::Cbr(BITRATE),
            sample_rate: SAMPLE_RATE,
            transport: Transport::Raw,
            channels: ChannelMode::Mono,
            audio_object_type: AudioObjectType::Mpeg4LowComplexity,
        })
        .map_err(start)?;
        let info = encoder.info().map_err(start)?;
        if info.nDelay != DELAY_SAMPLES || info.frameLength != FRAME_SAMPLES {
            return Err(AacError::Delay(info.nDelay));
        }
        let asc = info.confBuf[..(info.confSize as usize).min(info.confBuf.len())].to_vec();
        Ok(Self {
            encoder,
            asc,
            waiting: vec![0; PRE_ROLL_SAMPLES as usize],
            packet: vec![0; info.maxOutBufBytes as usize],
            made: 0,
            dither: Dither(DITHER_SEED),
        })
    }

    /// AudioSpecificConfig (ISO 14496-3, 1.6.2.1), for the file's `esds`.
    pub fn asc(&self) -> Vec<u8> {
        self.asc.clone()
    }

    /// Samples of the decoded file that come before its first one, for an edit list: none.
    pub fn priming_samples(&self) -> u32 {
        0
    }

    /// Takes samples (1.0 is full scale; what is louder is clipped) and appends the packets that
    /// they complete.
    pub fn push(&mut self, pcm: &[f32], out: &mut Vec<SoundPacket>) -> Result<(), AacError> {
        self.waiting.reserve(pcm.len());
        for &sample in pcm {
            let sample = self.dither.quantise(sample);
            self.waiting.push(sample);
        }
        let frame = FRAME_SAMPLES as usize;
        let whole = self.waiting.len() / frame * frame;
        let result = (0..whole).step_by(frame).try_for_each(|at| self.encode_frame(at, out));
        self.waiting.drain(..whole);
        result
    }

    /// Ends a file of `total_samples`: appends the packets that are missing to cover them, and
    /// takes back those in `out` that lie behind.
    pub fn finish(
        &mut self,
        total_samples: u64,
        out: &mut Vec<SoundPacket>,
    ) -> Result<(), AacError> {
        let packets = total_samples.div_ceil(u64::from(FRAME_SAMPLES));
        while self.made < LEFT_OUT + packets {
            let frame = FRAME_SAMPLES as usize;
            let missing = frame - self.waiting.len() % frame;
            self.push(&vec![0.0; missing], out)?;
        }
        out.retain(|packet| packet.index < packets);
        Ok(())
    }

    fn encode_frame(&mut self, at: usize, out: &mut Vec<SoundPacket>) -> Result<(), AacError> {
        let input = &self.waiting[at..at + FRAME_SAMPLES as usize];
        let encoded = self
            .encoder
            .encode(input, &mut self.packet)
            .map_err(|e| AacError::Encode(e.to_string()))?;
        if encoded.input_consumed != input.len() || encoded.output_size == 0 {
            return Err(AacError::Encode("it did not make one packet of one frame".into()));
        }
        if let Some(index) = self.made.checked_sub(LEFT_OUT) {
            let data = self.packet[..encoded.output_size].to_vec();
            out.push(SoundPacket { index, data });
        }
        self.made += 1;
        Ok(())
    }
}

/// Triangular dither of one step to either side: quantisation to 16 bits becomes plain noise at
/// -93 dBFS instead of distortion.
struct Dither(u64);

impl Dither {
    /// Uniform in -0.5 to 0.5 (xorshift64*).
    fn uniform(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let top = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40;
        top as f32 / (1u32 << 24) as f32 - 0.5
    }

    fn quantise(&mut self, sample: f32) -> i16 {
        // What is muted is silence in the file: exact zeros stay exact.
        if sample == 0.0 {
            return 0;
        }
        let dithered = sample * 32_768.0 + self.uniform() + self.uniform();
        // A cast of a float saturates, and makes 0 of what is not a number.
        dithered.round() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_aac_lc_48_khz_mono() {
        let encoder = AacEncoder::new().expect("fdk-aac is bundled");
        // ISO 14496-3: 00010 (LC), 0011 (48,000), 0001 (one channel), 000.
        assert_eq!(encoder.asc(), [0b0001_0001, 0b1000_1000]);
        assert_eq!(encoder.priming_samples(), 0);
    }

    #[test]
    fn a_file_gets_exactly_the_packets_that_cover_it_whatever_the_blocks() {
        let make = |block: usize, pushed: usize, total: u64| {
            let mut encoder = AacEncoder::new().expect("fdk-aac is bundled");
            let sound: Vec<f32> = (0..pushed).map(|i| (i as f32 * 0.05).sin() * 0.5).collect();
            let mut packets = Vec::new();
            for samples in sound.chunks(block) {
                encoder.push(samples, &mut packets).expect("encodes");
            }
            encoder.finish(total, &mut packets).expect("ends");
            packets
        };
        let packets = make(240, 48_000, 48_000);
        assert_eq!(packets.len(), 47);
        assert!(packets.iter().enumerate().all(|(i, p)| p.index == i as u64));
        assert_eq!(packets, make(48_000, 48_000, 48_000), "blocks do not matter");
        assert_eq!(make(100, 0, 0).len(), 0);
        assert_eq!(make(100, 100, 1_024).len(), 1);
        assert_eq!(make(100, 100, 1_025).len(), 2);
        assert_eq!(make(480, 48_000, 10_240).len(), 10, "what lies behind the end is left out");
        let bytes: usize = make(480, 480_000, 480_000).iter().map(|p| p.data.len()).sum();
        let kbps = bytes as f64 * 8.0 / 10.0 / 1_000.0;
        assert!((188.0..196.0).contains(&kbps), "{kbps} kbit/s");
    }

    #[test]
    fn it_may_move_to_the_thread_that_records() {
        fn moves<T: Send>() {}
        moves::<AacEncoder>();
    }

    #[test]
    fn dither_keeps_silence_silent_and_the_mean_true() {
        let mut dither = Dither(DITHER_SEED);
        assert!((0..1_000).all(|_| dither.quantise(0.0) == 0));
        let n = 100_000;
        let sum: i64 = (0..n).map(|_| i64::from(dither.quantise(0.3 / 32_768.0))).sum();
        let mean = sum as f64 / f64::from(n);
        assert!((mean - 0.3).abs() < 0.02, "{mean}");
        assert_eq!(dither.quantise(3.0), i16::MAX);
        assert_eq!(dither.quantise(-3.0), i16::MIN);
        assert_eq!(dither.quantise(f32::NAN), 0);
    }
}
