//! Offset and skew against the session clock, with a bound that holds on any path.
//!
//! Each exchange of four stamps says two things that are true whatever the path does, because
//! nothing arrives before it was sent: at our sending the offset was at most `remote_received -
//! sent`, and at our receiving it was at least `remote_sent - received`. Over time the upper and
//! the lower marks leave a corridor, and the offset's course runs through it.
//!
//! - **The filter**: only the fastest packets in either direction touch the corridor's walls; what
//!   a queue delayed lies behind them. This is NTP's minimum-round-trip filter for each direction
//!   by itself, so that a packet that was fast one way only is not lost, and burst, jitter and loss
//!   need no threshold.
//! - **The regression** is the straight line with the most room to both walls: a least-worst fit,
//!   which no number of delayed packets can pull, with all lines that fit as its error bar. (Theil's
//!   and Sen's median of slopes takes the middle of the delays and is wrong by what a one-sided
//!   queue adds to half of them; it also has no bound to publish.) As long as the marks span too
//!   little to tell a slope, the line stays level, and later it keeps the slope that it had: another
//!   one has to earn its place.
//! - **The bound** is the extent of all lines that fit. Half the shortest round trip is its floor,
//!   because no exchange can see an asymmetric path.
//!
//! Crystals do not run straight: they follow the temperature. So a mark's wall moves back with its
//! age by as much as the offset can have curved since ([`WANDER_PPM_PER_SECOND`]): old marks fade by
//! themselves. Moon, Skelly and Towsley (INFOCOM 1999) fit a line below one-way delays in the same way.

use std::collections::VecDeque;

use crate::units::{Micros, SessionMicros};

/// Exchanges that are remembered: some four minutes of heartbeats. Older ones have faded.
const WINDOW: usize = 256;

/// Fastest that two monotonic clocks part, in parts per million: each crystal is within 100 of its
/// nominal rate (ordinary ones within 50), whatever its age and temperature.
const STEEPEST_PPM: f64 = 200.0;

/// Fastest change of that rate: a crystal moves by some 5 ppm while a laptop warms by 25 degrees
/// in five minutes, which is 0.02; two of them, and some air.
const WANDER_PPM_PER_SECOND: f64 = 0.05;

/// What a stamp itself may be wrong by, microseconds: it is truncated, and bringing the kernel's
/// arrival stamps to our clock costs two readings of it.
const STAMP_MICROS: f64 = 10.0;

/// Room in the corridor that another slope must gain for each part per million of change,
/// microseconds: below that, the difference is as well explained by two packets' jitter.
const SLOPE_PRICE: f64 = 0.7;

/// Steps of a search over the slope: narrows 400 ppm to a millionth of one.
const STEPS: usize = 42;

/// What is known about the distance to the session clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// When, local clock.
    pub at: Micros,
    /// Session clock less local clock then, microseconds.
    pub offset: i64,
    /// How much faster the session clock runs, parts per billion.
    pub skew_ppb: i64,
    /// The truth lay within this many microseconds of `offset`.
    pub uncertainty: i64,
    /// How fast that grows without a further exchange, parts per billion.
    pub growth_ppb: i64,
    /// Shortest round trip in the window, microseconds.
    pub round_trip: i64,
}

impl Estimate {
    /// The bound at a later instant: what the skew may be off by has added up since.
    pub fn uncertainty_at(&self, now: Micros) -> i64 {
        let seconds = now.since(self.at).max(0) as f64 / 1e6;
        let grown = self.growth_ppb as f64 / 1e3 * seconds + wander(seconds);
        self.uncertainty + grown.min(2.0 * STEEPEST_PPM * seconds).ceil() as i64
    }

    /// The skew in parts per million.
    pub fn skew_ppm(&self) -> f64 {
        self.skew_ppb as f64 / 1e3
    }
}

/// How far a course may have curved away from its tangent within a time, microseconds.
fn wander(seconds: f64) -> f64 {
    (WANDER_PPM_PER_SECOND * seconds * seconds / 2.0).min(2.0 * STEEPEST_PPM * seconds.abs())
}

#[derive(Clone, Copy, Debug)]
struct Exchange {
    sent: Micros,
    /// Most that the offset can have been at `sent`.
    most: i64,
    received: Micros,
    /// Least that it can have been at `received`.
    least: i64,
    round_trip: i64,
}

/// Turns timestamp exchanges with the holder of the session clock into an [`Estimate`].
#[derive(Clone, Debug, Default)]
pub struct Estimator {
    window: VecDeque<Exchange>,
    /// One that contradicts the others. A second one is needed to believe it.
    suspect: Option<Exchange>,
    jumped: bool,
    /// The newest estimate's slope, ppm.
    slope: f64,
}

