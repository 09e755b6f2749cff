//! The journal on the disk: a record appended for each sample, never synced, removed at the end.
//!
//! It helps recovery and must never harm the recording: what fails here is logged once, and the
//! recording goes on without a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::recording::journal::{EXTENSION, Record, header};
use crate::recording::mp4::{MovieParameters, Placed};

/// The journal of one recording.
pub struct JournalFile {
    path: PathBuf,
    /// `None` once it has failed.
    file: Option<File>,
}

/// Where the journal of a recording is.
pub fn path_of(recording: &Path) -> PathBuf {
    recording.with_extension(EXTENSION)
}

impl JournalFile {
    /// Begins the journal of a recording.
    pub fn create(recording: &Path, parameters: &MovieParameters) -> Self {
        let path = path_of(recording);
        let begin = || -> io::Result<File> {
            let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
            file.write_all(&header(parameters).map_err(io::Error::other)?)?;
            Ok(file)
        };
        let file = begin().map_err(|e| tracing::warn!("no journal {}: {e}", path.display())).ok();
        Self { path, file }
    }

    /// Tells of a sample that was written there.
    pub fn add(&mut self, placed: Placed, sample: &[u8]) {
        let Some(file) = &mut self.file else { return };
        if let Err(e) = file.write_all(&Record::new(placed, sample).to_bytes()) {
            tracing::warn!("the journal {} ends here: {e}", self.path.display());
            self.file = None;
        }
    }

    /// The recording was ended as it should be: there is nothing to recover.
    pub fn remove(self) {
        drop(self.file);
        if let Err(e) = std::fs::remove_file(&self.path) {
            tracing::warn!("the journal {} stays: {e}", self.path.display());
        }
    }
}
