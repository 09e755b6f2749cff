//! Turns counters into the figures that people and scripts see: the snapshot, `stats`, heartbeats.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use super::call_state::{CallState, Member};
use super::capture::CaptureLosses;
use super::config::{CallConfig, Role};
use super::control::health::{health, trouble};
use super::events::Events;
use super::folder::SessionFolder;
use super::latency::{Lately, Path, latency, round};
use super::metadata;
use super::offer::Offer;
use super::record::{RecordShared, video_parameters};
use super::shared::Shared;
use super::threads;
use super::window::Window;
use crate::audio::meter::{FLOOR_DB, Level, SharedMeter};
use crate::audio::mixer::PlayoutGauge;
use crate::audio::playout::PlayoutStats;
use crate::devices::{Camera, Microphone, SoundInfo, Speaker};
use crate::platform::{clock, usage};
use crate::protocol::control::{ClockReport, Reception, Status};
use crate::protocol::demux::DropCounters;
use crate::recording::aac;
use crate::recording::space::{TRACK_BPS, seconds_left};
use crate::ui::model::{
    ClockView, DiskStats, LiveStats, MicStats, PeerStats, PeerVideo, PeerView, RecordingStats,
    SPEAKING_DB, SentVideo, Snapshot, SoundDeviceStats, SoundStats, Stats,
};
use crate::ui::window::wire::TileInfo;
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// Where the figures come from.
pub struct Meters<'a> {
    pub config: &'a CallConfig,
    pub shared: &'a Shared,
    pub events: &'a Events,
    pub state: &'a Mutex<CallState>,
    pub record: &'a RecordShared,
    pub folder: &'a SessionFolder,
    pub offer: &'a Offer,
    pub window: &'a Window,
    pub microphone: Option<&'a Microphone>,
    pub speaker: Option<&'a Speaker>,
    pub camera: Option<&'a Camera>,
    pub meter: &'a SharedMeter,
    pub feeds: &'a [PlayoutGauge],
    pub drops: &'a Mutex<DropCounters>,
}

/// What is known of oneself.
struct Own {
    id: Option<ParticipantId>,
    clock: Option<ClockReport>,
}

/// Counters of a peer at the last second.
#[derive(Clone, Copy, Default)]
struct Before {
    sent: u64,
    received: u64,
    shown: u64,
    video_bytes: u64,
    playout: PlayoutStats,
}

/// Joins the levels of the snapshots (all equally long) of one second.
#[derive(Default)]
struct SecondLevel {
    peak: Option<f32>,
    power: f64,
    count: u32,
}

impl SecondLevel {
    fn add(&mut self, level: &Level) {
        self.peak = Some(self.peak.map_or(level.peak_db, |p| p.max(level.peak_db)));
        self.power += 10f64.powf(f64::from(level.rms_db) / 10.0);
        self.count += 1;
    }

    fn level(self) -> Level {
        let mean = self.power / f64::from(self.count.max(1));
        let rms_db = if mean > 1e-12 { (10.0 * mean.log10()) as f32 } else { FLOOR_DB };
        Level { peak_db: self.peak.unwrap_or(FLOOR_DB), rms_db, clipped: 0 }
    }
}

/// What is remembered between two looks.
pub struct Gauges {
    /// Overrides the phase while the end is under way.
    pub phase: Option<&'static str>,
    at: Micros,
    cpu: f64,
    cpu_percent: f64,
    rss_mb: f64,
    disk: DiskStats,
    before: [Before; MAX_PARTICIPANTS],
    /// The way from each: by the clocks, and there and back.
    ways: [(Lately, Lately); MAX_PARTICIPANTS],
    /// The fastest packet's way from each, microseconds, for the sender.
    told: [Option<i32>; MAX_PARTICIPANTS],
    peers: Vec<PeerStats>,
    recording: Option<RecordingStats>,
    second: SecondLevel,
    recent_level: Level,
    clipped: u64,
    lost: u64,
    live: LiveStats,
    live_before: (u64, u64, u64),
    /// What a frame on time took from the microphone to its packet's leaving, microseconds.
    input: i64,
}

