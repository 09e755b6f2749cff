//! The sending side: how much may be sent to one peer, from what it reports.
//!
//! Belongs to the control thread; pure. See the parent's page for the algorithm and its source.

use super::meter::PathReport;
use crate::units::Micros;

/// Kept free for heartbeats, stamps and reports, kbit/s (PRD 5.4's 5 and the rest of a burst).
pub const CONTROL_KBPS: u32 = 8;
/// Where an estimate begins: audio with its headers, and a small picture. It doubles in a second.
const START: f64 = 220.0;
/// Audio and the usual picture, kbit/s (PRD 5.4).
const USUAL: f64 = 550.0;
/// Nobody is sent more, kbit/s: three peers' pictures at the highest `--video-bitrate`.
const MOST: f64 = 6_000.0;
/// Less than audio takes with four frames in a packet.
const LEAST: f64 = 40.0;
/// A queue matters from here on, microseconds: two audio packets, and four of a device's blocks.
const QUEUE: f64 = 12_000.0;
/// Five times the path's own jitter may come on top (the least of many is three and a half
/// deviations below the mean, and as much may lie above), as long as the sum is below this.
const QUEUE_MOST: f64 = 90_000.0;
/// Share of what arrives that is sent after a decrease (draft-ietf-rmcat-gcc, beta).
const BETA: f64 = 0.85;
/// As good as all that was sent, of what arrives.
const ALL: f64 = 0.9;
/// What arrives is measured over so long, microseconds; where there is much jitter it is uneven.
const MEASURED: f64 = 400_000.0;
/// Who sends less than this share of the rate does not try it.
const IDLE: f64 = 0.7;
/// Between two decreases lie a round trip and so much, microseconds: a report's interval and its
/// smoothing.
const AGAIN: i64 = 250_000;
/// Video waits no longer than this for a queue to empty: one that does not empty is no queue of ours.
const HOLD: i64 = 2_000_000;
/// The same for a queue of at most [`SHORT_QUEUE`]: audio alone leaves enough of 150 kbit/s to empty
/// it in that time.
const SHORT_HOLD: i64 = 700_000;
/// Microseconds.
const SHORT_QUEUE: f64 = 110_000.0;
/// What is not our queue is put up with, and this share of it on top ...
const TOLERANCE: f64 = 1.2;
/// ... up to here, microseconds.
const TOLERANCE_MOST: f64 = 150_000.0;
/// Without a queue for so long, more may be sent, microseconds.
const CALM: i64 = 500_000;
/// Growth a second: nothing is known against it / below where the path broke / near it and beyond, as
/// long as no more has come through (faster beyond it is what audio feels on a path that has not changed).
const GROWTH: [f64; 3] = [1.0, 0.20, 0.03];
/// Near is from this share of where it broke on ...
const NEAR: f64 = 0.9;
/// ... and at this one growth stops: a path that is used up to its end makes packets wait for each
/// other, and audio in between.
const FULL: f64 = 0.95;
/// So long after it broke more is tried all the same, microseconds, and twice as long each time that it
/// broke there again, up to twice. (Padding finds sooner that a path has become much wider.)
const RETRY: i64 = 10_000_000;
const RETRIES: u32 = 2;
/// Two calm reports in a row of so much more and it is another path than it was (as
/// draft-ietf-rmcat-gcc forgets its link's capacity).
const ANOTHER: f64 = 1.1;
/// One packet of video more or less in what is measured as arriving, kbit/s.
const ONE_PACKET: f64 = 24.0;
/// So long after that growth is that of below, microseconds, and then half of what it is where nothing
/// was ever known.
const CAUTION: i64 = 1_500_000;
const CAUTIOUS: f64 = 0.5;
/// More than this over what arrives is not believed: whoever sends little learns little.
const UNPROVEN: f64 = 1.5;
/// The same in kbit/s where the path cannot be probed, so that with audio alone it can be tried with
/// the smallest picture.
const UNPROVEN_KBPS: f64 = 80.0;
/// A queue so long after a probe is of its making, microseconds: it is gone with it, and what was sent
/// before goes on.
const AFTER_PROBE: i64 = 700_000;
/// No report for so long: nothing arrives, or nothing comes back. Heartbeats alone bring one a second.
const UNHEARD: i64 = 1_500_000;
/// Reports are due twice a second at least: after so long without, what was sent meanwhile is lost, and
/// loss and queues are those of the path's going and coming.
const OUTAGE: i64 = 700_000;
/// Loss that lets the rate grow, and loss that lowers it, tenths of a percent (the draft's 2 and
/// 10 %).
const LOSS: [u16; 2] = [20, 100];
/// Loss lowers the picture's rate once in so long, microseconds.
const LOSS_INTERVAL: i64 = 500_000;
/// Loss counts that lasts for so long, microseconds: what a moment without a path has taken is told
/// for a second.
const LASTING: i64 = 1_200_000;
/// So long after reports have come again loss is that of the time without, microseconds.
const AFTER_OUTAGE: i64 = 2_000_000;
/// Where the picture begins again when the loss is over, kbit/s, and how fast it grows, a second.
const LOSS_BACK: f64 = 50.0;
const LOSS_GROWTH: f64 = 0.25;
/// Loss that may take the whole picture, tenths of a percent: a keyframe of four packets comes whole
/// in a quarter of all tries.
const HOPELESS: u16 = 280;
/// Below that, loss leaves so much, kbit/s: on paths that lose by themselves less does not help.
const LOSS_LEAST: f64 = 80.0;

