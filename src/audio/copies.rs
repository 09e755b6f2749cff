//! Decides, for each peer, how many copies of earlier frames it gets, and for all together the
//! codec's bitrate.
//!
//! Pure: reports, capacity and time come in as parameters. Belongs to the control thread. The
//! figures are DESIGN section 3's: PESQ at 5, 10 and 20 % random loss is 2.19, 1.65, 1.29 without
//! copies, 3.67, 3.27, 2.40 with n-1, 3.94, 3.89, 3.40 with n-1 and n-3, 3.94, 3.94, 3.79 with three.

use super::codec::FrameLength;
use super::reception::ReceptionReport;
use super::redundancy::Plan;
use crate::units::Micros;

/// Offsets of the copies, by level.
const LEVELS: [&[u8]; 4] = [&[], &[1], &[1, 3], &[1, 2, 3]];
/// Loss from which a level is used, tenths of a percent.
const FROM: [u16; 4] = [0, 3, 30, 100];
/// Mean run of lost frames from which loss counts as bursty, tenths of a frame.
const BURSTY: u8 = 15;
/// A level is left when the loss has been below this share of its threshold ...
const LEAVE: f32 = 0.5;
/// ... for so long, microseconds; one level at a time.
const CALM: i64 = 10_000_000;
/// Share of the path that audio may take before copies make room, and frames share packets.
const ROOM: f32 = 0.82;

/// A path that carries more again is believed after so long, microseconds: how packets are made up
/// changes the depth of the peer's playout, so it must not go back and forth with an estimate.
const ROOM_AGAIN: i64 = 5_000_000;

/// What the path is asked to carry and may carry.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// The codec's bitrate, kbit/s.
    pub codec_kbps: u32,
    /// Frame length.
    pub frame: FrameLength,
    /// What the path to this peer can carry, kbit/s, where it is known.
    pub capacity_kbps: Option<u32>,
}

/// Chooses one peer's [`Plan`] from what that peer reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct CopyPolicy {
    level: usize,
    /// Since when the loss would do with less.
    calm_since: Option<Micros>,
    room: Room,
}

/// A path's capacity as it is relied upon: less at once, more once it has lasted.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    trusted: Option<u32>,
    /// Since when there has been more, and the least of it; `None` is no end known.
    more: Option<(Micros, Option<u32>)>,
}

impl Room {
    fn update(&mut self, capacity: Option<u32>, now: Micros) -> Option<u32> {
        let value = |kbps: Option<u32>| kbps.unwrap_or(u32::MAX);
        if value(capacity) <= value(self.trusted) {
            self.trusted = capacity;
            self.more = None;
            return capacity;
        }
        let (since, least) = self.more.unwrap_or((now, capacity));
        let least = if value(capacity) < value(least) { capacity } else { least };
        self.more = Some((since, least));
        if now.since(since) >= ROOM_AGAIN {
            self.trusted = least;
            self.more = None;
        }
        self.trusted
    }
}

impl CopyPolicy {
    /// No copies.
    pub fn new() -> Self {
        Self::default()
    }

    /// The plan from now on. More copies come at once, fewer after 10 s of calm.
    pub fn update(&mut self, report: &ReceptionReport, path: &Path, now: Micros) -> Plan {
        let wanted = level(report, 1.0);
        if wanted > self.level {
            self.level = wanted;
            self.calm_since = None;
        } else if level(report, LEAVE) < self.level {
            let since = *self.calm_since.get_or_insert(now);
            if now.since(since) >= CALM {
                self.level -= 1;
                self.calm_since = Some(now);
            }
        } else {
            self.calm_since = None;
        }
        let capacity_kbps = self.room.update(path.capacity_kbps, now);
        self.affordable(&Path { capacity_kbps, ..*path })
    }

    /// What the path would have to carry so that audio takes more of it, kbit/s: fewer frames in a packet,
    /// or more of the copies that the loss asks for. `None` where it has all.
    pub fn wanted_kbps(&self, path: &Path) -> Option<u32> {
        let now = self.affordable(&Path { capacity_kbps: self.room.trusted, ..*path });
        let copies = LEVELS[..=self.level].iter().rev().map(|offsets| Plan::copies(offsets));
        let better = copies.chain([Plan::several(2)]).take_while(|plan| *plan != now).last()?;
        let kbps = better.wire_kbps(path.codec_kbps, path.frame);
        Some((kbps as f32 / ROOM).ceil() as u32 + 1)
    }

    /// What of it the path has room for: first fewer copies, then more frames in a packet.
    fn affordable(&self, path: &Path) -> Plan {
        let copies = LEVELS[..=self.level].iter().rev().map(|offsets| Plan::copies(offsets));
        let several = [2, 4].map(Plan::several);
        let Some(capacity) = path.capacity_kbps else { return Plan::copies(LEVELS[self.level]) };
        let room = capacity as f32 * ROOM;
        copies
            .chain(several)
            .find(|plan| plan.wire_kbps(path.codec_kbps, path.frame) as f32 <= room)
            .unwrap_or(Plan::several(4))
    }
}

