//! The scribe's thread: the session's small files, so that no thread that matters waits for a disk
//! that stalls: `frame_log.csv` as it grows, the metadata and the timecodes whenever they change.
//!
//! Normal priority. Nothing here is the recording: what cannot be written is told once.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::error::EngineError;
use super::events::Events;
use super::folder::SessionFolder;
use super::record::RecordShared;
use super::threads::spawn;
use crate::platform::{clock, priority::Role};
use crate::recording::frame_log::{self, FrameRecord};
use crate::units::Micros;

/// The frame log's name in the session's folder.
pub const FRAME_LOG: &str = "frame_log.csv";

/// How often the thread looks whether the folder is there, and whether it is over.
const POLL: Duration = Duration::from_millis(100);
/// The log reaches the disk at least this often, microseconds.
const SYNC: i64 = 10_000_000;
/// Records that may wait: an hour of them, 5 MB. A disk that stalls longer has lost the recording.
const MOST_RECORDS: usize = 120_000;

enum Job {
    Frames(Vec<FrameRecord>),
    Replace { name: &'static str, text: String },
}

/// Gives work to the thread. The thread ends when all of these are gone and everything is written.
#[derive(Clone)]
pub struct Scribe {
    jobs: mpsc::Sender<Job>,
    /// Records on their way.
    waiting: Arc<AtomicUsize>,
}

impl Scribe {
    /// Starts the thread.
    pub fn start(
        folder: Arc<SessionFolder>,
        record: Arc<RecordShared>,
        events: Events,
    ) -> Result<(Self, JoinHandle<()>), EngineError> {
        let (jobs, input) = mpsc::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let desk = Desk {
            folder,
            record,
            events,
            waiting: waiting.clone(),
            records: Vec::new(),
            texts: Vec::new(),
            log: None,
            synced: clock::now(),
            failed: false,
        };
        let thread = spawn("hz-scribe", Role::Normal, move || desk.run(&input))?;
        Ok((Self { jobs, waiting }, thread))
    }

    /// Appends to the frame log and empties `records`, unless too many wait already: then they stay.
    pub fn frames(&self, records: &mut Vec<FrameRecord>) {
        if self.waiting.load(Relaxed) + records.len() <= MOST_RECORDS {
            self.waiting.fetch_add(records.len(), Relaxed);
            let _ = self.jobs.send(Job::Frames(std::mem::take(records)));
        } else if records.len() > MOST_RECORDS {
            records.clear();
        }
    }

    /// Replaces a small file atomically.
    pub fn replace(&self, name: &'static str, text: String) {
        let _ = self.jobs.send(Job::Replace { name, text });
    }
}

/// The thread's state.
struct Desk {
    folder: Arc<SessionFolder>,
    record: Arc<RecordShared>,
    events: Events,
    waiting: Arc<AtomicUsize>,
    /// What has not been written yet; only the newest text of a name counts.
    records: Vec<FrameRecord>,
    texts: Vec<(&'static str, String)>,
    log: Option<File>,
    synced: Micros,
    failed: bool,
}

impl Desk {
    fn run(mut self, input: &mpsc::Receiver<Job>) {
        loop {
            let over = match input.recv_timeout(POLL) {
                Ok(job) => {
                    self.take(job);
                    false
                }
                Err(mpsc::RecvTimeoutError::Timeout) => false,
                Err(mpsc::RecvTimeoutError::Disconnected) => true,
            };
            while let Ok(job) = input.try_recv() {
                self.take(job);
            }
            // The writer makes the folder with the recording's file.
            if self.folder.path().is_some() {
                self.write(over);
            }
            if over {
                return;
            }
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Frames(records) => self.records.extend(records),
            Job::Replace { name, text } => {
                self.texts.retain(|(n, _)| *n != name);
                self.texts.push((name, text));
            }
        }
    }

    fn write(&mut self, over: bool) {
        for (name, text) in std::mem::take(&mut self.texts) {
            if let Err(e) = self.folder.replace(name, &text) {
                self.fail(name, &e);
            }
        }
        if let Err(e) = self.append(over) {
            self.fail(FRAME_LOG, &e);
        }
    }

