//! The recording's sound in whichever format was chosen: samples in, packets of equal length out.
//!
//! Pure but for the encoders. One thread owns it.

use super::aac::{AacEncoder, AacError};
use super::flac::{FlacError, FlacTrack};
use super::mp4::{AudioCoding, AudioTrack};
use crate::units::SAMPLE_RATE;

/// Samples in one packet of either format (AAC-LC knows no other).
pub const PACKET_SAMPLES: u32 = 1_024;
/// What 24-bit FLAC of a voice takes about, bit/s; the file tells what it really took.
const FLAC_BITRATE: u32 = 700_000;

/// `--audio-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SoundFormat {
    /// AAC-LC, 192 kbit/s: what every editor reads.
    #[default]
    Aac,
    /// FLAC, 24 bit: not a bit is lost.
    Flac,
}

impl SoundFormat {
    /// As the metadata names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aac => "AAC-LC",
            Self::Flac => "FLAC",
        }
    }

    /// About how many bit/s it takes.
    pub fn bitrate(self) -> u32 {
        match self {
            Self::Aac => super::aac::BITRATE,
            Self::Flac => FLAC_BITRATE,
        }
    }
}

impl std::str::FromStr for SoundFormat {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        match s {
            "aac" => Ok(Self::Aac),
            "flac" => Ok(Self::Flac),
            _ => Err("not an audio format; try aac or flac".to_owned()),
        }
    }
}

/// One packet of [`PACKET_SAMPLES`] samples (the last may count for less).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoundPacket {
    /// Number in the file: it decodes to the samples from `index` x [`PACKET_SAMPLES`] on.
    pub index: u64,
    /// The bytes: a raw AAC packet without header, or a FLAC frame.
    pub data: Vec<u8>,
}

/// Why sound is not encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoundError {
    /// AAC.
    #[error(transparent)]
    Aac(#[from] AacError),
    /// FLAC.
    #[error(transparent)]
    Flac(#[from] FlacError),
}

/// An encoder of either format.
pub enum SoundEncoder {
    /// AAC-LC.
    Aac(AacEncoder),
    /// FLAC.
    Flac(FlacTrack),
}

impl SoundEncoder {
    /// Starts it; the next sample pushed is the file's first.
    pub fn new(format: SoundFormat) -> Result<Self, SoundError> {
        Ok(match format {
            SoundFormat::Aac => Self::Aac(AacEncoder::new()?),
            SoundFormat::Flac => Self::Flac(FlacTrack::new(SAMPLE_RATE)?),
        })
    }

    /// The track that its packets belong into.
    pub fn track(&mut self) -> AudioTrack {
        match self {
            Self::Aac(aac) => AudioTrack {
                coding: AudioCoding::Aac,
                configuration: aac.asc(),
                bitrate: super::aac::BITRATE,
                priming_samples: aac.priming_samples(),
                samples_per_packet: PACKET_SAMPLES,
            },
            Self::Flac(flac) => AudioTrack {
                coding: AudioCoding::Flac,
                configuration: flac.stream_info().to_vec(),
                bitrate: FLAC_BITRATE,
                priming_samples: 0,
                samples_per_packet: PACKET_SAMPLES,
            },
        }
    }

    /// Takes samples (1.0 is full scale; what is louder is clipped) and appends the packets that
    /// they complete.
    pub fn push(&mut self, pcm: &[f32], out: &mut Vec<SoundPacket>) -> Result<(), SoundError> {
        match self {
            Self::Aac(aac) => aac.push(pcm, out)?,
            Self::Flac(flac) => flac.push(pcm, out)?,
        }
        Ok(())
    }

    /// Ends a file of `total` samples: appends the packets that are missing to cover them, and
    /// takes back those in `out` that lie behind.
    pub fn finish(&mut self, total: u64, out: &mut Vec<SoundPacket>) -> Result<(), SoundError> {
        match self {
            Self::Aac(aac) => aac.finish(total, out)?,
            Self::Flac(flac) => flac.finish(total, out)?,
        }
        Ok(())
    }
}
