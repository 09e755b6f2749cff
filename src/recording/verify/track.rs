//! Checking a safety track: its packets, its gaps and its place, against the file itself and against
//! the metadata.

use super::{Index, Media, Metadata, Report, SafetyTrack, content, timecode};
use crate::recording::mp4::Timecode;
use crate::recording::render::packets;
use crate::recording::safety::{Counts, SLACK};
use crate::units::{MediaTime, RECORDING_FPS, SAMPLE_RATE};

/// How far the metadata's instants and lengths may be from the file's, microseconds: they are rounded.
const NEAR: i64 = 50;

/// All checks that are a safety track's own.
pub fn check(
    report: &mut Report,
    index: &Index,
    media: &Media,
    metadata: Option<&Metadata>,
    name: &str,
) {
    let all = packets(index).unwrap_or_default();
    let mut counts = Counts::default();
    let mut cut = 0;
    for ((time, packet), own) in all.iter().zip(&media.opus) {
        cut += usize::from(u64::from(packet.duration) + SLACK < u64::from(*own));
        counts.add(*time, *own);
    }
    let mut faults = media.faults();
    if cut > 0 {
        faults.push(format!("{cut} packets overlap the one behind them"));
    }
    report.add("packets", faults, format!("{} whole Opus packets, in order", all.len()));
    let told = format!(
        "{}, {:.1} s in all; nothing is made up to fill them",
        counts.gaps,
        counts.gap_samples as f64 / f64::from(SAMPLE_RATE)
    );
    let entry = metadata.and_then(|m| m.hyperzoom.safety_tracks.iter().find(|t| t.file == name));
    let mut faults = Vec::new();
    if let Some(entry) = entry {
        let apart = (entry.gap_ms * 48.0 - counts.gap_samples as f64).abs();
        if entry.gaps != counts.gaps || apart > 1.0 {
            faults.push(format!(
                "the metadata tells of {} gaps, {:.1} ms, the file of {}, {:.1} ms",
                entry.gaps,
                entry.gap_ms,
                counts.gaps,
                counts.gap_samples as f64 / 48.0
            ));
        }
    }
    report.add("gaps", faults, told);
    timecode(report, metadata.map(at_t0));
    match metadata {
        Some(metadata) => {
            against(report, &counts, metadata, entry);
            content(report, entry.and_then(|entry| entry.media_blake2s.as_ref()));
        }
        None => {
            report.skip("metadata", "no session_metadata.json beside it");
            report.skip("hash", "nothing to compare with");
        }
    }
}

/// T0's timecode: the own file's, back to where all tracks begin.
fn at_t0(metadata: &Metadata) -> String {
    let own = &metadata.hyperzoom;
    let mut fields = own.start_timecode.split(':').map(|field| field.parse::<u64>().unwrap_or(0));
    let mut next = || fields.next().unwrap_or(0);
    let seconds = (next() * 60 + next()) * 60 + next();
    let frames = seconds * u64::from(RECORDING_FPS) + next();
    let late = own.file_start_session_us.saturating_sub(own.t0_session_us);
    let late = MediaTime::from_micros(late, RECORDING_FPS).ticks;
    let day = 24 * 60 * 60 * i64::from(RECORDING_FPS);
    let start = (frames as i64 - late).rem_euclid(day);
    Timecode { start_frame: u32::try_from(start).unwrap_or(0) }.to_string()
}

fn against(report: &mut Report, counts: &Counts, metadata: &Metadata, entry: Option<&SafetyTrack>) {
    let mut faults = Vec::new();
    let t0 = metadata.hyperzoom.t0_session_us;
    match entry {
        None => faults.push("it does not tell of this file".to_owned()),
        Some(entry) => {
            let mut differ = |what: &str, told: u64, found: u64| {
                if told != found {
                    faults.push(format!("{what}: the metadata says {told}, the file {found}"));
                }
            };
            differ("bytes", entry.bytes, report.summary.bytes);
            differ("packets", entry.packets, counts.packets);
            let at = |sample: u64| t0 + MediaTime::samples(sample as i64).to_micros();
            for (what, told, found) in [
                ("begins", entry.first_session_us, at(counts.first.unwrap_or(0))),
                ("ends", entry.last_session_us, at(counts.end)),
            ] {
                if told.abs_diff(found) > NEAR as u64 {
                    faults.push(format!("it {what} at {found} us, the metadata says {told}"));
                }
            }
        }
    }
    let lost = entry.map_or(0, |entry| entry.lost);
    let name = entry.map_or("", |entry| &entry.name);
    let told = format!("{} packets of {name}, {lost} more lost on the way", counts.packets);
    report.add("metadata", faults, told);
}
