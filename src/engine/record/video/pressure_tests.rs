//! A machine that cannot keep up, in virtual time: the encoder's work is a number of microseconds,
//! the camera delivers what is due meanwhile. The threads that make room are the real ones, and the
//! camera waits for them, as a real one would find them faster than its 33 ms.

use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use super::*;
use crate::recording::budget::Budget;
use crate::recording::h264::{EncodedSample, EncoderError};
use crate::recording::relief::SPILL_FROM;
use crate::units::Micros;
use crate::video::frame::{Codes, PixelFormat};

use crate::engine::record::spill::Spiller;

const SECOND: i64 = 1_000_000;

/// The camera and the clock that it goes by.
struct World {
    now: AtomicI64,
    camera: Mutex<Camera>,
    record: Arc<RecordShared>,
    shared: Arc<Shared>,
}

struct Camera {
    tap: CameraTap,
    next: u64,
    end: u64,
    pictures: Vec<Frame>,
}

impl World {
    /// Time passes; what the camera saw meanwhile is delivered.
    fn pass(&self, micros: i64) {
        let now = self.now.fetch_add(micros, Relaxed) + micros;
        let mut camera = self.camera.lock().unwrap();
        while camera.next < camera.end && camera.next as i64 * SECOND / 30 <= now {
            let number = camera.next;
            let mut frame = camera.pictures[number as usize % camera.pictures.len()].clone();
            frame.number = number;
            frame.captured = Micros(number as i64 * SECOND / 30);
            // Each picture has bytes of its own, as a camera's have.
            frame.data = Arc::new(frame.data.to_vec());
            camera.tap.frame(frame);
            camera.next += 1;
            let start = Instant::now();
            while self.record.fill() > SPILL_FROM && start.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
    }
}

struct Virtual(Arc<World>);

impl Time for Virtual {
    fn now(&mut self) -> Micros {
        Micros(self.0.now.load(Relaxed))
    }

    fn asleep(&mut self) -> i64 {
        0
    }

