//! The receiving side: what one peer's packets tell of the path that they came by.
//!
//! Belongs to the receive thread: allocates nothing. It decides when a report is due: ten times a
//! second while there is something to tell, forty times while a queue grows, twice in calm.

use crate::units::Micros;

/// Reports come this often while they matter, microseconds (the PRD's feedback).
const INTERVAL: i64 = 100_000;
/// With neither video nor a queue nor jitter that changes, this often.
const CALM_INTERVAL: i64 = 500_000;
/// While a queue grows, this often.
const URGENT_INTERVAL: i64 = 25_000;
/// Audio packets of which an urgent report takes the least delay: that of fewer is jitter.
const BLOCK: u32 = 5;
/// A queue is told of at once from here on, over five times the jitter, microseconds.
const URGENT: i64 = 12_000;
/// Jitter that a single block's delay is not taken for, microseconds.
const QUIET: i64 = 3_000;
/// The least delay is that of the last one to two of these, microseconds: long enough to have seen
/// an empty queue, short enough that two clocks that part by 100 ppm differ by 2 ms.
const WINDOW: i64 = 10_000_000;
/// A block this much later than the one before it, microseconds, is no queue that has grown in a block's
/// time: the other end has stood still (it slept, its card lost sound) and its numbers with it.
const STOOD_STILL: i64 = 2_000_000;
/// Nothing came for so long: what is measured before and after does not belong together. The rate's
/// window, and longer than silence is ever without a packet.
const PAUSE: i64 = 400_000;
/// After that the first packet is told of at once, for the other end may have stopped its picture, and
/// for so long as often as a picture is, microseconds.
const BACK: i64 = 1_000_000;
/// Slots of the rate's window ...
const SLOTS: usize = 8;
/// ... and the length of each, microseconds: 400 ms and the one that fills.
const SLOT: i64 = 50_000;

/// What the receiving end of a path has measured; sent to the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathReport {
    /// Least delay of the interval over the least of the last 10 to 20 s, microseconds: what stands
    /// in queues.
    pub queue_micros: u32,
    /// How much that least delay changes from one interval to the next, microseconds: jitter.
    pub noise_micros: u32,
    /// What arrived in the last 400 ms, all headers counted, kbit/s.
    pub received_kbps: u16,
}

/// How much a least delay changes from one time to the next.
#[derive(Clone, Debug)]
struct Noise {
    previous: Option<i64>,
    micros: i64,
}

impl Default for Noise {
    fn default() -> Self {
        Self { previous: None, micros: 1_000 }
    }
}

impl Noise {
    fn learn(&mut self, low: i64) {
        if let Some(previous) = self.previous.replace(low) {
            // A path that breaks is not a path that jitters: one step teaches little.
            let believed = (low - previous).abs().min(self.micros * 3 + 1_000);
            self.micros += (believed - self.micros) / 16;
        }
    }
}

/// Measures one peer's path. See the module's page.
#[derive(Clone, Debug)]
pub struct PathMeter {
    /// Length of the peer's audio frames, microseconds.
    frame: i64,
    last: Option<Micros>,
    /// Least relative delay of the window that fills and of the one before.
    least: [Option<i64>; 2],
    window_began: Micros,
    /// Of the interval that fills.
    low: Option<i64>,
    video: bool,
    began: Micros,
    intervals: Noise,
    /// The same for [`BLOCK`] packets: so many of them so far.
    packets: u32,
    block: i64,
    blocks: Noise,
    told: i64,
    slots: [u32; SLOTS],
    slot: i64,
    /// When the rate's window begins to be true.
    filled_from: Micros,
    /// When packets last came again after a pause.
    back: Option<Micros>,
    /// The next packet is such a one.
    moved: bool,
}

impl PathMeter {
    /// For a peer whose audio frames are that long, microseconds.
    pub fn new(frame_micros: i64) -> Self {
        Self {
            frame: frame_micros.max(1),
            last: None,
            least: [None; 2],
            window_began: Micros(0),
            low: None,
            video: false,
            began: Micros(0),
            intervals: Noise::default(),
            packets: 0,
            block: i64::MAX,
            blocks: Noise::default(),
            told: 0,
            slots: [0; SLOTS],
            slot: 0,
            filled_from: Micros(0),
            back: None,
            moved: false,
        }
    }

    /// The peer is heard by another way from now on: its delays are others.
    pub fn moved(&mut self) {
        *self = Self { moved: true, ..Self::new(self.frame) };
    }

