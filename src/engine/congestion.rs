//! The control thread's part of congestion control: reports in, and out go what the live encoders make
//! and what each peer gets of it. The decisions are [`Estimate`]'s and [`Allotment`]'s.

use std::sync::atomic::Ordering::Relaxed;

use super::shared::Shared;
use super::talk::{TalkCommand, TalkControl, VideoPlan};
use crate::protocol::congestion::{Estimate, PathReport, SentRate, share};
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};
use crate::video::allot::{Allotment, Room};
use crate::video::fanout::Source;

/// The encoders are thought about this often, microseconds.
const THINK: i64 = 50_000;
/// But no more often than this, whatever the reports say: a plan is a command to the talk thread.
const THINK_SOON: i64 = 10_000;
/// What audio takes on the wire without copies, kbit/s (DESIGN section 3), while nobody has said
/// otherwise.
const AUDIO_KBPS: u32 = 123;
/// Queues on all paths within so long of each other are one queue, microseconds: reports come ten
/// times a second, over round trips that differ.
const TOGETHER: i64 = 400_000;
/// So long after that the paths share alike, microseconds.
const COMMON: i64 = 20_000_000;
/// A peer may ask for fragments this often, microseconds; its own timer is slower.
const ASK_AGAIN: i64 = 20_000;
/// A change of rates by less than this share is not worth a word.
const NOTICEABLE: f64 = 0.03;

#[derive(Default)]
struct Peer {
    estimate: Estimate,
    relayed: bool,
    plan: Option<VideoPlan>,
    sent: SentRate,
    /// When it last asked for fragments again.
    asked_again: Option<Micros>,
}

/// All paths and both encoders.
pub struct Congestion {
    peers: [Option<Peer>; MAX_PARTICIPANTS],
    allotment: Allotment<MAX_PARTICIPANTS>,
    next: Micros,
    /// When they were last thought about.
    thought: Micros,
    /// When all paths last broke together.
    common: Option<Micros>,
}

/// Whether all of two or more paths had a queue within [`TOGETHER`].
fn is_common<'a>(estimates: impl Iterator<Item = &'a Estimate>, now: Micros) -> bool {
    let mut all = 0;
    for estimate in estimates.filter(|e| !e.is_unheard(now)) {
        if estimate.last_queue().is_none_or(|at| now.since(at) > TOGETHER) {
            return false;
        }
        all += 1;
    }
    all > 1
}

impl Congestion {
    /// Of a call with pictures of that target.
    pub fn new(video_kbps: u32) -> Self {
        let allotment = Allotment::new(video_kbps);
        let (next, thought) = (Micros(0), Micros(i64::MIN / 2));
        Self { peers: Default::default(), allotment, next, thought, common: None }
    }