/// One peer's path as its sender knows it.
#[derive(Clone, Debug)]
pub struct Estimate {
    /// All that may be sent, kbit/s, as delays tell.
    rate: f64,
    /// What loss leaves for the picture, kbit/s.
    loss_rate: f64,
    report: Option<(PathReport, Micros)>,
    /// Reports in a row above the threshold.
    over: u32,
    /// Video waits since then.
    held: Option<Micros>,
    /// The longest queue since then, and the rate before the first cut in it.
    longest: f64,
    before_cut: Option<f64>,
    /// Loss has lowered the picture's rate, and it has not grown back.
    lossy: bool,
    /// Delay that changes by itself and not because of us, microseconds.
    tolerated: f64,
    last_cut: Option<Micros>,
    last_queue: Option<Micros>,
    last_loss: Option<Micros>,
    loss_since: Option<Micros>,
    /// When reports came again after a time without.
    outage: Option<Micros>,
    calm_since: Option<Micros>,
    /// Where the path broke, kbit/s, and when.
    broke: Option<(f64, Micros)>,
    /// How often it had broken near there before.
    again: u32,
    /// What audio may count upon, kbit/s: that, and what has come without a queue since.
    limit: f64,
    /// Calm reports in a row of more than that.
    above: u32,
    /// Nobody probes it.
    unprobed: bool,
    /// When a probe last went on.
    probed: Option<Micros>,
    /// When more came than where it broke.
    forgot: Option<Micros>,
    ticked: Option<Micros>,
    loss: u16,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            rate: START,
            loss_rate: MOST,
            report: None,
            over: 0,
            held: None,
            longest: 0.0,
            before_cut: None,
            lossy: false,
            tolerated: 0.0,
            last_cut: None,
            last_queue: None,
            last_loss: None,
            loss_since: None,
            outage: None,
            calm_since: None,
            broke: None,
            again: 0,
            limit: 0.0,
            above: 0,
            unprobed: false,
            probed: None,
            forgot: None,
            ticked: None,
            loss: 0,
        }
    }
}

impl Estimate {
    /// Of a path that is not probed.
    pub fn unprobed() -> Self {
        Self { unprobed: true, ..Self::default() }
    }

    /// The peer says how our packets arrive. `round_trip` in microseconds; `sent` is the least and
    /// the most that it was sent in the last second, kbit/s, where that is known. Whether it is the first one after a
    /// time without: what was sent in it is lost.
    pub fn report(
        &mut self,
        report: &PathReport,
        round_trip: i64,
        sent: Option<[f64; 2]>,
        now: Micros,
    ) -> bool {
        let before = self.report.replace((*report, now));
        let paused = before.is_some_and(|(_, at)| now.since(at) > OUTAGE);
        if paused {
            self.outage = Some(now);
            // Of the queue in which the path went nothing is known any more.
            (self.over, self.held, self.before_cut) = (0, None, None);
        }
        self.follow(report, before.map(|b| b.0), round_trip, sent, paused, now);
        paused
    }

