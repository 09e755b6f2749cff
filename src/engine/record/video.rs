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
use super::part::Part;
use super::spill::{Held, Queued};
use super::{MakeEncoder, RecordShared, Start};
use crate::clock::ClockMap;
use crate::devices::camera::{CameraInfo, CameraSink};
use crate::engine::events::Events;
use crate::engine::folder::SessionFolder;
use crate::engine::shared::Shared;
use crate::platform::clock;
use crate::recording::grid::{self, Content, Fate, Grid, GridCounts, Slot};
use crate::recording::h264::{Effort, Planes, VideoEncoder, VideoParameters};
use crate::recording::relief::Relief;
use crate::ui::notice::Notice;
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
mod sleep_tests;
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
/// Being behind comes and goes on a busy machine, several times a minute: it is told no more often
/// than each so many microseconds.
const TOLD_AGAIN: i64 = 60_000_000;

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
    /// The system's count of time slept.
    fn asleep(&mut self) -> i64;
    /// The next picture; waits for it, but not for longer than [`POLL`].
    fn wait(&mut self, frames: &mpsc::Receiver<Queued>) -> Option<Queued>;
}

/// Real time.
struct Machine;

impl Time for Machine {
    fn now(&mut self) -> Micros {
        clock::now()
    }

    fn asleep(&mut self) -> i64 {
        let (_, _, asleep) = clock::sleep_reading();
        asleep
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

/// Tells where the files end when nobody else tells it any more.
struct EndTold(Arc<RecordShared>);

impl Drop for EndTold {
    fn drop(&mut self) {
        self.0.parts.set_picture(false);
    }
}

pub struct VideoRecorder {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    frames: mpsc::Receiver<Queued>,
    mux: MuxInput,
    encoder: Box<dyn VideoEncoder>,
    /// Makes those of the parts behind the first.
    encoders: Option<MakeEncoder>,
    time: Box<dyn Time>,
    /// Pictures that have come and have no place yet.
    waiting: VecDeque<Queued>,
    /// The camera is off, and changes of that which were followed.
    off: bool,
    switches: usize,
    /// Of the files before.
    before: GridCounts,
    known_sleeps: usize,
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
    /// When being behind was told last.
    told_behind: Option<Micros>,
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
        let (switches, off) = shared.camera_switches();
        Self {
            shared,
            record,
            events,
            frames,
            mux,
            encoder,
            encoders: None,
            time: Box::new(Machine),
            waiting: VecDeque::new(),
            off,
            switches,
            before: GridCounts::default(),
            known_sleeps: 0,
            converter: Converter::down_to(parameters.width, parameters.height),
            unsqueezer: Unsqueezer::default(),
            scaler: Scaler::new(),
            native: I420::default(),
            picture: I420::black(parameters.width, parameters.height),
            shown: None,
            black: I420::black(parameters.width, parameters.height),
            have_picture: false,
            announced: false,
            relief: Relief::default(),
            told_behind: None,
            warned_damaged: false,
            warned_late: false,
            book: FrameBook::new(None),
        }
    }

    /// Further parts are recorded with encoders that this makes.
    pub fn with_encoders(self, encoders: MakeEncoder) -> Self {
        Self { encoders: Some(encoders), ..self }
    }

    /// Tells in the folder's log what becomes of each frame.
    pub fn with_log(mut self, folder: Option<Arc<SessionFolder>>) -> Self {
        self.book = FrameBook::new(folder);
        self
    }

    /// Records all files, one after the other.
    pub fn run(mut self) {
        // However this thread ends, the sound must not wait for it.
        let _told = EndTold(self.record.clone());
        let mut part = self.record.parts.first();
        loop {
            if !self.run_part(&part) {
                return;
            }
            let Some(next) = self.record.parts.get(part.number + 1) else { break };
            self.mux.turn_to(next.number);
            // The next one has its threads only where this one is gone.
            drop(self.encoder);
            match self.encoders.as_mut().map(|make| make()) {
                Some(Ok(encoder)) => self.encoder = encoder,
                failed => {
                    // The sound goes on without it.
                    self.mux.send(MuxItem::VideoGone);
                    if let Some(Err(e)) = failed {
                        self.record.fail(&self.events, e.to_string());
                    }
                    break;
                }
            }
            if self.relief.low_effort {
                self.encoder.set_effort(Effort::Low);
            }
            self.announced = false;
            part = next;
        }
        self.book.close();
        self.shared.shed_live_video.store(false, Relaxed);
    }

    /// Records one file; `false` when the thread is to end at once.
    fn run_part(&mut self, part: &Part) -> bool {
        let Some(start) = self.wait_for_start(part) else {
            self.mux.send(MuxItem::VideoEnd);
            return !self.shared.abort.load(Relaxed);
        };
        let mut grid = Grid::new(start.t0, start.first_slot);
        grid.withhold(self.off);
        let mut finishing = false;
        let mut looked = self.time.now();
        let mut hold = looked;
        loop {
            if let Some(queued) = self.time.wait(&self.frames) {
                self.waiting.push_back(queued);
            }
            let sleeps = self.shared.sleeps();
            let slept = sleeps > std::mem::replace(&mut self.known_sleeps, sleeps);
            let known = self.gather(part, &mut grid);
            let local = self.time.now();
            if local.since(looked) > STALL || !known || slept {
                hold = local + RECOVERY;
            }
            looked = local;
            if self.shared.abort.load(Relaxed) {
                return false;
            }
            if local < hold {
                continue;
            }
            let Some(map) = self.shared.clock_map() else { continue };
            let now = map.to_session(local);
            if let Some(&end) = part.end_slot.get()
                && !finishing
                // Pictures of the last slots may still be on their way.
                && now.since(start.slot(end)) >= GRID_DELAY / 2
            {
                let last = grid.finish(start.slot(end)).max(end);
                let _ = part.last_slot.set(last);
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
            if behind > 0 || finishing {
                self.drain(part, &mut grid, &start, now);
            }
            // Encoding is no stall.
            looked = self.time.now();
        }
        if let Err(e) = self.encoder.finish() {
            let what = format!("the H.264 encoder failed at the end: {e}");
            self.record.fail(&self.events, what);
        }
        self.book.tell_gap(&self.record, &start);
        self.hand_over();
        self.publish(&grid);
        self.before = self.before.plus(grid.counts());
        self.mux.send(MuxItem::VideoEnd);
        true
    }

    /// Encodes all that is due without waiting for the camera in between.
    fn drain(&mut self, part: &Part, grid: &mut Grid<Queued>, start: &Start, now: SessionMicros) {
        while let Some(slot) = grid.next(now) {
            self.encode(start, slot);
            self.hand_over();
            self.gather(part, grid);
            if self.shared.abort.load(Relaxed) {
                return;
            }
            let local = self.time.now();
            let behind = self.shared.session_at(local).map_or(0, |session| session.since(now));
            self.relieve(behind);
            self.publish(grid);
        }
    }

    /// Puts what has come onto the grid, as far as it belongs into this file and its instant is known.
    /// `false` when the clock is not known just now.
    fn gather(&mut self, part: &Part, grid: &mut Grid<Queued>) -> bool {
        while let Ok(queued) = self.frames.try_recv() {
            self.waiting.push_back(queued);
        }
        // Read behind the last picture: what is here was captured before.
        let asleep = self.time.asleep();
        if !self.shared.knows_sleep(asleep) {
            return false;
        }
        let settled = self.shared.settled();
        let woke = self.shared.sleeps().checked_sub(1).and_then(|n| self.shared.sleep(n));
        let Some(map) = self.shared.clock_map() else { return false };
        let later = self.record.av_offset.load(Relaxed);
        while let Some(first) = self.waiting.front() {
            // A sleep counts by when a picture truly was captured.
            let captured = first.captured - later;
            let unknown = !settled && woke.is_some_and(|slept| captured >= slept.woke);
            if unknown || part.until.get().is_some_and(|until| captured >= *until) {
                break;
            }
            if let Some(queued) = self.waiting.pop_front() {
                self.push(grid, queued, &map);
            }
        }
        // Without pictures the switch counts all the same, before its slot is given away.
        if self.waiting.is_empty() {
            let now = self.time.now();
            self.follow_camera(grid, now - GRID_DELAY / 2);
        }
        settled
    }

    /// Withholds what is captured while the camera is off, by the switch's own instants: up to and
    /// with `until`. Being behind lets nothing through.
    fn follow_camera(&mut self, grid: &mut Grid<Queued>, until: Micros) {
        while let Some((_, off)) = self.shared.next_camera_switch(self.switches, until) {
            self.switches += 1;
            self.off = off;
            grid.withhold(off);
        }
    }

    /// Keeps the last moments until somebody says from where on to record.
    fn wait_for_start(&mut self, part: &Part) -> Option<Start> {
        loop {
            if let Some(queued) = self.time.wait(&self.frames) {
                self.waiting.push_back(queued);
            }
            // Behind a sleep nothing is too old: the next part begins with it.
            if let (Some(newest), None) = (self.waiting.back().map(|q| q.captured), part.since) {
                let kept = self.record.keep_from.get().copied().unwrap_or(newest);
                while self.waiting.front().is_some_and(|q| {
                    let age = newest.since(q.captured);
                    age > KEEP && (q.captured < kept || age > KEEP_MOST)
                }) {
                    self.waiting.pop_front();
                }
            }
            if let (Some(start), Some(_)) = (part.start.get(), self.shared.clock_map()) {
                return Some(*start);
            }
            if part.end_slot.get().is_some() || self.shared.abort.load(Relaxed) {
                return None;
            }
        }
    }

    fn push(&mut self, grid: &mut Grid<Queued>, queued: Queued, map: &ClockMap) {
        let source = queued.captured;
        let later = self.record.av_offset.load(Relaxed);
        self.follow_camera(grid, source - later);
        let captured = map.to_session(source - later) + later;
        let fate = grid.push(captured, queued);
        self.book.pushed(&self.record, source, captured, fate);
        if fate == Fate::Late && !self.warned_late {
            self.warned_late = true;
            self.record.note(captured, "a picture came too late for its place and was lost");
            self.events.notice(&Notice::PictureLate);
        }
    }

    fn encode(&mut self, start: &Start, slot: Slot<Queued>) {
        let began = self.time.now();
        let captured = slot.captured.is_some();
        self.book.slot(&self.record, start, &slot, |queued| queued.captured);
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
        let size = |image: &I420| (image.width, image.height);
        let wanted = size(&self.picture);
        // The picture before stays whole until this one is known to be.
        let into = &mut self.native;
        let result = match held.squeezed {
            true => self.unsqueezer.expand(&frame.data, into).map(|()| Left::Nothing),
            false if (frame.width, frame.height) == wanted => self.converter.prepare(frame, into),
            false => self.converter.to_i420(frame, into).map(|()| Left::Nothing),
        };
        match result {
            Ok(left) => {
                if size(&self.native) == wanted {
                    std::mem::swap(&mut self.native, &mut self.picture);
                } else {
                    self.scaler.fit(&self.native, &mut self.picture);
                }
                self.shown = (left != Left::Nothing).then_some((held.frame, left));
                self.have_picture = true;
            }
            Err(e) if !self.warned_damaged => {
                self.warned_damaged = true;
                self.events.notice(&Notice::PictureDamaged { why: e.to_string() });
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
        let counts = self.before.plus(grid.counts());
        *self.record.grid.lock().unwrap_or_else(|e| e.into_inner()) = counts;
    }

    /// What being behind leads to, in the PRD's order; the spill is a thread of its own.
    fn relieve(&mut self, behind: i64) {
        let behind = behind.max(0);
        self.record.behind_micros.store(behind as u64, Relaxed);
        let before = self.relief;
        self.relief = before.next(behind, self.record.fill());
        let Relief { shed_live, low_effort } = self.relief;
        self.shared.shed_live_video.store(shed_live, Relaxed);
        let now = self.time.now();
        let long_ago = self.told_behind.is_none_or(|at| now.since(at) >= TOLD_AGAIN);
        if shed_live && !before.shed_live && long_ago {
            self.told_behind = Some(now);
            self.events.notice(&Notice::EncoderBehind);
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
