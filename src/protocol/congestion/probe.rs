//! Tries whether a path carries more than it is used for, before a picture or fuller audio packets
//! depend on it.
//!
//! What is sent is filled up with padding, step by step, until the goal is reached or a queue is told
//! of. A step is half as much again at most (WebRTC's probes double; here audio shares the path, and
//! what a step is too much stands in front of it until a report is back), and begins with a moment of
//! it, so that of a step that is far too much only that moment is. One path at a time, and after a
//! failure not again for a while. Belongs to the control thread; pure.

use crate::units::Micros;

/// A path is tried when it has been calm for so long, microseconds.
const CALM: i64 = 2_000_000;
/// And loses less than this, tenths of a percent.
const LOSS: u16 = 20;
/// A step begins with so long of it, microseconds: a third too much makes a queue that is told of ...
const TASTE: i64 = 100_000;
/// ... within a round trip and so long (five packets of four frames, twice); until then no more is sent.
const TASTED: i64 = 250_000;
/// A step lasts a round trip and so long, microseconds: what arrives is measured over that.
const STEP_TIME: i64 = 400_000;
/// What has not arrived by then never will.
const STEP_MOST: i64 = 900_000;
/// Share of a step's rate that must arrive: some is measured before it.
const ARRIVES: f64 = 0.9;
/// A goal that is nearer than this share of what is sent needs no padding.
const NEAR: f64 = 1.02;
/// Microseconds until the next try after one failure, two, and more.
const AGAIN: [i64; 3] = [5_000_000, 10_000_000, 30_000_000];
/// And on any path: what failed here may have been everybody's uplink.
const REST: i64 = 5_000_000;
/// What was found is believed for so long, microseconds: where more went through, and where not.
const BELIEVED: [i64; 2] = [5_000_000, 60_000_000];

/// A path as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct ProbePath {
    /// What it would be used for, kbit/s with everything; `None` where there is no wish for more.
    pub goal: Option<f64>,
    /// What it is used for, kbit/s.
    pub used: f64,
    /// How far one step goes, at most half as much again.
    pub step: f64,
    /// Without a queue for so long, microseconds.
    pub calm: i64,
    /// A queue stands, or nothing is heard.
    pub held: bool,
    /// Lost, tenths of a percent.
    pub loss: u16,
    /// What arrived lately, kbit/s.
    pub arrived: f64,
    /// Microseconds.
    pub round_trip: i64,
}

/// What a try has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shown {
    /// Whose path.
    pub place: usize,
    /// It carries so much, kbit/s.
    pub kbps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    place: usize,
    goal: f64,
    /// Sent now, if `fills`.
    kbps: f64,
    fills: bool,
    /// Since when, and whether that is the moment before.
    began: Micros,
    taste: bool,
    /// Has gone through.
    passed: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    failures: usize,
    next: Option<Micros>,
    /// Up to where it has been tried, whether that was the goal, and when.
    shown: Option<(f64, bool, Micros)>,
}

/// All paths.
#[derive(Clone, Debug)]
pub struct Prober<const N: usize> {
    running: Option<Try>,
    places: [Place; N],
    rest: Option<Micros>,
}

impl<const N: usize> Default for Prober<N> {
    fn default() -> Self {
        Self { running: None, places: [Place::default(); N], rest: None }
    }
}

impl<const N: usize> Prober<N> {
    /// Another path is in that place.
    pub fn forget(&mut self, place: usize) {
        if let Some(slot) = self.places.get_mut(place) {
            *slot = Place::default();
        }
        self.running = self.running.filter(|r| r.place != place);
    }

    /// What the peer in that place is to be sent, kbit/s with everything; `None` for what there is.
    pub fn fill(&self, place: usize) -> Option<f64> {
        self.running.filter(|r| r.place == place && r.fills).map(|r| r.kbps)
    }

    /// Whose path is being tried.
    pub fn trying(&self) -> Option<usize> {
        self.running.map(|r| r.place)
    }