impl Gauges {
    /// Nothing measured yet.
    pub fn new() -> Self {
        Self {
            phase: None,
            at: clock::now(),
            cpu: usage::cpu_seconds(),
            cpu_percent: 0.0,
            rss_mb: 0.0,
            disk: DiskStats::default(),
            before: Default::default(),
            ways: Default::default(),
            told: Default::default(),
            peers: Vec::new(),
            recording: None,
            second: SecondLevel::default(),
            recent_level: Level::default(),
            clipped: 0,
            lost: 0,
            live: LiveStats::default(),
            live_before: (0, 0, 0),
            input: 0,
        }
    }

    /// The disk, as of the last second.
    pub fn disk(&self) -> DiskStats {
        self.disk
    }

    /// More samples were lost since the last call.
    pub fn lost_samples_grew(&mut self, losses: &CaptureLosses) -> bool {
        let lost = losses.record.load(Relaxed);
        std::mem::replace(&mut self.lost, lost) < lost
    }

    /// The figures of the second that ends now.
    pub fn second(&mut self, m: &Meters<'_>) -> Stats {
        let now = clock::now();
        let seconds = (now.since(self.at) as f64 / 1e6).max(1e-3);
        self.at = now;
        let cpu = usage::cpu_seconds();
        self.cpu_percent = (cpu - self.cpu) / seconds * 100.0;
        self.cpu = cpu;
        self.rss_mb = usage::resident_bytes().map_or(0.0, |b| b as f64 / f64::from(1 << 20));
        self.recording = m.record.stats();
        self.disk = self.disk_stats(m);
        let clock = own_clock(m);
        let state = m.state.lock().unwrap_or_else(|e| e.into_inner());
        let own = Own { id: state.own_id, clock };
        let members: Vec<_> = state.members.iter().map(|(id, member)| (*id, member)).collect();
        self.peers =
            members.iter().map(|(id, member)| self.peer(m, *id, member, &own, seconds)).collect();
        drop(state);
        self.live = self.live_stats(m);
        // A second without a frame (no microphone) says nothing new.
        self.input = m.shared.input.take().unwrap_or(self.input);
        let level = std::mem::take(&mut self.second).level();
        Stats {
            timecode: timecode(m),
            recording: self.recording,
            disk: self.disk,
            mic: MicStats {
                peak_db: round(f64::from(level.peak_db), 1),
                rms_db: round(f64::from(level.rms_db), 1),
                xruns: m.microphone.map_or(0, Microphone::xruns)
                    + m.speaker.map_or(0, Speaker::xruns),
                ppm: m.record.microphone_rate.ppm().map(|ppm| round(ppm, 2)),
            },
            sound: sound(m),
            cpu_percent: round(self.cpu_percent, 1),
            rss_mb: round(self.rss_mb, 1),
            live: (!matches!(m.config.role, Role::Alone)).then(|| self.live.clone()),
            peers: self.peers.clone(),
        }
    }

    fn disk_stats(&self, m: &Meters<'_>) -> DiskStats {
        let disk = &m.folder.disk;
        let free_bytes = disk.free();
        let recorded = self.recording.unwrap_or_default();
        let video = m.camera.map_or(0, |c| {
            let info = c.info();
            u64::from(video_parameters(info.width, info.height).bitrate_bps)
        });
        let peers = if m.config.safety_tracks { self.peers.len() as u64 } else { 0 };
        let tracks = peers * TRACK_BPS;
        let aimed = video + u64::from(aac::BITRATE) + tracks;
        // As if all had been here from the start: they are from now on.
        let bytes = recorded.bytes + (recorded.seconds * tracks as f64 / 8.0) as u64;
        let left = free_bytes.map(|free| seconds_left(free, bytes, recorded.seconds, aimed));
        DiskStats {
            free_bytes,
            seconds_left: left.map(|s| round(s, 0)),
            silent_seconds: round(disk.silent() as f64 / 1e6, 1),
        }
    }

