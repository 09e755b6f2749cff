//! The recording's container: an MP4 file that is whole at every instant (PRD 4.3.3).
//!
//! ```text
//! while recording   ftyp | free(16) | moov (init) | moof free mdat | moof free mdat | free (open)
//! after the end     ftyp | mdat ................................................... | moov (final)
//! ```
//!
//! A fragment holds a third of a second (of live sound alone, a second). The **open fragment** is a `free` box of size 0, which reaches to the end of the file: a slot
//! for the coming `moof`, then each sample as it is encoded. Committing writes the `moof`'s body,
//! a `free` filler and the `mdat` header behind the slot's first 8 bytes, syncs, and then sets
//! size and type with ONE aligned 8-byte write. A `moof`'s size is a multiple of 256, so that
//! this write may even be torn at any byte: the sizes in between are 0 or the whole.
//!
//! **The end** hides the final `moov` in the open `free`, syncs, reads it back and compares. Then
//! one aligned 16-byte write turns `free(16)` into an `mdat` with a 64-bit size that swallows all
//! up to the final `moov`. No media byte moves. The large size was put into the `free`'s content
//! before, so this write may be torn as well.
//!
//! **Space** is asked for ahead, and given back at the end. **The journal** beside the file (see
//! [`crate::recording::journal`]) tells of each sample in the open fragment.
//!
//! Pure: the file is a [`RecordingFile`] that the caller brings, time comes in as parameters.

mod boxes;
mod entries;
mod finish;
mod fragment;
mod interrupted;
mod memory;
mod moov;
mod read;
mod sps;
mod tables;
mod writer;

use std::io;

use serde::{Deserialize, Serialize};

pub use finish::beginning;
pub use fragment::Track;
pub use interrupted::Salvage;
pub use memory::{MemoryFile, Operation};
pub use read::{
    Index, ReadError, SampleAt, Summary, Tail, TimecodeSummary, TrackKind, TrackSummary,
};
pub use writer::{Counts, Finished, Mp4Writer, Placed};

use crate::units::{RECORDING_FPS, SAMPLE_RATE, SAMPLES_PER_FRAME};

/// Ticks per second of the video and timecode tracks. A frame is exactly 1,000 ticks; 30,000
/// rather than 30, so that tools that round to 1/1000 frames keep "30.000, constant".
pub const VIDEO_TIMESCALE: u32 = RECORDING_FPS * FRAME_TICKS;
/// Ticks of one frame.
pub const FRAME_TICKS: u32 = 1_000;
/// Ticks per second of the audio track: samples.
pub const AUDIO_TIMESCALE: u32 = SAMPLE_RATE;
/// Ticks per second of the movie: in 1/48,000 s both a frame (1,600) and a sample (1) are whole.
pub const MOVIE_TIMESCALE: u32 = SAMPLE_RATE;

/// Movie ticks of one frame.
const MOVIE_TICKS_PER_FRAME: u64 = SAMPLES_PER_FRAME as u64;

/// Track ids, fixed whether or not a track is there.
const VIDEO_ID: u32 = 1;
const AUDIO_ID: u32 = 2;
const TIMECODE_ID: u32 = 3;

/// Frames in 24 hours of 30 fps non-drop timecode.
pub const FRAMES_PER_DAY: u32 = 24 * 60 * 60 * RECORDING_FPS;

