//! `sync_timecodes.txt` (PRD section 7): the metadata's instants, for people who line tracks up.
//!
//! Pure: makes text from [`Metadata`].

use std::fmt::Write;

use super::metadata::{Metadata, utc};
use super::mp4::Timecode;
use crate::units::{MediaTime, RECORDING_FPS};

/// The file's text.
pub fn text(metadata: &Metadata) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, metadata);
    out
}

fn write(out: &mut String, metadata: &Metadata) -> std::fmt::Result {
    let own = &metadata.hyperzoom;
    let start = own.file_start_session_us;
    writeln!(out, "HyperZoom timecode reference")?;
    writeln!(out, "============================")?;
    writeln!(out)?;
    writeln!(out, "Session            {}", line(&metadata.session_id))?;
    writeln!(out, "Recorded by        {}", participant(metadata, own.own_id))?;
    writeln!(
        out,
        "Timecode           {RECORDING_FPS} fps, non-drop; time of day at UTC{}",
        offset(own.utc_offset_seconds)
    )?;
    writeln!(out)?;
    writeln!(out, "T0, the session's first frame, the same instant for everybody:")?;
    writeln!(out, "  UTC              {}", utc(metadata.utc_us(own.t0_session_us)))?;
    writeln!(out, "  session clock    {}", seconds(own.t0_session_us))?;
    writeln!(out, "This recording's first frame and sample:")?;
    writeln!(out, "  UTC              {}", utc(metadata.utc_us(start)))?;
    writeln!(out, "  session clock    {}", seconds(start))?;
    writeln!(out, "  timecode         {}", own.start_timecode)?;
    writeln!(out, "  after T0         {} frames", frames(start - own.t0_session_us))?;
    writeln!(out, "  length           {} s", metadata.duration_seconds)?;
    writeln!(out)?;
    writeln!(out, "Participants (session clock minus own clock):")?;
    for person in &metadata.participants {
        let known = own.clocks.iter().find(|clock| clock.id == person.id);
        let clock = match known {
            Some(c) => format!(
                "{:+.3} ms, known to {:.3} ms, skew {:+.2} ppm",
                c.offset_ms, c.uncertainty_ms, c.skew_ppm
            ),
            None => format!("{:+} ms", person.clock_offset_ms),
        };
        writeln!(out, "  {}  {:<20} {clock}", person.id, line(&person.name))?;
    }
    if !own.files.is_empty() {
        writeln!(out)?;
        writeln!(out, "Files:")?;
        for file in &own.files {
            let mut name = line(&file.name);
            if let (true, Some(code)) = (own.files.len() > 1, &file.start_timecode) {
                name = format!("{name}  from {}", line(code));
            }
            writeln!(
                out,
                "  {name}  {} frames, {} samples, {} bytes",
                file.frames, file.samples, file.bytes
            )?;
        }
    }
    if !own.safety_tracks.is_empty() {
        writeln!(out)?;
        writeln!(out, "Safety tracks, what was heard of the others (each file begins at T0):")?;
        for track in &own.safety_tracks {
            writeln!(
                out,
                "  {}  {}, {} packets, {} lost, {} gaps of {:.1} s in all",
                line(&track.file),
                line(&track.name),
                track.packets,
                track.lost,
                track.gaps,
                track.gap_ms / 1e3
            )?;
        }
    }
    let place = Place::new(metadata);
    writeln!(out)?;
    writeln!(
        out,
        "Sync tones in this recording (timecode, position in the file, sample, session clock):"
    )?;
    for tone in &own.tones {
        let at = tone.session_us;
        let sample = format!("sample {}", tone.sample);
        let (where_, file) = place.of(at);
        writeln!(out, "  {where_}  {sample:>16}  {:>16}{file}", seconds(at))?;
    }
    if own.tones.is_empty() {
        writeln!(out, "  none")?;
    }
    if !own.events.is_empty() {
        writeln!(out)?;
        writeln!(out, "Events (timecode, position in the file, session clock, what):")?;
        for event in &own.events {
            let at = event.session_us;
            let (where_, file) = place.of(at);
            writeln!(out, "  {where_}  {:>16}{file}  {}", seconds(at), line(&event.what))?;
        }
    }
    Ok(())
}

/// Where instants of the session lie in the files.
struct Place {
    /// Of each file, in order: its start, session clock, microseconds; its timecode; its name.
    files: Vec<(i64, String, String)>,
}

impl Place {
    fn new(metadata: &Metadata) -> Self {
        let own = &metadata.hyperzoom;
        let mut files: Vec<_> = own
            .files
            .iter()
            .filter_map(|file| {
                let (start, code) = (file.start_session_us?, file.start_timecode.clone()?);
                Some((start, code, file.name.clone()))
            })
            .collect();
        if files.is_empty() {
            files.push((own.file_start_session_us, own.start_timecode.clone(), String::new()));
        }
        Self { files }
    }

    /// Timecode and position of an instant, and the file where there are several; what came before
    /// the first file has a negative position, what came between two stands behind the earlier.
    fn of(&self, session_us: i64) -> (String, String) {
        let within = self.files.iter().rev().find(|(start, ..)| *start <= session_us);
        let (start, code, name) = within.unwrap_or(&self.files[0]);
        let after = session_us - start;
        let place = format!("{}  {:>14}", timecode_at(code, after), position(after));
        let several = self.files.len() > 1;
        (place, if several { format!("  {}", line(name)) } else { String::new() })
    }
}

/// `H:MM:SS.mmm` from the file's start.
fn position(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let ms = (micros.unsigned_abs() + 500) / 1_000;
    let (hours, minutes) = (ms / 3_600_000, ms / 60_000 % 60);
    format!("{sign}{hours}:{minutes:02}:{:02}.{:03}", ms / 1_000 % 60, ms % 1_000)
}

