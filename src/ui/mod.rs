//! What a person or a script sees, shell: dashboard, preview window, plain and JSON lines.
//! Draws snapshots and prints events; changes nothing and never knows the engine: what runs is
//! behind [`Session`].

use std::sync::Arc;
use std::time::Duration;

use format::{Names, clock, describe};
use model::{Command, Event, Finished, Snapshot, Stamped};

pub mod after;
pub mod cells;
pub mod clipboard;
pub mod dashboard;
pub mod entry;
#[cfg(test)]
mod fake;
pub mod format;
pub mod inputs;
pub mod json;
pub mod keys;
pub mod meter;
pub mod model;
pub mod notice;
pub mod output;
pub mod palette;
pub mod plain;
pub mod precall;
pub mod screen;
#[cfg(unix)]
pub mod stderr_pipe;
pub mod terminal;
pub mod window;

/// A running call or recording, as far as whoever looks at it needs to know.
pub trait Session {
    /// The next event, waiting no longer than `timeout`.
    fn next_event(&self, timeout: Duration) -> Next;
    /// The newest picture of everything.
    fn snapshot(&self) -> Arc<Snapshot>;
    /// Asks for something; [`Command::End`] goes through [`Session::end`].
    fn command(&self, command: Command);
    /// Asks for a clean end: BYE, finalise, read back.
    fn end(&self, reason: EndReason);
    /// Gives up at once; the file stays recoverable.
    fn abort(&self);
    /// A line for the session's log: what libraries print while the dashboard is up.
    fn log(&self, line: &str);
}

/// What [`Session::next_event`] found.
#[derive(Debug)]
pub enum Next {
    /// Something happened.
    Event(Box<Stamped>),
    /// Nothing within the time given.
    Quiet,
    /// Nothing will happen any more.
    Closed,
}

/// Who asked for the end; becomes the `ended` event's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The end key of the dashboard or the window.
    EndKey,
    /// Ctrl-C, SIGTERM, SIGHUP, or the console closing.
    Signal,
    /// `{"do": "end"}` on standard input.
    Command,
}

impl EndReason {
    /// As in the `ended` event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EndKey => "end_key",
            Self::Signal => "signal",
            Self::Command => "command",
        }
    }
}

/// How watching a session came to its end.
#[derive(Debug, Default)]
pub struct Watched {
    /// The file, where one was finished.
    pub finished: Option<Finished>,
    /// A second Ctrl-C was given.
    pub aborted: bool,
    /// A third one was: do not even wait for the threads.
    pub abandoned: bool,
    /// The `ended` event's reason.
    pub reason: String,
    /// Warnings and errors as lines, oldest first.
    pub warnings: Vec<String>,
}

/// Warnings kept for the end: the first ones, because the later ones tend to follow from them.
const MOST_WARNINGS: usize = 50;

/// What is added to a loss that is over, before the time.
const OVER: &str = "; it was back at ";

/// What is added to a warning that came more than once, before the last time.
const AGAIN: &str = "; again until ";

fn over(warning: &str) -> bool {
    warning.contains(OVER)
}

impl Watched {
    /// Keeps what has to be told again at the end.
    fn learn(&mut self, stamped: &Stamped) {
        match &stamped.event {
            Event::RecordingFinished(finished) => self.finished = Some(finished.clone()),
            Event::Ended { reason } => self.reason.clone_from(reason),
            // The loss stands in the list; that it is over belongs to it.
            Event::Warning { what, harmless: true, .. } => {
                let lost = what.strip_suffix(" is back").map(|device| format!("{device} is gone"));
                let told = |warning: &&mut String| {
                    lost.as_ref().is_some_and(|lost| warning.contains(lost)) && !over(warning)
                };
                if let Some(warning) = self.warnings.iter_mut().rev().find(told) {
                    let at = clock(stamped.t.max(0.0));
                    warning.push_str(&format!("{OVER}{at}"));
                }
            }
            event @ (Event::Warning { .. } | Event::Error { .. }) => {
                let text = describe(event, &Names::default()).unwrap_or_default();
                let at = clock(stamped.t.max(0.0));
                let told = |warning: &&mut String| {
                    let known = warning.split_once(' ').map_or("", |(_, known)| known);
                    known.split(AGAIN).next() == Some(&text)
                };
                if let Some(warning) = self.warnings.iter_mut().find(told) {
                    warning.truncate(warning.find(AGAIN).unwrap_or(warning.len()));
                    warning.push_str(&format!("{AGAIN}{at}"));
                } else if self.warnings.len() < MOST_WARNINGS {
                    self.warnings.push(format!("{at} {text}"));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use notice::Notice;

    #[test]
    fn an_ordinary_session_has_nothing_to_tell_at_its_end_and_a_loss_that_is_over_is_one_line() {
        let mut watched = Watched::default();
        let mut learn = |notice: Notice, t: f64| {
            watched.learn(&Stamped { event: notice.into(), t });
            watched.warnings.clone()
        };
        let way = "earlier";
        let (ms, camera) = ("43".to_owned(), "BRIO".to_owned());
        assert!(learn(Notice::AvOffsetRemembered { ms, way, camera }, 1.0).is_empty());
        let (device, ms) = ("speaker".to_owned(), "2.5".to_owned());
        assert!(learn(Notice::DeviceReserve { device, ms }, 2.0).is_empty());
        let device = || "microphone".to_owned();
        assert!(learn(Notice::DeviceReturned { device: device() }, 3.0).is_empty());
        let lost = || Notice::DeviceLost { device: device(), why: "unplugged".to_owned() };
        learn(lost(), 60.0);
        learn(Notice::DeviceReturned { device: device() }, 75.0);
        learn(lost(), 90.0);
        let other = Notice::DeviceReturned { device: "camera".to_owned() };
        assert!(!learn(other, 91.0)[1].contains("back at"));
        let told = learn(Notice::DeviceReturned { device: device() }, 95.0);
        let backs: Vec<_> = told.iter().map(|line| line.rsplit(' ').next().unwrap()).collect();
        assert_eq!(backs, ["00:01:15", "00:01:35"], "{told:?}");
        assert!(told[0].starts_with("00:01:00 warning: the microphone is gone"), "{told:?}");
    }

    #[test]
    fn a_warning_that_comes_again_and_again_is_one_line_with_its_first_and_last_time() {
        let mut watched = Watched::default();
        let mut learn = |what: &str, t: f64| {
            let event = Notice::DeviceLost { device: what.to_owned(), why: "x".to_owned() }.into();
            watched.learn(&Stamped { event, t });
            watched.warnings.clone()
        };
        for t in [3.0, 8.0, 14.0] {
            learn("camera", t);
        }
        let told = learn("microphone", 20.0);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("00:00:03 warning: the camera is gone"), "{told:?}");
        assert!(told[0].ends_with("again until 00:00:14"), "{told:?}");
        assert!(told[1].starts_with("00:00:20 ") && !told[1].contains(AGAIN), "{told:?}");
    }
}
