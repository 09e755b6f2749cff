//! The session's small files from what the engine knows: `session_metadata.json` and
//! `sync_timecodes.txt` (PRD 7), and the figures of the finished file as read back from it.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering::Relaxed;

use super::call_state::CallState;
use super::config::CallConfig;
use super::events::Events;
use super::folder::SessionFolder;
use super::record::{RecordShared, Start, Written, part, video_parameters};
use super::safety::TrackView;
use crate::clock::Estimate;
use crate::devices::{CameraInfo, SoundInfo};
use crate::platform::clock;
use crate::protocol::control::ClockReport;
use crate::recording::media::hex;
use crate::recording::metadata::{
    ClockEstimate, Counters, Devices, Extension, FileEntry, Metadata, Participant, Recording,
    SafetyTrack, VERSION, utc,
};
use crate::recording::mp4::{Summary, Timecode};
use crate::recording::{frame_rate, timecodes};
use crate::ui::model::{Finished, FinishedPart, FinishedTrack};
use crate::ui::notice::Notice;
use crate::units::{MediaTime, Micros, ParticipantId};

/// File names of PRD 7.
pub const METADATA: &str = "session_metadata.json";
pub const TIMECODES: &str = "sync_timecodes.txt";

/// Everything that the files tell of.
pub struct Session<'a> {
    pub config: &'a CallConfig,
    pub start: &'a Start,
    pub state: &'a CallState,
    pub record: &'a RecordShared,
    pub tracks: &'a [TrackView],
    pub camera: Option<&'a CameraInfo>,
    pub microphone: Option<SoundInfo>,
    pub speaker: Option<SoundInfo>,
    pub folder: &'a SessionFolder,
    pub finished: Option<&'a Finished>,
}

/// Has both files written anew.
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
                audio_codec: self.config.audio_format.name().to_owned(),
                audio_sample_rate: 48_000,
                audio_bitrate_kbps: self.config.audio_format.bitrate() / 1_000,
                container: if self.finished.is_some() { "MP4" } else { "fMP4" }.to_owned(),
                total_frames_captured: stats.frames_captured,
                total_frames_dropped: stats.frames_dropped,
            },
            hyperzoom: Extension {
                version: VERSION,
                program: env!("CARGO_PKG_VERSION").to_owned(),
                finalised: self.finished.is_some(),
                recovered: false,
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
                    microphone: self.microphone.as_ref().map(|d| d.name.clone()),
                    speaker: self.speaker.as_ref().map(|d| d.name.clone()),
                    camera: self.camera.map(|c| c.name.clone()),
                    video_encoder: video.map(|_| record.encoder_name()),
                    microphone_ppm: record.microphone_rate.ppm(),
                    camera_fps: record.camera_fps(),
                    camera_ppm: record.camera_fps().map(frame_rate::ppm),
                    av_offset_ms: record.av_offset.load(Relaxed) as f64 / 1e3,
                },
                clocks: self.clocks(own),
                files: self.files(),
                safety_tracks: self.tracks.iter().map(|t| safety_track(t, start)).collect(),
                tones: record.tones(),
                events: record.notes(),
            },
        }
    }

    /// The files: one as soon as it is closed, several as soon as they are begun.
    fn files(&self) -> Vec<FileEntry> {
        let parts = &self.record.parts;
        let written = parts.written();
        let count = parts.count();
        if count == 1 && self.finished.is_none() {
            return Vec::new();
        }
        let entry = |number: usize| {
            let start = *parts.get(number)?.start.get()?;
            let of_several = count > 1;
            let code = Timecode { start_frame: start.timecode() }.to_string();
            let mut entry = FileEntry {
                name: part::file_name(number),
                start_session_us: of_several.then_some(start.file().0),
                start_timecode: of_several.then_some(code),
                ..FileEntry::default()
            };
            if let Some(closed) = written.iter().find(|w| w.number == number) {
                entry.bytes = closed.bytes;
                entry.frames = closed.frames;
                entry.samples = closed.samples;
                entry.media_blake2s = Some(hex(&closed.media_hash));
            }
            Some(entry)
        };
        (0..count).filter_map(entry).collect()
    }

    /// Everybody who is or was in, by id: name, and distance to the session clock where it is known.
    /// Who came twice is one.
    fn everybody(&self, own: ParticipantId) -> Vec<(u8, String, Option<ClockReport>)> {
        let state = self.state;
        // Offsets count from the host's clock, so the host's own is exactly 0.
        let own_clock = state
            .clock
            .map(|known| report(known, clock::now()))
            .or((own == ParticipantId::HOST).then(Default::default));
        let mut all = vec![(own.0, self.config.name.clone(), own_clock)];
        all.extend(state.members.iter().map(|(id, m)| (*id, m.name.clone(), m.status.clock)));
        for past in state.past.iter().rev() {
            match all.iter_mut().find(|(id, name, _)| *id == past.id && *name == past.name) {
                Some((_, _, clock)) => *clock = clock.or(past.clock),
                None => all.push((past.id, past.name.clone(), past.clock)),
            }
        }
        all.sort_by_key(|(id, _, _)| *id);
        all
    }

    fn participants(&self, own: ParticipantId) -> Vec<Participant> {
        let participant = |(id, name, clock): (u8, String, Option<ClockReport>)| {
            let offset = clock.unwrap_or_default().offset_micros;
            Participant { id, name, clock_offset_ms: (offset as f64 / 1e3).round() as i64 }
        };
        self.everybody(own).into_iter().map(participant).collect()
    }

    fn clocks(&self, own: ParticipantId) -> Vec<ClockEstimate> {
        self.everybody(own)
            .into_iter()
            .filter_map(|(id, _, clock)| {
                let clock = clock?;
                Some(ClockEstimate {
                    id,
                    offset_ms: clock.offset_micros as f64 / 1e3,
                    uncertainty_ms: f64::from(clock.uncertainty_micros) / 1e3,
                    skew_ppm: f64::from(clock.skew_ppb) / 1e3,
                })
            })
            .collect()
    }
}

