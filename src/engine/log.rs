//! `hyperzoom.log` in the session's folder: what happened, with the time of day, for whoever asks
//! later why a recording is as it is.
//!
//! Thread `hz-log` alone writes, so that nobody who has something to tell waits for a disk. Lines
//! from before the folder exists are kept until then. Never called by real-time threads.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, mpsc};
use std::thread::JoinHandle;

use super::threads::spawn;
use crate::platform::priority::Role;

/// Its name in the folder (DESIGN section 7).
pub const FILE_NAME: &str = "hyperzoom.log";

/// Lines kept while there is no folder: a host may wait for its guests for hours.
const EARLY: usize = 1_000;

enum State {
    Early(VecDeque<String>),
    Open(mpsc::Sender<String>, JoinHandle<()>),
    Closed,
}

/// The session's log.
pub struct SessionLog(Mutex<State>);

impl Default for SessionLog {
    fn default() -> Self {
        Self(Mutex::new(State::Early(VecDeque::new())))
    }
}

impl SessionLog {
    /// Adds a line; its time is now.
    pub fn line(&self, text: &str) {
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let line = format!("{now} {}\n", text.replace(['\n', '\r'], " "));
        match &mut *self.state() {
            State::Early(lines) => {
                if lines.len() == EARLY {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            State::Open(to, _) => {
                let _ = to.send(line);
            }
            State::Closed => {}
        }
    }

    /// Begins the file in `folder`. A log that cannot be written is no reason to stop anything.
    pub fn open(&self, folder: &Path) {
        let mut state = self.state();
        let State::Early(early) = &mut *state else { return };
        let (to, lines) = mpsc::channel();
        for line in early.drain(..) {
            let _ = to.send(line);
        }
        let path = folder.join(FILE_NAME);
        *state = match spawn("hz-log", Role::Low, move || write(&path, &lines)) {
            Ok(thread) => State::Open(to, thread),
            Err(_) => State::Closed,
        };
    }

    /// Writes what is left and ends the file.
    pub fn close(&self) {
        let state = std::mem::replace(&mut *self.state(), State::Closed);
        if let State::Open(to, thread) = state {
            drop(to);
            let _ = thread.join();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn write(path: &Path, lines: &mpsc::Receiver<String>) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = match file {
        Ok(file) => file,
        Err(e) => {
            tracing::warn!("no {}: {e}", path.display());
            return;
        }
    };
    for line in lines {
        if let Err(e) = file.write_all(line.as_bytes()) {
            tracing::warn!("writing {} failed: {e}", path.display());
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_before_the_folder_come_first_and_none_after_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = SessionLog::default();
        log.line("waiting");
        log.open(folder.path());
        log.line("Bob is in\nand more");
        log.open(folder.path());
        log.close();
        log.line("nobody reads this");
        log.close();
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].ends_with("Z waiting"), "{text}");
        assert!(lines[1].ends_with("Z Bob is in and more"), "{text}");
    }

    #[test]
    fn a_folder_that_is_gone_stops_nobody() {
        let log = SessionLog::default();
        log.open(Path::new("/nonexistent/folder"));
        log.line("a");
        log.close();
    }
}
