//! Spreads video over time: how many bytes of it may leave at each audio frame boundary.
//!
//! Credit grows with time at the pacing rate and is capped at one packet (or one boundary's worth
//! where the rate is higher), so fragments leave evenly and a burst cannot exist. [`Line`] sees to it
//! that audio never waits behind more than one packet of it. Both are
//! pure, allocate nothing, and are cheap enough for the talk thread.

use crate::units::Micros;

/// Pacing rate over video rate. Above 1, so that a keyframe (four mean frames) is gone within two
/// frames' time and deltas leave at once; the live target of 400 kbit/s is paced at 1 Mbit/s, at
/// which a packet occupies the line for under 10 ms.
const HEADROOM_PERCENT: u64 = 250;
/// Largest packet of video without its headers, bytes: the credit that one needs.
pub const PACKET: usize = 1_150;
/// The talk thread's boundary, microseconds.
const BOUNDARY: u64 = 5_000;
/// A queue in front of the own uplink is believed to be no longer than this, microseconds: the time of
/// one packet at 40 kbit/s. A line that was taken for slower than it is would be busy long after.
const MOST_BUSY: i64 = 250_000;

/// Byte-microseconds: credit is exact at any rate, with no rounding loss between boundaries.
const SCALE: u64 = 8_000;

/// Lets video bytes out evenly. Owned by the thread that sends.
#[derive(Clone, Debug)]
pub struct Pacer {
    /// Pacing rate, kbit/s (= bits a millisecond).
    rate: u64,
    /// Bytes that may leave, times [`SCALE`]; negative after a packet larger than the credit.
    credit: i64,
    last: Option<Micros>,
}

impl Pacer {
    /// For video of `rate_kbps`; the pacing rate is higher by the headroom above.
    pub fn new(rate_kbps: u32) -> Self {
        let mut pacer = Self { rate: 0, credit: 0, last: None };
        pacer.set_rate(rate_kbps);
        pacer.credit = pacer.cap();
        pacer
    }

    /// Follows the encoder's new target.
    pub fn set_rate(&mut self, rate_kbps: u32) {
        self.rate = pacing_rate(rate_kbps);
        self.credit = self.credit.min(self.cap());
    }

    /// Bytes of video that may leave now. A packet may leave when it is not longer than this;
    /// tell [`Pacer::sent`] of it and ask again.
    pub fn budget(&mut self, now: Micros) -> usize {
        let elapsed = self.last.map_or(0, |last| now.since(last).clamp(0, 1_000_000));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        // kbit/s x us = 1/8000 bytes x ... : rate * us / 8000 bytes, kept times SCALE.
        self.credit = (self.credit + elapsed * self.rate as i64).min(self.cap());
        (self.credit.max(0) as u64 / SCALE) as usize
    }

    /// A packet has left.
    pub fn sent(&mut self, bytes: usize) {
        self.credit -= (bytes as u64 * SCALE) as i64;
    }

    /// Microseconds from the last [`Self::budget`] until a packet of so many bytes may leave.
    pub fn wait(&self, bytes: usize) -> i64 {
        let missing = bytes.min(PACKET) as u64 * SCALE;
        let missing = (missing as i64 - self.credit).max(0) as u64;
        missing.div_ceil(self.rate) as i64
    }

    fn cap(&self) -> i64 {
        (PACKET as u64 * SCALE).max(self.rate * BOUNDARY) as i64
    }
}

/// The own uplink as it is believed to be: a line of some rate with a queue in front of it, into which
/// whatever is sent goes.
///
/// A video packet may only enter when none is in there and no audio that had to wait for one. So an
/// audio packet that is sent at any moment is held up by at most one of them, one packet's time at the
/// line's rate, however many peers get copies.
#[derive(Clone, Debug)]
pub struct Line {
    /// kbit/s.
    rate: u64,
    /// When all that was sent has left.
    busy: Micros,
    /// When the last video packet has left, and what came into the queue behind it.
    video: Micros,
}

