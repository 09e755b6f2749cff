//! Who is in: the roster, who may say so, joining and leaving. Part of the mesh's thread.
//!
//! The introducer is the lowest id that is present. It alone makes rosters, and a roster is taken
//! only from whom the receiver itself sees as the introducer: its own, or, from one that has stepped
//! back behind a lower id, that one's. Where two rosters meet (the call was split, and each half had
//! an introducer), the lower introducer goes on from the higher of the two epochs, takes in whom the
//! other one has let in as far as the ids are free, and its roster wins. Who sees only members that
//! follow somebody it has no key of takes that one's roster from them, after a while.

use std::net::SocketAddr;

use super::super::control::{Charter, Member, Message, Roster, RosterUpdate};
use super::super::handshake::SessionStart;
use super::super::scope::Scope;
use super::super::wire::MAX_ADDRESSES;
use super::path::Route;
use super::peer::Peer;
use super::{InviteKey, LeaveReason, Mesh, MeshEvent, Outgoing, Session, TIMEOUT_MICROS};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// Old secrets that still bring a member back which was away when they changed.
const OLD_SECRETS: usize = 3;
/// A newcomer leaves it so long to the introducer that let it in to be heard, microseconds.
const CLAIM: i64 = TIMEOUT_MICROS + 3_000_000;
/// A member that follows somebody lower, whom we do not see, is believed after this long, microseconds:
/// by then that one has been heard, if it can be.
const ASTRAY: i64 = 10_000_000;
/// Places of [`MAX_ADDRESSES`] that are kept for addresses at which others see us. The rest is for our
/// own: four at least, which is both families of two interfaces, and all six where nobody sees us
/// anywhere else.
const SEEN_OFFERED: usize = 2;

/// Others follow somebody whom we do not see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Astray {
    whom: ParticipantId,
    since: Micros,
    /// When it was last told.
    told: Micros,
}

impl Session {
    /// Secrets that may be in use among members, the newest first.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &[u8; 32]> {
        std::iter::once(&self.secret).chain(&self.old_secrets)
    }
}

impl Mesh {
    /// Who lets others in: the lowest id that is present. `None` while we are not in.
    pub fn introducer(&self) -> Option<ParticipantId> {
        self.session.as_ref()?;
        self.peers.iter().map(|p| p.id).chain([self.own]).min()
    }

    /// We are the introducer, and have said so.
    pub(super) fn introducing(&self) -> bool {
        self.introducer() == Some(self.own) && self.roster.introducer == self.own
    }

    /// Whose session clock to follow: who of those present has been in the longest, before us.
    /// `None` for who has been in the longest: its clock is the session's.
    pub fn reference(&self) -> Option<ParticipantId> {
        let earlier = self.peers.iter().filter(|p| p.epoch < self.own_epoch);
        earlier.min_by_key(|p| p.epoch).map(|p| p.id)
    }

    pub(super) fn own_member(&self) -> Member {
        Member {
            id: self.own,
            name: self.local.name.clone(),
            static_key: self.static_key.public,
            addresses: self.offers(),
            epoch: self.own_epoch,
        }
    }

    /// Where we may be reached: what we know ourselves and what others saw.
    pub(super) fn offers(&self) -> Vec<SocketAddr> {
        let mut own = self.local.addresses.clone();
        // What is mapped, then what is known to work, then as the caller has ordered them.
        let proven = |a: &SocketAddr| self.observed.iter().any(|(_, seen)| seen == a);
        own.sort_by_key(|a| (Some(*a) != self.mapped, !proven(a)));
        let mut seen = Vec::new();
        for (_, address) in &self.observed {
            if !own.contains(address) && !seen.contains(address) {
                seen.push(*address);
            }
        }
        own.truncate(MAX_ADDRESSES - seen.len().min(SEEN_OFFERED));
        own.extend(seen);
        own.truncate(MAX_ADDRESSES);
        own
    }

    /// A peer says where it sees us.
    pub(super) fn observed(&mut self, now: Micros, id: ParticipantId, address: SocketAddr) {
        let before = self.offers();
        self.observed.retain(|(by, _)| *by != id);
        self.observed.push((id, address));
        if self.offers() != before {
            self.addresses_changed(now);
        }
    }

    pub(super) fn addresses_changed(&mut self, now: Micros) {
        for peer in &mut self.peers {
            peer.tell_addresses();
        }
        self.tell_invite();
        if self.introducing() && self.roster.members.len() > 1 {
            self.renew_roster(now);
        }
    }

