//! Where everything that a person or a script should learn of goes through: stamped with session
//! time, sent to whoever prints, kept as lines for the dashboard. Never called by real-time threads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use super::log::SessionLog;
use super::shared::Shared;
use crate::ui::format::{self, Names};
use crate::ui::model::{Event, Stamped};

/// Lines kept for the dashboard: a few screens.
const LINES: usize = 300;

/// Sends events out and remembers them as lines.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    sender: Mutex<mpsc::Sender<Stamped>>,
    names: Mutex<Names>,
    lines: Mutex<VecDeque<String>>,
    log: SessionLog,
}

impl Events {
    /// A hub and the end where its events come out.
    pub fn new(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Stamped>) {
        let (sender, receiver) = mpsc::channel();
        let inner = Inner {
            shared,
            sender: Mutex::new(sender),
            names: Mutex::default(),
            lines: Mutex::default(),
            log: SessionLog::default(),
        };
        (Self { inner: Arc::new(inner) }, receiver)
    }

    /// Tells of `event`, now.
    pub fn send(&self, event: Event) {
        let t = self.inner.shared.session_now().map_or(0.0, |t| t.as_secs_f64());
        let stamped = Stamped { event, t };
        let mut names = self.inner.names.lock().unwrap_or_else(|e| e.into_inner());
        names.learn(&stamped.event);
        let text = format::describe(&stamped.event, &names);
        drop(names);
        if let Some(text) = text {
            let mut lines = self.inner.lines.lock().unwrap_or_else(|e| e.into_inner());
            if lines.len() == LINES {
                lines.pop_front();
            }
            let line = format!("{} {text}", format::clock(t.max(0.0)));
            self.inner.log.line(&line);
            lines.push_back(line);
        }
        // Nobody listening (a closed pipe, an ended dashboard) must not end a recording.
        let _ = self.inner.sender.lock().unwrap_or_else(|e| e.into_inner()).send(stamped);
    }

    /// Something is wrong and the program goes on.
    pub fn warn(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.send(Event::Warning { what: what.into(), remedy: remedy.into() });
    }

    /// Something failed.
    pub fn error(&self, what: impl Into<String>, remedy: impl Into<String>) {
        self.send(Event::Error { what: what.into(), remedy: remedy.into() });
    }

    /// Something for the session's log alone: what libraries print, say.
    pub fn log(&self, line: &str) {
        self.inner.log.line(line);
    }

    /// The session's folder is there: its log begins.
    pub fn open_log(&self, folder: &Path) {
        self.inner.log.open(folder);
    }

    /// The session is over.
    pub fn close_log(&self) {
        self.inner.log.close();
    }

    /// The newest lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.inner.lines.lock().unwrap_or_else(|e| e.into_inner()).iter().cloned().collect()
    }
}
