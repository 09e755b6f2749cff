//! The control thread: the mesh's shell. tokio runs here and nowhere else, for slow timers and the
//! queue of control packets; media never passes through.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::mpsc as async_mpsc;

use super::call_state::{CallState, Member, Past};
use super::congestion::Congestion;
use super::events::Events;
use super::paths::Paths;
use super::receive::{Incoming, ReceiveCommand, Unsealed, VideoFeed, video_ring};
use super::record::{RecordShared, Recorder, Start};
use super::safety::SafetyNews;
use super::shared::Shared;
use super::sleep::{self, SleepSensor};
use super::talk::{TalkCommand, TalkControl, TalkPeer};
use super::threads::spawn;
use super::view::View;
use super::window::Window;
use crate::clock::Follower;
use crate::net::socket::{CallSocket, Class};
use crate::platform::{clock, priority::Role};
use crate::protocol::control::Status;
use crate::protocol::handshake::SessionStart;
use crate::protocol::mesh::{LeaveReason, Mesh, MeshEvent};
use crate::protocol::seal::{MediaSealer, PairKeys};
use crate::recording::metadata::Kind as NoteKind;
use crate::ui::model::{self, Event};
use crate::ui::notice::Notice;
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId, SessionMicros};
use crate::video::vp8::Vp8Decoder;

mod follow;
pub mod health;

/// How often liveness counters are carried over from the receive thread.
const TICK: Duration = Duration::from_millis(50);
/// Splits an error's line into what failed and what to try.
fn two(line: &str) -> (String, String) {
    match line.split_once("; ") {
        Some((what, remedy)) => (what.to_owned(), remedy.to_owned()),
        None => (line.to_owned(), "ask the host".to_owned()),
    }
}

/// What a member has switched since it last told.
fn switched(name: &str, before: &Status, now: &Status) -> Vec<(NoteKind, String)> {
    let mut changes = Vec::new();
    match (before.muted, now.muted) {
        (false, true) => changes.push((NoteKind::Muted, format!("{name} muted"))),
        (true, false) => changes.push((NoteKind::Unmuted, format!("{name} unmuted"))),
        _ => {}
    }
    match (before.camera_off, now.camera_off) {
        (false, true) => changes.push((NoteKind::CameraOff, format!("{name}'s camera off"))),
        (true, false) => changes.push((NoteKind::CameraOn, format!("{name}'s camera on"))),
        _ => {}
    }
    if before.slept_millis == 0 && now.slept_millis > 0 {
        let seconds = f64::from(now.slept_millis) / 1e3;
        changes.push((NoteKind::Sleep, format!("{name}'s computer was asleep for {seconds:.1} s")));
    }
    changes
}

/// What others ask of the control thread.
pub enum Ask {
    /// End: say BYE.
    Leave,
    /// A decoder lost its reference.
    Keyframe(ParticipantId),
    /// A keyframe lacks these fragments (bits).
    Again(ParticipantId, u64, u32),
    /// What heartbeats carry.
    Status(Box<Status>),
    /// Let in who knocks.
    Admit(u32),
    /// Do not.
    Refuse(u32),
    /// Remove a member.
    Remove(ParticipantId),
    /// This machine's addresses, the most likely first.
    Addresses(Vec<std::net::SocketAddr>),
}

