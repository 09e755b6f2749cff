//! The recorder's video thread: pictures onto the grid, into H.264, to the writer.
//!
//! The camera's thread hands over shared bytes and never waits; the queue between them grows as
//! long as it must, in memory first, then beside it ([`super::spill`]). Being behind makes live
//! video stop first, then the encoder try less hard: a picture is never dropped (PRD invariant 1).
//!
//! # Copies of a picture on its way
//!
//! 1. Out of the driver's buffer into memory of ours: the driver has eight, and wants them back.
//! 2. What changes it on the way to the encoder's planes. MJPEG: the decoder's output, and from it
//!    the planes. YUYV: packed to planar. Of a camera whose codes are the recording's (BT.709,
//!    limited) NV12's chroma alone, to two planes, and of I420 nothing: the encoder reads the
//!    camera's own bytes. Other codes become new ones in one pass, from the camera's bytes.
//! 3. The encoder's own copy, padded to whole macroblocks, inside the library.
//!
//! A repeated picture is none of these again but the last.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::frames::FrameBook;
use super::mux::{MuxInput, MuxItem};
use super::spill::{Held, Queued};
use super::{RecordShared, Start};
use crate::clock::ClockMap;
use crate::devices::camera::{CameraInfo, CameraSink};
use crate::engine::events::Events;
use crate::engine::folder::SessionFolder;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::grid::{self, Content, Fate, Grid, Slot};
use crate::recording::h264::{Effort, Planes, VideoEncoder, VideoParameters};
use crate::recording::relief::Relief;
use crate::units::{Micros, SessionMicros};
use crate::video::convert::{Converter, Left};
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::scale::Scaler;
use crate::video::squeeze::Unsqueezer;

#[cfg(test)]
mod colour_tests;
#[cfg(test)]
mod pressure_tests;
#[cfg(test)]
mod tests;

/// Wake-up without pictures: slots fall due all the same.
const POLL: Duration = Duration::from_millis(10);
/// Pictures kept from before the start, because the start is told late: microseconds.
const KEEP: i64 = 400_000;
/// A guest's pictures since WELCOME wait for its clock so long at most.
const KEEP_MOST: i64 = 10_000_000;
/// The grid runs this far behind capture (DESIGN section 6).
const GRID_DELAY: i64 = grid::DELAY_MICROS;
/// A longer pause between two looks means that the whole program stood still ...
const STALL: i64 = 200_000;
/// ... and the camera's thread gets this long to hand over what piled up meanwhile, before slots
/// are given away without it.
const RECOVERY: i64 = 300_000;

/// The camera's two consumers: the recorder gets every picture, live video the newest.
pub struct CameraTap {
    record: Arc<RecordShared>,
    frames: mpsc::Sender<Queued>,
    live: Arc<Mutex<Option<Frame>>>,
    live_thread: Arc<std::sync::OnceLock<std::thread::Thread>>,
    later: i64,
    settle: Option<Settle>,
}

/// Says how many microseconds later a camera's pictures count as captured.
type Settle = Box<dyn FnOnce(&CameraInfo) -> i64 + Send>;

impl CameraTap {
    /// `frames` goes to the recorder; `live` holds the newest picture for `live_thread`.
    pub fn new(
        record: Arc<RecordShared>,
        frames: mpsc::Sender<Queued>,
        live: Arc<Mutex<Option<Frame>>>,
        live_thread: Arc<std::sync::OnceLock<std::thread::Thread>>,
    ) -> Self {
        Self { record, frames, live, live_thread, later: 0, settle: None }
    }

    /// The recorder's pictures count as captured later by what `settle` says of the camera, once it
    /// is open (`--av-offset`).
    pub fn later_by(self, settle: impl FnOnce(&CameraInfo) -> i64 + Send + 'static) -> Self {
        Self { settle: Some(Box::new(settle)), ..self }
    }
}

impl CameraSink for CameraTap {
    fn opened(&mut self, info: &CameraInfo) {
        if let Some(settle) = self.settle.take() {
            self.later = settle(info);
            self.record.av_offset.store(self.later, Relaxed);
        }
    }

