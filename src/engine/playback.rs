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
