//! Where everything that a person or a script should learn of goes through: stamped with session
//! time, sent to whoever prints, kept as lines for the dashboard. Never called by real-time threads.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use super::log::SessionLog;
use super::shared::Shared;
use crate::ui::format::{self, Names};
use crate::ui::model::{Event, Stamped};
use crate::ui::notice::Notice;

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
        // The figures of each second have their place in the dashboard; the log is for events.
        let text = match stamped.event {
            Event::Stats(_) => None,
            _ => format::describe(&stamped.event, &names),
        };
        drop(names);
        if let Some(text) = text {
            let mut lines = self.inner.lines.lock().unwrap_or_else(|e| e.into_inner());
            if lines.len() == LINES {
                lines.pop_front();
            }
            let line = format!("{} {text}", format::clock(t.max(0.0)));
            match &stamped.event {
                // The folder is handed on; who gets it is not invited by that.
                Event::Ready { listen, .. } => self.inner.log.line(&format!("ready on {listen}")),
                Event::PortMapping { state, .. } => {
                    self.inner.log.line(&format!("port mapping {state}"));
                }
                Event::Invite { .. } => {}
                _ => self.inner.log.line(&line),
            }
            lines.push_back(line);
        }
        // Nobody listening (a closed pipe, an ended dashboard) must not end a recording.
        let _ = self.inner.sender.lock().unwrap_or_else(|e| e.into_inner()).send(stamped);
    }

    /// Something is wrong, or failed, and a person should know.
    pub fn notice(&self, notice: &Notice) {
        self.send(notice.into());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_in_the_folder_tells_what_happened_but_not_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let (events, _receiver) = Events::new(Arc::new(Shared::default()));
        let invite = Some("host:7000#SECRET".to_owned());
        events.send(Event::Invite { invite: "host:7000#SECRET".to_owned() });
        events.send(Event::PortMapping {
            state: "mapped",
            method: None,
            external: None,
            invite: invite.clone(),
        });
        events.send(Event::Ready { listen: "0.0.0.0:7000".into(), invite, public: None });
        events.open_log(folder.path());
        events.send(Event::PeerJoined { id: 1, name: "Bob".into() });
        events.log("stderr: ALSA lib");
        events.close_log();
        let text = std::fs::read_to_string(folder.path().join(crate::engine::log::FILE_NAME));
        let text = text.unwrap();
        assert!(!text.contains("SECRET"), "{text}");
        for told in ["ready on 0.0.0.0:7000", "00:00:00 Bob joined", "stderr: ALSA lib"] {
            assert!(text.contains(told), "{text}");
        }
    }
}
