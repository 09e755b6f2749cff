//! Those who come without a key, and the person who lets them in. Part of the mesh's thread.

use std::net::SocketAddr;

use super::super::handshake::join::ClearHello;
use super::super::handshake::knock::{ClearReveal, HostKnock};
use super::super::handshake::{Answer, Hello, Refusal};
use super::door::Via;
use super::gate::Reply;
use super::{Admit, Mesh, MeshEvent};
use crate::units::Micros;

/// A person may take so long, microseconds (DESIGN section 5).
const LAPSE: i64 = 60_000_000;
/// A guest may take so long to show its number, microseconds.
const REVEAL: i64 = 10_000_000;
/// So many wait at most (DESIGN section 5).
const MOST: usize = 4;

/// Somebody at the door.
pub(super) struct Knock {
    id: u32,
    source: SocketAddr,
    via: Via,
    handshake: HostKnock,
    /// What it says of itself, once it has, and a person has been told.
    pub(super) told: Option<Hello>,
    pub(super) expires: Micros,
}

impl Mesh {
    /// A KNOCK whose sender receives where it says.
    pub(super) fn knocked(
        &mut self,
        now: Micros,
        source: SocketAddr,
        via: Via,
        clear: &ClearHello<'_>,
    ) -> Option<Vec<u8>> {
        let knocks = &mut self.door.knocks;
        if let Some(known) = knocks.iter().find(|k| k.handshake.ephemeral == clear.ephemeral) {
            return Some(known.handshake.knocked.clone());
        }
        // One per source: who has shown nothing yet makes room for its next try.
        knocks.retain(|k| k.source.ip() != source.ip() || k.told.is_some());
        if knocks.len() >= MOST || knocks.iter().any(|k| k.source.ip() == source.ip()) {
            self.counters.handshakes_refused += 1;
            return Some(clear.refuse(self.own, Refusal::Busy));
        }
        let handshake = HostKnock::new(&mut self.random, self.own, clear)?;
        let answer = handshake.knocked.clone();
        let id = self.door.next_knock;
        self.door.next_knock = id.wrapping_add(1);
        let expires = now + REVEAL;
        self.door.knocks.push(Knock { id, source, via, handshake, told: None, expires });
        Some(answer)
    }

    /// A guest shows its number, its name and its addresses.
    pub(super) fn revealed(
        &mut self,
        now: Micros,
        from: SocketAddr,
        clear: &ClearReveal<'_>,
    ) -> Option<Vec<u8>> {
        let echo = clear.echo;
        if let Some(answer) = self.door.answer_where(now, |e| e.starts_with(&echo)) {
            return self.may_reply(now, from, Reply::Again).then_some(answer);
        }
        let at = self.door.knocks.iter().position(|k| k.handshake.echo() == echo)?;
        // Whoever holds a place at the door may show its number often, and wrongly.
        if !self.may_reply(now, from, Reply::Again) {
            return None;
        }
        let knock = &mut self.door.knocks[at];
        if knock.told.is_some() {
            return Some(knock.handshake.waiting(self.own));
        }
        let (hello, code) = knock.handshake.reveal(clear)?;
        let (id, source) = (knock.id, knock.source);
        let hello = match hello.map_err(Some).and_then(|hello| {
            self.admissible(now, &hello)?;
            Ok(hello)
        }) {
            Ok(hello) => hello,
            Err(None) => return None,
            Err(Some(refusal)) => {
                self.refused(now, source, refusal);
                return self.decide(now, at, Answer::Refused(refusal));
            }
        };
        let name = hello.name.clone();
        let knock = &mut self.door.knocks[at];
        knock.told = Some(hello);
        knock.expires = now + LAPSE;
        if self.session.as_ref().is_some_and(|s| s.admit == Admit::All) {
            return self.let_in(now, at);
        }
        let waiting = self.door.knocks[at].handshake.waiting(self.own);
        self.events.push_back(MeshEvent::Knock { knock: id, name, address: source, code });
        Some(waiting)
    }

    /// Answers a knock for good; gives the datagram.
    fn decide(&mut self, now: Micros, at: usize, answer: Answer) -> Option<Vec<u8>> {
        let knock = self.door.knocks.remove(at);
        if knock.told.is_some() {
            let admitted = matches!(answer, Answer::Welcome(_));
            self.events.push_back(MeshEvent::KnockOver { knock: knock.id, admitted });
        }
        let ephemeral = knock.handshake.ephemeral;
        let number = match &answer {
            Answer::Welcome(welcome) => welcome.epoch,
            Answer::Refused(_) => 0,
        };
        let datagram = knock.handshake.decide(self.own, &answer);
        self.door.remember(&ephemeral, &datagram, now, number);
        Some(datagram)
    }

    fn let_in(&mut self, now: Micros, at: usize) -> Option<Vec<u8>> {
        let knock = self.door.knocks.get(at)?;
        let (hello, source, via) = (knock.told.clone()?, knock.source, knock.via);
        let keys = knock.handshake.keys.clone();
        match self.admissible(now, &hello) {
            Ok(id) => {
                let (answer, member) = self.seat(now, id, hello);
                let datagram = self.decide(now, at, answer);
                self.take_seat(now, source, via, member, keys);
                datagram
            }
            Err(refusal) => self.decide(now, at, Answer::Refused(refusal.unwrap_or(Refusal::Full))),
        }
    }

    fn knock_at(&self, knock: u32) -> Option<usize> {
        self.door.knocks.iter().position(|k| k.id == knock && k.told.is_some())
    }

    /// A person lets in who knocks; `false` when that knock is over.
    pub fn admit(&mut self, now: Micros, knock: u32) -> bool {
        let Some(at) = self.knock_at(knock) else { return false };
        let (source, via) = (self.door.knocks[at].source, self.door.knocks[at].via);
        if let Some(datagram) = self.let_in(now, at) {
            self.reply(source, via, datagram);
        }
        true
    }

    /// A person does not; `false` when that knock is over.
    pub fn refuse(&mut self, now: Micros, knock: u32) -> bool {
        let Some(at) = self.knock_at(knock) else { return false };
        self.turn_down(now, at);
        true
    }

    fn turn_down(&mut self, now: Micros, at: usize) {
        let (source, via) = (self.door.knocks[at].source, self.door.knocks[at].via);
        self.counters.handshakes_refused += 1;
        if let Some(datagram) = self.decide(now, at, Answer::Refused(Refusal::NotAdmitted)) {
            self.reply(source, via, datagram);
        }
    }

    pub(super) fn knock_timeout(&mut self, now: Micros) {
        while let Some(at) = self.door.knocks.iter().position(|k| now >= k.expires) {
            if self.door.knocks[at].told.is_some() {
                self.turn_down(now, at);
            } else {
                self.door.knocks.remove(at);
            }
        }
    }
}
