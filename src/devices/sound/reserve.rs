//! How much sound the own playback keeps in the device ahead of what is being heard, and what it
//! writes next. Pure: positions and instants come in as parameters.
//!
//! The device plays from its buffer; whatever is in there cannot be taken back. So nothing is asked
//! for before no more than the *reserve* is left; then whatever is settled goes along, up to a frame
//! of sound, and the thread sleeps until the next one's turn. The reserve covers how late the system
//! wakes the thread; it grows when it was too small and shrinks when long calm. [`Patience`] is for
//! devices of either direction whose position does not move.

use crate::units::{Micros, SAMPLE_RATE};

/// Written at a time at least, frames: 0.08 ms. It is delay as well as the reserve is; without it
/// each wake-up would be followed by another one.
pub const LEAST_DUE: i64 = 4;
/// Written at a time at most, frames: 5 ms.
pub const MOST_DUE: usize = 240;
/// Reserve at the start and at least, frames: a quarter of a millisecond, some ten times what a
/// calm system takes to wake a real-time thread.
const LEAST: i64 = 12;
/// Reserve at most, frames: 20 ms, which is what two usual periods of a sound card hold.
const MOST: i64 = 960;
/// Frames by which the reserve grows at least: 0.5 ms.
const STEP: i64 = 24;
/// A second underrun within this time makes the reserve grow. One alone is an accident, and half a
/// millisecond more would not have prevented it.
const TROUBLE: i64 = 10_000_000;
/// Silence longer than this, microseconds, is a stall of the system, which a reserve worth having
/// does not cover either: it takes ...
const STALL: i64 = 2_500;
/// ... so many of them within [`TROUBLE`] of each other until the reserve grows all the same.
const STALLS: u32 = 3;
/// Calm that takes an eighth of the reserve back.
const CALM: i64 = 20_000_000;
/// At least so many frames of it.
const BACK: i64 = 12;
/// Underruns in [`TROUBLE`] at the largest reserve that mean: this device cannot be used so.
const HOPELESS: u32 = 5;

/// What an underrun leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Accident,
    /// The reserve is larger now.
    Raised,
    /// It cannot become larger and is not enough.
    Hopeless,
}

/// The reserve of one device.
#[derive(Clone, Debug)]
pub struct Reserve {
    frames: i64,
    last: Option<Micros>,
    calm_since: Option<Micros>,
    stalls: u32,
    in_vain: u32,
}

/// Frames as microseconds.
pub fn micros(frames: i64) -> i64 {
    frames * 1_000_000 / i64::from(SAMPLE_RATE)
}

impl Default for Reserve {
    fn default() -> Self {
        Self { frames: LEAST, last: None, calm_since: None, stalls: 0, in_vain: 0 }
    }
}

impl Reserve {
    /// Frames kept at least.
    pub fn frames(&self) -> i64 {
        self.frames
    }

    /// Frames to write now at least with `fill` frames in the buffer (negative: it has run dry by so much).
    pub fn due(&self, fill: i64) -> usize {
        if fill > self.frames {
            return 0;
        }
        (self.frames + LEAST_DUE - fill) as usize
    }

    /// From the moment at which frames are written, on time, until the first of them is heard,
    /// microseconds.
    pub fn delay(&self) -> i64 {
        micros(self.frames)
    }

    /// Microseconds until [`Self::due`] has something to write.
    pub fn wait(&self, fill: i64) -> i64 {
        micros((fill - self.frames).max(0))
    }

    /// The device ran dry, and nothing was heard for `silent` microseconds.
    pub fn dry(&mut self, now: Micros, silent: i64) -> Verdict {
        let trouble = self.last.is_some_and(|last| now.since(last) < TROUBLE);
        self.last = Some(now);
        self.calm_since = Some(now);
        if !trouble {
            self.in_vain = 0;
            self.stalls = 0;
        }
        self.stalls += u32::from(silent > STALL);
        if !trouble || silent > STALL && self.stalls < STALLS {
            return Verdict::Accident;
        }
        if self.frames >= MOST {
            self.in_vain += 1;
            return if self.in_vain >= HOPELESS { Verdict::Hopeless } else { Verdict::Accident };
        }
        self.frames = (self.frames + STEP.max(self.frames / 4)).min(MOST);
        Verdict::Raised
    }

    /// Call it now and then: takes the reserve back after long calm.
    pub fn look(&mut self, now: Micros) {
        let since = *self.calm_since.get_or_insert(now);
        if now.since(since) >= CALM {
            self.frames = (self.frames - BACK.max(self.frames / 8)).max(LEAST);
            self.calm_since = Some(now);
        }
    }
}

/// How long to sleep while a device's position stands still: as long as it should take at first, for
/// it may move in small steps; the longer it stands, the longer, so that a frozen device costs
/// nothing until it is given up.
#[derive(Clone, Debug)]
pub struct Patience {
    position: i64,
    since: Option<Micros>,
    /// Longest sleep because of that, microseconds: half a period.
    most: i64,
}

impl Patience {
    /// Part of the time that it has stood still already.
    const PART: i64 = 8;

