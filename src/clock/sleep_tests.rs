//! A member's clock over a sleep, in virtual time: its own, and that of who holds the session's.

use super::*;
use crate::units::{Micros, SessionMicros};

const SECOND: i64 = 1_000_000;

/// A guest whose local clock is 5 s behind the session's and 40 ppm slow.
struct Guest {
    clock: Follower,
    now: Micros,
    /// Session less local clock, as it truly is.
    offset: i64,
}

impl Guest {
    fn truth(&self, at: Micros) -> SessionMicros {
        SessionMicros(at.0 + self.offset + at.0 / 25_000)
    }

    /// A round trip of 0.4 ms with the session clock's holder.
    fn exchange(&mut self) {
        let sent = self.now;
        let there = self.truth(sent + 200);
        self.now = sent + 400;
        self.clock.exchange(self.now, sent, there, there, self.now);
    }

    fn run(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.exchange();
            self.now = self.now + SECOND;
            self.clock.tick(self.now);
        }
    }

    fn error(&self) -> i64 {
        self.clock.map().expect("it is set").to_session(self.now).since(self.truth(self.now))
    }
}

fn guest() -> Guest {
    let mut guest = Guest { clock: Follower::default(), now: Micros(SECOND), offset: 5 * SECOND };
    guest.clock.welcomed(guest.now);
    (0..8).for_each(|_| guest.exchange());
    guest.run(60);
    assert!(guest.error().abs() < 20, "{}", guest.error());
    guest
}

#[test]
fn a_guest_that_slept_is_at_the_right_time_once_it_measured_again_and_stamps_nothing_before() {
    // The system is up to a second wrong about a sleep; the local clock sleeps too, or does not.
    for wrong in [0, 700_000, -900_000] {
        for missed in [true, false] {
            let mut g = guest();
            let slept = 30 * SECOND;
            let before = g.clock.map().unwrap().to_session(g.now);
            if missed {
                g.offset += slept;
            } else {
                g.now = g.now + slept;
            }
            let told = slept + wrong;
            let fell = if missed { g.now } else { g.now - told.min(slept) };
            let missing = if missed { told } else { 0 };
            let sleep = Sleep { fell, awake: g.now, noticed: g.now, micros: told, missed: missing };
            let known = g.clock.slept(&sleep, true).expect("its clock was set");
            assert_eq!((known.woke, known.micros), (fell, told));
            if missed {
                assert_eq!(known.from, before);
            }
            assert!(!g.clock.settled() && !g.clock.good(g.now + 5 * SECOND));
            let bound = g.clock.estimate(g.now).unwrap().uncertainty;
            assert!(bound >= g.error().abs(), "{bound} {}", g.error());
            (0..8).for_each(|_| g.exchange());
            assert!(g.clock.settled() && g.clock.good(g.now));
            assert!(g.error().abs() < 250, "{wrong} {missed}: {}", g.error());
            // Also what was captured just behind the sleep, and what was captured before it.
            let map = g.clock.map().unwrap();
            assert!(map.to_session(fell).since(g.truth(fell)).abs() < 250);
            assert!(map.to_session(fell - 1) < map.to_session(fell));
            assert!(map.to_session(fell - SECOND).since(before).abs() < 32 * SECOND);
            if missed {
                assert_eq!(map.to_session(fell - SECOND), before - SECOND - 40);
            }
            g.run(60);
            assert!(g.error().abs() < 30, "{}", g.error());
        }
    }
}

#[test]
fn a_guest_that_finds_nobody_after_a_sleep_goes_on_by_the_systems_word() {
    let mut g = guest();
    g.offset += 30 * SECOND;
    let micros = 30 * SECOND;
    let sleep = Sleep { fell: g.now, awake: g.now, noticed: g.now, micros, missed: micros };
    g.clock.slept(&sleep, false).unwrap();
    let mut waited = 0;
    while !g.clock.settled() {
        g.now = g.now + 50_000;
        waited += 50_000;
        g.clock.tick(g.now);
    }
    assert_eq!(waited, WAKE_PATIENCE_MICROS);
    assert!(g.error().abs() < 500, "{}", g.error());
    assert!(g.clock.estimate(g.now).unwrap().uncertainty >= WAKE_ERROR_MICROS);
}

#[test]
fn who_holds_the_session_clock_takes_it_from_those_who_were_awake_and_gives_it_back_to_them() {
    let mut host = Follower::holder(Micros(SECOND));
    let now = Micros(100 * SECOND);
    let before = host.map().unwrap().to_session(now);
    // Three seconds asleep; the system says four. A guest's clock has gone on meanwhile.
    let micros = 4 * SECOND;
    let sleep = Sleep { fell: now, awake: now, noticed: now, micros, missed: micros };
    let slept = host.slept(&sleep, true).unwrap();
    assert_eq!(slept.from, before);
    assert!(!host.settled() && !host.is_holder());
    let truth = |at: Micros| before + 3 * SECOND + at.since(now);
    for n in 0..8 {
        let sent = now + 10_000 + n * 20_000;
        let there = truth(sent + 150);
        host.exchange(sent + 300, sent, there, there, sent + 300);
    }
    assert!(host.settled());
    host.take_over(now + SECOND);
    assert!(host.is_holder());
    let map = host.map().unwrap();
    assert!(map.to_session(now + SECOND).since(truth(now + SECOND)).abs() < 100);
    // Alone it has nothing but the system's word, and nobody to differ from.
    let mut alone = Follower::holder(Micros(SECOND));
    alone.slept(&sleep, false).unwrap();
    assert!(alone.settled() && alone.is_holder());
    assert_eq!(alone.map().unwrap().to_session(now), before + micros);
    assert_eq!(alone.map().unwrap().to_session(now - 1), before - 1);
}

#[test]
fn a_sleep_before_the_clock_is_set_voids_what_was_measured() {
    let mut g = Guest { clock: Follower::default(), now: Micros(SECOND), offset: 0 };
    g.clock.welcomed(g.now);
    g.exchange();
    let micros = 9 * SECOND;
    assert!(
        g.clock
            .slept(
                &Sleep { fell: g.now, awake: g.now, noticed: g.now, micros, missed: micros },
                true
            )
            .is_none()
    );
    g.offset = micros;
    (0..8).for_each(|_| g.exchange());
    assert!(g.error().abs() < 250, "{}", g.error());
}
