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

    /// Watches along with who sees to the sleeps.
    pub fn beside() -> Self {
        Self { watch: SleepWatch::new(reading()) }
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
    if slept.is_long() {
        // A part that still waits for its clock has sound and pictures, too, and ends here.
        record.parts.begin_waiting(&map);
    }
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

/// Sleeps while the files are closed: the control thread, which sees to them in a call, may have
/// ended, and a file whose end lies behind a sleep that nobody knows of is never whole.
pub struct ClosingWatch {
    sensor: SleepSensor,
    unseen: Option<(Sleep, i64)>,
}

impl ClosingWatch {
    /// Begins to watch.
    pub fn begin() -> Self {
        Self { sensor: SleepSensor::beside(), unseen: None }
    }

    /// Looks; with `alone` nobody else sees to it: the clock goes on by the system's word.
    pub fn look(&mut self, alone: bool, all: (&Shared, &RecordShared, &Events)) {
        let found = self.sensor.look();
        self.see_to(found, alone, all);
    }

    fn see_to(
        &mut self,
        found: Option<(Sleep, i64)>,
        alone: bool,
        all: (&Shared, &RecordShared, &Events),
    ) {
        let (shared, record, _) = all;
        self.unseen = found.or(self.unseen).filter(|(_, asleep)| !shared.knows_sleep(*asleep));
        if !alone {
            return;
        }
        if let Some((sleep, asleep)) = self.unseen.take() {
            let mut clock = shared.clock_map().map(Follower::going_on);
            match clock.as_mut().and_then(|clock| clock.slept(&sleep, false).zip(Some(&*clock))) {
                Some((slept, clock)) => carry_out(slept, clock, asleep, all),
                None => shared.watch_sleep(asleep),
            }
        }
        if !shared.settled() {
            settle_for_what_is_known(shared, record);
        }
    }
}

/// The recording ends: a sleep whose length was not measured yet was as long as the system says.
pub fn settle_for_what_is_known(shared: &Shared, record: &RecordShared) {
    shared.settle_for_what_is_known();
    if let Some(map) = shared.clock_map() {
        record.parts.begin_waiting(&map);
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::units::{Micros, SessionMicros};

    #[test]
    fn a_sleep_behind_the_control_threads_end_is_seen_to_and_one_that_it_saw_is_not_seen_twice() {
        let shared = Arc::new(Shared::default());
        shared.set_clock_map(&ClockMap::exact(Micros(0)));
        let (events, _) = Events::new(shared.clone());
        let record = RecordShared::default();
        let all = (&*shared, &record, &events);
        let mut watch = ClosingWatch::begin();
        let (fell, micros) = (Micros(5_000_000), 30_000_000);
        let sleep = Sleep { fell, awake: fell, noticed: fell, micros, missed: micros };
        watch.see_to(Some((sleep, micros)), false, all);
        assert!(!shared.knows_sleep(micros), "the control thread may still see to it");
        watch.see_to(None, true, all);
        assert!(shared.knows_sleep(micros) && shared.sleeps() == 1);
        assert_eq!(shared.session_at(fell), Some(SessionMicros((fell + micros).0)));
        watch.see_to(None, true, all);
        assert_eq!(shared.sleeps(), 1);
        // Seen to by the control thread, which then ended before it had measured.
        let map = shared.clock_map().unwrap();
        let slept = shared.sleep(0).unwrap();
        shared.add_sleep(slept, &map, false, 2 * micros);
        watch.see_to(Some((sleep, 2 * micros)), false, all);
        assert!(!shared.settled());
        watch.see_to(None, true, all);
        assert!(shared.settled() && shared.sleeps() == 2);
    }
}
