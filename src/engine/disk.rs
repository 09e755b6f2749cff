//! The session's disk, asked by a thread of its own: how much is free, whether the folder is still
//! there, and the small files. A disk that does not answer for a while makes nobody wait but this
//! thread, `hz-disk`, and is told of.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use super::threads::spawn;
use crate::platform::clock;
use crate::platform::priority::Role;

/// How often the disk is asked.
const EVERY: Duration = Duration::from_secs(1);
/// Logs reach the disk at least this often, microseconds.
const SYNC: i64 = 10_000_000;
/// Bytes of a log that may wait: an hour of frames.
const MOST_LOG: usize = 6 << 20;
/// Not known.
const UNKNOWN: u64 = u64::MAX;

/// What is known of the disk.
pub struct Disk {
    inner: Arc<Inner>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Inner {
    output: PathBuf,
    free: AtomicU64,
    /// When the disk was asked something that it has not answered; 0 when it has.
    asked: AtomicI64,
    /// The recording's file is not where it was made any more.
    gone: AtomicBool,
    todo: Mutex<Todo>,
    news: Condvar,
}

#[derive(Default)]
struct Todo {
    /// Files to be replaced: only the newest text of each counts.
    files: BTreeMap<PathBuf, String>,
    /// Logs to be appended to.
    logs: BTreeMap<PathBuf, String>,
    /// Files that must stay where they are, and whether they were seen there.
    watched: Vec<(PathBuf, bool)>,
    failed: Option<io::Error>,
    stop: bool,
}

impl Inner {
    fn todo(&self) -> MutexGuard<'_, Todo> {
        self.todo.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn run(&self) {
        let mut synced = clock::now();
        loop {
            self.asked.store(clock::now().0.max(1), Relaxed);
            let free = fs4::available_space(&self.output).unwrap_or(UNKNOWN);
            self.free.store(free, Relaxed);
            let watched = self.todo().watched.clone();
            for (n, (file, seen)) in watched.iter().enumerate() {
                let missing = |path: &Path| {
                    let not_found = |e: io::Error| e.kind() == io::ErrorKind::NotFound;
                    std::fs::metadata(path).is_err_and(not_found)
                };
                // The file is made some moments after the folder.
                let gone = missing(file);
                if let Some(watched) = self.todo().watched.get_mut(n) {
                    watched.1 |= !gone;
                }
                let folder_gone = file.parent().is_some_and(missing);
                if folder_gone || *seen && gone {
                    self.gone.store(true, Relaxed);
                }
            }
            let stopping = self.todo().stop;
            loop {
                let Some((path, text)) = self.todo().files.pop_first() else { break };
                if let Err(e) = replace(&path, &text) {
                    self.todo().failed = Some(e);
                }
            }
            let sync = stopping || clock::now().since(synced) >= SYNC;
            if sync {
                synced = clock::now();
            }
            let logs = std::mem::take(&mut self.todo().logs);
            for (path, text) in logs {
                if let Err(e) = append(&path, &text, sync) {
                    self.todo().failed = Some(e);
                }
            }
            self.asked.store(0, Relaxed);
            if stopping {
                return;
            }
            let todo = self.todo();
            if todo.files.is_empty() && !todo.stop {
                drop(self.news.wait_timeout(todo, EVERY));
            }
        }
    }
}

impl Disk {
    /// Watches the disk that `output` (it exists) is on. Without a thread nothing is known and
    /// nothing written.
    pub fn watch(output: &Path) -> Self {
        let inner = Arc::new(Inner {
            output: output.to_owned(),
            free: AtomicU64::new(fs4::available_space(output).unwrap_or(UNKNOWN)),
            asked: AtomicI64::new(0),
            gone: AtomicBool::new(false),
            todo: Mutex::default(),
            news: Condvar::new(),
        });
        let theirs = inner.clone();
        let thread = spawn("hz-disk", Role::Low, move || theirs.run()).ok();
        Self { inner, thread: Mutex::new(thread) }
    }

