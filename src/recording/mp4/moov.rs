//! The movie box: without samples before the first fragment, with all of them at the end.
//!
//! Pure; writes boxes and knows nothing of files.

use super::boxes::{Boxes, version_for};
use super::entries::{self, Bitrate};
use super::fragment::{NOT_SYNC, SYNC, Track};
use super::tables::SampleTable;
use super::{
    AUDIO_TIMESCALE, FRAME_TICKS, MOVIE_TICKS_PER_FRAME, MOVIE_TIMESCALE, MovieParameters,
    VIDEO_TIMESCALE,
};

/// Seconds from 1904, where MP4 counts from, to 1970.
const EPOCH_1904: u64 = 2_082_844_800;
/// Language "und" in three 5-bit letters.
const UNDETERMINED: u16 = 0x55C4;
/// The unity matrix (ISO 14496-12, 8.2.2.2).
const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];

/// What was recorded, for the final movie box.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// One a track, in file order.
    pub tables: [SampleTable; 3],
    /// The first video frame's number; not 0 when the picture began after the file.
    pub first_frame: u64,
    /// Media time of the first packet of sound; not 0 when the sound began after the file.
    pub first_packet: u64,
    /// Most bits in any second, a track.
    pub peak: [Peak; 3],
}

/// Most bits in any whole second of a track's media time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peak {
    second: u64,
    bits: u64,
    most: u64,
}

impl Peak {
    /// A sample of that many bytes is decoded at `time`, media ticks.
    pub fn add(&mut self, time: u64, timescale: u32, bytes: u32) {
        let at = time / u64::from(timescale);
        if at != self.second {
            (self.second, self.bits) = (at, 0);
        }
        self.bits += u64::from(bytes) * 8;
        self.most = self.most.max(self.bits);
    }

    /// Bits.
    pub fn most(&self) -> u64 {
        self.most
    }
}

/// One stretch of a track's timeline.
struct Edit {
    /// Movie ticks.
    duration: u64,
    /// Media ticks to begin at; `None` shows nothing.
    media_time: Option<u64>,
}

/// Media ticks per second of a track.
pub fn timescale(track: Track) -> u32 {
    match track {
        Track::Video | Track::Timecode => VIDEO_TIMESCALE,
        Track::Audio => AUDIO_TIMESCALE,
    }
}

fn movie_ticks(track: Track, media_ticks: u64) -> u64 {
    match track {
        Track::Audio => media_ticks,
        Track::Video | Track::Timecode => {
            media_ticks * MOVIE_TICKS_PER_FRAME / u64::from(FRAME_TICKS)
        }
    }
}

/// Which tracks the file has.
pub fn has(parameters: &MovieParameters, track: Track) -> bool {
    match track {
        Track::Video => parameters.video.is_some(),
        Track::Audio => parameters.audio.is_some(),
        Track::Timecode => true,
    }
}

/// Durations of samples that a fragment need not tell, by track (`trex`). The timecode's one sample
/// gets a fragment's length; only the end knows the whole.
pub fn default_durations(parameters: &MovieParameters) -> [u32; 3] {
    let audio = parameters.audio.as_ref().map_or(0, |a| a.samples_per_packet);
    [FRAME_TICKS, audio, VIDEO_TIMESCALE]
}

/// The whole box. `recorded`: `None` before the first fragment.
pub fn moov(b: &mut Boxes, parameters: &MovieParameters, recorded: Option<&Recorded>) {
    let created = parameters.created_utc_seconds.saturating_add(EPOCH_1904);
    let tracks = || Track::ALL.into_iter().filter(|t| has(parameters, *t));
    let duration = recorded
        .map_or(0, |r| tracks().map(|t| track_duration(parameters, r, t)).max().unwrap_or(0));
    let version = version_for(&[created, duration]);
    b.put(b"moov", |b| {
        b.put_full(b"mvhd", version, 0, |b| {
            b.time(version, created);
            b.time(version, created);
            b.u32(MOVIE_TIMESCALE);
            b.time(version, duration);
            b.u32(0x1_0000); // rate 1.0
            b.u16(0x100); // volume 1.0
            b.zeros(10);
            UNITY.iter().for_each(|v| b.u32(*v));
            b.zeros(24);
            b.u32(Track::Timecode.id() + 1);
        });
        for track in tracks() {
            b.put(b"trak", |b| trak(b, parameters, recorded, track, created));
        }
        if recorded.is_none() {
            let durations = default_durations(parameters);
            b.put(b"mvex", |b| {
                for track in tracks() {
                    b.put_full(b"trex", 0, 0, |b| {
                        b.u32(track.id());
                        b.u32(1); // sample description
                        b.u32(durations[track.index()]);
                        b.u32(0);
                        b.u32(if track == Track::Video { NOT_SYNC } else { SYNC });
                    });
                }
            });
        }
    });
}

