//! When an encoder makes a keyframe because somebody asks: one for all who do, and not too often.
//!
//! Pure; belongs to the thread that encodes.

use crate::units::{MAX_PARTICIPANTS, Micros};

/// Between two keyframes that were asked for, microseconds: a keyframe takes the place of four
/// ordinary frames, and each is one for all peers.
const APART: i64 = 500_000;
/// One that asks again and again is answered only so often, microseconds: keyframes cost all others,
/// and each two seconds there is one anyway.
const APART_EACH: i64 = 1_500_000;
/// Who asks within so long of a keyframe's leaving has not seen it yet, microseconds: it is under
/// way, and who misses it asks again.
const CROSSING: i64 = 150_000;

/// Gathers requests.
#[derive(Clone, Debug, Default)]
pub struct KeyframeGate {
    asked: u32,
    made: Option<Micros>,
    /// When one was last made for whom.
    answered: [Option<Micros>; MAX_PARTICIPANTS],
}

impl KeyframeGate {
    /// Those members ask (bit n for member n); other bits are for reasons of our own.
    pub fn ask(&mut self, who: u32, now: Micros) {
        if self.made.is_some_and(|made| now.since(made) < CROSSING) {
            return;
        }
        let often = |n: &usize| self.answered[*n].is_some_and(|at| now.since(at) < APART_EACH);
        let tired = (0..MAX_PARTICIPANTS).filter(often).fold(0, |bits, n| bits | 1 << n);
        self.asked |= who & !tired;
    }

    /// The next picture must be one: nothing that is sent makes sense without it.
    pub fn must(&mut self) {
        self.asked = u32::MAX;
        self.made = None;
    }

    /// Whether the next picture is to be one.
    pub fn is_due(&self, now: Micros) -> bool {
        self.asked != 0 && self.made.is_none_or(|made| now.since(made) >= APART)
    }

    /// One was made, asked for or not: it answers all who have asked so far.
    pub fn made(&mut self, now: Micros) {
        for (n, answered) in self.answered.iter_mut().enumerate() {
            if self.asked & 1 << n != 0 {
                *answered = Some(now);
            }
        }
        self.asked = 0;
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
            gate.ask(1 << (n % 4), now);
            if gate.is_due(now) {
                gate.made(now);
                made.push(n * 10);
            }
        }
        assert_eq!(made, [0, 500]);
        // The others have asked after the first and before the second, and one asks no more often
        // than the keyframes come that everybody gets.
        let mut made = 0;
        for n in 200..1_200 {
            let now = Micros(n * 10_000);
            gate.ask(1, now);
            if gate.is_due(now) {
                gate.made(now);
                made += 1;
            }
        }
        assert!((5..=7).contains(&made), "{made} in 10 s for one that asks all the time");
    }

    #[test]
    fn who_asks_while_a_keyframe_is_under_way_is_answered_by_that_one() {
        let mut gate = KeyframeGate::default();
        gate.made(Micros(0));
        gate.ask(2, Micros(100_000));
        assert!(!gate.is_due(Micros(900_000)));
        gate.ask(2, Micros(200_000));
        assert!(!gate.is_due(Micros(499_000)) && gate.is_due(Micros(500_000)));
        gate.must();
        assert!(gate.is_due(Micros(0)));
    }
}
