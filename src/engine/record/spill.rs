//! Pictures that wait for the encoder, and how they make room when there are too many.
//!
//! Each waiting picture is a cell that knows where its bytes are: in memory as the camera delivered
//! them, squeezed in memory, or in the scratch file. The encoder takes the cells in order, wherever
//! the bytes are by then. Two threads move bytes while the budget is short: `hz-spill` decides (by
//! [`relief::step`]) and squeezes, `hz-spill-disk` writes and may wait for the disk as long as it
//! likes. The newest pictures go first: the encoder needs them last.
//!
//! The camera's thread only takes two locks that nobody holds for longer than a look around. No
//! picture is ever dropped here.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak, mpsc};
use std::time::Duration;

use super::RecordShared;
use super::scratch::{Piece, Scratch};
use crate::engine::events::Events;
use crate::engine::shared::Shared;
use crate::engine::threads::spawn;
use crate::platform::clock;
use crate::platform::priority::Role;
use crate::recording::budget::Budget;
use crate::recording::relief::{self, Step};
use crate::ui::notice::Notice;
use crate::units::Micros;
use crate::video::frame::Frame;
use crate::video::squeeze::Squeezer;

#[cfg(test)]
mod tests;

/// Writes that may wait for the disk: one under way and one behind it.
const IN_FLIGHT: usize = 2;
/// How long a disk that failed is left alone, microseconds: somebody may free space.
const RETRY: i64 = 5_000_000;
/// How often a short budget is looked at without news.
const LOOK: Duration = Duration::from_millis(20);
/// The same without pressure.
const REST: Duration = Duration::from_millis(500);

/// The memory that a waiting picture takes; dropping it gives it back.
struct Room {
    queue: Arc<Mutex<Budget>>,
    bytes: u64,
}

impl Room {
    fn new(queue: &Arc<Mutex<Budget>>, bytes: usize) -> Self {
        let bytes = bytes as u64;
        queue.lock().unwrap_or_else(|e| e.into_inner()).take(bytes);
        Self { queue: queue.clone(), bytes }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.queue.lock().unwrap_or_else(|e| e.into_inner()).release(self.bytes);
    }
}

/// What the bytes of a waiting picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The camera's, and squeezing would help.
    Loose,
    /// The camera's, as small as they get.
    Tight,
    /// A squeezed picture.
    Squeezed,
}

enum State {
    /// In memory; `writing` while the disk's thread has them, too.
    Memory { frame: Frame, form: Form, writing: bool, room: Room },
    /// In the scratch file; the frame is without its bytes.
    Disk { frame: Frame, form: Form, piece: Piece },
    /// The encoder has it.
    Taken,
}

struct Cell(Mutex<State>);

impl Cell {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A picture on its way to the encoder.
pub struct Queued {
    cell: Arc<Cell>,
    /// When it was captured.
    pub captured: Micros,
}

/// A picture that the encoder has taken.
pub struct Held {
    /// The camera's frame; where `squeezed`, its bytes are the squeezed picture's.
    pub frame: Frame,
    /// The bytes are those of [`Squeezer`].
    pub squeezed: bool,
    _room: Option<Room>,
}

impl Queued {
    /// The picture, read back where it is in the scratch file. An error is a lost picture.
    pub fn take(self) -> io::Result<Held> {
        // Not under the lock: the disk may be slow.
        let state = std::mem::replace(&mut *self.cell.state(), State::Taken);
        match state {
            State::Memory { frame, form, room, .. } => {
                Ok(Held { frame, squeezed: form == Form::Squeezed, _room: Some(room) })
            }
            State::Disk { mut frame, form, piece } => {
                frame.data = Arc::new(piece.read()?);
                Ok(Held { frame, squeezed: form == Form::Squeezed, _room: None })
            }
            State::Taken => unreachable!("a picture is taken once: taking consumes it"),
        }
    }
}

/// All waiting pictures, oldest first, for whoever looks for room.
#[derive(Default)]
pub struct WaitingLine {
    cells: Mutex<VecDeque<Weak<Cell>>>,
    /// There may be something to do.
    news: Condvar,
    stop: AtomicBool,
}

impl WaitingLine {
    fn cells(&self) -> MutexGuard<'_, VecDeque<Weak<Cell>>> {
        self.cells.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The newest picture in memory that `fits`, left alone by the disk.
    fn newest(&self, fits: impl Fn(Form) -> bool) -> Option<Arc<Cell>> {
        let cells = self.cells();
        cells.iter().rev().filter_map(Weak::upgrade).find(|cell| {
            matches!(&*cell.state(), State::Memory { form, writing: false, .. } if fits(*form))
        })
    }

