//! What peers say to each other: heartbeats, stamps, ways. Part of the mesh's thread.

use super::super::control::{Message, Status};
use super::path::Route;
use super::{LeaveReason, Mesh, MeshEvent, Outgoing, TIMEOUT_MICROS};
use crate::units::{Micros, ParticipantId, SessionMicros};

/// An instant of a session that is longer than a thousand years.
fn nonsense(at: SessionMicros) -> bool {
    at.0.unsigned_abs() > 1 << 55
}

impl Mesh {
    /// A heartbeat for that peer, and who is heard here.
    pub(super) fn heartbeat(&mut self, now: Micros, id: ParticipantId) -> [Message; 2] {
        let (roster, status): (u32, Status) = (self.roster.epoch, self.status.clone());
        let introducer = self.roster.introducer;
        let links = self.peers.iter().filter(|p| p.id != id).map(|p| p.link(now)).collect();
        let count = self.peer(id).map_or(0, |p| {
            p.heartbeats_sent += 1;
            p.heartbeats_sent
        });
        [Message::Heartbeat { count, roster, status }, Message::Links { introducer, links }]
    }

    pub(super) fn note_heard(&mut self, now: Micros, id: ParticipantId, media: bool) {
        let Some(peer) = self.peer(id) else { return };
        if let Some(micros) = peer.heard(now, media) {
            self.events.push_back(MeshEvent::PeerBack { peer: id, micros });
        }
    }

    /// A packet came that way: from elsewhere it only starts a challenge, since anybody can send a
    /// copy.
    pub(super) fn came(
        &mut self,
        now: Micros,
        id: ParticipantId,
        route: Route,
        bytes: usize,
        traffic: bool,
        trouble: bool,
    ) {
        let Some(peer) = self.peer(id) else { return };
        let here = peer.paths.current();
        if peer.paths.came(now, route, bytes, traffic) {
            self.challenge(now, id, route);
        }
        // Heard from elsewhere: does the way in use still work?
        if traffic && route != here {
            self.challenge(now, id, here);
        }
        self.choose(now, id, route, trouble);
    }

    fn challenge(&mut self, now: Micros, id: ParticipantId, route: Route) {
        let mut token = [0; 8];
        (self.random)(&mut token);
        let Some(peer) = self.peer(id) else { return };
        if let Some(token) = peer.paths.ask(now, route, token) {
            let messages = vec![Message::PathChallenge(token)];
            self.push(Outgoing::Sealed { peer: id, to: Some(route), messages });
        }
    }

    fn choose(&mut self, now: Micros, id: ParticipantId, came: Route, trouble: bool) {
        let choosing = self.own < id;
        let Some(peer) = self.peer(id) else { return };
        let before = peer.paths.current();
        let Some(route) = peer.paths.choose(now, came, trouble, choosing) else { return };
        let Some((address, relay)) = self.place(route) else {
            // The member that was to carry has gone in the same moment.
            if let Some(peer) = self.peer(id) {
                peer.paths.go_back(before);
            }
            return;
        };
        if let Some(peer) = self.peer(id) {
            peer.tell_addresses();
            peer.goes_another_way(now);
        }
        self.events.push_back(MeshEvent::PeerAddress { peer: id, address, relay });
    }

