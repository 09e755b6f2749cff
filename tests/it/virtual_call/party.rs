//! One party: devices with crystals of their own around the pure rooms, joined as the engine's
//! threads join them. It sees its local clock and nothing of the network's.

use std::net::SocketAddr;

use hyperzoom::clock::{Estimate, Follower};
use hyperzoom::protocol::{
    Demux, Demuxed, LeaveReason, MAX_DATAGRAM, MediaSealer, Mesh, MeshEvent, PairKeys, Status,
};
use hyperzoom::units::{Micros, ParticipantId, SessionMicros};

use super::receiver::{Ear, Eye};
use super::sender::{Live, Mic, Talk, TalkPeer};
use super::tape::{Start, Tape, slot_from};
use crate::support::sim::SimRng;

/// Datagrams that leave now, in this order.
pub type Outbox = Vec<(SocketAddr, Vec<u8>)>;

/// The talk thread wakes at least this often.
const TICK: i64 = 5_000;
/// The recorder looks this often.
const POLL: i64 = 10_000;
/// From light on the sensor to the picture in the program.
const CAMERA_DELAY: i64 = 20_000;
/// Everything captured until the end key has been delivered by then; less than the grid's delay.
const DELIVERED: i64 = 250_000;
/// Callbacks come up to so much late: microphone and speaker.
const CALLBACK_JITTER: u64 = 800;
/// A monotonic clock with an origin and a crystal of its own.
#[derive(Clone, Copy)]
pub struct LocalClock {
    pub origin: i64,
    pub ppm: i64,
}

impl LocalClock {
    pub fn at(&self, network: Micros) -> Micros {
        Micros(self.origin + network.0 + (network.0 * self.ppm).div_euclid(1_000_000))
    }

    /// The first moment of the network's time at which this clock shows `local`.
    pub fn when(&self, local: Micros) -> Micros {
        let since = local.0 - self.origin;
        let mut at = Micros(since - (since * self.ppm).div_euclid(1_000_000) - 2);
        while self.at(at) < local {
            at = at + 1;
        }
        at
    }
}

/// What is peculiar to a party.
#[derive(Clone, Copy)]
pub struct Kind {
    pub clock: LocalClock,
    /// Voice of its microphone.
    pub voice: u8,
    pub mic_period: usize,
    pub mic_ppm: f64,
    pub speaker_period: usize,
    pub speaker_ppm: f64,
    /// Microseconds between two pictures of its camera.
    pub camera_interval: i64,
}

pub struct Party {
    pub address: SocketAddr,
    pub kind: Kind,
    pub mesh: Mesh,
    pub demux: Demux,
    rng: SimRng,
    host: bool,
    keys: Vec<(ParticipantId, PairKeys)>,
    pub peer: Option<ParticipantId>,
    /// With the local time of each.
    pub events: Vec<(Micros, MeshEvent)>,

    pub session: Follower,
    /// What is published of the clock.
    pub estimate: Option<Estimate>,
    welcomed: Option<Micros>,
    t0: Option<SessionMicros>,

    pub mic: Mic,
    pub talk: Talk,
    tick: Micros,
    camera_number: u64,
    camera_start: Micros,
    pub camera_off: bool,
    pub live: Live,
    pub ear: Ear,
    pub eye: Option<Eye>,
    pub tape: Tape,
    poll: Micros,
    /// Set once the person wants to go, or is alone.
    leaving: Option<Micros>,
    pub left: bool,
    /// The slot behind the recording's last, once it is closed.
    pub end: Option<u64>,
    /// Keyframes that were wanted of the peer, and those that the peer wanted.
    pub keyframes_wanted: u64,
    pub asked_for_keyframes: u64,
    /// Pictures that the decoder refused although the assembler took them for whole.
    pub damaged: u64,
}

impl Party {
    pub fn new(
        address: SocketAddr,
        kind: Kind,
        mesh: Mesh,
        session: Option<Follower>,
        seed: u64,
    ) -> Self {
        let now = kind.clock.at(Micros(0));
        let mut rng = SimRng::new(seed);
        let mut phase = || now + (rng.next_u64() % 20_000) as i64;
        let (mic_start, speaker_start, camera_start) = (phase(), phase(), phase());
        Self {
            address,
            kind,
            mesh,
            demux: Demux::new(),
            rng,
            host: session.is_some(),
            keys: Vec::new(),
            peer: None,
            events: Vec::new(),
            session: session.unwrap_or_default(),
            estimate: None,
            welcomed: None,
            t0: None,
            mic: Mic::new(kind.voice, kind.mic_period, mic_start, kind.mic_ppm),
            talk: Talk::new(),
            tick: now,
            camera_number: 0,
            camera_start,
            camera_off: false,
            live: Live::new(),
            ear: Ear::new(kind.speaker_period, speaker_start, kind.speaker_ppm),
            eye: None,
            tape: Tape::default(),
            poll: now,
            leaving: None,
            left: false,
            end: None,
            keyframes_wanted: 0,
            asked_for_keyframes: 0,
            damaged: 0,
        }
    }

