//! The sound over sleeps of the computer, in time that the test makes: a recorder alone and a host
//! by the system's word, a guest whose clock is measured anew.

use super::*;
use crate::clock::{Follower, Sleep};
use crate::devices::microphone::MicSink;
use crate::engine::capture::MicTap;
use crate::engine::record::Recorder;
use crate::engine::record::mux::ForPart;
use crate::engine::sleep;
use crate::recording::{flac, tone};

const SECOND: i64 = 1_000_000;
const BLOCK: i64 = 5_000;
/// What fades and finding a place may touch at either edge of a gap, samples.
const EDGE: usize = 243;
const HUM: f32 = 0.02;

/// A world in which a low hum is always there, and chirps at some instants of the session.
struct World {
    tap: MicTap,
    recorder: AudioRecorder,
    options: SoundOptions,
    packets: mpsc::Receiver<ForPart>,
    start: Start,
    clock: Follower,
    local: i64,
    /// True session less local clock.
    ahead: i64,
    asleep: i64,
    chirps: Vec<i64>,
    heard: u64,
}

impl World {
    fn new(chirps: &[i64]) -> Self {
        let shared = Arc::new(Shared::default());
        let clock = Follower::holder(Micros(0));
        shared.set_clock_map(&clock.map().unwrap());
        let (events, _) = Events::new(shared.clone());
        let (tap, ends) = MicTap::new(false);
        let (mux, packets) = MuxInput::new();
        let record: Arc<RecordShared> = Arc::default();
        let options = SoundOptions { format: SoundFormat::Flac, ..SoundOptions::default() };
        let start = Start {
            t0: SessionMicros(SECOND),
            first_slot: 0,
            epoch_utc_micros: 0,
            utc_offset_seconds: 0,
        };
        Recorder::begin(&record, start);
        let sound = Sound::new(ends.record, &shared, &options);
        let mut recorder =
            AudioRecorder::new(shared, record, events, sound, mux, None, &options).unwrap();
        recorder.begin(&start);
        let (local, chirps) = (SECOND / 2, chirps.to_vec());
        let (ahead, asleep, heard) = (0, 0, 0);
        Self { tap, recorder, options, packets, start, clock, local, ahead, asleep, chirps, heard }
    }

    fn sound(&self, session: i64) -> f32 {
        // Exact: everything here is a multiple of 1/48 ms.
        let at = |micros: i64| micros * 48 / 1_000;
        let chirp = |from: &i64| match usize::try_from(session - at(*from)) {
            Ok(index) if index < tone::SAMPLES => tone::sample(index),
            _ => 0.0,
        };
        HUM + self.chirps.iter().map(chirp).sum::<f32>()
    }

    /// The microphone delivers what it hears until `local`, and the recorder looks each 10 ms.
    fn run(&mut self, until: i64) -> bool {
        let mut whole = false;
        while self.local < until && !whole {
            let from = (self.local + self.ahead) * 48 / 1_000;
            let block: Vec<f32> =
                (from..from + BLOCK * 48 / 1_000).map(|n| self.sound(n)).collect();
            self.tap.card_samples(&block, 48_000, Micros(self.local));
            self.heard += block.len() as u64;
            self.local += BLOCK;
            if self.local % 10_000 == 0 {
                whole = self.look();
            }
        }
        whole
    }

    fn look(&mut self) -> bool {
        self.recorder.gather();
        self.recorder.look(&self.start, Micros(self.local), self.asleep)
    }

    /// The computer sleeps; the system counts `told`, and the local clock stands still or goes on.
    fn sleep(&mut self, truly: i64, told: i64, stands_still: bool) -> Sleep {
        self.asleep += told;
        let fell = Micros(self.local);
        if stands_still {
            self.ahead += truly;
        } else {
            self.local += truly;
        }
        let missed = if stands_still { told } else { 0 };
        let noticed = Micros(self.local);
        Sleep { fell, awake: noticed, noticed, micros: told, missed }
    }

    /// Somebody has seen the sleep.
    fn tell(&mut self, sleep: &Sleep, others: bool) {
        let slept = self.clock.slept(sleep, others).unwrap();
        let r = &self.recorder;
        let all = (&*r.shared, &*r.record, &r.events);
        sleep::carry_out(slept, &self.clock, self.asleep, all);
    }

