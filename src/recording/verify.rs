//! Checking a recording: everything that an editor relies on, against the file itself and against
//! the metadata beside it. Nothing is changed.
//!
//! Pure: the file comes in as a parameter and is read once through, a sample at a time.

mod tones;
mod track;

use std::fmt::Write as _;
use std::io::{Read, Seek};

use super::media::{MediaHash, Nals, Progress, hex, nals, walk};
use super::metadata::{FileEntry, Metadata, SafetyTrack, Tone};
use super::mp4::{
    FRAME_TICKS, Index, ReadError, SampleAt, Summary, Tail, Track, TrackKind, TrackSummary,
    VIDEO_TIMESCALE,
};
use super::render::packets;
use crate::audio::codec::packet_samples;
use crate::units::{RECORDING_FPS, SAMPLE_RATE, SAMPLES_PER_FRAME};

/// Sound and picture of a file that was ended end together, to a frame.
const LENGTHS_APART: u64 = SAMPLES_PER_FRAME as u64;
/// In a recovered one as far apart as the picture runs behind the sound, samples: the grid's half
/// second, and what a loaded machine takes to encode.
const LENGTHS_APART_RECOVERED: u64 = 3 * SAMPLE_RATE as u64;
/// Frames from one picture that decoding can begin at to the next (PRD 4.3.1).
const GOP: usize = RECORDING_FPS as usize;

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// There is nothing to check it against.
    Skipped,
}

/// The names that checks have: `hyperzoom explain` tells of each.
pub const CHECKS: [&str; 12] = [
    "boxes", "index", "rate", "gaps", "lengths", "edits", "timecode", "pictures", "packets",
    "metadata", "tones", "hash",
];

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What, in a word.
    pub name: &'static str,
    /// What was found.
    pub verdict: Verdict,
    /// The figures, or what is wrong.
    pub detail: String,
}

/// Everything that was checked, in order.
#[derive(Clone, Debug)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// What is in the file.
    pub summary: Summary,
    /// BLAKE2s-256 of the media.
    pub media_hash: [u8; 32],
}

impl Report {
    /// Nothing fails.
    pub fn holds(&self) -> bool {
        self.checks.iter().all(|check| check.verdict != Verdict::Fails)
    }

    fn add(&mut self, name: &'static str, faults: Vec<String>, detail: String) {
        debug_assert!(CHECKS.contains(&name), "{name} is not in the list");
        let (verdict, detail) = match faults.is_empty() {
            true => (Verdict::Holds, detail),
            false => (Verdict::Fails, faults.join("; ")),
        };
        self.checks.push(Check { name, verdict, detail });
    }

    fn skip(&mut self, name: &'static str, why: &str) {
        debug_assert!(CHECKS.contains(&name), "{name} is not in the list");
        self.checks.push(Check { name, verdict: Verdict::Skipped, detail: why.to_owned() });
    }
}

/// Checks a file. `name` is its name in the session's folder, `metadata` what stands there.
pub fn verify<R: Read + Seek>(
    reader: &mut R,
    name: &str,
    metadata: Option<&Metadata>,
    progress: Progress<'_>,
) -> Result<Report, ReadError> {
    let index = Index::read(reader)?;
    let mut all = in_file_order(&index);
    all.sort_by_key(|(_, sample)| sample.offset);
    let opus = packets(&index).is_some();
    let mut media = Media { other: opus.then_some(0), ..Media::default() };
    walk(reader, &all, progress, |track, sample, bytes| media.see(track, sample, bytes))?;
    let hash = std::mem::take(&mut media.hash).finish();

    let summary = index.summary.clone();
    let mut report = Report { checks: Vec::new(), summary, media_hash: hash };
    boxes(&mut report, &index);
    tables(&mut report, &index, &all);
    if opus {
        edits(&mut report);
        track::check(&mut report, &index, &media, metadata, name);
        return Ok(report);
    }
    frame_rate(&mut report, &index);
    gaps(&mut report, &index);
    let recovered = metadata.is_some_and(|m| m.hyperzoom.recovered);
    lengths(&mut report, recovered);
    edits(&mut report);
    let expected = metadata.map(|m| {
        let own = entry(m, name).and_then(|file| file.start_timecode.clone());
        own.unwrap_or_else(|| m.hyperzoom.start_timecode.clone())
    });
    timecode(&mut report, expected);
    report.add("pictures", media.faults(), media.told());
    match metadata {
        Some(metadata) => {
            let entry = entry(metadata, name);
            counts(&mut report, metadata, entry);
            match &tones_in(metadata, name)[..] {
                [] => report.skip("tones", "the metadata tells of none"),
                tones => match tones::check(reader, &index, tones)? {
                    Err(faults) => report.add("tones", faults, String::new()),
                    Ok(away) => {
                        let told = format!("{} found, at most {away:.2} samples away", tones.len());
                        report.add("tones", Vec::new(), told);
                    }
                },
            }
            content(&mut report, entry.and_then(|entry| entry.media_blake2s.as_ref()));
        }
        None => {
            report.skip("metadata", "no session_metadata.json beside it");
            report.skip("tones", "nothing tells where they are");
            report.skip("hash", "nothing to compare with");
        }
    }
    Ok(report)
}

