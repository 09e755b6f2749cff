//! The recording's mute: exact to the sample, with short fades so that it does not click.
//!
//! Pure; allocates nothing, so that it may also stand in a real-time path.

use crate::units::SAMPLE_RATE;

/// Length of a fade, in samples: 5 ms, too short to hear as a fade, long enough not to click.
pub const FADE_SAMPLES: u32 = SAMPLE_RATE / 200;

/// Lets sound through or silences it.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    muted: bool,
    /// 0 is silent, [`FADE_SAMPLES`] is open.
    position: u32,
}

impl Gate {
    /// A gate that starts muted or open, without a fade.
    pub const fn new(muted: bool) -> Self {
        Self { muted, position: if muted { 0 } else { FADE_SAMPLES } }
    }

    /// Mutes (`true`) or opens it, from the next sample given to [`Gate::apply`] on.
    pub fn set(&mut self, muted: bool) {
        self.muted = muted;
    }

    /// Whether it is muted or on its way there.
    pub fn muted(&self) -> bool {
        self.muted
    }

    /// Gates samples in place: exactly 0.0 from [`FADE_SAMPLES`] after muting, and untouched bit
    /// for bit from [`FADE_SAMPLES`] after opening.
    pub fn apply(&mut self, samples: &mut [f32]) {
        let target = if self.muted { 0 } else { FADE_SAMPLES };
        let mut rest = samples;
        while self.position != target {
            let Some((first, behind)) = rest.split_first_mut() else { return };
            self.position = if self.muted { self.position - 1 } else { self.position + 1 };
            // Smoothstep: no corner at either end.
            let x = self.position as f32 / FADE_SAMPLES as f32;
            *first *= x * x * (3.0 - 2.0 * x);
            rest = behind;
        }
        if self.muted {
            rest.fill(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn muting_is_silent_after_the_fade_whatever_the_blocks() {
        for block in [1, 7, 240, 1_000] {
            let mut gate = Gate::new(false);
            let mut samples = vec![1.0f32; 2_000];
            gate.apply(&mut samples[..500]);
            gate.set(true);
            samples[500..1_500].chunks_mut(block).for_each(|b| gate.apply(b));
            gate.set(false);
            samples[1_500..].chunks_mut(block).for_each(|b| gate.apply(b));
            let fade = FADE_SAMPLES as usize;
            assert!(samples[..500].iter().all(|&s| s == 1.0));
            assert!(samples[500] < 1.0 && samples[500] > 0.99);
            assert!(samples[500..500 + fade].is_sorted_by(|a, b| a > b));
            assert!(samples[500 + fade - 1..1_500].iter().all(|&s| s == 0.0));
            assert!(samples[1_500..1_500 + fade].is_sorted_by(|a, b| a < b));
            assert!(samples[1_500 + fade - 1..].iter().all(|&s| s == 1.0));
        }
    }

    #[test]
    fn opening_in_the_middle_of_a_fade_goes_on_from_there() {
        let mut gate = Gate::new(false);
        let mut samples = [1.0f32; 100];
        gate.set(true);
        gate.apply(&mut samples);
        gate.set(false);
        let mut after = [1.0f32; 100];
        gate.apply(&mut after);
        assert!((after[0] - samples[99]).abs() < 0.02);
        assert_eq!(after[99], 1.0);
    }
}
