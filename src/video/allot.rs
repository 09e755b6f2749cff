//! Who gets which picture: two encoders at most, shared out among the peers by what their paths
//! carry.
//!
//! *Main* is for everybody. Where the own uplink is thin all paths are alike, and main gets smaller
//! for all: bitrate, then frame rate, then size (PRD 4.2.3). A peer whose path alone is thin is moved
//! to *low*, which all such peers share; then it gets low's base layer only; then no picture (DESIGN
//! section 4). Down after two seconds, up after ten, and after a step up that failed later still.
//!
//! Pure; belongs to the control thread.

use super::fanout::{Feed, Source};
use crate::units::Micros;

/// Full size (PRD 4.2.2) and the smaller one (PRD 4.2.3).
pub const SIZES: [(u32, u32); 2] = [(854, 480), (640, 360)];
/// Pictures a second (PRD 4.2.2), and half of them.
pub const RATES: [u32; 2] = [24, 12];
/// So long a path must be too thin before anything but the bitrate changes, microseconds.
const DOWN: i64 = 2_000_000;
/// So long it must be good enough for more.
const UP: i64 = 10_000_000;
/// The same after steps up that did not last.
const UP_MOST: i64 = 80_000_000;
/// A step that a probe has shown to be good needs this share of the time.
const UP_SHOWN: i64 = 5;
/// A step up that is taken back within so long has failed.
const FAILED: i64 = 15_000_000;
/// Who has less than this share of what the best path has is not served by main.
const SHARE: f64 = 0.6;
/// More than enough for a step up.
const MARGIN: f64 = 1.15;
/// Least rate of main, and where its frame rate and then its size go down, as shares of the target.
const MAIN: [f64; 3] = [0.15, 0.5, 0.33];
/// Rates of low, kbit/s.
const LOW: [f64; 2] = [80.0, 200.0];
/// Who is on low's base layer stays on it down to here, kbit/s, with pictures left out.
const FEWEST: f64 = 25.0;
/// What low's base layer takes of it.
const BASE: f64 = 0.6;

/// What one encoder is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// A second.
    pub fps: u32,
    /// Target.
    pub kbps: u32,
}

/// One peer's path.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// What it has for the picture, kbit/s.
    pub kbps: f64,
    /// An end of it has been found. If not, `kbps` is only what has been tried so far, as at the
    /// start: it sets the bitrate and changes nothing else.
    pub known: bool,
    /// Another member carries: one small layer.
    pub relayed: bool,
    /// What a probe has shown that it has for the picture, kbit/s; `None` where none was made.
    pub shown: Option<f64>,
}

/// Something with steps, which goes down soon and up late.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// 0 is best.
    step: usize,
    worse_since: Option<Micros>,
    better_since: Option<Micros>,
    raised: Option<Micros>,
    wait: i64,
}

impl Default for Steps {
    fn default() -> Self {
        Self { step: 0, worse_since: None, better_since: None, raised: None, wait: UP }
    }
}

impl Steps {
    /// `need` is the step that there is enough for, `sure` the one with something to spare; `shown`
    /// the one that a probe has found good, where there was one.
    fn update(&mut self, need: usize, sure: usize, shown: Option<usize>, now: Micros) {
        if self.raised.is_some_and(|at| now.since(at) > UP_MOST) {
            self.raised = None;
            self.wait = UP;
        }
        if need > self.step {
            self.better_since = None;
            let since = *self.worse_since.get_or_insert(now);
            if now.since(since) >= DOWN {
                self.step = need;
                self.worse_since = None;
                if self.raised.is_some_and(|at| now.since(at) < FAILED) {
                    self.wait = (self.wait * 2).min(UP_MOST);
                }
            }
            return;
        }
        self.worse_since = None;
        if sure < self.step {
            let waited = now.since(*self.better_since.get_or_insert(now));
            let next = match shown {
                Some(shown) => Some(shown.max(sure)).filter(|_| waited >= self.wait / UP_SHOWN),
                // One at a time: each shows whether the next is worth a try.
                None => Some(self.step - 1).filter(|_| waited >= self.wait),
            };
            if let Some(next) = next.filter(|next| *next < self.step) {
                self.step = next;
                self.raised = Some(now);
                self.better_since = None;
            }
        } else {
            self.better_since = None;
        }
    }
}