fn entry<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a FileEntry> {
    metadata.hyperzoom.files.iter().find(|file| file.name == name)
}

/// The tones of one file: those that name none are the first one's.
fn tones_in(metadata: &Metadata, name: &str) -> Vec<Tone> {
    let own = &metadata.hyperzoom;
    let later = own.files.iter().skip(1).any(|file| file.name == name);
    let within = |tone: &&Tone| tone.file.as_ref().map_or(!later, |file| file == name);
    own.tones.iter().filter(within).cloned().collect()
}

fn in_file_order(index: &Index) -> Vec<(Track, SampleAt)> {
    let kinds = [TrackKind::Video, TrackKind::Audio, TrackKind::Timecode];
    let of = |(track, kind)| index.of(kind).iter().map(move |sample| (track, *sample));
    Track::ALL.into_iter().zip(kinds).flat_map(of).collect()
}

fn boxes(report: &mut Report, index: &Index) {
    let mut faults = Vec::new();
    if !index.summary.finalised {
        faults.push("it was not ended; try hyperzoom recover".to_owned());
    } else {
        let found: Vec<_> = index.boxes().collect();
        let names: Vec<[u8; 4]> = found.iter().map(|(kind, _, _)| *kind).collect();
        if names != [*b"ftyp", *b"mdat", *b"moov"] {
            let names: Vec<_> = names.iter().map(|k| k.escape_ascii().to_string()).collect();
            faults.push(format!("it is {} instead of ftyp, mdat, moov", names.join(", ")));
        }
    }
    if index.tail == Tail::Damaged {
        faults.push(format!("what follows byte {} is no whole box", index.summary.whole_until));
    }
    report.add("boxes", faults, format!("ftyp, mdat, moov fill {} bytes", index.summary.bytes));
}

fn tables(report: &mut Report, index: &Index, all: &[(Track, SampleAt)]) {
    let mut faults = index.faults.clone();
    let inside = index.boxes().find(|(kind, _, _)| kind == b"mdat").map(|(_, from, to)| (from, to));
    if let (true, Some((from, to))) = (index.summary.finalised, inside) {
        let outside = all.iter().filter(|(_, s)| s.offset < from + 16 || s.end() > to).count();
        if outside > 0 {
            faults.push(format!("{outside} samples lie outside of mdat"));
        }
    }
    let overlaps = all.windows(2).filter(|pair| pair[0].1.end() > pair[1].1.offset).count();
    if overlaps > 0 {
        faults.push(format!("{overlaps} samples overlap the one behind them"));
    }
    let of = |kind| index.of(kind).windows(2);
    let kinds = [TrackKind::Video, TrackKind::Audio];
    let back = kinds.into_iter().flat_map(of).filter(|p| p[0].offset > p[1].offset).count();
    if back > 0 {
        faults.push(format!("{back} samples lie before the one that they follow"));
    }
    if all.is_empty() {
        faults.push("it has no samples".to_owned());
    }
    report.add("index", faults, format!("{} samples, each where the index says", all.len()));
}