    /// The invite as this member can show it.
    pub(super) fn tell_invite(&mut self) {
        let Some(session) = &self.session else { return };
        let mut addresses = self.offers();
        // Stable: within each kind the order stays.
        addresses.sort_by_key(|a| Scope::of(a.ip()) != Scope::Anywhere);
        let invite = (session.key, addresses);
        if self.invited.as_ref() != Some(&invite) {
            let (key, addresses) = invite.clone();
            self.invited = Some(invite);
            self.events.push_back(MeshEvent::Invite { key, addresses });
        }
    }

    pub(super) fn next_epoch(&mut self) -> u32 {
        let newest = self.roster.members.iter().map(|m| m.epoch).max().unwrap_or(0);
        self.epoch = self.epoch.max(self.roster.epoch).max(newest).saturating_add(1);
        self.epoch
    }

    /// The roster's members with what is known of them now.
    pub(super) fn current_members(&self) -> Vec<Member> {
        let mut members: Vec<_> = self
            .roster
            .members
            .iter()
            .filter(|m| m.id != self.own && !self.byes.contains(&(m.id, m.epoch)))
            .cloned()
            .collect();
        for member in &mut members {
            let Some(peer) =
                self.peers.iter().find(|p| (p.id, p.epoch) == (member.id, member.epoch))
            else {
                continue;
            };
            // What we see comes first: it works at least from here.
            let mut addresses: Vec<_> = peer.address().into_iter().collect();
            for address in &peer.offered {
                if !addresses.contains(address) {
                    addresses.push(*address);
                }
            }
            addresses.truncate(MAX_ADDRESSES);
            member.addresses = addresses;
        }
        members.push(self.own_member());
        members.sort_by_key(|m| m.id);
        members
    }

    /// Who is in has changed: the next heartbeats tell.
    pub(super) fn renew_roster(&mut self, now: Micros) {
        self.roster.members = self.current_members();
        self.roster.epoch = self.next_epoch();
        self.roster.introducer = self.own;
        for peer in &mut self.peers {
            peer.heartbeat_soon();
        }
        self.sync_pairs(now);
    }

    /// Puts a newcomer on the roster.
    pub(super) fn list(&mut self, now: Micros, member: Member) {
        self.roster.members.retain(|m| m.id != member.id);
        self.roster.members.push(member);
        self.renew_roster(now);
    }

    /// Who had that id until now has it no more.
    pub(super) fn drop_replaced(&mut self, now: Micros, id: ParticipantId) {
        if self.peers.iter().any(|p| p.id == id) {
            self.dismiss(id, false);
            self.drop_peer(now, id, LeaveReason::Removed);
        }
    }

    /// A peer's keys are shown: it is here.
    pub(super) fn joined(&mut self, now: Micros, mut peer: Peer) {
        peer.begin(now);
        let id = peer.id;
        let Some((address, relay)) = self.place(peer.paths.current()) else { return };
        self.events.push_back(MeshEvent::PeerJoined {
            peer: id,
            name: peer.name.clone(),
            streams: peer.streams,
            address,
            relay,
        });
        self.known.retain(|(known, _)| *known != id);
        self.peers.retain(|p| p.id != id);
        self.peers.push(peer);
        if let Some(gone) = self.gone.get_mut(usize::from(id.0)) {
            *gone = None;
        }
        self.alone_since = None;
        self.lost_over = false;
        if self.asking.as_ref().is_some_and(|a| a.is_return()) {
            self.asking = None;
        }
        self.sync_pairs(now);
    }

    /// A peer is gone, and what follows from that.
    pub(super) fn remove(&mut self, now: Micros, id: ParticipantId, reason: LeaveReason) {
        let listed = self.roster.members.len();
        self.drop_peer(now, id, reason);
        self.claim(now);
        if self.introducing() && self.roster.members.len() != listed {
            self.renew_roster(now);
        }
        self.sync_pairs(now);
    }