/// The track's edits; none when it simply begins at 0.
fn edits(parameters: &MovieParameters, recorded: Option<&Recorded>, track: Track) -> Vec<Edit> {
    let media = recorded.map_or(0, |r| r.tables[track.index()].duration());
    let mut edits = Vec::new();
    if track == Track::Video {
        let first = recorded.map_or(0, |r| r.first_frame);
        if first > 0 {
            edits.push(Edit { duration: first * MOVIE_TICKS_PER_FRAME, media_time: None });
            edits.push(Edit { duration: movie_ticks(track, media), media_time: Some(0) });
        }
    }
    if track == Track::Audio {
        let priming = parameters.audio.as_ref().map_or(0, |a| u64::from(a.priming_samples));
        let first = recorded.map_or(0, |r| r.first_packet);
        if first > 0 {
            edits.push(Edit { duration: first, media_time: None });
        }
        if priming > 0 || first > 0 {
            // Before the end is known the duration is 0: all that the fragments bring (8.6.6.1).
            let duration = movie_ticks(track, media.saturating_sub(priming));
            edits.push(Edit { duration, media_time: Some(priming) });
        }
    }
    edits
}

/// Movie ticks from file time 0 to the track's end.
pub fn track_duration(parameters: &MovieParameters, recorded: &Recorded, track: Track) -> u64 {
    let edits = edits(parameters, Some(recorded), track);
    if edits.is_empty() {
        movie_ticks(track, recorded.tables[track.index()].duration())
    } else {
        edits.iter().map(|e| e.duration).sum()
    }
}

fn trak(
    b: &mut Boxes,
    parameters: &MovieParameters,
    recorded: Option<&Recorded>,
    track: Track,
    created: u64,
) {
    let duration = recorded.map_or(0, |r| track_duration(parameters, r, track));
    let media = recorded.map_or(0, |r| r.tables[track.index()].duration());
    let edits = edits(parameters, recorded, track);
    let version = version_for(&[created, duration]);
    b.put_full(b"tkhd", version, 3 /* enabled, in the movie */, |b| {
        b.time(version, created);
        b.time(version, created);
        b.u32(track.id());
        b.u32(0);
        b.time(version, duration);
        b.zeros(12); // layer 0, alternate group 0
        b.u16(if track == Track::Audio { 0x100 } else { 0 }); // volume
        b.u16(0);
        UNITY.iter().for_each(|v| b.u32(*v));
        let size = parameters.video.as_ref().filter(|_| track == Track::Video);
        b.u32(size.map_or(0, |v| u32::from(v.width) << 16));
        b.u32(size.map_or(0, |v| u32::from(v.height) << 16));
    });
    let told_by = if parameters.video.is_some() { Track::Video } else { Track::Audio };
    if track == told_by {
        b.put(b"tref", |b| b.put(b"tmcd", |b| b.u32(Track::Timecode.id())));
    }
    if !edits.is_empty() {
        let longest = edits.iter().map(|e| e.duration).max().unwrap_or(0);
        let version = version_for(&[longest]);
        b.put(b"edts", |b| {
            b.put_full(b"elst", version, 0, |b| {
                b.u32(edits.len() as u32);
                for edit in &edits {
                    b.time(version, edit.duration);
                    match edit.media_time {
                        Some(time) => b.time(version, time),
                        None if version == 1 => b.u64(u64::MAX), // -1
                        None => b.u32(u32::MAX),
                    }
                    b.u32(0x1_0000); // rate 1.0
                }
            });
        });
    }
    b.put(b"mdia", |b| {
        let version = version_for(&[created, media]);
        b.put_full(b"mdhd", version, 0, |b| {
            b.time(version, created);
            b.time(version, created);
            b.u32(timescale(track));
            b.time(version, media);
            b.u16(UNDETERMINED);
            b.u16(0);
        });
        let (handler, name) = match track {
            Track::Video => (b"vide", &b"HyperZoom video\0"[..]),
            Track::Audio => (b"soun", &b"HyperZoom audio\0"[..]),
            Track::Timecode => (b"tmcd", &b"HyperZoom timecode\0"[..]),
        };
        b.put_full(b"hdlr", 0, 0, |b| {
            b.u32(0);
            b.raw(handler);
            b.zeros(12);
            b.raw(name);
        });
        b.put(b"minf", |b| {
            match track {
                Track::Video => b.put_full(b"vmhd", 0, 1, |b| b.zeros(8)),
                Track::Audio => b.put_full(b"smhd", 0, 0, |b| b.zeros(4)),
                Track::Timecode => entries::gmhd(b),
            }
            b.put(b"dinf", |b| {
                b.put_full(b"dref", 0, 0, |b| {
                    b.u32(1);
                    b.put_full(b"url ", 0, 1 /* in this file */, |_| {});
                });
            });
            b.put(b"stbl", |b| stbl(b, parameters, recorded, track));
        });
    });
}

