//! How fast to play, so that the depth is where it should be: the one actuator for card drift,
//! clock drift and changes of depth.
//!
//! Called once a frame. A PI controller on a level that is known to the sample, so there is nothing
//! to smooth and nothing to wait for. In a dead band the rate is exactly 1 and the sound passes
//! through untouched, once there is no drift to hold.

/// The level may be so far above what is wanted before anything is done, in samples: 0.5 ms. Below
/// there is no band: there frames come late.
const BAND: f64 = 24.0;
/// Correction for each sample outside of the band: 200 ppm of drift are held by 0.17 ms until the
/// integral has them.
const GAIN: f64 = 25.0e-6;
/// How fast the integral learns a drift, per second: critically damped would be 0.3.
const LEARN: f64 = 0.15;
/// How fast it forgets what turns out not to be needed, per second.
const FORGET: f64 = 0.02;
/// A learned drift below this is none.
const NO_DRIFT: f64 = 0.5e-6;
/// Limit for ordinary drift: a pitch change of 500 ppm is inaudible.
const DRIFT_LIMIT: f64 = 500.0e-6;
/// Farther above than this, in samples, the depth itself is wrong and is taken back faster: 1.5 ms.
const FAR: f64 = 72.0;
/// Farther below than this, in samples, it is made deeper faster: 0.75 ms.
const SHORT: f64 = 36.0;
/// Limit for depth corrections: 0.5 %, that is 5 ms a second.
const DEPTH_LIMIT: f64 = 5_000.0e-6;
/// Samples without a concealment before the depth is taken back: 0.5 s.
const CALM: u32 = 24_000;
/// Largest change of the rate in a second.
const SLEW: f64 = 0.05;

pub struct Control {
    rate: f64,
    drift: f64,
    calm: u32,
}

impl Control {
    pub fn new() -> Self {
        Self { rate: 0.0, drift: 0.0, calm: 0 }
    }

    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Something was concealed.
    pub fn disturbed(&mut self) {
        self.calm = 0;
    }

    /// A frame of `frame` samples is used while the level is `excess` samples above what is wanted.
    pub fn frame(&mut self, excess: f64, frame: usize) {
        let seconds = frame as f64 / 48_000.0;
        self.calm = self.calm.saturating_add(frame as u32);
        let outside = excess - excess.clamp(0.0, BAND);
        // Too little is worse than too much.
        let outside = if outside < 0.0 { 2.0 * outside } else { outside };
        let far = if excess > FAR {
            // Before the calm it waits, but no deeper than it is.
            if self.calm >= CALM { (excess - FAR) * 5.0 * GAIN } else { 0.0 }
        } else if excess < -SHORT {
            (excess + SHORT) * 4.0 * GAIN
        } else {
            // Only what is near tells of drift; a depth that changes does not.
            let learn = if outside == 0.0 { -self.drift * FORGET } else { outside * GAIN * LEARN };
            self.drift = (self.drift + learn * seconds).clamp(-DRIFT_LIMIT, DRIFT_LIMIT);
            if outside == 0.0 && self.drift.abs() < NO_DRIFT {
                self.drift = 0.0;
            }
            0.0
        };
        let slow = (self.drift + outside * GAIN).clamp(-DRIFT_LIMIT, DRIFT_LIMIT);
        let wanted = (slow + far).clamp(-DEPTH_LIMIT, DEPTH_LIMIT);
        self.rate += (wanted - self.rate).clamp(-SLEW * seconds, SLEW * seconds);
    }

    /// How much faster than 1 to play.
    pub fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after `frames` frames with a level that does not answer to it.
    fn rate_at(excess: f64, frames: usize) -> f64 {
        let mut control = Control::new();
        for _ in 0..frames {
            control.frame(excess, 240);
        }
        control.rate()
    }

    #[test]
    fn near_what_is_wanted_the_rate_is_exactly_one() {
        for excess in [0.0, 10.0, 24.0] {
            assert_eq!(rate_at(excess, 300), 0.0, "{excess}");
        }
    }

    #[test]
    fn a_wrong_depth_is_corrected_by_half_a_percent_at_most_and_shrunk_only_when_calm() {
        assert!((rate_at(1_000.0, 300) - 0.005).abs() < 1e-9);
        assert!((rate_at(-1_000.0, 300) + 0.005).abs() < 1e-9);
        assert!(rate_at(1_000.0, 99) <= 0.0005 + 1e-9);
        assert!(rate_at(40.0, 3_000) <= 0.0005 + 1e-9);
    }

    #[test]
    fn a_drift_of_200_ppm_is_learned_and_then_held_within_the_band() {
        for ppm in [-200.0f64, 200.0] {
            for frame in [240usize, 120] {
                let (mut control, mut level) = (Control::new(), 12.0);
                for n in 0..60 * 48_000 / frame {
                    level += (ppm * 1e-6 - control.rate()) * frame as f64;
                    control.frame(level, frame);
                    assert!((-24.0..48.0).contains(&level), "{ppm} ppm: {level} at {n}");
                    assert!(control.rate().abs() <= 500e-6);
                }
                assert!((-4.0..28.0).contains(&level), "{ppm} ppm: {level}");
                assert!((control.rate() - ppm * 1e-6).abs() < 60e-6, "{}", control.rate());
            }
        }
    }
}