    /// A peer is in, or in again under new keys.
    pub fn joined(&mut self, id: ParticipantId, relayed: bool) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            // Where it was cut off its path is what it was.
            let estimate = slot.take().map(|p| p.estimate).unwrap_or_default();
            *slot = Some(Peer { estimate, relayed, ..Peer::default() });
            self.next = Micros(0);
        }
    }

    /// It is reached another way: nothing is known of that.
    pub fn moved(&mut self, id: ParticipantId, relayed: bool) {
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            peer.estimate = Estimate::default();
            peer.relayed = relayed;
            self.next = Micros(0);
        }
    }

    /// A peer is gone.
    pub fn left(&mut self, id: ParticipantId) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            *slot = None;
        }
    }

    /// A peer says how our packets come through.
    pub fn reported(
        &mut self,
        id: ParticipantId,
        report: &PathReport,
        round_trip: i64,
        now: Micros,
    ) {
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            let before = peer.estimate.holds(now);
            peer.estimate.report(report, round_trip, peer.sent.most(), now);
            if before != peer.estimate.holds(now) {
                self.next = self.next.min(now.max(self.thought + THINK_SOON));
            }
        }
    }

    /// A peer asks for fragments again: whether it is passed on. Whoever asks all the time must not
    /// fill the talk thread's queue.
    pub fn may_ask_again(&mut self, id: ParticipantId, now: Micros) -> bool {
        let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) else { return false };
        let lately = peer.asked_again.is_some_and(|at| now.since(at) < ASK_AGAIN);
        if !lately {
            peer.asked_again = Some(now);
        }
        !lately
    }

    /// A peer says how many of our audio packets it misses, tenths of a percent of a second.
    pub fn lost(&mut self, id: ParticipantId, permille: u16, now: Micros) {
        let sent = self.allotment.feed(usize::from(id.0)).map(|feed| feed.source as usize);
        let picture = sent.and_then(|source| self.allotment.pictures()[source]);
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            peer.estimate.loss(permille, picture.map_or(0, |p| p.kbps), now);
        }
    }

    /// Where all paths have broken in the same moment, it is the own uplink that is thin.
    fn share(&mut self, now: Micros) {
        if is_common(self.peers.iter().flatten().map(|p| &p.estimate), now) {
            self.common = Some(now);
        }
        if self.common.is_some_and(|at| now.since(at) < COMMON) {
            // Who is not heard has nothing to compare, and nothing is sent there.
            let all = self.peers.iter_mut().flatten().map(|p| &mut p.estimate);
            let mut heard: Vec<&mut Estimate> = all.filter(|e| !e.is_unheard(now)).collect();
            share(&mut heard);
        }
    }

    /// Which encoder feeds a peer, if one does.
    pub fn source(&self, id: ParticipantId) -> Option<Source> {
        self.allotment.feed(usize::from(id.0)).map(|feed| feed.source)
    }

    /// When [`Self::tick`] has something to do.
    pub fn due(&self) -> Micros {
        self.next
    }

    /// Does what is due.
    pub fn tick(&mut self, talk: &mut TalkControl, shared: &Shared, now: Micros) {
        if now < self.next {
            return;
        }
        self.next = now + THINK;
        self.thought = now;
        self.share(now);
        let mut rooms = [None; MAX_PARTICIPANTS];
        for (id, (peer, room)) in self.peers.iter_mut().zip(&mut rooms).enumerate() {
            let Some(peer) = peer else { continue };
            peer.estimate.tick(now);
            peer.sent.look(shared.peers[id].sent_bytes.load(Relaxed), now);
            let kbps = peer.estimate.video_kbps(audio_kbps(shared, id));
            *room = Some(Room { kbps, known: peer.estimate.is_known(), relayed: peer.relayed });
        }
        self.allotment.update(&rooms, now);
        let pictures = self.allotment.pictures();
        for (live, picture) in shared.live.iter().zip(pictures) {
            live.set_picture(picture);
        }
        for (id, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            let feed = self.allotment.feed(id);
            let picture = feed.and_then(|feed| pictures[feed.source as usize]);
            let video_kbps = peer.estimate.video_kbps(audio_kbps(shared, id));
            let plan = VideoPlan {
                feed,
                kbps: [peer.estimate.kbps() as u32, video_kbps as u32],
                pace_kbps: picture.map_or(1, |p| p.kbps),
                held: peer.estimate.holds(now),
            };
            let news = peer.plan.is_none_or(|before| differ(&before, &plan));
            let id = ParticipantId(id as u8);
            if news && talk.send(TalkCommand::Video(id, plan)) {
                peer.plan = Some(plan);
            }
            let gauge = &shared.peers[usize::from(id.0)].path;
            let halved = feed.filter(|f| f.layers < 2 && f.source == Source::Low);
            let picture = picture.map(|mut p| {
                if halved.is_some() {
                    p.fps /= 2;
                }
                p
            });
            gauge.set(peer.estimate.limit_kbps(), peer.estimate.queue_micros(), picture);
        }
    }
}

fn audio_kbps(shared: &Shared, id: usize) -> f64 {
    let kbps = shared.peers.get(id).map_or(0, |p| p.audio_kbps.load(Relaxed));
    f64::from(if kbps == 0 { AUDIO_KBPS } else { kbps })
}

fn differ(a: &VideoPlan, b: &VideoPlan) -> bool {
    let far =
        |a: u32, b: u32| (f64::from(a) - f64::from(b)).abs() > NOTICEABLE * f64::from(a.max(b));
    a.feed != b.feed
        || a.held != b.held
        || far(a.kbps[0], b.kbps[0])
        || far(a.kbps[1], b.kbps[1])
        || far(a.pace_kbps, b.pace_kbps)
}

#[cfg(test)]
mod tests;
