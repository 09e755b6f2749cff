//! What the mesh knows of one confirmed peer. Part of the mesh's thread.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::control::StreamParameters;
use super::super::seal::{ControlSealer, PairKeys};
use super::{
    BURST, BURST_INTERVAL, CHALLENGE_INTERVAL, HEARTBEAT_MICROS, PINGS_KEPT, SILENT_MICROS,
    TIMEOUT_MICROS,
};
use crate::units::{Micros, ParticipantId};

/// An address that a peer may have moved to.
struct Challenge {
    address: SocketAddr,
    token: [u8; 8],
    sent: Micros,
}

/// Who a peer is, before anything was exchanged with it.
pub(super) struct Identity {
    pub(super) id: ParticipantId,
    pub(super) name: String,
    pub(super) streams: StreamParameters,
    pub(super) static_key: [u8; 32],
    /// Where it says that it may be reached.
    pub(super) offered: Vec<SocketAddr>,
    /// Its handshake's number.
    pub(super) epoch: u32,
    /// What brings a guest its id back (host only).
    pub(super) ticket: [u8; 16],
}

/// One confirmed peer.
pub(super) struct Peer {
    pub(super) id: ParticipantId,
    pub(super) name: String,
    pub(super) streams: StreamParameters,
    pub(super) static_key: [u8; 32],
    pub(super) offered: Vec<SocketAddr>,
    pub(super) epoch: u32,
    pub(super) ticket: [u8; 16],
    pub(super) address: SocketAddr,
    pub(super) sealer: ControlSealer,
    pub(super) last_heard: Micros,
    /// What was heard last, with media no more than a second before it.
    last_media: Option<Micros>,
    silent: bool,
    burst_left: u8,
    next_burst: Micros,
    next_heartbeat: Micros,
    pub(super) heartbeats_sent: u32,
    pub(super) heartbeats_heard: u32,
    /// Epoch of the newest roster that the peer has.
    pub(super) roster_known: u32,
    /// A guest's WELCOME, until the host has shown that it knows it is open.
    pub(super) confirming: Option<u32>,
    pings: VecDeque<Micros>,
    challenge: Option<Challenge>,
}

impl Peer {
    pub(super) fn new(
        own: ParticipantId,
        identity: Identity,
        keys: &PairKeys,
        address: SocketAddr,
        now: Micros,
    ) -> Self {
        Self {
            id: identity.id,
            name: identity.name,
            streams: identity.streams,
            static_key: identity.static_key,
            offered: identity.offered,
            epoch: identity.epoch,
            ticket: identity.ticket,
            address,
            sealer: ControlSealer::new(own, keys),
            last_heard: now,
            last_media: None,
            silent: false,
            burst_left: BURST,
            next_burst: now,
            next_heartbeat: now,
            heartbeats_sent: 0,
            heartbeats_heard: 0,
            roster_known: 0,
            confirming: None,
            pings: VecDeque::with_capacity(PINGS_KEPT),
            challenge: None,
        }
    }

    /// Confirmed: heard just now, and everything starts from here.
    pub(super) fn begin(&mut self, now: Micros) {
        self.last_heard = now;
        self.next_burst = now;
        self.next_heartbeat = now;
    }

    /// There is news: the next heartbeat is due at once.
    pub(super) fn heartbeat_soon(&mut self) {
        self.next_heartbeat = self.next_heartbeat.min(self.last_heard);
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Micros {
        let mut next = self.next_heartbeat.min(self.last_heard + TIMEOUT_MICROS);
        if self.burst_left > 0 {
            next = next.min(self.next_burst);
        }
        if !self.silent {
            next = next.min(self.last_heard + self.silent_after());
        }
        next
    }

    fn silent_after(&self) -> i64 {
        match self.last_media {
            Some(media) if self.last_heard.since(media) < SILENT_MICROS => SILENT_MICROS,
            // Only heartbeats come: one of them is late by then.
            _ => HEARTBEAT_MICROS + SILENT_MICROS,
        }
    }

    /// Notes a packet; how long the peer was silent, if it was.
    pub(super) fn heard(&mut self, now: Micros, media: bool) -> Option<i64> {
        let micros = now.since(self.last_heard);
        self.last_heard = self.last_heard.max(now);
        if media {
            self.last_media = Some(self.last_heard);
        }
        std::mem::take(&mut self.silent).then_some(micros)
    }

    /// How long nothing was heard, once, when that is too long.
    pub(super) fn fell_silent(&mut self, now: Micros) -> Option<i64> {
        let micros = now.since(self.last_heard);
        if self.silent || micros < self.silent_after() {
            return None;
        }
        self.silent = true;
        Some(micros)
    }

    /// One of the burst's pings is due; counts it.
    pub(super) fn burst_due(&mut self, now: Micros) -> bool {
        if self.burst_left == 0 || now < self.next_burst {
            return false;
        }
        self.burst_left -= 1;
        self.next_burst = now + BURST_INTERVAL;
        true
    }

    /// A heartbeat is due; counts it. After a suspend there is one, not one for each second lost.
    pub(super) fn heartbeat_due(&mut self, now: Micros) -> bool {
        if now < self.next_heartbeat {
            return false;
        }
        self.next_heartbeat =
            (self.next_heartbeat + HEARTBEAT_MICROS).max(now + HEARTBEAT_MICROS / 2);
        true
    }

    pub(super) fn pinged(&mut self, now: Micros) {
        if self.pings.len() == PINGS_KEPT {
            self.pings.pop_front();
        }
        self.pings.push_back(now);
    }

    /// Whether that ping was ours and is not yet answered.
    pub(super) fn ponged(&mut self, sent: Micros) -> bool {
        match self.pings.iter().position(|&p| p == sent) {
            Some(at) => {
                self.pings.remove(at);
                true
            }
            None => false,
        }
    }

    /// What to send to an address that is not the peer's; nothing when it was sent just now.
    pub(super) fn challenge(
        &mut self,
        now: Micros,
        from: SocketAddr,
        fresh: [u8; 8],
    ) -> Option<[u8; 8]> {
        if from == self.address {
            return None;
        }
        let token = match &self.challenge {
            Some(open) if now.since(open.sent) < CHALLENGE_INTERVAL => return None,
            Some(open) if open.address == from => open.token,
            _ => fresh,
        };
        self.challenge = Some(Challenge { address: from, token, sent: now });
        Some(token)
    }

    /// Moves, if the challenge comes back from where it was sent.
    pub(super) fn moved(&mut self, from: SocketAddr, token: [u8; 8]) -> bool {
        let answered = |c: &Challenge| c.address == from && c.token == token;
        if !self.challenge.as_ref().is_some_and(answered) {
            return false;
        }
        self.challenge = None;
        self.address = from;
        true
    }
}
