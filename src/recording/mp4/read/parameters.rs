//! What a file was begun with, read back from its sample descriptions, and the codec strings.
//!
//! Pure; every length is checked against the bytes that are there.

use super::input::{u16_at, u32_at};
use super::{Movie, Summary, TrackKind, TrackState};
use crate::recording::mp4::{AudioCoding, AudioTrack, MovieParameters, VideoTrack};
use crate::recording::sound::SoundFormat;

/// The parameters of a file that this program wrote; `None` when something of them is missing.
pub fn parameters(movie: &Movie, summary: &Summary) -> Option<MovieParameters> {
    let of = |kind| movie.tracks.iter().find(|track| track.summary.kind == kind);
    let video = match of(TrackKind::Video) {
        Some(track) => Some(video(track)?),
        None => None,
    };
    let audio = match of(TrackKind::Audio) {
        Some(track) => Some(audio(track)?),
        None => None,
    };
    (video.is_some() || audio.is_some()).then_some(())?;
    let timecode = summary.timecode?.start;
    Some(MovieParameters {
        video,
        audio,
        timecode,
        created_utc_seconds: summary.created_utc_seconds,
    })
}

fn content<'a>(track: &'a TrackState, kind: &[u8; 4]) -> Option<&'a [u8]> {
    track.description.iter().find(|(k, _)| k == kind).map(|(_, bytes)| bytes.as_slice())
}

fn video(track: &TrackState) -> Option<VideoTrack> {
    // ISO 14496-15, 5.3.3.1: five bytes, then the parameter sets, each counted and measured.
    let avcc = content(track, b"avcC")?;
    let set = |at: usize| -> Option<(Vec<u8>, usize)> {
        (avcc.get(at)? & 0x1F == 1).then_some(())?;
        let length = usize::from(u16_at(avcc, at + 1)?);
        let set = avcc.get(at + 3..at + 3 + length)?;
        Some((set.to_vec(), at + 3 + length))
    };
    let (sps, next) = set(5)?;
    let (pps, _) = set(next)?;
    let bitrate = content(track, b"btrt").and_then(|btrt| u32_at(btrt, 8)).unwrap_or(0);
    let (width, height) = (track.summary.width, track.summary.height);
    Some(VideoTrack { width, height, sps, pps, bitrate })
}

fn audio(track: &TrackState) -> Option<AudioTrack> {
    let rate = content(track, b"btrt").and_then(|btrt| u32_at(btrt, 8)).unwrap_or(0);
    let described = [b"dfLa", b"dOps"].map(|kind| content(track, kind));
    let (coding, configuration, bitrate) = match described {
        // Version and flags, then a block header, then STREAMINFO; no bitrate is told.
        [Some(dfla), _] => {
            (AudioCoding::Flac, dfla.get(8..42)?.to_vec(), SoundFormat::Flac.bitrate())
        }
        [None, Some(dops)] => (AudioCoding::Opus, dops.to_vec(), rate),
        [None, None] => {
            let decoder = decoder_config(content(track, b"esds")?)?;
            let mut rest = decoder.get(13..)?;
            let asc = descriptor(&mut rest, 0x05)?.to_vec();
            (AudioCoding::Aac, asc, u32_at(decoder, 9)?)
        }
    };
    // A finished file has no default; its first packet is an ordinary one.
    let first = track.samples.as_ref().and_then(|samples| samples.first());
    let samples_per_packet = match (track.defaults.duration, first) {
        (0, Some(first)) => first.duration,
        (0, None) => return None,
        (duration, _) => duration,
    };
    let priming_samples = u32::try_from(track.summary.edit_start).unwrap_or(0);
    Some(AudioTrack { coding, configuration, bitrate, priming_samples, samples_per_packet })
}

/// The RFC 6381 string of an `avc1` entry's `avcC`.
pub fn avc_codec(avcc: &[u8]) -> Option<String> {
    let [_, profile, constraints, level, ..] = avcc else { return None };
    Some(format!("avc1.{profile:02x}{constraints:02x}{level:02x}"))
}

/// The RFC 6381 string of an `mp4a` entry's `esds` (version and flags included).
pub fn aac_codec(esds: &[u8]) -> Option<String> {
    let decoder = decoder_config(esds)?;
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

/// The DecoderConfigDescriptor in an `esds`.
fn decoder_config(esds: &[u8]) -> Option<&[u8]> {
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
    descriptor(&mut rest, 0x04)
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
