//! The recording's file: positioned writes, space ahead, and a thread that waits for the disk.
//!
//! Thread `hz-sync` does what was ordered, one after the other: a sync, the 8-byte write that
//! commits a fragment, a sync. So the writer appends each sample when it comes, also while the disk
//! takes its time with the second before. Nobody else may write while a recorder has the file: it
//! is locked.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::engine::threads::spawn;
use crate::platform::priority::Role;
use crate::platform::whereabouts::{self, Whereabouts};
use crate::platform::{lock, space};
use crate::recording::mp4::RecordingFile;

/// A file on a disk, locked against other writers while it is open.
pub struct DiskFile {
    orders: Arc<Orders>,
    /// Whether a thread does what was ordered; else it is done at once.
    threaded: bool,
}

/// What the thread is to do.
enum Step {
    Sync,
    Write { offset: u64, data: Vec<u8> },
}

/// What was ordered and has not come about.
struct Orders {
    file: File,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    steps: VecDeque<Step>,
    /// The thread is at the first of them.
    busy: bool,
    /// Why the first of them failed; the thread rests until somebody has read it and syncs.
    failed: Option<io::Error>,
    /// It failed, whether or not somebody has read why.
    resting: bool,
    closed: bool,
}

impl DiskFile {
    /// Makes a new file; one that exists is an error, never overwritten.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut file = Self::of(lock::create(path)?);
        let theirs = file.orders.clone();
        file.threaded = spawn("hz-sync", Role::Normal, move || theirs.work()).is_ok();
        Ok(file)
    }

    /// Opens a file that is there, to end it. What is ordered is done at once.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self::of(lock::open(OpenOptions::new().read(true).write(true), path)?))
    }

    /// What reads the file from its beginning.
    pub fn reader(&self) -> io::Result<File> {
        let mut file = self.orders.file.try_clone()?;
        file.rewind()?;
        Ok(file)
    }

    /// Where it is by now, that was made as `path`.
    pub fn whereabouts(&self, path: &Path) -> io::Result<Whereabouts> {
        whereabouts::of(&self.orders.file, path)
    }

    fn of(file: File) -> Self {
        let orders = Orders { file, waiting: Mutex::default(), changed: Condvar::new() };
        Self { orders: Arc::new(orders), threaded: false }
    }

    fn enqueue(&self, step: Step) -> io::Result<()> {
        if !self.threaded {
            return self.orders.perform(&step);
        }
        let mut waiting = self.orders.waiting();
        if let Some(error) = waiting.failed.take() {
            return Err(error);
        }
        waiting.steps.push_back(step);
        self.orders.changed.notify_all();
        Ok(())
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        // The thread does what is left and ends; a disk that stands still holds nobody up.
        self.orders.waiting().closed = true;
        self.orders.changed.notify_all();
    }
}

impl Orders {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wait<'a>(&self, waiting: MutexGuard<'a, Waiting>) -> MutexGuard<'a, Waiting> {
        self.changed.wait(waiting).unwrap_or_else(|e| e.into_inner())
    }

    /// The thread.
    fn work(&self) {
        let mut waiting = self.waiting();
        loop {
            if waiting.resting || waiting.steps.is_empty() {
                if waiting.closed {
                    return;
                }
                waiting = self.wait(waiting);
                continue;
            }
            let step = waiting.steps.pop_front().expect("it is not empty");
            waiting.busy = true;
            drop(waiting);
            let result = self.perform(&step);
            waiting = self.waiting();
            waiting.busy = false;
            if let Err(error) = result {
                waiting.steps.push_front(step);
                waiting.failed = Some(error);
                waiting.resting = true;
            }
            self.changed.notify_all();
        }
    }

    fn perform(&self, step: &Step) -> io::Result<()> {
        match step {
            Step::Sync => self.file.sync_data(),
            Step::Write { offset, data } => write_all_at(&self.file, data, *offset),
        }
    }

    /// Waits until everything ordered has come about; what failed is tried once more, here.
    fn drain(&self) -> io::Result<()> {
        let mut waiting = self.waiting();
        while waiting.busy || !waiting.resting && !waiting.steps.is_empty() {
            waiting = self.wait(waiting);
        }
        while let Some(step) = waiting.steps.front() {
            self.perform(step)?;
            waiting.steps.pop_front();
        }
        waiting.resting = false;
        waiting.failed = None;
        Ok(())
    }
}

