//! The video thread's loop run to its end on pictures of the past: no waiting, a fake encoder.

use super::*;
use crate::engine::record::mux::ForPart;
use crate::recording::h264::{EncodedSample, EncoderError};
use crate::units::Micros;
use crate::video::frame::{Codes, PixelFormat};

/// Answers at once; refuses the pictures in `refuses`.
struct Encoder {
    ready: VecDeque<EncodedSample>,
    refuses: Vec<i64>,
    on_submit: Box<dyn FnMut(i64) + Send>,
}

impl VideoEncoder for Encoder {
    fn name(&self) -> &str {
        "test"
    }

    fn submit(&mut self, planes: Planes<'_>, pts: i64) -> Result<(), EncoderError> {
        (self.on_submit)(pts);
        if self.refuses.contains(&pts) {
            return Err(EncoderError::Encode { name: "test", pts, code: 0 });
        }
        let data = vec![planes.y[0]];
        self.ready.push_back(EncodedSample { pts, keyframe: pts % 30 == 0, data });
        Ok(())
    }

    fn poll(&mut self) -> Option<EncodedSample> {
        self.ready.pop_front()
    }

    fn parameter_sets(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((vec![1], vec![2]))
    }

    fn set_effort(&mut self, _effort: Effort) {}

    fn finish(&mut self) -> Result<(), EncoderError> {
        Ok(())
    }
}

const SIZE: u32 = 32;

struct Bench {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    tap: CameraTap,
    recorder: VideoRecorder,
    items: mpsc::Receiver<ForPart>,
    t0: Micros,
}

fn bench(refuses: Vec<i64>, on_submit: Box<dyn FnMut(i64) + Send>) -> Bench {
    let shared = Arc::new(Shared::default());
    // The session's clock is the local one; everything to record lies in the past already.
    shared.set_clock_offset(0);
    let t0 = clock::now() - 3_000_000;
    let record = Arc::new(RecordShared::default());
    let (events, _) = Events::new(shared.clone());
    let (frames, frame_end) = mpsc::channel();
    let tap = CameraTap::new(record.clone(), frames, Arc::default(), Arc::default());
    let (mux, items) = MuxInput::new();
    let recorder = VideoRecorder::new(
        shared.clone(),
        record.clone(),
        events,
        frame_end,
        mux,
        VideoParameters::for_size(SIZE, SIZE),
        Box::new(Encoder { ready: VecDeque::new(), refuses, on_submit }),
    );
    let start = Start {
        t0: SessionMicros(t0.0),
        first_slot: 0,
        epoch_utc_micros: 0,
        utc_offset_seconds: 0,
    };
    crate::engine::record::Recorder::begin(&record, start);
    record.parts.set_picture(true);
    record.parts.end(|_| 30);
    Bench { shared, record, tap, recorder, items, t0 }
}

impl Bench {
    fn see(&mut self, number: u64) {
        let data = vec![100; Frame::raw_size(PixelFormat::I420, SIZE, SIZE)];
        self.tap.frame(Frame {
            format: PixelFormat::I420,
            codes: Codes::RECORDED,
            width: SIZE,
            height: SIZE,
            captured: self.t0 + number as i64 * 1_000_000 / 30,
            number,
            data: Arc::new(data),
        });
    }
}

fn waiting(record: &RecordShared) -> u64 {
    record.queue.lock().unwrap().used()
}

#[test]
fn every_picture_is_encoded_once_and_counted_in_memory_until_then() {
    let mut b = bench(vec![], Box::new(|_| {}));
    for number in 0..30 {
        b.see(number);
    }
    assert_eq!(waiting(&b.record), 30 * u64::from(SIZE * SIZE) * 3 / 2);
    let record = b.record.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    b.recorder.encoder = Box::new(Encoder {
        ready: VecDeque::new(),
        refuses: vec![],
        on_submit: Box::new(move |_| told.lock().unwrap().push(waiting(&record))),
    });
    b.recorder.run();
    let stats = b.record.counters().unwrap();
    assert_eq!((stats.frames_captured, stats.frames_encoded), (30, 30));
    assert_eq!((stats.frames_dropped, stats.frames_repeated, stats.black_frames), (0, 0, 0));
    // What the grid holds back counts as well; the last pictures wait for nothing.
    let seen = seen.lock().unwrap();
    assert!(seen[0] > 25 * u64::from(SIZE * SIZE), "{seen:?}");
    assert!(seen.is_sorted_by(|a, b| a > b), "{seen:?}");
    assert_eq!(waiting(&b.record), 0);
    let pts: Vec<i64> = b
        .items
        .try_iter()
        .filter_map(|(_, item)| match item {
            MuxItem::Video(sample) => Some(sample.pts),
            _ => None,
        })
        .collect();
    assert_eq!(pts, (0..30).collect::<Vec<_>>());
}

