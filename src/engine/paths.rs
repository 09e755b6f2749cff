//! What each peer's path is given: tells peers how their audio arrives, takes their reports, and
//! commands the talk thread's copies and bitrate accordingly.
//!
//! Part of the control thread. The decisions themselves are [`crate::audio::copies`]'.

use std::sync::atomic::Ordering::Relaxed;

use super::config::LiveAudio;
use super::shared::Shared;
use super::talk::{TalkCommand, TalkControl};
use crate::audio::copies::{AutoBitrate, CopyPolicy, Path, PathState};
use crate::audio::mixer::PlayoutGauge;
use crate::audio::reception::ReceptionReport;
use crate::audio::redundancy::Plan;
use crate::protocol::control::AudioReport;
use crate::protocol::mesh::Mesh;
use crate::units::{MAX_PARTICIPANTS, Micros, ParticipantId};

/// While frames are lost a peer hears of it this often, microseconds.
const REPORT: i64 = 100_000;
/// With nothing to tell, it hears that this often, so that a lost report does no harm.
const REPORT_CALM: i64 = 1_000_000;
/// A report older than this says nothing any more, microseconds.
const STALE: i64 = 5_000_000;

/// One other member's path.
#[derive(Clone, Copy, Default)]
struct Peer {
    policy: CopyPolicy,
    plan: Plan,
    /// The peer's last report and when it came.
    heard: Option<(ReceptionReport, Micros)>,
    /// Our last report to it.
    told: Option<(ReceptionReport, Micros)>,
    /// Shortest and last round trip, microseconds.
    round_trips: Option<(i64, i64)>,
}

/// All paths.
pub struct Paths {
    audio: LiveAudio,
    video_kbps: u32,
    auto: AutoBitrate,
    kbps: u32,
    gauges: Vec<PlayoutGauge>,
    peers: [Option<Peer>; MAX_PARTICIPANTS],
}

impl Paths {
    /// Paths of a call with this audio; `gauges` are the playout buffers' by participant id.
    pub fn new(audio: LiveAudio, video_kbps: u32, gauges: Vec<PlayoutGauge>) -> Self {
        let auto = AutoBitrate::new(audio.frame);
        let kbps = audio.start_kbps();
        Self { audio, video_kbps, auto, kbps, gauges, peers: Default::default() }
    }