/// Steps of one peer: main, both layers of low, low's base, nothing.
const ON_MAIN: usize = 0;
const LOW_WHOLE: usize = 1;
const LOW_BASE: usize = 2;
const NOTHING: usize = 3;

/// Shares the encoders out. `N` places for peers.
#[derive(Clone, Debug)]
pub struct Allotment<const N: usize> {
    target: f64,
    places: [Option<Steps>; N],
    /// What each needs for a better step, kbit/s.
    wanted: [Option<f64>; N],
    rung: Steps,
    pictures: [Option<Picture>; 2],
}

impl<const N: usize> Allotment<N> {
    /// For pictures of `target_kbps` where nothing is in the way.
    pub fn new(target_kbps: u32) -> Self {
        Self {
            target: f64::from(target_kbps.max(1)),
            places: [None; N],
            wanted: [None; N],
            rung: Steps::default(),
            pictures: [None; 2],
        }
    }

    /// Decides anew. Some times a second; `None` for nobody.
    pub fn update(&mut self, rooms: &[Option<Room>; N], now: Micros) {
        let direct = rooms.iter().flatten().filter(|r| !r.relayed);
        let target = self.target;
        let best = direct.map(|r| Self::promise(target, r)).fold(0.0, f64::max).min(target);
        let least_main = (best * SHARE).max(self.target * MAIN[0]);
        // A person who wants little gets little from both encoders.
        let low_most = LOW[1].min(self.target * 0.5).max(LOW[0]);
        for ((slot, wanted), room) in self.places.iter_mut().zip(&mut self.wanted).zip(rooms) {
            *wanted = None;
            let Some(room) = room else {
                *slot = None;
                continue;
            };
            let steps = slot.get_or_insert_default();
            // A few pictures a second are more than none: who has some keeps them for longer.
            let fewest = if steps.step < NOTHING { FEWEST } else { LOW[0] * BASE };
            let need = |kbps: f64| match kbps {
                _ if !room.relayed && kbps >= least_main => ON_MAIN,
                _ if !room.relayed && kbps >= LOW[0] => LOW_WHOLE,
                _ if kbps >= fewest => LOW_BASE,
                _ => NOTHING,
            };
            if room.relayed && steps.step < LOW_BASE {
                // A carrier does not wait for two seconds to be spared.
                *steps = Steps { step: LOW_BASE, ..Steps::default() };
            }
            let kbps = Self::promise(target, room);
            let shown = room.shown.map(|shown| need(shown / MARGIN));
            steps.update(need(kbps), need(kbps / MARGIN), shown, now);
            // Of the steps that are better than what it has or is about to have, the cheapest.
            let has = steps.step.min(shown.unwrap_or(NOTHING));
            let dear = [least_main, LOW[0], LOW[0] * BASE];
            let better = dear[..has.min(dear.len())].iter().copied().reduce(f64::min);
            *wanted = better.filter(|_| !room.relayed).map(|kbps| kbps * MARGIN);
        }
        self.pictures = [self.main(rooms, least_main, now), self.low(rooms, low_most)];
    }

    /// What a path can be relied upon to carry, or be hoped to.
    fn promise(target: f64, room: &Room) -> f64 {
        if room.known { room.kbps } else { room.kbps.max(target * MARGIN) }
    }

    fn on(&self, step: usize) -> impl Fn((&Option<Steps>, &Option<Room>)) -> Option<f64> {
        move |(steps, room)| match (steps, room) {
            (Some(steps), Some(room)) if steps.step == step => Some(room.kbps),
            _ => None,
        }
    }