    fn append(&mut self, over: bool) -> std::io::Result<()> {
        let records = std::mem::take(&mut self.records);
        self.waiting.fetch_sub(records.len(), Relaxed);
        let mut text = String::with_capacity(records.len() * 40);
        if self.log.is_none() && !records.is_empty() {
            let (Some(folder), Some(start)) = (self.folder.path(), self.record.start.get()) else {
                return Ok(());
            };
            let path = folder.join(FRAME_LOG);
            self.log = Some(OpenOptions::new().create(true).append(true).open(path)?);
            text = frame_log::head(start.t0, start.first_slot);
        }
        let Some(log) = &mut self.log else { return Ok(()) };
        for record in &records {
            frame_log::line(record, &mut text);
        }
        log.write_all(text.as_bytes())?;
        let now = clock::now();
        if over || now.since(self.synced) >= SYNC {
            self.synced = now;
            log.sync_data()?;
        }
        Ok(())
    }

    fn fail(&mut self, name: &str, e: &std::io::Error) {
        if !std::mem::replace(&mut self.failed, true) {
            self.events.warn(
                format!("cannot write {name} beside the recording: {e}"),
                "the recording itself goes on; check the disk",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::Start;
    use crate::engine::shared::Shared;
    use crate::recording::frame_log::What;
    use crate::units::SessionMicros;

    fn record_of(slot: u64) -> FrameRecord {
        let (source, session) = (Some(Micros(5)), Some(SessionMicros(6)));
        FrameRecord { slot: Some(slot), what: What::Picture, source, session }
    }

    #[test]
    fn what_was_told_before_the_folder_exists_is_written_when_it_does_and_the_newest_text_stays() {
        let output = tempfile::tempdir().unwrap();
        let (events, told) = Events::new(Arc::new(Shared::default()));
        let folder = Arc::new(SessionFolder::new(output.path().into(), None, "Ann".into()));
        let record = Arc::new(RecordShared::default());
        let (t0, first_slot) = (SessionMicros(0), 7);
        let start = Start { t0, first_slot, epoch_utc_micros: 0, utc_offset_seconds: 0 };
        let _ = record.start.set(start);
        let (scribe, thread) = Scribe::start(folder.clone(), record, events).unwrap();
        let mut records = vec![record_of(7)];
        scribe.frames(&mut records);
        assert!(records.is_empty());
        scribe.replace("note.txt", "old".into());
        let path = folder.make(&start, None).unwrap();
        scribe.frames(&mut vec![record_of(8)]);
        scribe.replace("note.txt", "new".into());
        drop(scribe);
        thread.join().unwrap();
        let log = std::fs::read_to_string(path.join(FRAME_LOG)).unwrap();
        assert_eq!(frame_log::read(&log), [record_of(7), record_of(8)]);
        assert!(log.starts_with("# HyperZoom frame log 1") && log.matches('#').count() == 1);
        assert_eq!(std::fs::read_to_string(path.join("note.txt")).unwrap(), "new");
        assert_eq!(std::fs::read_dir(path).unwrap().count(), 2, "no scratch file is left");
        assert!(told.try_recv().is_err(), "no warning");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_told_once() {
        let output = tempfile::tempdir().unwrap();
        let (events, told) = Events::new(Arc::new(Shared::default()));
        let folder = Arc::new(SessionFolder::new(output.path().into(), None, "Ann".into()));
        let record = Arc::new(RecordShared::default());
        let (t0, first_slot) = (SessionMicros(0), 0);
        let start = Start { t0, first_slot, epoch_utc_micros: 0, utc_offset_seconds: 0 };
        let path = folder.make(&start, None).unwrap();
        std::fs::remove_dir(path).unwrap();
        let (scribe, thread) = Scribe::start(folder, record, events).unwrap();
        scribe.replace("one.txt", String::new());
        scribe.replace("two.txt", String::new());
        drop(scribe);
        thread.join().unwrap();
        assert_eq!(told.try_iter().count(), 1);
    }
}