    fn follow(
        &mut self,
        report: &PathReport,
        before: Option<PathReport>,
        round_trip: i64,
        sent: Option<[f64; 2]>,
        paused: bool,
        now: Micros,
    ) {
        let queue = f64::from(report.queue_micros);
        let limit = threshold(report).max(self.tolerated);
        self.longest = self.longest.max(queue);
        self.tolerated -= (self.tolerated - queue * TOLERANCE).max(0.0) * 0.001;
        if queue <= limit {
            self.over = 0;
            if queue <= (limit / 2.0).max(self.tolerated) {
                self.held = None;
                self.before_cut = None;
                self.calm_since.get_or_insert(now);
                let far = self.broke.map_or(f64::MAX, |(rate, _)| rate * ANOTHER + ONE_PACKET);
                let arrived = f64::from(report.received_kbps);
                // What comes without a queue is carried.
                self.limit = self.limit.max(arrived - ONE_PACKET);
                self.above = if arrived > far { self.above + 1 } else { 0 };
                if self.above >= 2 {
                    self.broke = None;
                    self.forgot = Some(now);
                }
            } else if self.held.is_none() {
                // In between: neither more nor less.
                self.calm_since = None;
            }
            return;
        }
        self.calm_since = None;
        self.above = 0;
        self.last_queue = Some(now);
        self.over += 1;
        if self.held.is_none() {
            self.held = Some(now);
            self.longest = queue;
        }
        let falling =
            before.is_some_and(|b| f64::from(b.queue_micros) > queue + 1_000.0 + queue * 0.02);
        let lately = self.last_cut.is_some_and(|at| now.since(at) < AGAIN + round_trip.max(0));
        // All arrives, and it is far from what might be sent: whatever queue that is, it says nothing
        // of the rate. (A path with an end so near lets less through than is sent.)
        let arrived = f64::from(report.received_kbps);
        let uneven = f64::from(report.noise_micros) * 6.0 / MEASURED;
        // Of speech with silence in between any second's least may be what came.
        let idle = sent.is_some_and(|[least, most]| {
            arrived >= least * (ALL - uneven) && most < self.rate * IDLE
        });
        let probed = self.probed.is_some_and(|at| now.since(at) < AFTER_PROBE);
        if self.over < 2 || falling || lately || paused || idle || probed {
            self.learn(arrived, now);
            return;
        }
        // While a queue stands, what arrives is what the path carries.
        let carried = arrived.min(self.rate);
        if self.before_cut.is_none() {
            let there = self
                .broke
                .is_some_and(|(rate, _)| (rate / ANOTHER..rate * ANOTHER).contains(&carried));
            self.again = if there { self.again + 1 } else { 0 };
        }
        self.before_cut.get_or_insert(self.rate);
        self.broke = Some((carried, now));
        self.limit = carried;
        self.rate = (carried * BETA).clamp(LEAST, self.rate);
        self.last_cut = Some(now);
    }

    /// The queue still stands after a decrease: part of what was taken for the path's rate then had been
    /// measured before it stood. Audio counts upon the most of it.
    fn learn(&mut self, arrived: f64, now: Micros) {
        let lately = self.last_cut.is_some_and(|at| now.since(at) < AGAIN);
        if let Some(before) = self.before_cut.filter(|_| lately && self.over >= 2) {
            self.limit = self.limit.max(arrived.min(before));
        }
    }

    /// A probe goes on, of this path or of another one by the same uplink.
    pub fn probing(&mut self, now: Micros) {
        self.probed = Some(now);
    }

    /// A probe has shown that the path carries so much, kbit/s.
    pub fn shown(&mut self, kbps: f64, now: Micros) {
        self.rate = self.rate.max(kbps.min(MOST));
        self.limit = self.limit.max(kbps);
        if self.broke.is_some_and(|(rate, _)| kbps > rate * ANOTHER) {
            self.broke = None;
            self.forgot = Some(now);
        }
    }

    /// Share of our packets that the peer misses, tenths of a percent of the last second;
    /// `video_kbps` is what it is sent of the picture.
    pub fn loss(&mut self, permille: u16, video_kbps: u32, now: Micros) {
        self.loss = permille;
        if permille < LOSS[1] || self.outage.is_some_and(|at| now.since(at) < AFTER_OUTAGE) {
            self.loss_since = None;
            return;
        }
        let since = *self.loss_since.get_or_insert(now);
        if now.since(since) < LASTING
            || self.last_loss.is_some_and(|at| now.since(at) < LOSS_INTERVAL)
        {
            return;
        }
        self.last_loss = Some(now);
        self.lossy = true;
        let sent = self.loss_rate.min(f64::from(video_kbps).max(LOSS_LEAST));
        let least = if permille >= HOPELESS { 0.0 } else { LOSS_LEAST };
        self.loss_rate = (sent * (1.0 - 0.5 * f64::from(permille) / 1_000.0)).max(least);
        if permille >= HOPELESS && self.loss_rate < LOSS_LEAST * 0.8 {
            self.loss_rate = 0.0;
        }
    }