    fn peer(
        &mut self,
        m: &Meters<'_>,
        id: u8,
        member: &Member,
        own: &Own,
        seconds: f64,
    ) -> PeerStats {
        let index = usize::from(id) % MAX_PARTICIPANTS;
        let counters = &m.shared.peers[index];
        let playout = m.feeds.get(index).map(PlayoutGauge::read).unwrap_or_default();
        let now = Before {
            sent: counters.sent_bytes.load(Relaxed),
            received: counters.received_bytes.load(Relaxed),
            shown: counters.video.shown.load(Relaxed),
            video_bytes: counters.video.bytes.load(Relaxed),
            playout,
        };
        let was = std::mem::replace(&mut self.before[index], now);
        let kbps = |a: u64, b: u64| round(a.saturating_sub(b) as f64 * 8.0 / 1e3 / seconds, 1);
        let share = |a: u64, b: u64, of: u64| match of {
            0 => 0.0,
            of => round(a.saturating_sub(b) as f64 * 100.0 / of as f64, 2),
        };
        let lost = playout.lost.saturating_sub(was.playout.lost);
        let came = playout.received.saturating_sub(was.playout.received);
        let played = playout.played_samples.saturating_sub(was.playout.played_samples);
        let rtt = member.round_trip.unwrap_or(0) as f64 / 1e3;
        let ways = &mut self.ways[index];
        if member.round_trip.is_none() {
            *ways = Default::default();
        }
        let input = i64::from(member.status.input_delay_micros);
        let way =
            ways.0.push(counters.transit.take()).map(|micros| micros - member.frame_micros - input);
        self.told[index] = way.and_then(|micros| i32::try_from(micros).ok());
        let latency = latency(&Path {
            input,
            frame: member.frame_micros,
            way,
            back: own.id.and_then(|own| member.status.way_of(own)).map(i64::from),
            clocks: own.clock.zip(member.status.clock).map(|(own, theirs)| {
                i64::from(own.uncertainty_micros) + i64::from(theirs.uncertainty_micros)
            }),
            round_trip: ways.1.push(member.round_trip).unwrap_or(0),
            depth_ms: f64::from(playout.held_ms),
            output: m.speaker.map_or(0, Speaker::delay),
        });
        PeerStats {
            id,
            rtt_ms: round(rtt, 3),
            loss_percent: share(lost, 0, lost + came),
            jitter_ms: round(f64::from(playout.jitter_ms), 2),
            playout_ms: round(f64::from(playout.depth_ms), 2),
            audio_latency_ms: round(latency.sum(), 1),
            latency,
            copies: counters.copies.load(Relaxed) as u8,
            concealed_percent: share(
                playout.concealed_samples,
                was.playout.concealed_samples,
                played,
            ),
            volume: volume(m.feeds, index),
            health: health(&member.status),
            sent_kbps: kbps(now.sent, was.sent),
            received_kbps: kbps(now.received, was.received),
            queue_ms: round(f64::from(counters.path.queue_micros()) / 1e3, 1),
            path_kbps: counters.path.bits_per_second().map(|bits| round(bits as f64 / 1e3, 0)),
            sent_video: counters.path.picture().filter(|_| m.camera.is_some()).map(|p| SentVideo {
                width: p.width,
                height: p.height,
                fps: p.fps,
                kbps: p.kbps,
            }),
            video: (now.shown > 0).then(|| PeerVideo {
                width: counters.video.width.load(Relaxed),
                height: counters.video.height.load(Relaxed),
                fps: round(now.shown.saturating_sub(was.shown) as f64 / seconds, 1),
                kbps: kbps(now.video_bytes, was.video_bytes),
                delay_ms: quantile_ms(&counters.video.delay, 0.95),
                shown: now.shown,
                counter: counters.video.counter.load(Relaxed).checked_sub(1),
            }),
        }
    }

    fn live_stats(&mut self, m: &Meters<'_>) -> LiveStats {
        let encoded = m.shared.live_encoded.load(Relaxed);
        let micros = m.shared.live_encode_micros.load(Relaxed);
        let shed = m.shared.live_shed.load(Relaxed);
        let was = std::mem::replace(&mut self.live_before, (encoded, micros, shed));
        let pictures = encoded.saturating_sub(was.0);
        let drops = m.drops.lock().unwrap_or_else(|e| e.into_inner()).total();
        LiveStats {
            capture_to_send_ms_p50: quantile_ms(&m.shared.capture_to_send, 0.5),
            capture_to_send_ms_p99: quantile_ms(&m.shared.capture_to_send, 0.99),
            handed_to_send_ms_p99: quantile_ms(&m.shared.handed_to_send, 0.99),
            wake_up_ms_p99: quantile_ms(&m.shared.wake_up, 0.99),
            encode_and_send_ms_p99: quantile_ms(&m.shared.encode_and_send, 0.99),
            video_encode_ms: match pictures {
                0 => 0.0,
                n => round(micros.saturating_sub(was.1) as f64 / 1e3 / n as f64, 2),
            },
            video_fps: pictures as f64,
            video_shed: shed,
            datagrams_dropped: drops,
        }
    }

