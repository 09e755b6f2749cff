//! Programs in virtual time: mesh, demultiplexer and sealers as an engine would hold them, each with
//! a clock of its own, joined by a [`SimNetwork`].

use std::collections::HashSet;
use std::net::SocketAddr;

use hyperzoom::protocol::{
    Admit, Demux, Demuxed, InviteKey, LeaveReason, Local, MAX_DATAGRAM, MAX_ENVELOPE, MediaSealer,
    Mesh, MeshEvent, PairKeys, Randomness, Refusal, SessionStart, StreamParameters,
};
use hyperzoom::units::{Micros, ParticipantId};

use super::sim::{Link, SimNetwork, SimRng};

pub const KEY: InviteKey = InviteKey([7; 16]);
pub const SECOND: i64 = 1_000_000;
/// 2026-02-27, 20:15 UTC.
pub const EPOCH_UTC: i64 = 1_772_223_300 * SECOND;

pub fn address(i: usize) -> SocketAddr {
    format!("192.0.2.{}:7000", i + 1).parse().unwrap()
}

pub fn id(i: u8) -> ParticipantId {
    ParticipantId(i)
}

pub fn randomness(seed: u64) -> Randomness {
    let mut rng = SimRng::new(seed);
    Box::new(move |bytes: &mut [u8]| rng.fill(bytes))
}

/// One other member as a node sees it.
pub struct Known {
    pub id: ParticipantId,
    pub address: SocketAddr,
    /// The member that carries for us.
    pub relay: Option<ParticipantId>,
    pub sealer: MediaSealer,
    pub frames: u64,
}

/// One program: mesh, demultiplexer and what its engine would keep.
pub struct Node {
    pub address: SocketAddr,
    pub mesh: Mesh,
    pub demux: Demux,
    /// Local clock less the network's.
    pub skew: i64,
    /// Newest keys per peer.
    pub keys: Vec<(ParticipantId, PairKeys)>,
    pub peers: Vec<Known>,
    /// Sends an audio packet each 20 ms.
    pub talks: bool,
    pub next_audio: Micros,
    pub events: Vec<(Micros, MeshEvent)>,
    pub heard: u64,
    /// Audio since this was emptied: whose it was said to be, and who sent it.
    pub heard_of: Vec<(ParticipantId, usize)>,
    /// Datagrams passed on for others.
    pub carried: u64,
    /// Keys that made a sealer.
    pub used_keys: HashSet<[u8; 32]>,
    pub sent_log: Vec<Vec<u8>>,
    pub alive: bool,
}

impl Node {
    pub fn saw(&self, wanted: impl Fn(&MeshEvent) -> bool) -> Option<Micros> {
        self.events.iter().find(|(_, e)| wanted(e)).map(|(at, _)| *at)
    }

    pub fn count(&self, wanted: impl Fn(&MeshEvent) -> bool) -> usize {
        self.events.iter().filter(|(_, e)| wanted(e)).count()
    }

    pub fn joined(&self, peer: u8) -> Option<Micros> {
        self.saw(|e| matches!(e, MeshEvent::PeerJoined { peer: p, .. } if *p == id(peer)))
    }

    pub fn left(&self, peer: u8, why: LeaveReason) -> Option<Micros> {
        self.saw(|e| {
            matches!(e, MeshEvent::PeerLeft { peer: p, reason } if *p == id(peer) && *reason == why)
        })
    }

    /// Nothing has happened but the first invite, and that somebody was turned away.
    pub fn quiet(&self) -> bool {
        let nothing =
            |e: &MeshEvent| matches!(e, MeshEvent::Invite { .. } | MeshEvent::TurnedAway { .. });
        self.events.iter().all(|(_, e)| nothing(e))
    }

    /// Whom it hears and is heard by, as it knows.
    pub fn peer_ids(&self) -> Vec<u8> {
        let mut ids: Vec<_> = self.peers.iter().map(|p| p.id.0).collect();
        ids.sort();
        ids
    }

    pub fn refused(&self) -> Option<Refusal> {
        self.events.iter().find_map(|(_, e)| match e {
            MeshEvent::Refused { reason } => Some(*reason),
            _ => None,
        })
    }
}

/// All of them and the network between.
pub struct Call {
    pub net: SimNetwork,
    pub nodes: Vec<Node>,
    pub now: Micros,
}

impl Call {
    pub fn new(seed: u64, link: Link, admit: Admit) -> Self {
        let mut call = Self { net: SimNetwork::new(seed, link), nodes: Vec::new(), now: Micros(0) };
        let start = SessionStart {
            session_id: [1, 2, 3, 4, 5, 6, 7, 8],
            epoch_utc_micros: EPOCH_UTC,
            utc_offset_seconds: 3_600,
            name: Some("Pilot".into()),
        };
        let skew = 5_000 * SECOND;
        let random = randomness(seed + 1_000);
        let mesh = Mesh::host(local("Alice"), admit, KEY, start, false, Micros(skew), random);
        call.add(mesh, skew);
        call
    }