    /// Ends the thread that looks for room.
    pub fn close(&self) {
        self.stop.store(true, Relaxed);
        self.news.notify_all();
    }
}

impl RecordShared {
    /// Takes a picture in, from the camera's thread.
    pub fn admit(&self, frame: Frame) -> Queued {
        let room = Room::new(&self.queue, frame.data.len());
        let captured = frame.captured;
        let form = if Squeezer::fits(&frame) { Form::Loose } else { Form::Tight };
        let state = State::Memory { frame, form, writing: false, room };
        let cell = Arc::new(Cell(Mutex::new(state)));
        let mut cells = self.line.cells();
        while cells.front().is_some_and(|cell| cell.strong_count() == 0) {
            cells.pop_front();
        }
        cells.push_back(Arc::downgrade(&cell));
        drop(cells);
        if self.fill() > relief::SPILL_FROM {
            self.line.news.notify_one();
        }
        Queued { cell, captured }
    }

    /// Share of the memory budget that waiting pictures take.
    pub fn fill(&self) -> f64 {
        self.queue.lock().unwrap_or_else(|e| e.into_inner()).fill()
    }
}

/// How the disk's thread does, for the one that decides.
#[derive(Default)]
struct DiskGauge {
    /// When the write that is under way began; 0 without one.
    began: AtomicI64,
    in_flight: AtomicUsize,
    /// When it last failed; 0 for never.
    failed: AtomicI64,
}

/// What the disk's thread is given.
struct Job {
    cell: Arc<Cell>,
    frame: Frame,
}

/// The thread that looks for room.
pub struct Spiller {
    shared: Arc<Shared>,
    record: Arc<RecordShared>,
    events: Events,
    gauge: Arc<DiskGauge>,
    disk: Option<mpsc::Sender<Job>>,
    squeezer: Squeezer,
    told_spill: bool,
    told_squeeze: bool,
    told_critical: bool,
}

impl Spiller {
    pub fn new(shared: Arc<Shared>, record: Arc<RecordShared>, events: Events) -> Self {
        Self {
            shared,
            record,
            events,
            gauge: Arc::default(),
            disk: None,
            squeezer: Squeezer::default(),
            told_spill: false,
            told_squeeze: false,
            told_critical: false,
        }
    }

    /// Runs until the line is closed.
    pub fn run(mut self) {
        while !self.record.line.stop.load(Relaxed) {
            let fill = self.record.fill();
            let loose = match fill > relief::SPILL_FROM {
                true => self.record.line.newest(|form| form == Form::Loose),
                false => None,
            };
            let worked = match relief::step(fill, loose.is_some(), &self.disk_state()) {
                Step::Spill => match self.record.line.newest(|_| true) {
                    Some(cell) => self.spill(cell),
                    None => false,
                },
                Step::Squeeze => loose.is_some_and(|cell| self.squeeze(&cell)),
                Step::Critical => {
                    self.critical();
                    false
                }
                Step::Wait => false,
            };
            if fill < relief::SPILL_FROM {
                self.told_critical = false;
            }
            self.tell_of_the_disk();
            if !worked {
                self.rest(if fill > relief::SPILL_FROM { LOOK } else { REST });
            }
        }
    }

    fn tell_of_the_disk(&mut self) {
        let on_disk = self.record.spilled.load(Relaxed) > self.record.squeezed.load(Relaxed);
        if on_disk && !self.told_spill {
            self.told_spill = true;
            self.tell(&Notice::PicturesOnDisk);
        }
    }

    /// Waits for news.
    fn rest(&self, at_most: Duration) {
        let line = &self.record.line;
        let cells = line.cells();
        if !line.stop.load(Relaxed) {
            let _ = line.news.wait_timeout(cells, at_most);
        }
    }

