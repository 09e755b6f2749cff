//! Whether the person has read that headphones are needed: a file that is there, or is not.

use std::path::PathBuf;
use std::{fs, io};

use crate::platform::folders;

/// See the module.
pub struct Notice(Option<PathBuf>);

impl Notice {
    /// In the system's place for state.
    pub fn here() -> Self {
        Self(folders::state().map(|dir| dir.join("headphones-known")))
    }

    /// It was read.
    pub fn known(&self) -> bool {
        self.0.as_ref().is_some_and(|path| path.exists())
    }

    /// Keeps that for the next time.
    pub fn keep(&self) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, "The notice about headphones was read. Without this file it comes again.\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_is_known_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let notice = Notice(Some(folder.path().join("state/headphones-known")));
        assert!(!notice.known());
        notice.keep().unwrap();
        assert!(notice.known());
        let nowhere = Notice(None);
        nowhere.keep().unwrap();
        assert!(!nowhere.known());
    }
}
