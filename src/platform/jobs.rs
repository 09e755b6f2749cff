//! The shell's job control around a program that must never stop: what the shell starts is a
//! process that only waits; what it waits for is the program. Ctrl-Z stops the waiting one.

use std::io;

/// The process that the shell started and that waits for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Supervisor(i32);

/// Names the supervisor to the program that it starts.
pub const VARIABLE: &str = "HYPERZOOM_SUPERVISOR";

impl Supervisor {
    /// Ours, if there is one and it is still there.
    pub fn ours() -> Option<Self> {
        let id = std::env::var(VARIABLE).ok()?.parse().ok()?;
        let supervisor = Self(id);
        supervisor.lives().then_some(supervisor)
    }

    /// It has not ended: a process whose parent ends gets another.
    pub fn lives(self) -> bool {
        // SAFETY: a plain system call.
        unsafe { libc::getppid() == self.0 }
    }

    /// Stops it: the shell has its terminal back.
    pub fn stop(self) -> io::Result<()> {
        self.send(libc::SIGSTOP)
    }

    /// Lets it go on, so that it can see our end.
    pub fn go_on(self) {
        // One that is gone needs nothing.
        let _ = self.send(libc::SIGCONT);
    }

    fn send(self, signal: i32) -> io::Result<()> {
        // SAFETY: a plain system call; our parent's number is not given to another process.
        match self.lives() && unsafe { libc::kill(self.0, signal) } == 0 {
            true => Ok(()),
            false => Err(io::Error::last_os_error()),
        }
    }
}

/// The terminal takes our keys: we are its job in the foreground.
pub fn in_foreground() -> bool {
    // SAFETY: plain system calls.
    unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) == libc::getpgrp() }
}
