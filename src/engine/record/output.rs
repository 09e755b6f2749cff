//! An MP4 file on the disk while it is written: the writer, the journal beside it, and the room that
//! is kept for its end. Belongs to the thread that writes; the local recording and the safety tracks
//! are made of it.

use std::path::{Path, PathBuf};

use super::ballast::Ballast;
use super::file::DiskFile;
use super::journal::JournalFile;
use crate::recording::h264::EncodedSample;
use crate::recording::mp4::{Finished, MovieParameters, Mp4Error, Mp4Writer};

/// See the module.
pub struct Output {
    writer: Mp4Writer<DiskFile>,
    journal: JournalFile,
    ballast: Ballast,
    path: PathBuf,
}

impl Output {
    /// Begins `file`, which was made as `path`.
    pub fn begin(
        file: DiskFile,
        path: PathBuf,
        parameters: MovieParameters,
    ) -> Result<Self, Mp4Error> {
        let start = parameters.timecode.start_frame;
        let mut journal = JournalFile::create(&path, &parameters);
        let writer = Mp4Writer::create(file, parameters)?;
        journal.add(writer.timecode_placed(), &start.to_be_bytes());
        let mut ballast = Ballast::beside(&path);
        ballast.keep(writer.bytes_to_finish());
        Ok(Self { writer, journal, ballast, path })
    }

    /// Appends a picture.
    pub fn video(&mut self, sample: &EncodedSample) -> Result<(), Mp4Error> {
        let placed = self.writer.video(&sample.data, sample.pts, sample.keyframe)?;
        self.journal.add(placed, &sample.data);
        Ok(())
    }

    /// Appends a packet right behind the one before.
    pub fn audio(&mut self, packet: &[u8], samples: u32) -> Result<(), Mp4Error> {
        let placed = self.writer.audio(packet, samples)?;
        self.journal.add(placed, packet);
        self.ballast.keep(self.writer.bytes_to_finish());
        Ok(())
    }

    /// Appends a packet at sample `time` of the file.
    pub fn audio_at(&mut self, packet: &[u8], time: u64, samples: u32) -> Result<(), Mp4Error> {
        let placed = self.writer.audio_at(packet, time, samples)?;
        self.journal.add(placed, packet);
        self.ballast.keep(self.writer.bytes_to_finish());
        Ok(())
    }

    /// The sound ends there (see [`Mp4Writer::end_audio`]).
    pub fn end_audio(&mut self, samples: u64) {
        self.writer.end_audio(samples);
    }

    /// Readers of the unfinished file see all that was written so far.
    pub fn commit(&mut self) -> Result<(), Mp4Error> {
        self.writer.commit()
    }

    /// Ends the file, with the room that was kept for it where there is no other.
    pub fn finalise(&mut self) -> Result<Finished, Mp4Error> {
        let finished = self.writer.finalise();
        match finished {
            Err(e) if e.is_no_space() && self.ballast.release() => self.writer.finalise(),
            finished => finished,
        }
    }

    /// The file was ended as it should be: there is nothing to recover.
    pub fn remove_journal(self) {
        self.journal.remove();
    }

    /// What the file was made as.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its length, without what is allocated ahead.
    pub fn bytes(&self) -> u64 {
        self.writer.bytes()
    }

    /// The file itself.
    pub fn file(&self) -> &DiskFile {
        self.writer.file()
    }
}