    /// What the path has lately been shown to carry, kbit/s: a picture that needs more need not try.
    pub fn shown(&self, place: usize, now: Micros) -> Option<f64> {
        let (kbps, reached, at) = self.places.get(place)?.shown?;
        (now.since(at) < BELIEVED[usize::from(!reached)]).then_some(kbps)
    }

    /// Some times a second, and as soon as a queue is told of. Says when more has gone through.
    pub fn tick(&mut self, paths: &[Option<ProbePath>; N], now: Micros) -> Option<Shown> {
        let Some(mut running) = self.running.take() else {
            self.begin(paths, now);
            return None;
        };
        // Nobody wants it any more, or the peer has gone.
        let path = (*paths.get(running.place)?)?;
        path.goal?;
        let elapsed = now.since(running.began);
        if path.held || path.loss >= LOSS {
            self.end(&running, false, now);
            return None;
        }
        let round_trip = path.round_trip.max(0);
        if running.taste {
            running.fills = elapsed < TASTE;
            if elapsed >= TASTE + TASTED + round_trip {
                (running.taste, running.fills, running.began) = (false, true, now);
            }
            self.running = Some(running);
            return None;
        }
        let through = path.arrived >= running.kbps * ARRIVES && path.calm > 0;
        if elapsed < STEP_TIME + round_trip || !through {
            if elapsed >= STEP_MOST + round_trip {
                self.end(&running, false, now);
            } else {
                self.running = Some(running);
            }
            return None;
        }
        running.passed = running.kbps;
        if running.kbps >= running.goal {
            self.end(&running, true, now);
        } else {
            running.kbps = (running.kbps * path.step).min(running.goal);
            (running.taste, running.began) = (true, now);
            self.running = Some(running);
        }
        Some(Shown { place: running.place, kbps: running.passed })
    }

    fn begin(&mut self, paths: &[Option<ProbePath>; N], now: Micros) {
        let early = |at: Option<Micros>| at.is_some_and(|at| now < at);
        if early(self.rest) || paths.iter().flatten().any(|p| p.held) {
            return;
        }
        self.running = paths.iter().enumerate().find_map(|(place, path)| {
            let path = path.filter(|p| p.calm >= CALM && p.loss < LOSS)?;
            let slot = &self.places[place];
            // What went through a moment ago goes through.
            let shown = slot.shown.filter(|(_, reached, _)| *reached).map_or(0.0, |s| s.0);
            let recent = self.shown(place, now).map_or(0.0, |_| shown);
            let used = path.used.max(recent);
            let goal = path.goal.filter(|goal| *goal > used * NEAR && !early(slot.next))?;
            let kbps = (used * path.step).min(goal);
            Some(Try { place, goal, kbps, fills: true, began: now, taste: true, passed: path.used })
        });
    }

