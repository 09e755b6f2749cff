//! What the mesh knows of one confirmed peer. Part of the mesh's thread.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::control::{LinkReport, StreamParameters};
use super::super::seal::{ControlSealer, PairKeys};
use super::path::{Paths, Route};
use super::{BURST, BURST_INTERVAL, HEARTBEAT_MICROS, PINGS_KEPT, SILENT_MICROS, TIMEOUT_MICROS};
use crate::units::{Micros, ParticipantId};

/// Who a peer is, before anything was exchanged with it.
pub(super) struct Identity {
    pub(super) id: ParticipantId,
    pub(super) name: String,
    pub(super) streams: StreamParameters,
    pub(super) static_key: [u8; 32],
    /// Where it says that it may be reached.
    pub(super) offered: Vec<SocketAddr>,
    /// Number of the handshake that brought it in.
    pub(super) epoch: u32,
}

/// One confirmed peer.
pub(super) struct Peer {
    pub(super) id: ParticipantId,
    pub(super) name: String,
    pub(super) streams: StreamParameters,
    pub(super) static_key: [u8; 32],
    pub(super) offered: Vec<SocketAddr>,
    pub(super) epoch: u32,
    pub(super) paths: Paths,
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
    /// The newest roster that the peer has: epoch, introducer.
    pub(super) roster_known: (u32, ParticipantId),
    /// The epoch that its last heartbeat told, until the rest of it is read.
    pub(super) roster_heard: u32,
    /// Number of our handshake, until the peer has shown that it knows it is open.
    pub(super) confirming: Option<u32>,
    /// Whom the peer hears.
    pub(super) links: Vec<LinkReport>,
    /// Our addresses are told in so many more heartbeats.
    pub(super) tell_addresses: u8,
    pings: VecDeque<Micros>,
    last_ping: Option<Micros>,
    /// When the last pong came.
    ponged: Micros,
    /// Smoothed, microseconds.
    pub(super) rtt: Option<i64>,
    /// Share of pings without an answer, smoothed, a millionth. One a second tells little, and slowly.
    loss: i64,
    /// Share of audio packets that were lost in the last ten seconds, permille, and when that was known:
    /// of the peer's, and of ours.
    audio_loss: [Option<(u16, Micros)>; 2],
}

/// Pings over which their loss is averaged: with 20 % lost it takes ten to be above 5 %.
const PINGS: i64 = 32;
/// What is known of audio is good for so long, microseconds: it is told each second.
const AUDIO_LOSS: i64 = 3_000_000;

/// Without media, nothing heard for longer than this is trouble: a heartbeat is overdue.
const TROUBLE_QUIET: i64 = 1_600_000;
/// The same with media, microseconds.
const TROUBLE_MEDIA: i64 = 500_000;
/// Pings unanswered for so long, while the peer is heard: our packets do not arrive.
const TROUBLE_PONGS: i64 = 2_200_000;
/// Heartbeats that repeat our addresses after a change.
const TELL: u8 = 3;

impl Peer {
    pub(super) fn new(
        own: ParticipantId,
        identity: Identity,
        keys: &PairKeys,
        route: Route,
        now: Micros,
    ) -> Self {
        let mut paths = Paths::new(route, now);
        paths.offer(&identity.offered, now);
        Self {
            id: identity.id,
            name: identity.name,
            streams: identity.streams,
            static_key: identity.static_key,
            offered: identity.offered,
            epoch: identity.epoch,
            paths,
            sealer: ControlSealer::new(own, keys),
            last_heard: now,
            last_media: None,
            silent: false,
            burst_left: BURST,
            next_burst: now,
            next_heartbeat: now,
            heartbeats_sent: 0,
            heartbeats_heard: 0,
            roster_known: (0, ParticipantId::UNASSIGNED),
            roster_heard: 0,
            confirming: None,
            links: Vec::new(),
            tell_addresses: TELL,
            pings: VecDeque::with_capacity(PINGS_KEPT),
            last_ping: None,
            ponged: now,
            rtt: None,
            loss: 0,
            audio_loss: [None; 2],
        }
    }

    /// So much of the peer's audio is lost on its way here, permille of ten seconds.
    pub(super) fn found_loss(&mut self, now: Micros, permille: u16) {
        self.audio_loss[0] = Some((permille, now));
    }

    /// So much of ours is on its way there.
    pub(super) fn told_loss(&mut self, now: Micros, permille: u16) {
        self.audio_loss[1] = Some((permille, now));
    }

    /// Share of packets that the way loses, permille: of audio, else of pings.
    fn loss_permille(&self, now: Micros) -> u16 {
        let fresh = |l: &&(u16, Micros)| now.since(l.1) < AUDIO_LOSS;
        let audio = self.audio_loss.iter().flatten().filter(fresh).map(|(permille, _)| *permille);
        let pings = (self.loss / 1_000).clamp(0, 1_000) as u16;
        // Without sound nothing of it can be missing.
        audio.max().filter(|_| self.has_media()).unwrap_or(pings)
    }

    /// Confirmed: heard just now, and everything starts from here.
    pub(super) fn begin(&mut self, now: Micros) {
        self.last_heard = now;
        self.next_burst = now;
        self.next_heartbeat = now;
        self.ponged = now;
        self.paths.restart(now);
    }

    /// The first sealed packet came this way.
    pub(super) fn arrive(&mut self, route: Route, now: Micros) {
        self.paths = Paths::new(route, now);
        self.paths.offer(&self.offered, now);
    }

    /// Our addresses have changed.
    pub(super) fn tell_addresses(&mut self) {
        self.tell_addresses = TELL;
        self.heartbeat_soon();
    }

