//! Handshakes between members: one under way for each member of the roster that is not a peer.
//! Part of the mesh's thread.
//!
//! The later joiner asks, on all addresses and, when none answers, through the other members; the
//! earlier one opens its NAT towards it meanwhile. The same brings back whoever was cut off.

use std::net::SocketAddr;

use super::super::control::Member;
use super::super::handshake::pair::{ClearPair, PairBody, PairInitiator, PairNames, PairSecrets};
use super::super::handshake::{claimed_sender, cookie_answer, punch};
use super::gate::{Reply, Verdict};
use super::path::Route;
use super::peer::{Identity, Peer};
use super::{COME_BACK, Mesh, MeshEvent, Outgoing};
use crate::units::{Micros, ParticipantId};

/// Microseconds between the first two tries; then each time twice as long.
const FIRST_RETRY: i64 = 250_000;
/// Longest time between two at first; longer once half a minute and two minutes have passed.
const LAST_RETRY: [i64; 3] = [1_000_000, 2_000_000, 5_000_000];
/// A question is renewed after this long, microseconds: as long as its answer is kept.
const RENEW: i64 = 10_000_000;
/// Direct ways alone are tried for so long, microseconds.
const DIRECT_ONLY: i64 = 600_000;

/// One pair that is not connected.
pub(super) struct Pair {
    id: ParticipantId,
    epoch: u32,
    /// `None`: the other side asks.
    asks: bool,
    handshake: Option<PairInitiator>,
    number: u32,
    cookie: Option<[u8; 16]>,
    since: Micros,
    renewed: Micros,
    next: Micros,
    interval: i64,
    attempt: usize,
}

impl Pair {
    pub(super) fn next_timeout(&self) -> Micros {
        self.next
    }
}

impl Mesh {
    /// One handshake for each member that is not a peer, and none for anybody else.
    pub(super) fn sync_pairs(&mut self, now: Micros) {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.retain(|p| self.wanted(p.id, p.epoch));
        for member in &self.roster.members {
            if !self.wanted(member.id, member.epoch) || pairs.iter().any(|p| p.id == member.id) {
                continue;
            }
            pairs.push(Pair {
                id: member.id,
                epoch: member.epoch,
                asks: self.asks(member),
                handshake: None,
                number: 0,
                cookie: None,
                since: now,
                renewed: now,
                next: now,
                interval: FIRST_RETRY,
                attempt: 0,
            });
        }
        self.pairs = pairs;
    }

    /// The later joiner asks.
    fn asks(&self, member: &Member) -> bool {
        (self.own_epoch, self.own) > (member.epoch, member.id)
    }

    /// Since when a member that joined before us is away: the longest.
    pub(super) fn earlier_member_away(&self) -> Option<Micros> {
        let earlier = self.pairs.iter().filter(|p| p.epoch < self.own_epoch);
        earlier.map(|p| p.since).min()
    }

    /// A member of the roster that has not said BYE and is not a peer.
    fn wanted(&self, id: ParticipantId, epoch: u32) -> bool {
        id != self.own
            && self.session.is_some()
            && self.roster.members.iter().any(|m| m.id == id && m.epoch == epoch)
            && !self.byes.contains(&(id, epoch))
            && !self.peers.iter().any(|p| p.id == id && p.epoch == epoch)
    }

    pub(super) fn pair_timeout(&mut self, now: Micros) {
        self.pairs.retain(|p| now.since(p.since) < COME_BACK);
        for at in 0..self.pairs.len() {
            if now < self.pairs[at].next {
                continue;
            }
            self.try_pair(now, at);
        }
    }

    fn try_pair(&mut self, now: Micros, at: usize) {
        let pair = &mut self.pairs[at];
        let waited = now.since(pair.since);
        let longest =
            LAST_RETRY[usize::from(waited > 30_000_000) + usize::from(waited > 120_000_000)];
        pair.next = now + pair.interval;
        pair.interval = (pair.interval * 2).min(longest);
        let (id, asks) = (pair.id, pair.asks);
        let renew = pair.handshake.is_none() || now.since(pair.renewed) >= RENEW;
        let Some(member) = self.roster.members.iter().find(|m| m.id == id).cloned() else { return };
        let mut addresses = member.addresses.clone();
        addresses.extend(self.known.iter().filter(|(known, _)| *known == id).map(|(_, a)| *a));
        addresses.sort();
        addresses.dedup();
        let datagram = if asks {
            if renew && !self.renew_pair(now, at, &member) {
                return;
            }
            let pair = &self.pairs[at];
            let Some(handshake) = &pair.handshake else { return };
            handshake.datagram(pair.cookie.as_ref())
        } else {
            punch(self.own)
        };
        for to in addresses {
            self.push(Outgoing::Raw { to, datagram: datagram.clone() });
        }
        if asks && waited >= DIRECT_ONLY {
            let relays: Vec<_> = self.direct_peers().filter(|&relay| relay != id).collect();
            for relay in relays {
                self.push(Outgoing::Relayed { relay, to: id, datagram: datagram.clone() });
            }
        }
    }

