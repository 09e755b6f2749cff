//! The terminal's state: taken for the dashboard, given back on every way out.

use std::io::{self, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use crossterm::execute;
use crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};

/// The terminal is ours at the moment.
static TAKEN: AtomicBool = AtomicBool::new(false);
static HOOK: Once = Once::new();

/// Holds the terminal; dropping it gives the terminal back.
pub struct TakenTerminal(());

impl TakenTerminal {
    /// Raw mode and the alternate screen, and a panic hook for this thread's panics.
    pub fn take() -> io::Result<Self> {
        let ui_thread = thread::current().id();
        HOOK.call_once(|| restore_before_panic_messages(ui_thread));
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let taken = Self(());
        // Pasted text arrives as one event, so that it never acts as keys.
        execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(taken)
    }
}

impl Drop for TakenTerminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, if it is ours. Harmless at any time and from any thread.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Each step on its own: a terminal that is gone fails one, and the next still counts.
        let mut out = io::stdout();
        let _ = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
        #[cfg(unix)]
        super::stderr_pipe::restore();
    }
}

/// A panic of the drawing thread must be readable; another thread's goes into the event log, by
/// way of the redirected descriptor 2, and the dashboard stays.
fn restore_before_panic_messages(ui_thread: ThreadId) {
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() == ui_thread {
            restore();
        }
        previous(info);
    }));
}