#[test]
fn what_the_encoder_refuses_is_counted_as_dropped_and_told() {
    let mut b = bench(vec![7], Box::new(|_| {}));
    for number in 0..30 {
        b.see(number);
    }
    b.recorder.run();
    let stats = b.record.counters().unwrap();
    assert_eq!((stats.frames_captured, stats.frames_encoded), (30, 29));
    assert_eq!(stats.frames_dropped, 1);
    assert!(b.record.trouble().is_some_and(|t| t.contains("H.264")));
}

#[test]
fn a_picture_behind_its_place_is_a_loss_and_not_cadence() {
    let record = RecordShared::default();
    let at = SessionMicros(0);
    let start = Start { t0: at, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
    let _ = record.start.set(start);
    let mut grid = Grid::new(at, 0);
    grid.push(at, ());
    while grid.next(SessionMicros(2_000_000)).is_some() {}
    grid.push(SessionMicros(500_000), ());
    *record.grid.lock().unwrap() = grid.counts();
    let stats = record.counters().unwrap();
    assert_eq!((stats.cadence_discarded, stats.frames_dropped), (0, 1));
}

#[test]
fn a_camera_that_is_off_leaves_black_exact_to_the_frame_also_while_the_encoder_is_behind() {
    let mut b = bench(vec![], Box::new(|_| {}));
    for number in 0..30 {
        b.see(number);
    }
    // All pictures have come when the switch is looked at; its instants count, to the picture.
    b.shared.switch_camera(true, b.t0 + 10 * 1_000_000 / 30);
    b.shared.switch_camera(false, b.t0 + 20 * 1_000_000 / 30 - 1);
    b.recorder.run();
    let stats = b.record.counters().unwrap();
    assert_eq!((stats.frames_captured, stats.frames_encoded, stats.withheld), (30, 20, 10));
    assert_eq!((stats.black_frames, stats.frames_dropped), (10, 0));
    let luma: Vec<u8> = b
        .items
        .try_iter()
        .filter_map(|(_, item)| match item {
            MuxItem::Video(sample) => Some(sample.data[0]),
            _ => None,
        })
        .collect();
    assert_eq!(luma, [[100; 10], [16; 10], [100; 10]].concat());
}

#[test]
fn the_frame_log_tells_where_each_slot_came_from_and_what_became_of_the_other_pictures() {
    use crate::recording::frame_log::{self, What};
    let output = tempfile::tempdir().unwrap();
    let mut b = bench(vec![], Box::new(|_| {}));
    let folder = Arc::new(SessionFolder::new(output.path().into(), None, "Ann".into()));
    let path = folder.make(b.record.start.get().unwrap(), None, "a.mp4").unwrap();
    b.recorder = b.recorder.with_log(Some(folder.clone()));
    // Slot 9 gets no picture; behind 20 comes one for which there is no slot.
    for number in (0..30).filter(|&n| n != 9) {
        b.see(number);
        if number == 20 {
            b.see(number);
            b.see(number);
        }
    }
    let (t0, record) = (b.t0, b.record.clone());
    b.recorder.run();
    folder.disk.finish().unwrap();
    let text = std::fs::read_to_string(path.join(super::super::frames::FILE_NAME)).unwrap();
    let log = frame_log::read(&text);
    let count = |what| log.iter().filter(|line| line.what == what).count() as u64;
    let stats = record.counters().unwrap();
    assert_eq!(count(What::Picture), stats.frames_encoded);
    assert_eq!(count(What::Repeat), stats.frames_repeated);
    assert_eq!(count(What::Black), stats.black_frames);
    assert_eq!(count(What::Discarded), stats.cadence_discarded);
    assert!(stats.frames_repeated == 1 && stats.cadence_discarded >= 1, "{stats:?}");
    let slots: Vec<u64> = log.iter().filter_map(|line| line.slot).collect();
    assert_eq!(slots, (0..slots.len() as u64).collect::<Vec<_>>(), "every slot once, in order");
    let fifth = log.iter().find(|line| line.slot == Some(5)).unwrap();
    let captured = t0 + 5 * 1_000_000 / 30;
    assert_eq!((fifth.what, fifth.source), (What::Picture, Some(captured)));
    assert_eq!(fifth.session, Some(SessionMicros(captured.0)), "the clock is the session's here");
}
