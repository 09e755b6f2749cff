//! The session's small files from what the engine knows: `session_metadata.json` and
//! `sync_timecodes.txt` (PRD 7), and the figures of the finished file as read back from it.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::call_state::CallState;
use super::config::CallConfig;
use super::events::Events;
use super::folder::SessionFolder;
use super::record::{FILE_NAME, RecordShared, Start, Written, video_parameters};
use crate::devices::{CameraInfo, SoundInfo};
use crate::recording::metadata::{
    ClockEstimate, Counters, Devices, Extension, FileEntry, Metadata, Participant, Recording,
    VERSION, utc,
};
use crate::recording::mp4::{Summary, Timecode};
use crate::recording::{aac, timecodes};
use crate::ui::model::Finished;
use crate::units::ParticipantId;

/// File names of PRD 7.
const METADATA: &str = "session_metadata.json";
const TIMECODES: &str = "sync_timecodes.txt";

/// Everything that the files tell of.
pub struct Session<'a> {
    pub config: &'a CallConfig,
    pub start: &'a Start,
    pub state: &'a CallState,
    pub record: &'a RecordShared,
    pub camera: Option<&'a CameraInfo>,
    pub microphone: Option<&'a SoundInfo>,
    pub speaker: Option<&'a SoundInfo>,
    pub folder: &'a SessionFolder,
    pub finished: Option<&'a Finished>,
}

/// Writes both files anew.
pub fn write(session: &Session<'_>) -> io::Result<()> {
    let metadata = session.metadata();
    session.folder.replace(METADATA, &metadata.to_json())?;
    session.folder.replace(TIMECODES, &timecodes::text(&metadata))
}

impl Session<'_> {
    fn metadata(&self) -> Metadata {
        let Self { start, state, record, .. } = self;
        let own = state.own_id.unwrap_or(ParticipantId::HOST);
        let stats = record.counters().unwrap_or_default();
        let session_id = state.session.as_ref().map(|s| s.session_id).unwrap_or_default();
        let seconds = self.finished.map_or(stats.seconds, |f| f.seconds);
        let video = self.camera.map(|c| video_parameters(c.width, c.height));
        Metadata {
            session_id: session_id.iter().map(|b| format!("{b:02x}")).collect(),
            started_at_utc: utc(start.epoch_utc_micros + start.t0.0),
            duration_seconds: seconds.round() as u64,
            participants: self.participants(own),
            recording: Recording {
                video_codec: video.map_or(String::new(), |_| "H.264 High@4.1".to_owned()),
                video_resolution: video
                    .map_or(String::new(), |v| format!("{}x{}", v.width, v.height)),
                video_fps: 30,
                video_bitrate_kbps: video.map_or(0, |v| v.bitrate_bps / 1_000),
                audio_codec: "AAC-LC".to_owned(),
                audio_sample_rate: 48_000,
                audio_bitrate_kbps: aac::BITRATE / 1_000,
                container: if self.finished.is_some() { "MP4" } else { "fMP4" }.to_owned(),
                total_frames_captured: stats.frames_captured,
                total_frames_dropped: stats.frames_dropped,
            },
            hyperzoom: Extension {
                version: VERSION,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                finalised: self.finished.is_some(),
                own_id: own.0,
                t0_session_us: start.t0.0,
                session_epoch_utc_us: start.epoch_utc_micros,
                file_start_session_us: start.file().0,
                start_timecode: Timecode { start_frame: start.timecode() }.to_string(),
                utc_offset_seconds: start.utc_offset_seconds,
                counters: Counters {
                    frames_captured: stats.frames_captured,
                    frames_encoded: stats.frames_encoded,
                    cadence_discarded: stats.cadence_discarded,
                    withheld: stats.withheld,
                    frames_repeated: stats.frames_repeated,
                    black_frames: stats.black_frames,
                    spilled: stats.spilled,
                    frames_dropped: stats.frames_dropped,
                    samples: self.finished.map_or(record.samples.load(Relaxed), |f| f.samples),
                    samples_silence_filled: record.samples_filled.load(Relaxed),
                    samples_muted: record.samples_muted.load(Relaxed),
                },
                devices: Devices {
                    microphone: self.microphone.map(|d| d.name.clone()),
                    speaker: self.speaker.map(|d| d.name.clone()),
                    camera: self.camera.map(|c| c.name.clone()),
                    video_encoder: video.map(|_| record.encoder_name()),
                },
                clocks: state
                    .clock
                    .iter()
                    .map(|c| ClockEstimate {
                        id: own.0,
                        offset_ms: c.offset as f64 / 1e3,
                        uncertainty_ms: c.uncertainty as f64 / 1e3,
                        skew_ppm: 0.0,
                    })
                    .collect(),
                files: self
                    .finished
                    .map(|f| FileEntry {
                        name: FILE_NAME.to_owned(),
                        bytes: f.bytes,
                        frames: f.frames_encoded + f.frames_repeated + f.black_frames,
                        samples: f.samples,
                    })
                    .into_iter()
                    .collect(),
                events: record.notes(),
            },
        }
    }

    fn participants(&self, own: ParticipantId) -> Vec<Participant> {
        let own_offset = self.state.clock.map_or(0, |c| (c.offset as f64 / 1e3).round() as i64);
        let others = self.state.members.iter().map(|(id, m)| (*id, m.name.clone()));
        let mut all: Vec<Participant> = std::iter::once((own.0, self.config.name.clone()))
            .chain(others)
            .chain(self.state.past.iter().cloned())
            .map(|(id, name)| {
                let clock_offset_ms = if id == own.0 { own_offset } else { 0 };
                Participant { id, name, clock_offset_ms }
            })
            .collect();
        all.sort_by_key(|p| p.id);
        all.dedup_by(|a, b| a.id == b.id && a.name == b.name);
        all
    }
}

/// What is in the closed file, read back from it; the counters as the recorder kept them.
pub fn finished(written: &Written, record: &RecordShared, events: &Events) -> Finished {
    let stats = record.counters().unwrap_or_default();
    let summary = File::open(&written.path)
        .map_err(|e| e.to_string())
        .and_then(|mut file| Summary::read(&mut file).map_err(|e| e.to_string()));
    let (seconds, samples, pictures) = match &summary {
        Ok(summary) => (
            summary.seconds(),
            summary.audio().map_or(0, |t| t.duration),
            summary.video().map_or(0, |t| t.samples),
        ),
        Err(e) => {
            events.error(
                format!("{} does not read back: {e}", written.path.display()),
                "keep the file: every whole second in it can be recovered",
            );
            (0.0, 0, 0)
        }
    };
    let expected = stats.frames_encoded + stats.frames_repeated + stats.black_frames;
    if summary.is_ok() && pictures != expected {
        events.error(
            format!("the file holds {pictures} pictures, {expected} were to be written"),
            "keep the file and report this",
        );
    }
    Finished {
        path: written.path.display().to_string(),
        folder: written.path.parent().map(|p| p.display().to_string()).unwrap_or_default(),
        seconds,
        bytes: written.bytes,
        frames_captured: stats.frames_captured,
        frames_encoded: stats.frames_encoded,
        frames_dropped: stats.frames_dropped,
        cadence_discarded: stats.cadence_discarded,
        frames_repeated: stats.frames_repeated,
        black_frames: stats.black_frames,
        withheld: stats.withheld,
        samples,
        encode_ms: stats.encode_ms,
    }
}
