//! The recorder's video thread: pictures onto the grid, into H.264, to the writer.
//!
//! The camera's thread hands over shared bytes and never waits; the queue between them grows as
//! long as it must. Being behind makes live video stop first, then the encoder try less hard, and
//! at the end warns: a picture is never dropped (PRD invariant 1).

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use super::mux::MuxItem;
use super::{Queued, RecordShared, Start};
use crate::devices::camera::CameraSink;
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::grid::{self, Content, Grid, Slot};
use crate::recording::h264::{Effort, Planes, VideoEncoder, VideoParameters};
use crate::units::SessionMicros;
use crate::video::convert::Converter;
use crate::video::frame::Frame;
use crate::video::image::I420;
use crate::video::scale::Scaler;

#[cfg(test)]
mod tests;

/// Wake-up without pictures: slots fall due all the same.
const POLL: Duration = Duration::from_millis(10);
/// Pictures kept from before the start, because the start is told late: microseconds.
const KEEP: i64 = 400_000;
/// Behind by this much, live video makes room.
const SHED_LIVE: i64 = 300_000;
/// Behind by this much, the encoder tries less hard.
const LESS_EFFORT: i64 = 1_500_000;
/// So is too much memory in waiting pictures, whatever the time: this share of the budget. The
/// grid's delay alone takes a quarter of it with raw 1080p.
const HALF_FULL: f64 = 0.5;
/// Both are taken back when this little is left.
const RELAXED: i64 = 50_000;
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
}

impl CameraTap {
    /// `frames` goes to the recorder; `live` holds the newest picture for `live_thread`.
    pub fn new(
        record: Arc<RecordShared>,
        frames: mpsc::Sender<Queued>,
        live: Arc<Mutex<Option<Frame>>>,
        live_thread: Arc<std::sync::OnceLock<std::thread::Thread>>,
    ) -> Self {
        Self { record, frames, live, live_thread, later: 0 }
    }

    /// The recorder's pictures count as captured so many microseconds later (`--av-offset`).
    pub fn later_by(self, micros: i64) -> Self {
        Self { later: micros, ..self }
    }
}

impl CameraSink for CameraTap {
    fn frame(&mut self, frame: Frame) {
        let room = self.record.room_for(frame.data.len() as u64);
        *self.live.lock().unwrap_or_else(|e| e.into_inner()) = Some(frame.clone());
        if let Some(thread) = self.live_thread.get() {
            thread.unpark();
        }
        let frame = Frame { captured: frame.captured + self.later, ..frame };
        let _ = self.frames.send(Queued { frame, _room: room });
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
    mux: mpsc::Sender<MuxItem>,
    encoder: Box<dyn VideoEncoder>,
    converter: Converter,
    scaler: Scaler,
    native: I420,
    picture: I420,
    black: I420,
    have_picture: bool,
    announced: bool,
    effort_low: bool,
    warned_budget: bool,
    warned_damaged: bool,
    warned_late: bool,
}

impl VideoRecorder {
    pub fn new(
        shared: Arc<Shared>,
        record: Arc<RecordShared>,
        events: Events,
        frames: mpsc::Receiver<Queued>,
        mux: mpsc::Sender<MuxItem>,
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
            converter: Converter::new(),
            scaler: Scaler::new(),
            native: I420::black(parameters.width, parameters.height),
            picture: I420::black(parameters.width, parameters.height),
            black: I420::black(parameters.width, parameters.height),
            have_picture: false,
            announced: false,
            effort_low: false,
            warned_budget: false,
            warned_damaged: false,
            warned_late: false,
        }
    }

    pub fn run(mut self) {
        // However this thread ends, the sound must not wait for it.
        let _told = EndTold(self.record.clone());
        let Some((start, offset, waiting)) = self.wait_for_start() else { return };
        let mut grid = Grid::new(start.t0, start.first_slot);
        for frame in waiting {
            self.push(&mut grid, frame, offset);
        }
        let mut finishing = false;
        let (mut looked, mut hold) = (clock::now(), clock::now());
        loop {
            let offset = self.shared.clock_offset().unwrap_or(offset);
            match self.frames.recv_timeout(POLL) {
                Ok(frame) => self.push(&mut grid, frame, offset),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // The camera is closed only after this thread has ended; a camera that failed
                // leaves slots that repeat its last picture.
                Err(mpsc::RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
            }
            while let Ok(frame) = self.frames.try_recv() {
                self.push(&mut grid, frame, offset);
            }
            grid.withhold(self.shared.camera_off.load(Relaxed));
            let local = clock::now();
            if local.since(looked) > STALL {
                hold = local + RECOVERY;
            }
            looked = local;
            if local < hold {
                continue;
            }
            let now = SessionMicros(local.0 + offset);
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
                self.drain(&mut grid, &start, now, offset);
            }
            // Encoding is no stall.
            looked = clock::now();
        }
        if let Err(e) = self.encoder.finish() {
            let what = format!("the H.264 encoder failed at the end: {e}");
            self.record.fail(&self.events, what);
        }
        self.hand_over();
        self.publish(&grid);
        self.shared.shed_live_video.store(false, Relaxed);
        let _ = self.mux.send(MuxItem::VideoEnd);
    }

