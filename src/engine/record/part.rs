//! The files of one recording: one, and after each long sleep of the computer another (DESIGN
//! section 6), all on the same grid.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::{FILE_NAME, Start};
use crate::clock::{ClockMap, Slept};
use crate::units::{Micros, RECORDING_FPS};

/// One file, before, while and after it is written.
#[derive(Debug, Default)]
pub struct Part {
    /// 0 for the first.
    pub number: usize,
    /// Set once: record from here on.
    pub start: OnceLock<Start>,
    /// Set once: up to this slot of the grid, exclusive.
    pub end_slot: OnceLock<u64>,
    /// Set once, after `end_slot`: where the file really ends. The last picture captured before
    /// the end may stand one slot behind it, and the sound ends with the picture.
    pub last_slot: OnceLock<u64>,
    /// Set once, before `end_slot`, when a sleep ends it: what is captured from here on, local
    /// clock, is the next part's.
    pub until: OnceLock<Micros>,
    /// What is captured from here on, local clock, is kept until the start is known.
    pub since: Option<Micros>,
    /// The computer was awake at this local instant, at the earliest: where the part begins.
    pub begins: Option<Micros>,
    /// Sleeps before it.
    pub sleeps: usize,
}

/// Name of a part (0 for the first) in the session's folder.
pub fn file_name(number: usize) -> String {
    match (number, FILE_NAME.rsplit_once('.')) {
        (1.., Some((stem, extension))) => format!("{stem}_{}.{extension}", number + 1),
        _ => FILE_NAME.to_owned(),
    }
}

/// A closed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its part.
    pub number: usize,
    /// Where it begins.
    pub start: Start,
    /// The MP4 file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Pictures in it.
    pub frames: u64,
    /// Samples of sound in it.
    pub samples: u64,
    /// BLAKE2s-256 of the media in it (see `recording::mp4::Finished`).
    pub media_hash: [u8; 32],
}

/// All parts so far, and those that are closed.
#[derive(Debug)]
pub struct Parts {
    all: Mutex<Vec<Arc<Part>>>,
    /// Pictures are recorded: where they end, the sound ends. Changed under the lock of `all`.
    picture: AtomicBool,
    /// Set once: no more than so many microseconds from the first part's start on are recorded.
    length: OnceLock<i64>,
    written: Mutex<Vec<Written>>,
}

impl Default for Parts {
    fn default() -> Self {
        let (picture, length, written) = <(AtomicBool, OnceLock<i64>, _)>::default();
        Self { all: Mutex::new(vec![Arc::default()]), picture, length, written }
    }
}

impl Parts {
    fn all(&self) -> MutexGuard<'_, Vec<Arc<Part>>> {
        self.all.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// A part, the first is 0.
    pub fn get(&self, number: usize) -> Option<Arc<Part>> {
        self.all().get(number).cloned()
    }

    /// The first part.
    pub fn first(&self) -> Arc<Part> {
        self.all()[0].clone()
    }

    /// The part that everything new belongs to.
    pub fn last(&self) -> Arc<Part> {
        let all = self.all();
        all[all.len() - 1].clone()
    }