    fn frame(&mut self, frame: Frame) {
        let moved = Frame { captured: frame.captured + self.later, ..frame.clone() };
        let queued = self.record.admit(moved);
        *self.live.lock().unwrap_or_else(|e| e.into_inner()) = Some(frame);
        if let Some(thread) = self.live_thread.get() {
            thread.unpark();
        }
        let _ = self.frames.send(queued);
    }
}

/// The thread's time: the machine's, or a test's.
pub trait Time: Send {
    /// The local monotonic clock.
    fn now(&mut self) -> Micros;
    /// The next picture; waits for it, but not for longer than [`POLL`].
    fn wait(&mut self, frames: &mpsc::Receiver<Queued>) -> Option<Queued>;
}

/// Real time.
struct Machine;

impl Time for Machine {
    fn now(&mut self) -> Micros {
        clock::now()
    }

    fn wait(&mut self, frames: &mpsc::Receiver<Queued>) -> Option<Queued> {
        match frames.recv_timeout(POLL) {
            Ok(queued) => Some(queued),
            Err(mpsc::RecvTimeoutError::Timeout) => None,
            // The camera is closed only after this thread has ended; a camera that failed leaves
            // slots that repeat its last picture.
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                std::thread::sleep(POLL);
                None
            }
        }
    }
}

/// Tells where the file ends when nobody has told it yet.
struct EndTold(Arc<RecordShared>);

impl Drop for EndTold {
    fn drop(&mut self) {
        if let Some(&end) = self.0.end_slot.get() {
            let _ = self.0.last_slot.set(end);
        }
    }
}

pub struct VideoRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    frames: mpsc::Receiver<Queued>,
    mux: MuxInput,
    encoder: Box<dyn VideoEncoder>,
    time: Box<dyn Time>,
    converter: Converter,
    unsqueezer: Unsqueezer,
    scaler: Scaler,
    native: I420,
    picture: I420,
    /// The frame that the picture's planes are still in, and which of them.
    shown: Option<(Frame, Left)>,
    black: I420,
    have_picture: bool,
    announced: bool,
    relief: Relief,
    warned_damaged: bool,
    warned_late: bool,
    book: FrameBook,
}

impl VideoRecorder {
    pub fn new(
        shared: Arc<Shared>,
        record: Arc<RecordShared>,
        events: Events,
        frames: mpsc::Receiver<Queued>,
        mux: MuxInput,
        parameters: VideoParameters,
        encoder: Box<dyn VideoEncoder>,
    ) -> Self {
        Self {
            shared,
            record,
            events,
            frames,
            mux,
            encoder,
            time: Box::new(Machine),
            converter: Converter::new(),
            unsqueezer: Unsqueezer::default(),
            scaler: Scaler::new(),
            native: I420::default(),
            picture: I420::black(parameters.width, parameters.height),
            shown: None,
            black: I420::black(parameters.width, parameters.height),
            have_picture: false,
            announced: false,
            relief: Relief::default(),
            warned_damaged: false,
            warned_late: false,
            book: FrameBook::new(None),
        }
    }

    /// Tells in the folder's log what becomes of each frame.
    pub fn with_log(mut self, folder: Option<Arc<SessionFolder>>) -> Self {
        self.book = FrameBook::new(folder);
        self
    }

