//! The guest's part of the mesh: asking to be let in, and coming back. Part of the mesh's thread.

use std::net::SocketAddr;

use super::super::handshake::{
    CODEC_OPUS, CODEC_VP8, GuestHandshake, GuestOutcome, Hello, Refusal, SessionStart, Welcome,
};
use super::super::invite::InviteKey;
use super::super::seal::PairKeys;
use super::peer::{Identity, Peer};
use super::{LeaveReason, Mesh, MeshEvent, Outgoing, Phase, Role};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// A HELLO is first repeated after this long, microseconds; then each time after twice as long.
const FIRST_RETRY: i64 = 250_000;
/// Longest time between two, microseconds.
const LAST_RETRY: i64 = 1_000_000;
/// A HELLO is given up after this long, microseconds: as long as a host keeps its answer.
const GIVE_UP: i64 = 10_000_000;
/// A guest that was cut off tries to come back for this long, microseconds (DESIGN section 7).
const COME_BACK: i64 = 600_000_000;

/// One HELLO, under way.
struct Joining {
    handshake: GuestHandshake,
    began: Micros,
    next: Micros,
    interval: i64,
    /// We were in before, and try until then.
    until: Option<Micros>,
}

/// What only a guest has.
pub(super) struct Guest {
    candidates: Vec<SocketAddr>,
    key: Option<InviteKey>,
    /// When [`super::Local::utc_minute`] was true.
    created: Micros,
    joining: Option<Joining>,
    /// From the first WELCOME on.
    start: Option<SessionStart>,
    ticket: Option<[u8; 16]>,
    /// Known to members only; psk of guest-to-guest handshakes.
    secret: [u8; 32],
}

impl Guest {
    pub(super) fn new(candidates: Vec<SocketAddr>, key: Option<InviteKey>, now: Micros) -> Self {
        Self {
            candidates,
            key,
            created: now,
            joining: None,
            start: None,
            ticket: None,
            secret: [0; 32],
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Micros> {
        self.joining.as_ref().map(|j| j.next.min(j.began + GIVE_UP))
    }
}

impl Mesh {
    /// Makes a HELLO. With `until` we were in before, and it may take that long.
    pub(super) fn begin_join(&mut self, now: Micros, until: Option<Micros>) {
        let Role::Guest(guest) = &mut self.role else { return };
        let minutes = now.since(guest.created).max(0) / 60_000_000;
        let hello = Hello {
            name: self.local.name.clone(),
            version: self.local.version.clone(),
            codecs: CODEC_OPUS | CODEC_VP8,
            streams: self.local.streams,
            addresses: self.local.addresses.clone(),
            static_key: self.static_key.public,
            utc_minute: match self.local.utc_minute {
                0 => 0,
                minute => minute.saturating_add(u32::try_from(minutes).unwrap_or(u32::MAX)),
            },
            ticket: guest.ticket,
        };
        let handshake = GuestHandshake::new(&mut self.random, guest.key.as_ref(), &hello);
        guest.joining =
            Some(Joining { handshake, began: now, next: now, interval: FIRST_RETRY, until });
    }

    pub(super) fn guest_timeout(&mut self, now: Micros) {
        let Role::Guest(guest) = &mut self.role else { return };
        let Some(joining) = &mut guest.joining else { return };
        if now.since(joining.began) >= GIVE_UP {
            match joining.until.filter(|&until| now < until) {
                // The host has forgotten that HELLO: it takes a new one.
                Some(until) => self.begin_join(now, Some(until)),
                None => return self.end(MeshEvent::NoAnswer),
            }
        }
        let Role::Guest(guest) = &mut self.role else { return };
        let Some(joining) = &mut guest.joining else { return };
        if now < joining.next {
            return;
        }
        joining.next = now + joining.interval;
        joining.interval = (joining.interval * 2).min(LAST_RETRY);
        let datagram = joining.handshake.datagram.clone();
        for to in guest.candidates.clone() {
            self.push(Outgoing::Raw { to, datagram: datagram.clone() });
        }
    }

    fn end(&mut self, event: MeshEvent) {
        if let Role::Guest(guest) = &mut self.role {
            guest.joining = None;
        }
        self.outbox.clear();
        self.phase = Phase::Over;
        self.events.push_back(event);
    }

    pub(super) fn guest_handshake(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        let Role::Guest(guest) = &mut self.role else { return };
        let outcome = match &mut guest.joining {
            Some(joining) => joining.handshake.answer(datagram),
            None => GuestOutcome::Nothing,
        };
        match outcome {
            GuestOutcome::Nothing => self.counters.handshakes_dropped += 1,
            GuestOutcome::Welcome(welcome, keys) => self.welcomed(now, from, *welcome, keys),
            GuestOutcome::Refused(reason) => {
                let back = guest.joining.as_ref().is_some_and(|j| j.until.is_some());
                // On the way back our own place may still be resting: the next HELLO may do.
                if !(back && reason == Refusal::Full) {
                    self.end(MeshEvent::Refused { reason });
                }
            }
        }
    }

    fn welcomed(&mut self, now: Micros, from: SocketAddr, welcome: Welcome, keys: PairKeys) {
        let Role::Guest(guest) = &mut self.role else { return };
        let known = guest.start.as_ref();
        if known.is_some_and(|s| s.session_id != welcome.start.session_id) {
            return self.end(MeshEvent::Refused { reason: Refusal::OtherSession });
        }
        let id = welcome.id;
        if id == ParticipantId::HOST || usize::from(id.0) >= MAX_PARTICIPANTS {
            return self.end(MeshEvent::Refused { reason: Refusal::Malformed });
        }
        let news = known.is_none() || id != self.own;
        guest.joining = None;
        guest.start = Some(welcome.start.clone());
        guest.ticket = Some(welcome.ticket);
        guest.secret = welcome.secret;
        // A place on the way back: the address that answered is the first to be asked.
        guest.candidates.retain(|&a| a != from);
        guest.candidates.insert(0, from);
        self.own = id;
        let entry = welcome.roster.members.iter().find(|m| m.id == ParticipantId::HOST);
        let identity = Identity {
            id: ParticipantId::HOST,
            name: entry.map_or_else(|| "host".to_owned(), |m| m.name.clone()),
            streams: welcome.streams,
            static_key: entry.map_or([0; 32], |m| m.static_key),
            offered: entry.map_or_else(Vec::new, |m| m.addresses.clone()),
            epoch: welcome.epoch,
            ticket: welcome.ticket,
        };
        let mut host = Peer::new(id, identity, &keys, from, now);
        host.confirming = Some(welcome.epoch);
        if news {
            self.events.push_back(MeshEvent::Welcomed { own: id, start: welcome.start });
        }
        self.events.push_back(MeshEvent::KeysReady { peer: host.id, keys, address: from });
        self.events.push_back(MeshEvent::PeerJoined {
            peer: host.id,
            name: host.name.clone(),
            streams: host.streams,
            address: from,
        });
        self.peers.retain(|p| p.id != ParticipantId::HOST);
        self.peers.push(host);
        if welcome.roster.epoch >= self.roster.epoch {
            self.roster = welcome.roster;
        }
        if let Some(t0) = welcome.t0 {
            self.set_t0(t0);
        }
        self.handle_timeout(now);
    }

    pub(super) fn guest_left(&mut self, now: Micros, id: ParticipantId, reason: LeaveReason) {
        if id == ParticipantId::HOST && reason == LeaveReason::Timeout {
            self.begin_join(now, Some(now + COME_BACK));
            self.guest_timeout(now);
        }
    }
}
