//! When an encoder makes a keyframe because somebody asks: one for all who do, and not too often.
//!
//! Pure; belongs to the thread that encodes.

use crate::units::Micros;

/// Between two keyframes that were asked for, microseconds: a keyframe takes the place of four
/// ordinary frames, and each is one for all peers.
const APART: i64 = 500_000;
/// Who asks within so long of a keyframe's leaving has not seen it yet, microseconds: it is under
/// way, and who misses it asks again.
const CROSSING: i64 = 150_000;

/// Gathers requests.
#[derive(Clone, Debug, Default)]
pub struct KeyframeGate {
    asked: bool,
    made: Option<Micros>,
}

impl KeyframeGate {
    /// Somebody asks.
    pub fn ask(&mut self, now: Micros) {
        if self.made.is_none_or(|made| now.since(made) >= CROSSING) {
            self.asked = true;
        }
    }

    /// The next picture must be one: nothing that is sent makes sense without it.
    pub fn must(&mut self) {
        self.asked = true;
        self.made = None;
    }

    /// Whether the next picture is to be one.
    pub fn is_due(&self, now: Micros) -> bool {
        self.asked && self.made.is_none_or(|made| now.since(made) >= APART)
    }

    /// One was made, asked for or not: it answers all who have asked so far.
    pub fn made(&mut self, now: Micros) {
        self.asked = false;
        self.made = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_requests_a_second_make_two_keyframes_and_each_request_is_answered() {
        let mut gate = KeyframeGate::default();
        let mut made = Vec::new();
        for n in 0..100 {
            let now = Micros(n * 10_000);
            gate.ask(now);
            if gate.is_due(now) {
                gate.made(now);
                made.push(n * 10);
            }
        }
        assert_eq!(made, [0, 500]);
        // The last one was asked for after the second keyframe.
        assert!(gate.is_due(Micros(1_000_000)));
    }

    #[test]
    fn who_asks_while_a_keyframe_is_under_way_is_answered_by_that_one() {
        let mut gate = KeyframeGate::default();
        gate.made(Micros(0));
        gate.ask(Micros(100_000));
        assert!(!gate.is_due(Micros(900_000)));
        gate.ask(Micros(200_000));
        assert!(!gate.is_due(Micros(499_000)) && gate.is_due(Micros(500_000)));
        gate.must();
        assert!(gate.is_due(Micros(0)));
    }
}
