//! The supervisor's thread: commands, the snapshot, the statistics of each second, and the end.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::addresses::AddressWatch;
use super::call_state::CallState;
use super::capture::CaptureLosses;
use super::config::CallConfig;
use super::control::Ask;
use super::error::exit;
use super::events::Events;
use super::folder::SessionFolder;
use super::metadata;
use super::offer::Offer;
use super::quiet::Quiet;
use super::record::{RecordShared, Recorder, Start};
use super::safety::{Safety, TrackView};
use super::shared::Shared;
use super::sleep::{self, ClosingWatch, SleepSensor};
use super::stats::{Gauges, Meters, volume};
use super::threads::spawn;
use super::window::Window;
use crate::audio::meter::SharedMeter;
use crate::audio::mixer::PlayoutGauge;
use crate::clock::Follower;
use crate::devices::spec::MicSpec;
use crate::devices::{Camera, DeviceEvent, Microphone, Speaker};
use crate::net::portmap::PortMapper;
use crate::platform::clock;
use crate::platform::priority::Role;
use crate::protocol::demux::DropCounters;
use crate::recording::metadata::Kind;
use crate::recording::space::{LEAST_SPACE, LITTLE_SPACE};
use crate::ui::format;
use crate::ui::model::{Command, Event, Finished, Snapshot};
use crate::ui::notice::Notice;
use crate::ui::window::board::Wish;
use crate::ui::window::process::WindowEvent;
use crate::units::{ParticipantId, SessionMicros};

/// How often commands are looked at and the snapshot is made.
const TICK: Duration = Duration::from_millis(50);
/// How often the closing of the safety tracks is looked at: that takes no time worth a tick.
const TURN: Duration = Duration::from_millis(5);
/// A planned end is told to the recorder this much ahead, microseconds: what it has encoded by
/// then it could not take back.
const END_AHEAD: i64 = 200_000;
/// The metadata is written anew this often, whatever else happens.
const METADATA_SECONDS: u64 = 10;
/// Ticks that the recorder's threads get to notice an abort.
const ABORT_TICKS: u32 = 20;
/// A disk that does not answer for this long is told of, seconds.
const SILENT: f64 = 2.0;

/// The end of a call or recording.
#[derive(Debug)]
pub struct Outcome {
    /// The process's exit code.
    pub exit_code: u8,
    /// The closed file.
    pub finished: Option<Finished>,
    /// Why there was no call, and what to try.
    pub refused: Option<(String, String)>,
}

impl Outcome {
    /// The supervisor itself failed.
    pub fn failed() -> Self {
        Self { exit_code: exit::ERROR, finished: None, refused: None }
    }
}

/// Threads that end with the call.
#[derive(Default)]
pub struct Threads {
    /// Says BYE, then ends by itself.
    pub control: Option<JoinHandle<()>>,
    /// End when the stop switch is set.
    pub finishing: Vec<JoinHandle<()>>,
    /// Datagrams dropped and why.
    pub drops: Arc<Mutex<DropCounters>>,
}

/// The supervisor's state: it owns what must live as long as the call.
pub struct Supervisor {
    pub config: CallConfig,
    pub shared: Arc<Shared>,
    pub events: Events,
    pub state: Arc<Mutex<CallState>>,
    pub record: Arc<RecordShared>,
    pub recorder: Option<Recorder>,
    /// The safety tracks.
    pub tracks: Option<Safety>,
    pub folder: Arc<SessionFolder>,
    /// Recordings of earlier runs.
    pub offer: Arc<Offer>,
    pub window: Arc<Window>,
    pub microphone: Option<Microphone>,
    pub speaker: Option<Speaker>,
    pub camera: Option<Camera>,
    pub meter: Arc<SharedMeter>,
    pub losses: Arc<CaptureLosses>,
    pub feeds: Vec<PlayoutGauge>,
    pub device_news: mpsc::Receiver<DeviceEvent>,
    /// `None`: something was switched that is to be shown at once.
    pub commands: mpsc::Receiver<Option<Command>>,
    pub ask: Option<tokio::sync::mpsc::UnboundedSender<Ask>>,
    pub threads: Threads,
    /// Dropped with the supervisor, however that ends: the router's port is given back.
    pub port_mapper: Option<PortMapper>,
    /// Looks at the interfaces until then.
    pub addresses: Option<AddressWatch>,
    pub snapshot: Arc<Mutex<Arc<Snapshot>>>,
    pub disk_silent: bool,
    /// Whether the microphone gives anything.
    pub quiet: Quiet,
    /// Keeps the session clock where there is no call.
    pub alone: Option<(SleepSensor, Follower)>,
    /// The files are being closed before the call's end.
    pub closing: Option<JoinHandle<()>>,
    /// Seconds since the start.
    pub second: u64,
}

