//! Recovering an interrupted recording: what is in it, what can be saved, and saving it.
//!
//! Committed fragments are in the file with their index and were synced: they are kept as they are.
//! Of the open fragment the journal tells each sample, and those are saved whose bytes have the
//! journal's checksum, up to the first of each track that has not: a picture without the one before
//! it is no picture. Without a journal nothing in the open fragment says where a sample begins, so
//! the file ends with its last committed fragment; no byte is taken away from it either.
//!
//! Pure: the file comes in as a parameter. Nothing is written by [`examine`].

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::journal::{Journal, Record, checksum};
use super::media::{MediaHash, Nals, Progress, nals, walk};
use super::mp4::{
    Finished, Index, MovieParameters, Mp4Error, ReadError, RecordingFile, Salvage, SampleAt,
    Summary, Tail, Track, TrackKind, beginning,
};

/// Why nothing can be done.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not a recording of this program.
    #[error("this is no recording of HyperZoom; try ffmpeg -i FILE -c copy NEW.mp4")]
    Foreign,
    /// Not even a second of it reached the disk.
    #[error("nothing of it reached the disk before it was interrupted; it can be deleted")]
    Empty,
}

/// What was found.
#[derive(Debug)]
pub enum Examined {
    /// It was ended as it should be.
    Finished(Box<Summary>),
    /// It was interrupted.
    Interrupted(Box<Plan>),
}

/// How an interrupted file can be saved.
#[derive(Debug)]
pub struct Plan {
    /// What will be in it.
    pub salvage: Salvage,
    /// It can be ended where it is: what it shows now it shows at every instant. Otherwise its end
    /// or beginning is damaged, and only a copy may be worked on.
    pub in_place: bool,
    /// Its index is damaged so that a player may show more of it now than can be saved in order:
    /// only a copy elsewhere may be made.
    pub shows_less: bool,
    /// What will be saved.
    pub saved: Saved,
    beginning: Option<Vec<u8>>,
}

/// What is saved, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Pictures in all.
    pub frames: u64,
    /// Packets of sound in all.
    pub packets: u64,
    /// Samples of sound in all.
    pub samples: u64,
    /// Pictures of the open fragment, by the journal.
    pub frames_by_journal: u64,
    /// Packets of the open fragment, by the journal.
    pub packets_by_journal: u64,
    /// Samples of which the journal tells and whose bytes did not reach the disk.
    pub lost: u64,
    /// Samples in committed fragments whose bytes are not what was written.
    pub damaged: u64,
}

/// Looks at a recording. `journal`: an empty one where there is none.
pub fn examine<R: Read + Seek>(
    reader: &mut R,
    journal: &Journal,
    progress: Progress<'_>,
) -> Result<Examined, RecoverError> {
    let index = match Index::read(reader) {
        Ok(index) => Some(index),
        // Without its beginning the file is still all there, if the journal knows what it was.
        Err(ReadError::NotMp4(_)) if journal.parameters.is_some() => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(index) = index.as_ref().filter(|index| index.summary.finalised) {
        return Ok(Examined::Finished(Box::new(index.summary.clone())));
    }
    let begins_well = index.as_ref().is_some_and(is_ours);
    // Where the beginning alone is damaged, the journal beside it says whose file it is, and the
    // index of what was committed is as good as ever.
    let ours = index.as_ref().filter(|_| begins_well || journal.parameters.is_some());
    // What was damaged in them may still read, and make no file.
    let sound = |parameters: &MovieParameters| parameters.check().is_ok();
    // A beginning that is written anew has to have its length to the byte: the journal's has.
    let known = ours.filter(|_| begins_well).and_then(|index| index.parameters.clone());
    let known = known.filter(sound);
    let told = || journal.parameters.clone().filter(sound);
    let Some(parameters) = known.or_else(told) else {
        // What was begun and never committed lacks its timecode.
        let begun = ours.is_some_and(|index| index.summary.fragments == 0);
        return Err(if begun { RecoverError::Empty } else { RecoverError::Foreign });
    };
    let in_place = begins_well && ours.is_some_and(|index| index.tail != Tail::Damaged);
    let beginning = (!begins_well).then(|| beginning(&parameters));

    let committed = ours.map_or_else(Default::default, committed);
    let committed_counts = committed.each_ref().map(Vec::len);
    let behind = ours.map_or(0, |index| index.summary.whole_until);
    let mut pass = Pass::new(&parameters, committed, journal, behind);
    let (all, open) = pass.in_file_order();
    let mut open = open.into_iter();
    walk(reader, &all, progress, |track, sample, bytes| {
        pass.see(track, sample, bytes, open.next().unwrap_or(true));
    })
    .map_err(ReadError::Io)?;
    let fragments = ours.map_or(0, |index| index.summary.fragments);
    let saved = pass.saved();
    let shown = |track: Track| committed_counts[track.index()] as u64;
    let shows_less = saved.frames < shown(Track::Video) || saved.packets < shown(Track::Audio);
    let Pass { kept, hash, .. } = pass;
    if saved.frames + saved.packets == 0 {
        return Err(RecoverError::Empty);
    }
    let salvage = Salvage { parameters, samples: kept, fragments, media_hash: hash.finish() };
    Ok(Examined::Interrupted(Box::new(Plan { salvage, in_place, shows_less, saved, beginning })))
}

impl Plan {
    /// Ends the file; a copy of it unless [`Self::in_place`].
    pub fn carry_out<F: RecordingFile>(&self, file: &mut F) -> Result<Finished, Mp4Error> {
        if let Some(beginning) = &self.beginning {
            file.write_at(0, beginning)
                .map_err(|e| Mp4Error::Io { doing: "writing the file's beginning", source: e })?;
        }
        self.salvage.finish(file)
    }
}

/// `ftyp`, then the 16 bytes that the last write of a recording turns into an `mdat`.
fn is_ours(index: &Index) -> bool {
    index.boxes().nth(1) == Some((*b"free", 32, 48))
}

fn committed(index: &Index) -> [Vec<SampleAt>; 3] {
    [TrackKind::Video, TrackKind::Audio, TrackKind::Timecode].map(|kind| index.of(kind).to_vec())
}

/// One way through all samples that may be kept.
struct Pass<'a> {
    has: [bool; 3],
    committed: [Vec<SampleAt>; 3],
    /// Those of the open fragment, in order.
    open: Vec<&'a Record>,
    /// Checksums by offset.
    known: HashMap<u64, &'a Record>,
    kept: [Vec<SampleAt>; 3],
    /// Something of the track is missing: nothing behind it counts.
    ended: [bool; 3],
    hash: MediaHash,
    saved: Saved,
}