fn safety_track(track: &TrackView, start: &Start) -> SafetyTrack {
    let counts = &track.counts;
    let session_us = |sample: u64| (start.t0 + MediaTime::samples(sample as i64).to_micros()).0;
    SafetyTrack {
        file: track.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        id: track.id,
        name: track.name.clone(),
        first_session_us: session_us(counts.first.unwrap_or(0)),
        last_session_us: session_us(counts.end),
        packets: counts.packets,
        lost: counts.lost,
        gaps: counts.gaps,
        gap_ms: counts.gap_samples as f64 / 48.0,
        bytes: track.bytes,
        media_blake2s: track.media_hash.as_ref().map(hex),
    }
}

/// An estimate as heartbeats carry it, `now`.
pub fn report(estimate: Estimate, now: Micros) -> ClockReport {
    ClockReport {
        offset_micros: estimate.offset,
        uncertainty_micros: estimate.uncertainty_at(now).clamp(0, u32::MAX.into()) as u32,
        skew_ppb: estimate.skew_ppb.clamp(i32::MIN.into(), i32::MAX.into()) as i32,
    }
}

/// What is in the closed files, read back from them; the counters as the recorder kept them. `None`
/// when nothing was closed.
pub fn finished(record: &RecordShared, tracks: &[TrackView], events: &Events) -> Option<Finished> {
    let written = record.parts.written();
    let first = written.first()?;
    let stats = record.counters().unwrap_or_default();
    let parts: Vec<_> = written.iter().map(|w| finished_part(w, events)).collect();
    let whole = parts.iter().all(|part| part.seconds > 0.0);
    let pictures: u64 = parts.iter().map(|part| part.frames).sum();
    let expected = stats.frames_encoded + stats.frames_repeated + stats.black_frames;
    if whole && pictures != expected && record.trouble().is_none() {
        events.notice(&Notice::CountsDiffer { found: pictures, expected });
    }
    Some(Finished {
        path: first.path.display().to_string(),
        folder: first.path.parent().map(|p| p.display().to_string()).unwrap_or_default(),
        seconds: if whole { parts.iter().map(|part| part.seconds).sum() } else { 0.0 },
        bytes: parts.iter().map(|part| part.bytes).sum(),
        frames_captured: stats.frames_captured,
        frames_encoded: stats.frames_encoded,
        frames_dropped: stats.frames_dropped,
        cadence_discarded: stats.cadence_discarded,
        frames_repeated: stats.frames_repeated,
        black_frames: stats.black_frames,
        withheld: stats.withheld,
        samples: parts.iter().map(|part| part.samples).sum(),
        encode_ms: stats.encode_ms,
        media_blake2s: hex(&first.media_hash),
        parts,
        safety_tracks: tracks.iter().map(finished_track).collect(),
    })
}

fn finished_track(track: &TrackView) -> FinishedTrack {
    let counts = &track.counts;
    FinishedTrack {
        path: track.path.display().to_string(),
        id: track.id,
        name: track.name.clone(),
        seconds: counts.end as f64 / 48_000.0,
        packets: counts.packets,
        lost: counts.lost,
        gaps: counts.gaps,
        gap_ms: counts.gap_samples as f64 / 48.0,
        bytes: track.bytes,
    }
}