    fn main(&mut self, rooms: &[Option<Room>; N], least: f64, now: Micros) -> Option<Picture> {
        let on_main = self.places.iter().zip(rooms).filter_map(|(steps, room)| {
            let room = room.as_ref().filter(|_| steps.is_some_and(|s| s.step == ON_MAIN))?;
            Some((Self::promise(self.target, room), room.kbps))
        });
        let all: Vec<(f64, f64)> = on_main.collect();
        // Who is about to be moved to low does not cost the others.
        let lowest = |pairs: Vec<(f64, f64)>| {
            let served = pairs.iter().copied().filter(|(hoped, _)| *hoped >= least);
            let of = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.min(b.1));
            served.reduce(of).or(pairs.into_iter().reduce(of))
        };
        let (hoped, kbps) = lowest(all)?;
        let [hoped, kbps] = [hoped, kbps].map(|k| k.clamp(self.target * MAIN[0], self.target));
        let rung = |kbps: f64| {
            let share = kbps / self.target;
            usize::from(share < MAIN[1]) + usize::from(share < MAIN[2])
        };
        self.rung.update(rung(hoped), rung(hoped / MARGIN), None, now);
        let step = self.rung.step;
        let ((width, height), fps) = (SIZES[usize::from(step > 1)], RATES[usize::from(step > 0)]);
        let before = self.pictures[0].filter(|p| (p.width, p.fps) == (width, fps));
        let kbps = settled(before, kbps, self.target);
        Some(Picture { width, height, fps, kbps })
    }

    fn low(&self, rooms: &[Option<Room>; N], most: f64) -> Option<Picture> {
        let pairs = || self.places.iter().zip(rooms);
        let whole = pairs().filter_map(self.on(LOW_WHOLE));
        let base = pairs().filter_map(self.on(LOW_BASE)).map(|kbps| kbps / BASE);
        let kbps = whole.chain(base).reduce(f64::min)?.clamp(LOW[0], most);
        let (width, height) = SIZES[1];
        let kbps = settled(self.pictures[1], kbps, most);
        Some(Picture { width, height, fps: RATES[0], kbps })
    }

    /// What the encoders are to make; `None` for one that nobody needs.
    pub fn pictures(&self) -> [Option<Picture>; 2] {
        self.pictures
    }

    /// What the peer in that place would have to have for a better picture, kbit/s; `None` where it has
    /// the best, or nothing is to be tried.
    pub fn wanted(&self, place: usize) -> Option<f64> {
        self.wanted.get(place).copied().flatten()
    }

    /// What the picture of the peer in that place takes of its path, kbit/s.
    pub fn used(&self, place: usize) -> f64 {
        let Some(feed) = self.feed(place) else { return 0.0 };
        let kbps = self.pictures[feed.source as usize].map_or(0.0, |p| f64::from(p.kbps));
        if feed.layers < 2 { kbps * BASE } else { kbps }
    }

    /// What the peer in that place gets.
    pub fn feed(&self, place: usize) -> Option<Feed> {
        let steps = self.places.get(place)?.as_ref()?;
        match steps.step {
            ON_MAIN => Some(Feed { source: Source::Main, layers: 2 }),
            LOW_WHOLE => Some(Feed { source: Source::Low, layers: 2 }),
            LOW_BASE => Some(Feed { source: Source::Low, layers: 1 }),
            _ => None,
        }
    }
}

