//! A small reader of finished and of interrupted recordings, independent of the writer.
//!
//! Pure but for the reader that comes in as a parameter. Never panics on any bytes; memory stays
//! bounded (a few hundred KiB) whatever sizes the file claims, because tables are streamed.

mod fragments;
mod input;
mod tables;

use std::io::{Read, Seek};

use input::{BoxAt, Input, children, u16_at, u32_at, u64_at};

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
        let length = input.length();
        let mut movie: Option<Movie> = None;
        let mut fragments = 0;
        let mut whole_until = 0;
        let mut position = 0;
        let mut first = true;
        while let Some(found) = input.box_at(position, length)? {
            if first && &found.kind != b"ftyp" {
                return Err(ReadError::NotMp4("it does not begin with ftyp"));
            }
            first = false;
            match &found.kind {
                b"moov" if movie.is_none() && !found.cut => {
                    movie = Some(Movie::read(&mut input, found)?);
                }
                b"moof" if !found.cut => {
                    if let Some(movie) = &mut movie
                        && fragments::read(&mut input, found, movie)?
                    {
                        fragments += 1;
                    }
                }
                _ => {}
            }
            if found.cut || found.open {
                break;
            }
            position = found.end;
            whole_until = position;
        }
        let movie = movie.ok_or(ReadError::NotMp4("it has no whole moov"))?;
        Ok(Self {
            bytes: length,
            finalised: !movie.fragmented,
            fragments,
            whole_until,
            created_utc_seconds: movie.created,
            timecode: movie.timecode(&mut input)?,
            tracks: movie.tracks.into_iter().map(|t| t.summary).collect(),
        })
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
    fn read<R: Read + Seek>(input: &mut Input<'_, R>, moov: BoxAt) -> Result<Self, ReadError> {
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
                    if let Some(track) = tables::track(input, *part)? {
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

/// The RFC 6381 string of an `avc1` entry's `avcC`.
fn avc_codec(avcc: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = avcc else { return None };
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// The RFC 6381 string of an `mp4a` entry's `esds` (version and flags included).
fn aac_codec(esds: &[u8]) -> Option<String> {
    let mut rest = esds.get(4..)?;
    let es = descriptor(&mut rest, 0x03)?;
    let flags = *es.get(2)?;
    let mut skip = 3;
    if flags & 0x80 != 0 {
        skip += 2;
    }
    if flags & 0x40 != 0 {
        skip += 1 + usize::from(*es.get(skip)?);
    }
    if flags & 0x20 != 0 {
        skip += 2;
    }
    let mut rest = es.get(skip..)?;
    let decoder = descriptor(&mut rest, 0x04)?;
    let object_type = *decoder.first()?;
    if object_type != 0x40 {
        return Some(format!("mp4a.{object_type:02x}"));
    }
    let mut rest = decoder.get(13..)?;
    let asc = descriptor(&mut rest, 0x05)?;
    let first = u16_at(asc, 0)?;
    let audio_object = match first >> 11 {
        31 => 32 + (first >> 5 & 0x3F),
        short => short,
    };
    Some(format!("mp4a.40.{audio_object}"))
}

/// Takes a descriptor off `bytes` (ISO 14496-1, 8.3.3); `None` when it is another or cut.
fn descriptor<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (found, mut rest) = bytes.split_first()?;
    if *found != tag {
        return None;
    }
    let mut length = 0;
    for _ in 0..4 {
        let (byte, more) = rest.split_first()?;
        rest = more;
        length = length << 7 | usize::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            break;
        }
    }
    let content = rest.get(..length)?;
    *bytes = &rest[length..];
    Some(content)
}
