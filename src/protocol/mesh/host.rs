//! The host's part of the mesh: letting in, ids, the roster, T0. Part of the mesh's thread.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::control::Member;
use super::super::handshake::{
    Answer, CODEC_OPUS, CODEC_VP8, ClearHello, Hello, HostHandshake, REVISION, Randomness, Refusal,
    SessionStart, Welcome,
};
use super::super::invite::InviteKey;
use super::super::seal::PairKeys;
use super::super::wire::MAX_ADDRESSES;
use super::peer::{Identity, Peer};
use super::{Admit, Mesh, MeshEvent, Outgoing, Role};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId, SessionMicros};

/// How long an identical HELLO gets the identical answer, microseconds: as long as a guest tries.
const ANSWER_KEPT: i64 = 10_000_000;
/// How long an id waits for the first sealed packet, microseconds.
const RESERVED: i64 = 5_000_000;
/// How long an id rests after a leave, microseconds: late packets of its last owner are gone then.
const REST: i64 = 30_000_000;
/// HELLOs that are remembered so that an old one cannot be played again.
const EPHEMERALS: usize = 1_024;
/// Farthest apart that two computers' clocks may be, minutes: any time zone taken for UTC is within.
const CLOCKS_APART: u32 = 14 * 60;

/// A guest that was answered and has not shown its keys yet.
struct Pending {
    peer: Peer,
    keys: PairKeys,
    expires: Micros,
}

/// What a HELLO was answered with.
struct Answered {
    ephemeral: [u8; 32],
    datagram: Vec<u8>,
    at: Micros,
    /// The handshake that the answer began, 0 for a refusal.
    epoch: u32,
}

/// Who had an id last.
struct Departed {
    id: ParticipantId,
    static_key: [u8; 32],
    ticket: [u8; 16],
    at: Micros,
}

/// What only the host has.
pub(super) struct Host {
    admit: Admit,
    key: InviteKey,
    start: SessionStart,
    secret: [u8; 32],
    /// Counts handshakes and rosters.
    epoch: u32,
    pending: Vec<Pending>,
    answered: VecDeque<Answered>,
    ephemerals: VecDeque<[u8; 32]>,
    departed: Vec<Departed>,
}