fn frame_rate(report: &mut Report, index: &Index) {
    let Some(video) = index.summary.video() else { return report.skip("rate", "no picture") };
    let mut faults = Vec::new();
    if video.timescale != VIDEO_TIMESCALE {
        faults.push(format!("{} ticks a second instead of {VIDEO_TIMESCALE}", video.timescale));
    }
    let odd = index.of(TrackKind::Video).iter().filter(|s| s.duration != FRAME_TICKS).count();
    if odd > 0 {
        faults.push(format!("{odd} pictures do not last 1/30 s"));
    }
    report.add("rate", faults, format!("constant, {} pictures at 30 fps", video.samples));
}

fn gaps(report: &mut Report, index: &Index) {
    let mut faults = Vec::new();
    if let Some(first) = index.of(TrackKind::Video).first().filter(|first| first.time > 0) {
        faults.push(format!("the picture begins {} ticks late", first.time));
    }
    let packets = index.of(TrackKind::Audio);
    if let Some((last, before)) = packets.split_last()
        && let Some(first) = before.first()
    {
        let odd = before.iter().filter(|p| p.duration != first.duration).count();
        if odd > 0 || last.duration == 0 || last.duration > first.duration {
            let odd = odd.max(1);
            faults.push(format!("{odd} packets do not last {} samples", first.duration));
        }
    }
    let times = |kind| index.of(kind).windows(2).map(|p| (p[0], p[1]));
    let kinds = [TrackKind::Video, TrackKind::Audio];
    let holes = kinds.into_iter().flat_map(times);
    let holes = holes.filter(|(a, b)| a.time + u64::from(a.duration) != b.time).count();
    if holes > 0 {
        faults.push(format!("{holes} gaps between samples"));
    }
    report.add("gaps", faults, format!("none in {} packets of sound", packets.len()));
}

/// Length in 1/48,000 s, of a track in a file that begins at 0.
fn length(track: &TrackSummary) -> u64 {
    let ticks = u128::from(track.duration) * u128::from(SAMPLE_RATE);
    u64::try_from(ticks / u128::from(track.timescale.max(1))).unwrap_or(u64::MAX)
}

fn lengths(report: &mut Report, recovered: bool) {
    let (video, audio) = (report.summary.video(), report.summary.audio());
    let (Some(video), Some(audio)) = (video, audio) else {
        return report.skip("lengths", "only one of picture and sound");
    };
    let (video, audio) = (length(video), length(audio));
    let apart = video.abs_diff(audio);
    let most = if recovered { LENGTHS_APART_RECOVERED } else { LENGTHS_APART };
    let told = format!("picture and sound end {apart} samples apart");
    let faults = if apart > most { vec![told.clone()] } else { Vec::new() };
    report.add("lengths", faults, told);
}

fn edits(report: &mut Report) {
    let mut faults = Vec::new();
    for track in &report.summary.tracks {
        // Two packets are the most that any encoder's delay hides.
        let most = if track.kind == TrackKind::Audio { 4_096 } else { 0 };
        if !(0..=most).contains(&track.edit_start) {
            faults.push(format!("track {} begins at media time {}", track.id, track.edit_start));
        }
    }
    let audio = report.summary.audio().map_or(0, |track| track.edit_start);
    report.add("edits", faults, format!("{audio} samples of encoder delay hidden"));
}

fn timecode(report: &mut Report, expected: Option<String>) {
    let mut faults = Vec::new();
    let mut told = String::new();
    match report.summary.timecode {
        None => faults.push("there is no timecode".to_owned()),
        Some(timecode) => {
            told = format!("{}, 30 fps, non-drop", timecode.start);
            if timecode.frames_per_second != 30 || timecode.drop_frame {
                faults.push("it does not count 30 frames a second, non-drop".to_owned());
            }
            match expected {
                Some(expected) if expected != timecode.start.to_string() => faults
                    .push(format!("it begins at {}, the metadata says {expected}", timecode.start)),
                _ => {}
            }
        }
    }
    let track = report.summary.track(TrackKind::Timecode);
    if let (Some(track), Some(video), true) =
        (track, report.summary.video(), report.summary.finalised)
        && (track.samples != 1 || track.duration != video.duration)
    {
        faults.push("its length is not the picture's".to_owned());
    }
    report.add("timecode", faults, told);
}

