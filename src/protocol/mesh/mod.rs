//! The mesh: a sans-IO state machine of everything that members tell each other.
//!
//! Owned by one thread, which feeds it datagrams and time and carries out what it asks for. It reads
//! no clock and no socket. The caller's contract is on [`Mesh`].

mod event;
mod guest;
mod host;
mod peer;

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::control::{AudioReport, Member, Message, Messages, Roster, Status};
use super::handshake::{Randomness, SessionStart, StaticKey, short};
use super::invite::InviteKey;
use crate::units::{Micros, ParticipantId, SessionMicros};
pub use event::{Admit, LeaveReason, Local, MeshCounters, MeshEvent};
use guest::Guest;
use host::Host;
use peer::Peer;

/// Heartbeats and timestamp exchanges come this often (PRD 5.4), microseconds.
pub const HEARTBEAT_MICROS: i64 = 1_000_000;
/// Nothing heard for this long and a member is gone (PRD 5.4), microseconds.
pub const TIMEOUT_MICROS: i64 = 5_000_000;
/// A member that sent media and is not heard for this long is silent, microseconds. Without media
/// only heartbeats come, and one of them may be missing first.
pub const SILENT_MICROS: i64 = 1_000_000;
/// Timestamp exchanges at the start (PRD 5.4).
pub const BURST: u8 = 8;
/// Microseconds between them: far enough apart not to queue behind each other.
const BURST_INTERVAL: i64 = 20_000;
/// BYE goes out this often (PRD 5.4).
const BYES: u8 = 3;
/// Microseconds between them (PRD 5.4).
const BYE_INTERVAL: i64 = 50_000;
/// Pings whose pongs may still come; more are out only when none comes back.
const PINGS_KEPT: usize = 16;
/// Datagrams that wait to be sent. Only a flood of HELLOs fills it, and its answers can be lost.
const OUTBOX: usize = 256;
/// Microseconds before a challenge to the same new address is repeated.
const CHALLENGE_INTERVAL: i64 = 200_000;

/// Something that waits to be sent.
enum Outgoing {
    /// A handshake message.
    Raw { to: SocketAddr, datagram: Vec<u8> },
    /// Messages that are stamped and sealed as they leave; to the peer's address unless another
    /// is given.
    Sealed { peer: ParticipantId, to: Option<SocketAddr>, messages: Vec<Message> },
    /// A BYE.
    Bye { peer: ParticipantId },
}

enum Role {
    Host(Box<Host>),
    Guest(Box<Guest>),
}

enum Phase {
    Running,
    /// So many BYEs are still to go, the next one then.
    Leaving {
        left: u8,
        next: Micros,
    },
    Over,
}

/// One member's view of the call.
///
/// # The caller's contract
///
/// 1. After creation and after each `handle_*`, [`Mesh::leave`], [`Mesh::set_status`],
///    [`Mesh::report_audio`] and [`Mesh::request_keyframe`], call [`Mesh::poll_transmit`] until it gives `None` and send each
///    datagram at once: pings and pongs carry the `now` of that call as their stamp.
/// 2. Then call [`Mesh::poll_event`] until it gives `None`, and act on the events in order.
///    [`MeshEvent::KeysReady`] must have reached the demultiplexer before the next datagram is
///    looked at, or the peer's first packets are dropped (it repeats what matters).
/// 3. Call [`Mesh::handle_timeout`] when [`Mesh::poll_timeout`] is reached; earlier is harmless.
/// 4. `now` never goes backwards by more than the arrival stamps of a batch do, and is the stamp of
///    arrival, not of handling, for what has arrived.
/// 5. [`Mesh::heard`] is called for each peer from which media was opened, at least some times a
///    second.
pub struct Mesh {
    local: Local,
    random: Randomness,
    role: Role,
    phase: Phase,
    own: ParticipantId,
    static_key: StaticKey,
    /// Members whose keys are confirmed.
    peers: Vec<Peer>,
    /// Session clock less local clock, once it is known.
    clock: Option<i64>,
    t0: Option<SessionMicros>,
    roster: Roster,
    status: Status,
    outbox: VecDeque<Outgoing>,
    events: VecDeque<MeshEvent>,
    counters: MeshCounters,
}

impl Mesh {
    /// Begins a session: `now` is the zero of its clock. With `record_now` recording starts at
    /// once and not with the first guest.
    pub fn host(
        local: Local,
        admit: Admit,
        key: InviteKey,
        start: SessionStart,
        record_now: bool,
        now: Micros,
        random: Randomness,
    ) -> Self {
        let mut mesh = Self::new(local, ParticipantId::HOST, random, |random| {
            Role::Host(Box::new(Host::new(admit, key, start, random)))
        });
        mesh.clock = Some(-now.0);
        mesh.roster.members = vec![mesh.own_member()];
        if record_now {
            mesh.fix_t0(now);
        }
        mesh
    }

