//! How one peer's packets arrive, before copies mend anything: the report that lets that peer choose
//! its copies.
//!
//! Pure, fixed memory. Belongs to the thread that receives. Counts frames by the sequence: what
//! silence keeps back is no loss, and a frame counts as lost once 80 ms of later ones have come.

use super::packet::AudioPayload;
use crate::units::Micros;

/// Frames after which a missing one is lost: no playout is so deep.
const PATIENCE: u64 = 16;
/// Sequence numbers are 48 bits on the wire's nonce; none is higher.
const MOST_FRAMES: u64 = 1 << 48;
/// A number so far behind the newest one is another stream's.
const ANOTHER_STREAM: u64 = 400;
/// So many frames in a row and the path was gone: no copies would have helped, and it says nothing of
/// the loss to come.
const OUTAGE: u64 = 80;
/// Width of a bucket, microseconds.
const BUCKET: i64 = 100_000;
/// Buckets kept: 10 s.
const BUCKETS: usize = 100;
/// Buckets of the short look: 1 s.
const SHORT: usize = 10;

/// What one peer tells another about its packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceptionReport {
    /// Lost of the last second's frames, tenths of a percent.
    pub loss_1s: u16,
    /// Lost of the last ten seconds' frames, tenths of a percent.
    pub loss_10s: u16,
    /// Mean length of a run of lost frames in the last ten seconds, tenths of a frame; 0 for none.
    pub run: u8,
}

impl ReceptionReport {
    /// As one number, for an atomic.
    pub fn to_bits(self) -> u64 {
        u64::from(self.loss_1s) << 32 | u64::from(self.loss_10s) << 16 | u64::from(self.run)
    }

    /// Back from [`Self::to_bits`].
    pub fn from_bits(bits: u64) -> Self {
        Self { loss_1s: (bits >> 32) as u16, loss_10s: (bits >> 16) as u16, run: bits as u8 }
    }
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    sent: u16,
    lost: u16,
    runs: u16,
}

/// Follows one peer's sequence numbers.
pub struct Reception {
    /// First number that is still open; all before it are counted.
    open: u64,
    /// One past the newest number seen.
    end: u64,
    /// By number modulo 64, for the open ones: here, or kept back.
    here: u64,
    kept: u64,
    silent: bool,
    in_run: bool,
    began: Option<Micros>,
    buckets: [Bucket; BUCKETS],
    bucket: usize,
}

impl Default for Reception {
    fn default() -> Self {
        Self::new()
    }
}

impl Reception {
    /// Nothing has come yet.
    pub fn new() -> Self {
        Self {
            open: 0,
            end: 0,
            here: 0,
            kept: 0,
            silent: false,
            in_run: false,
            began: None,
            buckets: [Bucket::default(); BUCKETS],
            bucket: 0,
        }
    }

    /// A packet has come.
    pub fn push(&mut self, sequence: u64, payload: &AudioPayload<'_>, arrival: Micros) {
        let fresh = u64::from(payload.fresh());
        let Some(first) = sequence.checked_sub(fresh - 1) else { return };
        if sequence >= MOST_FRAMES {
            return;
        }
        let began = *self.began.get_or_insert(arrival);
        let passed = arrival.0.wrapping_sub(began.0);
        if passed >= BUCKET {
            self.turn((passed / BUCKET) as usize);
            self.began = Some(Micros(began.0.wrapping_add(passed / BUCKET * BUCKET)));
        }
        let far = first >= self.end.saturating_add(OUTAGE)
            || sequence.saturating_add(ANOTHER_STREAM) < self.end;
        if self.end == 0 || far {
            (self.open, self.end) = (first, first);
            (self.here, self.kept, self.silent, self.in_run) = (0, 0, false, false);
        }
        if first > self.end {
            // Of a gap after silence only the last frame is known to have been sent, and not even
            // that one if the packet says so.
            let known = match (payload.silence_before, self.silent) {
                (true, _) => first,
                (false, true) => first - 1,
                (false, false) => self.end,
            };
            for number in self.end..first {
                self.extend(number, false, number < known);
            }
        }
        for number in first..=sequence {
            if number >= self.end {
                self.extend(number, true, false);
            } else if number >= self.open {
                self.here |= 1 << (number % 64);
            }
        }
        if sequence + 1 >= self.end {
            self.silent = payload.silence_follows;
        }
    }

    /// How it has been.
    pub fn report(&self) -> ReceptionReport {
        let short = self.sum(SHORT);
        let long = self.sum(BUCKETS);
        let permille = |s: (u32, u32, u32)| (s.1 * 1_000).checked_div(s.0).unwrap_or(0) as u16;
        ReceptionReport {
            loss_1s: permille(short),
            loss_10s: permille(long),
            run: (long.1 * 10).checked_div(long.2).unwrap_or(0).min(255) as u8,
        }
    }

    fn sum(&self, buckets: usize) -> (u32, u32, u32) {
        (0..buckets).fold((0, 0, 0), |sum, back| {
            let b = self.buckets[(self.bucket + BUCKETS - back) % BUCKETS];
            (sum.0 + u32::from(b.sent), sum.1 + u32::from(b.lost), sum.2 + u32::from(b.runs))
        })
    }