impl RecordingFile for DiskFile {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Some(error) = self.orders.waiting().failed.take() {
            return Err(error);
        }
        write_all_at(&self.orders.file, data, offset)
    }

    fn read_at(&mut self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        read_exact_at(&self.orders.file, data, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.orders.drain()?;
        self.orders.file.sync_data()
    }

    fn order(&mut self) -> io::Result<()> {
        self.enqueue(Step::Sync)
    }

    fn write_ordered(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.enqueue(Step::Write { offset, data: data.to_vec() })
    }

    fn reserve(&mut self, until: u64) -> io::Result<()> {
        space::reserve(&self.orders.file, until)
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.orders.file.metadata()?.len())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.orders.file.set_len(len)
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, data: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, data, offset)
}

#[cfg(unix)]
fn read_exact_at(file: &File, data: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, data, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !data.is_empty() {
        match file.seek_write(data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                data = &data[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut data: &mut [u8], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    while !data.is_empty() {
        match file.seek_read(data, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                data = &mut data[n..];
                offset += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_ordered_has_come_about_when_a_sync_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let mut file = DiskFile::create(&path).unwrap();
        file.write_at(0, &[1; 16]).unwrap();
        for n in 0..50 {
            file.order().unwrap();
            file.write_ordered(0, &[n; 8]).unwrap();
        }
        file.sync().unwrap();
        let mut read = [0; 16];
        file.read_at(0, &mut read).unwrap();
        assert_eq!((&read[..8], &read[8..]), (&[49; 8][..], &[1; 8][..]));
        assert_eq!(file.len().unwrap(), 16);
    }

    #[test]
    fn what_was_ordered_before_the_file_is_dropped_still_comes_about() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let mut file = DiskFile::create(&path).unwrap();
        file.write_at(0, &[1; 8]).unwrap();
        file.order().unwrap();
        file.write_ordered(0, b"\0\0\0\x01moof").unwrap();
        let orders = file.orders.clone();
        drop(file);
        orders.drain().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"\0\0\0\x01moof");
    }

    #[test]
    #[cfg(unix)]
    fn an_order_that_fails_is_told_once_and_done_by_the_next_sync() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = DiskFile::create(&folder.path().join("a.mp4")).unwrap();
        // No file can have a byte there; so this fails where the thread does it.
        let beyond = i64::MAX as u64;
        file.write_ordered(beyond, b"x").unwrap();
        let mut waiting = file.orders.waiting();
        while !waiting.resting {
            waiting = file.orders.wait(waiting);
        }
        drop(waiting);
        assert!(file.write_at(0, b"a").is_err(), "the error of the order");
        file.write_at(0, b"a").unwrap();
        file.write_ordered(0, b"b").unwrap();
        assert!(file.sync().is_err(), "it fails again, and what follows waits behind it");
        assert_eq!(file.orders.waiting().steps.len(), 2);
        file.orders.waiting().steps.pop_front();
        file.sync().unwrap();
        let mut read = [0];
        file.read_at(0, &mut read).unwrap();
        assert_eq!(&read, b"b");
    }

    #[test]
    fn nobody_else_can_have_the_file_for_writing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.mp4");
        let file = DiskFile::create(&path).unwrap();
        let again = lock::open(OpenOptions::new().read(true).write(true), &path);
        assert!(again.is_err_and(|e| lock::is_locked(&e)));
        drop(file);
    }
}
