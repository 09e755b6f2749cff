//! A member's clock as it follows the session's: when it is set, how it bends, when it is good
//! enough to record with, and what happens when the holder of the session clock leaves.
//!
//! The first estimate sets the clock. Later ones bend it: the next piece of its map runs faster or
//! slower until it meets the estimated line, then along that line with the estimated skew, so that
//! nothing saw-tooths or overshoots should no further exchange come. It never goes backwards.

use super::{ClockLine, ClockMap, Estimate, Estimator, Sleep, Slept};
use crate::units::{Micros, SessionMicros};

/// Uncertainty under which a guest's media is written at once, microseconds.
pub const GOOD_MICROS: i64 = 2_000;

/// A guest's media waits this long at most for a better clock, microseconds since WELCOME.
pub const PATIENCE_MICROS: i64 = 1_000_000;

/// Exchanges of the burst at the start (PRD 5.4): the clock is set from all of them, so that it
/// need not bend at once.
const BURST: usize = 8;

/// Uncertainty at which the burst's end is not waited for: a wire and a switch, microseconds.
const EXCELLENT_MICROS: i64 = 200;

/// Fastest correction of a clock that is in use, parts per billion: 0.9 cents of pitch, far below
/// what anybody hears, yet a millisecond is made up for in two seconds.
const FASTEST_SLEW_PPB: i64 = 500_000;

/// A small correction takes this long, microseconds: about until the next heartbeat.
const SLEW_MICROS: i64 = 1_000_000;

/// The clock bends at most this often, microseconds, so that the lines that a map keeps reach back
/// over all stamps that are still under way.
const PAUSE_MICROS: i64 = 900_000;

/// What the system says about the length of a sleep may be wrong by this much, microseconds: where
/// only the battery's clock counts on, it counts whole seconds.
pub const WAKE_ERROR_MICROS: i64 = 2_000_000;

/// After a sleep media waits this long at most until the clock was measured anew, microseconds: a
/// wireless network takes some seconds, and who was given up meanwhile has to come in again.
pub const WAKE_PATIENCE_MICROS: i64 = 12_000_000;

/// The computer was asleep and its clock has not been measured since.
#[derive(Clone, Copy, Debug)]
struct Waking {
    /// Stamps from here on are of after the sleep, and none of them has been converted.
    woke: Micros,
    /// The session's time when it fell asleep.
    from: SessionMicros,
    noticed: Micros,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Follower {
    estimator: Estimator,
    map: Option<ClockMap>,
    /// What is published: of the clock as it runs, not of the line that it bends towards.
    estimate: Option<Estimate>,
    bent: Micros,
    welcomed: Option<Micros>,
    holder: bool,
    waking: Option<Waking>,
}

impl Follower {
    /// The clock of who holds the session clock, or records alone: exact, zero at `zero`.
    pub fn holder(zero: Micros) -> Self {
        Self { map: Some(ClockMap::exact(zero)), holder: true, ..Self::default() }
    }

    /// A clock that goes on as `map` has it, with nobody to measure it by any more.
    pub fn going_on(map: ClockMap) -> Self {
        Self { map: Some(map), holder: true, ..Self::default() }
    }

    /// We are in the session since `now`: the burst begins.
    pub fn welcomed(&mut self, now: Micros) {
        self.welcomed.get_or_insert(now);
    }

    /// Takes one exchange with the holder of the session clock (see [`Estimator::add`]).
    pub fn exchange(
        &mut self,
        now: Micros,
        sent: Micros,
        remote_received: SessionMicros,
        remote_sent: SessionMicros,
        received: Micros,
    ) {
        if !self.holder {
            self.estimator.add(sent, remote_received, remote_sent, received);
            self.tick(now);
        }
    }