fn finished_part(written: &Written, events: &Events) -> FinishedPart {
    let summary = File::open(&written.path)
        .map_err(|e| e.to_string())
        .and_then(|mut file| Summary::read(&mut file).map_err(|e| e.to_string()));
    let (seconds, samples, frames) = match &summary {
        Ok(summary) => (
            summary.seconds(),
            summary.audio().map_or(0, |t| t.duration),
            summary.video().map_or(0, |t| t.samples),
        ),
        Err(e) => {
            let path = written.path.display().to_string();
            events.notice(&Notice::NotReadBack { path, why: e.clone() });
            (0.0, 0, 0)
        }
    };
    FinishedPart {
        path: written.path.display().to_string(),
        start: written.start.file().as_secs_f64(),
        timecode: Timecode { start_frame: written.start.timecode() }.to_string(),
        seconds,
        bytes: written.bytes,
        frames,
        samples,
        media_blake2s: hex(&written.media_hash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::call_state::{Member, Past};
    use crate::engine::config::{Period, Role};
    use crate::protocol::control::Status;
    use crate::recording::sound::SoundFormat;
    use crate::units::SessionMicros;

    fn config() -> CallConfig {
        CallConfig {
            role: Role::Alone,
            name: "Alice".into(),
            session: None,
            output: "out".into(),
            mic: "off".parse().unwrap(),
            camera: "off".parse().unwrap(),
            speaker: "off".parse().unwrap(),
            period: Period::Auto,
            sound: crate::devices::SoundPath::Auto,
            audio: super::super::config::LiveAudio::default(),
            video_kbps: 400,
            loop_files: false,
            duration: None,
            encoder: None,
            mute: false,
            camera_off: false,
            record_while_muted: false,
            audio_format: SoundFormat::Aac,
            raw_audio: false,
            av_offset: None,
            tone: true,
            safety_tracks: true,
            window: false,
            find_unfinished: false,
        }
    }

    fn metadata(state: &CallState) -> Metadata {
        let t0 = SessionMicros(2_000_000);
        let start = Start { t0, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
        let config = config();
        let record = RecordShared::default();
        let folder = SessionFolder::new("out".into(), None, "Alice".into());
        Session {
            config: &config,
            start: &start,
            state,
            record: &record,
            tracks: &[],
            camera: None,
            microphone: None,
            speaker: None,
            folder: &folder,
            finished: None,
        }
        .metadata()
    }

    fn clock(offset_micros: i64) -> Option<ClockReport> {
        Some(ClockReport { offset_micros, uncertainty_micros: 500, skew_ppb: -12_500 })
    }

    #[test]
    fn the_host_lists_every_participants_own_offset_also_of_those_who_left() {
        let mut state = CallState { own_id: Some(ParticipantId::HOST), ..CallState::default() };
        let mut bob = Member::new("Bob".into());
        bob.status = Status { clock: clock(-12_340_400), ..Status::default() };
        state.members.insert(1, bob);
        state.members.insert(2, Member::new("Cleo".into()));
        // Cleo was in before and has not yet told again; Dan has gone.
        state.past.push(Past { id: 2, name: "Cleo".into(), clock: clock(7_000) });
        state.past.push(Past { id: 3, name: "Dan".into(), clock: None });
        let metadata = metadata(&state);
        let told: Vec<_> = metadata
            .participants
            .iter()
            .map(|p| (p.id, p.name.as_str(), p.clock_offset_ms))
            .collect();
        assert_eq!(told, [(0, "Alice", 0), (1, "Bob", -12_340), (2, "Cleo", 7), (3, "Dan", 0)]);
        let known: Vec<_> = metadata
            .hyperzoom
            .clocks
            .iter()
            .map(|c| (c.id, c.offset_ms, c.uncertainty_ms, c.skew_ppm))
            .collect();
        let expected = [(0, 0.0, 0.0, 0.0), (1, -12_340.4, 0.5, -12.5), (2, 7.0, 0.5, -12.5)];
        assert_eq!(known, expected);
    }

    #[test]
    fn a_guest_lists_its_own_offset_and_the_hosts_is_zero() {
        let estimate = Estimate { offset: 5_600, uncertainty: 300, ..Estimate::default() };
        let mut state = CallState {
            own_id: Some(ParticipantId(1)),
            clock: Some(estimate),
            ..CallState::default()
        };
        let mut host = Member::new("Host".into());
        host.status.clock = clock(0);
        state.members.insert(0, host);
        let told: Vec<_> =
            metadata(&state).participants.iter().map(|p| (p.id, p.clock_offset_ms)).collect();
        assert_eq!(told, [(0, 0), (1, 6)]);
    }
}
