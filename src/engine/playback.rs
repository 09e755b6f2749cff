//! The speaker's side: the mixer, pulled by the playback callback, and the sync tone, quietly.
//!
//! Runs on the sound system's real-time thread; see [`crate::audio::mixer`] for what it may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use crate::audio::mixer::Mixer;
use crate::devices::speaker::SpeakerSource;
use crate::recording::tone;
use crate::units::{Micros, SAMPLE_RATE};

/// Loudness of the tone in the headphones against that in the file: -34 dBFS.
const QUIETLY: f32 = 0.2;
/// No tone is due.
const NEVER: i64 = i64::MAX;

/// Tells the playback callback when the next sync tone is due, local clock.
#[derive(Debug)]
pub struct ToneCue(AtomicI64);

impl Default for ToneCue {
    fn default() -> Self {
        Self(AtomicI64::new(NEVER))
    }
}

impl ToneCue {
    /// A tone is to sound at `at`.
    pub fn set(&self, at: Micros) {
        self.0.store(at.0, Relaxed);
    }
}

/// What the playback callback holds.
pub struct Playback {
    mixer: Mixer,
    cue: Arc<ToneCue>,
    tone: Box<[f32]>,
    /// Next sample of the tone that sounds.
    sounding: Option<usize>,
}

impl Playback {
    /// Plays what `mixer` renders, and the tones that `cue` tells of.
    pub fn new(mixer: Mixer, cue: Arc<ToneCue>) -> Self {
        let tone = tone::tone().iter().map(|s| s * QUIETLY).collect();
        Self { mixer, cue, tone, sounding: None }
    }

    fn sound_tone(&mut self, out: &mut [f32], now: Micros) {
        let mut first = 0;
        if self.sounding.is_none() {
            let due = self.cue.0.load(Relaxed);
            if due == NEVER {
                return;
            }
            let ahead = (due - now.0) * i64::from(SAMPLE_RATE) / 1_000_000;
            if ahead >= out.len() as i64 {
                return;
            }
            // Told once; a newer cue that came this instant stays.
            let _ = self.cue.0.compare_exchange(due, NEVER, Relaxed, Relaxed);
            first = ahead.max(0) as usize;
            self.sounding = Some(0);
        }
        let Some(from) = self.sounding else { return };
        let mut at = from;
        for (slot, sample) in out[first..].iter_mut().zip(&self.tone[from..]) {
            *slot += sample;
            at += 1;
        }
        self.sounding = (at < self.tone.len()).then_some(at);
    }
}

impl SpeakerSource for Playback {
    fn fill(&mut self, out: &mut [f32], now: Micros) {
        self.mixer.render(out, now);
        self.sound_tone(out, now);
    }

    fn fill_due(&mut self, out: &mut [f32], least: usize, now: Micros) -> usize {
        let len = self.mixer.render_due(out, least, now);
        self.sound_tone(&mut out[..len], now);
        len
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
        feeds.iter_mut().for_each(|feed| feed.restart());
        let cue = Arc::new(ToneCue::default());
        let mut playback = Playback::new(mixer, cue.clone());
        let mut encoder = TalkEncoder::new(32_000).unwrap();
        let (mut opus, mut payload) = ([0; 128], [0; MAX_AUDIO_PAYLOAD]);
        let n = encoder.encode(&[0.1; FRAME], &mut opus).unwrap();
        let n = write_payload(&opus[..n], &mut payload);
        let mut out = [0.0; 480];
        cue.set(Micros(2_000_000));
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

    #[test]
    fn the_tone_sounds_once_whole_and_quietly_when_it_is_due() {
        let (mixer, _feeds) = mixer(1).unwrap();
        let cue = Arc::new(ToneCue::default());
        let mut playback = Playback::new(mixer, cue.clone());
        let mut heard = Vec::new();
        cue.set(Micros(503_000));
        for n in 0..200 {
            let mut out = [0.0; 240];
            playback.fill(&mut out, Micros(n * 5_000));
            heard.extend(out);
        }
        let begins = 503 * 48;
        let expected = |i: usize| i.checked_sub(begins).map_or(0.0, |w| tone::sample(w) * QUIETLY);
        assert!(heard.iter().enumerate().all(|(i, s)| (s - expected(i)).abs() < 1e-6));
    }
}