    /// Lets the rates grow. Some times a second.
    pub fn tick(&mut self, now: Micros) {
        let elapsed = self.ticked.map_or(0, |last| now.since(last).clamp(0, 1_000_000));
        self.ticked = Some(now);
        let seconds = elapsed as f64 / 1e6;
        let patience = if self.longest <= SHORT_QUEUE { SHORT_HOLD } else { HOLD };
        if self.held.is_some_and(|since| now.since(since) > patience) {
            // Without video it has not gone: it is not ours, and the rate was right.
            self.held = None;
            self.over = 0;
            let last = self.report.map_or(0.0, |(r, _)| f64::from(r.queue_micros));
            let alike = self.longest.min(last * 2.0);
            self.tolerated = (alike * TOLERANCE).min(TOLERANCE_MOST).max(self.tolerated);
            if let Some(rate) = self.before_cut.take()
                && self.longest <= SHORT_QUEUE
            {
                self.rate = self.rate.max(rate);
                self.broke = None;
            }
        }
        if self.loss < LOSS[0] {
            let grown = self.loss_rate.max(LOSS_BACK) * (1.0 + LOSS_GROWTH * seconds);
            self.loss_rate = grown.min(MOST);
            self.lossy &= self.loss_rate < USUAL;
        }
        let Some((report, at)) = self.report else { return };
        let calm = self.calm_since.is_some_and(|since| now.since(since) >= CALM);
        // Some loss that comes without a queue is the path's own, and leaves the usual picture.
        let lossy = self.loss >= LOSS[1] || self.loss >= LOSS[0] && self.rate >= USUAL;
        if !calm || lossy || now.since(at) > UNHEARD {
            return;
        }
        let growth = match self.broke {
            None if self.forgot.is_some_and(|at| now.since(at) < CAUTION) => GROWTH[1],
            None if self.forgot.is_some() => GROWTH[0] * CAUTIOUS,
            None => GROWTH[0],
            Some((rate, _)) if self.rate < rate * NEAR => GROWTH[1],
            Some((rate, at)) if self.rate >= rate * FULL && now.since(at) < self.retry() => 0.0,
            Some(_) => GROWTH[2],
        };
        let proven = f64::from(report.received_kbps);
        let unprobed = if self.unprobed { proven + UNPROVEN_KBPS } else { 0.0 };
        let most = (proven * UNPROVEN).max(unprobed).min(MOST);
        let grown = self.rate * (1.0 + growth * seconds);
        self.rate = self.rate.max(grown.min(most));
    }

    /// When more than the path has carried is tried again, microseconds after it broke.
    fn retry(&self) -> i64 {
        RETRY << self.again.min(RETRIES)
    }

    /// All that may be sent to the peer, kbit/s.
    pub fn kbps(&self) -> f64 {
        self.rate
    }

    /// What the path carries, kbit/s, where an end of it has been found; `None` where nothing is known
    /// against sending more. What has been seen to arrive, not what [`Self::kbps`] hopes for: audio
    /// counts upon it.
    pub fn limit_kbps(&self) -> Option<f64> {
        match self.broke {
            None if self.rate >= START => None,
            _ => Some(self.limit),
        }
    }

    /// An end of the path has been found, or loss says that there is one.
    pub fn is_known(&self) -> bool {
        self.broke.is_some() || self.lossy || self.rate < START
    }

    /// What of it the picture may have, when audio takes that much with all headers, kbit/s.
    pub fn video_kbps(&self, audio_kbps: f64) -> f64 {
        (self.rate - audio_kbps - f64::from(CONTROL_KBPS)).min(self.loss_rate).max(0.0)
    }

    /// Video is to wait: a queue is there, and it would be in front of audio; or nothing is heard.
    pub fn holds(&self, now: Micros) -> bool {
        self.held.is_some() || self.is_unheard(now)
    }

    /// When a queue was last found, if one was.
    pub fn last_queue(&self) -> Option<Micros> {
        self.last_queue
    }

