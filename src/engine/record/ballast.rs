//! Room for the end of a file: what a recording needs to be ended is kept taken on the disk, in a
//! file without a name, and given back when the disk (or a quota) is full. So a full disk never
//! keeps a file from being ended. Belongs to the writer's thread.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Kept beyond what the end needs: the last fragment's index, and blocks that are not full.
const MARGIN: u64 = 256 << 10;
/// It grows by this much: some seventeen minutes of index.
const STEP: u64 = 1 << 20;

/// See the module.
pub struct Ballast {
    folder: PathBuf,
    file: Option<File>,
    bytes: u64,
    /// It cannot be made here, or was given back.
    over: bool,
}

impl Ballast {
    /// Nothing is taken yet; `recording` tells on which disk it will be.
    pub fn beside(recording: &Path) -> Self {
        let folder = recording.parent().unwrap_or(Path::new(".")).to_owned();
        Self { folder, file: None, bytes: 0, over: false }
    }

    /// Takes so many bytes and a margin, if that is more than before. What fails is logged once, and
    /// the recording goes on without.
    pub fn keep(&mut self, needed: u64) {
        if self.over || self.bytes >= needed + MARGIN {
            return;
        }
        if let Err(e) = self.grow((needed + MARGIN).next_multiple_of(STEP)) {
            tracing::warn!("no room is kept for the recording's end: {e}");
            self.over = true;
        }
    }

    fn grow(&mut self, until: u64) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(tempfile::tempfile_in(&self.folder)?),
        };
        // Zeros would take no room on a disk that packs them.
        let mut block = [0_u8; 4_096];
        while self.bytes < until {
            getrandom::fill(&mut block).map_err(|e| io::Error::other(e.to_string()))?;
            file.write_all(&block)?;
            self.bytes += block.len() as u64;
        }
        // Some systems choose the place, and find that there is none, only now.
        file.sync_data()
    }

    /// Gives the room back; `false` when there is none to give.
    pub fn release(&mut self) -> bool {
        self.over = true;
        self.file.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_what_the_end_needs_grows_with_it_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::beside(&folder.path().join("a.mp4"));
        ballast.keep(10_000);
        assert_eq!(ballast.bytes, STEP);
        assert_eq!(ballast.file.as_ref().unwrap().metadata().unwrap().len(), STEP);
        ballast.keep(500_000);
        assert_eq!(ballast.bytes, STEP);
        ballast.keep(STEP);
        assert_eq!(ballast.bytes, 2 * STEP);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        assert!(ballast.release() && !ballast.release());
        ballast.keep(10_000);
        assert!(ballast.file.is_none(), "once given back, it stays so");
    }

    #[test]
    fn where_it_cannot_be_made_the_recording_goes_on_without() {
        let folder = tempfile::tempdir().unwrap();
        let mut ballast = Ballast::beside(&folder.path().join("missing/a.mp4"));
        ballast.keep(1);
        assert!(!ballast.release());
    }
}