    /// Whatever the old way was in, the new one has its time to answer: two would else take turns.
    pub(super) fn goes_another_way(&mut self, now: Micros) {
        self.ponged = self.ponged.max(now);
    }

    /// The address that it has, where it is reached directly.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self.paths.current() {
            Route::Direct(address) => Some(address),
            Route::Relay(_) => None,
        }
    }

    /// The way in use does not work, as far as can be seen.
    pub(super) fn in_trouble(&self, now: Micros) -> bool {
        let quiet = now.since(self.paths.heard());
        let limit = if self.has_media() { TROUBLE_MEDIA } else { TROUBLE_QUIET };
        quiet > limit || now.since(self.ponged) > TROUBLE_PONGS
    }

    fn has_media(&self) -> bool {
        self.last_media.is_some_and(|media| self.last_heard.since(media) < SILENT_MICROS)
    }

    /// There is news: the next heartbeat is due at once.
    pub(super) fn heartbeat_soon(&mut self) {
        self.next_heartbeat = self.next_heartbeat.min(self.last_heard);
    }

    /// When something is due.
    pub(super) fn next_timeout(&self) -> Micros {
        let mut next = self.next_heartbeat.min(self.last_heard + TIMEOUT_MICROS);
        next = next.min(self.paths.next_timeout());
        // Once it has begun, trouble has a rhythm of its own.
        let limit = if self.has_media() { TROUBLE_MEDIA } else { TROUBLE_QUIET };
        let trouble = (self.paths.heard() + limit + 1).min(self.ponged + TROUBLE_PONGS + 1);
        if self.paths.is_calm() {
            next = next.min(trouble);
        }
        if self.burst_left > 0 {
            next = next.min(self.next_burst);
        }
        if !self.silent {
            next = next.min(self.last_heard + self.silent_after());
        }
        next
    }

    fn silent_after(&self) -> i64 {
        // Where only heartbeats come, one of them is late by then.
        if self.has_media() { SILENT_MICROS } else { HEARTBEAT_MICROS + SILENT_MICROS }
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

    /// Another burst of pings; what is under way is of before.
    pub(super) fn measure_again(&mut self, now: Micros) {
        (self.burst_left, self.next_burst) = (BURST, now);
        self.pings.clear();
        self.last_ping = None;
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
        // Whether one has come back is seen at the next one, once.
        let last = self.last_ping.replace(now);
        let lost = last
            .is_some_and(|p| now.since(p) > HEARTBEAT_MICROS / 2 && self.pings.back() == Some(&p));
        self.loss += ((if lost { 1_000_000 } else { 0 }) - self.loss) / PINGS;
        if self.pings.len() == PINGS_KEPT {
            self.pings.pop_front();
        }
        self.pings.push_back(now);
    }

    /// Whether that ping was ours and is not yet answered; `held` is how long the peer had it.
    pub(super) fn ponged(&mut self, now: Micros, sent: Micros, held: i64) -> bool {
        match self.pings.iter().position(|&p| p == sent) {
            Some(at) => {
                self.pings.remove(at);
                self.ponged = self.ponged.max(now);
                let rtt = (now.since(sent) - held).max(0);
                self.rtt = Some(self.rtt.map_or(rtt, |old| (old * 3 + rtt) / 4));
                true
            }
            None => false,
        }
    }

    /// As it is told to the others.
    pub(super) fn link(&self, now: Micros) -> LinkReport {
        LinkReport {
            peer: self.id,
            rtt_micros: self.rtt.map_or(u32::MAX, |rtt| rtt.clamp(0, i64::from(u32::MAX)) as u32),
            loss_permille: self.loss_permille(now),
            relayed: self.address().is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> Peer {
        let identity = Identity {
            id: ParticipantId(1),
            name: String::new(),
            streams: StreamParameters::default(),
            static_key: [0; 32],
            offered: Vec::new(),
            epoch: 1,
        };
        let keys = PairKeys { send: [1; 32], receive: [2; 32] };
        let route = Route::Direct(SocketAddr::from(([203, 0, 113, 1], 7)));
        Peer::new(ParticipantId::HOST, identity, &keys, route, Micros(0))
    }

    #[test]
    fn a_lost_ping_counts_once_and_the_share_of_lost_ones_is_found() {
        let mut p = peer();
        let mut now = Micros(0);
        let mut ping = |p: &mut Peer, comes_back: bool| {
            now = now + 1_000_000;
            p.pinged(now);
            if comes_back {
                assert!(p.ponged(now + 40_000, now, 0));
            }
            p.link(now).loss_permille
        };
        ping(&mut p, true);
        ping(&mut p, false);
        let after: Vec<u16> = (0..100).map(|_| ping(&mut p, true)).collect();
        assert_eq!(after[0], 31);
        assert!(after.is_sorted_by(|a, b| a >= b) && after[99] < 3, "{after:?}");
        let found: Vec<u16> = (0..400).map(|n| ping(&mut p, n % 5 > 0)).collect();
        assert!(found[200..].iter().all(|l| (150..=250).contains(l)), "{found:?}");
    }

    #[test]
    fn what_is_known_of_audio_is_more_than_what_pings_tell() {
        let mut p = peer();
        let now = Micros(1_000_000);
        p.heard(now, true);
        p.found_loss(now, 12);
        p.told_loss(now, 60);
        assert_eq!(p.link(now).loss_permille, 60, "the worse direction");
        assert_eq!(p.link(now + AUDIO_LOSS).loss_permille, 0, "old");
    }
}
