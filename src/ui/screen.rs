//! The terminal and descriptor 2 while they are ours, and how the shell has them for a while (Ctrl-Z).

use std::io;
#[cfg(unix)]
use std::io::Write as _;
use std::sync::mpsc::Sender;

use super::inputs::Input;
use super::terminal::TakenTerminal;
#[cfg(unix)]
use crate::platform::jobs::{self, Supervisor};

/// See the module; all is given back when it is dropped.
pub struct Screen {
    taken: Option<TakenTerminal>,
    #[cfg_attr(not(unix), expect(dead_code, reason = "descriptor 2 is a pipe on Unix alone"))]
    to_log: Sender<Input>,
    #[cfg(unix)]
    supervisor: Option<Supervisor>,
}

impl Screen {
    /// Takes both. What is written to descriptor 2 comes out of `to_log`'s other end.
    pub fn take(to_log: Sender<Input>) -> io::Result<Self> {
        let mut screen = Self {
            taken: None,
            to_log,
            #[cfg(unix)]
            supervisor: Supervisor::ours(),
        };
        screen.back()?;
        Ok(screen)
    }

    fn back(&mut self) -> io::Result<()> {
        self.taken = Some(TakenTerminal::take()?);
        #[cfg(unix)]
        super::stderr_pipe::redirect(self.to_log.clone())?;
        Ok(())
    }

    /// The shell has it for a while.
    pub fn is_away(&self) -> bool {
        self.taken.is_none()
    }

    /// The terminal, for whoever shows something next; `None` while the shell has it.
    pub fn hand_over(self) -> Option<TakenTerminal> {
        self.taken
    }

    /// Lets the shell have it, with these words on it. `None`: no shell could give it back.
    #[cfg(unix)]
    pub fn leave(&mut self, words: &str) -> Option<io::Result<()>> {
        let supervisor = self.supervisor.filter(|_| !self.is_away())?;
        self.taken = None;
        // A terminal that is gone is noticed where it is drawn on.
        let _ = writeln!(io::stdout(), "{words}");
        Some(supervisor.stop())
    }

    /// Lets the shell have it: there is no such shell here.
    #[cfg(not(unix))]
    pub fn leave(&mut self, _: &str) -> Option<io::Result<()>> {
        None
    }

    /// Takes it again after `fg`, but not after `bg`, which continues too; `true` when it is ours again,
    /// and everything has to be drawn.
    pub fn return_if_asked(&mut self) -> io::Result<bool> {
        #[cfg(unix)]
        if self.is_away() && jobs::in_foreground() {
            self.back()?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Who ends the process that the shell knows wants the program to end. True once.
    pub fn lost_its_supervisor(&mut self) -> bool {
        #[cfg(unix)]
        if self.supervisor.is_some_and(|supervisor| !supervisor.lives()) {
            self.supervisor = None;
            return true;
        }
        false
    }
}
