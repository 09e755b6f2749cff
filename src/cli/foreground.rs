//! The process that the shell sees while a dashboard is up: it waits for the program, hands signals
//! on, and may be stopped, which the program itself must never be.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitCode, ExitStatus};

use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::platform::jobs::VARIABLE;

/// Starts the program once more with the same words, and waits for it. `None`: it did not start, or
/// this is the one that was started.
pub fn wait_for_the_program() -> Option<ExitCode> {
    if std::env::var_os(VARIABLE).is_some() {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().ok()?;
    runtime.block_on(async {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(std::env::args_os().skip(1)).env(VARIABLE, std::process::id().to_string());
        // From here on no signal ends this process before its child.
        let mut signals = Signals::take().ok()?;
        let mut child = command.spawn().ok()?;
        loop {
            tokio::select! {
                status = child.wait() => return Some(code(status)),
                () = signals.next() => end(&child),
            }
        }
    })
}

struct Signals([tokio::signal::unix::Signal; 4]);

impl Signals {
    fn take() -> io::Result<Self> {
        let kinds = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGTSTP];
        let [a, b, c, d] = kinds.map(|kind| signal(SignalKind::from_raw(kind)));
        Ok(Self([a?, b?, c?, d?]))
    }

    /// Waits for one that asks for the end.
    async fn next(&mut self) {
        let [interrupt, terminate, hangup, suspend] = &mut self.0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => return,
                _ = terminate.recv() => return,
                _ = hangup.recv() => return,
                // The terminal sends it to the program as well, which knows what to do.
                _ = suspend.recv() => {}
            }
        }
    }
}

/// Asks for the end. SIGTERM, whatever came: the terminal's signals go to both of us, and a second
/// SIGINT would abort.
fn end(child: &Child) {
    if let Some(id) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // SAFETY: a plain system call; the child has not been waited for.
        unsafe { libc::kill(id, libc::SIGTERM) };
    }
}

/// As the program ended, so do we; by a signal, as shells count it.
fn code(status: io::Result<ExitStatus>) -> ExitCode {
    let code = status.ok().and_then(|s| s.code().or_else(|| s.signal().map(|n| 128 + n)));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}
