//! `session_metadata.json` (PRD section 7): the PRD's fields with its names and types, and what
//! goes beyond them in one versioned `hyperzoom` object.
//!
//! Pure: makes text. The engine writes it, to a temporary file first and then renamed, at the
//! start, when participants come and go, and at the end, so that a crash leaves a true one.

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use super::safety::Counts;
use crate::units::{MediaTime, SAMPLE_RATE, SAMPLES_PER_FRAME};

/// Version of the `hyperzoom` object. Readers accept higher ones: fields are only added.
pub const VERSION: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The session's id, the same for all participants.
    pub session_id: String,
    /// T0 in UTC: RFC 3339 with milliseconds and `Z` (see [`utc`]).
    pub started_at_utc: String,
    /// Length of this recording in whole seconds.
    pub duration_seconds: u64,
    /// Everybody who was in the session, also who left.
    pub participants: Vec<Participant>,
    /// What the file holds.
    pub recording: Recording,
    /// Beyond the PRD.
    pub hyperzoom: Extension,
}

/// One participant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Participant {
    /// Id in the session, 0 for the host.
    pub id: u8,
    /// Display name.
    pub name: String,
    /// Session clock minus this participant's own clock, rounded to milliseconds.
    pub clock_offset_ms: i64,
}

/// What the file holds, as the PRD names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// `H.264 High@4.1`; empty without a camera.
    pub video_codec: String,
    /// `1920x1080`; empty without a camera.
    pub video_resolution: String,
    /// Frames per second.
    pub video_fps: u32,
    /// Aimed at, kbit/s.
    pub video_bitrate_kbps: u32,
    /// `AAC-LC` or `FLAC`.
    pub audio_codec: String,
    /// Samples per second.
    pub audio_sample_rate: u32,
    /// kbit/s; FLAC's is about.
    pub audio_bitrate_kbps: u32,
    /// `fMP4` while recording or when interrupted, `MP4` once finalised.
    pub container: String,
    /// Frames that the camera delivered.
    pub total_frames_captured: u64,
    /// Frames lost between camera and file: must be 0.
    pub total_frames_dropped: u64,
}

/// What the PRD does not name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// [`VERSION`].
    pub version: u32,
    /// The program's version.
    pub program: String,
    /// The file was ended as it should be.
    pub finalised: bool,
    /// The file was interrupted and ended later, by `hyperzoom recover`: what it holds stands in
    /// `files`, the counters are those of the last word before the interruption.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub recovered: bool,
    /// Which participant made this recording.
    pub own_id: u8,
    /// T0 on the session clock, microseconds.
    pub t0_session_us: i64,
    /// UTC when the session clock was 0, microseconds since 1970.
    pub session_epoch_utc_us: i64,
    /// Session clock at this file's first frame and sample, microseconds.
    pub file_start_session_us: i64,
    /// Timecode of the file's first frame, `HH:MM:SS:FF`, 30 fps non-drop.
    pub start_timecode: String,
    /// Offset of the timecode's local time from UTC, seconds.
    pub utc_offset_seconds: i32,
    /// What became of each frame and sample.
    pub counters: Counters,
    /// What was recorded with.
    pub devices: Devices,
    /// How well each clock is known.
    pub clocks: Vec<ClockEstimate>,
    /// The session's files of this participant, in order.
    pub files: Vec<FileEntry>,
    /// What was received of the other participants' sound, a file each; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub safety_tracks: Vec<SafetyTrack>,
    /// Sync tones in this recording, in order.
    pub tones: Vec<Tone>,
    /// What happened, in order.
    pub events: Vec<Event>,
}

/// The accounting: captured = encoded + cadence_discarded + withheld (+ queued while recording);
/// frames in the file = encoded + repeated + black.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Delivered by the camera from the recording's start on.
    pub frames_captured: u64,
    /// Of these, in the file.
    pub frames_encoded: u64,
    /// Of these, left out because the camera is faster than 30 fps.
    pub cadence_discarded: u64,
    /// Of these, kept out because the camera was switched off.
    pub withheld: u64,
    /// Frames shown again because the camera was slower than 30 fps.
    pub frames_repeated: u64,
    /// Black frames: camera off or not there yet.
    pub black_frames: u64,
    /// Frames that took the way through the scratch file.
    pub spilled: u64,
    /// Lost: must be 0.
    pub frames_dropped: u64,
    /// Audio samples in the file.
    pub samples: u64,
    /// Of these, silence because the microphone gave nothing.
    pub samples_silence_filled: u64,
    /// Of these, muted.
    pub samples_muted: u64,
}