    pub(super) fn drop_peer(&mut self, now: Micros, id: ParticipantId, reason: LeaveReason) {
        let Some(at) = self.peers.iter().position(|p| p.id == id) else { return };
        let peer = self.peers.remove(at);
        self.known.retain(|(known, _)| *known != id);
        self.known.extend(peer.address().map(|address| (id, address)));
        self.observed.retain(|(by, _)| *by != id);
        if let Some(gone) = self.gone.get_mut(usize::from(id.0)) {
            *gone = Some(now);
        }
        for other in &mut self.peers {
            other.paths.relay_left(id);
        }
        self.events.push_back(MeshEvent::PeerLeft { peer: id, reason });
        match reason {
            // Who was only cut off keeps its place.
            LeaveReason::Timeout => {}
            LeaveReason::Bye | LeaveReason::Removed => {
                self.roster.members.retain(|m| (m.id, m.epoch) != (id, peer.epoch));
                if reason == LeaveReason::Bye {
                    self.byes.push((id, peer.epoch));
                }
            }
        }
        // The caller forgets all keys of that id: give it those of a return that is under way.
        if let Some(keys) = self.door.keys_under_way(id) {
            let address = peer.address().or(peer.offered.first().copied());
            if let Some(address) = address {
                let keys = keys.clone();
                self.events.push_back(MeshEvent::KeysReady { peer: id, keys, address });
            }
        }
        self.note_alone(now);
    }

    /// Starts to count the time without anybody.
    pub(super) fn note_alone(&mut self, now: Micros) {
        let others = self.roster.members.iter().any(|m| m.id != self.own);
        if self.peers.is_empty() && others && self.session.is_some() {
            self.alone_since.get_or_insert(now);
        }
    }

    /// The introducer has gone, and we are the lowest that is present.
    pub(super) fn claim(&mut self, now: Micros) {
        if self.may_claim(now) {
            self.renew_roster(now);
        }
    }

    fn may_claim(&self, now: Micros) -> bool {
        let introducer = self.roster.introducer;
        self.introducer() == Some(self.own)
            && introducer != self.own
            && (self.gone.get(usize::from(introducer.0)).copied().flatten().is_some()
                || self.welcomed_at.is_some_and(|at| now.since(at) >= CLAIM))
    }

    /// When [`Mesh::claim`] may have something to do.
    pub(super) fn claim_timeout(&self) -> Option<Micros> {
        let open = self.introducer() == Some(self.own) && self.roster.introducer != self.own;
        self.welcomed_at.filter(|_| open).map(|at| at + CLAIM)
    }

    /// The roster for a peer that does not have it, if it is ours to send.
    pub(super) fn roster_for(&self, now: Micros, peer: &Peer) -> Option<Message> {
        let session = self.session.as_ref()?;
        let (epoch, introducer) = peer.roster_known;
        let newer =
            epoch < self.roster.epoch || (epoch == self.roster.epoch && introducer != self.own);
        let listed = self.roster.members.iter().any(|m| (m.id, m.epoch) == (peer.id, peer.epoch));
        let ours = self.roster.introducer == self.own && newer;
        // It may wait for us, because it does not see whom we follow.
        let told = introducer != ParticipantId::UNASSIGNED;
        let follows =
            told && self.roster.introducer < self.own && self.roster.introducer < introducer;
        (listed && (ours || follows)).then(|| {
            Message::Roster(Box::new(RosterUpdate {
                roster: self.roster.clone(),
                secret: session.secret,
                charter: self.charter(now),
            }))
        })
    }

    /// A peer has told which roster it has.
    pub(super) fn roster_told(&mut self, now: Micros, id: ParticipantId) {
        let Some(peer) = self.peers.iter().find(|p| p.id == id) else { return };
        let (epoch, introducer) = peer.roster_known;
        let lost =
            epoch > self.roster.epoch || (epoch == self.roster.epoch && introducer < self.own);
        if self.introducing() && lost && introducer != self.own {
            self.epoch = self.epoch.max(epoch);
            self.renew_roster(now);
        }
    }

    /// A peer has sent a roster.
    pub(super) fn roster_came(&mut self, now: Micros, id: ParticipantId, update: RosterUpdate) {
        let roster = &update.roster;
        let newer = roster.epoch > self.roster.epoch
            || (roster.epoch == self.roster.epoch && roster.introducer < self.roster.introducer);
        // Whom we would follow follows another one: that one's epoch need not be higher.
        let stepped_back = roster.introducer < id && roster.introducer < self.roster.introducer;
        let follow = self.introducer() == Some(id);
        if self.is_astray(now, id, roster) {
            self.adopt(now, update);
        } else if roster.introducer != id && !(follow && stepped_back) {
            self.counters.rosters_ignored += 1;
        } else if follow {
            if newer || stepped_back {
                self.adopt(now, update);
            }
        } else if self.introducing() && newer {
            self.merge(now, &update.roster);
        } else {
            self.counters.rosters_ignored += 1;
        }
    }