    fn wait(&mut self, frames: &mpsc::Receiver<Queued>) -> Option<Queued> {
        let queued = frames.try_recv().ok();
        if queued.is_none() {
            self.0.pass(POLL.as_micros() as i64);
        }
        queued
    }
}

/// Notes what it was given and how late.
struct Slow {
    world: Arc<World>,
    micros: fn(now: i64, effort: Effort) -> i64,
    effort: Effort,
    ready: VecDeque<EncodedSample>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    lumas: Vec<u8>,
    /// What pressure had led to, in order.
    steps: Vec<&'static str>,
    most_behind: u64,
}

impl Slow {
    fn look(&self) {
        let mut seen = self.seen.lock().unwrap();
        let record = &self.world.record;
        seen.most_behind = seen.most_behind.max(record.behind_micros.load(Relaxed));
        let steps = [
            ("live", self.world.shared.shed_live_video.load(Relaxed)),
            ("effort", self.effort == Effort::Low),
            ("spill", record.spilled.load(Relaxed) > 0),
        ];
        for (step, taken) in steps {
            if taken && !seen.steps.contains(&step) {
                seen.steps.push(step);
            }
        }
    }
}

impl VideoEncoder for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn submit(&mut self, planes: Planes<'_>, pts: i64) -> Result<(), EncoderError> {
        let now = self.world.now.load(Relaxed);
        self.world.pass((self.micros)(now, self.effort));
        self.look();
        self.seen.lock().unwrap().lumas.push(planes.y[0]);
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

    fn set_effort(&mut self, effort: Effort) {
        self.effort = effort;
    }

    fn finish(&mut self) -> Result<(), EncoderError> {
        Ok(())
    }
}

/// Pictures of a camera whose first luma code tells their number, modulo how many there are.
fn pictures(format: PixelFormat, width: u32, height: u32) -> Vec<Frame> {
    (0..50u8)
        .map(|n| {
            let (w, h) = (width as usize, height as usize);
            let data = match format {
                PixelFormat::Mjpeg => {
                    let pixels = vec![20 + n * 4; w * h];
                    let image = turbojpeg::Image {
                        pixels: &pixels[..],
                        width: w,
                        pitch: w,
                        height: h,
                        format: turbojpeg::PixelFormat::GRAY,
                    };
                    let subsamp = turbojpeg::Subsamp::Gray;
                    let mut jpeg = turbojpeg::compress(image, 95, subsamp).unwrap().to_vec();
                    // As large as a webcam's, behind the end of the image.
                    jpeg.resize(w * h / 3, 0);
                    jpeg
                }
                _ => {
                    let mut data = vec![128; Frame::raw_size(format, width, height)];
                    data[..w * h].fill(20 + n * 4);
                    data
                }
            };
            Frame {
                format,
                codes: if format == PixelFormat::Mjpeg { Codes::JFIF } else { Codes::RECORDED },
                width,
                height,
                captured: Micros(0),
                number: 0,
                data: Arc::new(data),
            }
        })
        .collect()
}

struct Outcome {
    record: Arc<RecordShared>,
    seen: Seen,
    pts: Vec<i64>,
    peak: f64,
}

/// Records for `seconds` with an encoder that takes so long, into a budget of `seconds_of_room`.
fn under_pressure(
    pictures: Vec<Frame>,
    seconds: i64,
    room: f64,
    disk: bool,
    micros: fn(i64, Effort) -> i64,
) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let record = Arc::new(RecordShared::default());
    let limit = (pictures[0].data.len() as f64 * 30.0 * room) as u64;
    *record.queue.lock().unwrap() = Budget::new(limit);
    record.folder.set(folder.path().join(if disk { "" } else { "gone" })).unwrap();
    let shared = Arc::new(Shared::default());
    shared.set_clock_offset(0);
    let (events, _) = Events::new(shared.clone());
    let (frames, frame_end) = mpsc::channel();
    let tap = CameraTap::new(record.clone(), frames, Arc::default(), Arc::default());
    let size = (pictures[0].width, pictures[0].height);
    let camera = Camera { tap, next: 0, end: seconds as u64 * 30, pictures };
    let camera = Mutex::new(camera);
    let now = AtomicI64::new(0);
    let world = Arc::new(World { now, camera, record: record.clone(), shared: shared.clone() });
    let spiller = Spiller::new(shared.clone(), record.clone(), events.clone());
    let spiller = std::thread::spawn(move || spiller.run());
    let (mux, items) = MuxInput::new();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let encoder = Slow {
        world: world.clone(),
        micros,
        effort: Effort::Medium,
        ready: VecDeque::new(),
        seen: seen.clone(),
    };
    let mut recorder = VideoRecorder::new(
        shared.clone(),
        record.clone(),
        events,
        frame_end,
        mux,
        VideoParameters::for_size(size.0, size.1),
        Box::new(encoder),
    );
    recorder.time = Box::new(Virtual(world));
    let start =
        Start { t0: SessionMicros(0), first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
    crate::engine::record::Recorder::begin(&record, start);
    record.parts.set_picture(true);
    record.parts.end(|_| seconds as u64 * 30);
    recorder.run();
    record.line.close();
    spiller.join().unwrap();
    let pts = items.try_iter().filter_map(|(_, item)| match item {
        MuxItem::Video(sample) => Some(sample.pts),
        _ => None,
    });
    let pts = pts.collect();
    let peak = record.queue.lock().unwrap().peak() as f64 / limit as f64;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Outcome { record, seen, pts, peak }
}

impl Outcome {
    /// Every picture is in the file, once, in its place, and looks as it was captured.
    #[track_caller]
    fn nothing_is_lost(&self, seconds: u64, tolerance: u8, limited: fn(u8) -> u8) {
        let stats = self.record.counters().unwrap();
        let all = seconds * 30;
        assert_eq!((stats.frames_captured, stats.frames_encoded), (all, all), "{stats:?}");
        assert_eq!((stats.frames_dropped, stats.frames_repeated, stats.black_frames), (0, 0, 0));
        assert_eq!(self.pts, (0..all as i64).collect::<Vec<_>>());
        for (n, luma) in self.seen.lumas.iter().enumerate() {
            let wanted = limited(20 + (n % 50) as u8 * 4);
            assert!(luma.abs_diff(wanted) <= tolerance, "picture {n}: {luma} for {wanted}");
        }
        assert_eq!(self.record.queue.lock().unwrap().used(), 0);
    }
}

/// Half speed for 20 s, then what a 1080p picture takes on a usual machine.
fn half_speed(now: i64, _: Effort) -> i64 {
    if now < 20 * SECOND { 66_667 } else { 18_000 }
}

#[test]
fn raw_pictures_outlast_an_encoder_at_half_speed_for_20_s_by_way_of_the_scratch_file() {
    // 256 MiB are 2.9 s of raw 1080p.
    let pictures = pictures(PixelFormat::Nv12, 320, 180);
    let result = under_pressure(pictures, 40, 2.9, true, half_speed);
    result.nothing_is_lost(40, 0, |code| code);
    assert!(result.record.spilled.load(Relaxed) > 150);
    assert_eq!(result.record.squeezed.load(Relaxed), 0);
    assert!(result.peak <= 1.0, "{}", result.peak);
    assert_eq!(result.seen.steps, ["live", "effort", "spill"]);
    // It was some nine seconds behind.
    assert!(result.seen.most_behind > 8_000_000, "{}", result.seen.most_behind);
}

#[test]
fn raw_pictures_are_squeezed_where_the_scratch_file_cannot_be_written() {
    let pictures = pictures(PixelFormat::Nv12, 320, 180);
    let result =
        under_pressure(
            pictures,
            20,
            2.9,
            false,
            |now, _| {
                if now < 10 * SECOND { 66_667 } else { 18_000 }
            },
        );
    result.nothing_is_lost(20, 1, |code| code);
    assert!(result.record.squeezed.load(Relaxed) > 50);
    assert!(result.peak <= 1.0, "{}", result.peak);
}

#[test]
fn mjpeg_outlasts_the_same_and_less_effort_ends_the_pressure_where_that_is_enough() {
    let pictures = pictures(PixelFormat::Mjpeg, 160, 96);
    let result = under_pressure(pictures, 40, 4.0, true, half_speed);
    // JPEG's codes are full range.
    result.nothing_is_lost(40, 2, |code| (16 + u32::from(code) * 219 / 255) as u8);
    assert!(result.record.spilled.load(Relaxed) > 100);
    assert!(result.peak <= 1.0, "{}", result.peak);
    // Too slow by a third, unless it tries less hard: nothing has to leave memory.
    let pictures = self::pictures(PixelFormat::I420, 160, 96);
    let result = under_pressure(pictures, 20, 2.9, true, |_, effort| match effort {
        Effort::Medium => 44_000,
        Effort::Low => 28_000,
    });
    result.nothing_is_lost(20, 0, |code| code);
    assert_eq!(result.seen.steps, ["live", "effort"]);
}
