//! What becomes of each picture, for `frame_log.csv`, and the camera's measured rate. Part of the
//! recorder's video thread: it never waits; the disk's thread writes.

use std::sync::Arc;

use super::{RecordShared, Start};
use crate::engine::folder::SessionFolder;
use crate::recording::frame_log::{self, FrameRecord, What};
use crate::recording::frame_rate::FrameRate;
use crate::recording::grid::{Content, Fate, Slot};
use crate::recording::metadata::Kind;
use crate::units::{Micros, RECORDING_FPS, SessionMicros};

/// The log's name in the session's folder.
pub const FILE_NAME: &str = "frame_log.csv";
/// The log is handed over in pieces of this many bytes: about a second's worth.
const PIECE: usize = 1_000;
/// More than this is not kept for a disk that does not answer, or a folder that never comes.
const MOST: usize = 6 << 20;
/// Slots that repeat a picture before that is worth a note: half a second, longer than an exposure in
/// the dark.
const GAP: u64 = 15;
/// Pictures between two looks at the rate.
const RATE_EVERY: u64 = 150;

/// See the module.
pub struct FrameBook {
    folder: Option<Arc<SessionFolder>>,
    text: String,
    begun: bool,
    rate: FrameRate,
    pictures: u64,
    /// The slots since the last picture that repeat it: the first, and how many.
    repeats: Option<(u64, u64)>,
}

impl FrameBook {
    /// A book that goes to the session's folder, if there is one.
    pub fn new(folder: Option<Arc<SessionFolder>>) -> Self {
        let (text, rate) = (String::new(), FrameRate::default());
        Self { folder, text, begun: false, rate, pictures: 0, repeats: None }
    }

    /// The grid has taken a picture, or has not.
    pub fn pushed(
        &mut self,
        record: &RecordShared,
        source: Micros,
        session: SessionMicros,
        fate: Fate,
    ) {
        self.rate.push(source);
        self.pictures += 1;
        if self.pictures.is_multiple_of(RATE_EVERY)
            && let Some(fps) = self.rate.fps()
        {
            record.set_camera_fps(fps);
        }
        let what = match fate {
            Fate::CadenceDiscarded => What::Discarded,
            Fate::Late => What::Late,
            Fate::Withheld => What::Withheld,
            // Told when its slot is written, or not at all.
            Fate::Slot(_) | Fate::Outside => return,
        };
        let (source, session) = (Some(source), Some(session));
        self.add(record, &FrameRecord { slot: None, what, source, session });
    }

    /// A slot is written; `source` tells a picture's own stamp.
    pub fn slot<T>(
        &mut self,
        record: &RecordShared,
        start: &Start,
        slot: &Slot<T>,
        source: impl Fn(&T) -> Micros,
    ) {
        let (what, source) = match &slot.content {
            Content::Picture(picture) => (What::Picture, Some(source(picture))),
            Content::Repeat => (What::Repeat, None),
            Content::Black => (What::Black, None),
        };
        match (what, &mut self.repeats) {
            (What::Repeat, Some((_, count))) => *count += 1,
            (What::Repeat, repeats) => *repeats = Some((slot.index, 1)),
            _ => self.tell_gap(record, start),
        }
        let line = FrameRecord { slot: Some(slot.index), what, source, session: slot.captured };
        self.add(record, &line);
    }

    /// The repeats end here: a row that is longer than any camera's own pause is told to the editor.
    pub fn tell_gap(&mut self, record: &RecordShared, start: &Start) {
        let Some((from, count)) = self.repeats.take().filter(|(_, count)| *count >= GAP) else {
            return;
        };
        let seconds = count as f64 / f64::from(RECORDING_FPS);
        let first = from - start.first_slot;
        let what = format!(
            "no picture from the camera for {seconds:.3} s: frames {first} to {} repeat the one before",
            first + count - 1
        );
        record.note_kind(Kind::Gap, start.slot(from), what);
    }

    fn add(&mut self, record: &RecordShared, line: &FrameRecord) {
        let (Some(folder), Some(start)) = (&self.folder, record.start.get()) else { return };
        if !std::mem::replace(&mut self.begun, true) {
            self.text = frame_log::head(start.t0, start.first_slot);
        }
        if self.text.len() > MOST {
            return;
        }
        frame_log::line(line, &mut self.text);
        if self.text.len() >= PIECE {
            folder.append(FILE_NAME, &mut self.text);
        }
    }

    /// The last lines.
    pub fn close(&mut self) {
        if let Some(folder) = &self.folder {
            folder.append(FILE_NAME, &mut self.text);
        }
    }
}