    fn turn(&mut self, steps: usize) {
        for _ in 0..steps.min(BUCKETS) {
            self.bucket = (self.bucket + 1) % BUCKETS;
            self.buckets[self.bucket] = Bucket::default();
        }
    }

    fn extend(&mut self, number: u64, here: bool, kept: bool) {
        while self.open + PATIENCE <= number {
            self.close();
        }
        let bit = 1 << (number % 64);
        self.here = if here { self.here | bit } else { self.here & !bit };
        self.kept = if kept { self.kept | bit } else { self.kept & !bit };
        self.end = number + 1;
    }

    /// Counts the oldest open frame.
    fn close(&mut self) {
        let bit = 1 << (self.open % 64);
        let (here, kept) = (self.here & bit != 0, self.kept & bit != 0);
        self.open += 1;
        if kept && !here {
            return;
        }
        let bucket = &mut self.buckets[self.bucket];
        bucket.sent = bucket.sent.saturating_add(1);
        if !here {
            bucket.lost = bucket.lost.saturating_add(1);
            bucket.runs = bucket.runs.saturating_add(u16::from(!self.in_run));
        }
        self.in_run = !here;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::packet::{MAX_AUDIO_PAYLOAD, PacketFlags, parse_payload, write_packet};

    fn push(reception: &mut Reception, number: u64, fresh: usize, flags: PacketFlags) {
        let mut out = [0; MAX_AUDIO_PAYLOAD];
        let frame: &[u8] = &[1];
        let len = write_packet(flags, &[], &vec![frame; fresh], &mut out);
        let payload = parse_payload(&out[..len]).unwrap();
        reception.push(number, &payload, Micros(number as i64 * 5_000));
    }

    const SPEECH: PacketFlags =
        PacketFlags { half_frames: false, silence_follows: false, silence_before: false };

    #[test]
    fn loss_and_its_runs_are_counted_over_one_and_over_ten_seconds() {
        let mut r = Reception::new();
        // 10 s with every twentieth frame lost, then one second with three in a row of each thirty.
        let lost = |n: u64| if n < 2_000 { n % 20 == 7 } else { n % 30 < 3 };
        (0..2_200).filter(|n| !lost(*n)).for_each(|n| push(&mut r, n, 1, SPEECH));
        let report = r.report();
        assert!((90..=110).contains(&report.loss_1s), "{report:?}");
        assert!((50..=60).contains(&report.loss_10s), "{report:?}");
        assert!((10..=13).contains(&report.run), "{report:?}");
        assert_eq!(ReceptionReport::from_bits(report.to_bits()), report);
    }

    #[test]
    fn what_overtakes_or_comes_twice_is_no_loss() {
        let mut r = Reception::new();
        for n in (0..2_000).step_by(8) {
            for k in [3, 1, 0, 2, 7, 7, 6, 5, 4, 0] {
                push(&mut r, n + k, 1, SPEECH);
            }
        }
        assert_eq!(r.report(), ReceptionReport::default());
    }

    #[test]
    fn frames_that_silence_keeps_back_are_no_loss_but_its_packets_can_be_lost() {
        let quiet = PacketFlags { silence_follows: true, silence_before: true, ..SPEECH };
        let mut r = Reception::new();
        for n in (0..2_000).step_by(4) {
            push(&mut r, n, 1, quiet);
        }
        assert_eq!(r.report(), ReceptionReport::default());
        // The first packet of speech is lost: the next one does not say that silence was before.
        push(&mut r, 2_002, 1, SPEECH);
        (2_003..2_100).for_each(|n| push(&mut r, n, 1, SPEECH));
        assert_eq!(r.buckets.iter().map(|b| b.lost).sum::<u16>(), 1);
    }

    #[test]
    fn several_frames_in_a_packet_are_lost_together() {
        let mut r = Reception::new();
        for n in (3..2_003).step_by(4).filter(|n| n % 40 != 3) {
            push(&mut r, n, 4, SPEECH);
        }
        let report = r.report();
        assert!((90..=105).contains(&report.loss_10s), "{report:?}");
        assert_eq!(report.run, 40);
    }

    #[test]
    fn a_path_that_was_gone_for_a_while_is_no_path_that_loses() {
        let mut r = Reception::new();
        (0..1_000).for_each(|n| push(&mut r, n, 1, SPEECH));
        for gone in [80, 200, 399, 980] {
            let from = r.end + gone;
            (from..from + 200).for_each(|n| push(&mut r, n, 1, SPEECH));
            assert_eq!(r.report(), ReceptionReport::default(), "{gone} frames");
        }
        let from = r.end + 60;
        (from..from + 150).for_each(|n| push(&mut r, n, 1, SPEECH));
        assert!(r.report().loss_1s > 200, "{:?}", r.report());
    }

    #[test]
    fn a_new_stream_and_wild_numbers_do_no_harm() {
        let mut r = Reception::new();
        for n in [5_000, u64::MAX, 0, 3, 1 << 40, u64::MAX - 1, 2] {
            let mut out = [0; 8];
            let len = write_packet(SPEECH, &[], &[&[1]], &mut out);
            r.push(n, &parse_payload(&out[..len]).unwrap(), Micros(i64::MIN + (n >> 2) as i64));
        }
        (10..500).for_each(|n| push(&mut r, n, 1, SPEECH));
        assert_eq!(r.report().loss_1s, 0);
    }
}