    fn renew_pair(&mut self, now: Micros, at: usize, member: &Member) -> bool {
        let Some(session) = &self.session else { return false };
        let secrets: Vec<_> = session.secrets().copied().collect();
        let session_id = session.start.session_id;
        let mut number = [0; 4];
        (self.random)(&mut number);
        let number = u32::from_be_bytes(number);
        let addresses = self.offers();
        let pair = &mut self.pairs[at];
        // One of us may not know the newest secret yet.
        let secret = secrets[pair.attempt % secrets.len()];
        pair.attempt += 1;
        let names = PairNames {
            session_id,
            initiator: (self.own, self.own_epoch),
            responder: (pair.id, pair.epoch),
        };
        let secrets =
            PairSecrets { own: &self.static_key, theirs: &member.static_key, session: &secret };
        let body = PairBody { number, streams: self.local.streams, addresses };
        pair.handshake = PairInitiator::new(&mut self.random, names, &secrets, &body);
        pair.number = number;
        pair.cookie = None;
        pair.renewed = now;
        pair.handshake.is_some()
    }

    /// A cookie for one of our questions to a member.
    pub(super) fn pair_cookie(&mut self, datagram: &[u8]) -> bool {
        for at in 0..self.pairs.len() {
            let pair = &mut self.pairs[at];
            let Some(cookie) = pair.handshake.as_ref().and_then(|h| h.cookie(datagram)) else {
                continue;
            };
            if pair.cookie != Some(cookie) {
                pair.cookie = Some(cookie);
                // With the next try: whoever sends cookies has too much to do.
                pair.interval = FIRST_RETRY;
            }
            return true;
        }
        false
    }

    /// A member asks for keys.
    pub(super) fn pair_question(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        if self.try_question(now, from, datagram).is_none() {
            self.counters.handshakes_dropped += 1;
        }
    }

    fn try_question(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Option<()> {
        let clear = ClearPair::read(datagram)?;
        if clear.to != self.own {
            return None;
        }
        let id = clear.from;
        let route = self.route_of(from, id);
        let member = self.roster.members.iter().find(|m| m.id == id)?.clone();
        let session = self.session.as_ref()?;
        if self.asks(&member) || self.byes.contains(&(id, member.epoch)) {
            return None;
        }
        if let Some(answer) = self.door.answer_again(now, &clear.ephemeral) {
            if self.may_reply(now, from, Reply::Again) {
                self.push_handshake(route, id, answer);
            }
            return Some(());
        }
        let strict = self.door.half_open() > super::door::HALF_OPEN;
        let cookie = clear.cookie.as_ref();
        match self.door.gate.judge(now, from, &clear.ephemeral, cookie, strict) {
            Verdict::Open => {}
            Verdict::Cookie(cookie) => {
                self.counters.cookies_sent += 1;
                let answer = cookie_answer(self.own, &clear.ephemeral, &cookie);
                self.push_handshake(route, id, answer);
                return Some(());
            }
            Verdict::Drop => {
                self.counters.questions_shed += 1;
                return Some(());
            }
        }
        if self.door.seen(&clear.ephemeral) {
            return None;
        }
        let names = PairNames {
            session_id: session.start.session_id,
            initiator: (id, member.epoch),
            responder: (self.own, self.own_epoch),
        };
        let secrets: Vec<_> = session.secrets().copied().collect();
        let (body, responder) = secrets.iter().find_map(|secret| {
            let secrets =
                PairSecrets { own: &self.static_key, theirs: &member.static_key, session: secret };
            clear.open(&mut self.random, &names, &secrets)
        })?;
        let own_body =
            PairBody { number: body.number, streams: self.local.streams, addresses: self.offers() };
        let (answer, keys) = responder.answer(&own_body)?;
        self.door.remember(&clear.ephemeral, &answer, now, body.number);
        let peer = Peer::new(self.own, identity(&member, &body), &keys, route, now);
        let place = self.place(route);
        self.door.expect(peer, keys.clone(), body.number, None, now);
        if let Some((address, _)) = place {
            self.events.push_back(MeshEvent::KeysReady { peer: id, keys, address });
        }
        self.push_handshake(route, id, answer);
        Some(())
    }

    /// A member has answered.
    pub(super) fn pair_answer(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        if self.try_pair_answer(now, from, datagram).is_none() {
            self.counters.handshakes_dropped += 1;
        }
    }

    fn try_pair_answer(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) -> Option<()> {
        let id = claimed_sender(datagram)?;
        let pair = self.pairs.iter_mut().find(|p| p.id == id)?;
        let (body, keys) = pair.handshake.as_mut()?.answer(datagram)?;
        let number = pair.number;
        let member = self.roster.members.iter().find(|m| m.id == id)?.clone();
        let route = self.route_of(from, id);
        let mut peer = Peer::new(self.own, identity(&member, &body), &keys, route, now);
        peer.confirming = Some(number);
        let (address, _) = self.place(route)?;
        self.events.push_back(MeshEvent::KeysReady { peer: id, keys, address });
        self.joined(now, peer);
        self.handle_timeout(now);
        Some(())
    }

    /// A handshake datagram for a member, the way that its question came.
    fn push_handshake(&mut self, route: Route, to: ParticipantId, datagram: Vec<u8>) {
        match route {
            Route::Direct(to) => self.push(Outgoing::Raw { to, datagram }),
            Route::Relay(relay) => self.push(Outgoing::Relayed { relay, to, datagram }),
        }
    }
}

fn identity(member: &Member, body: &PairBody) -> Identity {
    let mut offered = body.addresses.clone();
    for address in &member.addresses {
        if !offered.contains(address) {
            offered.push(*address);
        }
    }
    Identity {
        id: member.id,
        name: member.name.clone(),
        streams: body.streams,
        static_key: member.static_key,
        offered,
        epoch: member.epoch,
    }
}