/// Down at once, up in steps that an encoder is worth telling of.
fn settled(before: Option<Picture>, kbps: f64, most: f64) -> u32 {
    let wanted = kbps as u32;
    match before {
        Some(p) if wanted > p.kbps && kbps < f64::from(p.kbps) * 1.05 && kbps < most => p.kbps,
        _ => wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Option<Feed> = Some(Feed { source: Source::Main, layers: 2 });

    fn direct(kbps: f64) -> Option<Room> {
        Some(Room { kbps, known: true, relayed: false, shown: None })
    }

    /// Updates every 50 ms for `seconds`; what changed: (ms, pictures, feeds).
    type Change = (i64, [Option<Picture>; 2], [Option<Feed>; 3]);
    fn hold(
        a: &mut Allotment<3>,
        from: &mut i64,
        seconds: i64,
        rooms: [Option<Room>; 3],
    ) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..seconds * 20 {
            a.update(&rooms, Micros(*from * 1_000));
            let now = (a.pictures(), [0, 1, 2].map(|n| a.feed(n)));
            if changes.last().is_none_or(|(_, p, f)| (*p, *f) != now) {
                changes.push((*from, now.0, now.1));
            }
            *from += 50;
        }
        changes
    }

    #[test]
    fn a_thin_uplink_takes_bitrate_then_frame_rate_then_size_then_the_picture() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        let mut seen = Vec::new();
        for kbps in [500.0, 300.0, 210.0, 180.0, 120.0, 70.0, 15.0] {
            let changes = hold(&mut a, &mut at, 5, [direct(kbps); 3]);
            let (_, pictures, feeds) = changes.last().copied().unwrap();
            seen.push((pictures[0].map(|p| (p.height, p.fps, p.kbps)), feeds[0].is_some()));
        }
        assert_eq!(
            seen,
            [
                (Some((480, 24, 400)), true),
                (Some((480, 24, 300)), true),
                (Some((480, 24, 210)), true),
                (Some((480, 12, 180)), true),
                (Some((360, 12, 120)), true),
                (Some((360, 12, 70)), true),
                (None, false),
            ]
        );
        // And all of it back, 10 s a step.
        let changes = hold(&mut a, &mut at, 70, [direct(500.0); 3]);
        let last = changes.last().unwrap();
        assert_eq!(last.1[0].map(|p| (p.height, p.fps, p.kbps)), Some((480, 24, 400)));
        assert_eq!(last.2, [FULL; 3]);
    }

    #[test]
    fn one_bad_peer_goes_to_low_and_the_others_keep_what_they_have() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        hold(&mut a, &mut at, 2, [direct(500.0); 3]);
        let rooms = [direct(500.0), direct(100.0), direct(450.0)];
        let changes = hold(&mut a, &mut at, 30, rooms);
        for (at, pictures, feeds) in &changes {
            let main = pictures[0].unwrap();
            assert_eq!((main.kbps, main.height, main.fps), (400, 480, 24), "{at} ms");
            assert_eq!((feeds[0], feeds[2]), (FULL, FULL));
        }
        let (when, pictures, feeds) = changes[1];
        assert_eq!(when, 4_000, "after two seconds");
        assert_eq!(feeds[1], Some(Feed { source: Source::Low, layers: 2 }));
        assert_eq!(pictures[1].map(|p| (p.height, p.kbps)), Some((360, 100)));
        let rooms = [direct(500.0), direct(60.0), direct(450.0)];
        let changes = hold(&mut a, &mut at, 3, rooms);
        let (_, _, feeds) = changes.last().unwrap();
        assert_eq!(feeds[1], Some(Feed { source: Source::Low, layers: 1 }));
        let rooms = [direct(500.0), direct(15.0), direct(450.0)];
        let changes = hold(&mut a, &mut at, 3, rooms);
        let (_, pictures, feeds) = changes.last().unwrap();
        assert_eq!((feeds[1], pictures[1]), (None, None), "the second encoder is for nobody");
    }

    #[test]
    fn it_comes_back_one_step_in_ten_seconds_and_a_step_that_fails_waits_longer() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        let thin = [direct(500.0), direct(15.0), None];
        let good = [direct(500.0), direct(500.0), None];
        hold(&mut a, &mut at, 3, thin);
        let began = at;
        let changes = hold(&mut a, &mut at, 31, good);
        let steps: Vec<_> = changes[1..].iter().map(|(at, _, f)| (at - began, f[1])).collect();
        let low = |layers| Some(Feed { source: Source::Low, layers });
        assert_eq!(steps, [(10_000, low(1)), (20_050, low(2)), (30_100, FULL)]);
        // Two tries that fail at once.
        hold(&mut a, &mut at, 3, thin);
        let mut waits = Vec::new();
        for _ in 0..3 {
            let began = at;
            let rooms = good;
            let mut changed = None;
            while changed.is_none() {
                let changes = hold(&mut a, &mut at, 1, rooms);
                changed = changes.iter().find(|(_, _, f)| f[1].is_some()).map(|(at, _, _)| *at);
            }
            waits.push((changed.unwrap() - began) / 1_000);
            hold(&mut a, &mut at, 4, thin);
        }
        assert!(waits[0] >= 10 && waits[1] >= waits[0] * 2 - 1 && waits[2] >= 70, "{waits:?}");
    }

    #[test]
    fn what_a_probe_has_shown_is_given_after_two_seconds_and_what_it_has_not_is_not_tried() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        let room = |kbps, shown| Some(Room { kbps, known: true, relayed: false, shown });
        hold(&mut a, &mut at, 3, [direct(500.0), direct(15.0), None]);
        assert_eq!(a.wanted(0), None, "it has the best");
        // The base layer of low, then all of it, then what the best path has less a share.
        assert!(a.wanted(1).is_some_and(|kbps| (55.0..56.0).contains(&kbps)));
        let failed = hold(&mut a, &mut at, 30, [direct(500.0), room(100.0, Some(20.0)), None]);
        assert_eq!((failed.len(), a.feed(1)), (1, None));
        hold(&mut a, &mut at, 1, [direct(500.0), direct(15.0), None]);
        let began = at;
        let shown = hold(&mut a, &mut at, 3, [direct(500.0), room(100.0, Some(60.0)), None]);
        let low = |layers| Some(Feed { source: Source::Low, layers });
        assert_eq!((shown[1].0 - began, a.feed(1)), (2_000, low(1)));
        assert!(a.wanted(1).is_some_and(|kbps| (91.0..93.0).contains(&kbps)));
        hold(&mut a, &mut at, 1, [direct(500.0), room(60.0, Some(60.0)), None]);
        let began = at;
        let shown = hold(&mut a, &mut at, 3, [direct(500.0), room(500.0, Some(500.0)), None]);
        assert_eq!((shown[1].0 - began, a.feed(1)), (2_000, FULL), "two steps at once");
        assert_eq!(a.wanted(1), None);
        // It has failed: the next takes twice as long.
        hold(&mut a, &mut at, 3, [direct(500.0), direct(15.0), None]);
        let began = at;
        let shown = hold(&mut a, &mut at, 9, [direct(500.0), room(500.0, Some(500.0)), None]);
        assert_eq!(shown[1].0 - began, 4_000);
    }

    #[test]
    fn a_path_that_is_still_being_tried_changes_the_bitrate_only() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        let tried = Some(Room { kbps: 80.0, known: false, relayed: false, shown: None });
        let changes = hold(&mut a, &mut at, 5, [tried, direct(500.0), None]);
        let (_, pictures, feeds) = changes.last().unwrap();
        assert_eq!((changes.len(), feeds[0], pictures[1]), (1, FULL, None));
        assert_eq!(pictures[0].map(|p| (p.height, p.fps, p.kbps)), Some((480, 24, 80)));
    }

    #[test]
    fn a_relayed_peer_gets_one_small_layer_at_once() {
        let mut a = Allotment::new(400);
        let relayed = Some(Room { kbps: 500.0, known: true, relayed: true, shown: None });
        a.update(&[direct(500.0), relayed, None], Micros(0));
        assert_eq!(a.feed(1), Some(Feed { source: Source::Low, layers: 1 }));
        let low = a.pictures()[1].unwrap();
        assert!(f64::from(low.kbps) * BASE <= 125.0, "{low:?}");
        // A direct way has been found.
        let mut at = 0;
        hold(&mut a, &mut at, 25, [direct(500.0), direct(500.0), None]);
        assert_eq!(a.feed(1), FULL);
    }

    #[test]
    fn a_short_dip_changes_the_bitrate_and_nothing_else() {
        let mut a = Allotment::new(400);
        let mut at = 0;
        hold(&mut a, &mut at, 2, [direct(500.0); 3]);
        let dip = hold(&mut a, &mut at, 1, [direct(100.0); 3]);
        assert_eq!(dip.len(), 1);
        let main = dip[0].1[0].unwrap();
        assert_eq!((main.height, main.fps, main.kbps), (480, 24, 100));
        let after = hold(&mut a, &mut at, 1, [direct(500.0); 3]);
        assert_eq!(after[0].1[0].map(|p| p.kbps), Some(400));
    }
}
