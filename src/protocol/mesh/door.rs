//! The introducer's part of the mesh: answering strangers, giving out ids. Part of the mesh's thread.
//!
//! Every member has a door; only the introducer's is open, and the others forward what is put to
//! theirs. See [`super::knock`] for those who come without a key.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::super::control::{Charter, Member, Message};
use super::super::handshake::join::ClearHello;
use super::super::handshake::knock::ClearReveal;
use super::super::handshake::{
    Answer, CODEC_OPUS, CODEC_VP8, Hello, REVISION, Randomness, Refusal, Welcome, cookie_answer,
    in_the_name_of, padded, unpadded,
};
use super::super::seal::PairKeys;
use super::gate::{Bucket, Gate, Reply, Verdict};
use super::knock::Knock;
use super::path::Route;
use super::peer::{Identity, Peer};
use super::{Admit, COME_BACK, Mesh, MeshEvent, Outgoing};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// How long an identical HELLO gets the identical answer, microseconds: as long as a guest tries.
const ANSWER_KEPT: i64 = 10_000_000;
/// Answers that are kept; each was made for somebody with a key or a place at the door.
const ANSWERS: usize = 64;
/// How long an id waits for the first sealed packet, microseconds.
const RESERVED: i64 = 5_000_000;
/// How long a member that was answered through another one may take to be heard, microseconds.
const TENTATIVE: i64 = 15_000_000;
/// How long an id rests after a leave, microseconds: late packets of its last owner are gone then.
const REST: i64 = 30_000_000;
/// Questions that are remembered so that an old one cannot be played again.
const EPHEMERALS: usize = 1_024;
/// Farthest apart that two computers' clocks may be, minutes: any time zone taken for UTC is within.
const CLOCKS_APART: u32 = 14 * 60;
/// With more half-open handshakes than this a cookie is asked for (DESIGN section 5).
pub(super) const HALF_OPEN: usize = 8;
/// Handshakes that may be half open at all.
const PENDING: usize = 16;
/// The handshake of members has so long to bring one back before it is taken for a stranger,
/// microseconds.
const RETURN: i64 = 12_000_000;
/// Returns that are remembered.
const TICKETS: usize = 16;

/// The way back to a stranger: directly, or through the member that forwarded it, with its tag.
pub(super) type Via = Option<(ParticipantId, [u8; 8])>;

/// A handshake that was answered and whose keys were not shown yet.
struct Pending {
    peer: Peer,
    keys: PairKeys,
    number: u32,
    expires: Micros,
    /// A newcomer, to be put on the roster.
    newcomer: Option<Member>,
}

/// What a question was answered with.
struct Answered {
    ephemeral: [u8; 32],
    datagram: Vec<u8>,
    at: Micros,
    /// The handshake that the answer began, 0 for a refusal.
    number: u32,
}

/// What brings a guest its id back.
struct Ticket {
    id: ParticipantId,
    static_key: [u8; 32],
    ticket: [u8; 16],
}

/// What answering takes.
pub(super) struct Door {
    pub(super) gate: Gate,
    pending: Vec<Pending>,
    answered: VecDeque<Answered>,
    ephemerals: VecDeque<[u8; 32]>,
    tickets: VecDeque<Ticket>,
    /// Members that come as strangers although they have their places.
    returning: Vec<([u8; 32], Micros)>,
    /// Put on the roster before they were heard.
    tentative: Vec<(ParticipantId, u32, Micros)>,
    pub(super) knocks: Vec<Knock>,
    pub(super) next_knock: u32,
    told: Bucket,
}