    /// The recording is planned to be that long, microseconds.
    pub fn plan(&self, length: i64) {
        let _ = self.length.set(length);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// Pictures are recorded, or none any more: then the sound ends where it was told to.
    pub fn set_picture(&self, picture: bool) {
        let all = self.all();
        self.picture.store(picture, Relaxed);
        if !picture {
            for part in all.iter() {
                if let Some(&end) = part.end_slot.get() {
                    let _ = part.last_slot.set(end);
                }
            }
        }
    }

    /// The last part ends with the slot before that one.
    pub fn end(&self, slot: impl FnOnce(Option<&Start>) -> u64) {
        let all = self.all();
        self.end_part(&all[all.len() - 1], slot);
    }

    fn end_part(&self, part: &Part, slot: impl FnOnce(Option<&Start>) -> u64) {
        let end = *part.end_slot.get_or_init(|| slot(part.start.get()));
        if !self.picture.load(Relaxed) {
            let _ = part.last_slot.set(end);
        }
    }

    /// A long sleep, after `sleeps` others: the part that was being written ends with it, and
    /// another waits for its start. `false` when none was, or it was over already.
    pub fn split(&self, slept: &Slept, sleeps: usize) -> bool {
        let mut all = self.all();
        let number = all.len();
        let ended = all[number - 1].clone();
        let Some(start) = ended.start.get() else { return false };
        if ended.end_slot.get().is_some() {
            return false;
        }
        let end = Start::slot_from(start.t0, slept.from).max(start.first_slot + 1);
        let _ = ended.until.set(slept.woke);
        let (since, begins) = (Some(slept.woke), Some(slept.awake));
        all.push(Arc::new(Part { number, since, begins, sleeps: sleeps + 1, ..Part::default() }));
        self.end_part(&ended, |_| end);
        true
    }

    /// The clock is known: the part that waits begins with the slot in which the computer woke up,
    /// so that nothing captured since lies before it.
    pub fn begin_waiting(&self, map: &ClockMap) {
        let all = self.all();
        let part = &all[all.len() - 1];
        let (Some(begins), Some(first)) = (part.begins, all[0].start.get()) else { return };
        let woke = map.to_session(begins).since(first.t0);
        let slots = i128::from(woke.max(0)) * i128::from(RECORDING_FPS) / 1_000_000;
        // A slot that an earlier file holds is not recorded twice.
        let ended = all.len().checked_sub(2).and_then(|n| all[n].end_slot.get().copied());
        let first_slot = (slots as u64).max(ended.unwrap_or(0));
        let planned =
            self.length.get().map(|length| Start::slot_from(first.t0, first.file() + *length));
        if part.start.get().is_none() && planned.is_some_and(|end| end <= first_slot) {
            // The computer slept through the planned end: nothing is left for another file.
            return self.end_part(part, |_| 0);
        }
        let _ = part.start.set(Start { first_slot, ..*first });
    }

    /// A file was closed.
    pub fn add_written(&self, written: Written) {
        self.written.lock().unwrap_or_else(|e| e.into_inner()).push(written);
    }

    /// All that were closed, in order.
    pub fn written(&self) -> Vec<Written> {
        let mut all = self.written.lock().unwrap_or_else(|e| e.into_inner()).clone();
        all.sort_by_key(|written| written.number);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SessionMicros;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn parts_are_named_by_their_number() {
        let names = [0, 1, 9].map(file_name);
        let expected = ["local_recording.mp4", "local_recording_2.mp4", "local_recording_10.mp4"];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_long_sleep_ends_a_part_behind_what_was_captured_and_begins_another_before_what_will_be() {
        let parts = Parts::default();
        let slept = |woke, from| Slept {
            woke: Micros(woke),
            awake: Micros(woke),
            from: SessionMicros(from),
            micros: 1,
        };
        let none = slept(0, 0);
        assert!(!parts.split(&none, 0), "nothing is recorded yet");
        let start = Start {
            t0: SessionMicros(2 * SECOND),
            first_slot: 3,
            epoch_utc_micros: 0,
            utc_offset_seconds: 0,
        };
        let _ = parts.first().start.set(start);
        // Asleep 5.01 s after T0, the session clock then goes on by 100 s.
        assert!(parts.split(&slept(50 * SECOND, 7 * SECOND + 10_000), 4));
        assert!(parts.last().start.get().is_none() && parts.count() == 2);
        let map = ClockMap::exact(Micros(50 * SECOND - 107 * SECOND - 40_000));
        parts.begin_waiting(&map);
        let (first, second) = (parts.first(), parts.last());
        assert_eq!(first.end_slot.get(), Some(&151));
        assert_eq!(first.until.get(), Some(&Micros(50 * SECOND)));
        let next = *second.start.get().unwrap();
        assert_eq!((next.first_slot, second.sleeps), (105 * 30 + 1, 5));
        assert!(next.file().0 <= 107 * SECOND + 40_000);
        assert_eq!(next.t0, start.t0);
        assert_eq!(second.since, Some(Micros(50 * SECOND)));
        // Ended by the person meanwhile: nothing follows.
        let _ = second.end_slot.set(next.first_slot + 1);
        assert!(!parts.split(&slept(90 * SECOND, 900 * SECOND), 5));
    }

    #[test]
    fn no_part_begins_behind_the_planned_end() {
        for (length, begins) in [(107 * SECOND, true), (104 * SECOND, false)] {
            let parts = Parts::default();
            parts.plan(length);
            let t0 = SessionMicros(SECOND);
            let start = Start { t0, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
            let _ = parts.first().start.set(start);
            let woke = Micros(5 * SECOND);
            let from = SessionMicros(5 * SECOND);
            let slept = Slept { woke, awake: woke, from, micros: 100 * SECOND };
            assert!(parts.split(&slept, 0));
            parts.begin_waiting(&ClockMap::exact(Micros(-100 * SECOND)));
            let last = parts.last();
            let (start, end) = (last.start.get(), last.end_slot.get());
            assert_eq!((start.is_some(), end), (begins, (!begins).then_some(&0)));
            assert_eq!(last.last_slot.get(), end);
        }
    }
}