    /// Sets or bends the clock if it is time to; call it now and then. `true` when the map or what
    /// is known of it has changed.
    pub fn tick(&mut self, now: Micros) -> bool {
        if let Some(waking) = self.waking {
            return self.wake(now, waking);
        }
        if self.holder || self.map.is_some() && now.since(self.bent) < PAUSE_MICROS {
            return false;
        }
        let Some(estimate) = self.estimator.estimate(now) else { return false };
        let target = ClockLine {
            at: now,
            session: SessionMicros(now.0 + estimate.offset),
            rate_ppb: estimate.skew_ppb,
        };
        let jumped = self.estimator.take_jump();
        let Some(map) = &mut self.map else {
            let waited = self.welcomed.map_or(0, |at| now.since(at));
            let early = self.estimator.len() < BURST && waited < PATIENCE_MICROS;
            if early && estimate.uncertainty > EXCELLENT_MICROS {
                return false;
            }
            self.map = Some(ClockMap::new(target));
            self.estimate = Some(estimate);
            self.bent = now;
            return true;
        };
        let here = map.to_session(now);
        let gap = target.session.since(here);
        if jumped && gap > 0 {
            // The local clock stood still (sleep): the time in between has passed, and no stamp
            // was taken in it. Going back is not to be had that easily.
            map.bend(now, target);
            self.estimate = Some(estimate);
        } else {
            let (bent, meets) = approach(now, here, gap, estimate.skew_ppb);
            map.bend(now, bent);
            if meets.at > now {
                map.push(meets);
            }
            // What is left of the way is uncertain, too.
            let uncertainty = estimate.uncertainty + gap.abs();
            self.estimate = Some(Estimate { offset: here.0 - now.0, uncertainty, ..estimate });
        }
        self.bent = now;
        true
    }

    /// This computer was asleep. The clock goes on where the session is now by what the system says
    /// of the sleep, and is not [settled](Self::settled) until it was measured anew: with `others`,
    /// members whose clocks went on, also by who holds the session clock. `None` before it is set.
    pub fn slept(&mut self, sleep: &Sleep, others: bool) -> Option<Slept> {
        let known = self.estimate(sleep.noticed);
        let Some(map) = &mut self.map else {
            // What was measured of a clock that stood still since is void.
            self.estimator = Estimator::default();
            return None;
        };
        let woke = sleep.fell;
        let from = map.to_session(woke);
        if sleep.missed > 0 {
            let rate_ppb = map.line_at(woke).rate_ppb;
            map.bend(woke, ClockLine { at: woke, session: from + sleep.missed, rate_ppb });
        }
        if let (false, Some(known)) = (self.holder && !others, known) {
            let offset = map.offset_at(sleep.noticed);
            let uncertainty = known.uncertainty + WAKE_ERROR_MICROS;
            self.estimator.restart(sleep.noticed, offset, uncertainty);
            self.estimate = Some(Estimate { at: sleep.noticed, offset, uncertainty, ..known });
            self.holder = false;
            self.waking = Some(Waking { woke, from, noticed: sleep.noticed });
        }
        Some(Slept { woke, awake: sleep.awake, from, micros: sleep.micros })
    }

    /// Whether stamps may be converted: false from a sleep on until the clock was measured anew, or
    /// there was enough of waiting.
    pub fn settled(&self) -> bool {
        self.waking.is_none()
    }

    /// Puts the clock right after a sleep once enough was measured: nothing was stamped with it yet.
    fn wake(&mut self, now: Micros, waking: Waking) -> bool {
        let Some(estimate) = self.estimator.estimate(now) else { return false };
        // The first of them is what was known before.
        let measured = self.estimator.len() > BURST
            || self.estimator.len() > 1 && estimate.uncertainty <= EXCELLENT_MICROS;
        let Some(map) = self.map.as_mut().filter(|_| measured) else {
            let enough = now.since(waking.noticed) >= WAKE_PATIENCE_MICROS;
            if enough {
                self.waking = None;
            }
            return enough;
        };
        self.estimator.take_jump();
        let line = ClockLine {
            at: now,
            session: SessionMicros(now.0 + estimate.offset),
            rate_ppb: estimate.skew_ppb,
        };
        let session = line.to_session(waking.woke).max(waking.from);
        map.bend(waking.woke, ClockLine { at: waking.woke, session, ..line });
        self.estimate = Some(Estimate { offset: map.offset_at(now), ..estimate });
        self.waking = None;
        self.bent = now;
        true
    }

