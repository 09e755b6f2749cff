//! The picture over sleeps of the computer, and a camera that is away, in time that the test makes.

use super::*;
use crate::clock::{Follower, Sleep};
use crate::engine::record::Recorder;
use crate::engine::record::mux::ForPart;
use crate::engine::sleep;
use crate::recording::h264::{EncodedSample, EncoderError};
use crate::recording::metadata::Kind;
use crate::units::Micros;
use crate::video::frame::{Codes, PixelFormat};

const SECOND: i64 = 1_000_000;
const SIZE: u32 = 32;

/// Something that happens at an instant of the local clock.
type Act = Box<dyn FnOnce(&mut Script) + Send>;

/// The camera and the clocks.
struct Script {
    local: i64,
    /// Session less local clock.
    ahead: i64,
    asleep: i64,
    tap: CameraTap,
    next: u64,
    /// From here to there the camera gives nothing, local clock.
    away: std::ops::Range<i64>,
    clock: Follower,
    /// In order.
    acts: VecDeque<(i64, Act)>,
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
}

impl Script {
    /// The computer sleeps, by the local clock not at all or as long, and somebody notices 20 ms
    /// later.
    fn sleep(&mut self, micros: i64, stands_still: bool) {
        self.asleep += micros;
        let fell = Micros(self.local);
        if stands_still {
            self.ahead += micros;
        } else {
            self.away = self.local..self.local + micros;
            self.local += micros;
        }
        let noticed = Micros(self.local);
        let missed = if stands_still { micros } else { 0 };
        let sleep = Sleep { fell, awake: noticed, noticed, micros, missed };
        let tell = move |script: &mut Script| {
            let slept = script.clock.slept(&sleep, false).unwrap();
            let all = (&*script.shared, &*script.record, &script.events);
            sleep::carry_out(slept, &script.clock, script.asleep, all);
        };
        self.acts.push_front((self.local + 20_000, Box::new(tell)));
    }

    fn pass(&mut self) {
        self.local += 10_000;
        while self.acts.front().is_some_and(|(at, _)| *at <= self.local) {
            let (_, act) = self.acts.pop_front().unwrap();
            act(self);
        }
        // Pictures come 30 ms after they were captured.
        while self.next as i64 * SECOND / 30 + 30_000 <= self.local {
            let captured = self.next as i64 * SECOND / 30;
            if !self.away.contains(&captured) {
                let luma = (self.next % 200) as u8 + 20;
                let data = vec![luma; Frame::raw_size(PixelFormat::I420, SIZE, SIZE)];
                self.tap.frame(Frame {
                    format: PixelFormat::I420,
                    codes: Codes::RECORDED,
                    width: SIZE,
                    height: SIZE,
                    captured: Micros(captured),
                    number: self.next,
                    data: Arc::new(data),
                });
            }
            self.next += 1;
        }
    }
}

struct Scripted(Script);

impl Time for Scripted {
    fn now(&mut self) -> Micros {
        Micros(self.0.local)
    }

    fn asleep(&mut self) -> i64 {
        self.0.asleep
    }

    fn wait(&mut self, frames: &mpsc::Receiver<Queued>) -> Option<Queued> {
        self.0.pass();
        frames.try_recv().ok()
    }
}

struct Encoder(VecDeque<EncodedSample>);

impl VideoEncoder for Encoder {
    fn name(&self) -> &str {
        "test"
    }

    fn submit(&mut self, planes: Planes<'_>, pts: i64) -> Result<(), EncoderError> {
        let data = vec![planes.y[0]];
        self.0.push_back(EncodedSample { pts, keyframe: pts % 30 == 0, data });
        Ok(())
    }

    fn poll(&mut self) -> Option<EncodedSample> {
        self.0.pop_front()
    }

    fn parameter_sets(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((vec![1], vec![2]))
    }

    fn set_effort(&mut self, _effort: Effort) {}

    fn finish(&mut self) -> Result<(), EncoderError> {
        Ok(())
    }
}