/// Why the loop ended.
struct End {
    reason: &'static str,
    exit_code: u8,
    /// Where the file ends; now, unless it was agreed on before.
    at: Option<SessionMicros>,
}

impl End {
    fn now(reason: &'static str, exit_code: u8) -> Self {
        Self { reason, exit_code, at: None }
    }
}

/// Longest note of a marker, characters: a line for the editor.
const LONGEST_NOTE: usize = 200;

/// A note as it goes into files that programs read by lines.
fn marker_note(text: &str) -> String {
    let text: String = format::printable(text).chars().take(LONGEST_NOTE).collect();
    text.trim().to_owned()
}

impl Supervisor {
    /// Runs until the call has ended and everything is closed.
    pub fn run(mut self) -> Outcome {
        let mut gauges = Gauges::new();
        self.warn_of_little_space();
        if let Some(length) = self.config.duration {
            self.record.parts.plan(length.as_micros() as i64);
        }
        let end = self.watch(&mut gauges);
        self.phase(&mut gauges, "finishing");
        let mut now = end.at.or(self.shared.session_now()).unwrap_or_default();
        // A planned end has its tone inside.
        if end.at.is_none() && self.config.tone && self.record.trouble().is_none() {
            now = self.record.end_with_tone(now);
        }
        if let Some(ask) = &self.ask {
            let _ = ask.send(Ask::Leave);
        }
        self.close_recording(now, &mut gauges);
        self.close_tracks();
        if let Some(folder) = self.folder.path() {
            self.events.open_log(folder);
        }
        // The second Ctrl-C may have come meanwhile.
        let aborted = self.shared.abort.load(Relaxed);
        let finished = || metadata::finished(&self.record, &self.safety_tracks(), &self.events);
        let finished = if aborted { None } else { finished() };
        self.write_metadata(finished.as_ref());
        if !aborted && let Err(e) = self.folder.disk.finish() {
            self.no_metadata(&e);
        }
        if let Some(finished) = &finished {
            self.events.send(Event::RecordingFinished(finished.clone()));
        }
        self.stop_threads();
        let mut exit_code = end.exit_code;
        if exit_code == exit::OK && (self.record.trouble().is_some() || self.incomplete(&finished))
        {
            exit_code = exit::INCOMPLETE;
        }
        if aborted {
            exit_code = exit::ABORTED;
        }
        self.phase(&mut gauges, "ended");
        let reason = if aborted { "abort" } else { end.reason };
        self.events.send(Event::Ended { reason: reason.to_owned() });
        let refused = self.state.lock().unwrap_or_else(|e| e.into_inner()).refused.take();
        Outcome { exit_code, finished, refused }
    }