/// The file under the writer. Offsets are bytes from its start.
///
/// Writes may reach the disk in any order until `sync` returns; the writer orders what must be
/// ordered by syncing in between. Where nobody has to wait for that, it uses [`Self::order`] and
/// [`Self::write_ordered`], which a file may do later, on a thread of its own.
pub trait RecordingFile {
    /// Writes all of `data` at `offset`, growing the file as needed.
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()>;
    /// Returns when everything written, also what was ordered, is on the disk (fdatasync).
    fn sync(&mut self) -> io::Result<()>;
    /// What was written before this call is on the disk before anything that
    /// [`Self::write_ordered`] writes after it. An error may be one of an earlier order.
    fn order(&mut self) -> io::Result<()> {
        self.sync()
    }
    /// Writes `data` at `offset`, as soon as what was ordered before it has come about.
    fn write_ordered(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_at(offset, data)
    }
    /// Asks the disk for space up to `until` without making the file longer. Only a wish: a file
    /// that knows no such thing does nothing. [`Self::set_len`] gives back what is not needed.
    fn reserve(&mut self, until: u64) -> io::Result<()> {
        let _ = until;
        Ok(())
    }
    /// Fills `buffer` from `offset`; an error when the file is shorter.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&mut self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&mut self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file, or extends it with zeros; space reserved behind the length is given back.
    fn set_len(&mut self, length: u64) -> io::Result<()>;
}

impl<F: RecordingFile + ?Sized> RecordingFile for Box<F> {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
    fn order(&mut self) -> io::Result<()> {
        (**self).order()
    }
    fn write_ordered(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_ordered(offset, data)
    }
    fn reserve(&mut self, until: u64) -> io::Result<()> {
        (**self).reserve(until)
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
    fn len(&mut self) -> io::Result<u64> {
        (**self).len()
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        (**self).set_len(length)
    }
}

/// What the file will hold, told before its first sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovieParameters {
    /// The picture; `None` for a recording without a camera.
    pub video: Option<VideoTrack>,
    /// The sound; `None` for a recording without a microphone.
    pub audio: Option<AudioTrack>,
    /// Time of day at the first frame.
    pub timecode: Timecode,
    /// Creation time, seconds since 1970 UTC.
    pub created_utc_seconds: u64,
}

impl MovieParameters {
    /// Whether a file can be made of them.
    pub fn check(&self) -> Result<()> {
        if self.video.is_none() && self.audio.is_none() {
            return Err(Mp4Error::Parameters("a file needs a picture or sound"));
        }
        if let Some(video) = &self.video {
            entries::check_parameter_sets(video)?;
        }
        self.audio.as_ref().map_or(Ok(()), entries::check_audio)
    }
}

/// An H.264 track at 30 fps (PRD 4.3.1), BT.709 limited range, square pixels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoTrack {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Sequence parameter set: the NAL unit without start code or length.
    pub sps: Vec<u8>,
    /// Picture parameter set, likewise.
    pub pps: Vec<u8>,
    /// Bitrate aimed at, bit/s; the final `moov` tells the measured one.
    pub bitrate: u32,
}

/// How a track's sound is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AudioCoding {
    /// AAC-LC: `mp4a` with `esds` (ISO 14496-14).
    Aac,
    /// FLAC, 24 bit: `fLaC` with `dfLa` (Encapsulation of FLAC in ISO Base Media File Format).
    Flac,
    /// Opus: `Opus` with `dOps` (Encapsulation of Opus in ISO Base Media File Format). Its packets
    /// need not follow each other without a gap.
    Opus,
}

impl AudioCoding {
    /// How many packets before one decoding has to begin, for the roll group (ISO 14496-12, 10.1):
    /// AAC needs the one before, Opus 80 ms of them (the encapsulation, 4.3.6.2).
    fn roll(self, samples_per_packet: u32) -> Option<u16> {
        const OPUS_PRE_ROLL: u32 = AUDIO_TIMESCALE / 1_000 * 80;
        match self {
            Self::Aac => Some(1),
            Self::Flac => None,
            Self::Opus => u16::try_from(OPUS_PRE_ROLL.div_ceil(samples_per_packet.max(1))).ok(),
        }
    }
}