    /// Free bytes as of the last answer.
    pub fn free(&self) -> Option<u64> {
        Some(self.inner.free.load(Relaxed)).filter(|&free| free != UNKNOWN)
    }

    /// For how long the disk has not answered, microseconds.
    pub fn silent(&self) -> i64 {
        match self.inner.asked.load(Relaxed) {
            0 => 0,
            asked => clock::now().0 - asked,
        }
    }

    /// From now on `file` must exist, too.
    pub fn must_stay(&self, file: PathBuf) {
        self.inner.todo().watched.push((file, false));
    }

    /// A file of [`Self::must_stay`] is not there any more.
    pub fn is_gone(&self) -> bool {
        self.inner.gone.load(Relaxed)
    }

    /// Replaces a small text file, soon, so that a crash leaves the old or the new one. Gives the
    /// error of an earlier one.
    pub fn replace(&self, path: PathBuf, text: String) -> io::Result<()> {
        let mut todo = self.inner.todo();
        todo.files.insert(path, text);
        let failed = todo.failed.take();
        drop(todo);
        self.inner.news.notify_one();
        failed.map_or(Ok(()), Err)
    }

    /// Appends to a log within a second and empties `text`, unless too much waits already for a
    /// disk that does not answer: then it stays.
    pub fn append(&self, path: PathBuf, text: &mut String) {
        let mut todo = self.inner.todo();
        let log = todo.logs.entry(path).or_default();
        if log.len() + text.len() <= MOST_LOG {
            log.push_str(text);
            text.clear();
        }
    }

    /// Writes what is left and ends the thread.
    pub fn finish(&self) -> io::Result<()> {
        self.inner.todo().stop = true;
        self.inner.news.notify_one();
        if let Some(thread) = self.thread.lock().unwrap_or_else(|e| e.into_inner()).take() {
            let _ = thread.join();
        }
        self.inner.todo().failed.take().map_or(Ok(()), Err)
    }
}

impl Drop for Disk {
    /// The thread is left alone: a disk that never answers must not keep the program.
    fn drop(&mut self) {
        self.inner.todo().stop = true;
        self.inner.news.notify_one();
    }
}

/// Replaces a small text file at once, so that a crash leaves the old or the new one.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    let scratch = path.with_file_name(name);
    let mut file = std::fs::File::create(&scratch)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(&scratch, path)?;
    // The new name is on the disk only with its folder. (Windows has no such call; NTFS logs
    // renames itself.)
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

/// Appends to a log, made if it is not there. `sync`: it is on the disk when this returns.
fn append(path: &Path, text: &str, sync: bool) -> io::Result<()> {
    use std::io::Write;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())?;
    if sync { file.sync_data() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_replaced_whole_and_the_newest_text_stays() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::watch(folder.path());
        let path = folder.path().join("a.json");
        for n in 0..50 {
            disk.replace(path.clone(), format!("text {n}")).unwrap();
        }
        disk.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text 49");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(disk.free().is_some_and(|free| free > 0));
    }

    #[test]
    fn logs_grow_in_order_and_what_waits_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let disk = Disk::watch(folder.path());
        let mut expected = String::new();
        for n in 0..1_000 {
            let mut text = format!("{n}\n");
            expected.push_str(&text);
            disk.append(path.clone(), &mut text);
            assert!(text.is_empty());
        }
        let mut much = "x".repeat(MOST_LOG + 1);
        disk.append(path.clone(), &mut much);
        assert_eq!(much.len(), MOST_LOG + 1, "it is not taken, and not lost");
        disk.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
    }

    #[test]
    fn a_folder_that_is_deleted_is_noticed_and_its_files_fail() {
        let folder = tempfile::tempdir().unwrap();
        let session = folder.path().join("session");
        std::fs::create_dir(&session).unwrap();
        std::fs::write(session.join("file.mp4"), "").unwrap();
        let disk = Disk::watch(folder.path());
        disk.must_stay(session.join("file.mp4"));
        std::fs::remove_dir_all(&session).unwrap();
        disk.replace(session.join("a.json"), "a".into()).unwrap();
        assert!(disk.finish().is_err());
        assert!(disk.is_gone());
    }
}
