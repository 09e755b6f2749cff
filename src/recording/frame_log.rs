//! `frame_log.csv`: where each frame of the file came from, and what became of those that are not
//! in it (DESIGN section 6).
//!
//! ```text
//! # HyperZoom frame log 1; slots are 1/30 s from T0 = 12000000 us of the session clock; ...
//! slot,what,source_us,session_us
//! 15,p,98123456789,12511833
//! 16,r,,
//! ,d,98123523456,12578500
//! ```
//!
//! One line a frame, in the order in which it was decided: some 1 KB a second, a ten-thousandth of
//! the recording. Text, so that a spreadsheet opens it and a torn last line costs nothing else.
//! Pure: makes and reads text.

use std::fmt::Write;

use crate::units::{Micros, SessionMicros};

/// Version of the format, in the first line. Readers take what they know of a later one.
const VERSION: u32 = 1;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `p`: the slot shows a picture of its own.
    Picture,
    /// `r`: the slot shows the picture before once more.
    Repeat,
    /// `b`: the slot is black.
    Black,
    /// `d`: a picture for which the grid has no slot, because the camera is faster.
    Discarded,
    /// `l`: a picture that came when its slot was already written.
    Late,
    /// `w`: a picture that is kept out because the camera is switched off.
    Withheld,
}

const LETTERS: [(What, &str); 6] = [
    (What::Picture, "p"),
    (What::Repeat, "r"),
    (What::Black, "b"),
    (What::Discarded, "d"),
    (What::Late, "l"),
    (What::Withheld, "w"),
];

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRecord {
    /// Slot on the session's grid, counted from T0; `None` for a picture that has none.
    pub slot: Option<u64>,
    /// What became of it.
    pub what: What,
    /// When the picture was captured: the driver's stamp on the local clock.
    pub source: Option<Micros>,
    /// The same instant on the session clock.
    pub session: Option<SessionMicros>,
}

/// The file's first lines.
pub fn head(t0: SessionMicros, first_slot: u64) -> String {
    format!(
        "# HyperZoom frame log {VERSION}; slots are 1/30 s from T0 = {} us of the session clock; \
         the file's first frame is slot {first_slot}; p picture, r repeat, b black, d discarded \
         (camera faster than 30 fps), l late, w withheld (camera off); source_us: the driver's \
         stamp, local monotonic clock; session_us: the same on the session clock\n\
         slot,what,source_us,session_us\n",
        t0.0
    )
}

/// Appends a record's line to `out`.
pub fn line(record: &FrameRecord, out: &mut String) {
    let letter = LETTERS.iter().find(|(what, _)| *what == record.what).map_or("", |(_, l)| *l);
    // Writing to a String cannot fail.
    if let Some(slot) = record.slot {
        let _ = write!(out, "{slot}");
    }
    let _ = write!(out, ",{letter},");
    if let Some(source) = record.source {
        let _ = write!(out, "{}", source.0);
    }
    out.push(',');
    if let Some(session) = record.session {
        let _ = write!(out, "{}", session.0);
    }
    out.push('\n');
}

/// Reads a log: all whole lines that make sense. What a crash tore off is left out.
pub fn read(text: &str) -> Vec<FrameRecord> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().filter_map(parse).collect()
}

fn parse(line: &str) -> Option<FrameRecord> {
    let mut fields = line.split(',');
    let number = |field: Option<&str>| match field? {
        "" => Some(None),
        digits => digits.parse::<i64>().ok().map(Some),
    };
    let slot = number(fields.next())?;
    let letter = fields.next()?;
    let (what, _) = LETTERS.iter().find(|(_, l)| *l == letter)?;
    let source = number(fields.next())?.map(Micros);
    let session = number(fields.next())?.map(SessionMicros);
    let slot = match slot {
        Some(slot) => Some(u64::try_from(slot).ok()?),
        None => None,
    };
    Some(FrameRecord { slot, what: *what, source, session })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_the_documented_one() {
        let mut text = head(SessionMicros(12_000_000), 15);
        assert!(
            text.starts_with("# HyperZoom frame log 1; slots are 1/30 s from T0 = 12000000 us")
        );
        let (source, session) = (Some(Micros(98)), Some(SessionMicros(-7)));
        for (slot, what) in [(Some(15), What::Picture), (None, What::Discarded)] {
            line(&FrameRecord { slot, what, source, session }, &mut text);
        }
        let none = FrameRecord { slot: Some(16), what: What::Repeat, source: None, session: None };
        line(&none, &mut text);
        assert!(text.ends_with("\nslot,what,source_us,session_us\n15,p,98,-7\n,d,98,-7\n16,r,,\n"));
        assert_eq!(read(&text).len(), 3);
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back_and_a_cut_costs_one_line(
            lines in prop::collection::vec(
                (0usize..6, any::<Option<u32>>(), any::<Option<i64>>(), any::<Option<i64>>()),
                1..50,
            ),
            cut in 0usize..40,
        ) {
            let records: Vec<_> = lines
                .into_iter()
                .map(|(what, slot, source, session)| FrameRecord {
                    slot: slot.map(u64::from),
                    what: LETTERS[what].0,
                    source: source.map(Micros),
                    session: session.map(SessionMicros),
                })
                .collect();
            let mut text = head(SessionMicros(0), 0);
            let mut last = text.len();
            for record in &records {
                last = text.len();
                line(record, &mut text);
            }
            prop_assert_eq!(&read(&text), &records);
            let cut = text.len() - cut.min(text.len() - last);
            let kept = records.len() - usize::from(cut < text.len());
            prop_assert_eq!(&read(&text[..cut]), &records[..kept]);
        }
    }
}