    /// The clock's map; `None` before it is set.
    pub fn map(&self) -> Option<ClockMap> {
        self.map
    }

    /// What is known of the clock as it runs; `None` before it is set. Who holds the session clock
    /// has no error.
    pub fn estimate(&self, now: Micros) -> Option<Estimate> {
        let (map, known) = (self.map?, self.estimate.unwrap_or_default());
        let uncertainty = if self.holder { known.uncertainty } else { known.uncertainty_at(now) };
        Some(Estimate { at: now, offset: map.offset_at(now), uncertainty, ..known })
    }

    /// Media may be written: the clock is known well, or there was enough of waiting.
    pub fn good(&self, now: Micros) -> bool {
        let waited = self.welcomed.is_none_or(|at| now.since(at) >= PATIENCE_MICROS);
        let good = |e: Estimate| waited || e.uncertainty <= GOOD_MICROS;
        self.settled() && self.estimate(now).is_some_and(good)
    }

    /// Whether this clock is the session's.
    pub fn is_holder(&self) -> bool {
        self.holder
    }

    /// The holder has left and we take over: our clock is the session's from here on. It goes on
    /// with the skew that it had, without a step; what it was uncertain by stays told.
    pub fn take_over(&mut self, now: Micros) {
        if self.holder {
            return;
        }
        self.estimate = self.estimate(now);
        if let (Some(map), Some(known)) = (&mut self.map, &self.estimate) {
            let session = map.to_session(now);
            map.bend(now, ClockLine { at: now, session, rate_ppb: known.skew_ppb });
        }
        self.estimator = Estimator::default();
        self.holder = true;
        self.waking = None;
    }

    /// A member that holds the session clock is back: our clock, which ran free since
    /// [`Follower::take_over`], follows again, without a step and with what it may have lost meanwhile.
    pub fn resume(&mut self, now: Micros) {
        if !self.holder {
            return;
        }
        self.holder = false;
        if let (Some(map), Some(known)) = (self.map, self.estimate) {
            let (offset, uncertainty) = (map.offset_at(now), known.uncertainty_at(now));
            self.estimator.restart(now, offset, uncertainty);
            self.estimate = Some(Estimate { at: now, offset, uncertainty, ..known });
        }
    }

    /// The holder has left and another member, whose clock was known to `uncertainty` microseconds,
    /// takes over: exchanges are with that one from here on. Our clock goes on without a step, and
    /// both clocks' bounds tell how far apart the two can be.
    pub fn follow_another(&mut self, now: Micros, uncertainty: i64) {
        if self.holder {
            return;
        }
        match self.estimate(now) {
            Some(known) => {
                let apart = known.uncertainty + uncertainty;
                self.estimator.restart(now, known.offset, apart);
                self.estimate = Some(Estimate { uncertainty: apart, ..known });
            }
            None => self.estimator = Estimator::default(),
        }
    }
}

/// The way from `here` to a line that is ahead by `gap` and rises by `skew_ppb`: the bent piece,
/// and the straight one from where they meet.
fn approach(now: Micros, here: SessionMicros, gap: i64, skew_ppb: i64) -> (ClockLine, ClockLine) {
    let gently = gap.abs().saturating_mul(1_000_000_000) / SLEW_MICROS;
    let slew = gently.min(FASTEST_SLEW_PPB);
    let micros = if slew == 0 {
        0
    } else {
        (i128::from(gap.abs()) * 1_000_000_000 / i128::from(slew)) as i64
    };
    let bent = ClockLine { at: now, session: here, rate_ppb: skew_ppb + slew * gap.signum() };
    let at = now + micros;
    (bent, ClockLine { at, session: bent.to_session(at), rate_ppb: skew_ppb })
}