    /// What the next heartbeat carries.
    pub fn status(&self, m: &Meters<'_>) -> Status {
        let recording = self.recording.unwrap_or_default();
        let micros = |delay: i64| delay.clamp(0, 1_000_000) as u32;
        Status {
            muted: m.shared.muted.load(Relaxed),
            camera_off: m.camera.is_none() || m.shared.camera_off.load(Relaxed),
            clipping: self.recent_level.clipped > 0,
            recording: m.record.start.get().is_some() && m.record.trouble().is_none(),
            dropped: recording.frames_dropped.min(u64::from(u32::MAX)) as u32,
            disk_left_mb: self.disk.free_bytes.map(|f| (f >> 20).min(u64::from(u32::MAX)) as u32),
            input_delay_micros: micros(self.input),
            output_delay_micros: micros(m.speaker.map_or(0, Speaker::delay)),
            reception: self.peers.iter().map(|p| self.reception(p)).collect(),
            clock: own_clock(m),
            slept_millis: super::sleep::told(m.shared),
        }
    }

    fn reception(&self, p: &PeerStats) -> Reception {
        Reception {
            peer: ParticipantId(p.id),
            loss_permille: (p.loss_percent * 10.0).round().clamp(0.0, 1_000.0) as u16,
            jitter_micros: (p.jitter_ms * 1e3) as u32,
            playout_micros: (p.playout_ms * 1e3) as u32,
            way_micros: self.told.get(usize::from(p.id)).copied().flatten(),
        }
    }

    /// Everything that can be seen, now.
    pub fn snapshot(&mut self, m: &Meters<'_>) -> Snapshot {
        let level = m.meter.take();
        self.recent_level = level;
        self.second.add(&level);
        self.clipped += level.clipped;
        let state = m.state.lock().unwrap_or_else(|e| e.into_inner());
        let recording = m.record.start.get().map(|_| RecordingStats {
            // Bytes and length move between the seconds, too.
            bytes: m.record.bytes.load(Relaxed),
            seconds: m.record.samples.load(Relaxed) as f64 / 48_000.0,
            ..self.recording.unwrap_or_default()
        });
        let phase = match (&m.config.role, self.phase) {
            (_, Some(phase)) => phase.to_owned(),
            (Role::Alone, _) => "recording".to_owned(),
            (Role::Guest(g), _) if state.own_id.is_none() => format!("connecting to {}", g.address),
            (Role::Host(_), _) if state.members.is_empty() && recording.is_none() => {
                "waiting for guests".to_owned()
            }
            _ => "in the call".to_owned(),
        };
        Snapshot {
            timecode: timecode(m),
            session_seconds: m.shared.session_now().map_or(0.0, |t| t.as_secs_f64()),
            own_id: state.own_id.map(|id| id.0),
            own_name: m.config.name.clone(),
            invite_line: state.invite_line.clone(),
            knocks: state.knocks.clone(),
            phase,
            muted: m.shared.muted.load(Relaxed),
            hushed: m.shared.hushed.load(Relaxed),
            camera_off: m.shared.camera_off.load(Relaxed),
            mic_name: m.microphone.map(|d| d.info().to_string()).unwrap_or_default(),
            speaker_name: m.speaker.map(|d| d.info().to_string()).unwrap_or_default(),
            camera_name: m.camera.map_or_else(|| "off".to_owned(), |c| c.info().to_string()),
            mic_peak_db: level.peak_db,
            mic_rms_db: level.rms_db,
            clipped: self.clipped,
            recording,
            recording_path: m.folder.path().map(|p| p.display().to_string()).unwrap_or_default(),
            recording_trouble: m.record.trouble(),
            disk: self.disk,
            clock: state.clock.map(|known| ClockView {
                uncertainty_ms: known.uncertainty_at(clock::now()) as f64 / 1e3,
                skew_ppm: known.skew_ppm(),
            }),
            unfinished: m.offer.view(),
            peers: state.members.iter().map(|(id, member)| self.view(m, *id, member)).collect(),
            priorities: priorities(m),
            window_open: m.window.is_open(),
            invite_copies: m.window.invite_copies(),
            log: m.events.lines(),
            cpu_percent: self.cpu_percent,
            rss_mb: self.rss_mb,
        }
    }

