//! Asking to be let in, with a key or by knocking, and coming back. Part of the mesh's thread.

use std::net::SocketAddr;

use super::super::handshake::join::{GuestHandshake, GuestOutcome};
use super::super::handshake::knock::{GuestKnock, KnockOutcome};
use super::super::handshake::{CODEC_OPUS, CODEC_VP8, Hello, Refusal, Welcome, claimed_sender};
use super::super::seal::PairKeys;
use super::path::Route;
use super::peer::{Identity, Peer};
use super::{COME_BACK, LeaveReason, Mesh, MeshEvent, Outgoing, Phase, Session};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// A question is first repeated after this long, microseconds; then each time after twice as long.
const FIRST_RETRY: i64 = 250_000;
/// Longest time between two, microseconds.
const LAST_RETRY: i64 = 1_000_000;
/// A question is given up after this long, microseconds: as long as its answer is kept.
const GIVE_UP: i64 = 10_000_000;
/// A knock that a person has been told of is given up after this long: it lapses there after 60 s.
const GIVE_UP_KNOCK: i64 = 65_000_000;
/// Who has lost everybody asks like a stranger after this long, in case its place is gone.
const ALONE: i64 = 10_000_000;
/// Cookies that one question takes: each new one is another introducer's, or a forgery.
const COOKIES: u8 = 5;

pub(super) enum Question {
    Key(Box<GuestHandshake>),
    Knock(Box<GuestKnock>),
}

/// One question, under way.
pub(super) struct Asking {
    pub(super) question: Question,
    cookie: Option<[u8; 16]>,
    cookies: u8,
    began: Micros,
    pub(super) next: Micros,
    interval: i64,
    /// We were in before, and try until then.
    until: Option<Micros>,
}

impl Asking {
    pub(super) fn next_timeout(&self) -> Micros {
        self.next.min(self.ends())
    }

    /// We were in before.
    pub(super) fn is_return(&self) -> bool {
        self.until.is_some()
    }

    fn ends(&self) -> Micros {
        match &self.question {
            Question::Knock(knock) if knock.is_waiting() => self.began + GIVE_UP_KNOCK,
            _ => self.began + GIVE_UP,
        }
    }
}

impl Mesh {
    /// Makes a question. With `until` we were in before, and it may take that long.
    pub(super) fn begin_ask(&mut self, now: Micros, until: Option<Micros>) {
        let minutes = now.since(self.created).max(0) / 60_000_000;
        let hello = Hello {
            name: self.local.name.clone(),
            version: self.local.version.clone(),
            codecs: CODEC_OPUS | CODEC_VP8,
            streams: self.local.streams,
            addresses: self.offers(),
            static_key: self.static_key.public,
            utc_minute: match self.local.utc_minute {
                0 => 0,
                minute => minute.saturating_add(u32::try_from(minutes).unwrap_or(u32::MAX)),
            },
            ticket: self.ticket,
        };
        let key = self.session.as_ref().map(|s| s.key).or(self.invite_key);
        let question = match key {
            Some(key) => {
                Question::Key(Box::new(GuestHandshake::new(&mut self.random, &key, &hello)))
            }
            None => Question::Knock(Box::new(GuestKnock::new(&mut self.random, hello))),
        };
        self.asking = Some(Asking {
            question,
            cookie: None,
            cookies: 0,
            began: now,
            next: now,
            interval: FIRST_RETRY,
            until,
        });
    }

    pub(super) fn ask_timeout(&mut self, now: Micros) {
        self.ask_when_lost(now);
        let Some(asking) = &mut self.asking else { return };
        if now >= asking.ends() {
            match asking.until {
                // The question has been forgotten there: a new one is taken.
                Some(until) if now < until => self.begin_ask(now, Some(until)),
                // A member left alone stays a member: others may still find it.
                Some(_) => {
                    self.asking = None;
                    self.lost_over = true;
                    return;
                }
                None => return self.end(MeshEvent::NoAnswer),
            }
        }
        let Some(asking) = &mut self.asking else { return };
        if now < asking.next {
            return;
        }
        asking.next = now + asking.interval;
        asking.interval = (asking.interval * 2).min(LAST_RETRY);
        self.put_question();
    }

    /// Who was in and has lost everybody may have lost its place, too; and who lets in here while
    /// earlier members are elsewhere may be unknown to them.
    fn ask_when_lost(&mut self, now: Micros) {
        let Some(at) = self.lost_timeout() else { return };
        if now < at {
            return;
        }
        let since = self.lost_since().unwrap_or(now);
        if now.since(since) < COME_BACK {
            self.begin_ask(now, Some(since + COME_BACK));
        } else {
            self.lost_over = true;
        }
    }

    /// Since when members that joined before us are away, and nobody who is here joined before us.
    fn lost_since(&self) -> Option<Micros> {
        let away = self.earlier_member_away();
        if self.introducer() != Some(self.own) {
            None
        } else {
            away.into_iter().chain(self.alone_since).max()
        }
    }

    /// When [`Mesh::ask_when_lost`] has something to do.
    pub(super) fn lost_timeout(&self) -> Option<Micros> {
        if self.founder || self.asking.is_some() || self.lost_over {
            return None;
        }
        self.lost_since().map(|since| since + ALONE)
    }

