//! The clock's promises over paths that are asymmetric, jittery, bursty, lossy, between crystals
//! that part and change with the temperature. Virtual time throughout.

use proptest::prelude::*;

use super::*;
use crate::units::{Micros, SessionMicros};

const SECOND: i64 = 1_000_000;

/// A small seeded generator (splitmix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponential with that mean, microseconds.
    fn tail(&mut self, mean: f64) -> i64 {
        (-(1.0 - self.unit()).ln() * mean) as i64
    }
}

/// The session clock over a local one: an offset, a skew, and the temperature's swing.
#[derive(Clone, Copy, Debug)]
struct Crystals {
    offset: i64,
    ppm: f64,
    swing_ppm: f64,
    /// Of the swing, seconds.
    period: f64,
    phase: f64,
}

impl Crystals {
    fn straight(offset: i64, ppm: f64) -> Self {
        Self { offset, ppm, swing_ppm: 0.0, period: 1.0, phase: 0.0 }
    }

    /// The local instant at which a straight session clock shows `session`.
    fn local(&self, session: SessionMicros) -> Micros {
        Micros(((session.0 - self.offset) as f64 / (1.0 + self.ppm / 1e6)).round() as i64)
    }

    fn session(&self, local: Micros) -> SessionMicros {
        let t = local.0 as f64 / 1e6;
        let turn = std::f64::consts::TAU / self.period;
        let swing = |t: f64| self.swing_ppm / turn * (turn * t + self.phase).sin();
        let gained = self.ppm * t + swing(t) - swing(0.0);
        SessionMicros(local.0 + self.offset + gained.round() as i64)
    }
}

/// One direction of a path.
#[derive(Clone, Copy, Debug)]
struct Leg {
    base: i64,
    jitter: f64,
    /// Now and then a queue stands for some seconds.
    queue: i64,
    /// Each so many microseconds it takes another route, up to so much longer.
    route: (i64, i64),
}

#[derive(Clone, Copy, Debug)]
struct Path {
    forth: Leg,
    back: Leg,
    loss: f64,
}

impl Path {
    /// A wire and a switch.
    const LAN: Self = {
        let leg = Leg { base: 150, jitter: 60.0, queue: 0, route: (SECOND, 0) };
        Self { forth: leg, back: leg, loss: 0.0 }
    };

    fn leg(leg: Leg, at: Micros, dice: &mut Dice) -> i64 {
        // The same queue for all that are sent within these four seconds.
        let mut stretch = Dice((at.0 / (4 * SECOND)) as u64 ^ leg.base as u64);
        let standing =
            if stretch.unit() < 0.3 { (stretch.unit() * leg.queue as f64) as i64 } else { 0 };
        let (each, longer) = leg.route;
        let mut route = Dice((at.0 / each) as u64 ^ (leg.base << 20) as u64);
        leg.base + (route.unit() * longer as f64) as i64 + dice.tail(leg.jitter) + standing
    }
}

/// An exchange as the guest sees it.
#[derive(Clone, Copy)]
struct Seen {
    sent: Micros,
    remote_received: SessionMicros,
    remote_sent: SessionMicros,
    received: Micros,
}

/// The burst and a heartbeat a second until `end`, by their time of arrival.
fn exchanges(
    crystals: &Crystals,
    path: &Path,
    from: Micros,
    end: Micros,
    dice: &mut Dice,
) -> Vec<Seen> {
    let burst = (0..8).map(|n| from + n * 20_000);
    let beats = (1..end.since(from) / SECOND).map(|n| from + n * SECOND);
    let mut all: Vec<Seen> = burst
        .chain(beats)
        .filter_map(|sent| {
            let there = sent + Path::leg(path.forth, sent, dice);
            let answered = there + dice.tail(300.0);
            let received = answered + Path::leg(path.back, answered, dice);
            (dice.unit() >= path.loss).then(|| Seen {
                sent,
                remote_received: crystals.session(there),
                remote_sent: crystals.session(answered),
                received,
            })
        })
        .collect();
    all.sort_by_key(|seen| seen.received);
    all
}

