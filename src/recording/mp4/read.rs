//! A small reader of finished and of interrupted recordings, independent of the writer.
//!
//! Pure but for the reader that comes in as a parameter. Never panics on any bytes. A [`Summary`]
//! takes a few hundred KiB whatever sizes the file claims, because tables are streamed; an
//! [`Index`] some 32 bytes a sample that the file really has a table entry for.

mod fragments;
mod index;
mod input;
mod parameters;
mod samples;
mod tables;

use std::io::{Read, Seek};

pub use index::{Index, Tail};
use input::{BoxAt, Input, children, u32_at, u64_at};
pub use samples::SampleAt;

use super::Timecode;

/// Most tracks that are looked at.
const MOST_TRACKS: usize = 16;
/// Longest small box (headers, sample descriptions) that is loaded whole.
const SMALL_BOX: u64 = 64 * 1024;

/// Why a file could not be summarised.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system could not read it.
    #[error("the file could not be read: {0}; check the disk it is on")]
    Io(#[from] std::io::Error),
    /// There is no whole `ftyp` and `moov`.
    #[error("this is no MP4 file, or its beginning is missing: {0}")]
    NotMp4(&'static str),
}

/// What a track carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrackKind {
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Timecode.
    Timecode,
    /// Something else.
    Other,
}

/// One track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackSummary {
    /// `track_ID`.
    pub id: u32,
    /// What it carries.
    pub kind: TrackKind,
    /// RFC 6381 codec string: `avc1.640029`, `mp4a.40.2`; else the sample entry's type.
    pub codec: String,
    /// Media ticks per second.
    pub timescale: u32,
    /// Samples whose bytes are in the file.
    pub samples: u64,
    /// Of these, samples that decoding can begin at.
    pub sync_samples: u64,
    /// Sum of their durations, media ticks.
    pub duration: u64,
    /// Decode time of the first (in fragments; 0 in a finalised file), media ticks.
    pub first_time: u64,
    /// Sum of their sizes, bytes.
    pub bytes: u64,
    /// The duration that all samples have; `None` when they differ (no constant rate) or are none.
    pub constant_duration: Option<u32>,
    /// Media time at which the (last) edit begins; 0 without edit list.
    pub edit_start: i64,
    /// How long nothing is shown before it (empty edits), movie ticks; 0 in fragments, whose decode
    /// times say it themselves.
    pub edit_delay: u64,
    /// Width in pixels, video only.
    pub width: u16,
    /// Height in pixels, video only.
    pub height: u16,
    /// Channels, audio only.
    pub channels: u16,
    /// Samples per second, audio only.
    pub sample_rate: u32,
}

impl TrackSummary {
    /// The duration in seconds.
    pub fn seconds(&self) -> f64 {
        if self.timescale == 0 { 0.0 } else { self.duration as f64 / f64::from(self.timescale) }
    }
}

/// The timecode track's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimecodeSummary {
    /// Timecode of the first frame.
    pub start: Timecode,
    /// Frames per second.
    pub frames_per_second: u8,
    /// Whether frame numbers are dropped.
    pub drop_frame: bool,
}

/// What is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The file's length.
    pub bytes: u64,
    /// It has its final movie box and no fragments.
    pub finalised: bool,
    /// Whole fragments.
    pub fragments: u32,
    /// Where the last whole box (of those before any open or damaged one) ends.
    pub whole_until: u64,
    /// Creation time, seconds since 1970 UTC.
    pub created_utc_seconds: u64,
    /// The tracks, in file order.
    pub tracks: Vec<TrackSummary>,
    /// The start timecode.
    pub timecode: Option<TimecodeSummary>,
}

impl Summary {
    /// Reads a finished or interrupted file.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, ReadError> {
        let mut input = Input::new(reader)?;
        let walk = Walk::through(&mut input, false)?;
        walk.summary(&mut input)
    }

    /// The first track of a kind.
    pub fn track(&self, kind: TrackKind) -> Option<&TrackSummary> {
        self.tracks.iter().find(|t| t.kind == kind)
    }

    /// The picture.
    pub fn video(&self) -> Option<&TrackSummary> {
        self.track(TrackKind::Video)
    }

    /// The sound.
    pub fn audio(&self) -> Option<&TrackSummary> {
        self.track(TrackKind::Audio)
    }

    /// The longest track, in seconds.
    pub fn seconds(&self) -> f64 {
        self.tracks.iter().map(TrackSummary::seconds).fold(0.0, f64::max)
    }
}

/// Top-level boxes that are remembered: a finished file has three.
const MOST_BOXES: usize = 16;

/// What one way through the top-level boxes brings.
struct Walk {
    movie: Movie,
    fragments: u32,
    whole_until: u64,
    /// The first boxes.
    boxes: Vec<BoxAt>,
    /// The box that goes on to or beyond the file's end.
    last: Option<BoxAt>,
}

