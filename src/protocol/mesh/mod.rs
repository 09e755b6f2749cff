//! The mesh: a sans-IO state machine of everything that members tell each other.
//!
//! Owned by one thread, which feeds it datagrams and time and carries out what it asks for. It reads
//! no clock and no socket. The caller's contract is on [`Mesh`].

mod asking;
mod door;
mod event;
mod gate;
mod knock;
mod members;
mod messages;
mod pairs;
mod path;
mod peer;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::congestion::PathReport;
use super::control::{Admit, AudioReport, Member, Message, Messages, Roster, Status};
use super::handshake::{Kind, Randomness, Refusal, SessionStart, StaticKey, kind_of, short};
use super::invite::InviteKey;
use super::seal::MAX_ENVELOPE;
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId, SessionMicros};
use asking::Asking;
use door::Door;
pub use event::{LeaveReason, Local, MeshCounters, MeshEvent};
use pairs::Pair;
use path::Route;
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
/// Bytes that a control packet has besides its messages.
const SEALED_OVERHEAD: usize = 29;
/// Datagrams that wait to be sent. Only a flood of HELLOs fills it, and its answers can be lost.
const OUTBOX: usize = 256;
/// Who was cut off tries to come back for this long, microseconds, and keeps its place (DESIGN
/// section 7).
const COME_BACK: i64 = 600_000_000;

/// Something that waits to be sent.
enum Outgoing {
    /// A handshake message.
    Raw { to: SocketAddr, datagram: Vec<u8> },
    /// The same, through a member.
    Relayed { relay: ParticipantId, to: ParticipantId, datagram: Vec<u8> },
    /// Messages that are stamped and sealed as they leave; the peer's way unless another is given.
    Sealed { peer: ParticipantId, to: Option<Route>, messages: Vec<Message> },
    /// A BYE.
    Bye { peer: ParticipantId },
}