    /// What is in the part's file.
    fn file(&mut self, samples: usize) -> Vec<f32> {
        let info = self.recorder.encoder.track().configuration;
        let mut bytes = Vec::new();
        for (_, item) in self.packets.try_iter() {
            if let MuxItem::Audio(packet) = item {
                bytes.extend_from_slice(&packet.data);
            }
        }
        let mut file = flac::decode(&info, &bytes).expect("it decodes");
        // The last packet reaches over the end.
        assert!((samples..samples + 1_024).contains(&file.len()), "{} {samples}", file.len());
        file.truncate(samples);
        file
    }
}

/// The hum is there in all of `range` but for its edges, at whatever level chirps leave it.
#[track_caller]
fn hums(file: &[f32], range: std::ops::Range<usize>) {
    let inner = range.start + EDGE..range.end - EDGE;
    let quiet = inner.clone().find(|n| (file[*n] - HUM).abs() > 0.12);
    assert_eq!(quiet, None, "in {inner:?}");
    // Not a run of zeros anywhere: nothing was lost.
    let lost = inner.clone().find(|n| file[*n..(*n + 3).min(inner.end)].iter().all(|&s| s == 0.0));
    assert_eq!(lost, None, "in {inner:?}");
}

#[track_caller]
fn is_silent(file: &[f32], range: std::ops::Range<usize>) {
    let loud = (range.start + EDGE..range.end - EDGE).find(|n| file[*n] != 0.0);
    assert_eq!(loud, None, "in {range:?}");
}

#[track_caller]
fn chirps_at(file: &[f32], sample: usize) {
    let found = tone::locate_in(file, sample - 200..sample + 200).expect("a chirp");
    assert!(
        (found.position - sample as f64).abs() <= 1.0,
        "{} instead of {sample}",
        found.position
    );
}

/// No two neighbouring samples of the seam are apart as a cut hum would be.
#[track_caller]
fn no_click(file: &[f32], at: usize) {
    let steps = file[at - 1_000..at + 1_000].windows(2).map(|w| (w[1] - w[0]).abs());
    let worst = steps.fold(0.0, f32::max);
    assert!(worst < 0.01, "a step of {worst}");
}

#[test]
fn a_short_sleep_is_silence_of_its_length_and_every_sample_around_it_stands_at_its_instant() {
    for (slept, stands_still) in [(7 * SECOND, true), (7 * SECOND, false), (60 * SECOND, true)] {
        let woke = 4 * SECOND + slept;
        let mut w = World::new(&[2 * SECOND, 3_600_000, woke + 300_000, woke + 2 * SECOND]);
        w.run(4 * SECOND);
        let sleep = w.sleep(slept, slept, stands_still);
        // The recorder wakes up before anybody has said what happened, and waits.
        let at = w.local;
        w.run(at + 20_000);
        w.tell(&sleep, false);
        w.run(at + 3 * SECOND);
        // The file ends at session 7.5 s plus the sleep.
        let end = (6_500_000 + slept) * 30 / SECOND;
        w.recorder.record.parts.end(|_| end as u64);
        assert!(w.run(at + 5 * SECOND));
        let counts = w.recorder.sound.timeline.counts();
        assert_eq!((counts.left_out, counts.gaps), (0, 1), "{counts:?}");
        let file = w.file(end as usize * 1_600);
        let sample = |session: i64| ((session - SECOND) * 48 / 1_000) as usize;
        hums(&file, 0..sample(4 * SECOND));
        is_silent(&file, sample(4 * SECOND)..sample(woke));
        hums(&file, sample(woke)..file.len());
        for chirp in w.chirps {
            chirps_at(&file, sample(chirp));
        }
        no_click(&file, sample(4 * SECOND));
        no_click(&file, sample(woke));
        let told = w.recorder.record.notes();
        assert!(
            told.iter().any(|n| n.kind == Kind::Sleep && n.session_us == 4 * SECOND),
            "{told:?}"
        );
        assert!(told.iter().any(|n| n.kind == Kind::Gap));
    }
}

