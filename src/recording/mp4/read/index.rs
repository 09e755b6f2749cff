//! A file with every sample of it: what recovery and verification work on.
//!
//! Pure but for the reader that comes in as a parameter.

use std::io::{Read, Seek};

use super::input::{BoxAt, Input, children};
use super::{ReadError, SampleAt, Summary, TrackKind, Walk, parameters};
use crate::recording::mp4::MovieParameters;

/// How the last whole box is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// By the file's end.
    End,
    /// By an open `free`: a recording's open fragment.
    OpenFree,
    /// By something else: a box that was cut or damaged.
    Damaged,
}

/// A file and all its samples.
#[derive(Clone, Debug)]
pub struct Index {
    /// What is in it.
    pub summary: Summary,
    /// The samples of each track, in the summary's order.
    pub samples: Vec<Vec<SampleAt>>,
    /// What its tables say that cannot be.
    pub faults: Vec<String>,
    /// What follows the last whole box.
    pub tail: Tail,
    /// What it was begun with; `None` when it lacks something that this program writes.
    pub parameters: Option<MovieParameters>,
    boxes: Vec<BoxAt>,
}

impl Index {
    /// Reads a finished or interrupted file.
    pub fn read<R: Read + Seek>(reader: &mut R) -> Result<Self, ReadError> {
        let mut input = Input::new(reader)?;
        let mut walk = Walk::through(&mut input, true)?;
        let summary = walk.summary(&mut input)?;
        let parameters = parameters::parameters(&walk.movie, &summary);
        let tail = match walk.last {
            Some(last) if last.open && &last.kind == b"free" => Tail::OpenFree,
            None if walk.whole_until == summary.bytes => Tail::End,
            _ => Tail::Damaged,
        };
        let tracks = &mut walk.movie.tracks;
        let samples = tracks.iter_mut().map(|t| t.samples.take().unwrap_or_default()).collect();
        let mut faults: Vec<String> =
            tracks.iter_mut().flat_map(|t| std::mem::take(&mut t.faults)).collect();
        for moov in walk.boxes.iter().filter(|found| &found.kind == b"moov") {
            structure(&mut input, *moov, 0, &mut faults)?;
        }
        Ok(Self { summary, samples, faults, tail, parameters, boxes: walk.boxes })
    }

    /// The samples of the first track of a kind.
    pub fn of(&self, kind: TrackKind) -> &[SampleAt] {
        let at = self.summary.tracks.iter().position(|track| track.kind == kind);
        at.map_or(&[], |at| &self.samples[at])
    }

    /// Type, start and end of the first top-level boxes.
    pub fn boxes(&self) -> impl Iterator<Item = ([u8; 4], u64, u64)> {
        self.boxes.iter().map(|found| (found.kind, found.start, found.end))
    }
}

/// Boxes that hold nothing but boxes.
const CONTAINERS: [&[u8; 4]; 9] =
    [b"moov", b"trak", b"edts", b"mdia", b"minf", b"dinf", b"stbl", b"mvex", b"tref"];
/// Boxes in the deepest place of a movie box, moov/trak/mdia/minf/stbl.
const DEEPEST: u32 = 5;

/// The boxes in a container fill it exactly.
fn structure<R: Read + Seek>(
    input: &mut Input<'_, R>,
    parent: BoxAt,
    depth: u32,
    faults: &mut Vec<String>,
) -> Result<(), ReadError> {
    let parts = children(input, parent.content, parent.end)?;
    let name = |kind: &[u8; 4]| kind.escape_ascii().to_string();
    let filled = parts.last().map_or(parent.content, |last| last.end);
    if filled != parent.end || parts.iter().any(|part| part.cut || part.open) {
        faults.push(format!("the boxes in {} do not fill it", name(&parent.kind)));
    }
    for part in parts {
        if CONTAINERS.contains(&&part.kind) && depth < DEEPEST {
            structure(input, part, depth + 1, faults)?;
        }
    }
    Ok(())
}