fn stbl(b: &mut Boxes, parameters: &MovieParameters, recorded: Option<&Recorded>, track: Track) {
    let empty = SampleTable::default();
    let table = recorded.map_or(&empty, |r| &r.tables[track.index()]);
    b.put_full(b"stsd", 0, 0, |b| {
        b.u32(1);
        match track {
            Track::Video => {
                let video = parameters.video.as_ref().expect("only tracks that are there");
                entries::avc1(b, video, bitrate(recorded, track, video.bitrate));
            }
            Track::Audio => {
                let audio = parameters.audio.as_ref().expect("only tracks that are there");
                entries::sound(b, audio, bitrate(recorded, track, audio.bitrate));
            }
            Track::Timecode => entries::tmcd(b),
        }
    });
    table.put(b, track == Track::Video && table.len() > 0);
    let roll = parameters.audio.as_ref().and_then(|a| a.coding.roll(a.samples_per_packet));
    if let (Track::Audio, Some(roll)) = (track, roll) {
        // A packet decodes right only after those before it (AudioRollRecoveryEntry, 10.1).
        b.put_full(b"sgpd", 1, 0, |b| {
            b.raw(b"roll");
            b.u32(2); // each entry's length
            b.u32(1);
            b.u16(roll.wrapping_neg()); // roll_distance
        });
        if table.len() > 0 {
            b.put_full(b"sbgp", 0, 0, |b| {
                b.raw(b"roll");
                b.u32(1);
                b.u32(table.len());
                b.u32(1);
            });
        }
    }
}

/// Measured when something was recorded, else what the encoder was asked for.
fn bitrate(recorded: Option<&Recorded>, track: Track, nominal: u32) -> Bitrate {
    let table = recorded.map(|r| &r.tables[track.index()]).filter(|t| t.duration() > 0);
    let (Some(recorded), Some(table)) = (recorded, table) else {
        return Bitrate { average: nominal, peak: nominal, buffer: 0 };
    };
    let bits = u128::from(table.bytes()) * 8 * u128::from(timescale(track));
    let average = u32::try_from(bits / u128::from(table.duration())).unwrap_or(u32::MAX);
    // Constant-bitrate audio whose mean differs from the nominal value by rounding is nominal.
    let near = track == Track::Audio && average.abs_diff(nominal) <= nominal / 100;
    let average = if near { nominal } else { average };
    let peak = u32::try_from(recorded.peak[track.index()].most()).unwrap_or(u32::MAX).max(average);
    Bitrate { average, peak: if near { nominal } else { peak }, buffer: table.largest() }
}

#[cfg(test)]
mod tests;