/// Of each part: its start, and what its slots show.
struct Recorded {
    parts: Vec<(Start, Vec<u8>)>,
    /// From that part on there are no pictures.
    gone: Option<usize>,
    record: Arc<RecordShared>,
}

/// Records from second 1 of the session on, until the end that `acts` tell.
fn record(away: std::ops::Range<i64>, acts: Vec<(i64, Act)>) -> Recorded {
    record_with(away, acts, 0, Box::new(|| Ok(Box::new(Encoder(VecDeque::new())))))
}

/// The same with pictures that count as captured `later`, and what opens further encoders.
fn record_with(
    away: std::ops::Range<i64>,
    acts: Vec<(i64, Act)>,
    later: i64,
    encoders: MakeEncoder,
) -> Recorded {
    let shared = Arc::new(Shared::default());
    let clock = Follower::holder(Micros(0));
    shared.set_clock_map(&clock.map().unwrap());
    let record = Arc::new(RecordShared::default());
    let (events, _) = Events::new(shared.clone());
    let (frames, frame_end) = mpsc::channel();
    let mut tap = CameraTap::new(record.clone(), frames, Arc::default(), Arc::default());
    tap.later = later;
    record.av_offset.store(later, Relaxed);
    let (mux, items) = MuxInput::new();
    let mut recorder = VideoRecorder::new(
        shared.clone(),
        record.clone(),
        events.clone(),
        frame_end,
        mux,
        VideoParameters::for_size(SIZE, SIZE),
        Box::new(Encoder(VecDeque::new())),
    )
    .with_encoders(encoders);
    let start = Start {
        t0: SessionMicros(SECOND),
        first_slot: 0,
        epoch_utc_micros: 0,
        utc_offset_seconds: 0,
    };
    Recorder::begin(&record, start);
    record.parts.set_picture(true);
    let (local, ahead, asleep, next) = (SECOND, 0, 0, 30);
    let acts = acts.into();
    let script = Script {
        local,
        ahead,
        asleep,
        tap,
        next,
        away,
        clock,
        acts,
        shared,
        record: record.clone(),
        events,
    };
    recorder.time = Box::new(Scripted(script));
    recorder.run();
    let mut parts: Vec<_> = (0..record.parts.count())
        .map(|n| (*record.parts.get(n).unwrap().start.get().unwrap(), Vec::new()))
        .collect();
    let mut gone = None;
    for (part, item) in items.try_iter() {
        let part: ForPart = (part, item);
        if let MuxItem::VideoGone = part.1 {
            gone = Some(part.0);
        }
        if let MuxItem::Video(sample) = part.1 {
            let slots: &mut Vec<u8> = &mut parts[part.0].1;
            assert_eq!(sample.pts as usize, slots.len(), "no slot is left out");
            slots.push(sample.data[0]);
        }
    }
    Recorded { parts, gone, record }
}

fn end_at(slot: u64) -> Act {
    Box::new(move |script: &mut Script| script.record.parts.end(|_| slot))
}

fn slept(micros: i64) -> Act {
    Box::new(move |script: &mut Script| script.sleep(micros, true))
}

fn slept_by_the_local_clock(micros: i64) -> Act {
    Box::new(move |script: &mut Script| script.sleep(micros, false))
}

/// The picture captured at that slot of the local clock's own grid (slot 0 at second 1).
fn luma(slot: usize) -> u8 {
    ((slot + 30) % 200) as u8 + 20
}

fn lumas(slots: std::ops::Range<usize>) -> Vec<u8> {
    slots.map(luma).collect()
}

