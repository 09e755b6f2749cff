//! The constant-frame-rate grid: which picture stands in which slot of the file.
//!
//! Slot N lies at T0 + N/30 s of the session clock, on every machine of a call. A slot is waited for
//! until [`DELAY_MICROS`] behind capture, so that a picture which arrives late still gets its own.
//! A camera that is not exactly 30.000 fps makes "constant frame rate" and "no frame dropped"
//! disagree; the accounting here is what makes both checkable. Pure: no clock, no thread. It
//! must not drop a picture without counting it.

use std::collections::VecDeque;

use crate::units::{MediaTime, RECORDING_FPS, SessionMicros};

#[cfg(test)]
mod tests;

/// How far the grid runs behind capture, in microseconds: longer than any camera driver's
/// hiccup that still delivers its pictures, short against the one-second fragment.
pub const DELAY_MICROS: i64 = 500_000;

/// The same where a picture stands already, in this slot or behind it, in microseconds: pictures come
/// in order of capture, so that nothing can change it but the end of the recording, which is known
/// 0.2 s ahead. A whole raw picture of 1080p is 3 MB, and each one that waits is memory.
pub const SETTLED_MICROS: i64 = 250_000;

/// How late, in slots, a picture may be shown before a slot is left to repeat the one before it:
/// half a slot and a hysteresis of 10 ms, more than a USB camera's stamps jitter (some 8 ms), so
/// that a camera whose phase sits between two slots does not flip between them.
const LATE_REACH: f64 = 0.8;

/// How early, in slots, a picture may be shown before it is given up: half a slot and twice that
/// jitter, because behind a pause the first picture's own jitter decides where it stands.
const EARLY_REACH: f64 = 1.0;

/// Weight of the newest interval in the running estimate of the camera's period: settled after
/// half a second at 30 fps, and 8 ms of jitter moves it by less than 2 %.
const PERIOD_WEIGHT: f64 = 1.0 / 16.0;

/// How near to a whole number of slots the camera's period must be for the assignment to count
/// in steps of it (29.97, 30.02, 15, 10 fps); 25, 24, 50 fps are far from that.
const CADENCE_TOLERANCE: f64 = 0.08;

/// How early, in slots, a picture of a camera slower than the grid may be shown when jitter
/// brings two pictures close together.
const SLOW_CAMERA_REACH: f64 = 1.25;

/// How early, in slots, the very first picture may be shown: 200 ms, the period of the slowest
/// camera in use (5 fps, in the dark).
const FIRST_PICTURE_REACH: f64 = 6.0;

/// From this period on, in slots, a camera counts as slower than the grid: 29.1 fps, beyond the
/// error of real cameras' 30 fps and the noise of the estimate.
const SLOW_CAMERA_PERIOD: f64 = 1.03;

/// Longer intervals, in slots, are pauses and say nothing about the camera's period.
const LONGEST_PERIOD: f64 = 8.0;

/// What a slot of the file shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<T> {
    /// A picture of its own.
    Picture(T),
    /// The picture of the slot before once more.
    Repeat,
    /// Black: nothing was captured yet, or the camera is switched off.
    Black,
}

/// One slot of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<T> {
    /// Number on the session's grid, counted from T0 (the file's first slot need not be 0).
    pub index: u64,
    /// What it shows.
    pub content: Content<T>,
    /// When the picture was captured; `None` for repeats and black.
    pub captured: Option<SessionMicros>,
}

/// What becomes of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It gets this slot.
    Slot(u64),
    /// The grid has no slot for it: the camera is faster.
    CadenceDiscarded,
    /// The same, because it came when its slot was already written.
    Late,
    /// The camera is switched off.
    Withheld,
    /// It was captured before the recording or behind its end and is not counted.
    Outside,
}