/// A mono track at 48 kHz (PRD 4.3.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioTrack {
    /// Which coding.
    pub coding: AudioCoding,
    /// AudioSpecificConfig (ISO 14496-3, 1.6.2.1) of AAC, the 34 bytes of STREAMINFO (RFC 9639,
    /// 8.2) of FLAC, as the encoder gives it; `dOps`' 11 bytes of Opus (see [`AudioTrack::opus`]).
    pub configuration: Vec<u8>,
    /// Bitrate, bit/s.
    pub bitrate: u32,
    /// Samples before file time 0 in the first packets, hidden by an edit list when not 0.
    pub priming_samples: u32,
    /// Samples in an ordinary packet.
    pub samples_per_packet: u32,
}

impl AudioTrack {
    /// A mono Opus track at 48 kHz whose decoder's first `pre_skip` samples belong before the first
    /// packet's instant.
    pub fn opus(pre_skip: u16, bitrate: u32, samples_per_packet: u32) -> Self {
        // Version, channels, PreSkip, InputSampleRate, OutputGain (Q7.8 dB), ChannelMappingFamily
        // (the encapsulation, 4.3.2).
        let mut dops = vec![0, 1];
        dops.extend_from_slice(&pre_skip.to_be_bytes());
        dops.extend_from_slice(&SAMPLE_RATE.to_be_bytes());
        dops.extend_from_slice(&[0, 0, 0]);
        Self {
            coding: AudioCoding::Opus,
            configuration: dops,
            bitrate,
            priming_samples: pre_skip.into(),
            samples_per_packet,
        }
    }
}

/// SMPTE timecode, 30 fps non-drop, wrapping at 24 hours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timecode {
    /// The first frame's number since midnight, at 30 frames a second.
    pub start_frame: u32,
}

impl Timecode {
    /// The timecode that many frames after `self`.
    pub fn plus(self, frames: u64) -> Self {
        let day = u64::from(FRAMES_PER_DAY);
        let sum = (u64::from(self.start_frame) % day + frames % day) % day;
        Self { start_frame: u32::try_from(sum).expect("less than a day's frames") }
    }
}

impl std::fmt::Display for Timecode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let frames = self.start_frame % FRAMES_PER_DAY;
        let seconds = frames / RECORDING_FPS;
        write!(
            f,
            "{:02}:{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            frames % RECORDING_FPS
        )
    }
}

/// What can go wrong while writing. After any of them everything committed is still valid, and
/// [`Mp4Writer::finalise`] may be tried (again).
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// The disk or quota is full.
    #[error(
        "no space left while {doing}; what was recorded so far is safe: free space on the disk"
    )]
    NoSpace {
        /// What was being written.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The file could not be written, synced or read back.
    #[error("{doing} failed: {source}; check the disk that holds the recording")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// What was written for the end did not read back the same; the file was left fragmented.
    #[error(
        "the final index did not read back as written; the file was left as it is and plays: check the disk"
    )]
    ReadBack,
    /// The caller's parameters cannot make a file.
    #[error("cannot record: {0}")]
    Parameters(&'static str),
    /// A sample that does not belong here.
    #[error("sample refused: {0}")]
    Sample(&'static str),
}

impl Mp4Error {
    /// Whether the disk (or quota) is full, so that a later try may succeed.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }

    fn io(doing: &'static str, source: io::Error) -> Self {
        let full = matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        );
        if full { Self::NoSpace { doing, source } } else { Self::Io { doing, source } }
    }
}

/// `Result` of the writer.
pub type Result<T, E = Mp4Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timecode_counts_frames_since_midnight_and_wraps() {
        let start = Timecode { start_frame: ((23 * 60 + 59) * 60 + 59) * 30 + 29 };
        assert_eq!(start.to_string(), "23:59:59:29");
        assert_eq!(start.plus(1).to_string(), "00:00:00:00");
        assert_eq!(start.plus(u64::from(FRAMES_PER_DAY)).to_string(), "23:59:59:29");
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        let full = Mp4Error::io("writing a sample", io::ErrorKind::StorageFull.into());
        assert!(full.is_no_space());
        assert!(!Mp4Error::io("writing a sample", io::ErrorKind::Other.into()).is_no_space());
    }
}