    fn view(&self, m: &Meters<'_>, id: u8, member: &Member) -> PeerView {
        let level =
            m.feeds.get(usize::from(id)).map(PlayoutGauge::read).unwrap_or_default().level_db;
        let known = self.peers.iter().find(|p| p.id == id).cloned();
        PeerView {
            name: member.name.clone(),
            level_db: level,
            muted: member.status.muted,
            camera_off: member.status.camera_off,
            silent: member.silent,
            path: member.path,
            trouble: trouble(&member.name, member.recorded, &member.status),
            // Not the second's: the next key goes on from here.
            stats: PeerStats {
                id,
                volume: volume(m.feeds, usize::from(id)),
                ..known.unwrap_or_default()
            },
        }
    }
}

/// The recording's timecode now.
fn timecode(m: &Meters<'_>) -> Option<String> {
    m.shared.session_now().and_then(|now| m.record.timecode_at(now))
}

/// How loud a participant is heard here.
pub fn volume(feeds: &[PlayoutGauge], index: usize) -> f64 {
    feeds.get(index).map_or(1.0, |gauge| round(f64::from(gauge.heard_volume()), 3))
}

/// Tiles of the window: the own one and the others'.
pub fn tiles(snapshot: &Snapshot) -> ((u8, TileInfo), Vec<(u8, TileInfo)>) {
    let own = TileInfo {
        name: snapshot.own_name.clone(),
        muted: snapshot.muted,
        camera_off: snapshot.camera_off,
        silent: false,
        speaking: !snapshot.muted && snapshot.mic_rms_db > SPEAKING_DB,
        own: true,
        hushed: snapshot.hushed,
        ..TileInfo::default()
    };
    let peers = snapshot
        .peers
        .iter()
        .map(|p| {
            let info = TileInfo {
                name: p.name.clone(),
                muted: p.muted,
                camera_off: p.camera_off,
                silent: p.silent,
                speaking: p.speaking(),
                unheard: p.stats.volume == 0.0,
                ..TileInfo::default()
            };
            (p.stats.id, info)
        })
        .collect();
    ((snapshot.own_id.unwrap_or(0), own), peers)
}

/// The sound devices as scripts see them.
fn sound(m: &Meters<'_>) -> SoundStats {
    let device = |info: SoundInfo, delay: i64, xruns: u64| SoundDeviceStats {
        way: match (info.synthetic, info.direct) {
            (true, _) => "none",
            (_, true) => "direct",
            _ => "system",
        },
        name: info.name,
        period_frames: info.period_frames,
        sample_rate: info.sample_rate,
        delay_ms: round(delay as f64 / 1e3, 2),
        xruns,
    };
    SoundStats {
        microphone: m
            .microphone
            .map(|d| device(d.info(), d.delay(), d.xruns()))
            .unwrap_or_default(),
        speaker: m.speaker.map(|d| device(d.info(), d.delay(), d.xruns())),
        priorities: priorities(m),
    }
}

/// Threads that asked for more than normal, and what they got; devices first.
fn priorities(m: &Meters<'_>) -> Vec<String> {
    let devices = [
        ("microphone", m.microphone.and_then(Microphone::priority)),
        ("speaker", m.speaker.and_then(Speaker::priority)),
        ("camera", m.camera.map(Camera::priority).cloned()),
    ];
    let devices =
        devices.into_iter().filter_map(|(name, grant)| Some(format!("{name}: {}", grant?.text)));
    let mut all: Vec<String> = devices.chain(threads::grants()).collect();
    // A narrow terminal shows the first ones only.
    all.sort_by_key(|line| !line.starts_with("hz-talk"));
    all
}

/// The own clock as the others list it; the host's is the session's.
fn own_clock(m: &Meters<'_>) -> Option<ClockReport> {
    if let Role::Host(_) = m.config.role {
        return Some(ClockReport::default());
    }
    m.state
        .lock()
        .unwrap_or_else(|e| e.into_inner())
        .clock
        .map(|known| metadata::report(known, clock::now()))
}

fn quantile_ms(h: &super::shared::Histogram, share: f64) -> f64 {
    h.quantile(share).map_or(0.0, |micros| round(micros / 1e3, 3))
}