    /// There is a queue, put up with or not.
    pub fn is_queued(&self) -> bool {
        self.report.is_some_and(|(r, _)| f64::from(r.queue_micros) > threshold(&r))
    }

    /// Without a queue for so long, microseconds; 0 while there is one.
    pub fn calm(&self, now: Micros) -> i64 {
        self.calm_since.map_or(0, |since| now.since(since).max(0))
    }

    /// Lost lately, tenths of a percent.
    pub fn lost(&self) -> u16 {
        self.loss
    }

    /// What arrived at the last report, kbit/s.
    pub fn arrived_kbps(&self) -> f64 {
        self.report.map_or(0.0, |(r, _)| r.received_kbps.into())
    }

    /// Reports have stopped coming.
    pub fn is_unheard(&self, now: Micros) -> bool {
        self.report.is_some_and(|(_, at)| now.since(at) > UNHEARD)
    }

    /// What stood in queues at the last report, microseconds.
    pub fn queue_micros(&self) -> u32 {
        self.report.map_or(0, |(r, _)| r.queue_micros)
    }
}

/// Lets peers whose paths broke together have the same: what broke is the own uplink, and who was
/// heard first must not keep the least. Who has less than half of the most has a path of its own that
/// is thin.
pub fn share(estimates: &mut [&mut Estimate]) {
    let most = estimates.iter().map(|e| e.rate).fold(0.0, f64::max);
    let alike = |e: &&mut &mut Estimate| e.rate >= most / 2.0;
    let (mut sum, mut count) = (0.0, 0.0);
    for estimate in estimates.iter_mut().filter(alike) {
        sum += estimate.rate;
        count += 1.0;
    }
    for estimate in estimates.iter_mut().filter(alike) {
        estimate.rate += (sum / count - estimate.rate) * 0.25;
    }
}