/// The thread's state.
pub struct Control {
    /// Shared switches.
    pub shared: Arc<Shared>,
    /// News.
    pub events: Events,
    /// Members and clock, for the snapshot.
    pub state: Arc<Mutex<CallState>>,
    /// The recorder's switches.
    pub record: Arc<RecordShared>,
    /// The call's socket.
    pub socket: Arc<CallSocket>,
    /// The state machine.
    pub mesh: Mesh,
    /// The host's clock is exact from the start; a guest's is measured.
    pub host: bool,
    /// `--public`: what the invite shows, whatever else is known.
    pub public: Option<String>,
    /// To the talk thread.
    pub talk: TalkControl,
    /// To the receive thread.
    pub receive: mpsc::Sender<ReceiveCommand>,
    /// From the receive thread.
    pub incoming: async_mpsc::Receiver<Incoming>,
    /// From there, too; from strangers, mostly.
    pub unsealed: async_mpsc::Receiver<Unsealed>,
    /// From everybody else.
    pub asks: async_mpsc::UnboundedReceiver<Ask>,
    /// For the decoders' keyframe requests.
    pub ask: async_mpsc::UnboundedSender<Ask>,
    /// What each peer's path is given.
    pub paths: Paths,
    /// What each peer's picture is given.
    pub congestion: Congestion,
    /// Where pictures are shown.
    pub window: Arc<Window>,
    /// What is received of each member is kept.
    pub safety: Option<SafetyNews>,
}

/// What only this thread changes.
struct Progress {
    clock: Follower,
    /// Who holds the session clock: the host, and after it the lowest id that is left.
    reference: ParticipantId,
    /// When the clock is told of next, local clock.
    tell_clock: Option<Micros>,
    welcomed: Option<Micros>,
    start: Option<SessionStart>,
    t0: Option<SessionMicros>,
    heard: [i64; MAX_PARTICIPANTS],
    keys: Vec<(ParticipantId, PairKeys)>,
    leaving: bool,
    left: bool,
    /// We were in, and there is no way back: the mesh does nothing more.
    alone: bool,
    sensor: SleepSensor,
    /// Stamps before this are of before this computer's last sleep.
    woke: Micros,
}

impl Progress {
    fn new(start: Option<SessionStart>, shared: &Shared) -> Self {
        Self {
            clock: Follower::default(),
            reference: ParticipantId::HOST,
            tell_clock: None,
            welcomed: None,
            start,
            t0: None,
            heard: [0; MAX_PARTICIPANTS],
            keys: Vec::new(),
            leaving: false,
            left: false,
            alone: false,
            sensor: SleepSensor::new(shared),
            woke: Micros(i64::MIN),
        }
    }
}

/// Does the thread's work. Should that end by a fault, the person is told, and the recording goes on:
/// only its person ends that.
pub fn guarded(events: &Events, work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        events.notice(&Notice::ControlFault);
    }
}