impl Walk {
    /// `collect`: keep every sample.
    fn through<R: Read + Seek>(input: &mut Input<'_, R>, collect: bool) -> Result<Self, ReadError> {
        let length = input.length();
        let mut movie: Option<Movie> = None;
        let (mut boxes, mut last) = (Vec::new(), None);
        let mut fragments = 0;
        let mut position = 0;
        while let Some(found) = input.box_at(position, length)? {
            if position == 0 && &found.kind != b"ftyp" {
                return Err(ReadError::NotMp4("it does not begin with ftyp"));
            }
            if boxes.len() < MOST_BOXES {
                boxes.push(found);
            }
            match &found.kind {
                b"moov" if movie.is_none() && !found.cut => {
                    movie = Some(Movie::read(input, found, collect)?);
                }
                b"moof" if !found.cut => {
                    if let Some(movie) = &mut movie
                        && fragments::read(input, found, movie)?
                    {
                        fragments += 1;
                    }
                }
                _ => {}
            }
            if found.cut || found.open {
                last = Some(found);
                break;
            }
            position = found.end;
        }
        let movie = movie.ok_or(ReadError::NotMp4("it has no whole moov"))?;
        Ok(Self { movie, fragments, whole_until: position, boxes, last })
    }

    fn summary<R: Read + Seek>(&self, input: &mut Input<'_, R>) -> Result<Summary, ReadError> {
        Ok(Summary {
            bytes: input.length(),
            finalised: !self.movie.fragmented,
            fragments: self.fragments,
            whole_until: self.whole_until,
            created_utc_seconds: self.movie.created,
            timecode: self.movie.timecode(input)?,
            tracks: self.movie.tracks.iter().map(|t| t.summary.clone()).collect(),
        })
    }
}

/// What `trex` says of a track's samples in fragments.
#[derive(Clone, Copy, Debug, Default)]
struct Defaults {
    duration: u32,
    size: u32,
    flags: u32,
}

#[derive(Debug)]
struct TrackState {
    summary: TrackSummary,
    defaults: Defaults,
    /// Where the first sample lies.
    first_sample: Option<u64>,
    /// Of a `tmcd` entry: frames per second and flags.
    timecode: Option<(u8, u32)>,
    rate: tables::Constant,
    /// Every sample, when they are asked for.
    samples: Option<Vec<SampleAt>>,
    /// Decode time of the next sample of a fragment.
    next_time: u64,
    /// What its tables say that cannot be.
    faults: Vec<String>,
    /// Contents of the sample entry's boxes that describe the codec, and of `btrt`.
    description: Vec<([u8; 4], Vec<u8>)>,
}

#[derive(Debug)]
struct Movie {
    created: u64,
    fragmented: bool,
    tracks: Vec<TrackState>,
}

/// Seconds from 1904 to 1970.
const EPOCH_1904: u64 = 2_082_844_800;

impl Movie {
    fn read<R: Read + Seek>(
        input: &mut Input<'_, R>,
        moov: BoxAt,
        collect: bool,
    ) -> Result<Self, ReadError> {
        let mut movie = Self { created: 0, fragmented: false, tracks: Vec::new() };
        let inside = children(input, moov.content, moov.end)?;
        for part in &inside {
            match &part.kind {
                b"mvhd" => {
                    let head = input.load(*part, SMALL_BOX)?;
                    let raw = match head.first() {
                        Some(1) => u64_at(&head, 4),
                        _ => u32_at(&head, 4).map(u64::from),
                    };
                    movie.created = raw.unwrap_or(0).saturating_sub(EPOCH_1904);
                }
                b"trak" if movie.tracks.len() < MOST_TRACKS => {
                    if let Some(track) = tables::track(input, *part, collect)? {
                        movie.tracks.push(track);
                    }
                }
                _ => {}
            }
        }
        for mvex in inside.iter().filter(|part| &part.kind == b"mvex") {
            movie.fragmented = true;
            for trex in children(input, mvex.content, mvex.end)? {
                if &trex.kind != b"trex" {
                    continue;
                }
                let b = input.load(trex, SMALL_BOX)?;
                let Some(id) = u32_at(&b, 4) else { continue };
                let defaults = Defaults {
                    duration: u32_at(&b, 12).unwrap_or(0),
                    size: u32_at(&b, 16).unwrap_or(0),
                    flags: u32_at(&b, 20).unwrap_or(0),
                };
                if let Some(track) = movie.track(id) {
                    track.defaults = defaults;
                }
            }
        }
        Ok(movie)
    }

    fn track(&mut self, id: u32) -> Option<&mut TrackState> {
        self.tracks.iter_mut().find(|t| t.summary.id == id)
    }

    fn timecode<R: Read + Seek>(
        &self,
        input: &mut Input<'_, R>,
    ) -> Result<Option<TimecodeSummary>, ReadError> {
        for track in &self.tracks {
            let (Some((fps, flags)), Some(at)) = (track.timecode, track.first_sample) else {
                continue;
            };
            let mut sample = [0; 4];
            if input.read_exact_at(at, &mut sample)? {
                return Ok(Some(TimecodeSummary {
                    start: Timecode { start_frame: u32::from_be_bytes(sample) },
                    frames_per_second: fps,
                    drop_frame: flags & 1 != 0,
                }));
            }
        }
        Ok(None)
    }
}
