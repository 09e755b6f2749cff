//! Where everything that a person or a script should learn of goes through: stamped with session
//! time, sent to whoever prints, kept as lines for the dashboard. Never called by real-time threads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, mpsc};

use super::shared::Shared;
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
    lines: Mutex<VecDeque<String>>,
}

impl Events {
    /// A hub and the end where its events come out.
    pub fn new(shared: Arc<Shared>) -> (Self, mpsc::Receiver<Stamped>) {
        let (sender, receiver) = mpsc::channel();
        let inner = Inner { shared, sender: Mutex::new(sender), lines: Mutex::default() };
        (Self { inner: Arc::new(inner) }, receiver)
    }

    /// Tells of `event`, now.
    pub fn send(&self, event: Event) {
        let t = self.inner.shared.session_now().map_or(0.0, |t| t.as_secs_f64());
        let stamped = Stamped { event, t };
        if let Some(text) = crate::ui::line(&stamped.event) {
            tracing::info!("{text}");
            let mut lines = self.inner.lines.lock().unwrap_or_else(|e| e.into_inner());
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(format!("{} {text}", clock_text(t)));
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

    /// The newest lines, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.inner.lines.lock().unwrap_or_else(|e| e.into_inner()).iter().cloned().collect()
    }
}

/// `hh:mm:ss` of the session.
fn clock_text(t: f64) -> String {
    let s = t.max(0.0) as u64;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