    /// For a device with this period, in frames.
    pub fn new(period: u32) -> Self {
        Self { position: 0, since: None, most: micros(i64::from(period)) / 2 }
    }

    /// Microseconds to sleep when the device stands at `position` and there should be something to
    /// do in `wait`.
    pub fn sleep(&mut self, position: i64, wait: i64, now: Micros) -> i64 {
        let since = *self.since.get_or_insert(now);
        if position != self.position {
            self.position = position;
            self.since = Some(now);
            return wait;
        }
        wait.max((now.since(since) / Self::PART).min(self.most))
    }

    /// The same where the device does not even tell its position.
    pub fn sleep_blind(&mut self, wait: i64, now: Micros) -> i64 {
        self.sleep(self.position, wait, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_stands_still_is_asked_ever_more_seldom_and_one_that_moves_in_steps_is_not_late()
     {
        let mut patience = Patience::new(480);
        let (mut now, mut asked) = (Micros(0), 0);
        while now < Micros(3_000_000) {
            now = now + patience.sleep(7, 50, now).max(50);
            asked += 1;
        }
        assert!(asked < 800, "{asked} times in 3 s");
        assert_eq!(patience.sleep(8, 50, now), 50, "it moves again");
        // Steps of 1 ms are seen an eighth of one late at most.
        let mut patience = Patience::new(480);
        let mut now = Micros(0);
        while now < Micros(1_000_000) {
            let slept = patience.sleep(now.0 / 1_000 * 48, 50, now);
            assert!(slept <= 125, "{slept}");
            now = now + slept;
        }
    }

    #[test]
    fn nothing_is_written_before_the_reserve_is_reached_and_a_late_wake_up_is_made_good() {
        let reserve = Reserve::default();
        assert_eq!(reserve.due(LEAST + 1), 0);
        assert_eq!(reserve.wait(LEAST + 48), 1_000);
        assert_eq!(reserve.due(LEAST), 4);
        assert_eq!(reserve.due(4), 12);
        assert_eq!(reserve.due(-100), 116);
        assert_eq!(reserve.delay(), 250);
    }

    #[test]
    fn in_virtual_time_nothing_is_asked_for_before_the_reserve_is_reached_and_it_never_runs_dry() {
        let reserve = Reserve::default();
        let (mut fill, mut wakes, mut next) = (LEAST + LEAST_DUE, 0, 0);
        // Three voices whose frames end at places of their own.
        let (mut place, ends) = (0i64, [0i64, 100, 110]);
        for sample in 0..48_000i64 {
            // Each wake-up is late by up to 0.2 ms.
            if sample >= next {
                wakes += 1;
                let due = reserve.due(fill) as i64;
                if due > 0 {
                    assert!(fill <= LEAST);
                    let settled = |end: &i64| 240 - (place + due - end).rem_euclid(240);
                    let more = ends.iter().map(settled).min().unwrap_or(0);
                    let len = (due + more).min(MOST_DUE as i64);
                    (fill, place) = (fill + len, place + len);
                }
                next = sample + reserve.wait(fill) * 48 / 1_000 + wakes * 7 % 10;
            }
            fill -= 1;
            assert!((0..=LEAST + MOST_DUE as i64).contains(&fill), "{fill} at {sample}");
        }
        assert!(wakes <= 700, "{wakes}");
    }

    #[test]
    fn the_reserve_grows_by_repeated_underruns_only_and_is_taken_back_when_calm() {
        let mut reserve = Reserve::default();
        let at = |seconds: i64| Micros(seconds * 1_000_000);
        assert_eq!(reserve.dry(at(0), 700), Verdict::Accident);
        assert_eq!(reserve.dry(at(60), 700), Verdict::Accident);
        assert_eq!(reserve.dry(at(61), 700), Verdict::Raised);
        assert_eq!(reserve.frames(), LEAST + STEP);
        for second in 61..81 {
            reserve.look(at(second));
            assert_eq!(reserve.frames(), LEAST + STEP);
        }
        for second in 81..300 {
            reserve.look(at(second));
        }
        assert_eq!(reserve.frames(), LEAST);
    }

    #[test]
    fn a_stall_of_the_system_costs_no_delay_unless_they_come_again_and_again() {
        let mut reserve = Reserve::default();
        let at = |seconds: i64| Micros(seconds * 1_000_000);
        assert_eq!([0, 8].map(|s| reserve.dry(at(s), 9_000)), [Verdict::Accident; 2]);
        assert_eq!(reserve.dry(at(15), 9_000), Verdict::Raised);
        assert_eq!([30, 38].map(|s| reserve.dry(at(s), 9_000)), [Verdict::Accident; 2]);
        // What a little more would have covered is covered at once.
        assert_eq!(reserve.dry(at(39), 400), Verdict::Raised);
    }

    #[test]
    fn a_device_that_runs_dry_whatever_is_kept_is_given_up() {
        let mut reserve = Reserve::default();
        let mut now = Micros(0);
        let mut count = 0;
        while reserve.dry(now, 5_000) != Verdict::Hopeless {
            now = now + 1_000_000;
            count += 1;
            assert!(count < 100);
        }
        assert_eq!(reserve.frames(), MOST);
    }
}