    /// Nobody is left of those that we have followed, and whom we see follows a lower one that came while
    /// we were apart. That one cannot be heard by us: we have no key of it.
    fn is_astray(&mut self, now: Micros, id: ParticipantId, roster: &Roster) -> bool {
        let lower = roster.introducer;
        let listed = roster.members.iter().any(|m| {
            (m.id, m.epoch) == (self.own, self.own_epoch) && m.static_key == self.static_key.public
        });
        let alone = self.introducer() == Some(self.own) && lower < self.own && lower != id;
        let removed = roster.members.iter().any(|m| self.removed.contains(&m.static_key));
        if !alone || !listed || removed {
            return false;
        }
        // Told with each heartbeat, as long as it is so.
        let before = self.astray.filter(|a| a.whom == lower && now.since(a.told) < TIMEOUT_MICROS);
        let since = before.map_or(now, |a| a.since);
        let over = now.since(since) >= ASTRAY;
        self.astray = Some(Astray { whom: lower, since, told: now }).filter(|_| !over);
        over
    }

    fn adopt(&mut self, now: Micros, update: RosterUpdate) {
        let ours = |m: &Member| m.id == self.own && m.static_key == self.static_key.public;
        let own = update.roster.members.iter().find(|m| ours(m)).map(|m| m.epoch);
        let Some(session) = &self.session else { return };
        let start = session.start.clone();
        // A roster without us: its maker has taken us for gone, and we come as a stranger does.
        let Some(own_epoch) = own else { return self.dismissed(now, update.roster.introducer) };
        self.own_epoch = own_epoch;
        self.astray = None;
        // A person's removing somebody makes a new secret; else who is not there has said BYE to the
        // introducer, which may be nearer.
        let removed = self.session.as_ref().is_some_and(|s| s.secret != update.secret);
        self.take_charter(now, update.secret, &update.charter, &start);
        self.roster = update.roster;
        self.epoch = self.epoch.max(self.roster.epoch);
        for peer in &mut self.peers {
            if let Some(member) = self.roster.members.iter().find(|m| m.id == peer.id) {
                peer.paths.offer(&member.addresses, now);
            }
        }
        let listed = |p: &Peer| {
            self.roster
                .members
                .iter()
                .any(|m| (m.id, m.epoch) == (p.id, p.epoch) && m.static_key == p.static_key)
        };
        let out: Vec<_> = self.peers.iter().filter(|p| !listed(p)).map(|p| p.id).collect();
        for id in out {
            let left = !removed && self.roster.members.iter().all(|m| m.id != id);
            self.dismiss(id, false);
            let reason = if left { LeaveReason::Bye } else { LeaveReason::Removed };
            self.drop_peer(now, id, reason);
        }
        self.sync_pairs(now);
        self.tell_invite();
        // Whose place is new is heard within a round trip.
        for peer in &mut self.peers {
            peer.heartbeat_soon();
        }
    }

    /// Somebody else has let people in while we were apart.
    fn merge(&mut self, now: Micros, other: &Roster) {
        for member in &other.members {
            let free = self.roster.members.iter().all(|m| m.id != member.id);
            let known = self.roster.members.iter().any(|m| m.static_key == member.static_key);
            let bye = self.byes.contains(&(member.id, member.epoch));
            let removed = self.removed.contains(&member.static_key);
            if free && !known && !bye && !removed {
                self.roster.members.push(member.clone());
            }
        }
        self.epoch = self.epoch.max(other.epoch);
        self.renew_roster(now);
    }

    pub(super) fn take_charter(
        &mut self,
        now: Micros,
        secret: [u8; 32],
        charter: &Charter,
        start: &SessionStart,
    ) {
        for (gone, &rested) in self.gone.iter_mut().zip(&charter.rested) {
            if gone.is_none() && rested != u8::MAX {
                *gone = Some(now - i64::from(rested) * 1_000_000);
            }
        }
        for peer in &self.peers {
            if let Some(gone) = self.gone.get_mut(usize::from(peer.id.0)) {
                *gone = None;
            }
        }
        let mut old_secrets = Vec::new();
        if let Some(session) = &self.session {
            old_secrets.extend(session.secrets().filter(|s| **s != secret).copied());
            old_secrets.truncate(OLD_SECRETS);
        }
        self.session = Some(Session {
            start: start.clone(),
            key: charter.key,
            secret,
            old_secrets,
            admit: charter.admit,
        });
    }