    /// A peer is in, or in again under new keys: it begins without copies.
    pub fn joined(&mut self, id: ParticipantId) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            *slot = Some(Peer::default());
        }
    }

    /// A peer is gone.
    pub fn left(&mut self, id: ParticipantId) {
        if let Some(slot) = self.peers.get_mut(usize::from(id.0)) {
            *slot = None;
        }
    }

    /// A peer says how our audio arrives there.
    pub fn reported(&mut self, id: ParticipantId, report: &AudioReport, now: Micros) {
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            let AudioReport { loss_1s, loss_10s, run } = *report;
            peer.heard = Some((ReceptionReport { loss_1s, loss_10s, run }, now));
        }
    }

    /// A round trip to a peer was measured, microseconds.
    pub fn round_trip(&mut self, id: ParticipantId, micros: i64) {
        if let Some(Some(peer)) = self.peers.get_mut(usize::from(id.0)) {
            // The least of the last minutes: a path that has become another one is believed in time.
            let least = peer
                .round_trips
                .map_or(micros, |(least, _)| (least + (least / 64).max(100)).min(micros));
            peer.round_trips = Some((least, micros));
        }
    }

    /// Does what is due: reports out, plans and bitrate to the talk thread.
    pub fn tick(&mut self, mesh: &mut Mesh, talk: &mut TalkControl, shared: &Shared, now: Micros) {
        for (id, slot) in self.peers.iter_mut().enumerate() {
            let Some(peer) = slot else { continue };
            let id = ParticipantId(id as u8);
            if let Some(gauge) = self.gauges.get(usize::from(id.0))
                && let Some(report) = due(gauge.report(), peer.told, now)
            {
                peer.told = Some((report, now));
                let ReceptionReport { loss_1s, loss_10s, run } = report;
                mesh.report_audio(now, id, AudioReport { loss_1s, loss_10s, run });
            }
            // Who has fallen silent keeps its copies: it is no path without loss.
            let Some((report, at)) = peer.heard else { continue };
            let capacity_kbps = capacity(shared, id);
            let path = Path { codec_kbps: self.kbps, frame: self.audio.frame, capacity_kbps };
            if now.since(at) < STALE {
                let plan = peer.policy.update(&report, &path, now);
                if plan != peer.plan && talk.send(TalkCommand::Plan(id, plan)) {
                    peer.plan = plan;
                }
            }
            if let Some(counters) = shared.peers.get(usize::from(id.0)) {
                counters.copies.store(u32::from(peer.plan.count()), Relaxed);
                let wire = peer.plan.wire_kbps(self.kbps, self.audio.frame);
                counters.audio_kbps.store(wire, Relaxed);
                let wanted = peer.policy.wanted_kbps(&path).unwrap_or(0);
                counters.audio_wants_kbps.store(wanted, Relaxed);
            }
        }
        if self.audio.kbps.is_none() {
            let frame = self.audio.frame;
            let (codec, video) = (self.kbps, self.video_kbps);
            let peers = self.peers.iter().enumerate();
            let paths =
                peers.filter_map(|(id, p)| Some((id, p.as_ref()?))).map(|(id, peer)| PathState {
                    // Nothing heard yet is nothing known: no room.
                    report: match peer.heard {
                        Some((report, at)) if now.since(at) < STALE => report,
                        _ => ReceptionReport { loss_1s: 1_000, loss_10s: 1_000, run: 0 },
                    },
                    others_kbps: peer.plan.wire_kbps(codec, frame).saturating_sub(codec) + video,
                    capacity_kbps: capacity(shared, ParticipantId(id as u8)),
                    queue_micros: peer.round_trips.map_or(0, |(least, last)| last - least),
                });
            let kbps = self.auto.update(paths, now);
            if kbps != self.kbps && talk.send(TalkCommand::Bitrate(kbps)) {
                self.kbps = kbps;
            }
        }
        shared.audio_kbps.store(self.kbps, Relaxed);
    }
}

/// What the path to a peer carries, kbit/s, where congestion control has found its end.
fn capacity(shared: &Shared, id: ParticipantId) -> Option<u32> {
    let bits = shared.peers.get(usize::from(id.0))?.path.bits_per_second()?;
    Some((bits / 1_000) as u32)
}

/// What a peer is to be told now, if anything.
fn due(
    report: ReceptionReport,
    told: Option<(ReceptionReport, Micros)>,
    now: Micros,
) -> Option<ReceptionReport> {
    let Some((last, at)) = told else { return Some(report) };
    let news = report != last && report.loss_10s.max(last.loss_10s).max(report.loss_1s) > 0;
    let every = if news { REPORT } else { REPORT_CALM };
    (now.since(at) >= every).then_some(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_told_ten_times_a_second_and_calm_once() {
        let loss = |loss_1s| ReceptionReport { loss_1s, loss_10s: 1, run: 10 };
        let calm = ReceptionReport::default();
        let told = |report, last, micros| due(report, Some((last, Micros(0))), Micros(micros));
        assert_eq!(due(calm, None, Micros(0)), Some(calm));
        assert_eq!(told(calm, calm, 999_999), None);
        assert_eq!(told(calm, calm, 1_000_000), Some(calm));
        assert_eq!(told(loss(5), calm, 99_999), None);
        assert_eq!(told(loss(5), calm, 100_000), Some(loss(5)));
        assert_eq!(told(calm, loss(5), 100_000), Some(calm));
        assert_eq!(told(loss(5), loss(5), 100_000), None);
    }
}