    pub fn run(mut self) {
        // However this thread ends, the sound must not wait for it.
        let _told = EndTold(self.record.clone());
        let Some((start, map, waiting)) = self.wait_for_start() else { return };
        let mut grid = Grid::new(start.t0, start.first_slot);
        for frame in waiting {
            self.push(&mut grid, frame, &map);
        }
        let mut finishing = false;
        let mut looked = self.time.now();
        let mut hold = looked;
        loop {
            let map = self.shared.clock_map().unwrap_or(map);
            if let Some(queued) = self.time.wait(&self.frames) {
                self.push(&mut grid, queued, &map);
            }
            while let Ok(frame) = self.frames.try_recv() {
                self.push(&mut grid, frame, &map);
            }
            grid.withhold(self.shared.camera_off.load(Relaxed));
            let local = self.time.now();
            if local.since(looked) > STALL {
                hold = local + RECOVERY;
            }
            looked = local;
            if local < hold {
                continue;
            }
            let now = map.to_session(local);
            if let Some(&end) = self.record.end_slot.get()
                && !finishing
                // Pictures of the last slots may still be on their way.
                && now.since(start.slot(end)) >= GRID_DELAY / 2
            {
                let last = grid.finish(start.slot(end)).max(end);
                let _ = self.record.last_slot.set(last);
                finishing = true;
            }
            // One slot at a time, so that arriving pictures are taken in between.
            let mut behind = 0;
            if let Some(slot) = grid.next(now) {
                behind = now.since(start.slot(slot.index)) - GRID_DELAY;
                self.encode(&start, slot);
                self.hand_over();
            } else if finishing {
                break;
            }
            self.publish(&grid);
            self.relieve(if finishing { 0 } else { behind });
            if self.shared.abort.load(Relaxed) {
                return;
            }
            if behind > 0 || finishing {
                self.drain(&mut grid, &start, now, &map);
            }
            // Encoding is no stall.
            looked = self.time.now();
        }
        if let Err(e) = self.encoder.finish() {
            let what = format!("the H.264 encoder failed at the end: {e}");
            self.record.fail(&self.events, what);
        }
        self.hand_over();
        self.publish(&grid);
        self.book.close();
        self.shared.shed_live_video.store(false, Relaxed);
        self.mux.send(MuxItem::VideoEnd);
    }