fn counts(report: &mut Report, metadata: &Metadata, entry: Option<&FileEntry>) {
    let own = &metadata.hyperzoom;
    let mut faults = Vec::new();
    let mut differ = |what: &str, told: u64, found: u64| {
        if told != found {
            faults.push(format!("{what}: the metadata says {told}, the file {found}"));
        }
    };
    let frames = report.summary.video().map_or(0, |track| track.samples);
    let samples = report.summary.audio().map_or(0, |track| track.duration);
    if let Some(entry) = entry {
        differ("bytes", entry.bytes, report.summary.bytes);
        differ("pictures", entry.frames, frames);
        differ("samples", entry.samples, samples);
    }
    let c = &own.counters;
    if own.finalised && !own.recovered {
        let known = c.frames_encoded + c.cadence_discarded + c.withheld;
        differ("captured pictures and what became of them", c.frames_captured, known);
        differ("captured pictures", metadata.recording.total_frames_captured, c.frames_captured);
        let slots = c.frames_encoded + c.frames_repeated + c.black_frames;
        let all = own.files.iter().map(|file| file.frames).sum();
        differ("pictures by their kind", slots, all);
    }
    if c.frames_dropped + metadata.recording.total_frames_dropped > 0 {
        faults.push(format!("{} pictures were lost", c.frames_dropped));
    }
    if !own.finalised {
        faults.push("it says that the recording was not ended; try hyperzoom recover".to_owned());
    } else if entry.is_none() {
        faults.push("it does not tell of this file".to_owned());
    }
    let mut told = format!("{frames} pictures, {samples} samples");
    if own.recovered {
        // Writing into a string cannot fail.
        let _ = write!(told, ", recovered after an interruption");
    }
    report.add("metadata", faults, told);
}

fn content(report: &mut Report, told: Option<&String>) {
    let found = hex(&report.media_hash);
    match told {
        None => report.skip("hash", "the metadata has none to compare with"),
        Some(told) if *told == found => report.add("hash", Vec::new(), format!("BLAKE2s {found}")),
        Some(_) => {
            let fault = "pictures or sound are not the bytes that were written".to_owned();
            report.add("hash", vec![fault], String::new());
        }
    }
}

/// What one way through the samples finds.
#[derive(Default)]
struct Media {
    hash: MediaHash,
    pictures: usize,
    keyframes: usize,
    since_keyframe: usize,
    longest_gop: usize,
    damaged: usize,
    mistaken: usize,
    missing: usize,
    empty: usize,
    /// Samples of each packet of sound, if it is Opus.
    opus: Vec<u32>,
    /// Packets that are no Opus, though they should be.
    other: Option<usize>,
}

impl Media {
    fn see(&mut self, track: Track, sample: &SampleAt, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else {
            self.missing += 1;
            if track == Track::Audio && self.other.is_some() {
                self.opus.push(sample.duration);
            }
            return;
        };
        self.hash.add(track, bytes);
        self.empty += usize::from(bytes.is_empty());
        if let (Track::Audio, Some(other)) = (track, &mut self.other) {
            let samples = packet_samples(bytes);
            *other += usize::from(samples.is_none());
            self.opus.push(samples.map_or(sample.duration, |samples| samples as u32));
        }
        if track != Track::Video {
            return;
        }
        let idr = match nals(bytes) {
            Nals::Idr => true,
            Nals::Dependent => false,
            Nals::Damaged => {
                self.damaged += 1;
                sample.sync
            }
        };
        self.mistaken += usize::from(idr != sample.sync || self.pictures == 0 && !idr);
        self.pictures += 1;
        self.keyframes += usize::from(idr);
        self.since_keyframe = if idr { 1 } else { self.since_keyframe + 1 };
        self.longest_gop = self.longest_gop.max(self.since_keyframe);
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut tell = |count: usize, what: &str| {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        };
        tell(self.missing, "samples are not in the file");
        tell(self.empty, "samples are empty");
        tell(self.other.unwrap_or(0), "packets are no Opus");
        tell(self.damaged, "pictures whose NAL units do not add up");
        tell(self.mistaken, "pictures are keyframes in the index or in the stream alone");
        if self.longest_gop > GOP {
            faults.push(format!("{} pictures without a keyframe", self.longest_gop));
        }
        faults
    }

    fn told(&self) -> String {
        match self.pictures {
            0 => "none".to_owned(),
            n => format!(
                "{n} whole, {} keyframes, at most {} apart",
                self.keyframes, self.longest_gop
            ),
        }
    }
}