#[test]
fn a_short_sleep_shows_the_last_picture_and_each_one_around_it_stands_in_its_own_slot() {
    for seconds in [10, 60] {
        let gap = seconds as usize * 30;
        let acts = vec![
            (4 * SECOND + 10_000, slept(seconds * SECOND)),
            (7 * SECOND, end_at(180 + gap as u64)),
        ];
        let r = record(0..0, acts);
        assert_eq!(r.parts.len(), 1);
        // Captured up to 4.00 s, slot 90, before the sleep.
        let expected = [lumas(0..91), vec![luma(90); gap], lumas(91..180)].concat();
        assert_eq!(r.parts[0].1, expected);
        let stats = r.record.counters().unwrap();
        assert_eq!((stats.frames_dropped, stats.frames_repeated), (0, gap as u64));
        assert_eq!((stats.frames_captured, stats.frames_encoded), (180, 180));
        let told = r.record.notes();
        assert!(told.iter().any(|n| n.kind == Kind::Sleep), "{told:?}");
        assert!(told.iter().any(|n| n.kind == Kind::Gap && n.what.contains("camera")), "{told:?}");
    }
}

#[test]
fn behind_a_long_sleep_another_file_begins_with_the_first_picture_and_none_is_lost() {
    for (asleep, goes_on) in
        [(slept(100 * SECOND), 0), (slept_by_the_local_clock(100 * SECOND), 100 * SECOND)]
    {
        let acts = vec![(4 * SECOND + 10_000, asleep), (7 * SECOND + goes_on, end_at(180 + 3_000))];
        let r = record(0..0, acts);
        assert_eq!(r.parts.len(), 2);
        // Asleep in slot 90, awake in slot 3,090: of that the camera has seen the first half before.
        assert_eq!(r.parts[0].1, lumas(0..91));
        assert_eq!((r.parts[1].0.first_slot, r.parts[1].0.t0), (3_090, SessionMicros(SECOND)));
        // The first picture is near enough to fill the slot in which the computer woke up, too.
        assert_eq!(r.parts[1].1, [vec![luma(91)], lumas(91..180)].concat());
        let stats = r.record.counters().unwrap();
        assert_eq!((stats.frames_dropped, stats.frames_captured), (0, 180));
        assert_eq!((stats.frames_encoded, stats.cadence_discarded), (180, 0));
    }
}

#[test]
fn a_camera_that_is_away_leaves_its_last_picture_is_told_of_and_comes_back_in_its_slot() {
    let r = record(3 * SECOND..5 * SECOND, vec![(7 * SECOND, end_at(180))]);
    let expected = [lumas(0..60), vec![luma(59); 60], lumas(120..180)].concat();
    assert_eq!(r.parts[0].1, expected);
    let told = r.record.notes();
    let [note] = &told[..] else { panic!("one gap: {told:?}") };
    assert_eq!((note.kind, note.session_us), (Kind::Gap, 3 * SECOND));
    assert!(
        note.what.contains("for 2.000 s") && note.what.contains("frames 60 to 119"),
        "{}",
        note.what
    );
}

#[test]
fn pictures_that_count_as_captured_later_stand_on_the_same_side_of_a_sleep_as_before() {
    let gap = 300;
    let acts = vec![(4 * SECOND + 10_000, slept(10 * SECOND)), (7 * SECOND, end_at(180 + gap))];
    let encoders: MakeEncoder = Box::new(|| unreachable!("there is one file"));
    let r = record_with(0..0, acts, 100_000, encoders);
    // Three slots later, all of them.
    let expected = [lumas(0..91), vec![luma(90); gap as usize], lumas(91..177)].concat();
    assert_eq!(r.parts[0].1[3..], expected);
}

#[test]
fn where_a_further_encoder_does_not_open_the_sound_is_told_to_go_on_alone() {
    let acts = vec![(4 * SECOND + 10_000, slept(100 * SECOND))];
    let encoders: MakeEncoder = Box::new(|| {
        Err(crate::engine::error::EngineError::Codec {
            what: "cannot open the encoder",
            reason: "a test".to_owned(),
            remedy: "none",
        })
    });
    let r = record_with(0..0, acts, 0, encoders);
    assert_eq!(r.parts[0].1, lumas(0..91));
    assert_eq!((r.gone, r.parts[1].1.len()), (Some(1), 0));
    assert!(r.record.trouble().is_some());
    // The sound's end is told by nobody else.
    r.record.parts.end(|_| 4_000);
    assert_eq!(r.record.parts.last().last_slot.get(), Some(&4_000));
}