impl Host {
    pub(super) fn new(
        admit: Admit,
        key: InviteKey,
        start: SessionStart,
        random: &mut Randomness,
    ) -> Self {
        let mut secret = [0; 32];
        random(&mut secret);
        Self {
            admit,
            key,
            start,
            secret,
            epoch: 0,
            pending: Vec::new(),
            answered: VecDeque::new(),
            ephemerals: VecDeque::with_capacity(EPHEMERALS),
            departed: Vec::new(),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Micros> {
        self.pending.iter().map(|p| p.expires).min()
    }

    /// The id of a guest that comes again with its ticket, else a free one. `Err(None)` when
    /// one may come free within seconds: the guest's next try will find it.
    fn choose_id(
        &self,
        now: Micros,
        hello: &Hello,
        peers: &[Peer],
    ) -> Result<ParticipantId, Option<Refusal>> {
        let same = |key: &[u8; 32], ticket: &[u8; 16]| {
            *key == hello.static_key && Some(ticket) == hello.ticket.as_ref()
        };
        let reserved = |id| self.pending.iter().find(|p| p.peer.id == id);
        let taken = |id| peers.iter().any(|p| p.id == id);
        let here = peers.iter().find(|p| same(&p.static_key, &p.ticket)).map(|p| p.id);
        let before = self.departed.iter().find(|d| same(&d.static_key, &d.ticket)).map(|d| d.id);
        if let Some(id) = here.or(before.filter(|&id| !taken(id))) {
            let ours = |p: &Pending| p.peer.static_key == hello.static_key;
            if reserved(id).is_none_or(ours) {
                return Ok(id);
            }
        }
        let left = |id| self.departed.iter().find(|d| d.id == id).map(|d| d.at);
        let ids = (1..MAX_PARTICIPANTS as u8).map(ParticipantId);
        ids.clone()
            .filter(|&id| !taken(id) && reserved(id).is_none())
            .filter(|&id| left(id).is_none_or(|at| now.since(at) >= REST))
            // Never used before, else unused the longest.
            .min_by_key(|&id| (left(id), id))
            .ok_or_else(|| {
                let hope = ids.clone().any(|id| !taken(id) && reserved(id).is_some());
                (!hope).then_some(Refusal::Full)
            })
    }

    fn remember(&mut self, hello: &ClearHello<'_>, datagram: &[u8], at: Micros, epoch: u32) {
        if self.ephemerals.len() == EPHEMERALS {
            self.ephemerals.pop_front();
        }
        self.ephemerals.push_back(hello.ephemeral);
        self.answered.retain(|a| at.since(a.at) < ANSWER_KEPT);
        let datagram = datagram.to_vec();
        self.answered.push_back(Answered { ephemeral: hello.ephemeral, datagram, at, epoch });
    }
}

impl Mesh {
    pub(super) fn host_handshake(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        match self.answer(now, from, datagram) {
            Some(datagram) => self.push(Outgoing::Raw { to: from, datagram }),
            None => self.counters.handshakes_dropped += 1,
        }
    }

    fn answer(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Option<Vec<u8>> {
        let clear = ClearHello::read(datagram)?;
        let Role::Host(host) = &mut self.role else { return None };
        let known = host.answered.iter().find(|a| a.ephemeral == clear.ephemeral);
        if let Some(known) = known.filter(|a| now.since(a.at) < ANSWER_KEPT) {
            if let Some(pending) = host.pending.iter_mut().find(|p| p.peer.epoch == known.epoch) {
                pending.expires = now + RESERVED;
            }
            return Some(known.datagram.clone());
        }
        let refused = if clear.revision != REVISION {
            Some(Refusal::Version)
        } else if !clear.keyed && host.admit == Admit::Key {
            Some(Refusal::KeyNeeded)
        } else {
            None
        };
        if let Some(refusal) = refused {
            self.counters.handshakes_refused += 1;
            return Some(clear.refuse(refusal));
        }
        if host.ephemerals.contains(&clear.ephemeral) {
            return None;
        }
        let Some((hello, handshake)) = clear.open(&mut self.random, &host.key) else {
            self.counters.handshakes_refused += 1;
            return Some(clear.refuse(Refusal::Key));
        };
        let admitted = hello
            .map_err(|_| Some(Refusal::Malformed))
            .and_then(|hello| Ok((self.admissible(now, &hello)?, hello)));
        match admitted {
            Ok((id, hello)) => self.welcome(now, from, &clear, id, hello, handshake),
            // Not answered and not remembered: the same HELLO may come again.
            Err(None) => None,
            Err(Some(refusal)) => {
                self.counters.handshakes_refused += 1;
                let (datagram, _) = handshake.answer(&Answer::Refused(refusal));
                if let Role::Host(host) = &mut self.role {
                    host.remember(&clear, &datagram, now, 0);
                }
                Some(datagram)
            }
        }
    }

    /// The id that a guest can have, or why it cannot.
    fn admissible(&self, now: Micros, hello: &Hello) -> Result<ParticipantId, Option<Refusal>> {
        let Role::Host(host) = &self.role else { return Err(None) };
        if hello.codecs & CODEC_OPUS == 0 {
            return Err(Some(Refusal::Codecs));
        }
        let session = self.session(now).map_or(0, |s| s.0);
        let minute = (host.start.epoch_utc_micros + session).div_euclid(60_000_000);
        if hello.utc_minute != 0
            && host.start.epoch_utc_micros != 0
            && minute.abs_diff(i64::from(hello.utc_minute)) > u64::from(CLOCKS_APART)
        {
            return Err(Some(Refusal::Clock));
        }
        host.choose_id(now, hello, &self.peers)
    }

    fn welcome(
        &mut self,
        now: Micros,
        from: SocketAddr,
        clear: &ClearHello<'_>,
        id: ParticipantId,
        hello: Hello,
        handshake: HostHandshake,
    ) -> Option<Vec<u8>> {
        let mut ticket = hello.ticket.unwrap_or_default();
        let mut roster = self.roster.clone();
        roster.members.retain(|m| m.id != id);
        let Role::Host(host) = &mut self.role else { return None };
        // A guest that comes again keeps its ticket; everybody else gets one of its own.
        let again = |key: &[u8; 32], t: &[u8; 16]| *key == hello.static_key && *t == ticket;
        let comes_again = hello.ticket.is_some()
            && (self.peers.iter().any(|p| again(&p.static_key, &p.ticket))
                || host.departed.iter().any(|d| again(&d.static_key, &d.ticket)));
        if !comes_again {
            (self.random)(&mut ticket);
        }
        host.epoch += 1;
        let epoch = host.epoch;
        let answer = Answer::Welcome(Box::new(Welcome {
            id,
            epoch,
            start: host.start.clone(),
            secret: host.secret,
            ticket,
            t0: self.t0,
            version: self.local.version.clone(),
            codecs: CODEC_OPUS | CODEC_VP8,
            streams: self.local.streams,
            roster,
        }));
        let (datagram, keys) = handshake.answer(&answer);
        host.remember(clear, &datagram, now, epoch);
        let identity = Identity {
            id,
            name: hello.name,
            streams: hello.streams,
            static_key: hello.static_key,
            offered: hello.addresses,
            epoch,
            ticket,
        };
        let peer = Peer::new(ParticipantId::HOST, identity, &keys, from, now);
        host.pending.retain(|p| p.peer.id != id);
        host.pending.push(Pending { peer, keys: keys.clone(), expires: now + RESERVED });
        self.events.push_back(MeshEvent::KeysReady { peer: id, keys, address: from });
        Some(datagram)
    }

    /// A guest has shown the keys of the handshake with that number: it is in.
    pub(super) fn host_confirm(
        &mut self,
        now: Micros,
        from: SocketAddr,
        id: ParticipantId,
        epoch: u32,
    ) {
        let Role::Host(host) = &mut self.role else { return };
        let confirmed = |p: &Pending| p.peer.id == id && p.peer.epoch == epoch;
        let Some(at) = host.pending.iter().position(confirmed) else { return };
        let mut peer = host.pending.remove(at).peer;
        host.departed.retain(|d| d.id != id);
        peer.address = from;
        peer.begin(now);
        self.peers.retain(|p| p.id != id);
        self.events.push_back(MeshEvent::PeerJoined {
            peer: id,
            name: peer.name.clone(),
            streams: peer.streams,
            address: from,
        });
        self.peers.push(peer);
        self.renew_roster();
        if self.t0.is_none() {
            self.fix_t0(now);
        }
        self.handle_timeout(now);
    }

    /// T0 is the first whole second after `now` (DESIGN section 2).
    pub(super) fn fix_t0(&mut self, now: Micros) {
        const SECOND: i64 = 1_000_000;
        let Some(session) = self.session(now) else { return };
        self.set_t0(SessionMicros((session.0.div_euclid(SECOND) + 1) * SECOND));
    }

    /// Who is in has changed: the next heartbeats tell.
    pub(super) fn renew_roster(&mut self) {
        let mut members = vec![self.own_member()];
        for peer in &self.peers {
            // What the host has seen comes first: it works at least from here.
            let mut addresses = vec![peer.address];
            addresses.extend(peer.offered.iter().filter(|&&a| a != peer.address));
            addresses.truncate(MAX_ADDRESSES);
            members.push(Member {
                id: peer.id,
                name: peer.name.clone(),
                static_key: peer.static_key,
                addresses,
                epoch: peer.epoch,
            });
        }
        members.sort_by_key(|m| m.id);
        let Role::Host(host) = &mut self.role else { return };
        host.epoch += 1;
        self.roster.epoch = host.epoch;
        self.roster.members = members;
        for peer in &mut self.peers {
            peer.heartbeat_soon();
        }
    }

    pub(super) fn host_left(&mut self, now: Micros, peer: Peer) {
        let Role::Host(host) = &mut self.role else { return };
        host.departed.retain(|d| d.id != peer.id);
        let Peer { id, static_key, ticket, .. } = peer;
        host.departed.push(Departed { id, static_key, ticket, at: now });
        // The caller forgets all keys of that id: give it those of a return that is under way.
        if let Some(pending) = host.pending.iter().find(|p| p.peer.id == id) {
            self.events.push_back(MeshEvent::KeysReady {
                peer: id,
                keys: pending.keys.clone(),
                address: pending.peer.address,
            });
        }
        self.renew_roster();
    }

    pub(super) fn host_timeout(&mut self, now: Micros) {
        let Role::Host(host) = &mut self.role else { return };
        host.pending.retain(|p| now < p.expires);
    }
}
