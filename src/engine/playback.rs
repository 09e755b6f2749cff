//! The speaker's side: the mixer, pulled by the playback callback.
//!
//! Runs on the sound system's real-time thread; see [`crate::audio::mixer`] for what it may do.

use crate::audio::mixer::Mixer;
use crate::devices::speaker::SpeakerSource;
use crate::units::Micros;

/// What the playback callback holds.
pub struct Playback {
    mixer: Mixer,
}

impl Playback {
    /// Plays what `mixer` renders.
    pub fn new(mixer: Mixer) -> Self {
        Self { mixer }
    }
}

impl SpeakerSource for Playback {
    fn fill(&mut self, out: &mut [f32], now: Micros) {
        self.mixer.render(out, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::mixer::mixer;
    use crate::audio::{FRAME, MAX_AUDIO_PAYLOAD, TalkEncoder, write_payload};

    #[test]
    fn the_callback_does_not_allocate_while_peers_speak_fall_silent_and_leave() {
        let (mixer, mut feeds) = mixer(3).unwrap();
        let mut playback = Playback::new(mixer);
        let mut encoder = TalkEncoder::new(32_000).unwrap();
        let (mut opus, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
        let n = encoder.encode(&[0.1; FRAME], &mut opus).unwrap();
        let n = write_payload(&opus[..n], &mut payload);
        let mut out = [0.0; 480];
        assert_no_alloc::assert_no_alloc(|| {
            for block in 0..600u64 {
                let now = Micros(block as i64 * 10_000);
                for frame in [2 * block, 2 * block + 1] {
                    for feed in &mut feeds {
                        // A lost one now and then, and nobody for a second.
                        if frame % 19 != 0 && !(500..700).contains(&frame) {
                            feed.push(frame, now, &payload[..n]);
                        }
                    }
                }
                if block == 400 {
                    feeds[1].stop();
                }
                playback.fill(&mut out, now);
            }
        });
        let stats = feeds[0].stats();
        assert!(stats.received > 900 && stats.concealed_samples > 0, "{stats:?}");
    }
}
