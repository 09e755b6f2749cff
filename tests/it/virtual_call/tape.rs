//! One party's recording, up to where the encoders begin: grid and timeline on the session clock.

use std::collections::VecDeque;

use hyperzoom::clock::ClockMap;
use hyperzoom::recording::grid::{Grid, GridCounts, Slot};
use hyperzoom::recording::timeline::{AudioTimeline, TimelineCounts};
use hyperzoom::units::{MediaTime, Micros, SAMPLES_PER_FRAME, SessionMicros};

/// Sound and pictures from before the start that are kept, because the start is told late.
const KEEP_SOUND: i64 = 1_500_000;
const KEEP_PICTURES: i64 = 400_000;

/// Where the file begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    pub t0: SessionMicros,
    pub first_slot: u64,
}

impl Start {
    pub fn slot(&self, index: u64) -> SessionMicros {
        self.t0 + MediaTime::frames(index as i64).to_micros()
    }

    pub fn file(&self) -> SessionMicros {
        self.slot(self.first_slot)
    }
}

/// The first slot at or after an instant.
pub fn slot_from(t0: SessionMicros, at: SessionMicros) -> u64 {
    (at.since(t0).max(0) as u64 * 30).div_ceil(1_000_000)
}

struct Running {
    start: Start,
    grid: Grid<u64>,
    timeline: AudioTimeline,
    map: ClockMap,
}

/// The recorder's two threads, without their encoders.
#[derive(Default)]
pub struct Tape {
    running: Option<Running>,
    finished: bool,
    /// Nothing captured since then is given up.
    kept: Option<Micros>,
    early_sound: VecDeque<(Micros, Vec<f32>)>,
    early_pictures: VecDeque<(Micros, u64)>,
    /// The file's sound.
    pub samples: Vec<f32>,
    /// The file's pictures, by the camera's number.
    pub slots: Vec<Slot<u64>>,
}

impl Tape {
    pub fn start(&self) -> Option<Start> {
        self.running.as_ref().map(|r| r.start)
    }

    pub fn keep_from(&mut self, at: Micros) {
        self.kept.get_or_insert(at);
    }

    pub fn begin(&mut self, start: Start, map: &ClockMap) {
        let grid = Grid::new(start.t0, start.first_slot);
        let mut timeline = AudioTimeline::new();
        timeline.begin(start.file());
        self.running = Some(Running { start, grid, timeline, map: *map });
        for (at, block) in std::mem::take(&mut self.early_sound) {
            self.sound(&block, at, Some(map));
        }
        for (at, number) in std::mem::take(&mut self.early_pictures) {
            self.picture(number, at, Some(map));
        }
    }

    pub fn sound(&mut self, block: &[f32], captured: Micros, map: Option<&ClockMap>) {
        match (&mut self.running, map) {
            _ if self.finished => {}
            (Some(running), Some(map)) => {
                let session = session_clock(*map);
                running.timeline.push(block, 48_000, captured, &session, &mut self.samples);
                running.map = *map;
                let c = running.timeline.counts();
                assert_eq!(c.written, self.samples.len() as u64);
                // By the card's count; the clocks part by some ppm, and a fade's length waits.
                let kept = c.received - c.before_start + c.silence_filled - c.trimmed - c.held;
                assert!(kept.abs_diff(c.written) < 310 + kept / 2_000, "{c:?}");
                assert_eq!(c.left_out, 0);
            }
            _ => {
                self.early_sound.push_back((captured, block.to_vec()));
                let kept = self.kept.unwrap_or(captured);
                let old = |(at, _): &(Micros, _)| captured.since(*at) > KEEP_SOUND && *at < kept;
                while self.early_sound.front().is_some_and(old) {
                    self.early_sound.pop_front();
                }
            }
        }
    }

    pub fn picture(&mut self, number: u64, captured: Micros, map: Option<&ClockMap>) {
        match (&mut self.running, map) {
            (Some(running), Some(map)) => {
                running.grid.push(map.to_session(captured), number);
            }
            _ => {
                self.early_pictures.push_back((captured, number));
                let kept = self.kept.unwrap_or(captured);
                let old =
                    |(at, _): &(Micros, u64)| captured.since(*at) > KEEP_PICTURES && *at < kept;
                while self.early_pictures.front().is_some_and(old) {
                    self.early_pictures.pop_front();
                }
            }
        }
    }

    /// Takes the slots that are due.
    pub fn poll(&mut self, now: SessionMicros, camera_off: bool) {
        let Some(running) = &mut self.running else { return };
        running.grid.withhold(camera_off);
        while let Some(slot) = running.grid.next(now) {
            self.slots.push(slot);
        }
        balanced(&running.grid.counts(), self.slots.len());
    }

    /// Ends the file with everything before slot `end`.
    pub fn finish(&mut self, end: u64) {
        self.finished = true;
        let running = self.running.as_mut().expect("a recording runs");
        running.grid.finish(running.start.slot(end));
        while let Some(slot) = running.grid.next(SessionMicros(0)) {
            self.slots.push(slot);
        }
        balanced(&running.grid.counts(), self.slots.len());
        let samples = (end - running.start.first_slot) * u64::from(SAMPLES_PER_FRAME);
        let session = session_clock(running.map);
        assert_eq!(running.timeline.finish(samples, &session, &mut self.samples), 0);
    }

    /// The accounting of a recording that runs or has ended.
    pub fn counts(&self) -> (GridCounts, TimelineCounts) {
        let running = self.running.as_ref().expect("a recording runs");
        (running.grid.counts(), running.timeline.counts())
    }
}

/// The session's time at a local instant, and parts of microseconds.
fn session_clock(map: ClockMap) -> impl Fn(f64) -> f64 {
    move |local| {
        let whole = local.floor();
        map.to_session(Micros(whole as i64)).0 as f64 + (local - whole)
    }
}

fn balanced(c: &GridCounts, slots: usize) {
    let known = c.encoded + c.cadence_discarded + c.withheld + c.queued;
    assert_eq!(c.captured, known, "{c:?}");
    assert_eq!(slots as u64, c.encoded + c.repeated + c.black, "{c:?}");
}
