//! The session clock, pure: what a member's local clock lacks to be the host's.
//!
//! Samples are four-stamp exchanges as in NTP (RFC 5905, section 8). The exchange with the
//! shortest round trip is the one that queues disturbed least; half its round trip bounds the
//! error, whatever the asymmetry of the path, and what two crystals part since then comes on top.

use std::collections::VecDeque;

use crate::units::{Micros, SessionMicros};

/// Exchanges that are remembered: the burst of eight and half a minute of heartbeats.
const WINDOW: usize = 40;

/// Fastest that two monotonic clocks part, in parts per million: ordinary crystals are off by up to
/// 50 each. So much does an exchange say less with each second of its age.
const DRIFT_PPM: i64 = 100;

/// Fastest correction of a clock that is already in use, in parts per million: far below what
/// anybody hears, yet a millisecond is made up for in two seconds.
const SLEW_PPM: i64 = 500;

/// What is known about the distance to the session clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Session clock less local clock, microseconds.
    pub offset: i64,
    /// The truth lay within this many microseconds of `offset` as the newest exchange ended.
    pub uncertainty: i64,
    /// Shortest round trip in the window, microseconds.
    pub round_trip: i64,
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    offset: i64,
    round_trip: i64,
    received: Micros,
}

impl Exchange {
    /// How far from the truth its offset may be at `now`, microseconds.
    fn uncertainty(&self, now: Micros) -> i64 {
        let age = now.since(self.received).max(0);
        self.round_trip / 2 + 1 + (age * DRIFT_PPM).div_euclid(1_000_000)
    }
}

/// Turns timestamp exchanges with the holder of the session clock into an offset.
#[derive(Debug, Default)]
pub struct OffsetEstimator {
    window: VecDeque<Exchange>,
}

impl OffsetEstimator {
    /// Takes one exchange: local send, remote receive, remote send, local receive. Stamps that
    /// contradict each other (a negative round trip) are ignored.
    pub fn add(
        &mut self,
        sent: Micros,
        remote_received: SessionMicros,
        remote_sent: SessionMicros,
        received: Micros,
    ) {
        let away = received.since(sent);
        let held = remote_sent.since(remote_received);
        let round_trip = away - held;
        if away < 0 || held < 0 || round_trip < 0 {
            return;
        }
        let forth = remote_received.0 - sent.0;
        let back = remote_sent.0 - received.0;
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        let offset = (forth + back).div_euclid(2);
        self.window.push_back(Exchange { offset, round_trip, received });
    }

    /// Number of exchanges in the window.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// No exchange has been taken yet.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// The best that the window says; `None` before the first exchange.
    pub fn estimate(&self) -> Option<Estimate> {
        let now = self.window.iter().map(|e| e.received).max()?;
        let best = self.window.iter().min_by_key(|e| e.uncertainty(now))?;
        Some(Estimate {
            offset: best.offset,
            uncertainty: best.uncertainty(now),
            round_trip: best.round_trip,
        })
    }
}

/// A clock that follows an [`OffsetEstimator`] without ever going backwards: the first estimate
/// sets it, later ones bend it.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionClock {
    offset: Option<i64>,
    updated: Micros,
}

impl SessionClock {
    /// A clock whose offset is known exactly: the host's, or that of a recorder alone.
    pub fn exact(session_zero: Micros) -> Self {
        Self { offset: Some(-session_zero.0), updated: session_zero }
    }

    /// Moves towards `estimate`; call it now and then, it decides how far the time allows.
    pub fn follow(&mut self, estimate: Estimate, now: Micros) {
        match &mut self.offset {
            None => self.offset = Some(estimate.offset),
            Some(offset) => {
                let most = now.since(self.updated).max(0) * SLEW_PPM / 1_000_000;
                *offset += (estimate.offset - *offset).clamp(-most, most);
            }
        }
        self.updated = now;
    }

    /// Session clock less local clock, microseconds; `None` before the first estimate.
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// The session's time at a local instant.
    pub fn at(&self, local: Micros) -> Option<SessionMicros> {
        self.offset.map(|offset| SessionMicros(local.0 + offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_truth_lies_within_the_bound_whatever_the_path(
            truth in -1_000_000_000_000i64..1_000_000_000_000,
            legs in prop::collection::vec((0i64..200_000, 0i64..200_000, 0i64..5_000), 1..60),
        ) {
            let mut estimator = OffsetEstimator::default();
            let mut t = 0;
            for (there, back, held) in legs {
                let sent = Micros(t);
                let arrived = SessionMicros(t + there + truth);
                let answered = arrived + held;
                let received = sent + (there + held + back);
                estimator.add(sent, arrived, answered, received);
                t += 20_000;
            }
            let estimate = estimator.estimate().unwrap();
            prop_assert!((estimate.offset - truth).abs() <= estimate.uncertainty);
        }

        #[test]
        fn the_clock_never_goes_backwards(
            steps in prop::collection::vec((1i64..2_000_000, -50_000i64..50_000), 1..100),
        ) {
            let mut clock = SessionClock::default();
            let mut now = Micros(0);
            let mut last = None;
            for (pause, offset) in steps {
                now = now + pause;
                let before = clock.at(now);
                clock.follow(Estimate { offset, uncertainty: 1, round_trip: 2 }, now);
                let after = clock.at(now);
                prop_assert!(after >= last);
                if let (Some(a), Some(b)) = (before, after) {
                    prop_assert!(b.since(a).abs() * 1_000_000 <= pause * SLEW_PPM);
                }
                last = after;
            }
        }
    }

    #[test]
    fn the_bound_holds_on_a_short_path_while_the_clocks_part() {
        // 0.3 ms each way; the session clock gains 100 ppm on ours for five minutes.
        let session = |local: i64| SessionMicros(7_000_000 + local + local / 10_000);
        let mut estimator = OffsetEstimator::default();
        let mut clock = SessionClock::default();
        for second in 0..300 {
            let t = second * 1_000_000 + second % 7 * 1_000;
            let there = session(t + 300);
            estimator.add(Micros(t), there, there + 20, Micros(t + 620));
            let estimate = estimator.estimate().unwrap();
            let truth = session(t + 620).0 - (t + 620);
            assert!((estimate.offset - truth).abs() <= estimate.uncertainty, "{estimate:?}");
            assert!(estimate.uncertainty < 1_000, "{estimate:?}");
            clock.follow(estimate, Micros(t + 620));
            let error = clock.offset().unwrap() - truth;
            assert!(error.abs() <= estimate.uncertainty, "second {second}: {error}");
        }
    }

    #[test]
    fn stamps_that_contradict_each_other_are_ignored() {
        let mut e = OffsetEstimator::default();
        e.add(Micros(100), SessionMicros(0), SessionMicros(500), Micros(200));
        e.add(Micros(100), SessionMicros(10), SessionMicros(0), Micros(200));
        e.add(Micros(100), SessionMicros(0), SessionMicros(0), Micros(99));
        assert!(e.is_empty());
    }
}
