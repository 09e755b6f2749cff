//! The scratch file of waiting pictures: in the session's folder, without a name where the system
//! allows that, so that nothing is left behind however the program ends.
//!
//! It is cut into segments: one is given back to the disk as soon as all its pictures were taken.
//! Writing belongs to the thread `hz-spill-disk`, reading to the encoder's; both may wait.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a segment: some 40 raw 1080p pictures.
const SEGMENT: u64 = 128 << 20;
/// Bytes that stay free on the disk for the recording itself, and it ends at 200 MiB.
const SPARE: u64 = 1 << 30;

/// Writes pictures one behind the other.
pub struct Scratch {
    folder: PathBuf,
    segment: Option<(Arc<File>, u64)>,
}

/// Where one picture lies; its place is free once this is dropped.
pub struct Piece {
    file: Arc<File>,
    offset: u64,
    length: usize,
}

impl Scratch {
    /// A scratch file to be made in `folder` when it is needed.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), segment: None }
    }

    /// Stores one picture.
    pub fn store(&mut self, bytes: &[u8]) -> io::Result<Piece> {
        let (file, offset) = match self.segment.take() {
            Some((file, end)) if end < SEGMENT => (file, end),
            _ => (Arc::new(self.begin()?), 0),
        };
        write_all_at(&file, bytes, offset)?;
        self.segment = Some((file.clone(), offset + bytes.len() as u64));
        Ok(Piece { file, offset, length: bytes.len() })
    }

    fn begin(&self) -> io::Result<File> {
        if fs4::available_space(&self.folder)? < SPARE + SEGMENT {
            return Err(io::ErrorKind::StorageFull.into());
        }
        tempfile::tempfile_in(&self.folder)
    }
}

impl Piece {
    /// The picture's bytes.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        read_exact_at(&self.file, &mut bytes, self.offset)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let n = file.seek_write(bytes, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (bytes, offset) = (&bytes[n..], offset + n as u64);
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !bytes.is_empty() {
        let n = file.seek_read(bytes, offset)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        (bytes, offset) = (&mut bytes[n..], offset + n as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_back_whole_in_any_order_and_nothing_stays_in_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path());
        let pieces: Vec<Piece> =
            (0..20u8).map(|n| scratch.store(&vec![n; 1_000 + usize::from(n)]).unwrap()).collect();
        for (n, piece) in pieces.iter().enumerate().rev() {
            assert_eq!(piece.read().unwrap(), vec![n as u8; 1_000 + n]);
        }
        drop((pieces, scratch));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_segment_goes_back_to_the_disk_with_its_last_piece() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(folder.path());
        let first = scratch.store(&[1; 10]).unwrap();
        scratch.segment.as_mut().unwrap().1 = SEGMENT;
        let second = scratch.store(&[2; 10]).unwrap();
        assert!(!Arc::ptr_eq(&first.file, &second.file));
        assert_eq!(Arc::strong_count(&first.file), 1, "nobody else holds it");
        assert_eq!(first.read().unwrap(), [1; 10]);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_and_no_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut scratch = Scratch::new(&folder.path().join("gone"));
        assert!(scratch.store(&[1]).is_err());
        std::fs::create_dir(folder.path().join("gone")).unwrap();
        assert!(scratch.store(&[1]).is_ok());
    }
}
