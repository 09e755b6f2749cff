//! The session's folder and the small files in it (PRD 7): made when the recording begins,
//! the metadata replaced atomically whenever something in it changes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::disk::Disk;
use super::record::Start;
use crate::recording::folder;

/// Where the session's files go.
pub struct SessionFolder {
    output: PathBuf,
    session: Option<String>,
    name: String,
    path: OnceLock<PathBuf>,
    /// What is known of the disk.
    pub disk: Disk,
}

impl SessionFolder {
    /// A folder to be made below `output`.
    pub fn new(output: PathBuf, session: Option<String>, name: String) -> Self {
        let disk = Disk::watch(&output);
        Self { output, session, name, path: OnceLock::new(), disk }
    }

    /// The folder, once it exists.
    pub fn path(&self) -> Option<&Path> {
        self.path.get().map(PathBuf::as_path)
    }

    /// Makes the folder, in which `file` is about to be written; a name that is taken gets our display name, then a number. `told` is the
    /// session's name as the host told it, for who gave none.
    pub fn make(&self, start: &Start, told: Option<&str>, file: &str) -> io::Result<PathBuf> {
        if let Some(path) = self.path.get() {
            self.disk.must_stay(path.join(file));
            return Ok(path.clone());
        }
        // Two programs may choose the same name at the same moment: creating decides.
        loop {
            let name = folder::session_folder(
                (start.utc_micros() / 1_000_000).max(0) as u64,
                self.session.as_deref().or(told),
                &self.name,
                |candidate| self.output.join(candidate).exists(),
            );
            let path = self.output.join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => {
                    self.disk.must_stay(path.join(file));
                    return Ok(self.path.get_or_init(|| path).clone());
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Replaces a small text file in the folder, soon; gives the error of an earlier one.
    pub fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let Some(folder) = self.path() else { return Ok(()) };
        self.disk.replace(folder.join(name), text.to_owned())
    }

    /// Appends to a log in the folder and empties `text`, once there is a folder.
    pub fn append(&self, name: &str, text: &mut String) {
        if let Some(folder) = self.path() {
            self.disk.append(folder.join(name), text);
        }
    }
}