/// The level that a report asks for when thresholds are scaled.
fn level(report: &ReceptionReport, scale: f32) -> usize {
    // One lost frame is half a percent of a second: only from 3 % on does one second say anything.
    let short = if report.loss_1s >= FROM[2] { report.loss_1s } else { 0 };
    let loss = f32::from(report.loss_10s.max(short));
    let level = FROM.iter().rposition(|&from| loss >= f32::from(from) * scale).unwrap_or(0);
    if report.run >= BURSTY { if level == 1 { 2 } else { level } } else { level }
}

/// Bitrates of `--audio-bitrate auto`, kbit/s: 5 ms and 2.5 ms frames.
const STEPS: [&[u32]; 2] = [&[32, 48, 64], &[80, 96]];
/// So long everything must be well before the next step, microseconds.
const STEP_UP: i64 = 5_000_000;
/// After a step back, so long, microseconds.
const STEP_UP_AGAIN: i64 = 30_000_000;
/// Loss at which the bitrate goes back to the first step, tenths of a percent: copies come first.
const STEP_DOWN: u16 = 10;
/// Round trips may grow so much over the shortest before that counts as a queue, microseconds.
const QUEUE: i64 = 30_000;

/// Chooses the codec's bitrate, the same for all peers.
#[derive(Clone, Copy, Debug)]
pub struct AutoBitrate {
    steps: &'static [u32],
    step: usize,
    since: Option<Micros>,
    wait: i64,
}

/// What is known of the path to one peer when the bitrate is chosen.
#[derive(Clone, Copy, Debug, Default)]
pub struct PathState {
    /// The peer's last report.
    pub report: ReceptionReport,
    /// What its audio would take besides the codec's own bits, and what else is sent to it, kbit/s.
    pub others_kbps: u32,
    /// What the path can carry, kbit/s, where it is known.
    pub capacity_kbps: Option<u32>,
    /// How much longer round trips take than the shortest lately, microseconds.
    pub queue_micros: i64,
}

impl AutoBitrate {
    /// Begins with 32 kbit/s, with 2.5 ms frames 80.
    pub fn new(frame: FrameLength) -> Self {
        let steps = STEPS[usize::from(frame == FrameLength::Half)];
        Self { steps, step: 0, since: None, wait: STEP_UP }
    }

    /// The bitrate now, kbit/s.
    pub fn kbps(&self) -> u32 {
        self.steps[self.step]
    }

