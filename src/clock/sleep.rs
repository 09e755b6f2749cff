//! Whether this computer has been asleep, and what that does to its clocks.
//!
//! Every system has a clock that stands still while the computer sleeps and one that goes on; what
//! they part by is the time slept. Whether the local clock ([`Micros`]) is of the one kind or the
//! other differs between systems and is read off the same figures. Pure: readings come in.

use crate::units::{Micros, SessionMicros};

/// Shorter than this is no sleep, microseconds: the two clocks are not read at one instant, and on
/// Windows they advance in ticks of 16 ms. No computer sleeps and wakes within it.
pub const SHORTEST_MICROS: i64 = 50_000;

/// Up to here a sleep is filled with silence and the last picture; after a longer one another file
/// begins (DESIGN section 6).
pub const LONGEST_FILLED_MICROS: i64 = 60_000_000;

/// One look at the system's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The local clock.
    pub local: Micros,
    /// The clock that stands still in sleep, microseconds.
    pub awake: i64,
    /// How far the clock that goes on is ahead of it: all time slept, microseconds.
    pub asleep: i64,
}

/// A sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sleep {
    /// What the local clock showed when the computer fell asleep, at the latest: stamps up to here
    /// are of before, later ones of after the sleep.
    pub fell: Micros,
    /// What the local clock showed when the computer was awake again, at the earliest: nothing was
    /// captured between the two.
    pub awake: Micros,
    /// When it was noticed, local clock.
    pub noticed: Micros,
    /// How long it was, microseconds.
    pub micros: i64,
    /// The part of it that the local clock missed: all or nothing, microseconds.
    pub missed: i64,
}

/// A sleep as the session clock saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slept {
    /// Local stamps from here on are of after the sleep.
    pub woke: Micros,
    /// The computer was awake again at this local instant, at the earliest: where the local clock
    /// stands still in sleep that is `woke`, else it lies the whole sleep behind it.
    pub awake: Micros,
    /// The session's time when the computer fell asleep.
    pub from: SessionMicros,
    /// How long it was, microseconds.
    pub micros: i64,
}

impl Slept {
    /// Whether another file begins after it.
    pub fn is_long(&self) -> bool {
        self.micros > LONGEST_FILLED_MICROS
    }
}

/// Notices sleeps from one look to the next. Look often: what is stamped between the last look and
/// the sleep counts as before it.
#[derive(Clone, Copy, Debug)]
pub struct SleepWatch {
    last: Reading,
}

impl SleepWatch {
    /// Begins to watch.
    pub fn new(now: Reading) -> Self {
        Self { last: now }
    }

    /// Tells whether the computer has slept since the last look.
    pub fn look(&mut self, now: Reading) -> Option<Sleep> {
        let before = self.last;
        let micros = now.asleep - before.asleep;
        if micros < SHORTEST_MICROS {
            // The base stays: small errors of reading do not add up.
            self.last = Reading { asleep: before.asleep, ..now };
            return None;
        }
        self.last = now;
        let local = now.local.since(before.local);
        let awake = now.awake - before.awake;
        let missed = if local - awake < micros / 2 { micros } else { 0 };
        let fell = (now.local - (micros - missed)).max(before.local);
        let awake = match missed {
            0 => (before.local + micros).max(fell).min(now.local),
            _ => fell,
        };
        Some(Sleep { fell, awake, noticed: now.local, micros, missed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A machine that is awake for `awake` and then sleeps for `asleep` microseconds, in turn.
    struct Machine {
        reading: Reading,
        local_sleeps: bool,
    }

    impl Machine {
        fn run(&mut self, micros: i64) -> Reading {
            self.reading.awake += micros;
            self.reading.local = self.reading.local + micros;
            self.reading
        }

        fn sleep(&mut self, micros: i64) {
            self.reading.asleep += micros;
            if !self.local_sleeps {
                self.reading.local = self.reading.local + micros;
            }
        }
    }

    fn machine(local_sleeps: bool) -> (Machine, SleepWatch) {
        let reading = Reading { local: Micros(77), awake: 5 * SECOND, asleep: 3 * SECOND };
        (Machine { reading, local_sleeps }, SleepWatch::new(reading))
    }

    #[test]
    fn a_sleep_is_noticed_once_with_its_length_whether_or_not_the_local_clock_slept_too() {
        for local_sleeps in [true, false] {
            let (mut machine, mut watch) = machine(local_sleeps);
            for _ in 0..100 {
                assert_eq!(watch.look(machine.run(10_000)), None);
            }
            let before = machine.run(4_000).local;
            machine.sleep(90 * SECOND);
            let after = machine.run(3_000);
            let sleep = watch.look(after).expect("it slept");
            assert_eq!((sleep.micros, sleep.noticed), (90 * SECOND, after.local));
            assert_eq!(sleep.missed, if local_sleeps { 90 * SECOND } else { 0 });
            // Within the moments that were awake around it.
            assert!(sleep.fell >= before && sleep.fell <= before + 3_000, "{sleep:?}");
            // Nothing that was captured behind the sleep is before it, and no more of the sleep
            // than was awake around it.
            let woke = after.local - 3_000;
            assert!(sleep.awake >= sleep.fell, "{sleep:?}");
            if !local_sleeps {
                assert!(sleep.awake <= woke && sleep.awake >= woke - 4_000, "{sleep:?}");
            }
            assert_eq!(watch.look(machine.run(10_000)), None);
        }
    }

    #[test]
    fn readings_that_jitter_and_a_program_that_stands_still_are_no_sleep() {
        let (mut machine, mut watch) = machine(true);
        for n in 0..10_000i64 {
            let mut reading = machine.run(10_000);
            reading.asleep += n * 7_919 % 16_000;
            assert_eq!(watch.look(reading), None);
        }
        assert_eq!(watch.look(machine.run(600 * SECOND)), None, "stopped, not asleep");
        machine.sleep(SHORTEST_MICROS);
        assert!(watch.look(machine.run(10_000)).is_some());
    }

    #[test]
    fn up_to_a_minute_is_filled() {
        let at = Micros(0);
        let slept = |micros| Slept { woke: at, awake: at, from: SessionMicros(0), micros };
        assert!(!slept(60 * SECOND).is_long());
        assert!(slept(60 * SECOND + 1).is_long());
    }
}