/// The accounting. At every moment `captured = encoded + cadence_discarded + withheld + queued`
/// and the slots handed out are `encoded + repeated + black`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GridCounts {
    /// Pictures captured within the recording. Those before its first slot or behind its end
    /// are not counted anywhere.
    pub captured: u64,
    /// Pictures handed out in a slot of their own.
    pub encoded: u64,
    /// Pictures for which the grid has no slot because the camera is faster than it.
    pub cadence_discarded: u64,
    /// The part of `cadence_discarded` that came more than [`DELAY_MICROS`] late, when its slot
    /// was already written: not cadence but a stalled program; a reason for a warning.
    pub late: u64,
    /// Slots that repeat the picture before.
    pub repeated: u64,
    /// Black slots.
    pub black: u64,
    /// Pictures withheld because the camera was switched off.
    pub withheld: u64,
    /// Pictures that wait for their slot to be due.
    pub queued: u64,
}

impl GridCounts {
    /// The accounting of two files.
    pub fn plus(self, other: Self) -> Self {
        Self {
            captured: self.captured + other.captured,
            encoded: self.encoded + other.encoded,
            cadence_discarded: self.cadence_discarded + other.cadence_discarded,
            late: self.late + other.late,
            repeated: self.repeated + other.repeated,
            black: self.black + other.black,
            withheld: self.withheld + other.withheld,
            queued: self.queued + other.queued,
        }
    }
}

struct Waiting<T> {
    slot: u64,
    captured: SessionMicros,
    picture: T,
}

/// Assigns captured pictures to slots and hands the slots out in order, without holes.
pub struct Grid<T> {
    t0: SessionMicros,
    first_slot: u64,
    next_slot: u64,
    end: Option<SessionMicros>,
    /// Last slot that got a picture.
    last: Option<u64>,
    /// Position of the last counted picture, in slots.
    last_position: Option<f64>,
    /// Estimate of the camera's period, in slots.
    period: f64,
    withholding: bool,
    /// Slots from which on nothing is shown until the next picture, in order.
    black_from: VecDeque<u64>,
    showing: bool,
    waiting: VecDeque<Waiting<T>>,
    counts: GridCounts,
}

impl<T> Grid<T> {
    /// A grid whose slot 0 is at `t0` and whose file begins with `first_slot`.
    pub fn new(t0: SessionMicros, first_slot: u64) -> Self {
        Self {
            t0,
            first_slot,
            next_slot: first_slot,
            end: None,
            last: None,
            last_position: None,
            period: 1.0,
            withholding: false,
            black_from: VecDeque::new(),
            showing: false,
            waiting: VecDeque::new(),
            counts: GridCounts::default(),
        }
    }

    /// The instant of a slot.
    pub fn slot_time(&self, index: u64) -> SessionMicros {
        self.t0 + MediaTime::frames(index as i64).to_micros()
    }

    /// The file's first slot; a slot's frame number in the file is `index - first_slot`.
    pub fn first_slot(&self) -> u64 {
        self.first_slot
    }

    /// The slot that [`Grid::next`] hands out next.
    pub fn next_slot(&self) -> u64 {
        self.next_slot
    }

    /// The accounting so far.
    pub fn counts(&self) -> GridCounts {
        self.counts
    }

    /// Takes a picture, in order of capture, and tells what becomes of it. (The last ones may still
    /// be taken back by [`Grid::finish`].)
    pub fn push(&mut self, captured: SessionMicros, picture: T) -> Fate {
        let outside = captured < self.slot_time(self.first_slot)
            || self.end.is_some_and(|end| captured >= end);
        if outside {
            return Fate::Outside;
        }
        self.counts.captured += 1;
        let position = captured.since(self.t0) as f64 * f64::from(RECORDING_FPS) / 1e6;
        self.measure(position);
        if self.withholding {
            self.counts.withheld += 1;
            return Fate::Withheld;
        }
        let late = self.counts.late;
        let Some(slot) = self.assign(position) else {
            self.counts.cadence_discarded += 1;
            return if self.counts.late > late { Fate::Late } else { Fate::CadenceDiscarded };
        };
        self.last = Some(slot);
        self.counts.queued += 1;
        self.waiting.push_back(Waiting { slot, captured, picture });
        Fate::Slot(slot)
    }

    fn measure(&mut self, position: f64) {
        if let Some(before) = self.last_position.replace(position) {
            let interval = position - before;
            if (0.0..=LONGEST_PERIOD).contains(&interval) {
                self.period += (interval - self.period) * PERIOD_WEIGHT;
            }
        }
    }