    pub fn add(&mut self, mesh: Mesh, skew: i64) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node {
            address: address(index),
            mesh,
            demux: Demux::new(),
            skew,
            keys: Vec::new(),
            peers: Vec::new(),
            talks: true,
            next_audio: self.now,
            events: Vec::new(),
            heard: 0,
            heard_of: Vec::new(),
            carried: 0,
            used_keys: HashSet::new(),
            sent_log: Vec::new(),
            alive: true,
        });
        self.drain(index);
        index
    }

    pub fn guest_with(&mut self, local: Local, key: Option<InviteKey>) -> usize {
        let index = self.nodes.len();
        let skew = index as i64 * -77 * SECOND;
        let random = randomness(index as u64 + 50);
        let mesh = Mesh::guest(local, vec![address(0)], key, self.now + skew, random);
        self.add(mesh, skew)
    }

    pub fn guest(&mut self, key: Option<InviteKey>) -> usize {
        let name = format!("Guest {}", self.nodes.len());
        self.guest_with(local(&name), key)
    }

    /// A guest that knows its own address and asks at `at`.
    pub fn guest_asking(&mut self, at: SocketAddr, key: Option<InviteKey>) -> usize {
        let index = self.nodes.len();
        let mut own = local(&format!("Guest {index}"));
        own.addresses = vec![address(index)];
        let skew = index as i64 * -77 * SECOND;
        let random = randomness(index as u64 + 50);
        let mesh = Mesh::guest(own, vec![at], key, self.now + skew, random);
        self.add(mesh, skew)
    }

    /// Strangers can reach it: no router is in front of it, or one with a mapping.
    pub fn reachable(&self, index: usize) -> bool {
        !self.net.is_hidden(address(index))
    }

    /// A guest that is in.
    pub fn joined_guest(&mut self) -> usize {
        let guest = self.guest(Some(KEY));
        self.run(2 * SECOND);
        assert!(self.nodes[guest].joined(0).is_some(), "{:?}", self.nodes[guest].events);
        guest
    }

    /// Sends what the node wants sent and takes its events.
    pub fn drain(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let local = self.now + node.skew;
        let mut out = Vec::new();
        while let Some(to) = node.mesh.poll_transmit(local, &mut out) {
            assert!(out.len() <= MAX_ENVELOPE);
            node.sent_log.push(out.clone());
            self.net.send(self.now, node.address, to, &out);
        }
        while let Some(event) = node.mesh.poll_event() {
            match &event {
                MeshEvent::KeysReady { peer, keys, .. } => {
                    node.demux.add_peer(*peer, keys);
                    node.keys.retain(|(p, _)| p != peer);
                    node.keys.push((*peer, keys.clone()));
                }
                MeshEvent::PeerJoined { peer, address, relay, .. } => {
                    let (_, keys) = node.keys.iter().find(|(p, _)| p == peer).unwrap();
                    assert!(node.used_keys.insert(keys.send), "keys make one sealer, ever");
                    let sealer = MediaSealer::new(node.mesh.own(), keys);
                    node.peers.retain(|p| p.id != *peer);
                    let (address, relay) = (*address, *relay);
                    node.peers.push(Known { id: *peer, address, relay, sealer, frames: 0 });
                }
                MeshEvent::PeerAddress { peer, address, relay } => {
                    for known in node.peers.iter_mut().filter(|p| p.id == *peer) {
                        known.address = *address;
                        known.relay = *relay;
                    }
                }
                MeshEvent::PeerLeft { peer, reason } => {
                    node.peers.retain(|p| p.id != *peer);
                    match reason {
                        LeaveReason::Bye => node.demux.peer_left(*peer),
                        LeaveReason::Timeout | LeaveReason::Removed => {
                            node.demux.remove_peer(*peer);
                        }
                    }
                }
                // A plain NTP estimate; the clock room does better.
                MeshEvent::ClockSample {
                    peer,
                    sent,
                    remote_received,
                    remote_sent,
                    received,
                    ..
                } if Some(*peer) == node.mesh.reference() => {
                    let offset = ((remote_received.0 - sent.0) + (remote_sent.0 - received.0)) / 2;
                    node.mesh.set_clock(offset);
                }
                _ => {}
            }
            node.events.push((self.now, event));
        }
    }

    pub fn run(&mut self, micros: i64) {
        let end = self.now + micros;
        while self.step(end) {}
    }

    /// Goes on to the next thing that happens, if that is before `end`.
    pub fn step(&mut self, end: Micros) -> bool {
        let mut next = end;
        for node in self.nodes.iter().filter(|n| n.alive) {
            if let Some(at) = node.mesh.poll_timeout() {
                next = next.min(at - node.skew);
            }
            if node.talks && !node.peers.is_empty() {
                next = next.min(node.next_audio);
            }
        }
        if let Some(at) = self.net.next_arrival() {
            next = next.min(at);
        }
        self.now = self.now.max(next);
        if self.now >= end {
            self.now = end;
            return false;
        }
        while let Some(delivery) = self.net.deliver(self.now) {
            let at = |n: &Node| n.address == delivery.to && n.alive;
            if let Some(index) = self.nodes.iter().position(at) {
                self.arrive(index, delivery.from, delivery.datagram);
            }
        }
        for index in 0..self.nodes.len() {
            if self.nodes[index].alive {
                self.tick(index);
            }
        }
        true
    }

    pub fn arrive(&mut self, index: usize, from: SocketAddr, mut datagram: Vec<u8>) {
        let node = &mut self.nodes[index];

        let local = self.now + node.skew;
        match node.demux.handle(&mut datagram) {
            Demuxed::Handshake(whole) => node.mesh.handle_handshake(local, from, whole),
            Demuxed::Control { peer, payload } => {
                node.mesh.handle_control(local, from, peer, payload);
            }
            Demuxed::Bye { peer } => node.mesh.handle_bye(local, peer),
            Demuxed::Audio { peer, payload, .. } => {
                node.heard += 1;
                if let Ok(index) = <[u8; 8]>::try_from(payload) {
                    node.heard_of.push((peer, u64::from_be_bytes(index) as usize));
                }
                node.mesh.heard_from(local, peer, from);
            }
            Demuxed::Video { peer, .. } | Demuxed::Padding { peer } => {
                node.heard += 1;
                node.mesh.heard_from(local, peer, from);
            }
            Demuxed::Relay { to, datagram, .. } => {
                let direct = |p: &&Known| p.id == to && p.relay.is_none();
                if let Some(to) = node.peers.iter().find(direct).map(|p| p.address) {
                    node.carried += 1;
                    self.net.send(self.now, node.address, to, datagram);
                }
            }
            Demuxed::Dropped(_) => {}
        }
        self.drain(index);
    }

    pub fn tick(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        if node.mesh.poll_timeout().is_some_and(|at| at - node.skew <= self.now) {
            node.mesh.handle_timeout(self.now + node.skew);
        }
        if node.talks && !node.peers.is_empty() && node.next_audio <= self.now {
            node.next_audio = self.now + 20_000;
            for at in 0..node.peers.len() {
                let peer = &mut node.peers[at];
                let mut out = [0; MAX_DATAGRAM];
                let payload = (index as u64).to_be_bytes();
                let len = peer.sealer.audio(peer.frames, 0, &payload, &mut out);
                peer.frames += 4;
                let (to, relay, address) = (peer.id, peer.relay, peer.address);
                let Some(relay) = relay else {
                    self.net.send(self.now, node.address, address, &out[..len]);
                    continue;
                };
                let Some(relay) = node.peers.iter_mut().find(|p| p.id == relay) else { continue };
                let mut envelope = [0; MAX_ENVELOPE];
                let len = relay.sealer.relay(to, 0, &out[..len], &mut envelope);
                self.net.send(self.now, node.address, relay.address, &envelope[..len]);
            }
        }
        self.drain(index);
    }

    pub fn with(&mut self, index: usize, act: impl FnOnce(&mut Mesh, Micros)) {
        let node = &mut self.nodes[index];
        let local = self.now + node.skew;
        act(&mut node.mesh, local);
        self.drain(index);
    }

    pub fn leave(&mut self, index: usize) {
        self.with(index, |mesh, now| mesh.leave(now));
        self.nodes[index].talks = false;
    }

    /// Its process dies: nothing is sent or received any more.
    pub fn kill(&mut self, index: usize) {
        self.nodes[index].alive = false;
    }

    /// Its whole network is gone, or back.
    pub fn isolate(&mut self, index: usize, down: bool) {
        for other in 0..self.nodes.len() {
            if other != index {
                self.cut(index, other, down);
            }
        }
    }

    /// Everybody that lives and was not refused hears everybody else, right now.
    pub fn assert_full_mesh(&mut self) {
        for node in &mut self.nodes {
            node.heard_of.clear();
        }
        self.run(SECOND);
        let living: Vec<_> =
            (0..self.nodes.len()).filter(|&i| self.nodes[i].alive && self.nodes[i].talks).collect();
        for &a in &living {
            for &b in living.iter().filter(|&&b| b != a) {
                let said = (self.nodes[b].mesh.own(), b);
                let heard = self.nodes[a].heard_of.iter().filter(|h| **h == said).count();
                assert!(heard > 20, "{a} hears {heard} packets of {b} in a second");
            }
        }
    }

    pub fn cut(&mut self, a: usize, b: usize, down: bool) {
        let link = Link { down, ..Link::clean(20_000) };
        self.net.set_link(address(a), address(b), link);
        self.net.set_link(address(b), address(a), link);
    }
}

pub fn local(name: &str) -> Local {
    Local {
        name: name.into(),
        version: "0.1.0".into(),
        addresses: vec!["10.0.0.5:7000".parse().unwrap()],
        streams: StreamParameters { recording_width: 1920, ..StreamParameters::default() },
        utc_minute: (EPOCH_UTC / 60 / SECOND) as u32,
    }
}

pub fn clean() -> Call {
    Call::new(1, Link::clean(20_000), Admit::Key)
}