impl Line {
    /// An idle line of `rate_kbps`.
    pub fn new(rate_kbps: u32) -> Self {
        let past = Micros(i64::MIN / 2);
        Self { rate: u64::from(rate_kbps.max(1)), busy: past, video: past }
    }

    /// The line is believed to be faster or slower from now on.
    pub fn set_rate(&mut self, rate_kbps: u32) {
        self.rate = u64::from(rate_kbps.max(1));
    }

    /// Audio or anything else that does not wait was sent: bytes with all headers.
    pub fn sent(&mut self, bytes: usize, now: Micros) {
        let time = (bytes as u64 * SCALE).div_ceil(self.rate) as i64;
        self.busy = (self.busy.max(now) + time).min(now + MOST_BUSY);
        if self.video > now {
            self.video = self.busy;
        }
    }

    /// A video packet was sent.
    pub fn sent_video(&mut self, bytes: usize, now: Micros) {
        self.sent(bytes, now);
        self.video = self.busy;
    }

    /// When the next video packet may be sent.
    pub fn free_at(&self) -> Micros {
        self.video
    }
}

fn pacing_rate(rate_kbps: u32) -> u64 {
    (u64::from(rate_kbps) * HEADROOM_PERCENT / 100).max(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends whatever there is at 5 ms boundaries; gives (microseconds, bytes) of each packet.
    fn drain(pacer: &mut Pacer, mut packets: Vec<usize>) -> Vec<(i64, usize)> {
        let mut left = Vec::new();
        packets.reverse();
        for tick in 0.. {
            let now = Micros(tick * 5_000);
            while let Some(&bytes) = packets.last() {
                if bytes > pacer.budget(now) {
                    break;
                }
                packets.pop();
                pacer.sent(bytes);
                left.push((now.0, bytes));
            }
            if packets.is_empty() {
                break;
            }
        }
        left
    }

    #[test]
    fn a_keyframe_leaves_one_packet_at_a_time_and_evenly() {
        let mut pacer = Pacer::new(400);
        let left = drain(&mut pacer, vec![1150; 10]);
        let gaps: Vec<i64> = left.windows(2).map(|two| two[1].0 - two[0].0).collect();
        // 1,150 bytes at 1 Mbit/s take 9.2 ms: one or two boundaries.
        assert!(gaps.iter().all(|&gap| (5_000..=10_000).contains(&gap)), "{gaps:?}");
        let total = left.last().expect("ten packets").0;
        assert!((80_000..=90_000).contains(&total), "nine gaps of 9.2 ms, not {total}");
    }

    #[test]
    fn idle_time_saves_up_no_more_than_one_packet() {
        let mut pacer = Pacer::new(400);
        assert_eq!(pacer.budget(Micros(0)), 1150);
        assert_eq!(pacer.budget(Micros(60_000_000)), 1150);
        pacer.sent(1150);
        assert_eq!(pacer.budget(Micros(60_000_000)), 0);
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let mut pacer = Pacer::new(400);
        pacer.budget(Micros(1_000_000));
        pacer.sent(1150);
        assert_eq!(pacer.budget(Micros(0)), 0);
        assert_eq!(pacer.budget(Micros(1_000_000)), 0);
        assert!(pacer.budget(Micros(1_005_000)) > 600);
    }

    #[test]
    fn no_credit_is_lost_to_rounding() {
        let mut pacer = Pacer::new(81);
        pacer.budget(Micros(0));
        pacer.sent(1150);
        let mut sent = 0i64;
        for us in 1..=10_000_000i64 / 100 {
            while pacer.budget(Micros(us * 100)) >= 10 {
                pacer.sent(10);
                sent += 10;
            }
        }
        let expected = 81 * 250 / 100 * 10_000 / 8;
        assert!((expected - sent).abs() <= 20, "{sent} bytes instead of {expected}");
    }

    /// A true line of `kbps` with a queue: when a packet that enters now has left.
    struct Wire {
        kbps: i64,
        busy: i64,
    }

    impl Wire {
        fn enter(&mut self, bytes: usize, now: i64) -> i64 {
            self.busy = self.busy.max(now) + bytes as i64 * 8_000 / self.kbps;
            self.busy
        }
    }

    #[test]
    fn audio_waits_for_no_more_than_one_video_packet_on_a_line_of_one_megabit() {
        const HEADERS: usize = 28;
        const AUDIO: usize = 108 + HEADERS;
        for peers in 1..=3usize {
            let (mut pacer, mut line) = (Pacer::new(400), Line::new(1_000));
            let mut wire = Wire { kbps: 1_000, busy: 0 };
            let (mut longest, mut left) = (0, 0);
            // Copies of video packets that wait: a keyframe of 9 kB every 2 s, small pictures between.
            let mut waiting = std::collections::VecDeque::new();
            let mut random = 1u64;
            let mut now = 0i64;
            let mut boundary = 0i64;
            let mut picture = 0i64;
            while now < 10_000_000 {
                // Woken by the boundary, or when the line is free, never exactly in time.
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let next = boundary.min(line.free_at().0.max(now + 200));
                now = next + (random >> 33) as i64 % 300;
                while picture <= now {
                    let key = picture % 2_000_000 < 41_667;
                    let packets = if key { 8 } else { 1 };
                    let budget = if waiting.len() > 16 * peers { 0 } else { packets };
                    for _ in 0..budget {
                        for peer in 0..peers {
                            waiting.push_back((peer == 0, if key { 1_150 } else { 500 }));
                        }
                    }
                    picture += 41_667;
                }
                if now >= boundary {
                    // Audio goes first; what it would wait for without any video does not count.
                    let audio_alone = peers as i64 * AUDIO as i64 * 8;
                    for _ in 0..peers {
                        line.sent(AUDIO, Micros(now));
                        let gone = wire.enter(AUDIO, now);
                        longest = longest.max(gone - now - audio_alone);
                    }
                    boundary += 5_000;
                }
                while let Some(&(first, bytes)) = waiting.front() {
                    if first && bytes > pacer.budget(Micros(now)) || line.free_at() > Micros(now) {
                        break;
                    }
                    if first {
                        pacer.sent(bytes);
                    }
                    waiting.pop_front();
                    line.sent_video(bytes + HEADERS, Micros(now));
                    wire.enter(bytes + HEADERS, now);
                    left += 1;
                }
            }
            let one = (1_150 + HEADERS as i64) * 8;
            assert!(longest <= one, "{peers} peers: {longest} us, one packet takes {one}");
            assert!(longest > one / 2, "{peers} peers: the line was hardly used ({longest} us)");
            assert!(left > 240, "{peers} peers: video gets what is left ({left} packets)");
        }
    }

    #[test]
    fn more_audio_than_the_line_is_said_to_carry_blocks_video_only_while_that_lasts() {
        let mut line = Line::new(60);
        line.sent_video(1_178, Micros(0));
        let mut now = Micros(0);
        // 123 kbit/s for ten seconds.
        for n in 0..2_000 {
            now = Micros(n * 5_000);
            line.sent(77, now);
            assert!(line.free_at() > now, "audio stands in the queue");
        }
        line.set_rate(1_000);
        let free = (1..).map(|n| now + n * 5_000).find(|&at| {
            line.sent(77, at);
            line.free_at() <= at
        });
        let after = free.expect("an endless search").since(now);
        assert!(after <= 300_000, "{after} us after it has recovered");
    }

    #[test]
    fn the_wait_is_as_long_as_the_credit_takes() {
        let mut pacer = Pacer::new(400);
        pacer.budget(Micros(0));
        assert_eq!(pacer.wait(1150), 0);
        pacer.sent(1150);
        assert_eq!(pacer.wait(1150), 9_200);
        assert_eq!(pacer.budget(Micros(9_200)), 1150);
        pacer.sent(1150);
        assert!(pacer.budget(Micros(9_200 + 9_199)) < 1150);
    }
}