/// A guest's clock through time, looked at 20 times a second.
struct Run {
    follower: Follower,
    now: Micros,
    /// When, error, published bound, microseconds.
    errors: Vec<(Micros, i64, i64)>,
}

impl Run {
    fn new() -> Self {
        let mut follower = Follower::default();
        follower.welcomed(Micros(0));
        Self { follower, now: Micros(0), errors: Vec::new() }
    }

    fn go(&mut self, crystals: &Crystals, seen: &[Seen], end: Micros) {
        let mut seen = seen.iter().peekable();
        let mut last: Option<(Micros, SessionMicros)> = None;
        while self.now < end {
            let look = self.now + 50_000;
            while let Some(s) = seen.next_if(|s| s.received <= look) {
                if s.received >= self.now {
                    self.follower.exchange(
                        s.received,
                        s.sent,
                        s.remote_received,
                        s.remote_sent,
                        s.received,
                    );
                    self.judge(crystals, s.received, &mut last);
                }
            }
            self.now = look;
            self.follower.tick(look);
            self.judge(crystals, look, &mut last);
        }
    }

    fn judge(
        &mut self,
        crystals: &Crystals,
        now: Micros,
        last: &mut Option<(Micros, SessionMicros)>,
    ) {
        let (Some(map), Some(estimate)) = (self.follower.map(), self.follower.estimate(now)) else {
            return;
        };
        let session = map.to_session(now);
        assert_eq!(estimate.offset, session.0 - now.0);
        self.errors.push((now, session.since(crystals.session(now)), estimate.uncertainty));
        if let Some((before, then)) = *last {
            let (went, ran) = (now.since(before), session.since(then));
            assert!(ran >= 0, "backwards by {ran}");
            // The slew and the steepest skew, and a microsecond at either end.
            assert!((ran - went).abs() as f64 <= went as f64 * 700e-6 + 2.0, "{ran} in {went}");
            assert_eq!(map.to_session(before), then, "what was placed stays placed");
        }
        *last = Some((now, session));
    }

    fn worst(&self, from: Micros) -> i64 {
        let behind = self.errors.iter().filter(|(at, _, _)| *at >= from);
        behind.map(|(_, error, _)| error.abs()).max().expect("the clock was set")
    }
}

fn any_leg() -> impl Strategy<Value = Leg> {
    let (base, jitter) = (50i64..150_000, 0.0f64..20_000.0);
    // Half of them keep their route.
    let longer = prop_oneof![Just(0i64), 1_000i64..200_000];
    let route = (2 * SECOND..60 * SECOND, longer);
    (base, jitter, 0i64..400_000, route).prop_map(|(base, jitter, queue, route)| Leg {
        base,
        jitter,
        queue,
        route,
    })
}