/// Names of the devices.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Devices {
    /// Microphone.
    pub microphone: Option<String>,
    /// Speaker.
    pub speaker: Option<String>,
    /// Camera.
    pub camera: Option<String>,
    /// H.264 encoder.
    pub video_encoder: Option<String>,
    /// How much faster than its nominal rate the microphone's clock runs against the local clock,
    /// parts per million.
    pub microphone_ppm: Option<f64>,
    /// Frames a second of the local clock, as measured from the camera's stamps.
    pub camera_fps: Option<f64>,
    /// How much faster that is than the nearest rate that cameras name, parts per million.
    pub camera_ppm: Option<f64>,
    /// How much later than captured the pictures stand (`--av-offset`), milliseconds.
    pub av_offset_ms: f64,
}

/// A participant's clock against the session clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockEstimate {
    /// Whose.
    pub id: u8,
    /// Session clock minus own clock, milliseconds.
    pub offset_ms: f64,
    /// The truth is this near, milliseconds.
    pub uncertainty_ms: f64,
    /// How much faster the session clock runs, parts per million.
    pub skew_ppm: f64,
}

/// One file in the session's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its name inside the folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Frames in it.
    pub frames: u64,
    /// Audio samples in it.
    pub samples: u64,
    /// Session clock at its first frame and sample, microseconds; absent where the file is the only
    /// one (then it is the extension's `file_start_session_us`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_session_us: Option<i64>,
    /// Timecode of its first frame, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timecode: Option<String>,
    /// BLAKE2s-256 over the bytes of all its pictures and packets in the order they lie in it, in
    /// hexadecimal; absent while it is not finalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_blake2s: Option<String>,
}

impl FileEntry {
    /// Its length.
    pub fn seconds(&self) -> f64 {
        (self.samples as f64 / 48_000.0).max(self.frames as f64 / 30.0)
    }
}

/// A safety track: a participant's live sound as it was received, in a file that begins at T0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SafetyTrack {
    /// Its name inside the folder.
    pub file: String,
    /// Whose: id in the session.
    pub id: u8,
    /// Whose: display name.
    pub name: String,
    /// Session clock where its first packet begins, microseconds.
    pub first_session_us: i64,
    /// Session clock where its last packet ends, microseconds.
    pub last_session_us: i64,
    /// Opus packets in it.
    pub packets: u64,
    /// Frames that were sent and never came, as far as that is known: not of what came after the
    /// last word before an interruption.
    pub lost: u64,
    /// Gaps between its packets: loss, silence that is not sent, absence.
    pub gaps: u64,
    /// Their length in all, milliseconds.
    pub gap_ms: f64,
    /// The file's length.
    pub bytes: u64,
    /// As [`FileEntry::media_blake2s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_blake2s: Option<String>,
}

/// Something worth knowing in the edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, session clock, microseconds.
    pub session_us: i64,
    /// What happened, for programs.
    #[serde(default)]
    pub kind: Kind,
    /// What happened, for people.
    pub what: String,
}

/// Kinds of [`Event`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A participant came in.
    Joined,
    /// A participant left or was lost.
    Left,
    /// A microphone was muted.
    Muted,
    /// ... and is open again.
    Unmuted,
    /// A camera was switched off.
    CameraOff,
    /// ... and on again.
    CameraOn,
    /// Samples or pictures of this recording are missing and were filled.
    Gap,
    /// A computer was asleep.
    Sleep,
    /// The person marked this instant.
    Marker,
    /// A device or its file.
    Device,
    /// Anything else, also of later versions.
    #[default]
    #[serde(other)]
    Other,
}

