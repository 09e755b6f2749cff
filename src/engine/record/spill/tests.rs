//! Waiting pictures and the threads that make room, with a small budget.

use std::time::{Duration, Instant};

use super::*;
use crate::ui::model::{Event, Stamped};
use crate::video::convert::Converter;
use crate::video::frame::{Codes, PixelFormat};
use crate::video::image::{I420, luma_psnr};
use crate::video::squeeze::Unsqueezer;

const SIZE: u32 = 64;
const BYTES: u64 = 64 * 64 * 3 / 2;

struct Bench {
    events: mpsc::Receiver<Stamped>,
    record: Arc<RecordShared>,
    thread: Option<std::thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

/// Room for `pictures` pictures.
fn bench(pictures: u64, folder_is_there: bool) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let record = Arc::new(RecordShared::default());
    *record.queue.lock().unwrap() = Budget::new(pictures * BYTES);
    let path = folder.path().join(if folder_is_there { "" } else { "gone" });
    record.folder.set(path).unwrap();
    let shared = Arc::new(Shared::default());
    let (events, told) = Events::new(shared.clone());
    let spiller = Spiller::new(shared, record.clone(), events);
    let thread = std::thread::spawn(move || spiller.run());
    Bench { events: told, record, thread: Some(thread), _folder: folder }
}

impl Bench {
    fn wait_until(&self, what: &str, done: impl Fn(&RecordShared) -> bool) {
        let start = Instant::now();
        while !done(&self.record) {
            assert!(start.elapsed() < Duration::from_secs(20), "never {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.record.line.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn frame(number: u64, format: PixelFormat) -> Frame {
    let luma = (0..SIZE * SIZE).map(|i| (i / SIZE + number as u32 * 2) as u8 + 20);
    let chroma = std::iter::repeat_n(120, (SIZE * SIZE / 2) as usize);
    Frame {
        format,
        codes: Codes::RECORDED,
        width: SIZE,
        height: SIZE,
        captured: Micros(number as i64),
        number,
        data: Arc::new(luma.chain(chroma).collect()),
    }
}

#[test]
fn pictures_above_the_budget_wait_on_the_disk_and_come_back_in_order_and_whole() {
    let bench = bench(8, true);
    let waiting: Vec<Queued> =
        (0..40).map(|n| bench.record.admit(frame(n, PixelFormat::Nv12))).collect();
    bench.wait_until("enough room", |r| r.fill() <= relief::SPILL_FROM);
    // Seven fit; writes that are under way when there is room are not called back.
    let spilled = bench.record.spilled.load(Relaxed);
    assert!((33..=33 + IN_FLIGHT as u64).contains(&spilled), "{spilled}");
    assert_eq!(bench.record.squeezed.load(Relaxed), 0);
    for (n, queued) in waiting.into_iter().enumerate() {
        let held = queued.take().expect("the disk is there");
        assert!(!held.squeezed);
        assert_eq!(held.frame.number, n as u64);
        assert_eq!(held.frame.data, frame(n as u64, PixelFormat::Nv12).data);
    }
    assert_eq!(bench.record.queue.lock().unwrap().used(), 0);
}

#[test]
fn without_a_disk_they_are_squeezed_and_what_comes_back_looks_the_same() {
    let bench = bench(8, false);
    let waiting: Vec<Queued> =
        (0..10).map(|n| bench.record.admit(frame(n, PixelFormat::Nv12))).collect();
    bench.wait_until("enough room", |r| r.fill() <= relief::SPILL_FROM);
    let squeezed = bench.record.squeezed.load(Relaxed);
    assert!(squeezed > 0);
    assert_eq!(bench.record.spilled.load(Relaxed), squeezed);
    let mut seen = 0;
    for (n, queued) in waiting.into_iter().enumerate() {
        let held = queued.take().expect("it is in memory");
        if held.squeezed {
            seen += 1;
            let (mut before, mut after) = (I420::default(), I420::default());
            let original = frame(n as u64, PixelFormat::Nv12);
            Converter::new().to_i420(&original, &mut before).unwrap();
            Unsqueezer::default().expand(&held.frame.data, &mut after).unwrap();
            assert!(luma_psnr(&before, &after).unwrap() > 42.0);
        }
    }
    assert_eq!(seen, squeezed);
}

#[test]
fn where_nothing_helps_they_stay_in_memory_and_somebody_is_told() {
    let bench = bench(4, false);
    // JPEG cannot be squeezed.
    let waiting: Vec<Queued> =
        (0..6).map(|n| bench.record.admit(frame(n, PixelFormat::Mjpeg))).collect();
    let told = bench.events.recv_timeout(Duration::from_secs(20)).expect("somebody is told");
    let Event::Error { what, .. } = told.event else { panic!("{told:?}") };
    assert!(what.contains("wait in memory"), "{what}");
    assert_eq!(bench.record.queue.lock().unwrap().used(), 6 * BYTES);
    for queued in waiting {
        assert!(!queued.take().expect("it is in memory").squeezed);
    }
}

#[test]
fn a_picture_that_nobody_wants_any_more_frees_its_place_wherever_it_is() {
    let bench = bench(8, true);
    let waiting: Vec<Queued> =
        (0..20).map(|n| bench.record.admit(frame(n, PixelFormat::I420))).collect();
    bench.wait_until("enough room", |r| r.fill() <= relief::SPILL_FROM);
    drop(waiting);
    assert_eq!(bench.record.queue.lock().unwrap().used(), 0);
    let next = bench.record.admit(frame(20, PixelFormat::I420));
    assert_eq!(bench.record.line.cells().len(), 1, "the line forgets them");
    drop(next);
}