    fn end(&mut self, running: &Try, reached: bool, now: Micros) {
        let Some(slot) = self.places.get_mut(running.place) else { return };
        slot.shown = Some((running.passed, reached, now));
        if reached {
            slot.failures = 0;
            return;
        }
        slot.next = Some(now + AGAIN[slot.failures.min(AGAIN.len() - 1)]);
        slot.failures += 1;
        self.rest = Some(now + REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of that rate whose queue is told of after 100 ms, tried for 60 s: what was sent when it
    /// changed, ms, and what was shown.
    fn run(
        prober: &mut Prober<1>,
        carries: f64,
        goal: f64,
        from: i64,
    ) -> (Vec<(i64, f64)>, Vec<f64>) {
        let (mut sent, mut shown) = (Vec::new(), Vec::new());
        let mut calm = CALM;
        for ms in (from..from + 60_000).step_by(50) {
            let now = Micros(ms * 1_000);
            let fill = prober.fill(0);
            // What was sent 100 ms ago.
            let before = sent.iter().rev().find(|(at, _)| ms - at >= 100);
            let held = before.is_some_and(|(at, kbps)| *kbps > carries && ms - at < 200);
            calm = if held { 0 } else { calm + 50_000 };
            let used = 123.0;
            let arrived = fill.unwrap_or(used).min(carries);
            let path = ProbePath {
                goal: Some(goal),
                used,
                step: 1.5,
                calm,
                held,
                loss: 0,
                arrived,
                round_trip: 60_000,
            };
            shown.extend(prober.tick(&[Some(path)], now).map(|s| s.kbps));
            let fill = prober.fill(0).unwrap_or(0.0);
            if sent.last().map_or(0.0, |s: &(i64, f64)| s.1) != fill {
                sent.push((ms, fill));
            }
        }
        (sent, shown)
    }

    #[test]
    fn a_path_with_room_is_tried_step_by_step_up_to_the_goal_and_shows_each() {
        let mut prober = Prober::default();
        let (sent, shown) = run(&mut prober, 1_000.0, 500.0, 0);
        assert_eq!(shown[..3], [184.5, 276.75, 415.125]);
        assert_eq!(shown[3], 500.0);
        // A moment of it, what that says, and the step itself.
        let first = [(0, 184.5), (100, 0.0), (450, 184.5), (950, 276.75), (1_050, 0.0)];
        assert_eq!(sent[..5], first);
        assert_eq!(sent[12], (3_800, 0.0), "and ends: {sent:?}");
    }

    #[test]
    fn a_queue_ends_it_at_once_and_the_next_comes_later_and_later() {
        let mut prober = Prober::default();
        let (sent, shown) = run(&mut prober, 200.0, 500.0, 0);
        assert_eq!(sent[2..5], [(450, 184.5), (950, 276.75), (1_050, 0.0)]);
        assert_eq!(prober.shown(0, Micros(60_000_000)), Some(184.5));
        let began: Vec<i64> =
            sent.iter().filter(|s| s.1 == 184.5).map(|s| s.0).step_by(2).collect();
        assert_eq!(began, [0, 6_050, 17_100, 48_150]);
        assert_eq!(shown.len(), 4);
        // It carries more meanwhile.
        let (_, shown) = run(&mut prober, 1_000.0, 500.0, 60_000);
        assert_eq!(shown[3], 500.0);
    }

    #[test]
    fn only_one_path_is_tried_at_a_time_and_none_that_loses_or_has_a_queue() {
        let path = |calm, loss, held| {
            let (goal, used) = (Some(200.0), 123.0);
            Some(ProbePath {
                goal,
                used,
                step: 1.5,
                calm,
                held,
                loss,
                arrived: used,
                round_trip: 0,
            })
        };
        let fine = || path(CALM, 0, false);
        let fill = |paths: [Option<ProbePath>; 2]| {
            let mut prober = Prober::<2>::default();
            prober.tick(&paths, Micros(0));
            [0, 1].map(|n| prober.fill(n).is_some())
        };
        assert_eq!(fill([fine(), fine()]), [true, false]);
        assert_eq!(fill([path(CALM, LOSS, false), fine()]), [false, true]);
        assert_eq!(fill([path(CALM - 1, 0, false), fine()]), [false, true]);
        assert_eq!(fill([path(0, 0, true), fine()]), [false, false], "the uplink may be thin");
        assert_eq!(fill([None, None]), [false, false]);
    }

    #[test]
    fn loss_and_bytes_that_do_not_arrive_end_it_too() {
        for (loss, arrived) in [(50, 184.5), (0, 123.0)] {
            let mut prober = Prober::<1>::default();
            let (goal, used) = (Some(500.0), 123.0);
            let mut ended = None;
            for ms in (0..5_000).step_by(50) {
                let started = prober.trying().is_some();
                let loss = if started { loss } else { 0 };
                let path = ProbePath {
                    goal,
                    used,
                    step: 1.5,
                    calm: CALM,
                    held: false,
                    loss,
                    arrived,
                    round_trip: 0,
                };
                assert_eq!(prober.tick(&[Some(path)], Micros(ms * 1_000)), None);
                if started && prober.trying().is_none() {
                    ended = Some(ms);
                    break;
                }
            }
            assert_eq!(ended, Some(if loss > 0 { 50 } else { 1_250 }));
            assert_eq!(prober.shown(0, Micros(2_000_000)), Some(123.0));
        }
    }
}