impl Door {
    pub(super) fn new(random: &mut Randomness) -> Self {
        Self {
            gate: Gate::new(random),
            pending: Vec::new(),
            answered: VecDeque::new(),
            ephemerals: VecDeque::new(),
            tickets: VecDeque::new(),
            returning: Vec::new(),
            tentative: Vec::new(),
            knocks: Vec::new(),
            next_knock: 1,
            told: Bucket::new(3, 1),
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Micros> {
        let pending = self.pending.iter().map(|p| p.expires);
        let tentative = self.tentative.iter().map(|(_, _, at)| *at);
        pending.chain(tentative).chain(self.knocks.iter().map(|k| k.expires)).min()
    }

    pub(super) fn half_open(&self) -> usize {
        self.pending.len() + self.knocks.iter().filter(|k| k.told.is_none()).count()
    }

    pub(super) fn forget_pending(&mut self) {
        self.pending.clear();
        self.tentative.clear();
        self.knocks.clear();
    }

    /// The answer that this very question has had.
    pub(super) fn answer_again(&mut self, now: Micros, ephemeral: &[u8; 32]) -> Option<Vec<u8>> {
        self.answer_where(now, |e| e == ephemeral)
    }

    pub(super) fn answer_where(
        &mut self,
        now: Micros,
        wanted: impl Fn(&[u8; 32]) -> bool,
    ) -> Option<Vec<u8>> {
        let known = self.answered.iter().find(|a| wanted(&a.ephemeral))?;
        if now.since(known.at) >= ANSWER_KEPT {
            return None;
        }
        let open = |p: &&mut Pending| known.number != 0 && p.number == known.number;
        if let Some(pending) = self.pending.iter_mut().find(open) {
            pending.expires = now + RESERVED;
        }
        Some(known.datagram.clone())
    }

    /// Whether that question came before, whatever became of it.
    pub(super) fn seen(&self, ephemeral: &[u8; 32]) -> bool {
        self.ephemerals.contains(ephemeral)
    }

    pub(super) fn remember(
        &mut self,
        ephemeral: &[u8; 32],
        datagram: &[u8],
        at: Micros,
        number: u32,
    ) {
        if self.ephemerals.len() == EPHEMERALS {
            self.ephemerals.pop_front();
        }
        self.ephemerals.push_back(*ephemeral);
        self.answered.retain(|a| at.since(a.at) < ANSWER_KEPT && a.ephemeral != *ephemeral);
        if self.answered.len() == ANSWERS {
            self.answered.pop_front();
        }
        let datagram = datagram.to_vec();
        self.answered.push_back(Answered { ephemeral: *ephemeral, datagram, at, number });
    }

    /// Waits for the first sealed packet under new keys.
    pub(super) fn expect(
        &mut self,
        peer: Peer,
        keys: PairKeys,
        number: u32,
        newcomer: Option<Member>,
        now: Micros,
    ) {
        self.pending.retain(|p| p.peer.id != peer.id);
        if self.pending.len() == PENDING {
            self.pending.remove(0);
        }
        self.pending.push(Pending { peer, keys, number, expires: now + RESERVED, newcomer });
    }

    /// Keys of a handshake with that id that is under way.
    pub(super) fn keys_under_way(&self, id: ParticipantId) -> Option<&PairKeys> {
        self.pending.iter().find(|p| p.peer.id == id).map(|p| &p.keys)
    }
}

impl Mesh {
    /// A stranger's question, from there or forwarded by a member.
    pub(super) fn stranger(&mut self, now: Micros, from: SocketAddr, via: Via, datagram: &[u8]) {
        if self.session.is_none() {
            self.counters.handshakes_dropped += 1;
            return;
        }
        if !self.introducing() {
            return self.forward(now, from, via, datagram);
        }
        let answer = match ClearReveal::read(datagram) {
            Some(reveal) => self.revealed(now, from, &reveal),
            None => self.answer_hello(now, from, via, datagram),
        };
        match answer {
            Some(datagram) => self.reply(from, via, datagram),
            None => self.counters.handshakes_dropped += 1,
        }
    }

    /// Not ours to answer. What was forwarded once is not forwarded again.
    fn forward(&mut self, now: Micros, from: SocketAddr, via: Via, datagram: &[u8]) {
        let to = self.introducer().filter(|&id| id != self.own && via.is_none());
        let (Some(to), Some(question)) = (to, unpadded(datagram)) else {
            self.counters.handshakes_dropped += 1;
            return;
        };
        let Some(tag) = self.door.gate.forward(now, from) else {
            self.counters.questions_shed += 1;
            return;
        };
        self.counters.forwarded += 1;
        let datagram = question.to_vec();
        self.send(to, vec![Message::Forward { tag, source: from, datagram }]);
    }

    /// A member has forwarded a stranger's question.
    pub(super) fn forwarded(
        &mut self,
        now: Micros,
        member: ParticipantId,
        tag: [u8; 8],
        source: SocketAddr,
        question: &[u8],
    ) {
        match padded(question) {
            Some(datagram) => self.stranger(now, source, Some((member, tag)), &datagram),
            None => self.counters.handshakes_dropped += 1,
        }
    }

    /// The introducer has answered what we forwarded.
    pub(super) fn pass(&mut self, now: Micros, tag: [u8; 8], to: SocketAddr, datagram: Vec<u8>) {
        if self.door.gate.forwarded(now, to, &tag) {
            let datagram = in_the_name_of(datagram, self.own);
            self.push(Outgoing::Raw { to, datagram });
        } else {
            self.counters.handshakes_dropped += 1;
        }
    }

    pub(super) fn reply(&mut self, to: SocketAddr, via: Via, datagram: Vec<u8>) {
        match via {
            None => self.push(Outgoing::Raw { to, datagram }),
            Some((member, tag)) => self.send(member, vec![Message::Pass { tag, to, datagram }]),
        }
    }

    fn answer_hello(
        &mut self,
        now: Micros,
        from: SocketAddr,
        via: Via,
        datagram: &[u8],
    ) -> Option<Vec<u8>> {
        let clear = ClearHello::read(datagram)?;
        if let Some(answer) = self.door.answer_again(now, &clear.ephemeral) {
            return self.may_reply(now, from, Reply::Again).then_some(answer);
        }
        let (key, admit) = self.session.as_ref().map(|s| (s.key, s.admit))?;
        let at_sight = if clear.revision != REVISION {
            Some(Refusal::Version)
        } else {
            (!clear.keyed && admit == Admit::Key).then_some(Refusal::KeyNeeded)
        };
        if let Some(reason) = at_sight {
            if !self.may_reply(now, from, Reply::Refusal) {
                return None;
            }
            self.refused(now, from, reason);
            return Some(clear.refuse(self.own, reason));
        }
        let strict = !clear.keyed || self.door.half_open() > HALF_OPEN;
        let cookie = clear.cookie.as_ref();
        match self.door.gate.judge(now, from, &clear.ephemeral, cookie, strict) {
            Verdict::Open => {}
            Verdict::Cookie(cookie) => {
                self.counters.cookies_sent += 1;
                return Some(cookie_answer(self.own, &clear.ephemeral, &cookie));
            }
            Verdict::Drop => {
                self.counters.questions_shed += 1;
                return None;
            }
        }
        if self.door.seen(&clear.ephemeral) {
            return None;
        }
        if !clear.keyed {
            return self.knocked(now, from, via, &clear);
        }
        let Some((hello, handshake)) = clear.open(&mut self.random, &key) else {
            self.counters.handshakes_refused += 1;
            return Some(clear.refuse(self.own, Refusal::Key));
        };
        if hello.as_ref().is_ok_and(|hello| self.has_place(now, hello)) {
            return None;
        }
        let hello = hello.map_err(|_| Some(Refusal::Malformed));
        let admitted = hello.and_then(|hello| Ok((self.admissible(now, &hello)?, hello)));
        match admitted {
            Ok((id, hello)) => {
                let (answer, seat) = self.seat(now, id, hello);
                let (datagram, keys) = handshake.answer(self.own, &answer);
                self.door.remember(&clear.ephemeral, &datagram, now, seat.epoch);
                self.take_seat(now, from, via, seat, keys);
                Some(datagram)
            }
            // Not answered and not remembered: the same HELLO may come again.
            Err(None) => None,
            Err(Some(refusal)) => {
                self.refused(now, from, refusal);
                let (datagram, _) = handshake.answer(self.own, &Answer::Refused(refusal));
                self.door.remember(&clear.ephemeral, &datagram, now, 0);
                Some(datagram)
            }
        }
    }

    /// A member that was cut off and asks like a stranger, too: it has its place, and the handshake
    /// of members brings it back. If that does not work for a while, it gets a new one.
    fn has_place(&mut self, now: Micros, hello: &Hello) -> bool {
        if !self.roster.members.iter().any(|m| m.static_key == hello.static_key) {
            return false;
        }
        let returning = &mut self.door.returning;
        returning.retain(|(_, since)| now.since(*since) < 10 * RETURN);
        match returning.iter().find(|(key, _)| *key == hello.static_key) {
            Some((_, since)) => now.since(*since) < RETURN,
            None => {
                if returning.len() == TICKETS {
                    returning.remove(0);
                }
                returning.push((hello.static_key, now));
                true
            }
        }
    }

    /// Whether such an answer may go there now; counts what may not.
    pub(super) fn may_reply(&mut self, now: Micros, to: SocketAddr, reply: Reply) -> bool {
        let may = self.door.gate.replies(now, to, reply);
        self.counters.questions_shed += u64::from(!may);
        may
    }

    /// Counts, and tells the person here where that person could do something about it.
    pub(super) fn refused(&mut self, now: Micros, from: SocketAddr, reason: Refusal) {
        self.counters.handshakes_refused += 1;
        let ours =
            matches!(reason, Refusal::Version | Refusal::Codecs | Refusal::Clock | Refusal::Full);
        if ours && self.door.told.take(now) {
            self.events.push_back(MeshEvent::TurnedAway { address: from, reason });
        }
    }

    /// The id that a guest can have, or why it cannot.
    pub(super) fn admissible(
        &self,
        now: Micros,
        hello: &Hello,
    ) -> Result<ParticipantId, Option<Refusal>> {
        let Some(session) = &self.session else { return Err(None) };
        if hello.codecs & CODEC_OPUS == 0 {
            return Err(Some(Refusal::Codecs));
        }
        let clock = self.session(now).map_or(0, |s| s.0);
        let minute = (session.start.epoch_utc_micros + clock).div_euclid(60_000_000);
        if hello.utc_minute != 0
            && session.start.epoch_utc_micros != 0
            && minute.abs_diff(i64::from(hello.utc_minute)) > u64::from(CLOCKS_APART)
        {
            return Err(Some(Refusal::Clock));
        }
        self.choose_id(now, hello)
    }

    /// The id of a guest that comes again with its ticket, else a free one. `Err(None)` when
    /// one may come free within seconds: the guest's next try will find it.
    fn choose_id(&self, now: Micros, hello: &Hello) -> Result<ParticipantId, Option<Refusal>> {
        let live = |id| id == self.own || self.peers.iter().any(|p| p.id == id);
        let listed = |id| self.roster.members.iter().find(|m| m.id == id);
        let reserved =
            |id| self.door.pending.iter().find(|p| p.peer.id == id && p.newcomer.is_some());
        let same = |m: &&Member| m.static_key == hello.static_key;
        // Two that have lost everybody else, and each other: the handshake of members is theirs, as
        // long as it may still come about. Whom routers let ask in one direction alone must be let in.
        let back = self.asking.as_ref().is_some_and(|a| a.is_return());
        if let (true, Some(member)) = (back, self.roster.members.iter().find(same)) {
            // One after the other: who let each other in at once would change places.
            let later = (self.own_epoch, self.own) > (member.epoch, member.id);
            let patience = RETURN * if later { 3 } else { 6 };
            let since = self.door.returning.iter().find(|(key, _)| *key == hello.static_key);
            if since.is_none_or(|(_, since)| now.since(*since) < patience) {
                return Err(None);
            }
        }
        let known =
            |t: &&Ticket| t.static_key == hello.static_key && Some(t.ticket) == hello.ticket;
        if let Some(id) = self.door.tickets.iter().find(known).map(|t| t.id) {
            let ours = listed(id).map_or(!live(id), |m| same(&m));
            let free = reserved(id).is_none_or(|p| p.peer.static_key == hello.static_key);
            if ours && free {
                return Ok(id);
            }
        }
        let left = |id: ParticipantId| self.gone.get(usize::from(id.0)).copied().flatten();
        let ids = (0..MAX_PARTICIPANTS as u8).map(ParticipantId);
        ids.clone()
            .filter(|&id| !live(id) && reserved(id).is_none())
            // Listed and never heard from here: it is on its way.
            .filter(|&id| listed(id).is_none() || left(id).is_some())
            .filter(|&id| left(id).is_none_or(|at| now.since(at) >= REST))
            // Never used before, else unused the longest; the places of the absent last.
            .min_by_key(|&id| (listed(id).is_some(), left(id), id))
            .ok_or_else(|| {
                let hope = ids.clone().any(|id| !live(id) && reserved(id).is_some());
                (!hope).then_some(Refusal::Full)
            })
    }

    /// A place for a guest that is let in, and what it is told.
    pub(super) fn seat(
        &mut self,
        now: Micros,
        id: ParticipantId,
        hello: Hello,
    ) -> (Answer, Member) {
        let same = |t: &&Ticket| t.static_key == hello.static_key && Some(t.ticket) == hello.ticket;
        // A guest that comes again keeps its ticket; everybody else gets one of its own.
        let ticket = match self.door.tickets.iter().find(same) {
            Some(ticket) => ticket.ticket,
            None => {
                let mut ticket = [0; 16];
                (self.random)(&mut ticket);
                ticket
            }
        };
        self.door.tickets.retain(|t| t.static_key != hello.static_key);
        if self.door.tickets.len() == TICKETS {
            self.door.tickets.pop_front();
        }
        let static_key = hello.static_key;
        self.door.tickets.push_back(Ticket { id, static_key, ticket });
        let epoch = self.next_epoch();
        let mut roster = self.roster.clone();
        roster.introducer = self.own;
        roster.members = self.current_members();
        roster.members.retain(|m| m.id != id);
        let (start, secret) = match &self.session {
            Some(session) => (session.start.clone(), session.secret),
            None => Default::default(),
        };
        let answer = Answer::Welcome(Box::new(Welcome {
            id,
            epoch,
            start,
            secret,
            ticket,
            t0: self.t0,
            version: self.local.version.clone(),
            codecs: CODEC_OPUS | CODEC_VP8,
            streams: self.local.streams,
            roster,
            charter: self.charter(now),
        }));
        self.seat_streams = hello.streams;
        let member = Member { id, name: hello.name, static_key, addresses: hello.addresses, epoch };
        (answer, member)
    }

    /// Keys for who got that place. Through another member they are not used: the newcomer is on
    /// the roster at once, and members know how to find each other.
    pub(super) fn take_seat(
        &mut self,
        now: Micros,
        from: SocketAddr,
        via: Via,
        mut member: Member,
        keys: PairKeys,
    ) {
        let id = member.id;
        if via.is_some() {
            self.drop_replaced(now, id);
            if !member.addresses.contains(&from) {
                member.addresses.insert(0, from);
            }
            self.door.tentative.push((id, member.epoch, now + TENTATIVE));
            self.list(now, member);
            return;
        }
        let identity = Identity {
            id,
            name: member.name.clone(),
            streams: self.seat_streams,
            static_key: member.static_key,
            offered: member.addresses.clone(),
            epoch: member.epoch,
        };
        let peer = Peer::new(self.own, identity, &keys, Route::Direct(from), now);
        self.door.expect(peer, keys.clone(), member.epoch, Some(member), now);
        self.events.push_back(MeshEvent::KeysReady { peer: id, keys, address: from });
    }

    /// A peer has shown the keys of the handshake with that number.
    pub(super) fn confirmed(&mut self, now: Micros, route: Route, id: ParticipantId, number: u32) {
        let confirmed = |p: &Pending| p.peer.id == id && p.number == number;
        let Some(at) = self.door.pending.iter().position(confirmed) else { return };
        let Pending { mut peer, newcomer, .. } = self.door.pending.remove(at);
        peer.arrive(route, now);
        let streams_known = newcomer.is_some();
        if let Some(member) = newcomer {
            self.joined(now, peer);
            self.list(now, member);
        } else {
            self.joined(now, peer);
        }
        if streams_known && self.founder && self.t0.is_none() {
            self.fix_t0(now);
        }
        self.handle_timeout(now);
    }

    pub(super) fn door_timeout(&mut self, now: Micros) {
        self.door.pending.retain(|p| now < p.expires);
        self.knock_timeout(now);
        let peers: Vec<_> = self.peers.iter().map(|p| (p.id, p.epoch)).collect();
        let mut lapsed = Vec::new();
        self.door.tentative.retain(|&(id, epoch, until)| {
            let arrived = peers.contains(&(id, epoch));
            if now >= until && !arrived {
                lapsed.push((id, epoch));
            }
            now < until && !arrived
        });
        if !self.introducing() {
            return;
        }
        let gone = |id: ParticipantId| self.gone.get(usize::from(id.0)).copied().flatten();
        let before = self.roster.members.len();
        let stay = |m: &Member| {
            let absent = !peers.contains(&(m.id, m.epoch)) && m.id != self.own;
            let for_good = absent && gone(m.id).is_some_and(|at| now.since(at) >= COME_BACK);
            !for_good && !lapsed.contains(&(m.id, m.epoch))
        };
        let members: Vec<_> = self.roster.members.iter().filter(|m| stay(m)).cloned().collect();
        if members.len() != before {
            self.roster.members = members;
            self.renew_roster(now);
        }
    }

    /// What a newcomer needs to introduce others, one day.
    pub(super) fn charter(&self, now: Micros) -> Charter {
        let (key, admit) = match &self.session {
            Some(session) => (session.key, session.admit),
            None => (super::InviteKey([0; 16]), Admit::Key),
        };
        let rested = self.gone.map(|gone| match gone {
            Some(at) => (now.since(at) / 1_000_000).clamp(0, 254) as u8,
            None => u8::MAX,
        });
        Charter { key, admit, rested }
    }
}