    /// An audio packet whose newest frame has that number; `bytes` with all headers.
    pub fn audio(&mut self, sequence: u64, at: Micros, bytes: usize) -> Option<PathReport> {
        self.count(at, bytes);
        // Numbers that no call reaches are cut, so that the arithmetic cannot overflow.
        let said = (sequence & 0xFFFF_FFFF) as i64 * self.frame;
        let delay = at.0 - said;
        self.low = Some(self.low.map_or(delay, |low| low.min(delay)));
        self.least[0] = Some(self.least[0].map_or(delay, |least| least.min(delay)));
        self.block = self.block.min(delay);
        self.packets += 1;
        let before = self.blocks.previous.map_or(0, |low| self.queue(low));
        if self.packets < BLOCK {
            // Its numbers may have stood still: the block will tell.
            let stood = self.queue(delay) - before > STOOD_STILL;
            return if stood { None } else { self.due(at) };
        }
        let block = std::mem::replace(&mut self.block, i64::MAX);
        self.packets = 0;
        let queue = self.queue(block);
        let noise = self.blocks.micros;
        // Where there is much jitter one block proves nothing.
        if queue - before > STOOD_STILL {
            self.moved();
            return None;
        }
        let proven = noise < QUIET || before > URGENT + 5 * noise;
        let urgent = proven && queue > URGENT + 5 * noise && queue > self.told + URGENT / 4;
        self.blocks.learn(block);
        if !urgent || at.since(self.began) < URGENT_INTERVAL {
            return self.due(at);
        }
        Some(self.report(at, queue, noise))
    }

    /// Any other packet.
    pub fn other(&mut self, video: bool, at: Micros, bytes: usize) -> Option<PathReport> {
        self.count(at, bytes);
        self.video |= video;
        self.due(at)
    }

    fn count(&mut self, at: Micros, bytes: usize) {
        if self.last.is_none_or(|last| at.since(last) > PAUSE) {
            // The least delays stay: the path is the same one unless somebody says otherwise.
            self.low = None;
            self.told = 0;
            self.packets = 0;
            self.block = i64::MAX;
            self.began = at;
            self.filled_from = at;
            self.slots = [0; SLOTS];
            if self.last.is_some() || self.moved {
                self.back = Some(at);
                self.moved = false;
                // Where there is jitter one packet's delay is none: five are waited for.
                let wait = if self.blocks.micros < QUIET { 0 } else { URGENT_INTERVAL };
                self.began = at + (wait - INTERVAL);
            }
            if self.last.is_none() {
                self.window_began = at;
            }
        }
        let slot = at.0.div_euclid(SLOT);
        for passed in (self.slot + 1..=slot).rev().take(SLOTS) {
            self.slots[passed.rem_euclid(SLOTS as i64) as usize] = 0;
        }
        self.slot = self.slot.max(slot);
        let here = &mut self.slots[slot.rem_euclid(SLOTS as i64) as usize];
        *here = here.saturating_add(bytes as u32);
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if at.since(self.window_began) >= WINDOW {
            self.window_began = at;
            self.least = [None, self.least[0]];
        }
    }

    fn queue(&self, low: i64) -> i64 {
        let base = self.least.iter().flatten().min();
        base.map_or(0, |base| (low - base).max(0))
    }

    fn due(&mut self, at: Micros) -> Option<PathReport> {
        let queue = self.low.map_or(self.told, |low| self.queue(low));
        let back = self.back.is_some_and(|back| at.since(back) < BACK);
        let restless = self.video || back || self.told.max(queue) > 5_000;
        let interval = if restless { INTERVAL } else { CALM_INTERVAL };
        if at.since(self.began) < interval {
            return None;
        }
        // Without audio (a lost microphone) there is no delay to tell, but a rate.
        if let Some(low) = self.low {
            self.intervals.learn(low);
        }
        Some(self.report(at, queue, self.intervals.micros))
    }

    fn report(&mut self, at: Micros, queue: i64, noise: i64) -> PathReport {
        self.told = queue;
        self.low = None;
        self.video = false;
        self.began = at;
        PathReport {
            queue_micros: queue.clamp(0, i64::from(u32::MAX)) as u32,
            noise_micros: noise.clamp(0, i64::from(u32::MAX)) as u32,
            received_kbps: self.rate(at),
        }
    }