    /// A person removes a member: a new roster, a new secret and a new invite. `false` when that is
    /// not ours to do ([`Mesh::introducer`] tells whose it is) or there is no such member.
    pub fn remove_member(&mut self, now: Micros, id: ParticipantId) -> bool {
        let listed = self.roster.members.iter().any(|m| m.id == id);
        if !self.introducing() || id == self.own || !listed {
            return false;
        }
        let removed = self.roster.members.iter().filter(|m| m.id == id).map(|m| m.static_key);
        self.removed.extend(removed);
        self.dismiss(id, true);
        self.drop_peer(now, id, LeaveReason::Removed);
        self.roster.members.retain(|m| m.id != id);
        let (mut secret, mut key) = ([0; 32], [0; 16]);
        (self.random)(&mut secret);
        (self.random)(&mut key);
        let mut charter = self.charter(now);
        charter.key = InviteKey(key);
        if let Some(start) = self.session.as_ref().map(|s| s.start.clone()) {
            self.take_charter(now, secret, &charter, &start);
        }
        self.renew_roster(now);
        self.tell_invite();
        true
    }

    /// Tells a peer that it is out, while there are still keys to seal it with.
    pub(super) fn dismiss(&mut self, id: ParticipantId, by_person: bool) {
        let Some(peer) = self.peers.iter_mut().find(|p| p.id == id) else { return };
        let route = peer.paths.current();
        for _ in 0..super::BYES {
            let mut bytes = Vec::new();
            Message::Removed { by_person }.write(&mut bytes);
            let mut datagram = Vec::new();
            if !peer.sealer.control(0, &bytes, &mut datagram) {
                return;
            }
            let outgoing = match route {
                Route::Direct(to) => Outgoing::Raw { to, datagram },
                Route::Relay(relay) => Outgoing::Relayed { relay, to: id, datagram },
            };
            self.outbox.push_back(outgoing);
        }
    }

    /// A peer says that we are out.
    pub(super) fn out(&mut self, now: Micros, id: ParticipantId, by_person: bool) {
        let introducer = self.introducer() == Some(id);
        if by_person && introducer {
            for id in self.peers.iter().map(|p| p.id).collect::<Vec<_>>() {
                self.drop_peer(now, id, LeaveReason::Removed);
            }
            let reason = super::Refusal::Removed;
            return self.end(MeshEvent::Refused { reason });
        }
        self.dismissed(now, id);
    }

    /// Somebody does not know us any more: two rosters have met. We come again as a stranger.
    fn dismissed(&mut self, now: Micros, id: ParticipantId) {
        self.drop_peer(now, id, LeaveReason::Timeout);
        if !self.peers.is_empty() || self.asking.is_some() {
            return;
        }
        let since = *self.alone_since.get_or_insert(now);
        if !self.founder {
            self.begin_ask(now, Some(since + super::COME_BACK));
            self.ask_timeout(now);
        }
    }

    /// The address behind a way, and the member that carries, if one does.
    pub(super) fn place(&self, route: Route) -> Option<(SocketAddr, Option<ParticipantId>)> {
        match route {
            Route::Direct(address) => Some((address, None)),
            Route::Relay(id) => {
                let relay = self.peers.iter().find(|p| p.id == id)?;
                Some((relay.address()?, Some(id)))
            }
        }
    }

    /// The way that a packet of that member took: what comes from another member's address was
    /// passed on by it.
    pub(super) fn route_of(&self, from: SocketAddr, id: ParticipantId) -> Route {
        let carries = |p: &&Peer| p.id != id && p.address() == Some(from);
        match self.peers.iter().find(carries) {
            Some(relay) => Route::Relay(relay.id),
            None => Route::Direct(from),
        }
    }

    /// Peers that can carry for others.
    pub(super) fn direct_peers(&self) -> impl Iterator<Item = ParticipantId> {
        self.peers.iter().filter(|p| p.address().is_some()).map(|p| p.id)
    }

    /// The members that can carry to that one, by the sum of the round trips, and the more of what the
    /// two ways lose, tenths of a percent.
    pub(super) fn relays_to(&self, now: Micros, id: ParticipantId) -> Vec<(ParticipantId, u16)> {
        let mut relays: Vec<_> = self
            .peers
            .iter()
            .filter(|p| p.id != id && p.address().is_some())
            .filter_map(|p| {
                let there = p.links.iter().find(|l| l.peer == id && !l.relayed)?;
                let here = p.link(now);
                let sum = u64::from(there.rtt_micros) + u64::from(here.rtt_micros);
                Some((sum, p.id, there.loss_permille.max(here.loss_permille)))
            })
            .collect();
        relays.sort();
        relays.truncate(MAX_PARTICIPANTS - 2);
        relays.into_iter().map(|(_, id, permille)| (id, permille)).collect()
    }
}