    pub fn saw(&self, wanted: impl Fn(&MeshEvent) -> bool) -> Option<Micros> {
        self.events.iter().find(|(_, e)| wanted(e)).map(|(at, _)| *at)
    }

    pub fn count(&self, wanted: impl Fn(&MeshEvent) -> bool) -> usize {
        self.events.iter().filter(|(_, e)| wanted(e)).count()
    }

    /// Local time at which the camera captured that picture.
    pub fn camera_captured(&self, number: u64) -> Micros {
        self.camera_start + number as i64 * self.kind.camera_interval
    }

    fn camera_due(&self) -> Micros {
        self.camera_captured(self.camera_number) + CAMERA_DELAY
    }

    /// When anything is due here, local clock.
    pub fn next(&self) -> Micros {
        let devices = [self.mic.due, self.tick, self.camera_due()];
        let others = [self.ear.due, self.poll];
        let timers = self.mesh.poll_timeout().into_iter().chain(self.eye.as_ref().map(|e| e.due));
        devices.into_iter().chain(others).chain(timers).min().expect("the devices go on")
    }

    /// Does everything that is due.
    pub fn act(&mut self, now: Micros, out: &mut Outbox) {
        self.follow_clock(now);
        let map = self.session.map();
        let stamp = |local: Micros| map.map_or(0, |m| (m.to_session(local).0 / 1_000) as u32);
        while self.camera_due() <= now {
            let number = self.camera_number;
            let captured = self.camera_captured(number);
            self.camera_number += 1;
            self.tape.picture(number, captured, map.as_ref());
            if !self.camera_off {
                self.live.picture(number, captured, map.map(|m| m.to_session(captured)));
            }
        }
        let mut woken = self.tick <= now;
        while self.mic.due <= now {
            let late = (self.rng.next_u64() % CALLBACK_JITTER) as i64;
            let (block, captured) = self.mic.block(late);
            self.tape.sound(block, captured, map.as_ref());
            self.talk.talk(block, captured, stamp, out);
            woken = true;
        }
        if woken {
            self.talk.show(&mut self.live, now, stamp(now), out);
            self.tick = now + TICK;
        }
        while self.ear.due <= now {
            let late = (self.rng.next_u64() % CALLBACK_JITTER) as i64;
            let peer = self.peer.filter(|_| self.leaving.is_none());
            self.ear.callback(now, late, peer);
        }
        if let (Some(eye), Some(peer)) = (&mut self.eye, self.peer)
            && eye.due <= now
            && eye.look(now)
        {
            self.keyframes_wanted += 1;
            self.mesh.request_keyframe(now, peer);
        }
        if self.poll <= now {
            self.poll = now + POLL;
            self.finish(now);
            if let Some(session) = map.map(|m| m.to_session(now)) {
                self.tape.poll(session, self.camera_off);
            }
        }
        if self.mesh.poll_timeout().is_some_and(|at| at <= now) {
            self.mesh.handle_timeout(now);
        }
        self.settle(now, out);
    }

    /// A datagram has arrived.
    pub fn arrive(
        &mut self,
        now: Micros,
        from: SocketAddr,
        mut datagram: Vec<u8>,
        out: &mut Outbox,
    ) {
        assert!(datagram.len() <= MAX_DATAGRAM);
        match self.demux.handle(&mut datagram) {
            Demuxed::Handshake(whole) => self.mesh.handle_handshake(now, from, whole),
            Demuxed::Control { peer, payload } => {
                self.mesh.handle_control(now, from, peer, payload);
            }
            Demuxed::Bye { peer } => self.mesh.handle_bye(now, peer),
            Demuxed::Relay { .. } => panic!("two need nobody between them"),
            Demuxed::Audio { peer, sequence, payload, .. } => {
                self.ear.feeds[usize::from(peer.0)].push(sequence, now, payload);
                self.mesh.heard(now, peer);
            }
            Demuxed::Video { peer, keyframe, sequence, fragment, fragments, payload, .. } => {
                if let Some(eye) = &mut self.eye {
                    self.damaged +=
                        eye.fragment((keyframe, sequence), (fragment, fragments), payload, now);
                    if eye.look(now) {
                        self.keyframes_wanted += 1;
                        self.mesh.request_keyframe(now, peer);
                    }
                }
                self.mesh.heard(now, peer);
            }
            Demuxed::Padding { peer } => self.mesh.heard(now, peer),
            Demuxed::Dropped(_) => {}
        }
        self.settle(now, out);
    }

    /// The camera key.
    pub fn switch_camera(&mut self, now: Micros, on: bool, out: &mut Outbox) {
        self.camera_off = !on;
        self.mesh.set_status(now, Status { camera_off: !on, ..Status::default() });
        self.settle(now, out);
    }

