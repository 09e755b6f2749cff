//! The control thread's part of congestion control: reports in, and out go what the live encoders make
//! and what each peer gets of it. The decisions are [`Estimate`]'s and [`Allotment`]'s.

use std::sync::atomic::Ordering::Relaxed;

use super::shared::Shared;
use super::talk::{TalkCommand, TalkControl, VideoPlan};
use crate::protocol::congestion::{
    CONTROL_KBPS, Estimate, PathReport, ProbePath, Prober, SentRate, share,
};
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
/// A probe goes this share beyond what is wanted: what it finds is measured.
const BEYOND: f64 = 1.1;
/// Who uses this share of what is wanted finds out by itself whether there is more.
const NEAR: f64 = 0.8;
/// One step of a probe goes so far: for a picture, and for audio that lacks room, which has little to
/// spare.
const STEPS: [f64; 2] = [1.5, 1.25];
/// A picture that takes so much more than a better one needs, for near a path's end it goes up and down ...
const PROOF: f64 = 1.3;
/// ... and that has come through for so long without a queue shows what the path carries, microseconds.
const CALM: i64 = 2_000_000;

/// What the other threads say of a peer.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// What audio takes of its path, kbit/s.
    audio_kbps: f64,
    /// What the path would have to carry so that audio takes more, kbit/s.
    audio_wants: Option<f64>,
    /// Bytes that it was sent so far.
    sent: u64,
}

#[derive(Default)]
struct Peer {
    estimate: Estimate,
    relayed: bool,
    /// Microseconds.
    round_trip: i64,
    plan: Option<VideoPlan>,
    sent: SentRate,
    /// What it was sent lately is lost, and it has not been told.
    cut_off: bool,
    /// When it last asked for fragments again.
    asked_again: Option<Micros>,
}