impl Estimator {
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
        let most = remote_received.0 - sent.0;
        let least = remote_sent.0 - received.0;
        self.take(Exchange { sent, most, received, least, round_trip });
    }

    fn take(&mut self, exchange: Exchange) {
        if self.window.len() == WINDOW {
            self.window.pop_front();
        }
        self.window.push_back(exchange);
        if self.fits() {
            self.suspect = None;
            return;
        }
        self.window.pop_back();
        let Some(before) = self.suspect.replace(exchange) else { return };
        // Twice: one of the two clocks stood still or was set. What was known is void.
        self.suspect = None;
        self.jumped = true;
        self.window.clear();
        self.window.push_back(before);
        self.window.push_back(exchange);
        if !self.fits() {
            self.window.pop_front();
        }
    }

    fn fits(&self) -> bool {
        let Some(last) = self.window.back() else { return true };
        let corridor = Corridor::new(&self.window, last.received);
        corridor.width(peak(|s| corridor.width(s), -STEEPEST_PPM, STEEPEST_PPM)) >= 0.0
    }

    /// Forgets all exchanges but keeps the skew and that the offset was within `uncertainty` of `offset` at `now`.
    pub fn restart(&mut self, now: Micros, offset: i64, uncertainty: i64) {
        *self = Self { slope: self.slope, ..Self::default() };
        self.window.push_back(Exchange {
            sent: now,
            most: offset + uncertainty,
            received: now,
            least: offset - uncertainty,
            round_trip: 2 * uncertainty,
        });
    }

    /// Whether the clocks were found to have jumped against each other since the last call.
    pub fn take_jump(&mut self) -> bool {
        std::mem::take(&mut self.jumped)
    }

    /// Number of exchanges in the window.
    pub fn len(&self) -> usize {
        self.window.len()
    }

    /// No exchange has been taken yet.
    pub fn is_empty(&self) -> bool {
        self.window.is_empty()
    }

    /// What the window says about `now`; `None` before the first exchange.
    pub fn estimate(&mut self, now: Micros) -> Option<Estimate> {
        let first = self.window.front()?;
        // Doubles hold microseconds of some minutes to less than a nanosecond, not those of years.
        let base = first.least;
        let corridor = Corridor::new(&self.window, now);
        let widest = peak(|s| corridor.width(s), -STEEPEST_PPM, STEEPEST_PPM);
        let flattest = corridor.edge(widest, -STEEPEST_PPM);
        let steepest = corridor.edge(widest, STEEPEST_PPM);
        let highest = corridor.ceiling(peak(|s| corridor.ceiling(s), flattest, steepest));
        let lowest = corridor.floor(peak(|s| -corridor.floor(s), flattest, steepest));
        let held = self.slope;
        let room = |s: f64| corridor.width(s) / 2.0 - SLOPE_PRICE * (s - held).abs();
        let slope = peak(room, flattest, steepest);
        self.slope = slope;
        let middle = f64::midpoint(corridor.ceiling(slope), corridor.floor(slope));
        let growth = (steepest - slope).max(slope - flattest).max(0.0);
        Some(Estimate {
            at: now,
            offset: base + middle.round() as i64,
            skew_ppb: (slope * 1e3).round() as i64,
            uncertainty: (highest - middle).max(middle - lowest).max(0.0).ceil() as i64 + 1,
            growth_ppb: (growth * 1e3).ceil() as i64,
            round_trip: self.window.iter().map(|e| e.round_trip).min().unwrap_or(0),
        })
    }
}

/// The marks as seen from one instant: age in seconds, and the offset's wall there, microseconds
/// above the window's base.
struct Corridor {
    above: Vec<(f64, f64)>,
    below: Vec<(f64, f64)>,
}

impl Corridor {
    fn new(window: &VecDeque<Exchange>, now: Micros) -> Self {
        let base = window.front().map_or(0, |e| e.least);
        let age = |at: Micros| now.since(at) as f64 / 1e6;
        let above = window.iter().map(|e| {
            let age = age(e.sent);
            (age, (e.most - base) as f64 + STAMP_MICROS + wander(age))
        });
        let below = window.iter().map(|e| {
            let age = age(e.received);
            (age, (e.least - base) as f64 - STAMP_MICROS - wander(age))
        });
        Self { above: above.collect(), below: below.collect() }
    }

    /// Most that the offset can be now if it rises by `slope` ppm: concave in it.
    fn ceiling(&self, slope: f64) -> f64 {
        self.above.iter().map(|(age, wall)| wall + slope * age).fold(f64::INFINITY, f64::min)
    }

    /// Least that it can be: convex.
    fn floor(&self, slope: f64) -> f64 {
        self.below.iter().map(|(age, wall)| wall + slope * age).fold(f64::NEG_INFINITY, f64::max)
    }

    fn width(&self, slope: f64) -> f64 {
        self.ceiling(slope) - self.floor(slope)
    }

    /// The slope nearest to `far` that still fits, seen from one that does.
    fn edge(&self, mut fits: f64, mut far: f64) -> f64 {
        if self.width(far) >= 0.0 {
            return far;
        }
        for _ in 0..STEPS {
            let middle = f64::midpoint(fits, far);
            if self.width(middle) >= 0.0 {
                fits = middle;
            } else {
                far = middle;
            }
        }
        // On the side that does not fit any more: the bound is not narrowed by the search.
        far
    }
}

/// Where a concave function is highest between two places: a golden-section search.
fn peak(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    const SECTION: f64 = 0.618_033_988_749_894_9;
    let mut left = high - (high - low) * SECTION;
    let mut right = low + (high - low) * SECTION;
    let (mut at_left, mut at_right) = (f(left), f(right));
    for _ in 0..STEPS {
        if at_left < at_right {
            (low, left, at_left) = (left, right, at_right);
            right = low + (high - low) * SECTION;
            at_right = f(right);
        } else {
            (high, right, at_right) = (right, left, at_left);
            left = high - (high - low) * SECTION;
            at_left = f(left);
        }
    }
    f64::midpoint(low, high)
}
