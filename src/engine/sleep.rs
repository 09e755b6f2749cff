//! The computer's sleeps, as they come: read off the system's clocks by whoever keeps the session
//! clock (the control thread of a call, the supervisor of a recorder alone), carried out for all.

use std::time::Duration;

use super::events::Events;
use super::record::RecordShared;
use super::shared::Shared;
use crate::clock::{ClockMap, Follower, Reading, Sleep, SleepWatch, Slept};
use crate::platform::clock;
use crate::recording::metadata::Kind;
use crate::ui::model::Event;

/// The others are told of a sleep for so long after it.
const TOLD: Duration = Duration::from_secs(60);

fn reading() -> Reading {
    let (local, awake, asleep) = clock::sleep_reading();
    Reading { local, awake, asleep }
}

/// Looks whether the computer has slept.
pub struct SleepSensor {
    watch: SleepWatch,
}

impl SleepSensor {
    /// Everything slept so far is of no matter.
    pub fn new(shared: &Shared) -> Self {
        let now = reading();
        shared.watch_sleep(now.asleep);
        Self { watch: SleepWatch::new(now) }
    }

    /// A sleep since the last look, and the system's count of all time slept.
    pub fn look(&mut self) -> Option<(Sleep, i64)> {
        let now = reading();
        self.watch.look(now).map(|sleep| (sleep, now.asleep))
    }
}

/// What follows from a sleep: the clock goes on, a long one ends the file, everybody is told.
/// `follower`'s clock knows of it already.
pub fn carry_out(
    slept: Slept,
    follower: &Follower,
    asleep: i64,
    (shared, record, events): (&Shared, &RecordShared, &Events),
) {
    let Some(map) = follower.map() else { return shared.watch_sleep(asleep) };
    // First, so that whoever hears of the sleep knows whether the file ends with it.
    let splits = slept.is_long() && record.parts.split(&slept, shared.sleeps());
    shared.add_sleep(slept, &map, follower.settled(), asleep);
    if follower.settled() {
        record.parts.begin_waiting(&map);
    }
    let seconds = slept.micros as f64 / 1e6;
    if record.start.get().is_some() {
        let what = match splits {
            true => format!("this computer was asleep for {seconds:.1} s: another file begins"),
            false => format!(
                "this computer was asleep for {seconds:.1} s: silence and the last picture stand for it"
            ),
        };
        record.note_kind(Kind::Sleep, slept.from, what);
    }
    events.send(Event::Slept { seconds, new_file: splits });
}

/// The clock was measured after a sleep.
pub fn settle(map: &ClockMap, shared: &Shared, record: &RecordShared) {
    shared.settle(map);
    record.parts.begin_waiting(map);
}

/// Length of the last sleep, milliseconds, while the others are to be told of it; else 0.
pub fn told(shared: &Shared) -> u32 {
    let last = shared.sleeps().checked_sub(1).and_then(|n| shared.sleep(n));
    let fresh = |slept: &Slept| clock::now().since(slept.awake) < TOLD.as_micros() as i64;
    let millis = |slept: Slept| (slept.micros / 1_000).clamp(1, u32::MAX.into()) as u32;
    last.filter(fresh).map_or(0, millis)
}