    /// Asks the host at each of `candidates` (its resolved addresses) to be let in.
    pub fn guest(
        local: Local,
        candidates: Vec<SocketAddr>,
        key: Option<InviteKey>,
        now: Micros,
        random: Randomness,
    ) -> Self {
        let mut mesh = Self::new(local, ParticipantId::UNASSIGNED, random, |_| {
            Role::Guest(Box::new(Guest::new(candidates, key, now)))
        });
        mesh.begin_join(now, None);
        mesh.guest_timeout(now);
        mesh
    }

    fn new(
        mut local: Local,
        own: ParticipantId,
        mut random: Randomness,
        role: impl FnOnce(&mut Randomness) -> Role,
    ) -> Self {
        local.name = short(&local.name);
        local.version = short(&local.version);
        let static_key = StaticKey::generate(&mut random);
        let role = role(&mut random);
        Self {
            local,
            random,
            role,
            phase: Phase::Running,
            own,
            static_key,
            peers: Vec::new(),
            clock: None,
            t0: None,
            roster: Roster { epoch: 0, introducer: ParticipantId::HOST, members: Vec::new() },
            status: Status::default(),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            counters: MeshCounters::default(),
        }
    }

    /// Our id; [`ParticipantId::UNASSIGNED`] before WELCOME.
    pub fn own(&self) -> ParticipantId {
        self.own
    }

    /// Everybody who is in, ourselves too, as the host last said.
    pub fn roster(&self) -> &[Member] {
        &self.roster.members
    }

    /// What was not understood or not wanted.
    pub fn counters(&self) -> MeshCounters {
        self.counters
    }

    /// A handshake datagram has arrived.
    pub fn handle_handshake(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        match self.role {
            Role::Host(_) => self.host_handshake(now, from, datagram),
            Role::Guest(_) => self.guest_handshake(now, from, datagram),
        }
    }