    /// The slot for a picture at `position`, or `None` when the grid has none for it.
    fn assign(&mut self, position: f64) -> Option<u64> {
        // Nothing may stand before what already stands there, nor where a slot was handed out.
        let earliest = self.last.map_or(self.next_slot, |last| self.next_slot.max(last + 1));
        if let Some(last) = self.last {
            let step = self.period.round().max(1.0);
            let steady = (self.period / step - 1.0).abs() <= CADENCE_TOLERANCE;
            let expected = last + step as u64;
            let near = (-EARLY_REACH..=LATE_REACH).contains(&(position - expected as f64));
            if steady && near && expected >= earliest {
                return Some(expected);
            }
        } else if position >= earliest as f64 && position < earliest as f64 + FIRST_PICTURE_REACH {
            // The first picture fills the first slot if it is near, so that the file does not
            // begin with a flash of black only because of the camera's phase.
            return Some(earliest);
        }
        let nearest = position.round() as u64;
        if nearest < self.next_slot {
            self.counts.late += 1;
            return None;
        }
        let slot = nearest.max(earliest);
        // How early a picture may be shown. A camera faster than the grid has a nearer picture
        // for most slots; one slower than the grid comes back by itself, so that no picture of it
        // is ever given up.
        let early = if self.period < 1.0 - CADENCE_TOLERANCE {
            0.5
        } else if self.period > SLOW_CAMERA_PERIOD {
            SLOW_CAMERA_REACH
        } else {
            EARLY_REACH
        };
        (slot as f64 - position <= early).then_some(slot)
    }

    /// Camera off: from the last picture on, slots are black and pictures are withheld, until it
    /// is on again. Pictures captured before keep their slots.
    pub fn withhold(&mut self, on: bool) {
        if on && !self.withholding {
            let from = self.last.map_or(self.next_slot, |last| (last + 1).max(self.next_slot));
            self.black_from.push_back(from);
        }
        self.withholding = on;
    }

    /// Ends the recording: [`Grid::next`] hands out all slots before `end`, without the delay. A
    /// picture captured before `end` whose slot is the next one behind gets that slot, too.
    /// Pictures captured later are no part of the recording and leave the accounting. The file's
    /// length is [`Grid::next_slot`] less [`Grid::first_slot`] once all is handed out.
    ///
    /// Gives the slot behind the last one that a picture stands in: the file ends there or at
    /// `end`, whichever is later.
    pub fn finish(&mut self, end: SessionMicros) -> u64 {
        self.end = Some(end);
        while self.waiting.back().is_some_and(|last| last.captured >= end) {
            self.waiting.pop_back();
            self.counts.queued -= 1;
            self.counts.captured -= 1;
        }
        self.waiting.back().map_or(self.next_slot, |last| self.next_slot.max(last.slot + 1))
    }

    /// The next slot, if it is due at `now` (or lies before the end, after [`Grid::finish`]).
    pub fn next(&mut self, now: SessionMicros) -> Option<Slot<T>> {
        let index = self.next_slot;
        let time = self.slot_time(index);
        let due = match self.end {
            Some(end) => time < end || !self.waiting.is_empty(),
            None => {
                let settled = !self.waiting.is_empty();
                time + if settled { SETTLED_MICROS } else { DELAY_MICROS } <= now
            }
        };
        if !due {
            return None;
        }
        self.next_slot += 1;
        while self.black_from.front().is_some_and(|&from| from <= index) {
            self.black_from.pop_front();
            self.showing = false;
        }
        if self.waiting.front().is_some_and(|first| first.slot == index) {
            let Waiting { captured, picture, .. } =
                self.waiting.pop_front().expect("front was just seen");
            self.showing = true;
            self.counts.queued -= 1;
            self.counts.encoded += 1;
            let captured = Some(captured);
            return Some(Slot { index, content: Content::Picture(picture), captured });
        }
        let content = if self.showing {
            self.counts.repeated += 1;
            Content::Repeat
        } else {
            self.counts.black += 1;
            Content::Black
        };
        Some(Slot { index, content, captured: None })
    }
}