/// A sync tone in this recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tone {
    /// Its agreed instant, session clock, microseconds.
    pub session_us: i64,
    /// The sample of the file at which its reference point stands.
    pub sample: u64,
    /// The file; absent for the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Metadata {
    /// The file's text: indented, with a line end.
    pub fn to_json(&self) -> String {
        let mut text =
            serde_json::to_string_pretty(self).expect("these structures have only string keys");
        text.push('\n');
        text
    }

    /// Reads a file's text; unknown fields are passed over.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The file of that name was ended after it had been interrupted, and holds that much.
    pub fn recover(&mut self, file: FileEntry, duration_seconds: f64) {
        self.duration_seconds = duration_seconds.round() as u64;
        self.recording.container = "MP4".to_owned();
        let own = &mut self.hyperzoom;
        own.finalised = true;
        own.recovered = true;
        match own.files.iter_mut().find(|known| known.name == file.name) {
            Some(known) => {
                // Where it begins was known before.
                let (at, code) = (known.start_session_us, known.start_timecode.take());
                *known = FileEntry { start_session_us: at, start_timecode: code, ..file };
            }
            None => own.files.push(file),
        }
        own.counters.samples = own.files.iter().map(|file| file.samples).sum();
        if own.files.len() > 1 {
            self.duration_seconds = own.files.iter().map(FileEntry::seconds).sum::<f64>() as u64;
        }
    }

    /// The safety track of that name was ended after it had been interrupted, and holds that much.
    /// What is not in the file itself (whose it is, what was lost) stays.
    pub fn recover_track(&mut self, file: &str, counts: &Counts, bytes: u64, hash: Option<String>) {
        let t0 = self.hyperzoom.t0_session_us;
        let at = |sample: u64| t0 + MediaTime::samples(sample as i64).to_micros();
        let known = self.hyperzoom.safety_tracks.iter_mut().find(|track| track.file == file);
        if let Some(track) = known {
            track.first_session_us = at(counts.first.unwrap_or(0));
            track.last_session_us = at(counts.end);
            track.packets = counts.packets;
            track.gaps = counts.gaps;
            track.gap_ms = counts.gap_samples as f64 / 48.0;
            track.bytes = bytes;
            track.media_blake2s = hash.or(track.media_blake2s.take());
        }
    }

    /// From T0 to the end of this recording, samples.
    pub fn samples_from_t0(&self) -> u64 {
        let own = &self.hyperzoom;
        let samples = |micros: i64| MediaTime::from_micros(micros, SAMPLE_RATE).ticks;
        let from = |start: i64| samples(start.saturating_sub(own.t0_session_us)).max(0) as u64;
        let ends = own.files.iter().map(|file| {
            let start = file.start_session_us.unwrap_or(own.file_start_session_us);
            from(start) + file.samples.max(file.frames * u64::from(SAMPLES_PER_FRAME))
        });
        let told =
            || from(own.file_start_session_us) + self.duration_seconds * u64::from(SAMPLE_RATE);
        ends.max().filter(|end| *end > 0).unwrap_or_else(told)
    }

    /// UTC at an instant of the session clock, microseconds since 1970.
    pub fn utc_us(&self, session_us: i64) -> i64 {
        self.hyperzoom.session_epoch_utc_us.saturating_add(session_us)
    }
}