/// What every member knows of the session.
struct Session {
    start: SessionStart,
    /// Of the invite.
    key: InviteKey,
    /// Known to members only: psk of the handshakes between them.
    secret: [u8; 32],
    /// Earlier ones, for who was away when it changed.
    old_secrets: Vec<[u8; 32]>,
    admit: Admit,
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
/// 1. After creation and after each `handle_*`, [`Mesh::leave`], [`Mesh::set_status`] and
///    [`Mesh::request_keyframe`], call [`Mesh::poll_transmit`] until it gives `None` and send each
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
    phase: Phase,
    own: ParticipantId,
    /// Number of the handshake that brought us in; 0 for who began the session.
    own_epoch: u32,
    /// We began the session.
    founder: bool,
    static_key: StaticKey,
    session: Option<Session>,
    /// From the invite that we were given, until there is a session.
    invite_key: Option<InviteKey>,
    candidates: Vec<SocketAddr>,
    /// When [`Local::utc_minute`] was true.
    created: Micros,
    ticket: Option<[u8; 16]>,
    asking: Option<Asking>,
    /// Handshakes with members that are not peers.
    pairs: Vec<Pair>,
    /// Members whose keys are confirmed.
    peers: Vec<Peer>,
    door: Door,
    /// Streams of the guest that is being seated.
    seat_streams: super::control::StreamParameters,
    /// Session clock less local clock, once it is known.
    clock: Option<i64>,
    uncertainty: u32,
    t0: Option<SessionMicros>,
    roster: Roster,
    /// The highest number given to a roster or a handshake.
    epoch: u32,
    /// When each id was left, as far as we know.
    gone: [Option<Micros>; MAX_PARTICIPANTS],
    /// Members that have said BYE.
    byes: Vec<(ParticipantId, u32)>,
    /// Static keys of members that a person removed.
    removed: Vec<[u8; 32]>,
    /// Where members were that are not peers any more.
    known: Vec<(ParticipantId, SocketAddr)>,
    /// Where peers see us.
    observed: Vec<(ParticipantId, SocketAddr)>,
    /// What [`Mesh::set_mapped`] has put among our own addresses.
    mapped: Option<SocketAddr>,
    invited: Option<(InviteKey, Vec<SocketAddr>)>,
    welcomed_at: Option<Micros>,
    /// Whom others follow that we do not see.
    astray: Option<members::Astray>,
    /// Since when there is nobody, although others are on the roster.
    alone_since: Option<Micros>,
    /// All tries to come back are over.
    lost_over: bool,
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
        let mut mesh = Self::new(local, ParticipantId::HOST, now, random);
        let mut secret = [0; 32];
        (mesh.random)(&mut secret);
        mesh.founder = true;
        mesh.session = Some(Session { start, key, secret, old_secrets: Vec::new(), admit });
        mesh.clock = Some(-now.0);
        mesh.roster.members = vec![mesh.own_member()];
        mesh.tell_invite();
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
        let mut mesh = Self::new(local, ParticipantId::UNASSIGNED, now, random);
        mesh.candidates = candidates;
        mesh.invite_key = key;
        mesh.begin_ask(now, None);
        mesh.ask_timeout(now);
        mesh
    }

    fn new(mut local: Local, own: ParticipantId, now: Micros, mut random: Randomness) -> Self {
        local.name = short(&local.name);
        local.version = short(&local.version);
        let static_key = StaticKey::generate(&mut random);
        let door = Door::new(&mut random);
        Self {
            local,
            random,
            phase: Phase::Running,
            own,
            own_epoch: 0,
            founder: false,
            static_key,
            session: None,
            invite_key: None,
            candidates: Vec::new(),
            created: now,
            ticket: None,
            asking: None,
            pairs: Vec::new(),
            peers: Vec::new(),
            door,
            seat_streams: Default::default(),
            clock: None,
            uncertainty: 0,
            t0: None,
            roster: Roster { epoch: 0, introducer: ParticipantId::HOST, members: Vec::new() },
            epoch: 0,
            gone: [None; MAX_PARTICIPANTS],
            byes: Vec::new(),
            removed: Vec::new(),
            known: Vec::new(),
            observed: Vec::new(),
            mapped: None,
            invited: None,
            welcomed_at: None,
            astray: None,
            alone_since: None,
            lost_over: false,
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
        match kind_of(datagram) {
            Some(Kind::Stranger) => self.stranger(now, from, None, datagram),
            Some(Kind::Answer) => self.answered(now, from, datagram),
            Some(Kind::Pair) => self.pair_question(now, from, datagram),
            Some(Kind::Paired) => self.pair_answer(now, from, datagram),
            Some(Kind::Punch) => {}
            None => self.counters.handshakes_dropped += 1,
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
        let route = self.route_of(from, peer);
        for message in &messages {
            if let Message::Confirm { epoch } = message {
                self.confirmed(now, route, peer, *epoch);
            }
        }
        let Some(known) = self.peer(peer) else { return };
        // The peer speaks under these keys, so it has heard us.
        known.confirming = None;
        let trouble = known.in_trouble(now);
        self.note_heard(now, peer, false);
        let of_paths =
            |m: &Message| matches!(m, Message::PathChallenge(_) | Message::PathResponse(_));
        let traffic = !messages.iter().all(of_paths);
        self.came(now, peer, route, payload.len() + SEALED_OVERHEAD, traffic, trouble);
        for message in messages {
            self.message(now, route, peer, message, trouble);
        }
    }

    /// A peer has said BYE.
    pub fn handle_bye(&mut self, now: Micros, peer: ParticipantId) {
        if matches!(self.phase, Phase::Running) {
            self.remove(now, peer, LeaveReason::Bye);
        }
    }

    /// Media of a peer has arrived and opened.
    pub fn heard(&mut self, now: Micros, peer: ParticipantId) {
        self.note_heard(now, peer, true);
    }

    /// The same, and where it came from: at least once whenever that changes, at most some times a
    /// second. What a peer sends from somewhere else is the first sign that it has moved.
    pub fn heard_from(&mut self, now: Micros, peer: ParticipantId, from: SocketAddr) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let route = self.route_of(from, peer);
        let Some(known) = self.peer(peer) else { return };
        let trouble = known.in_trouble(now);
        self.note_heard(now, peer, true);
        self.came(now, peer, route, SEALED_OVERHEAD, true, trouble);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Micros) {
        match self.phase {
            Phase::Over => return,
            Phase::Leaving { .. } => return self.leave_timeout(now),
            Phase::Running => {}
        }
        self.door_timeout(now);
        self.ask_timeout(now);
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.pair_timeout(now);
        let ids: Vec<_> = self.peers.iter().map(|p| p.id).collect();
        for id in ids {
            self.peer_timeout(now, id);
        }
        self.claim(now);
    }

    /// When [`Mesh::handle_timeout`] has something to do; in the past when that is overdue.
    pub fn poll_timeout(&self) -> Option<Micros> {
        match self.phase {
            Phase::Over => None,
            Phase::Leaving { next, .. } => Some(next),
            Phase::Running => {
                let peers = self.peers.iter().map(Peer::next_timeout);
                let pairs = self.pairs.iter().map(Pair::next_timeout);
                let asking = self.asking.as_ref().map(Asking::next_timeout);
                peers
                    .chain(pairs)
                    .chain(asking)
                    .chain(self.door.next_timeout())
                    .chain(self.lost_timeout())
                    .chain(self.claim_timeout())
                    .min()
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
                Outgoing::Relayed { relay, to, datagram } => {
                    if let Some(to) = self.wrap(relay, to, timestamp_ms, &datagram, out) {
                        return Some(to);
                    }
                }
                Outgoing::Bye { peer: id } => {
                    let Some(peer) = self.peer(id) else { continue };
                    let route = peer.paths.current();
                    if peer.sealer.bye(timestamp_ms, out)
                        && let Some(to) = self.lead(route, id, timestamp_ms, out)
                    {
                        return Some(to);
                    }
                }
                Outgoing::Sealed { peer: id, to, mut messages } => {
                    let Some(peer) = self.peer(id) else { continue };
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
                    let route = to.unwrap_or(peer.paths.current());
                    if peer.sealer.control(timestamp_ms, &bytes, out)
                        && let Some(to) = self.lead(route, id, timestamp_ms, out)
                    {
                        return Some(to);
                    }
                }
            }
        }
    }

    /// Where a datagram for `id` goes; for a way through another member it is wrapped up for that.
    fn lead(
        &mut self,
        route: Route,
        id: ParticipantId,
        timestamp_ms: u32,
        out: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        match route {
            Route::Direct(address) => Some(address),
            Route::Relay(relay) => {
                let inner = std::mem::take(out);
                self.wrap(relay, id, timestamp_ms, &inner, out)
            }
        }
    }

    fn wrap(
        &mut self,
        relay: ParticipantId,
        to: ParticipantId,
        timestamp_ms: u32,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<SocketAddr> {
        let relay = self.peer(relay)?;
        // Nothing is relayed twice.
        let address = relay.address()?;
        let sealed = relay.sealer.relay(to, timestamp_ms, datagram, out);
        debug_assert!(out.len() <= MAX_ENVELOPE);
        sealed.then_some(address)
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
    pub fn report_audio(&mut self, now: Micros, peer: ParticipantId, report: AudioReport) {
        if let Some(known) = self.peer(peer) {
            known.found_loss(now, report.loss_10s);
        }
        self.send(peer, vec![Message::AudioReport(report)]);
    }

    /// Tells a peer how its packets come through the path to us. Lost like any packet.
    pub fn report_path(&mut self, peer: ParticipantId, report: PathReport) {
        self.send(peer, vec![Message::PathReport(report)]);
    }

    /// Asks a peer for fragments of one of its keyframes (bit n for fragment n). Lost like any
    /// packet: ask again while they do not come.
    pub fn ask_again(&mut self, peer: ParticipantId, sequence: u32, fragments: u32) {
        self.send(peer, vec![Message::Again { sequence, fragments }]);
    }

    /// How we are doing; told once a second, mute and camera at once.
    pub fn set_status(&mut self, now: Micros, status: Status) {
        let urgent =
            (status.muted, status.camera_off) != (self.status.muted, self.status.camera_off);
        self.status = status;
        if urgent && matches!(self.phase, Phase::Running) {
            let ids: Vec<_> = self.peers.iter().map(|p| p.id).collect();
            for id in ids {
                let heartbeat = self.heartbeat(now, id);
                self.send(id, heartbeat.to_vec());
            }
        }
    }

    /// The own offset: session clock = local clock + offset. Pongs are stamped with it.
    pub fn set_clock(&mut self, offset_micros: i64) {
        self.clock = Some(offset_micros);
    }

    /// This computer was asleep: until [`Mesh::set_clock`] pongs say that the session clock is not
    /// known here, and all peers are measured against by another burst.
    pub fn measure_again(&mut self, now: Micros) {
        self.clock = None;
        for peer in &mut self.peers {
            peer.measure_again(now);
        }
    }

    /// How far the session clock that [`Mesh::set_clock`] gives may be from the truth, microseconds:
    /// told with each pong.
    pub fn set_uncertainty(&mut self, micros: u32) {
        self.uncertainty = micros;
    }

    /// This machine's addresses, the most likely first; an interface may have come or gone. The
    /// others are told at once of what is new, and all ways are tried: the one in use may be dead.
    pub fn set_addresses(&mut self, now: Micros, addresses: Vec<SocketAddr>) {
        let others = addresses.into_iter().filter(|a| Some(*a) != self.mapped);
        let addresses: Vec<_> = self.mapped.into_iter().chain(others).collect();
        if addresses != self.local.addresses {
            self.local.addresses = addresses;
            self.addresses_changed(now);
            for peer in &mut self.peers {
                peer.paths.restart(now);
            }
        }
    }

    /// The address that a router maps to us, offered before all others; `None` when there is none any
    /// more.
    pub fn set_mapped(&mut self, now: Micros, mapped: Option<SocketAddr>) {
        if self.mapped != mapped {
            let before = std::mem::replace(&mut self.mapped, mapped);
            self.local.addresses.retain(|a| Some(*a) != before && Some(*a) != mapped);
            if let Some(mapped) = mapped {
                self.local.addresses.insert(0, mapped);
            }
            self.addresses_changed(now);
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

    /// T0 is the first whole second after `now` (DESIGN section 2).
    fn fix_t0(&mut self, now: Micros) {
        const SECOND: i64 = 1_000_000;
        let Some(session) = self.session(now) else { return };
        self.set_t0(SessionMicros((session.0.div_euclid(SECOND) + 1) * SECOND));
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