fn threshold(report: &PathReport) -> f64 {
    (QUEUE + 5.0 * f64::from(report.noise_micros)).min(QUEUE_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(queue_ms: u32, kbps: u16) -> PathReport {
        PathReport { queue_micros: queue_ms * 1_000, noise_micros: 0, received_kbps: kbps }
    }

    #[test]
    fn a_standing_queue_lowers_the_rate_below_what_arrives_and_holds_video_until_it_is_gone() {
        let mut e = Estimate::default();
        e.report(&told(20, 300), 40_000, None, Micros(100_000));
        assert!(e.holds(Micros(100_000)), "at once");
        assert_eq!(e.kbps(), START, "one report may be a stall of the radio");
        e.report(&told(60, 200), 40_000, None, Micros(125_000));
        assert_eq!(e.kbps(), 170.0);
        assert_eq!(e.limit_kbps(), Some(200.0));
        e.report(&told(59, 200), 40_000, None, Micros(225_000));
        assert_eq!(e.kbps(), 170.0, "not again within a round trip");
        e.report(&told(4, 123), 40_000, None, Micros(500_000));
        assert!(!e.holds(Micros(500_000)));
    }

    #[test]
    fn a_stall_that_drains_by_itself_costs_nothing_but_a_pause() {
        let mut e = Estimate::default();
        for (queue, at) in [(200, 0), (150, 25), (90, 50), (30, 75), (2, 100)] {
            e.report(&told(queue, 900), 40_000, None, Micros(at * 1_000));
        }
        assert_eq!(e.kbps(), START);
        assert!(!e.holds(Micros(100_000)));
    }

    #[test]
    fn without_trouble_the_rate_grows_as_far_as_what_arrives_proves() {
        let mut e = Estimate::default();
        for n in 0..100 {
            let now = Micros(n * 100_000);
            e.report(&told(1, 500), 40_000, None, now);
            e.tick(now);
        }
        assert!((740.0..=750.0).contains(&e.kbps()), "{}", e.kbps());
        assert_eq!(e.limit_kbps(), None);
    }

    #[test]
    fn a_path_s_known_end_is_kept_away_from_and_tried_ever_more_rarely() {
        // All that may be sent is sent, over a path of 400 kbit/s with a queue behind that.
        let (mut e, mut cuts) = (Estimate::default(), Vec::new());
        for n in 0..3_000i64 {
            let now = Micros(n * 50_000);
            let over = e.kbps() > 400.0;
            let before = e.kbps();
            e.report(&told(if over { 60 } else { 1 }, before.min(400.0) as u16), 40_000, None, now);
            e.tick(now);
            if e.kbps() < before {
                cuts.push(n / 20);
            }
        }
        let apart: Vec<i64> = cuts.windows(2).map(|w| w[1] - w[0]).collect();
        // 10, 20 and 40 s, and what the way up takes.
        assert!(matches!(apart[..], [10..14, 20..24, 40..44, ..]), "{apart:?}");
        assert!(apart[3..].iter().all(|s| (40..44).contains(s)), "{apart:?}");
    }

    #[test]
    fn loss_lowers_the_picture_and_never_what_audio_is_told() {
        let mut e = Estimate::default();
        for n in 0..100 {
            let now = Micros(n * 100_000);
            e.report(&told(1, 500), 40_000, None, now);
            e.loss(150, e.video_kbps(123.0) as u32, now);
            e.tick(now);
        }
        assert_eq!(e.video_kbps(123.0), LOSS_LEAST);
        assert_eq!(e.limit_kbps(), None, "{}", e.kbps());
        for n in 100..200 {
            e.loss(300, e.video_kbps(123.0) as u32, Micros(n * 100_000));
        }
        assert_eq!(e.video_kbps(123.0), 0.0);
    }

    #[test]
    fn a_queue_on_a_path_that_is_hardly_used_does_not_lower_the_rate() {
        let mut e = Estimate::default();
        for n in 0..4 {
            e.report(&told(40, 123), 40_000, Some([125.0; 2]), Micros(n * 100_000));
        }
        assert_eq!((e.kbps(), e.is_known()), (START, false));
        // It lets through less than audio alone.
        for n in 4..8 {
            e.report(&told(40, 90), 40_000, Some([125.0; 2]), Micros(n * 100_000));
        }
        assert!(e.kbps() < 90.0 && e.is_known());
    }

    #[test]
    fn a_microphone_s_gap_in_silence_is_no_queue_on_a_path_of_33_kbit_s() {
        let mut e = Estimate::default();
        for n in 0..10 {
            let at = Micros(n * 100_000);
            // Words have just been 123 kbit/s; the packets' numbers stood still for 22 ms.
            e.report(&told(22, 33), 40_000, Some([33.0, 123.0]), at);
            e.tick(at);
        }
        assert_eq!((e.kbps(), e.limit_kbps()), (START, None));
    }

    #[test]
    fn what_an_outage_has_taken_is_no_congestion() {
        let mut e = Estimate::default();
        e.report(&told(1, 500), 40_000, None, Micros(0));
        // A second without a path is told as loss of 100 % and less for the second after it.
        for n in 0..11 {
            e.loss(1_000 - n * 90, 400, Micros(1_000_000 + i64::from(n) * 100_000));
        }
        assert!(e.video_kbps(0.0) > 200.0 && !e.is_known());
        e.report(&told(1, 500), 40_000, None, Micros(4_000_000));
        for n in 0..15 {
            e.loss(1_000, 400, Micros(4_000_000 + n * 100_000));
        }
        assert!(e.video_kbps(0.0) > 200.0 && !e.is_known());
    }

    #[test]
    fn a_queue_that_is_not_ours_holds_video_for_two_seconds_at_most_and_is_then_put_up_with() {
        let mut e = Estimate::default();
        for n in 0..30 {
            let now = Micros(n * 100_000);
            e.report(&told(120, 500), 40_000, None, now);
            e.tick(now);
            assert_eq!(e.holds(now), n <= 20, "{n}");
        }
        // A shorter one is known sooner, and what was cut because of it comes back.
        let mut e = Estimate::default();
        for n in 0..30 {
            let now = Micros(n * 100_000);
            e.report(&told(50, 500), 40_000, None, now);
            e.tick(now);
            assert_eq!(e.holds(now), n <= 7, "{n}");
        }
        assert!(e.kbps() >= START && e.limit_kbps().is_none());
    }

    #[test]
    fn after_an_outage_the_rate_is_what_it_was() {
        let mut e = Estimate::default();
        e.report(&told(1, 500), 40_000, None, Micros(0));
        assert!(e.holds(Micros(1_600_000)), "nothing is sent into a dead path");
        e.report(&told(90, 100), 40_000, None, Micros(3_000_000));
        e.report(&told(1, 500), 40_000, None, Micros(3_025_000));
        assert!(!e.holds(Micros(3_025_000)));
        assert_eq!(e.kbps(), START);
    }
}