impl<'a> Pass<'a> {
    fn new(
        parameters: &MovieParameters,
        committed: [Vec<SampleAt>; 3],
        journal: &'a Journal,
        behind: u64,
    ) -> Self {
        // A fragment that was cut is listed by its index as far as it is there.
        let listed: HashSet<u64> = committed.iter().flatten().map(|s| s.offset).collect();
        let open = |r: &&Record| r.placed.offset >= behind && !listed.contains(&r.placed.offset);
        let open = journal.records.iter().filter(open).collect();
        Self {
            has: [parameters.video.is_some(), parameters.audio.is_some(), true],
            committed,
            open,
            known: journal.records.iter().map(|record| (record.placed.offset, record)).collect(),
            kept: Default::default(),
            ended: [false; 3],
            hash: MediaHash::default(),
            saved: Saved::default(),
        }
    }

    /// All samples that may be kept, and of each whether it is of the open fragment.
    fn in_file_order(&self) -> (Vec<(Track, SampleAt)>, Vec<bool>) {
        let committed = Track::ALL.into_iter().zip(&self.committed);
        let mut all: Vec<((Track, SampleAt), bool)> = committed
            .flat_map(|(track, samples)| samples.iter().map(move |s| ((track, *s), false)))
            .collect();
        all.extend(self.open.iter().map(|record| {
            let p = &record.placed;
            let (offset, time, size, duration, sync) =
                (p.offset, p.time, p.size, p.duration, p.sync);
            ((p.track, SampleAt { offset, time, size, duration, sync }), true)
        }));
        all.sort_by_key(|((_, sample), _)| sample.offset);
        all.into_iter().unzip()
    }

    fn see(&mut self, track: Track, sample: &SampleAt, bytes: Option<&[u8]>, open: bool) {
        let at = track.index();
        let known = self.known.get(&sample.offset);
        let checks = |bytes: &[u8]| known.is_none_or(|known| known.checksum == checksum(bytes));
        let whole = match bytes {
            Some(bytes) if open => checks(bytes),
            Some(bytes) => {
                // What was committed stays, whatever became of it: a reader may make sense of it.
                let picture = track != Track::Video || nals(bytes) != Nals::Damaged;
                self.saved.damaged += u64::from(!checks(bytes) || !picture);
                true
            }
            None => false,
        };
        let last = self.kept[at].last();
        let in_order =
            last.is_none_or(|last| last.time < sample.time && last.end() <= sample.offset);
        if !self.has[at] || self.ended[at] || !whole || !in_order {
            self.ended[at] |= open;
            self.saved.lost += u64::from(open);
            return;
        }
        self.kept[at].push(*sample);
        self.hash.add(track, bytes.unwrap_or_default());
        if open {
            match track {
                Track::Video => self.saved.frames_by_journal += 1,
                Track::Audio => self.saved.packets_by_journal += 1,
                Track::Timecode => {}
            }
        }
    }

    fn saved(&self) -> Saved {
        let [video, audio, _] = &self.kept;
        Saved {
            frames: video.len() as u64,
            packets: audio.len() as u64,
            samples: audio.iter().map(|packet| u64::from(packet.duration)).sum(),
            ..self.saved
        }
    }
}