#[test]
fn a_guest_places_nothing_behind_a_sleep_until_its_clock_is_measured_and_loses_nothing_by_that() {
    // The system is wrong by 0.8 s; the measurement comes three seconds later.
    let (slept, told) = (20 * SECOND, 20_800_000);
    let woke = 4 * SECOND + slept;
    let mut w = World::new(&[2 * SECOND, woke + 300_000]);
    w.run(4 * SECOND);
    let sleep = w.sleep(slept, told, true);
    w.tell(&sleep, true);
    let before = w.recorder.sound.timeline.counts().written;
    w.run(7 * SECOND);
    assert!(!w.recorder.shared.settled());
    let placed = w.recorder.sound.timeline.counts().written - before;
    assert!(placed < 1_000, "what was captured before, and nothing else: {placed}");
    // Measured, the clock is as if the system had been right.
    let mut right = Follower::holder(Micros(0));
    right.slept(&Sleep { micros: slept, missed: slept, ..sleep }, false).unwrap();
    let r = &w.recorder;
    sleep::settle(&right.map().unwrap(), &r.shared, &r.record);
    w.run(8 * SECOND);
    let end = (w.local + w.ahead) * 30 / SECOND - 15;
    w.recorder.record.parts.end(|_| end as u64);
    assert!(w.run(9 * SECOND));
    let file = w.file(end as usize * 1_600);
    let sample = |session: i64| ((session - SECOND) * 48 / 1_000) as usize;
    hums(&file, 0..sample(4 * SECOND));
    is_silent(&file, sample(4 * SECOND)..sample(woke));
    hums(&file, sample(woke)..file.len());
    chirps_at(&file, sample(2 * SECOND));
    chirps_at(&file, sample(woke + 300_000));
}

#[test]
fn a_long_sleep_ends_the_file_and_the_next_begins_on_the_same_grid_with_all_that_was_heard() {
    for stands_still in [true, false] {
        a_long_sleep(stands_still);
    }
}

/// The local clock sleeps too, or goes on.
fn a_long_sleep(stands_still: bool) {
    let slept = 3_600 * SECOND;
    let woke = 4_010_000 + slept;
    let mut w = World::new(&[2 * SECOND, woke + 300_000, woke + 2 * SECOND]);
    w.run(4_010_000);
    let sleep = w.sleep(slept, slept, stands_still);
    w.tell(&sleep, false);
    let at = w.local - 4_010_000;
    assert!(w.run(at + 6 * SECOND), "the first file is whole");
    // 3.01 s: the 91st slot is the last.
    let first = w.file(91 * 1_600);
    hums(&first, 0..3_010 * 48);
    assert!(first[3_010 * 48 + EDGE..].iter().all(|&s| s == 0.0));
    let next = w.recorder.record.parts.get(1).expect("another part");
    let start = *next.start.get().expect("the clock is known");
    assert_eq!(start.first_slot, (3_010 + 3_600_000) * 30 / 1_000);
    let options = w.options.clone();
    w.recorder.turn_to(next, &options).unwrap();
    w.start = start;
    w.recorder.begin(&start);
    w.run(at + 7 * SECOND);
    w.recorder.record.parts.end(|_| start.first_slot + 100);
    assert!(w.run(at + 9 * SECOND));
    let second = w.file(160_000);
    let sample = |session: i64| ((session - start.file().0) * 48 / 1_000) as usize;
    assert!(sample(woke) < 1_600, "it begins with the slot in which the computer woke up");
    hums(&second, sample(woke)..second.len());
    chirps_at(&second, sample(woke + 300_000));
    chirps_at(&second, sample(woke + 2 * SECOND));
    assert_eq!(w.recorder.record.samples.load(Relaxed) as usize, first.len() + second.len());
}

#[test]
fn a_second_long_sleep_before_the_clock_is_measured_begins_a_file_of_its_own() {
    let slept = 100 * SECOND;
    let mut w = World::new(&[]);
    w.run(4 * SECOND);
    let mut fell = 0;
    for _ in 0..2 {
        fell = w.local + w.ahead;
        let sleep = w.sleep(slept, slept, true);
        w.tell(&sleep, true);
        assert!(!w.recorder.shared.settled());
        // Until the first file is whole.
        w.run(w.local + 2 * SECOND);
    }
    let parts = &w.recorder.record.parts;
    assert_eq!(parts.count(), 3);
    let second = parts.get(1).unwrap();
    let start = second.start.get().expect("by the system's word");
    let end = *second.end_slot.get().expect("it has ended");
    assert_eq!(start.first_slot, 103 * 30);
    assert_eq!(end, Start::slot_from(start.t0, SessionMicros(fell)));
    assert!(end > start.first_slot + 1);
    assert!(parts.last().start.get().is_none());
}

#[test]
fn an_hour_without_sound_is_written_in_pieces() {
    let mut w = World::new(&[]);
    w.run(2 * SECOND);
    // The program was stopped, say: no sleep that the system counts.
    w.local += 3_600 * SECOND;
    let mut most = 0;
    let end = w.local + SECOND;
    while w.local < end {
        let at = w.local;
        w.run(at + 10_000);
        most = most.max(w.recorder.placed.capacity());
    }
    assert!(most < 1 << 20, "{most} samples at once");
    let written = w.recorder.sound.timeline.counts().written;
    assert!(written > 3_600 * 48_000 && written < 3_602 * 48_000, "{written}");
}