    /// Encodes all that is due without waiting for the camera in between.
    fn drain(&mut self, grid: &mut Grid<Queued>, start: &Start, now: SessionMicros, offset: i64) {
        while let Some(slot) = grid.next(now) {
            self.encode(start, slot);
            self.hand_over();
            while let Ok(frame) = self.frames.try_recv() {
                self.push(grid, frame, offset);
            }
            if self.shared.abort.load(Relaxed) {
                return;
            }
            let behind = clock::now().0 + offset - now.0;
            self.relieve(behind);
            self.publish(grid);
        }
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self) -> Option<(Start, i64, VecDeque<Queued>)> {
        let mut waiting: VecDeque<Queued> = VecDeque::new();
        loop {
            match self.frames.recv_timeout(POLL) {
                Ok(queued) => {
                    let newest = queued.frame.captured;
                    waiting.push_back(queued);
                    while waiting.front().is_some_and(|q| newest.since(q.frame.captured) > KEEP) {
                        waiting.pop_front();
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => std::thread::sleep(POLL),
            }
            if let (Some(start), Some(offset)) =
                (self.record.start.get(), self.shared.clock_offset())
            {
                return Some((*start, offset, waiting));
            }
            if self.record.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
        }
    }

    fn push(&mut self, grid: &mut Grid<Queued>, queued: Queued, offset: i64) {
        // Camera-off is a promise: looked at for each picture, however long encoding keeps us.
        grid.withhold(self.shared.camera_off.load(Relaxed));
        let captured = SessionMicros(queued.frame.captured.0 + offset);
        let late = grid.counts().late;
        grid.push(captured, queued);
        if grid.counts().late > late && !self.warned_late {
            self.warned_late = true;
            self.record.note(captured, "a picture came too late for its place and was lost");
            self.events.error(
                "a picture came more than half a second late: its place in the file was taken",
                "close other programs; the machine or the camera stalls",
            );
        }
    }

    fn encode(&mut self, start: &Start, slot: Slot<Queued>) {
        let began = clock::now();
        let captured = slot.captured.is_some();
        let black = match slot.content {
            Content::Picture(queued) => {
                self.convert(&queued.frame);
                !self.have_picture
            }
            Content::Repeat => !self.have_picture,
            Content::Black => true,
        };
        let image = if black { &self.black } else { &self.picture };
        let pts = (slot.index - start.first_slot) as i64;
        let planes = Planes {
            y: image.y(),
            u: image.u(),
            v: image.v(),
            stride_y: image.width as usize,
            stride_uv: image.width as usize / 2,
        };
        if let Err(e) = self.encoder.submit(planes, pts) {
            self.record.encode_failed.fetch_add(u64::from(captured), Relaxed);
            self.record.fail(&self.events, format!("the H.264 encoder failed: {e}"));
        }
        let took = clock::now().since(began).max(0) as u64;
        self.record.encode_micros.fetch_add(took, Relaxed);
        self.record.encode_count.fetch_add(1, Relaxed);
    }

    fn convert(&mut self, frame: &Frame) {
        let same = (frame.width, frame.height) == (self.picture.width, self.picture.height);
        let into = if same { &mut self.picture } else { &mut self.native };
        match self.converter.to_i420(frame, into) {
            Ok(()) => {
                if !same {
                    self.scaler.fit(&self.native, &mut self.picture);
                }
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

    /// Passes what the encoder has ready to the writer.
    fn hand_over(&mut self) {
        if !self.announced {
            let Some((sps, pps)) = self.encoder.parameter_sets() else { return };
            self.announced = true;
            let _ = self.mux.send(MuxItem::VideoFormat { sps, pps });
        }
        while let Some(sample) = self.encoder.poll() {
            let _ = self.mux.send(MuxItem::Video(sample));
        }
    }

    fn publish(&self, grid: &Grid<Queued>) {
        *self.record.grid.lock().unwrap_or_else(|e| e.into_inner()) = grid.counts();
    }

    /// What being behind leads to, in the PRD's order.
    fn relieve(&mut self, behind: i64) {
        let behind = behind.max(0);
        let fill = self.record.queue.lock().unwrap_or_else(|e| e.into_inner()).fill();
        self.record.behind_micros.store(behind as u64, Relaxed);
        if behind > SHED_LIVE || fill > HALF_FULL {
            if !self.shared.shed_live_video.swap(true, Relaxed) {
                self.events.warn(
                    "the recording's encoder is behind; live video makes room for it",
                    "close other programs or record a smaller picture; nothing is lost",
                );
            }
        } else if behind < RELAXED {
            self.shared.shed_live_video.store(false, Relaxed);
        }
        let low = if self.effort_low {
            behind > RELAXED
        } else {
            behind > LESS_EFFORT || fill > HALF_FULL
        };
        if low != self.effort_low {
            self.effort_low = low;
            self.encoder.set_effort(if low { Effort::Low } else { Effort::Medium });
        }
        let over = self.record.over_budget.load(Relaxed);
        if over > 0 && !self.warned_budget {
            self.warned_budget = true;
            let limit = self.record.queue.lock().unwrap_or_else(|e| e.into_inner()).limit();
            self.events.error(
                format!(
                    "the encoder cannot keep up: more than {} MiB of pictures wait",
                    limit >> 20
                ),
                "close other programs now, or record a smaller picture; nothing is lost yet",
            );
        }
    }
}