    fn put_question(&mut self) {
        let Some(asking) = &self.asking else { return };
        let datagram = match &asking.question {
            Question::Key(handshake) => handshake.datagram(asking.cookie.as_ref()),
            Question::Knock(knock) => knock.datagram(asking.cookie.as_ref()),
        };
        let mut to = self.candidates.clone();
        if asking.is_return() {
            // Not those who are here: they would ask us.
            let here = |id| id == self.own || self.peers.iter().any(|p| p.id == id);
            let members = self.roster.members.iter().filter(|m| !here(m.id));
            to.extend(members.flat_map(|m| m.addresses.clone()));
            to.extend(self.known.iter().filter(|(id, _)| !here(*id)).map(|(_, a)| *a));
            to.sort();
            to.dedup();
        }
        for to in to {
            self.push(Outgoing::Raw { to, datagram: datagram.clone() });
        }
    }

    pub(super) fn end(&mut self, event: MeshEvent) {
        self.asking = None;
        self.pairs.clear();
        self.outbox.clear();
        self.phase = Phase::Over;
        self.events.push_back(event);
    }

    /// An answer to a question of ours, or a cookie.
    pub(super) fn answered(&mut self, now: Micros, from: SocketAddr, datagram: &[u8]) {
        let outcome = match self.asking.as_mut().map(|a| &mut a.question) {
            Some(Question::Key(handshake)) => handshake.answer(datagram),
            Some(Question::Knock(knock)) => match knock.answer(datagram) {
                KnockOutcome::Code(code) => {
                    self.events.push_back(MeshEvent::KnockCode { code });
                    // The REVEAL goes out at once, to where the answer came from.
                    self.candidates = vec![from];
                    if let Some(asking) = &mut self.asking {
                        asking.next = now + FIRST_RETRY;
                        asking.interval = FIRST_RETRY;
                    }
                    return self.put_question();
                }
                KnockOutcome::Waiting => return,
                KnockOutcome::Other(outcome) => outcome,
            },
            None => GuestOutcome::Nothing,
        };
        match outcome {
            GuestOutcome::Nothing => {
                if !self.pair_cookie(datagram) {
                    self.counters.handshakes_dropped += 1;
                }
            }
            GuestOutcome::Cookie(cookie) => {
                let Some(asking) = &mut self.asking else { return };
                if asking.cookie != Some(cookie) && asking.cookies < COOKIES {
                    asking.cookies += 1;
                    asking.cookie = Some(cookie);
                    self.put_question();
                }
            }
            GuestOutcome::Welcome(welcome, keys) => {
                self.welcomed(now, from, claimed_sender(datagram), *welcome, keys);
            }
            GuestOutcome::Refused { reason, sealed } => {
                let back = self.asking.as_ref().is_some_and(Asking::is_return);
                // On the way back nothing in clear counts, and our own place may still be resting.
                if !back || (sealed && reason == Refusal::Removed) {
                    self.end(MeshEvent::Refused { reason });
                }
            }
        }
    }

    fn welcomed(
        &mut self,
        now: Micros,
        from: SocketAddr,
        sender: Option<ParticipantId>,
        welcome: Welcome,
        keys: PairKeys,
    ) {
        let other = |s: &Session| s.start.session_id != welcome.start.session_id;
        if self.session.as_ref().is_some_and(other) {
            if !self.peers.is_empty() {
                self.asking = None;
                return;
            }
            return self.end(MeshEvent::Refused { reason: Refusal::OtherSession });
        }
        let introducer = welcome.roster.introducer;
        let id = welcome.id;
        if usize::from(id.0) >= MAX_PARTICIPANTS || id == introducer {
            return self.end(MeshEvent::Refused { reason: Refusal::Malformed });
        }
        if welcome.codecs & CODEC_OPUS == 0 {
            return self.end(MeshEvent::Refused { reason: Refusal::Codecs });
        }
        let news = self.session.is_none() || id != self.own;
        self.asking = None;
        for peer in self.peers.iter().map(|p| p.id).collect::<Vec<_>>() {
            // They have to come the same way.
            self.dismiss(peer, false);
            self.drop_peer(now, peer, LeaveReason::Timeout);
        }
        self.pairs.clear();
        self.door.forget_pending();
        self.ticket = Some(welcome.ticket);
        // A place on the way back: the address that answered is the first to be asked.
        self.candidates.retain(|&a| a != from);
        self.candidates.insert(0, from);
        self.own = id;
        self.own_epoch = welcome.epoch;
        self.founder = false;
        self.welcomed_at = Some(now);
        self.byes.clear();
        self.gone = [None; MAX_PARTICIPANTS];
        self.take_charter(now, welcome.secret, &welcome.charter, &welcome.start);
        self.roster = welcome.roster;
        if news {
            self.events.push_back(MeshEvent::Welcomed { own: id, start: welcome.start });
        }
        self.tell_invite();
        // Another member passed the answer on: its address is not the introducer's, and the
        // introducer waits for us as all members do.
        let passed_on = sender != Some(introducer);
        let entry = self.roster.members.iter().find(|m| m.id == introducer).cloned();
        if let (false, Some(entry)) = (passed_on, entry) {
            let identity = Identity {
                id: introducer,
                name: entry.name,
                streams: welcome.streams,
                static_key: entry.static_key,
                offered: entry.addresses,
                epoch: entry.epoch,
            };
            let mut peer = Peer::new(id, identity, &keys, Route::Direct(from), now);
            peer.confirming = Some(welcome.epoch);
            self.events.push_back(MeshEvent::KeysReady { peer: introducer, keys, address: from });
            self.joined(now, peer);
        } else if let Some(sender) = sender {
            self.known.push((sender, from));
        }
        if let Some(t0) = welcome.t0 {
            self.set_t0(t0);
        }
        self.note_alone(now);
        self.sync_pairs(now);
        self.handle_timeout(now);
    }
}
