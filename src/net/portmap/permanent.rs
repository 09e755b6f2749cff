//! The note about a mapping that has no end of its own (a router that answers 725): kept in a file,
//! so that the next start removes what a kill left behind.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::platform::folders;

/// A mapping that stays until it is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permanent {
    /// The router.
    pub router: IpAddr,
    /// The port there.
    pub external_port: u16,
    /// The port here.
    pub internal_port: u16,
}

/// The notes' file.
#[derive(Clone, Debug)]
pub struct Notes {
    path: Option<PathBuf>,
}

impl Notes {
    /// In the system's place for state.
    pub fn here() -> Self {
        Self { path: folders::state().map(|dir| dir.join("port-mappings.json")) }
    }

    /// In a file of one's own.
    pub fn at(path: &Path) -> Self {
        Self { path: Some(path.to_owned()) }
    }

    /// What is noted; nothing where there is no file or it cannot be read.
    pub fn read(&self) -> Vec<Permanent> {
        let text = self.path.as_ref().and_then(|path| fs::read_to_string(path).ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// Adds a note.
    pub fn add(&self, note: Permanent) -> io::Result<()> {
        let mut notes = self.read();
        if !notes.contains(&note) {
            notes.push(note);
        }
        self.write(&notes)
    }

    /// Takes a note away.
    pub fn remove(&self, note: &Permanent) -> io::Result<()> {
        let mut notes = self.read();
        notes.retain(|n| n != note);
        self.write(&notes)
    }

    fn write(&self, notes: &[Permanent]) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if notes.is_empty() {
            return match fs::remove_file(path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string(notes).map_err(io::Error::other)?;
        let part = path.with_extension("part");
        fs::write(&part, text)?;
        fs::rename(part, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stay_until_they_are_taken_away_and_an_empty_file_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state/port-mappings.json");
        let notes = Notes::at(&path);
        assert!(notes.read().is_empty());
        let note = |port| Permanent {
            router: "192.168.1.1".parse().expect("an address"),
            external_port: port,
            internal_port: 7000,
        };
        notes.add(note(7000)).expect("written");
        notes.add(note(50_000)).expect("written");
        notes.add(note(7000)).expect("written");
        assert_eq!(notes.read(), [note(7000), note(50_000)]);
        notes.remove(&note(7000)).expect("written");
        assert_eq!(notes.read(), [note(50_000)]);
        notes.remove(&note(50_000)).expect("written");
        assert!(!path.exists());
        fs::write(&path, "nonsense").expect("written");
        assert!(notes.read().is_empty(), "a damaged file is no reason to fail");
    }
}
