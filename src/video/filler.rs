//! Fills what is sent to a peer up to a rate, with packets that carry nothing, so that a path which
//! has more room than is used shows it before a picture depends on it.
//!
//! The rate is that of everything together: what audio and video take is not filled. The packets are
//! as small as the gap is between two audio frames, and leave behind an audio packet, so that the next
//! one finds the line free unless the path carries less than the rate. Pure, allocates nothing, belongs
//! to the thread that sends.

use crate::units::Micros;

/// Smallest packet worth its headers, bytes with all of them: 58 are nothing else.
const LEAST: i64 = 80;
/// Largest one, bytes with all headers: a datagram.
const MOST: i64 = 1_178;
/// What was not filled for so long is not made up for, microseconds: a sound device's large block.
const BURST: i64 = 25_000;
/// What was sent beyond the rate is filled no later than after this, microseconds: a keyframe.
const DEBT: i64 = 400_000;
/// Byte-microseconds of a kbit/s in a byte.
const SCALE: i64 = 8_000;

/// Owned by the thread that sends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filler {
    /// kbit/s; 0 for none.
    rate: i64,
    /// Bytes short of the rate, times [`SCALE`].
    credit: i64,
    last: Option<Micros>,
}

impl Filler {
    /// All that is to be sent from now on, kbit/s with all headers; 0 for as much as there is.
    pub fn set_rate(&mut self, kbps: u32) {
        if self.rate == 0 || kbps == 0 {
            (self.credit, self.last) = (0, None);
        }
        self.rate = i64::from(kbps);
    }

    /// So many bytes were sent.
    pub fn sent(&mut self, bytes: usize) {
        let least = -self.rate * DEBT;
        self.credit = (self.credit - bytes as i64 * SCALE).max(least);
    }

    /// Bytes of the packet that is missing now, with all headers; tell [`Self::sent`] of it.
    pub fn due(&mut self, now: Micros) -> Option<usize> {
        if self.rate == 0 {
            return None;
        }
        let elapsed = self.last.map_or(0, |last| now.since(last).clamp(0, DEBT));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        let most = (self.rate * BURST).max(LEAST * SCALE);
        self.credit = (self.credit + elapsed * self.rate).min(most);
        let bytes = self.credit / SCALE;
        (bytes >= LEAST).then_some(bytes.min(MOST) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds of audio packets and whatever is filled; kbit/s, the number of packets, the longest.
    fn fill(kbps: u32, every: i64, video: impl Fn(i64) -> usize) -> (f64, usize, usize) {
        let mut filler = Filler::default();
        filler.set_rate(kbps);
        let (mut bytes, mut packets, mut longest) = (0, 0, 0);
        for n in 0..10_000_000 / every {
            let other = 77 * (every / 5_000) as usize + video(n);
            filler.sent(other);
            bytes += other;
            while let Some(more) = filler.due(Micros(n * every)) {
                filler.sent(more);
                bytes += more;
                packets += 1;
                longest = longest.max(more);
            }
        }
        (bytes as f64 * 8.0 / 10_000.0, packets, longest)
    }

    #[test]
    fn what_is_missing_is_filled_in_small_packets_and_no_more() {
        for (kbps, most) in [(160, 110), (185, 120), (277, 130), (550, 280), (2_000, 1_178)] {
            for every in [5_000, 20_000] {
                let (sent, packets, longest) = fill(kbps, every, |_| 0);
                let share = sent / f64::from(kbps);
                assert!((0.98..=1.01).contains(&share), "{kbps}: {sent}");
                let blocks = (every / 5_000) as usize;
                assert!(packets > 100 && longest <= most * blocks, "{kbps}: {packets} {longest}");
            }
        }
    }

    #[test]
    fn where_enough_is_sent_nothing_is_filled_and_a_keyframe_is_not_filled_up_after() {
        assert_eq!(fill(0, 5_000, |_| 0).1, 0);
        assert_eq!(fill(120, 5_000, |_| 0).1, 0);
        assert_eq!(fill(400, 5_000, |_| 180).1, 0);
        // 5 kB each two seconds and nothing between: 20 kbit/s of it.
        let (sent, ..) = fill(300, 5_000, |n| if n % 400 == 0 { 5_000 } else { 0 });
        assert!((290.0..=301.0).contains(&sent), "{sent}");
    }

    #[test]
    fn what_was_not_filled_for_long_is_not_made_up_for() {
        let mut filler = Filler::default();
        filler.set_rate(400);
        assert_eq!(filler.due(Micros(0)), None);
        assert_eq!(filler.due(Micros(60_000_000)), Some(1_178));
        filler.sent(1_178);
        assert_eq!(filler.due(Micros(60_000_000)), None, "400 kbit/s for 25 ms");
    }
}