    /// kbit/s over the whole slots before the one that fills, and that one.
    fn rate(&self, at: Micros) -> u16 {
        let into = at.0.rem_euclid(SLOT);
        let window = ((SLOTS as i64 - 1) * SLOT + into).min(at.since(self.filled_from));
        let bytes: u64 = self.slots.iter().map(|&b| u64::from(b)).sum();
        // bytes * 8 / microseconds * 1000.
        (bytes * 8_000 / window.max(SLOT) as u64).min(u64::from(u16::MAX)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `seconds` of audio packets with the delay that `delay` gives, microseconds.
    fn feed(
        meter: &mut PathMeter,
        from: u64,
        packets: u64,
        delay: impl Fn(u64) -> i64,
    ) -> Vec<(i64, PathReport)> {
        let mut reports = Vec::new();
        for n in from..from + packets {
            let at = Micros(n as i64 * 5_000 + delay(n));
            reports.extend(meter.audio(n, at, 77).map(|r| (at.0, r)));
        }
        reports
    }

    #[test]
    fn a_calm_path_is_reported_twice_a_second_and_one_with_video_ten_times() {
        let mut meter = PathMeter::new(5_000);
        let calm = feed(&mut meter, 0, 2_000, |_| 20_000);
        assert!((19..=21).contains(&calm.len()), "{}", calm.len());
        let (_, last) = calm.last().unwrap();
        assert_eq!((last.queue_micros, last.received_kbps), (0, 124));
        let mut reports = 0;
        for n in 2_000..4_000u64 {
            let at = Micros(n as i64 * 5_000 + 20_000);
            reports += usize::from(meter.audio(n, at, 77).is_some());
            if n % 8 == 0 {
                reports += usize::from(meter.other(true, at, 1_178).is_some());
            }
        }
        assert!((95..=105).contains(&reports), "{reports}");
    }

    #[test]
    fn a_queue_that_grows_is_told_within_30_ms_of_12_ms_and_again_as_it_grows() {
        let mut meter = PathMeter::new(5_000);
        feed(&mut meter, 0, 1_000, |_| 20_000);
        // From packet 1,000 on each waits 2 ms more than the one before.
        let told = feed(&mut meter, 1_000, 100, |n| 20_000 + (n as i64 - 999) * 2_000);
        let (first, report) = told.iter().find(|(_, r)| r.queue_micros > 12_000).unwrap();
        let grown = first - 1_000 * 5_000 - 20_000;
        assert!(grown <= 100_000, "{grown} us");
        assert!(report.queue_micros <= 40_000, "{report:?}");
        let growing: Vec<_> = told.iter().map(|(_, r)| r.queue_micros).collect();
        assert!(growing.len() >= 8 && growing.is_sorted(), "{growing:?}");
    }

    #[test]
    fn jitter_is_told_as_noise_and_not_as_a_queue() {
        let mut meter = PathMeter::new(5_000);
        let mut seed = 1u64;
        let jitter: Vec<i64> = (0..20_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 33) as i64 % 100_000
            })
            .collect();
        let reports = feed(&mut meter, 0, 20_000, |n| jitter[n as usize]);
        let late = &reports[reports.len() / 2..];
        let beyond = |r: &PathReport| r.queue_micros > (12_000 + 5 * r.noise_micros).min(90_000);
        let false_alarms = late.iter().filter(|(_, r)| beyond(r)).count();
        assert!(false_alarms * 50 < late.len(), "{false_alarms} of {}", late.len());
    }

    #[test]
    fn a_sender_that_stood_still_has_no_queue_and_a_line_that_is_clogged_for_seconds_has_one() {
        for seconds in [3, 5, 60] {
            let mut meter = PathMeter::new(5_000);
            feed(&mut meter, 0, 1_000, |_| 20_000);
            let after = feed(&mut meter, 1_000, 400, |_| 20_000 + seconds * 1_000_000);
            assert!(!after.is_empty());
            assert!(after.iter().all(|(_, r)| r.queue_micros == 0), "{seconds} s: {after:?}");
        }
        let mut meter = PathMeter::new(5_000);
        feed(&mut meter, 0, 1_000, |_| 20_000);
        let clogged = feed(&mut meter, 1_000, 1_000, |n| 20_000 + (n as i64 - 999) * 5_000);
        assert!(clogged.last().is_some_and(|(_, r)| r.queue_micros > 4_000_000));
    }

    #[test]
    fn after_a_pause_the_first_packet_is_told_of_and_a_second_long_all_as_often_as_a_picture() {
        for (pause, jitter) in [(500, 0), (3_000, 0), (4_900, 40_000)] {
            let mut meter = PathMeter::new(5_000);
            let delay = |n: u64| 20_000 + (n * 7_919 % 41) as i64 * jitter / 40;
            feed(&mut meter, 0, 4_000, delay);
            let first = 4_000 + pause / 5;
            let told = feed(&mut meter, first, 600, delay);
            let since: Vec<i64> =
                told.iter().map(|(at, _)| (at - first as i64 * 5_000 - 20_000) / 1_000).collect();
            assert!(since[0] <= if jitter > 0 { 70 } else { 0 }, "{pause}: {since:?}");
            let soon = since.iter().filter(|at| **at < 1_000).count();
            assert!((8..=11).contains(&soon) && since.len() <= soon + 8, "{pause}: {since:?}");
            let beyond = |r: &PathReport| r.queue_micros > 12_000 + 5 * r.noise_micros;
            assert!(!told.iter().any(|(_, r)| beyond(r)), "{pause}: {told:?}");
        }
        // A line that held everything back, and another way.
        let mut meter = PathMeter::new(5_000);
        feed(&mut meter, 0, 1_000, |_| 20_000);
        let told = feed(&mut meter, 1_000, 40, |_| 3_020_000);
        assert!(!told.is_empty() && told[0].0 <= 1_000 * 5_000 + 3_020_000 + 50_000, "{told:?}");
    }

    #[test]
    fn another_way_and_a_drifting_card_are_no_queue() {
        let mut meter = PathMeter::new(5_000);
        feed(&mut meter, 0, 1_000, |_| 20_000);
        meter.moved();
        let after = feed(&mut meter, 1_000, 1_000, |_| 90_000);
        assert!(after.iter().all(|(_, r)| r.queue_micros == 0), "{after:?}");
        let mut meter = PathMeter::new(5_000);
        let drifting = feed(&mut meter, 0, 24_000, |n| 20_000 + n as i64 * 5_000 / 10_000);
        assert!(drifting.iter().all(|(_, r)| r.queue_micros <= 2_000), "100 ppm");
    }
}
