//! A session for tests: plays prepared events, remembers what it was asked.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::model::{Command, Event, Snapshot, Stamped};
use super::{EndReason, Next, Session};

/// Ends when it is asked to, unless it is `deaf`.
#[derive(Default)]
pub struct FakeSession {
    pub deaf: bool,
    /// Panics at the snapshot after so many.
    pub panics_after: Option<Cell<u32>>,
    pub events: RefCell<VecDeque<Stamped>>,
    pub snapshot: RefCell<Arc<Snapshot>>,
    pub asked: RefCell<(Vec<Command>, Vec<EndReason>, bool)>,
    pub logged: RefCell<Vec<String>>,
}

impl FakeSession {
    pub fn commands(&self) -> Vec<Command> {
        self.asked.borrow().0.clone()
    }

    pub fn ends(&self) -> Vec<EndReason> {
        self.asked.borrow().1.clone()
    }

    pub fn was_aborted(&self) -> bool {
        self.asked.borrow().2
    }

    pub fn push(&self, event: Event, t: f64) {
        self.events.borrow_mut().push_back(Stamped { event, t });
    }
}

impl Session for FakeSession {
    fn next_event(&self, _timeout: Duration) -> Next {
        match self.events.borrow_mut().pop_front() {
            Some(stamped) => Next::Event(Box::new(stamped)),
            None => Next::Quiet,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(left) = &self.panics_after {
            assert!(left.get() > 0, "this test's panic");
            left.set(left.get() - 1);
        }
        self.snapshot.borrow().clone()
    }

    fn command(&self, command: Command) {
        // What a real session would show.
        let mut snapshot = Snapshot::clone(&self.snapshot.borrow());
        match (&command, &mut snapshot.unfinished) {
            (Command::Recover, Some(unfinished)) => unfinished.percent = Some(40),
            (Command::LeaveUnfinished, Some(_)) => {
                (snapshot.unfinished, snapshot.phase) = (None, "left as it is".into());
            }
            _ => {}
        }
        *self.snapshot.borrow_mut() = Arc::new(snapshot);
        self.asked.borrow_mut().0.push(command);
    }

    fn end(&self, reason: EndReason) {
        self.asked.borrow_mut().1.push(reason);
        if !self.deaf {
            self.push(Event::Ended { reason: reason.as_str().to_owned() }, 1.0);
        }
    }

    fn abort(&self) {
        self.asked.borrow_mut().2 = true;
    }

    fn log(&self, line: &str) {
        self.logged.borrow_mut().push(line.to_owned());
    }
}

/// A writer whose text can be read afterwards.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub fn text(&self) -> String {
        let bytes = self.0.lock().expect("no writer panics").clone();
        String::from_utf8(bytes).expect("lines are UTF-8")
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panics").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