    fn watch(&mut self, gauges: &mut Gauges) -> End {
        let mut next_second = clock::now() + 1_000_000;
        let mut known = None;
        let mut told = self.switches();
        loop {
            match self.commands.recv_timeout(TICK) {
                Ok(Some(Command::End)) => return End::now("end_key", exit::OK),
                Ok(Some(command)) => self.obey(&command),
                Ok(None) | Err(mpsc::RecvTimeoutError::Timeout) => {}
                // Nobody can command any more (the caller dropped the call): end in order.
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return End::now("end_key", exit::OK);
                }
            }
            if self.shared.abort.load(Relaxed) {
                return End::now("abort", exit::ABORTED);
            }
            self.notice_sleep();
            if let Some(end) = self.look_around() {
                return end;
            }
            let snapshot = self.take_snapshot(gauges);
            let (parts, last) = (self.record.parts.count(), self.record.parts.last());
            let roster = (
                self.folder.path().is_some(),
                snapshot.peers.iter().map(|p| p.stats.id).collect::<Vec<_>>(),
                (parts, last.start.get().is_some(), self.record.parts.written().len()),
                self.safety_tracks().len(),
            );
            if known.as_ref() != Some(&roster) {
                if let Some(folder) = self.folder.path() {
                    self.events.open_log(folder);
                }
                self.write_metadata(None);
                known = Some(roster);
            }
            self.window_tiles(&snapshot);
            let switches = self.switches();
            if told != switches {
                self.note_switches(told, switches);
                told = switches;
                self.tell_peers(gauges);
            }
            let now = clock::now();
            if now >= next_second {
                next_second = next_second + 1_000_000;
                if next_second < now {
                    next_second = now + 1_000_000;
                }
                self.each_second(gauges);
            }
        }
    }

    /// Whether the computer was asleep; in a call the control thread looks after that.
    fn notice_sleep(&mut self) {
        let Some((sensor, clock)) = &mut self.alone else { return };
        let Some((sleep, asleep)) = sensor.look() else { return };
        match clock.slept(&sleep, false) {
            Some(slept) => {
                let all = (&*self.shared, &*self.record, &self.events);
                sleep::carry_out(slept, clock, asleep, all);
            }
            None => self.shared.watch_sleep(asleep),
        }
    }

    /// Muted, camera off: what the others learn of at once.
    fn switches(&self) -> (bool, bool) {
        (self.shared.muted.load(Relaxed), self.shared.camera_off.load(Relaxed))
    }

    /// What an editor sees of the own mute and camera keys.
    fn note_switches(&self, (muted, off): (bool, bool), (mute_now, off_now): (bool, bool)) {
        let Some(now) = self.shared.session_now() else { return };
        let name = &self.config.name;
        if muted != mute_now {
            let (kind, what) =
                if mute_now { (Kind::Muted, "muted") } else { (Kind::Unmuted, "unmuted") };
            self.record.note_kind(kind, now, format!("{name} {what}"));
        }
        if off != off_now {
            let (kind, what) =
                if off_now { (Kind::CameraOff, "off") } else { (Kind::CameraOn, "on") };
            self.record.note_kind(kind, now, format!("{name}'s camera {what}"));
        }
    }

    fn tell_peers(&self, gauges: &Gauges) {
        if let Some(ask) = &self.ask {
            let _ = ask.send(Ask::Status(Box::new(gauges.status(&self.meters()))));
        }
    }

    /// Sets how loud a member is heard here; false for any other command.
    fn hears_differently(&self, command: &Command) -> bool {
        let (Command::Volume { id, .. } | Command::MutePeer { id } | Command::UnmutePeer { id }) =
            command
        else {
            return false;
        };
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let here = state.members.contains_key(id);
        drop(state);
        match self.feeds.get(usize::from(*id)).filter(|_| here) {
            Some(gauge) => match command {
                Command::Volume { volume, .. } => gauge.set_volume(volume.factor()),
                other => gauge.set_muted(matches!(other, Command::MutePeer { .. })),
            },
            None => self.events.notice(&Notice::NobodyWithId { id: *id }),
        }
        true
    }

    fn obey(&mut self, command: &Command) {
        if let Command::Marker { note, ago_ms } = command {
            if let Some(now) = self.shared.session_now() {
                let note = note.as_deref().map(marker_note).filter(|note| !note.is_empty());
                let at = SessionMicros(now.0 - i64::from(*ago_ms) * 1_000);
                let number = self.record.mark(at, note.as_deref());
                let timecode = self.record.timecode_at(at);
                self.events.send(Event::Marker { number, note, timecode });
            }
            return;
        }
        if self.hears_differently(command) {
            return;
        }
        match command {
            Command::Recover => return self.offer.accept(&self.events, self.folder.path()),
            Command::LeaveUnfinished => return self.offer.decline(),
            _ => {}
        }
        let ask = match command {
            Command::Admit { id } => Some(Ask::Admit(*id)),
            Command::Refuse { id } => Some(Ask::Refuse(*id)),
            Command::Remove { id } => Some(Ask::Remove(ParticipantId(*id))),
            _ => None,
        };
        if let (Some(ask), Some(control)) = (ask, &self.ask) {
            let _ = control.send(ask);
        }
        if self.shared.switch(command) || *command != Command::ToggleWindow {
            return;
        }
        if self.window.is_open() {
            self.window.close();
            if let Some(Wish::Command(command)) = self.window.gone() {
                self.shared.switch(&command);
            }
        } else if let Err(e) = self.window.open() {
            self.events.notice(&Notice::WindowNotStarted { why: e.to_string() });
        }
    }

    /// Windows, devices, refusals, the duration.
    fn look_around(&mut self) -> Option<End> {
        while let Some(event) = self.window.poll() {
            match self.window.wish(&event, &self.newest()) {
                Some(Wish::Command(command)) => self.obey(&command),
                Some(Wish::CopyInvite) => self.window.copy_invite(),
                Some(Wish::End) => return Some(End::now("end_key", exit::OK)),
                None => {}
            }
            match event {
                WindowEvent::Key(_) | WindowEvent::Released => {}
                WindowEvent::Closed => self.events.send(Event::WindowClosed),
                WindowEvent::NotOpened { why } => {
                    self.events.notice(&Notice::WindowNotStarted { why });
                }
                WindowEvent::Died { why } => self.events.notice(&Notice::WindowEnded { why }),
            }
        }
        while let Ok(news) = self.device_news.try_recv() {
            self.quiet.news(&news);
            self.tell(&news);
        }
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((what, remedy)) = state.refused.clone() {
            drop(state);
            self.events.notice(&Notice::NoCall { what, remedy });
            return Some(End::now("refused", exit::NO_CALL));
        }
        if state.over {
            // It has told why.
            return Some(End::now("error", exit::ERROR));
        }
        drop(state);
        let start = self.record.start.get()?;
        let length = self.config.duration?;
        let now = self.shared.session_now()?;
        let end = start.file() + length.as_micros() as i64;
        (now + END_AHEAD >= end).then_some(End {
            reason: "duration",
            exit_code: exit::OK,
            at: Some(end),
        })
    }

    /// News of a device: the notice, and a note for the editor where the recording lacks something.
    fn tell(&self, news: &DeviceEvent) {
        let notice = device_notice(news);
        let lasting = !matches!(news, DeviceEvent::Xrun { .. } | DeviceEvent::Reserve { .. });
        if let (true, Some(now)) =
            (lasting && self.record.start.get().is_some(), self.shared.session_now())
        {
            self.record.note(now, notice.told().what);
        }
        self.events.notice(&notice);
    }

    /// The last snapshot with what keys have changed since: the next key's meaning hangs on it.
    fn newest(&self) -> Snapshot {
        let last = self.snapshot.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let mut snapshot = Snapshot::clone(&last);
        (snapshot.muted, snapshot.camera_off) = self.switches();
        snapshot.hushed = self.shared.hushed.load(Relaxed);
        for peer in &mut snapshot.peers {
            peer.stats.volume = volume(&self.feeds, usize::from(peer.stats.id));
        }
        snapshot
    }

    fn take_snapshot(&self, gauges: &mut Gauges) -> Arc<Snapshot> {
        let snapshot = Arc::new(gauges.snapshot(&self.meters()));
        *self.snapshot.lock().unwrap_or_else(|e| e.into_inner()) = snapshot.clone();
        snapshot
    }

    fn meters(&self) -> Meters<'_> {
        Meters {
            config: &self.config,
            shared: &self.shared,
            events: &self.events,
            state: &self.state,
            record: &self.record,
            folder: &self.folder,
            offer: &self.offer,
            window: &self.window,
            microphone: self.microphone.as_ref(),
            speaker: self.speaker.as_ref(),
            camera: self.camera.as_ref(),
            meter: &self.meter,
            feeds: &self.feeds,
            drops: &self.threads.drops,
        }
    }

    /// A fault on demand, for the tests of what one leaves behind; a release knows none.
    #[cfg(debug_assertions)]
    fn fault_on_demand() {
        let file = std::env::var_os("HYPERZOOM_TEST_FAULT");
        let asked = file.is_some_and(|file| std::path::Path::new(&file).exists());
        assert!(!asked, "a fault on demand");
    }

    fn each_second(&mut self, gauges: &mut Gauges) {
        #[cfg(debug_assertions)]
        Self::fault_on_demand();
        // Clocks, rates and counters move: a crash leaves those of some seconds ago.
        self.second += 1;
        if self.second.is_multiple_of(METADATA_SECONDS) {
            self.write_metadata(None);
        }
        let stats = gauges.second(&self.meters());
        let muted = self.shared.muted.load(Relaxed);
        let expected = !muted && !matches!(self.config.mic, MicSpec::Off);
        if self.quiet.second(expected.then_some(stats.mic.peak_db as f32)) {
            self.events.notice(&Notice::MicrophoneSilent);
        }
        self.events.send(Event::Stats(Box::new(stats)));
        self.tell_peers(gauges);
        if gauges.lost_samples_grew(&self.losses) {
            self.events.notice(&Notice::SamplesLost);
        }
        let disk = gauges.disk();
        if disk.silent_seconds > SILENT && !std::mem::replace(&mut self.disk_silent, true) {
            self.events.notice(&Notice::DiskSilent);
        }
        self.disk_silent &= disk.silent_seconds > 0.0;
        if self.folder.disk.is_gone() && self.record.trouble().is_none() {
            self.record.fail(
                &self.events,
                "its file or folder was deleted or moved while it was being recorded; what is \
                 recorded is saved at the end, where the system allows that"
                    .to_owned(),
            );
        }
        if self.folder.path().is_some()
            && disk.free_bytes.is_some_and(|f| f < LEAST_SPACE)
            && self.record.trouble().is_none()
            && self.recorder.is_some()
        {
            self.record.fail(
                &self.events,
                "the disk is almost full, so it ends here, complete up to now".to_owned(),
            );
            let now = self.shared.session_now().unwrap_or_default();
            self.begin_closing(now);
        }
    }

    fn warn_of_little_space(&self) {
        if let Some(free) = self.folder.disk.free()
            && free < LITTLE_SPACE
        {
            self.events.notice(&Notice::DiskLittleSpace {
                gigabytes: format!("{:.1}", free as f64 / 1e9),
                folder: self.config.output.display().to_string(),
            });
        }
    }

    fn window_tiles(&self, snapshot: &Snapshot) {
        if self.window.is_open() {
            self.window.tiles(snapshot);
        }
    }

    /// Ends the files at `now`, on a thread of its own: the encoder may be behind, and a disk may hang.
    fn begin_closing(&mut self, now: SessionMicros) {
        let Some(recorder) = self.recorder.take() else { return };
        sleep::settle_for_what_is_known(&self.shared, &self.record);
        let recorder = Arc::new(Mutex::new(Some(recorder)));
        let its = recorder.clone();
        let finish = move || close(&its, now);
        match spawn("hz-close", Role::High, finish) {
            Ok(thread) => self.closing = Some(thread),
            // Without a thread it is closed here, and this one waits.
            Err(_) => close(&recorder, now),
        }
    }

    /// Ends the files at `now`, unless that was done before, and waits until they are closed.
    fn close_recording(&mut self, now: SessionMicros, gauges: &mut Gauges) {
        self.begin_closing(now);
        let Some(closing) = self.closing.take() else { return };
        let mut aborted = 0;
        let mut watch = ClosingWatch::begin();
        while !closing.is_finished() {
            std::thread::sleep(TICK);
            self.notice_sleep();
            // Without a call it was seen to just now.
            let gone = self.threads.control.as_ref().is_some_and(JoinHandle::is_finished);
            watch.look(gone, (&self.shared, &self.record, &self.events));
            self.take_snapshot(gauges);
            // Who aborts waits for no disk: what is in the file can be recovered.
            aborted += u32::from(self.shared.abort.load(Relaxed));
            if aborted > ABORT_TICKS {
                return;
            }
        }
        let _ = closing.join();
    }

    /// Ends the safety tracks and waits for that, but for who aborts.
    fn close_tracks(&self) {
        let Some(tracks) = &self.tracks else { return };
        tracks.begin_closing();
        while !tracks.is_finished() && !self.shared.abort.load(Relaxed) {
            std::thread::sleep(TURN);
        }
    }

    fn safety_tracks(&self) -> Vec<TrackView> {
        self.tracks.as_ref().map_or_else(Vec::new, |tracks| tracks.shared().tracks())
    }

    /// The file lacks something that the devices delivered.
    fn incomplete(&self, finished: &Option<Finished>) -> bool {
        self.record.start.get().is_some()
            && finished.as_ref().is_none_or(|f| f.frames_dropped > 0 || f.seconds == 0.0)
            || self.losses.record.load(Relaxed) > 0
    }

    fn write_metadata(&self, finished: Option<&Finished>) {
        if self.folder.path().is_none() {
            return;
        }
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let start: Option<&Start> = self.record.start.get();
        let Some(start) = start else { return };
        let written = metadata::write(&metadata::Session {
            config: &self.config,
            start,
            state: &state,
            record: &self.record,
            tracks: &self.safety_tracks(),
            camera: self.camera.as_ref().map(Camera::info),
            microphone: self.microphone.as_ref().map(Microphone::info),
            speaker: self.speaker.as_ref().map(Speaker::info),
            folder: &self.folder,
            finished,
        });
        drop(state);
        if let Err(e) = written {
            self.no_metadata(&e);
        }
    }

    fn no_metadata(&self, e: &std::io::Error) {
        self.events.notice(&Notice::MetadataUnwritable { why: e.to_string() });
    }

    fn phase(&self, gauges: &mut Gauges, phase: &'static str) {
        gauges.phase = Some(phase);
        self.take_snapshot(gauges);
    }

    fn stop_threads(&mut self) {
        if let Some(control) = self.threads.control.take() {
            let _ = control.join();
        }
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads.finishing.drain(..) {
            thread.thread().unpark();
            let _ = thread.join();
        }
        self.addresses = None;
        self.port_mapper = None;
        self.camera = None;
        self.microphone = None;
        self.speaker = None;
        self.window.close();
    }
}