/// RFC 3339 with milliseconds and `Z`: `2026-02-27T20:15:00.000Z`.
pub fn utc(micros_since_1970: i64) -> String {
    DateTime::from_timestamp_micros(micros_since_1970)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What the PRD's example says, with an extension.
    pub fn example() -> Metadata {
        Metadata {
            session_id: "a1b2c3d4".into(),
            started_at_utc: utc(1_772_223_300_000_000),
            duration_seconds: 3842,
            participants: vec![
                Participant { id: 0, name: "Alice (Host)".into(), clock_offset_ms: 0 },
                Participant { id: 1, name: "Bob".into(), clock_offset_ms: -12340 },
            ],
            recording: Recording {
                video_codec: "H.264 High@4.1".into(),
                video_resolution: "1920x1080".into(),
                video_fps: 30,
                video_bitrate_kbps: 18000,
                audio_codec: "AAC-LC".into(),
                audio_sample_rate: 48000,
                audio_bitrate_kbps: 192,
                container: "fMP4".into(),
                total_frames_captured: 115_260,
                total_frames_dropped: 0,
            },
            hyperzoom: Extension {
                version: VERSION,
                program: "0.1.0".into(),
                own_id: 1,
                t0_session_us: 12_000_000,
                session_epoch_utc_us: 1_772_223_288_000_000,
                file_start_session_us: 12_500_000,
                start_timecode: "21:15:00:15".into(),
                utc_offset_seconds: 3600,
                clocks: vec![ClockEstimate {
                    id: 1,
                    offset_ms: -12340.25,
                    uncertainty_ms: 0.4,
                    skew_ppm: 3.1,
                }],
                events: vec![Event {
                    session_us: 72_000_000,
                    kind: Kind::Marker,
                    what: "marker".into(),
                }],
                ..Extension::default()
            },
        }
    }

    #[test]
    fn the_prds_example_comes_out_field_for_field() {
        // Typed from PRD section 7.
        let prd: serde_json::Value = serde_json::from_str(
            r#"{ "session_id": "a1b2c3d4", "started_at_utc": "2026-02-27T20:15:00.000Z",
                "duration_seconds": 3842,
                "participants": [
                  { "id": 0, "name": "Alice (Host)", "clock_offset_ms": 0 },
                  { "id": 1, "name": "Bob", "clock_offset_ms": -12340 } ],
                "recording": { "video_codec": "H.264 High@4.1", "video_resolution": "1920x1080",
                  "video_fps": 30, "video_bitrate_kbps": 18000, "audio_codec": "AAC-LC",
                  "audio_sample_rate": 48000, "audio_bitrate_kbps": 192, "container": "fMP4",
                  "total_frames_captured": 115260, "total_frames_dropped": 0 } }"#,
        )
        .unwrap();
        let mut ours: serde_json::Value = serde_json::from_str(&example().to_json()).unwrap();
        let extension = ours.as_object_mut().unwrap().remove("hyperzoom").unwrap();
        assert_eq!(ours, prd);
        assert_eq!(extension["version"], 1);
        assert_eq!(extension["t0_session_us"], 12_000_000);
    }

    #[test]
    fn a_recovered_part_keeps_where_it_begins_and_the_length_is_that_of_all() {
        let mut metadata = example();
        let part = |name: &str, samples, start| FileEntry {
            name: name.into(),
            samples,
            start_session_us: start,
            ..FileEntry::default()
        };
        let files = &mut metadata.hyperzoom.files;
        files.push(part("local_recording.mp4", 480_000, Some(12_500_000)));
        files.push(part("local_recording_2.mp4", 0, Some(200_000_000)));
        metadata.recover(part("local_recording_2.mp4", 96_000, None), 2.0);
        let own = &metadata.hyperzoom;
        assert_eq!(own.files[1], part("local_recording_2.mp4", 96_000, Some(200_000_000)));
        assert_eq!((metadata.duration_seconds, own.counters.samples), (12, 576_000));
        assert!(own.recovered && own.finalised);
    }

    #[test]
    fn a_session_lasts_from_t0_to_the_end_of_its_last_file() {
        let mut metadata = example();
        // Nothing is closed yet: what was told, from the file's start half a second behind T0.
        assert_eq!(metadata.samples_from_t0(), 3_842 * 48_000 + 24_000);
        let file = FileEntry { frames: 300, samples: 479_000, ..FileEntry::default() };
        metadata.hyperzoom.files = vec![file.clone()];
        assert_eq!(metadata.samples_from_t0(), 480_000 + 24_000);
        let later = FileEntry { start_session_us: Some(112_000_000), ..file };
        metadata.hyperzoom.files.push(later);
        assert_eq!(metadata.samples_from_t0(), 100 * 48_000 + 480_000);
    }

    #[test]
    fn a_recovered_track_keeps_whose_it_is_and_what_was_lost() {
        let mut metadata = example();
        let track = SafetyTrack {
            file: "remote_audio_Ben.mp4".into(),
            id: 1,
            name: "Ben".into(),
            lost: 7,
            ..SafetyTrack::default()
        };
        metadata.hyperzoom.safety_tracks.push(track);
        let mut counts = Counts::default();
        counts.add(48_000, 240);
        counts.add(96_000, 240);
        metadata.recover_track("remote_audio_Ben.mp4", &counts, 99, Some("aa".into()));
        let track = &metadata.hyperzoom.safety_tracks[0];
        assert_eq!((track.id, &track.name[..], track.lost), (1, "Ben", 7));
        assert_eq!((track.first_session_us, track.last_session_us), (13_000_000, 14_005_000));
        assert_eq!((track.packets, track.gaps, track.gap_ms, track.bytes), (2, 1, 995.0, 99));
        assert!(!metadata.hyperzoom.finalised, "the own recording is another matter");
        metadata.recover_track("another.mp4", &counts, 1, None);
        assert_eq!(metadata.hyperzoom.safety_tracks.len(), 1);
    }

    #[test]
    fn what_was_written_reads_back_and_newer_fields_are_passed_over() {
        let text = example().to_json();
        assert_eq!(Metadata::from_json(&text).unwrap(), example());
        let newer = text.replacen("\"version\": 1", "\"version\": 2, \"later\": []", 1);
        assert_eq!(Metadata::from_json(&newer).unwrap().hyperzoom.version, 2);
    }

    /// Complaints of the committed schema about a document.
    fn complaints(document: &serde_json::Value) -> Option<String> {
        let text = include_str!("../../docs/session_metadata.schema.json");
        let schema: serde_json::Value = serde_json::from_str(text).expect("the schema is JSON");
        let mut compiler = boon::Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("metadata.json", schema).expect("it has an address");
        let mut schemas = boon::Schemas::new();
        let schema = compiler.compile("metadata.json", &mut schemas).expect("it is a schema");
        schemas.validate(document, schema).err().map(|e| format!("{e:#}"))
    }

    #[test]
    fn the_committed_schema_holds_what_is_written_and_nothing_else() {
        let mut metadata = example();
        metadata.hyperzoom.tones.push(Tone { session_us: 1, sample: 2, file: Some("b".into()) });
        metadata.hyperzoom.files.push(FileEntry {
            name: "b".into(),
            start_session_us: Some(7),
            start_timecode: Some("21:15:00:15".into()),
            media_blake2s: Some("0".repeat(64)),
            ..FileEntry::default()
        });
        metadata.hyperzoom.devices.microphone_ppm = Some(-11.5);
        let good: serde_json::Value = serde_json::from_str(&metadata.to_json()).unwrap();
        assert_eq!(complaints(&good), None);
        let wrong: [(&str, serde_json::Value); 10] = [
            ("/session_id", "xyz".into()),
            ("/started_at_utc", "yesterday".into()),
            ("/duration_seconds", 1.5.into()),
            ("/participants/0/id", 4.into()),
            ("/participants/0/clock_offset_ms", 0.5.into()),
            ("/recording/video_fps", 25.into()),
            ("/recording/total_frames_dropped", (-1).into()),
            ("/hyperzoom/version", 0.into()),
            ("/hyperzoom/start_timecode", "21:15:00;15".into()),
            ("/hyperzoom/events/0/kind", "party".into()),
        ];
        for (at, value) in wrong {
            let mut bad = good.clone();
            *bad.pointer_mut(at).expect(at) = value;
            assert!(complaints(&bad).is_some(), "{at}");
        }
        // All fields are described, and none is left out.
        let schema = include_str!("../../docs/session_metadata.schema.json");
        let mut lacking = Vec::new();
        fields(&good, &mut |name| {
            if !schema.contains(&format!("\"{name}\":")) {
                lacking.push(name.to_owned());
            }
        });
        assert!(lacking.is_empty(), "the schema does not know {lacking:?}");
    }

    fn fields(value: &serde_json::Value, told: &mut dyn FnMut(&str)) {
        match value {
            serde_json::Value::Object(map) => {
                for (name, value) in map {
                    told(name);
                    fields(value, told);
                }
            }
            serde_json::Value::Array(all) => all.iter().for_each(|value| fields(value, told)),
            _ => {}
        }
    }
}