    /// Control messages of a peer have arrived, opened.
    pub fn handle_control(
        &mut self,
        now: Micros,
        from: SocketAddr,
        peer: ParticipantId,
        payload: &[u8],
    ) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let mut messages = Vec::new();
        for message in Messages::new(payload) {
            match message {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => self.counters.unknown_messages += 1,
                Err(_) => self.counters.malformed_messages += 1,
            }
        }
        for message in &messages {
            if let Message::Confirm { epoch } = message {
                self.host_confirm(now, from, peer, *epoch);
            }
        }
        let Some(known) = self.peer(peer) else { return };
        // The host speaks under these keys, so it has heard us.
        known.confirming = None;
        self.note_heard(now, peer, false);
        self.check_path(now, from, peer);
        for message in messages {
            self.message(now, from, peer, message);
        }
    }

    /// A peer has said BYE.
    pub fn handle_bye(&mut self, now: Micros, peer: ParticipantId) {
        self.remove(now, peer, LeaveReason::Bye);
    }

    /// Media of a peer has arrived and opened.
    pub fn heard(&mut self, now: Micros, peer: ParticipantId) {
        self.note_heard(now, peer, true);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Micros) {
        match self.phase {
            Phase::Over => return,
            Phase::Leaving { .. } => return self.leave_timeout(now),
            Phase::Running => {}
        }
        match self.role {
            Role::Host(_) => self.host_timeout(now),
            Role::Guest(_) => self.guest_timeout(now),
        }
        let ids: Vec<_> = self.peers.iter().map(|p| p.id).collect();
        for id in ids {
            self.peer_timeout(now, id);
        }
    }

    /// When [`Mesh::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Micros> {
        match self.phase {
            Phase::Over => None,
            Phase::Leaving { next, .. } => Some(next),
            Phase::Running => {
                let role = match &self.role {
                    Role::Host(host) => host.next_timeout(),
                    Role::Guest(guest) => guest.next_timeout(),
                };
                self.peers.iter().map(Peer::next_timeout).chain(role).min()
            }
        }
    }

    /// The next datagram and where to send it, stamped with `now`. Replaces what is in `out`.
    pub fn poll_transmit(&mut self, now: Micros, out: &mut Vec<u8>) -> Option<SocketAddr> {
        let session = self.session(now);
        let timestamp_ms = session.map_or(0, |s| (s.0.max(0) / 1_000) as u32);
        loop {
            match self.outbox.pop_front()? {
                Outgoing::Raw { to, datagram } => {
                    *out = datagram;
                    return Some(to);
                }
                Outgoing::Bye { peer } => {
                    let Some(peer) = self.peer(peer) else { continue };
                    if peer.sealer.bye(timestamp_ms, out) {
                        return Some(peer.address);
                    }
                }
                Outgoing::Sealed { peer, to, mut messages } => {
                    let Some(peer) = self.peer(peer) else { continue };
                    let mut bytes = Vec::new();
                    for message in &mut messages {
                        match message {
                            Message::Ping { sent } => {
                                *sent = now;
                                peer.pinged(now);
                            }
                            Message::Pong { answered, .. } => {
                                // Unsynchronised, the local clock: differences are right even so.
                                *answered = session.unwrap_or(SessionMicros(now.0));
                            }
                            _ => {}
                        }
                        message.write(&mut bytes);
                    }
                    if peer.sealer.control(timestamp_ms, &bytes, out) {
                        return Some(to.unwrap_or(peer.address));
                    }
                }
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MeshEvent> {
        self.events.pop_front()
    }

    /// Says BYE to everybody, three times at 50 ms (PRD 5.4); [`MeshEvent::Left`] when that is done.
    pub fn leave(&mut self, now: Micros) {
        if matches!(self.phase, Phase::Running) {
            self.outbox.clear();
            self.phase = Phase::Leaving { left: BYES, next: now };
            self.leave_timeout(now);
        }
    }

    /// Asks a peer for a keyframe. Lost like any packet: ask again when none comes.
    pub fn request_keyframe(&mut self, _now: Micros, peer: ParticipantId) {
        self.send(peer, vec![Message::KeyframeRequest]);
    }

    /// Tells a peer how its audio arrives here. Lost like any packet: the next one says it anew.
    pub fn report_audio(&mut self, peer: ParticipantId, report: AudioReport) {
        self.send(peer, vec![Message::AudioReport(report)]);
    }

    /// How we are doing; told once a second, mute and camera at once.
    pub fn set_status(&mut self, status: Status) {
        let urgent =
            (status.muted, status.camera_off) != (self.status.muted, self.status.camera_off);
        self.status = status;
        if urgent && matches!(self.phase, Phase::Running) {
            let ids: Vec<_> = self.peers.iter().map(|p| p.id).collect();
            for id in ids {
                let heartbeat = self.heartbeat(id);
                self.send(id, vec![heartbeat]);
            }
        }
    }

    /// A guest's offset: session clock = local clock + offset. Pongs are stamped with it.
    pub fn set_clock(&mut self, offset_micros: i64) {
        if matches!(self.role, Role::Guest(_)) {
            self.clock = Some(offset_micros);
        }
    }

    /// Where we may be reached has changed (a port mapping was made). A host tells its guests at
    /// once, a guest in its next HELLO.
    pub fn set_addresses(&mut self, addresses: Vec<SocketAddr>) {
        if addresses != self.local.addresses {
            self.local.addresses = addresses;
            if matches!(self.role, Role::Host(_)) {
                self.renew_roster();
            }
        }
    }

    /// Where recording starts, once it is known.
    pub fn t0(&self) -> Option<SessionMicros> {
        self.t0
    }

    fn session(&self, now: Micros) -> Option<SessionMicros> {
        self.clock.map(|offset| SessionMicros(now.0 + offset))
    }

    fn peer(&mut self, id: ParticipantId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|p| p.id == id)
    }

    fn own_member(&self) -> Member {
        Member {
            id: self.own,
            name: self.local.name.clone(),
            static_key: self.static_key.public,
            addresses: self.local.addresses.clone(),
            epoch: 0,
        }
    }

    fn push(&mut self, outgoing: Outgoing) {
        if self.outbox.len() < OUTBOX {
            self.outbox.push_back(outgoing);
        }
    }

    fn send(&mut self, peer: ParticipantId, messages: Vec<Message>) {
        if matches!(self.phase, Phase::Running) {
            self.push(Outgoing::Sealed { peer, to: None, messages });
        }
    }

    fn set_t0(&mut self, at: SessionMicros) {
        if self.t0.is_none() {
            self.t0 = Some(at);
            self.events.push_back(MeshEvent::T0 { at });
        }
    }

    /// A heartbeat for that peer.
    fn heartbeat(&mut self, id: ParticipantId) -> Message {
        let (roster, status) = (self.roster.epoch, self.status.clone());
        let count = self.peer(id).map_or(0, |p| {
            p.heartbeats_sent += 1;
            p.heartbeats_sent
        });
        Message::Heartbeat { count, roster, status }
    }

    fn note_heard(&mut self, now: Micros, id: ParticipantId, media: bool) {
        let Some(peer) = self.peer(id) else { return };
        if let Some(micros) = peer.heard(now, media) {
            self.events.push_back(MeshEvent::PeerBack { peer: id, micros });
        }
    }

    /// A sealed packet from elsewhere only starts a challenge: anybody can send a copy.
    fn check_path(&mut self, now: Micros, from: SocketAddr, id: ParticipantId) {
        let mut token = [0; 8];
        (self.random)(&mut token);
        let Some(peer) = self.peer(id) else { return };
        if let Some(token) = peer.challenge(now, from, token) {
            let messages = vec![Message::PathChallenge(token)];
            self.push(Outgoing::Sealed { peer: id, to: Some(from), messages });
        }
    }

    fn message(&mut self, now: Micros, from: SocketAddr, id: ParticipantId, message: Message) {
        let session = self.session(now);
        let Some(peer) = self.peer(id) else { return };
        match message {
            // Seen to before the peer was looked up.
            Message::Confirm { .. } => {}
            Message::Ping { sent } => {
                let pong = Message::Pong {
                    sent,
                    received: session.unwrap_or(SessionMicros(now.0)),
                    answered: SessionMicros(0),
                    synchronised: session.is_some(),
                };
                self.send(id, vec![pong]);
            }
            Message::Pong { sent, received, answered, synchronised } => {
                if peer.ponged(sent) && synchronised {
                    self.events.push_back(MeshEvent::ClockSample {
                        peer: id,
                        sent,
                        remote_received: received,
                        remote_sent: answered,
                        received: now,
                    });
                }
            }
            Message::Heartbeat { count, roster, status } => {
                peer.roster_known = peer.roster_known.max(roster);
                if count > peer.heartbeats_heard {
                    peer.heartbeats_heard = count;
                    self.events.push_back(MeshEvent::PeerStatus { peer: id, status });
                }
            }
            Message::T0 { at } => {
                if self.is_host(id) {
                    self.set_t0(at);
                }
            }
            Message::Roster(roster) => {
                if self.is_host(id) && roster.epoch > self.roster.epoch {
                    self.roster = roster;
                }
            }
            Message::KeyframeRequest => {
                self.events.push_back(MeshEvent::KeyframeRequested { peer: id });
            }
            Message::AudioReport(report) => {
                self.events.push_back(MeshEvent::AudioReport { peer: id, report });
            }
            Message::PathChallenge(token) => {
                let messages = vec![Message::PathResponse(token)];
                self.push(Outgoing::Sealed { peer: id, to: Some(from), messages });
            }
            Message::PathResponse(token) => {
                if peer.moved(from, token) {
                    self.events.push_back(MeshEvent::PeerAddress { peer: id, address: from });
                }
            }
        }
    }

    /// Only the host says what the session is.
    fn is_host(&self, id: ParticipantId) -> bool {
        id == ParticipantId::HOST && matches!(self.role, Role::Guest(_))
    }

    fn peer_timeout(&mut self, now: Micros, id: ParticipantId) {
        let Some(peer) = self.peer(id) else { return };
        if now.since(peer.last_heard) >= TIMEOUT_MICROS {
            return self.remove(now, id, LeaveReason::Timeout);
        }
        if let Some(micros) = peer.fell_silent(now) {
            self.events.push_back(MeshEvent::PeerSilent { peer: id, micros });
        }
        let Some(peer) = self.peer(id) else { return };
        let confirm = peer.confirming.map(|epoch| Message::Confirm { epoch });
        let ping = Message::Ping { sent: now };
        let beat = peer.heartbeat_due(now);
        if peer.burst_due(now) && !beat {
            self.send(id, confirm.clone().into_iter().chain([ping.clone()]).collect());
        }
        if beat {
            let roster_known = self.peer(id).map_or(0, |p| p.roster_known);
            let mut messages: Vec<_> = confirm.into_iter().collect();
            messages.push(self.heartbeat(id));
            messages.push(ping);
            if matches!(self.role, Role::Host(_)) {
                messages.extend(self.t0.map(|at| Message::T0 { at }));
                if roster_known < self.roster.epoch {
                    messages.push(Message::Roster(self.roster.clone()));
                }
            }
            self.send(id, messages);
        }
    }

    fn remove(&mut self, now: Micros, id: ParticipantId, reason: LeaveReason) {
        let Some(at) = self.peers.iter().position(|p| p.id == id) else { return };
        let peer = self.peers.remove(at);
        self.events.push_back(MeshEvent::PeerLeft { peer: id, reason });
        match self.role {
            Role::Host(_) => self.host_left(now, peer),
            Role::Guest(_) => self.guest_left(now, id, reason),
        }
    }

    fn leave_timeout(&mut self, now: Micros) {
        let Phase::Leaving { left, next } = self.phase else { return };
        if now < next {
            return;
        }
        let ids: Vec<_> = self.peers.iter().map(|p| p.id).collect();
        for &peer in &ids {
            self.push(Outgoing::Bye { peer });
        }
        if left <= 1 || ids.is_empty() {
            self.phase = Phase::Over;
            self.events.push_back(MeshEvent::Left);
        } else {
            self.phase = Phase::Leaving { left: left - 1, next: now + BYE_INTERVAL };
        }
    }
}