    /// The bitrate from now on, kbit/s: a step up after 5 s in which all paths were well and have
    /// room for it, back to the start as soon as one is not.
    pub fn update(&mut self, paths: impl Iterator<Item = PathState>, now: Micros) -> u32 {
        let more = self.steps.get(self.step + 1).copied();
        let (mut well, mut room, mut any) = (true, more.is_some(), false);
        for path in paths {
            any = true;
            let fits = |kbps: u32| {
                path.capacity_kbps
                    .is_none_or(|c| (kbps + path.others_kbps) as f32 <= c as f32 * ROOM)
            };
            well &= path.report.loss_1s < STEP_DOWN * 2
                && path.report.loss_10s < STEP_DOWN
                && path.queue_micros < QUEUE
                && (self.step == 0 || fits(self.kbps()));
            room &= more.is_some_and(fits);
        }
        if !well {
            if self.step > 0 {
                self.wait = STEP_UP_AGAIN;
            }
            self.step = 0;
            self.since = None;
        } else if any && room {
            let since = *self.since.get_or_insert(now);
            if now.since(since) >= self.wait {
                self.step += 1;
                self.since = Some(now);
            }
        } else {
            self.since = None;
        }
        self.kbps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(permille: u16) -> ReceptionReport {
        ReceptionReport { loss_1s: permille, loss_10s: permille, run: 10 }
    }

    fn path(capacity_kbps: Option<u32>) -> Path {
        Path { codec_kbps: 32, frame: FrameLength::Full, capacity_kbps }
    }

    fn offsets(plan: Plan) -> Vec<u8> {
        plan.offsets().collect()
    }

    fn at(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    #[test]
    fn copies_follow_the_loss_that_the_peer_reports() {
        for (permille, expected) in [
            (0, &[][..]),
            (2, &[]),
            (3, &[1]),
            (29, &[1]),
            (30, &[1, 3]),
            (99, &[1, 3]),
            (100, &[1, 2, 3]),
            (400, &[1, 2, 3]),
        ] {
            let plan = CopyPolicy::new().update(&loss(permille), &path(None), at(0));
            assert_eq!(offsets(plan), expected, "{permille}");
        }
        let bursty = ReceptionReport { loss_1s: 0, loss_10s: 4, run: 20 };
        assert_eq!(offsets(CopyPolicy::new().update(&bursty, &path(None), at(0))), [1, 3]);
        // A single lost frame in a second is no 0.5 %.
        let one = ReceptionReport { loss_1s: 5, loss_10s: 1, run: 10 };
        assert!(offsets(CopyPolicy::new().update(&one, &path(None), at(0))).is_empty());
    }

    #[test]
    fn more_comes_at_once_and_less_only_level_by_level_after_ten_calm_seconds() {
        let mut policy = CopyPolicy::new();
        assert_eq!(policy.update(&loss(120), &path(None), at(0)).count(), 3);
        // Above half of the threshold it stays.
        for s in 1..60 {
            assert_eq!(policy.update(&loss(60), &path(None), at(s)).count(), 3);
        }
        let counts: Vec<_> =
            (60..100).map(|s| policy.update(&loss(0), &path(None), at(s)).count()).collect();
        assert_eq!([counts[0], counts[9], counts[10]], [3, 3, 2]);
        assert_eq!([counts[19], counts[20], counts[29], counts[30]], [2, 1, 1, 0]);
        assert_eq!(policy.update(&loss(40), &path(None), at(100)).count(), 2);
    }

    #[test]
    fn a_thin_path_has_no_copies_then_two_then_four_frames_a_packet() {
        let mut policy = CopyPolicy::new();
        for (capacity, copies, frames) in [
            (400, 3, 1),
            (250, 2, 1),
            (200, 1, 1),
            (155, 0, 1),
            (149, 0, 2),
            (90, 0, 4),
            (20, 0, 4),
        ] {
            let plan = policy.update(&loss(120), &path(Some(capacity)), at(0));
            assert_eq!((plan.count(), plan.frames()), (copies, frames), "{capacity} kbit/s");
        }
    }

    #[test]
    fn what_audio_lacks_is_the_next_better_way_to_pack() {
        for (permille, capacity, wanted) in [
            (0, None, None),
            (0, Some(200), None),
            (0, Some(149), Some(151)),
            (0, Some(80), Some(97)),
            (120, Some(200), Some(237)),
            (120, Some(300), None),
        ] {
            let mut policy = CopyPolicy::new();
            let plan = policy.update(&loss(permille), &path(capacity), at(0));
            let found = policy.wanted_kbps(&path(capacity));
            assert_eq!(found, wanted, "{permille} {capacity:?} {plan:?}");
            if let Some(kbps) = found {
                let mut policy = CopyPolicy::new();
                let better = policy.update(&loss(permille), &path(Some(kbps)), at(0));
                assert_ne!(better, plan);
            }
        }
    }

    #[test]
    fn room_that_comes_and_goes_changes_nothing_and_room_that_stays_is_used_after_five_seconds() {
        let mut policy = CopyPolicy::new();
        let mut frames = |kbps: Option<u32>, s: i64| {
            let plan = policy.update(&loss(0), &path(kbps), at(s));
            assert_eq!(plan.count(), 0);
            plan.frames()
        };
        assert_eq!([frames(None, 0), frames(Some(140), 1)], [1, 2]);
        for s in 2..61 {
            assert_eq!(frames(Some(if s % 4 == 0 { 140 } else { 180 }), s), 2, "at {s} s");
        }
        let later: Vec<u8> = (61..76).map(|s| frames(Some(160 + s as u32), s)).collect();
        assert_eq!((later[4], later[5]), (2, 1));
        assert_eq!(frames(Some(60), 80), 4, "less counts at once");
        assert_eq!([frames(None, 81), frames(None, 85), frames(None, 86)], [4, 4, 1]);
    }

    #[test]
    fn the_bitrate_rises_where_all_paths_have_room_and_falls_at_once() {
        let mut auto = AutoBitrate::new(FrameLength::Full);
        let well = PathState { others_kbps: 500, ..PathState::default() };
        let lossy = PathState { report: loss(40), ..well };
        let mut run = |paths: &[PathState], s: i64| auto.update(paths.iter().copied(), at(s));
        assert_eq!(run(&[], 0), 32);
        let kbps: Vec<_> = (0..=10).map(|s| run(&[well, well], s)).collect();
        assert_eq!([kbps[0], kbps[4], kbps[5], kbps[9], kbps[10]], [32, 32, 48, 48, 64]);
        assert_eq!(run(&[well, lossy], 11), 32);
        assert_eq!((12..42).map(|s| run(&[well, well], s)).max(), Some(32), "30 s of patience");
        assert_eq!(run(&[well, well], 42), 48);
        let full = PathState { capacity_kbps: Some(640), ..well };
        assert_eq!(run(&[full], 43), 32, "560 of 640 is too much");
        let queue = PathState { queue_micros: 40_000, ..well };
        assert_eq!((43..90).map(|s| run(&[queue], s)).max(), Some(32));
        assert_eq!(AutoBitrate::new(FrameLength::Half).kbps(), 80);
    }
}