    /// The end key: media stops with the first BYE.
    pub fn leave(&mut self, now: Micros, out: &mut Outbox) {
        self.leaving = Some(now);
        self.talk.peer = None;
        self.live.leave();
        self.mesh.leave(now);
        self.settle(now, out);
    }

    /// Closes the recording where the end key was pressed, once what was captured until then has
    /// been delivered.
    fn finish(&mut self, now: Micros) {
        let (Some(at), None, Some(start)) = (self.leaving, self.end, self.tape.start()) else {
            return;
        };
        if now.since(at) >= DELIVERED {
            let end = slot_from(start.t0, self.at(at).expect("a recording has a clock"));
            self.tape.finish(end);
            self.end = Some(end);
        }
    }

    /// Carries out what the mesh says and sends what it wants sent.
    fn settle(&mut self, now: Micros, out: &mut Outbox) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.mesh.poll_event() {
                quiet = false;
                self.carry_out(&event, now);
                self.events.push((now, event));
            }
            let mut datagram = Vec::new();
            while let Some(to) = self.mesh.poll_transmit(now, &mut datagram) {
                quiet = false;
                out.push((to, datagram.clone()));
            }
            if quiet {
                break;
            }
        }
        if let (Some(t0), Some(map), None) = (self.t0, self.session.map(), self.tape.start())
            && self.session.good(now)
            && self.leaving.is_none()
        {
            let first_slot = match self.welcomed {
                Some(welcomed) if !self.host => slot_from(t0, map.to_session(welcomed)),
                _ => 0,
            };
            self.tape.begin(Start { t0, first_slot }, &map);
        }
    }

    fn carry_out(&mut self, event: &MeshEvent, now: Micros) {
        match event {
            MeshEvent::Welcomed { .. } => {
                self.welcomed = Some(now);
                self.session.welcomed(now);
                self.tape.keep_from(now);
            }
            MeshEvent::KeysReady { peer, keys, .. } => {
                self.demux.add_peer(*peer, keys);
                self.keys.retain(|(p, _)| p != peer);
                self.keys.push((*peer, keys.clone()));
            }
            MeshEvent::PeerJoined { peer, address, .. } => {
                let (_, keys) = self.keys.iter().find(|(p, _)| p == peer).unwrap();
                let sealer = MediaSealer::new(self.mesh.own(), keys);
                self.ear.feeds[usize::from(peer.0)].restart();
                self.eye = Some(Eye::new(now));
                self.talk.peer = Some(TalkPeer::new(*address, sealer));
                self.live.join();
                self.live.keyframe_wanted = true;
                self.peer = Some(*peer);
            }
            MeshEvent::PeerAddress { address, .. } => {
                if let Some(peer) = &mut self.talk.peer {
                    peer.address = *address;
                }
            }
            MeshEvent::PeerLeft { peer, reason } => {
                assert_eq!(*reason, LeaveReason::Bye);
                self.talk.peer = None;
                self.live.leave();
                self.demux.peer_left(*peer);
                self.ear.feeds[usize::from(peer.0)].stop();
                self.eye = None;
                self.peer = None;
            }
            MeshEvent::AudioReport { .. } | MeshEvent::PathReport { .. } => {}
            MeshEvent::Again { .. } => {}
            MeshEvent::KeyframeRequested { .. } => {
                self.live.keyframe_wanted = true;
                self.asked_for_keyframes += 1;
            }
            MeshEvent::ClockSample {
                peer, sent, remote_received, remote_sent, received, ..
            } => {
                if !self.host && *peer == ParticipantId::HOST {
                    self.session.exchange(now, *sent, *remote_received, *remote_sent, *received);
                    self.follow_clock(now);
                }
            }
            MeshEvent::T0 { at } => self.t0 = Some(*at),
            MeshEvent::Left => self.left = true,
            MeshEvent::PeerStatus { .. } | MeshEvent::Invite { .. } => {}
            MeshEvent::PeerSilent { .. }
            | MeshEvent::PeerBack { .. }
            | MeshEvent::Refused { .. }
            | MeshEvent::Knock { .. }
            | MeshEvent::KnockOver { .. }
            | MeshEvent::KnockCode { .. }
            | MeshEvent::TurnedAway { .. }
            | MeshEvent::NoAnswer => panic!("{event:?}"),
        }
    }

    fn follow_clock(&mut self, now: Micros) {
        self.session.tick(now);
        if let (false, Some(map)) = (self.host, self.session.map()) {
            self.estimate = self.session.estimate(now);
            self.mesh.set_clock(map.offset_at(now));
        }
    }

    /// What its session clock says at a local instant.
    pub fn at(&self, local: Micros) -> Option<SessionMicros> {
        self.session.map().map(|map| map.to_session(local))
    }
}