fn any_crystals() -> impl Strategy<Value = Crystals> {
    let origin = -1_000_000_000_000i64..1_000_000_000_000;
    // 10 ppm of swing in 1,300 s are 0.048 ppm a second.
    (origin, -185.0f64..185.0, 0.0f64..10.0, 1_300.0f64..4_000.0, 0.0f64..6.3).prop_map(
        |(offset, ppm, swing_ppm, period, phase)| Crystals {
            offset,
            ppm,
            swing_ppm,
            period,
            phase,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_truth_lies_within_the_published_bound_at_every_instant(
        crystals in any_crystals(),
        forth in any_leg(),
        back in any_leg(),
        loss in 0.0f64..0.5,
        seconds in 5i64..150,
        seed in any::<u64>(),
    ) {
        let path = Path { forth, back, loss };
        let end = Micros(seconds * SECOND);
        let seen = exchanges(&crystals, &path, Micros(0), end, &mut Dice(seed));
        prop_assume!(!seen.is_empty());
        let mut run = Run::new();
        run.go(&crystals, &seen, end);
        for (at, error, bound) in &run.errors {
            prop_assert!(error.abs() <= *bound, "{at:?}: off by {error} us, bound {bound} us");
        }
    }

    #[test]
    fn on_a_lan_it_is_within_half_a_millisecond(
        crystals in any_crystals(),
        ppm in -100.0f64..100.0,
        seed in any::<u64>(),
    ) {
        let crystals = Crystals { ppm, ..crystals };
        let end = Micros(60 * SECOND);
        let seen = exchanges(&crystals, &Path::LAN, Micros(0), end, &mut Dice(seed));
        let mut run = Run::new();
        run.go(&crystals, &seen, end);
        prop_assert!(run.errors[0].0 < Micros(300_000), "set after the burst");
        prop_assert!(run.worst(Micros(0)) < 500, "{} us", run.worst(Micros(0)));
        for (at, error, bound) in &run.errors {
            prop_assert!(error.abs() <= *bound, "{at:?}: off by {error} us, bound {bound} us");
            prop_assert!(*at < Micros(15 * SECOND) || *bound < 500, "{at:?}: {bound} us");
        }
        prop_assert!(run.worst(Micros(20 * SECOND)) < 100, "{} us", run.worst(Micros(20 * SECOND)));
    }
}

#[test]
fn a_steady_skew_is_measured_and_does_not_saw_tooth() {
    let crystals = Crystals::straight(-7_000_000_123, 50.0);
    let end = Micros(60 * SECOND);
    let seen = exchanges(&crystals, &Path::LAN, Micros(0), end, &mut Dice(5));
    let mut run = Run::new();
    run.go(&crystals, &seen, end);
    let skew = run.follower.estimate(end).unwrap().skew_ppm();
    assert!((skew - 50.0).abs() < 1.5, "{skew} ppm");
    // Then the host says nothing for a minute: without the skew that would cost 3 ms.
    let quiet = Micros(120 * SECOND);
    run.go(&crystals, &[], quiet);
    let (_, error, bound) = *run.errors.last().unwrap();
    assert!(error.abs() < 150, "off by {error} us after a quiet minute");
    assert!(error.abs() <= bound && bound < 2_000, "{bound} us");
}

#[test]
fn a_clock_that_must_bend_does_so_once_and_without_overshooting() {
    // The burst sees a queue of 40 ms one way; the heartbeats do not.
    let crystals = Crystals::straight(5_000_000, -20.0);
    let mut seen = Vec::new();
    for n in 0..60 {
        let sent = Micros(if n < 8 { n * 20_000 } else { (n - 7) * SECOND });
        let there = sent + if n < 8 { 40_200 } else { 200 };
        seen.push(Seen {
            sent,
            remote_received: crystals.session(there),
            remote_sent: crystals.session(there),
            received: there + 200,
        });
    }
    let mut run = Run::new();
    run.go(&crystals, &seen, Micros(50 * SECOND));
    let first = run.errors[0].1;
    assert!((19_000..21_000).contains(&first), "{first} us at first");
    assert!(run.errors.iter().all(|(_, error, bound)| error.abs() <= *bound));
    // 20 ms at 500 ppm are 40 s.
    let signs = run.errors.iter().filter(|(_, error, _)| *error < -100).count();
    assert_eq!(signs, 0, "it never swings past the truth");
    assert!(run.worst(Micros(45 * SECOND)) < 100);
}

#[test]
fn media_is_written_at_once_on_a_good_path_and_after_a_second_on_a_bad_one() {
    let start = |path: Path| {
        let crystals = Crystals::straight(1, 0.0);
        let seen = exchanges(&crystals, &path, Micros(0), Micros(3 * SECOND), &mut Dice(1));
        let mut follower = Follower::default();
        follower.welcomed(Micros(0));
        let mut seen = seen.iter().peekable();
        let looks = (0..300).map(|n| Micros(n * 10_000));
        let mut good = looks.filter(|&now| {
            while let Some(s) = seen.next_if(|s| s.received <= now) {
                follower.exchange(now, s.sent, s.remote_received, s.remote_sent, s.received);
            }
            follower.tick(now);
            follower.good(now)
        });
        good.next().expect("it becomes good")
    };
    let at = start(Path::LAN);
    assert!(at <= Micros(200_000), "{at:?}");
    let far = Leg { base: 40_000, jitter: 3_000.0, queue: 0, route: (SECOND, 0) };
    let at = start(Path { forth: far, back: far, loss: 0.0 });
    assert_eq!(at, Micros(SECOND), "not better than 40 ms, so it is not waited for");
    let slow = Leg { base: 700_000, ..far };
    let at = start(Path { forth: slow, back: slow, loss: 0.0 });
    assert!(at > Micros(1_400_000) && at < Micros(1_500_000), "nothing before the first: {at:?}");
}

#[test]
fn one_impossible_exchange_is_not_believed_and_a_second_one_is() {
    let crystals = Crystals::straight(0, 0.0);
    let seen = exchanges(&crystals, &Path::LAN, Micros(0), Micros(20 * SECOND), &mut Dice(9));
    let mut run = Run::new();
    run.go(&crystals, &seen, Micros(20 * SECOND));
    let lie = |follower: &mut Follower, now: Micros, by: i64| {
        let there = crystals.session(now - 200) + by;
        follower.exchange(now, now - 400, there, there, now);
    };
    lie(&mut run.follower, Micros(20 * SECOND), 30 * SECOND);
    run.go(&crystals, &[], Micros(21 * SECOND));
    assert!(run.worst(Micros(20 * SECOND)) < 500, "one was not believed");
    // We slept for 30 s: our clock stood still, and every exchange says so.
    let slept = Crystals::straight(30 * SECOND, 0.0);
    for n in 0..4 {
        lie(&mut run.follower, Micros(22 * SECOND + n * SECOND), 30 * SECOND);
    }
    let now = Micros(25 * SECOND);
    let error = run.follower.map().unwrap().to_session(now).since(slept.session(now));
    assert!(error.abs() < 500, "{error} us after waking up");
}

#[test]
fn when_the_host_leaves_the_others_go_on_together_without_a_step() {
    // Two guests whose clocks part from the host's by +40 and -60 ppm.
    let (one, two) = (Crystals::straight(3 * SECOND, 40.0), Crystals::straight(-9 * SECOND, -60.0));
    let wan = Leg { base: 8_000, jitter: 500.0, queue: 20_000, route: (SECOND, 0) };
    let path = Path { forth: wan, back: Leg { base: 11_000, ..wan }, loss: 0.1 };
    let end = Micros(60 * SECOND);
    let (mut first, mut second) = (Run::new(), Run::new());
    first.go(&one, &exchanges(&one, &path, Micros(0), end, &mut Dice(2)), end);
    second.go(&two, &exchanges(&two, &path, Micros(0), end, &mut Dice(3)), end);

    // The host leaves now, by its own clock.
    let left = one.session(first.now).max(two.session(second.now));
    let told = first.follower.estimate(one.local(left)).unwrap().uncertainty;
    first.follower.take_over(one.local(left));
    second.follower.follow_another(two.local(left), told);
    assert!(first.follower.is_holder());
    let reference = first.follower.map().unwrap();
    // What the first one's clock says at a true instant.
    let at = |true_time: SessionMicros| reference.to_session(one.local(true_time));
    let mut last = (two.local(left), second.follower.map().unwrap().to_session(two.local(left)));
    let mut dice = Dice(4);
    let mut apart = Vec::new();
    for n in 1..600 {
        let true_time = left + n * 100_000;
        let now = two.local(true_time);
        if n % 10 == 0 {
            let there = true_time - 12_000 - dice.tail(900.0);
            let sent = two.local(there - 9_000);
            second.follower.exchange(now, sent, at(there), at(there), now);
        }
        second.follower.tick(now);
        let session = second.follower.map().unwrap().to_session(now);
        let (ran, went) = (session.since(last.1), now.since(last.0));
        assert!((ran - went).abs() <= 70, "a step of {ran} us in {went} us");
        last = (now, session);
        let bound = second.follower.estimate(now).unwrap().uncertainty;
        let error = session.since(at(true_time));
        assert!(error.abs() <= bound, "{n}: {error} us apart, bound {bound} us");
        apart.push(error.abs());
    }
    assert!(apart.iter().all(|a| *a < 6_000), "{}", apart.iter().max().unwrap());
}

#[test]
fn who_was_cut_off_follows_again_without_a_step_and_the_bound_holds() {
    let guest = Crystals::straight(3 * SECOND, 40.0);
    let wan = Leg { base: 8_000, jitter: 500.0, queue: 20_000, route: (SECOND, 0) };
    let path = Path { forth: wan, back: Leg { base: 11_000, ..wan }, loss: 0.1 };
    let end = Micros(60 * SECOND);
    let mut run = Run::new();
    run.go(&guest, &exchanges(&guest, &path, Micros(0), end, &mut Dice(2)), end);
    // Cut off for six minutes, in which it ran free.
    run.follower.take_over(end);
    let back = Micros(420 * SECOND);
    let before = run.follower.map().unwrap().to_session(back);
    run.follower.resume(back);
    assert!(!run.follower.is_holder());
    assert_eq!(run.follower.map().unwrap().to_session(back), before, "no step");
    run.now = back;
    let later = Micros(480 * SECOND);
    run.go(&guest, &exchanges(&guest, &path, back, later, &mut Dice(3)), later);
    let known = run.follower.estimate(later).unwrap().uncertainty;
    let error = run.follower.map().unwrap().to_session(later).since(guest.session(later));
    assert!(error.abs() <= known && error.abs() < 6_000, "{error} us, bound {known} us");
}

#[test]
fn stamps_that_contradict_each_other_are_ignored() {
    let mut e = Estimator::default();
    e.add(Micros(100), SessionMicros(0), SessionMicros(500), Micros(200));
    e.add(Micros(100), SessionMicros(10), SessionMicros(0), Micros(200));
    e.add(Micros(100), SessionMicros(0), SessionMicros(0), Micros(99));
    assert!(e.is_empty());
    assert_eq!(e.estimate(Micros(300)), None);
}

/// The table of the design notes: `cargo test --lib clock:: -- --nocapture after_a_minute`.
#[test]
fn after_a_minute_the_error_is_far_below_what_can_be_proven() {
    let (wan, rough) = (
        Leg { base: 20_000, jitter: 1_000.0, queue: 0, route: (SECOND, 0) },
        Leg { base: 15_000, jitter: 5_000.0, queue: 200_000, route: (SECOND, 0) },
    );
    for (name, path, most) in [
        ("LAN", Path::LAN, 50),
        ("20 + 20 ms, jitter 1 ms", Path { forth: wan, back: wan, loss: 0.01 }, 500),
        // Half of the asymmetry of 10 ms cannot be seen by anybody.
        (
            "15 + 25 ms, jitter 5 ms, queues of 200 ms, 10 % lost",
            Path { forth: rough, back: Leg { base: 25_000, ..rough }, loss: 0.1 },
            8_000,
        ),
    ] {
        for ppm in [0.0, 50.0, -150.0] {
            let crystals = Crystals { offset: 0, ppm, swing_ppm: 5.0, period: 1_300.0, phase: 0.0 };
            let end = Micros(302 * SECOND);
            let seen = exchanges(&crystals, &path, Micros(0), end, &mut Dice(5));
            let mut run = Run::new();
            run.go(&crystals, &seen, end);
            for at in [1, 5, 10, 30, 60, 300] {
                let second = Micros(at * SECOND)..Micros((at + 1) * SECOND);
                let then = || run.errors.iter().filter(|(t, _, _)| second.contains(t));
                let error = then().map(|e| e.1.abs()).max().unwrap_or(0);
                let bound = then().map(|e| e.2).max().unwrap_or(0);
                println!("{name}, {ppm} ppm, after {at} s: off by {error} us, bound {bound} us");
            }
            let worst = run.worst(Micros(60 * SECOND));
            assert!(worst < most, "{name}: {worst} us");
        }
    }
}