    fn disk_state(&self) -> relief::Disk {
        let now = clock::now().0;
        let since = |at: i64| if at == 0 { i64::MAX } else { now - at };
        let began = self.gauge.began.load(Relaxed);
        relief::Disk {
            // Without a folder there is nowhere to write to yet.
            unusable: since(self.gauge.failed.load(Relaxed)) < RETRY
                || self.record.folder.get().is_none(),
            writing: if began == 0 { 0 } else { now - began },
            busy: self.gauge.in_flight.load(Relaxed) >= IN_FLIGHT,
            unwritten: self.record.unwritten.load(Relaxed),
        }
    }

    fn spill(&mut self, cell: Arc<Cell>) -> bool {
        let frame = match &mut *cell.state() {
            State::Memory { frame, writing, .. } => {
                *writing = true;
                frame.clone()
            }
            _ => return true,
        };
        let Some(disk) = self.writer() else {
            give_back(&cell);
            return false;
        };
        self.gauge.in_flight.fetch_add(1, Relaxed);
        if disk.send(Job { cell, frame }).is_err() {
            self.gauge.in_flight.fetch_sub(1, Relaxed);
            self.disk = None;
            return false;
        }
        true
    }

    /// The disk's thread, started when it is first needed.
    fn writer(&mut self) -> Option<mpsc::Sender<Job>> {
        if self.disk.is_none() {
            let (sender, jobs) = mpsc::channel();
            let folder = self.record.folder.get()?;
            let scratch = Scratch::new(folder);
            let (record, gauge) = (self.record.clone(), self.gauge.clone());
            // Not joined: a disk that never answers must not keep the program from its end.
            spawn("hz-spill-disk", Role::Normal, move || write(scratch, &jobs, &record, &gauge))
                .ok()?;
            self.disk = Some(sender);
        }
        self.disk.clone()
    }

    fn squeeze(&mut self, cell: &Cell) -> bool {
        let before = match &*cell.state() {
            State::Memory { frame, .. } => frame.clone(),
            _ => return true,
        };
        let squeezed = self.squeezer.squeeze(&before);
        if let State::Memory { frame, form, room, .. } = &mut *cell.state() {
            match squeezed {
                Ok(data) if data.len() < before.data.len() => {
                    *form = Form::Squeezed;
                    *room = Room::new(&self.record.queue, data.len());
                    frame.data = Arc::new(data);
                    self.record.spilled.fetch_add(1, Relaxed);
                    self.record.squeezed.fetch_add(1, Relaxed);
                }
                _ => *form = Form::Tight,
            }
        }
        if !self.told_squeeze {
            self.told_squeeze = true;
            self.tell(&Notice::PicturesSqueezed);
        }
        true
    }

    fn critical(&mut self) {
        if self.told_critical {
            return;
        }
        self.told_critical = true;
        let limit = self.record.queue.lock().unwrap_or_else(|e| e.into_inner()).limit();
        self.events.notice(&Notice::MemoryShort { mib: limit >> 20 });
        self.note("the machine could not keep up: memory ran short");
    }

    fn tell(&self, notice: &Notice) {
        self.events.notice(notice);
        self.note(&notice.told().what);
    }

    fn note(&self, what: &str) {
        if let Some(now) = self.shared.session_now() {
            self.record.note(now, what);
        }
    }
}

/// The picture stays where it is.
fn give_back(cell: &Cell) {
    if let State::Memory { writing, .. } = &mut *cell.state() {
        *writing = false;
    }
}

/// The disk's thread.
fn write(
    mut scratch: Scratch,
    jobs: &mpsc::Receiver<Job>,
    record: &RecordShared,
    gauge: &DiskGauge,
) {
    for Job { cell, mut frame } in jobs {
        // The encoder may have been faster; then the last one who holds it is this thread.
        if Arc::strong_count(&cell) > 1 {
            gauge.began.store(clock::now().0.max(1), Relaxed);
            match scratch.store(&frame.data) {
                Ok(piece) => {
                    let mut state = cell.state();
                    if let State::Memory { form, .. } = &*state {
                        let form = *form;
                        frame.data = Arc::default();
                        *state = State::Disk { frame, form, piece };
                        record.spilled.fetch_add(u64::from(form != Form::Squeezed), Relaxed);
                    }
                }
                Err(e) => {
                    tracing::warn!("the scratch file: {e}");
                    gauge.failed.store(clock::now().0.max(1), Relaxed);
                    give_back(&cell);
                }
            }
            gauge.began.store(0, Relaxed);
        }
        gauge.in_flight.fetch_sub(1, Relaxed);
        record.line.news.notify_one();
    }
}
