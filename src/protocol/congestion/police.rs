//! What a member that carries for others lets through: audio always, of the picture a fixed rate.
//!
//! Belongs to the receive thread of the member that carries; pure, allocates nothing. The two ends
//! know that rate and send one small layer; this holds them to it, so that a pair in need cannot take
//! the carrier's uplink from its own call.

use crate::units::Micros;

/// Rate of video and everything else for one pair and direction, kbit/s: one small layer with its
/// headers, heartbeats and reports.
const REST_KBPS: i64 = 200;
/// Rate of audio for one pair and direction, kbit/s: three copies at the highest bitrate.
const AUDIO_KBPS: i64 = 900;
/// What may come at once, microseconds at the rate: a keyframe of that layer (DESIGN's low). The carrier
/// lets it out packet by packet, behind all sound.
const BURST: i64 = 250_000;

/// A bucket of credit: bits, times a thousand.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    kbps: i64,
    credit: i64,
}

impl Bucket {
    fn new(kbps: i64) -> Self {
        Self { kbps, credit: kbps * BURST }
    }

    fn pass(&mut self, elapsed: i64, bytes: usize) -> bool {
        self.credit = (self.credit + elapsed * self.kbps).min(self.kbps * BURST);
        let cost = bytes as i64 * 8_000;
        let enough = self.credit >= cost;
        if enough {
            self.credit -= cost;
        }
        enough
    }
}

/// Polices what one member sends through us to one other.
#[derive(Clone, Debug)]
pub struct RelayPolice {
    audio: Bucket,
    rest: Bucket,
    last: Option<Micros>,
    /// Datagrams that were not passed on.
    pub dropped: u64,
}

impl Default for RelayPolice {
    fn default() -> Self {
        Self {
            audio: Bucket::new(AUDIO_KBPS),
            rest: Bucket::new(REST_KBPS),
            last: None,
            dropped: 0,
        }
    }
}

impl RelayPolice {
    /// Whether a datagram of that size, all headers counted, is passed on.
    pub fn pass(&mut self, audio: bool, bytes: usize, now: Micros) -> bool {
        let elapsed = self.last.map_or(0, |last| now.since(last).clamp(0, 1_000_000));
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        let (here, other) = if audio {
            (&mut self.audio, &mut self.rest)
        } else {
            (&mut self.rest, &mut self.audio)
        };
        other.pass(elapsed, 0);
        let passed = here.pass(elapsed, bytes);
        self.dropped += u64::from(!passed);
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audio_passes_whatever_video_does_and_video_gets_its_rate() {
        let mut police = RelayPolice::default();
        let (mut audio, mut video) = (0, 0);
        for ms in 0..10_000i64 {
            let now = Micros(ms * 1_000);
            if ms % 5 == 0 {
                audio += u32::from(police.pass(true, 200, now));
            }
            // 4.7 Mbit/s of it.
            video += u32::from(police.pass(false, 588, now)) * 588 * 8;
        }
        assert_eq!(audio, 2_000);
        let kbps = f64::from(video) / 10_000.0;
        assert!((200.0..=206.0).contains(&kbps), "{kbps}");
        assert!(police.dropped > 9_000);
    }

    #[test]
    fn a_keyframe_of_the_small_layer_passes_at_once() {
        let mut police = RelayPolice::default();
        for _ in 0..5 {
            assert!(police.pass(false, 1_178, Micros(0)));
        }
        assert!(!police.pass(false, 1_178, Micros(0)));
    }
}