/// Ends the files at `now`, once.
fn close(recorder: &Mutex<Option<Recorder>>, now: SessionMicros) {
    let recorder = recorder.lock().unwrap_or_else(|e| e.into_inner()).take();
    if let Some(recorder) = recorder {
        recorder.finish(now);
    }
}

fn device_notice(news: &DeviceEvent) -> Notice {
    match news {
        DeviceEvent::Xrun { what, total } => {
            Notice::DeviceXrun { device: what.to_string(), total: *total }
        }
        DeviceEvent::Reserve { what, micros } => Notice::DeviceReserve {
            device: what.to_string(),
            ms: format!("{:.1}", *micros as f64 / 1e3),
        },
        DeviceEvent::Stepped { what, frames, rate } => {
            Notice::DevicePeriod { device: what.to_string(), frames: *frames, rate: *rate }
        }
        DeviceEvent::Fallback { what, frames, rate } => {
            Notice::DeviceFallback { device: what.to_string(), frames: *frames, rate: *rate }
        }
        DeviceEvent::Lost { what, message } => {
            Notice::DeviceLost { device: what.to_string(), why: message.clone() }
        }
        DeviceEvent::Returned { what } => Notice::DeviceReturned { device: what.to_string() },
        DeviceEvent::FileEnded { what } => Notice::FileEnded { device: what.to_string() },
        DeviceEvent::FileFailed { what, message } => {
            Notice::FileFailed { device: what.to_string(), why: message.clone() }
        }
    }
}
