//! What becomes of each picture, told to the scribe a second at a time, and the camera's measured
//! rate. Part of the recorder's video thread: it never waits.

use super::RecordShared;
use crate::engine::scribe::Scribe;
use crate::recording::frame_log::{FrameRecord, What};
use crate::recording::frame_rate::FrameRate;
use crate::recording::grid::{Content, Fate, Slot};
use crate::units::{Micros, SessionMicros};

/// Records are handed over in batches of this many: a second's worth.
const BATCH: usize = 30;
/// Pictures between two looks at the rate.
const RATE_EVERY: u64 = 150;

/// See the module.
pub struct FrameBook {
    scribe: Option<Scribe>,
    records: Vec<FrameRecord>,
    rate: FrameRate,
    pictures: u64,
}

impl FrameBook {
    /// A book that goes to `scribe`, if there is one.
    pub fn new(scribe: Option<Scribe>) -> Self {
        Self { scribe, records: Vec::new(), rate: FrameRate::default(), pictures: 0 }
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
        self.add(FrameRecord { slot: None, what, source, session });
    }

    /// A slot is written; `source` tells a picture's own stamp.
    pub fn slot<T>(&mut self, slot: &Slot<T>, source: impl Fn(&T) -> Micros) {
        let (what, source) = match &slot.content {
            Content::Picture(picture) => (What::Picture, Some(source(picture))),
            Content::Repeat => (What::Repeat, None),
            Content::Black => (What::Black, None),
        };
        self.add(FrameRecord { slot: Some(slot.index), what, source, session: slot.captured });
    }

    fn add(&mut self, record: FrameRecord) {
        let Some(scribe) = &self.scribe else { return };
        self.records.push(record);
        if self.records.len() >= BATCH {
            scribe.frames(&mut self.records);
        }
    }

    /// The last ones; nobody waits for this thread's scribe any more.
    pub fn close(&mut self) {
        if let Some(scribe) = self.scribe.take() {
            scribe.frames(&mut self.records);
        }
    }
}