impl Control {
    /// Runs until the mesh has left.
    pub fn run(mut self, start: Option<SessionStart>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                self.events.notice(&Notice::ControlFailed { why: e.to_string() });
                self.state.lock().unwrap_or_else(|e| e.into_inner()).over = true;
                return;
            }
        };
        let mut progress = Progress::new(start, &self.shared);
        if let (true, Some(map)) = (self.host, self.shared.clock_map()) {
            progress.clock = Follower::holder(map.to_local(SessionMicros(0)));
        }
        runtime.block_on(async {
            self.settle(&mut progress);
            while !progress.left && !self.shared.abort.load(Relaxed) {
                let think = (!progress.leaving).then(|| self.congestion.due());
                let wait = self.mesh.poll_timeout().into_iter().chain(think).min();
                let wait = wait.map_or(TICK, |at| {
                    Duration::from_micros(at.since(clock::now()).max(0) as u64).min(TICK)
                });
                tokio::select! {
                    biased;
                    // First, so that no flood of datagrams can keep us from saying BYE.
                    Some(ask) = self.asks.recv() => self.obey(ask, &mut progress),
                    // Then those who are in: a stranger may wait.
                    Some(incoming) = self.incoming.recv() => self.take(incoming, &mut progress),
                    Some(one) = self.unsealed.recv() => self.take_unsealed(&one, &mut progress),
                    () = tokio::time::sleep(wait) => {}
                }
                self.notice_sleep(&mut progress);
                self.carry_liveness(&mut progress);
                let mapped = self.state.lock().unwrap_or_else(|e| e.into_inner()).mapped;
                self.mesh.set_mapped(clock::now(), mapped);
                self.follow_clock(&mut progress);
                let now = clock::now();
                self.talk.retry();
                if !progress.leaving {
                    self.paths.tick(&mut self.mesh, &mut self.talk, &self.shared, now);
                    self.congestion.tick(&mut self.talk, &self.shared, now);
                }
                self.mesh.handle_timeout(now);
                self.settle(&mut progress);
            }
        });
        self.state.lock().unwrap_or_else(|e| e.into_inner()).over = true;
    }

    fn take_unsealed(&mut self, one: &Unsealed, progress: &mut Progress) {
        self.notice_sleep(progress);
        self.mesh.handle_handshake(one.at, one.from, &one.datagram);
    }

    fn take(&mut self, incoming: Incoming, progress: &mut Progress) {
        self.notice_sleep(progress);
        // Pongs are stamped with the clock as it is now.
        if let Some(map) = progress.clock.map().filter(|_| progress.clock.settled()) {
            self.mesh.set_clock(map.offset_at(clock::now()));
            if let Some(estimate) = progress.clock.estimate(clock::now()) {
                let micros = estimate.uncertainty.clamp(0, u32::MAX.into());
                self.mesh.set_uncertainty(micros as u32);
            }
        }
        match incoming {
            Incoming::Control { peer, payload, from, at } => {
                self.mesh.handle_control(at, from, peer, &payload);
            }
            Incoming::Path { peer, report } => self.mesh.report_path(peer, report),
            Incoming::Moved { peer, from, at } => self.mesh.heard_from(at, peer, from),
            Incoming::Bye { peer, at } => self.mesh.handle_bye(at, peer),
        }
    }

    fn obey(&mut self, ask: Ask, progress: &mut Progress) {
        match ask {
            Ask::Leave if !progress.leaving => {
                progress.leaving = true;
                // Media stops with the first BYE, so that nothing comes behind it.
                for id in 0..MAX_PARTICIPANTS as u8 {
                    self.talk.send(TalkCommand::Remove(ParticipantId(id)));
                }
                self.mesh.leave(clock::now());
                progress.left = progress.alone;
            }
            Ask::Leave => {}
            Ask::Again(peer, sequence, wanted) => {
                self.mesh.ask_again(peer, sequence as u32, wanted);
            }
            Ask::Keyframe(peer) => self.mesh.request_keyframe(clock::now(), peer),
            Ask::Status(status) => self.mesh.set_status(clock::now(), *status),
            Ask::Addresses(addresses) => self.mesh.set_addresses(clock::now(), addresses),
            Ask::Admit(_) | Ask::Refuse(_) | Ask::Remove(_) => self.decide(&ask),
        }
    }

    /// Media that the receive thread opened counts as life.
    fn carry_liveness(&mut self, progress: &mut Progress) {
        for (id, counters) in self.shared.peers.iter().enumerate() {
            let heard = counters.heard.load(Relaxed);
            if heard > progress.heard[id] {
                progress.heard[id] = heard;
                self.mesh.heard(Micros(heard), ParticipantId(id as u8));
            }
        }
    }

    /// Carries the mesh's events out, then its packets: keys reach the receive thread before the
    /// packet that makes a peer use them leaves.
    fn settle(&mut self, progress: &mut Progress) {
        let mut datagram = Vec::with_capacity(1_200);
        loop {
            let mut quiet = true;
            while let Some(event) = self.mesh.poll_event() {
                quiet = false;
                self.carry_out(event, progress);
            }
            datagram.clear();
            while let Some(to) = self.mesh.poll_transmit(clock::now(), &mut datagram) {
                quiet = false;
                // What the network refuses is repeated by the mesh's own timers.
                let _ = self.socket.send(to, &datagram, Class::Other);
                datagram.clear();
            }
            if quiet {
                break;
            }
        }
        self.begin_recording(progress);
    }

    fn carry_out(&mut self, event: MeshEvent, progress: &mut Progress) {
        match event {
            MeshEvent::Welcomed { own, start } => {
                let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                state.own_id = Some(own);
                state.session = Some(start.clone());
                drop(state);
                let now = clock::now();
                progress.welcomed.get_or_insert(now);
                progress.clock.welcomed(now);
                progress.start = Some(start);
                // From here on every sample and picture belongs to the recording, wherever the
                // clock will put it.
                let _ = self.record.keep_from.set(now);
            }
            MeshEvent::KeysReady { peer, keys, .. } => {
                let _ = self.receive.send(ReceiveCommand::Keys(peer, keys.clone()));
                progress.keys.retain(|(id, _)| *id != peer);
                progress.keys.push((peer, keys));
            }
            MeshEvent::PeerJoined { peer, name, address, relay, streams } => {
                let frame_micros = i64::from(streams.audio_frame_micros);
                let stream = self.safety.as_mut().map_or(0, |safety| safety.joined(peer, &name));
                let _ = self.receive.send(ReceiveCommand::Listen(peer, frame_micros, stream));
                self.welcome(peer, &name, address, relay, progress);
                self.paths.joined(peer);
                self.congestion.joined(peer, relay.is_some());
                self.with_member(peer, |m| {
                    m.frame_micros = frame_micros;
                });
                // A newcomer measures against who has been in the longest of those it hears first.
                // Who was cut off and held its own clock meanwhile follows again.
                if let (false, Some(reference)) = (self.host, self.mesh.reference()) {
                    if progress.clock.is_holder() {
                        progress.reference = reference;
                        progress.clock.resume(clock::now());
                    } else if progress.clock.map().is_none() || !self.is_in(progress.reference) {
                        progress.reference = reference;
                    }
                }
                self.note(NoteKind::Joined, format!("{name} joined"));
                self.events.send(Event::PeerJoined { id: peer.0, name });
                self.tell_path(peer, address, relay);
            }
            MeshEvent::PeerAddress { peer, address, relay } => {
                self.talk.send(TalkCommand::Address(peer, address, relay));
                self.congestion.moved(peer, relay.is_some());
                self.tell_path(peer, address, relay);
            }
            MeshEvent::Invite { .. }
            | MeshEvent::Knock { .. }
            | MeshEvent::KnockOver { .. }
            | MeshEvent::KnockCode { .. }
            | MeshEvent::TurnedAway { .. } => self.at_the_door(event),
            MeshEvent::PeerLeft { peer, reason } => {
                self.paths.left(peer);
                self.congestion.left(peer);
                if let Some(counters) = self.shared.peers.get(usize::from(peer.0)) {
                    counters.left();
                }
                self.talk.send(TalkCommand::Remove(peer));
                let _ = self.receive.send(ReceiveCommand::Remove(peer, reason));
                if let Some(safety) = &mut self.safety {
                    safety.left(peer);
                }
                let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                if let Some(member) = state.members.remove(&peer.0) {
                    member.stop_view.store(true, Relaxed);
                    self.note(NoteKind::Left, format!("{} left", member.name));
                    state.past.push(Past::new(peer.0, member));
                }
                drop(state);
                self.find_reference(progress);
                let reason = match reason {
                    LeaveReason::Bye => model::LeaveReason::Bye,
                    LeaveReason::Timeout => model::LeaveReason::Timeout,
                    LeaveReason::Removed => model::LeaveReason::Removed,
                };
                self.events.send(Event::PeerLeft { id: peer.0, reason });
            }
            MeshEvent::PeerSilent { peer, micros } => {
                self.with_member(peer, |m| m.silent = true);
                self.events.send(Event::PeerSilent { id: peer.0, seconds: micros as f64 / 1e6 });
            }
            MeshEvent::PeerBack { peer, micros } => {
                self.with_member(peer, |m| m.silent = false);
                self.events.send(Event::PeerBack { id: peer.0, seconds: micros as f64 / 1e6 });
            }
            MeshEvent::PeerStatus { peer, status } => {
                let (mut changes, mut troubles) = (Vec::new(), Vec::new());
                let slept_millis = status.slept_millis;
                self.with_member(peer, |m| {
                    changes = switched(&m.name, &m.status, &status);
                    troubles = health::troubles(&m.name, &m.status, &status);
                    m.recorded |= status.recording;
                    m.status = status;
                });
                for trouble in troubles {
                    self.events.notice(&trouble);
                }
                for (kind, what) in changes {
                    if kind == NoteKind::Sleep {
                        let seconds = f64::from(slept_millis) / 1e3;
                        self.events.send(Event::PeerSlept { id: peer.0, seconds });
                    }
                    self.note(kind, what);
                }
            }
            MeshEvent::AudioReport { peer, report } => {
                self.paths.reported(peer, &report, clock::now());
                self.congestion.lost(peer, report.loss_1s, clock::now());
            }
            MeshEvent::PathReport { peer, report } => {
                let rtt = self.shared.peers.get(usize::from(peer.0));
                let rtt = rtt.map_or(0, |p| p.round_trip.load(Relaxed));
                self.congestion.reported(peer, &report, rtt, clock::now());
            }
            MeshEvent::Again { peer, sequence, fragments } => {
                if self.congestion.may_ask_again(peer, clock::now()) {
                    self.talk.send(TalkCommand::Again(peer, sequence.into(), fragments));
                }
            }
            MeshEvent::KeyframeRequested { peer } => {
                // Of the encoder that feeds it; whoever gets no picture needs none of it either.
                if let Some(source) = self.congestion.source(peer) {
                    let live = &self.shared.live[source as usize];
                    live.wanted.fetch_or(1 << u32::from(peer.0 % 4), Relaxed);
                }
            }
            MeshEvent::ClockSample {
                peer, sent, remote_received, remote_sent, received, ..
            } => {
                let held = remote_sent.since(remote_received);
                let round_trip = (received.since(sent) - held).max(0);
                self.with_member(peer, |m| m.round_trip = Some(round_trip));
                self.paths.round_trip(peer, round_trip);
                if let Some(counters) = self.shared.peers.get(usize::from(peer.0)) {
                    counters.round_trip.store(round_trip, Relaxed);
                }
                // A host that was asleep takes the time from whoever was awake.
                let any = self.host && !progress.clock.settled() && !self.is_in(progress.reference);
                if any {
                    progress.reference = peer;
                }
                if peer == progress.reference && sent >= progress.woke {
                    let now = clock::now();
                    progress.clock.exchange(now, sent, remote_received, remote_sent, received);
                }
            }
            MeshEvent::T0 { at } => progress.t0 = Some(at),
            MeshEvent::Refused { reason } => {
                let (what, remedy) = two(&reason.to_string());
                self.no_call(progress, what, &remedy);
            }
            MeshEvent::NoAnswer => {
                let remedy = "check the address and that the host is running and its UDP port \
                              reachable";
                self.no_call(progress, "nobody answered".to_owned(), remedy);
            }
            MeshEvent::Left => progress.left = true,
        }
    }

    /// There is no call, or none any more. Who was in goes on recording: only its person ends that.
    fn no_call(&mut self, progress: &mut Progress, what: String, remedy: &str) {
        if progress.welcomed.is_some() {
            progress.alone = true;
            self.events.notice(&Notice::CallLost { why: what });
        } else {
            let refused = Some((what, remedy.to_owned()));
            self.state.lock().unwrap_or_else(|e| e.into_inner()).refused = refused;
            progress.left = true;
        }
    }

    fn is_in(&self, peer: ParticipantId) -> bool {
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        state.members.contains_key(&peer.0)
    }

    /// Whether this computer was asleep: the session clock has gone on, and how far is measured with
    /// those who were awake before anything is stamped.
    fn notice_sleep(&mut self, progress: &mut Progress) {
        let Some((sleep, asleep)) = progress.sensor.look() else { return };
        let state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let others = !state.members.is_empty() || !state.past.is_empty();
        let first = state.members.keys().next().map(|id| ParticipantId(*id));
        drop(state);
        progress.woke = sleep.fell;
        let Some(slept) = progress.clock.slept(&sleep, others && !progress.leaving) else {
            return self.shared.watch_sleep(asleep);
        };
        let all = (&*self.shared, &*self.record, &self.events);
        sleep::carry_out(slept, &progress.clock, asleep, all);
        if progress.clock.settled() {
            if let Some(map) = progress.clock.map() {
                self.mesh.set_clock(map.offset_at(clock::now()));
            }
        } else {
            if self.host {
                progress.reference = first.unwrap_or(ParticipantId::HOST);
            }
            self.mesh.measure_again(clock::now());
        }
    }

    fn with_member(&self, peer: ParticipantId, f: impl FnOnce(&mut Member)) {
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(member) = state.members.get_mut(&peer.0) {
            f(member);
        }
    }

    /// Starts sending to a peer and listening to it.
    fn welcome(
        &mut self,
        peer: ParticipantId,
        name: &str,
        address: std::net::SocketAddr,
        relay: Option<ParticipantId>,
        progress: &mut Progress,
    ) {
        let Some((_, keys)) = progress.keys.iter().find(|(id, _)| *id == peer) else {
            debug_assert!(false, "keys come before the peer");
            return;
        };
        let own = self.state.lock().unwrap_or_else(|e| e.into_inner()).own_id;
        let own = own.unwrap_or(ParticipantId::HOST);
        let sealer = MediaSealer::new(own, keys);
        let member = Member::new(name.to_owned());
        match Vp8Decoder::new() {
            Ok(decoder) => {
                let (ring, fragments) = video_ring();
                let (ask, again) = (self.ask.clone(), self.ask.clone());
                let view = View {
                    peer,
                    shared: self.shared.clone(),
                    fragments,
                    decoder,
                    window: self.window.clone(),
                    ask_keyframe: Box::new(move || {
                        let _ = ask.send(Ask::Keyframe(peer));
                    }),
                    ask_again: Box::new(move |sequence, fragments| {
                        let _ = again.send(Ask::Again(peer, sequence, fragments));
                    }),
                    stop: member.stop_view.clone(),
                };
                match spawn(&format!("hz-view-{peer}"), Role::Low, move || view.run()) {
                    Ok(handle) => {
                        let feed = VideoFeed::new(ring, handle.thread().clone());
                        let _ = self.receive.send(ReceiveCommand::Video(peer, feed));
                    }
                    Err(e) => self.events.notice(&without_picture(&e)),
                }
            }
            Err(e) => self.events.notice(&without_picture(&e)),
        }
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        // A peer that came back under new keys: its old decoder has nothing more to do.
        if let Some(before) = state.members.insert(peer.0, member) {
            before.stop_view.store(true, Relaxed);
        }
        drop(state);
        self.shared.want_keyframes();
        self.talk.send(TalkCommand::Add(Box::new(TalkPeer::new(peer, address, relay, sealer))));
    }

    /// Something for the metadata, now, once the recording has begun or is about to.
    fn note(&self, kind: NoteKind, what: String) {
        if let Some(now) = self.shared.session_now() {
            self.record.note_kind(kind, now, what);
        }
    }

    /// The recording begins at T0, or, for who comes later, at the first slot that is still whole.
    fn begin_recording(&mut self, progress: &mut Progress) {
        if self.record.start.get().is_some() || progress.leaving {
            return;
        }
        let (Some(t0), Some(session)) = (progress.t0, &progress.start) else { return };
        let first_slot = if self.host {
            0
        } else {
            let (Some(map), Some(welcomed)) = (progress.clock.map(), progress.welcomed) else {
                return;
            };
            if !progress.clock.good(clock::now()) {
                return;
            }
            // What was captured since then has been kept.
            Start::slot_from(t0, map.to_session(welcomed))
        };
        let start = Start {
            t0,
            first_slot,
            epoch_utc_micros: session.epoch_utc_micros,
            utc_offset_seconds: session.utc_offset_seconds,
        };
        Recorder::begin(&self.record, start);
    }
}

fn without_picture(why: &dyn std::fmt::Display) -> Notice {
    Notice::PeerWithoutPicture { why: why.to_string() }
}

#[cfg(test)]
mod tests;