    /// Encodes all that is due without waiting for the camera in between.
    fn drain(
        &mut self,
        grid: &mut Grid<Queued>,
        start: &Start,
        now: SessionMicros,
        map: &ClockMap,
    ) {
        while let Some(slot) = grid.next(now) {
            self.encode(start, slot);
            self.hand_over();
            while let Ok(frame) = self.frames.try_recv() {
                self.push(grid, frame, map);
            }
            if self.shared.abort.load(Relaxed) {
                return;
            }
            let behind = map.to_session(self.time.now()).since(now);
            self.relieve(behind);
            self.publish(grid);
        }
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<(Start, ClockMap, VecDeque<Queued>)> {
        let mut waiting: VecDeque<Queued> = VecDeque::new();
        loop {
            if let Some(queued) = self.time.wait(&self.frames) {
                let newest = queued.captured;
                waiting.push_back(queued);
                let kept = self.record.keep_from.get().copied().unwrap_or(newest);
                while waiting.front().is_some_and(|q| {
                    let age = newest.since(q.captured);
                    age > KEEP && (q.captured < kept || age > KEEP_MOST)
                }) {
                    waiting.pop_front();
                }
            }
            if let (Some(start), Some(map)) = (self.record.start.get(), self.shared.clock_map()) {
                return Some((*start, map, waiting));
            }
            if self.record.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
        }
    }

    fn push(&mut self, grid: &mut Grid<Queued>, queued: Queued, map: &ClockMap) {
        // Camera-off is a promise: looked at for each picture, however long encoding keeps us.
        grid.withhold(self.shared.camera_off.load(Relaxed));
        let source = queued.captured;
        let captured = map.to_session(source);
        let fate = grid.push(captured, queued);
        self.book.pushed(&self.record, source, captured, fate);
        if fate == Fate::Late && !self.warned_late {
            self.warned_late = true;
            self.record.note(captured, "a picture came too late for its place and was lost");
            self.events.error(
                "a picture came more than half a second late: its place in the file was taken",
                "close other programs; the machine or the camera stalls",
            );
        }
    }

    fn encode(&mut self, start: &Start, slot: Slot<Queued>) {
        let began = self.time.now();
        let captured = slot.captured.is_some();
        self.book.slot(&self.record, &slot, |queued| queued.captured);
        let black = match slot.content {
            Content::Picture(queued) => {
                match queued.take() {
                    Ok(held) => self.convert(held),
                    Err(e) => self.lost(&e),
                }
                !self.have_picture
            }
            Content::Repeat => !self.have_picture,
            Content::Black => true,
        };
        let pts = (slot.index - start.first_slot) as i64;
        let planes = match (&self.shown, black) {
            (_, true) => planes(&self.black),
            (None, _) => planes(&self.picture),
            (Some((frame, left)), _) => {
                let (y, u, v) = left.planes(frame, &self.picture);
                Planes { y, u, v, ..planes(&self.picture) }
            }
        };
        if let Err(e) = self.encoder.submit(planes, pts) {
            self.record.encode_failed.fetch_add(u64::from(captured), Relaxed);
            self.record.fail(&self.events, format!("the H.264 encoder failed: {e}"));
        }
        let took = self.time.now().since(began).max(0) as u64;
        self.record.encode_micros.fetch_add(took, Relaxed);
        self.record.encode_count.fetch_add(1, Relaxed);
    }

    fn convert(&mut self, held: Held) {
        let frame = &held.frame;
        let same = (frame.width, frame.height) == (self.picture.width, self.picture.height);
        let into = if same { &mut self.picture } else { &mut self.native };
        let result = match (held.squeezed, same) {
            (true, _) => self.unsqueezer.expand(&frame.data, into).map(|()| Left::Nothing),
            (false, true) => self.converter.prepare(frame, into),
            (false, false) => self.converter.to_i420(frame, into).map(|()| Left::Nothing),
        };
        match result {
            Ok(left) => {
                if !same {
                    self.scaler.fit(&self.native, &mut self.picture);
                }
                self.shown = (left != Left::Nothing).then_some((held.frame, left));
                self.have_picture = true;
            }
            Err(e) if !self.warned_damaged => {
                self.warned_damaged = true;
                self.events.warn(
                    format!(
                        "the camera sent a damaged picture ({e}); the one before stands for it"
                    ),
                    "check the camera's cable or another USB port",
                );
            }
            Err(_) => {}
        }
    }

    /// A picture did not come back from the scratch file; the one before stands for it.
    fn lost(&self, e: &std::io::Error) {
        self.record.encode_failed.fetch_add(1, Relaxed);
        self.record.fail(&self.events, format!("the scratch file does not read back: {e}"));
    }

    /// Passes what the encoder has ready to the writer.
    fn hand_over(&mut self) {
        if !self.announced {
            let Some((sps, pps)) = self.encoder.parameter_sets() else { return };
            self.announced = true;
            self.mux.send(MuxItem::VideoFormat { sps, pps });
        }
        while let Some(sample) = self.encoder.poll() {
            self.record.unwritten.fetch_add(sample.data.len() as u64, Relaxed);
            self.mux.send(MuxItem::Video(sample));
        }
    }

    fn publish(&self, grid: &Grid<Queued>) {
        *self.record.grid.lock().unwrap_or_else(|e| e.into_inner()) = grid.counts();
    }

    /// What being behind leads to, in the PRD's order; the spill is a thread of its own.
    fn relieve(&mut self, behind: i64) {
        let behind = behind.max(0);
        self.record.behind_micros.store(behind as u64, Relaxed);
        let before = self.relief;
        self.relief = before.next(behind, self.record.fill());
        let Relief { shed_live, low_effort } = self.relief;
        self.shared.shed_live_video.store(shed_live, Relaxed);
        if shed_live && !before.shed_live {
            self.events.warn(
                "the recording's encoder is behind; live video makes room for it",
                "close other programs or record a smaller picture; nothing is lost",
            );
        }
        if low_effort != before.low_effort {
            self.encoder.set_effort(if low_effort { Effort::Low } else { Effort::Medium });
        }
    }
}

fn planes(image: &I420) -> Planes<'_> {
    Planes {
        y: image.y(),
        u: image.u(),
        v: image.v(),
        stride_y: image.width as usize,
        stride_uv: image.chroma_width() as usize,
    }
}