    pub(super) fn message(
        &mut self,
        now: Micros,
        route: Route,
        id: ParticipantId,
        message: Message,
        trouble: bool,
    ) {
        let session = self.session(now);
        let uncertainty_micros = self.uncertainty;
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
                    uncertainty_micros,
                };
                self.send(id, vec![pong]);
            }
            // No clock of ours has run for so long: nothing to calculate with.
            Message::Pong { received, answered, .. }
                if nonsense(received) || nonsense(answered) => {}
            Message::T0 { at } if nonsense(at) => {}
            Message::Pong { sent, received, answered, synchronised, uncertainty_micros } => {
                let held = answered.0.saturating_sub(received.0).max(0);
                if peer.ponged(now, sent, held) && synchronised {
                    self.events.push_back(MeshEvent::ClockSample {
                        peer: id,
                        sent,
                        remote_received: received,
                        remote_sent: answered,
                        received: now,
                        uncertainty: i64::from(uncertainty_micros),
                    });
                }
            }
            Message::Heartbeat { count, roster, status } => {
                if count > peer.heartbeats_heard {
                    peer.heartbeats_heard = count;
                    peer.roster_heard = roster;
                    self.events.push_back(MeshEvent::PeerStatus { peer: id, status });
                } else {
                    peer.roster_heard = 0;
                }
            }
            Message::Links { introducer, links } => {
                // Behind the heartbeat of the same packet; one that was overtaken says nothing.
                let epoch = std::mem::take(&mut peer.roster_heard);
                if epoch >= peer.roster_known.0 {
                    peer.roster_known = (epoch, introducer);
                    peer.links = links;
                    self.roster_told(now, id);
                }
            }
            Message::T0 { at } => {
                if self.introducer() == Some(id) {
                    self.set_t0(at);
                }
            }
            Message::Roster(update) => self.roster_came(now, id, *update),
            Message::KeyframeRequest => {
                self.events.push_back(MeshEvent::KeyframeRequested { peer: id });
            }
            Message::AudioReport(report) => {
                peer.told_loss(now, report.loss_10s);
                self.events.push_back(MeshEvent::AudioReport { peer: id, report });
            }
            Message::PathReport(report) => {
                self.events.push_back(MeshEvent::PathReport { peer: id, report });
            }
            Message::Again { sequence, fragments } => {
                self.events.push_back(MeshEvent::Again { peer: id, sequence, fragments });
            }
            Message::PathChallenge(token) => {
                let messages = vec![Message::PathResponse(token)];
                self.push(Outgoing::Sealed { peer: id, to: Some(route), messages });
            }
            Message::PathResponse(token) => {
                if let Some(asked) = peer.paths.answered(now, token) {
                    self.choose(now, id, asked, trouble);
                }
            }
            Message::Addresses(addresses) => {
                let before = std::mem::replace(&mut peer.offered, addresses);
                for address in before.iter().filter(|a| !peer.offered.contains(a)) {
                    peer.paths.withdraw(*address);
                }
                peer.paths.offer(&peer.offered, now);
            }
            Message::Observed(address) => {
                // Through another member, the peer sees that one's address.
                if matches!(route, Route::Direct(_)) {
                    self.observed(now, id, address);
                }
            }
            Message::Removed { by_person } => self.out(now, id, by_person),
            Message::Forward { tag, source, datagram } => {
                self.forwarded(now, id, tag, source, &datagram);
            }
            Message::Pass { tag, to, datagram } => {
                if self.introducer() == Some(id) {
                    self.pass(now, tag, to, datagram);
                }
            }
        }
    }

    pub(super) fn peer_timeout(&mut self, now: Micros, id: ParticipantId) {
        let Some(peer) = self.peer(id) else { return };
        if now.since(peer.last_heard) >= TIMEOUT_MICROS {
            return self.remove(now, id, LeaveReason::Timeout);
        }
        if let Some(micros) = peer.fell_silent(now) {
            self.events.push_back(MeshEvent::PeerSilent { peer: id, micros });
        }
        self.ask_on_all_ways(now, id);
        let Some(peer) = self.peer(id) else { return };
        let confirm = peer.confirming.map(|epoch| Message::Confirm { epoch });
        let ping = Message::Ping { sent: now };
        let beat = peer.heartbeat_due(now);
        if peer.burst_due(now) && !beat {
            self.send(id, confirm.clone().into_iter().chain([ping.clone()]).collect());
        }
        if beat {
            self.beat(now, id, confirm, ping);
        }
    }

    fn ask_on_all_ways(&mut self, now: Micros, id: ParticipantId) {
        let relays = self.relays_to(now, id);
        let Some(peer) = self.peer(id) else { return };
        let trouble = peer.in_trouble(now);
        peer.paths.relays(now, &relays);
        for route in peer.paths.due(now, trouble) {
            self.challenge(now, id, route);
        }
    }

    fn beat(&mut self, now: Micros, id: ParticipantId, confirm: Option<Message>, ping: Message) {
        let mut messages: Vec<_> = confirm.into_iter().collect();
        messages.extend(self.heartbeat(now, id));
        messages.push(ping);
        if self.introducing() {
            messages.extend(self.t0.map(|at| Message::T0 { at }));
        }
        let offers = self.offers();
        let Some(peer) = self.peer(id) else { return };
        if peer.tell_addresses > 0 {
            peer.tell_addresses -= 1;
            messages.push(Message::Addresses(offers));
            messages.extend(peer.address().map(Message::Observed));
        }
        self.send(id, messages);
        // In a packet of its own: the longest of both would not fit one.
        let roster = self.peers.iter().find(|p| p.id == id).and_then(|p| self.roster_for(now, p));
        if let Some(roster) = roster {
            self.send(id, vec![roster]);
        }
    }
}