/// All paths and both encoders.
pub struct Congestion {
    peers: [Option<Peer>; MAX_PARTICIPANTS],
    allotment: Allotment<MAX_PARTICIPANTS>,
    prober: Prober<MAX_PARTICIPANTS>,
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
        let prober = Prober::default();
        Self { peers: Default::default(), allotment, prober, next, thought, common: None }
    }

    /// A peer is in, or in again under new keys.
    pub fn joined(&mut self, id: ParticipantId, relayed: bool) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            // Where it was cut off its path is what it was.
            let before = slot.take().filter(|p| p.relayed == relayed);
            let estimate = before.map_or_else(|| unknown(relayed), |p| p.estimate);
            *slot = Some(Peer { estimate, relayed, ..Peer::default() });
            self.prober.forget(usize::from(id.0));
            self.next = Micros(0);
        }
    }

    /// It is reached another way: nothing is known of that.
    pub fn moved(&mut self, id: ParticipantId, relayed: bool) {
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            peer.estimate = unknown(relayed);
            peer.relayed = relayed;
            self.prober.forget(usize::from(id.0));
            self.next = Micros(0);
        }
    }

    /// A peer is gone.
    pub fn left(&mut self, id: ParticipantId) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            *slot = None;
            self.prober.forget(usize::from(id.0));
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
            peer.round_trip = round_trip;
            let back = peer.estimate.report(report, round_trip, peer.sent.range(), now);
            peer.cut_off |= back;
            if back || before != peer.estimate.holds(now) {
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
        let uses = std::array::from_fn(|id| in_use(shared, id));
        // Whoever has no camera, or shows nothing, needs no room for a picture.
        let pictured = shared.live_encoded.load(Relaxed) > 0
            && !shared.camera_off.load(Relaxed)
            && !shared.shed_live_video.load(Relaxed);
        let plans = self.decide(&uses, pictured, now);
        let pictures = self.allotment.pictures();
        for (live, picture) in shared.live.iter().zip(pictures) {
            live.set_picture(picture);
        }
        for (id, (peer, plan)) in self.peers.iter_mut().zip(plans).enumerate() {
            let (Some(peer), Some(plan)) = (peer, plan) else { continue };
            let feed = plan.feed;
            let picture = feed.and_then(|feed| pictures[feed.source as usize]);
            let news = peer.plan.is_none_or(|before| differ(&before, &plan));
            let id = ParticipantId(id as u8);
            if news && talk.send(TalkCommand::Video(id, plan)) {
                peer.plan = Some(VideoPlan { cut_off: false, ..plan });
                peer.cut_off &= !plan.cut_off;
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

    /// What everybody is to get from now on. `pictured`: there is a picture to send.
    fn decide(
        &mut self,
        uses: &[Use; MAX_PARTICIPANTS],
        pictured: bool,
        now: Micros,
    ) -> [Option<VideoPlan>; MAX_PARTICIPANTS] {
        self.next = now + THINK;
        self.thought = now;
        self.share(now);
        self.probe(uses, pictured, now);
        let mut rooms = [None; MAX_PARTICIPANTS];
        for (id, (peer, room)) in self.peers.iter_mut().zip(&mut rooms).enumerate() {
            let Some(peer) = peer else { continue };
            peer.estimate.tick(now);
            peer.sent.look(uses[id].sent, now);
            let audio = uses[id].audio_kbps;
            // While audio lacks room there is none for a picture (DESIGN section 3).
            let room_kbps = match uses[id].audio_wants {
                Some(_) => 0.0,
                None => peer.estimate.video_kbps(audio),
            };
            let (used, wanted) = (self.allotment.used(id), self.allotment.wanted(id));
            let all = |kbps: f64| kbps + audio + f64::from(CONTROL_KBPS);
            let shown = match wanted {
                Some(kbps) if used >= kbps * PROOF => {
                    Some(used).filter(|_| peer.estimate.calm(now) >= CALM)
                }
                Some(kbps) if all(used) >= all(kbps) * NEAR => None,
                _ => self.prober.shown(id, now).map(|kbps| kbps - all(0.0)),
            };
            let known = peer.estimate.is_known() || uses[id].audio_wants.is_some();
            let relayed = peer.relayed;
            *room = Some(Room { kbps: room_kbps, known, relayed, shown });
        }
        self.allotment.update(&rooms, now);
        let pictures = self.allotment.pictures();
        std::array::from_fn(|id| {
            let peer = self.peers[id].as_ref()?;
            let feed = self.allotment.feed(id);
            let picture = feed.and_then(|feed| pictures[feed.source as usize]);
            let video_kbps = peer.estimate.video_kbps(uses[id].audio_kbps);
            Some(VideoPlan {
                feed,
                kbps: [peer.estimate.kbps() as u32, video_kbps as u32],
                pace_kbps: picture.map_or(1, |p| p.kbps),
                held: peer.estimate.holds(now),
                cut_off: peer.cut_off,
                fill_kbps: self.prober.fill(id).map_or(0, |kbps| kbps as u32),
            })
        })
    }

    /// Tries paths on which more is wanted than they are known to carry.
    fn probe(&mut self, uses: &[Use; MAX_PARTICIPANTS], pictured: bool, now: Micros) {
        let paths = std::array::from_fn(|id| {
            let peer = self.peers[id].as_ref().filter(|p| !p.relayed)?;
            let Use { audio_kbps, audio_wants, .. } = uses[id];
            let all = |kbps: f64| kbps + audio_kbps + f64::from(CONTROL_KBPS);
            let used = all(self.allotment.used(id));
            let picture = self.allotment.wanted(id).map(|kbps| all(kbps * BEYOND));
            let picture = picture.filter(|goal| pictured && used < goal * NEAR);
            // Audio first.
            let audio = audio_wants.map(|kbps| kbps * BEYOND);
            Some(ProbePath {
                goal: audio.or(picture),
                used,
                step: STEPS[usize::from(audio.is_some())],
                calm: peer.estimate.calm(now),
                held: peer.estimate.holds(now) || peer.estimate.is_queued(),
                loss: peer.estimate.lost(),
                arrived: peer.estimate.arrived_kbps(),
                round_trip: peer.round_trip,
            })
        });
        if let Some(shown) = self.prober.tick(&paths, now)
            && let Some(Some(peer)) = self.peers.get_mut(shown.place)
        {
            peer.estimate.shown(shown.kbps, now);
        }
        if self.prober.trying().is_some() {
            // The uplink is everybody's.
            self.peers.iter_mut().flatten().for_each(|peer| peer.estimate.probing(now));
        }
    }
}

/// A path of which nothing is known; one through another member is not probed, it has its rate.
fn unknown(relayed: bool) -> Estimate {
    if relayed { Estimate::unprobed() } else { Estimate::default() }
}

fn in_use(shared: &Shared, id: usize) -> Use {
    let Some(peer) = shared.peers.get(id) else { return Use::default() };
    let wants = peer.audio_wants_kbps.load(Relaxed);
    Use {
        audio_kbps: audio_kbps(shared, id),
        audio_wants: (wants > 0).then(|| f64::from(wants)),
        sent: peer.sent_bytes.load(Relaxed),
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
        || a.cut_off != b.cut_off
        || a.fill_kbps != b.fill_kbps
        || far(a.kbps[0], b.kbps[0])
        || far(a.kbps[1], b.kbps[1])
        || far(a.pace_kbps, b.pace_kbps)
}

#[cfg(test)]
mod tests;
