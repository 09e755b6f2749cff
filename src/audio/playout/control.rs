//! How fast to play, so that the depth is where it should be: the one actuator for card drift,
//! clock drift and changes of depth.
//!
//! Called once a frame. A proportional controller with a dead band, in which the rate is exactly 1
//! and the sound passes through untouched.

/// Depth may be so far below or above the target before anything is done, in microseconds. Below,
/// frames begin to come late; above costs only delay.
const BELOW: f64 = 100.0;
const ABOVE: f64 = 600.0;
/// Correction for each microsecond outside of the band: 200 ppm of drift are held by 0.2 ms.
const GAIN: f64 = 1.0e-6;
/// Limit for ordinary drift: a pitch change of 500 ppm is inaudible.
const DRIFT_LIMIT: f64 = 500.0e-6;
/// Farther off than this, in microseconds, the depth itself is wrong and is corrected faster.
const FAR: f64 = 1_500.0;
/// Limit for depth corrections: 0.5 %, that is 5 ms a second.
const DEPTH_LIMIT: f64 = 5_000.0e-6;
/// Frames without a concealment before the depth is taken back: 0.5 s.
const CALM: u32 = 100;
/// Largest change of the rate from one frame to the next.
const SLEW: f64 = 250.0e-6;
/// Frames in each half of the window in which the least margin is looked for: 0.25 s.
const HALF_WINDOW: u32 = 50;

pub struct Control {
    /// Least (time of use - number x 5 ms) in this half window and in the one before, in
    /// microseconds: callbacks that come late would show too much margin.
    least: [f64; 2],
    frames: u32,
    rate: f64,
    calm: u32,
}

impl Control {
    pub fn new() -> Self {
        Self { least: [f64::MAX; 2], frames: 0, rate: 0.0, calm: 0 }
    }

    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Something was concealed.
    pub fn disturbed(&mut self) {
        self.calm = 0;
    }

    /// Playing was moved against the stream by so much (positive: later), in microseconds.
    pub fn moved(&mut self, micros: f64) {
        for least in &mut self.least {
            *least += micros;
        }
    }

    /// A frame is used at `offset` (time of use - number x 5 ms).
    pub fn frame(&mut self, offset: i64, base: i64, target: i64) {
        // What playing faster or slower has moved since is known, not to be waited for.
        self.moved(-self.rate * 5_000.0);
        self.least[0] = self.least[0].min(offset as f64);
        self.frames += 1;
        self.calm = self.calm.saturating_add(1);
        if self.frames >= HALF_WINDOW {
            self.least = [f64::MAX, self.least[0]];
            self.frames = 0;
        }
        let wanted = self.wanted(self.margin(base) - target as f64);
        self.rate += (wanted - self.rate).clamp(-SLEW, SLEW);
    }

    /// How much faster than 1 to play.
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// Recent least margin over the fastest packet, in microseconds.
    pub fn margin(&self, base: i64) -> f64 {
        let least = self.least[0].min(self.least[1]);
        if least == f64::MAX { 0.0 } else { least - base as f64 }
    }

    fn wanted(&self, excess: f64) -> f64 {
        let outside = excess.clamp(-BELOW, ABOVE);
        let outside = excess - outside;
        let drift = (outside * GAIN).clamp(-DRIFT_LIMIT, DRIFT_LIMIT);
        let far = if excess > FAR && self.calm >= CALM {
            (excess - FAR) * 5.0 * GAIN
        } else if excess < -FAR {
            (excess + FAR) * 5.0 * GAIN
        } else {
            0.0
        };
        (drift + far).clamp(-DEPTH_LIMIT, DEPTH_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rate after `frames` frames with a margin that does not answer to it.
    fn rate_at(margin: i64, frames: u32) -> f64 {
        let mut control = Control::new();
        for _ in 0..frames {
            // Takes back what playing at this rate would have changed.
            control.moved(control.rate() * 5_000.0);
            control.frame(margin, 0, 5_000);
        }
        control.rate()
    }

    #[test]
    fn near_the_target_the_rate_is_exactly_one() {
        for margin in [4_900, 5_000, 5_600] {
            assert_eq!(rate_at(margin, 300), 0.0, "{margin}");
        }
    }

    #[test]
    fn a_wrong_depth_is_corrected_by_half_a_percent_at_most_and_shrunk_only_when_calm() {
        assert!((rate_at(40_000, 300) - 0.005).abs() < 1e-9);
        assert!((rate_at(0, 300) + 0.005).abs() < 1e-9);
        assert!(rate_at(40_000, CALM - 1) <= 0.0005 + 1e-9);
        let drift = rate_at(5_900, 300);
        assert!(drift > 0.0 && drift <= 0.0005, "{drift}");
    }

    #[test]
    fn late_callbacks_do_not_look_like_depth() {
        let mut control = Control::new();
        for n in 0..200 {
            control.frame(5_200 + if n % 5 == 0 { 0 } else { 3_000 }, 0, 5_000);
            if n > 60 {
                assert!((control.margin(0) - 5_200.0).abs() < 1.0);
            }
        }
        assert_eq!(control.rate(), 0.0);
    }
}