/// The timecode that many microseconds after the file's start (before it: negative).
fn timecode_at(start: &str, after_us: i64) -> String {
    let parts: Vec<u32> = start.split(':').filter_map(|part| part.parse().ok()).collect();
    let [hours, minutes, seconds, frame] = parts[..] else { return "--:--:--:--".into() };
    let first = [(hours, 24), (minutes, 60), (seconds, 60), (frame, RECORDING_FPS)]
        .into_iter()
        .fold(0_u32, |sum, (value, base)| sum * base + value.min(base - 1));
    let day = i64::from(super::mp4::FRAMES_PER_DAY);
    let now = (i64::from(first) + frames(after_us)).rem_euclid(day);
    Timecode { start_frame: u32::try_from(now).expect("less than a day's frames") }.to_string()
}

fn frames(micros: i64) -> i64 {
    MediaTime::from_micros(micros, RECORDING_FPS).ticks
}

fn seconds(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let micros = micros.unsigned_abs();
    format!("{sign}{}.{:06} s", micros / 1_000_000, micros % 1_000_000)
}

fn offset(seconds: i32) -> String {
    let minutes = seconds.unsigned_abs() / 60;
    format!("{}{:02}:{:02}", if seconds < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
}

fn participant(metadata: &Metadata, id: u8) -> String {
    let person = metadata.participants.iter().find(|person| person.id == id);
    person.map_or_else(
        || format!("participant {id}"),
        |p| format!("{} (participant {id})", line(&p.name)),
    )
}

/// Names come from other machines: one line, nothing that a terminal would obey.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::metadata::{Event, FileEntry, Kind, SafetyTrack, Tone, tests::example};
    use super::*;

    #[test]
    fn an_editor_finds_every_instant() {
        let mut metadata = example();
        metadata.hyperzoom.files.push(FileEntry {
            name: "local_recording.mp4".into(),
            bytes: 1234,
            frames: 60,
            samples: 96_000,
            ..FileEntry::default()
        });
        metadata.hyperzoom.tones.push(Tone { session_us: 14_000_000, sample: 72_000, file: None });
        let what = "Bob joined".into();
        let joined = Event { session_us: 12_000_000, kind: Kind::Joined, what };
        metadata.hyperzoom.events.insert(0, joined);
        let expected = "\
HyperZoom timecode reference
============================

Session            a1b2c3d4
Recorded by        Bob (participant 1)
Timecode           30 fps, non-drop; time of day at UTC+01:00

T0, the session's first frame, the same instant for everybody:
  UTC              2026-02-27T20:15:00.000Z
  session clock    12.000000 s
This recording's first frame and sample:
  UTC              2026-02-27T20:15:00.500Z
  session clock    12.500000 s
  timecode         21:15:00:15
  after T0         15 frames
  length           3842 s

Participants (session clock minus own clock):
  0  Alice (Host)         +0 ms
  1  Bob                  -12340.250 ms, known to 0.400 ms, skew +3.10 ppm

Files:
  local_recording.mp4  60 frames, 96000 samples, 1234 bytes

Sync tones in this recording (timecode, position in the file, sample, session clock):
  21:15:02:00     0:00:01.500      sample 72000       14.000000 s

Events (timecode, position in the file, session clock, what):
  21:15:00:00    -0:00:00.500       12.000000 s  Bob joined
  21:16:00:00     0:00:59.500       72.000000 s  marker
";
        assert_eq!(text(&metadata), expected);
    }

    #[test]
    fn of_several_files_each_instant_is_told_in_its_own() {
        let mut metadata = example();
        for (name, start, code) in
            [("a.mp4", 12_500_000, "21:15:00:15"), ("b.mp4", 200_000_000, "21:18:08:00")]
        {
            metadata.hyperzoom.files.push(FileEntry {
                name: name.into(),
                start_session_us: Some(start),
                start_timecode: Some(code.into()),
                ..FileEntry::default()
            });
        }
        metadata.hyperzoom.safety_tracks.push(SafetyTrack {
            file: "remote_audio_Ben.mp4".into(),
            name: "Ben".into(),
            packets: 9,
            gaps: 2,
            gap_ms: 1_230.0,
            ..SafetyTrack::default()
        });
        let file = Some("b.mp4".into());
        metadata.hyperzoom.tones.push(Tone { session_us: 201_000_000, sample: 48_000, file });
        let text = text(&metadata);
        for line in [
            "  remote_audio_Ben.mp4  Ben, 9 packets, 0 lost, 2 gaps of 1.2 s in all",
            "  a.mp4  from 21:15:00:15  0 frames, 0 samples, 0 bytes",
            "  b.mp4  from 21:18:08:00  0 frames, 0 samples, 0 bytes",
            "  21:18:09:00     0:00:01.000      sample 48000      201.000000 s  b.mp4",
            "  21:16:00:00     0:00:59.500       72.000000 s  a.mp4  marker",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }

    #[test]
    fn a_name_cannot_break_the_lines_or_speak_to_the_terminal() {
        let mut metadata = example();
        metadata.participants[1].name = "Bob\n\u{1b}[2JEve".into();
        assert!(text(&metadata).contains("Bob  [2JEve"));
    }

    #[test]
    fn timecodes_before_the_start_and_over_midnight_wrap() {
        assert_eq!(timecode_at("00:00:00:00", -33_333), "23:59:59:29");
        assert_eq!(timecode_at("23:59:59:29", 33_333), "00:00:00:00");
        assert_eq!(timecode_at("", 0), "--:--:--:--");
    }
}
