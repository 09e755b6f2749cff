//! The terminal's state: taken for the dashboard, given back on every way out.

#[cfg(unix)]
use std::io::IsTerminal as _;
use std::io::{self, Write};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use crossterm::cursor::Show;
use crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, KeyboardEnhancementFlags,
    PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen,
    disable_raw_mode, enable_raw_mode,
};
use crossterm::{execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

/// The terminal is ours at the moment.
static TAKEN: AtomicBool = AtomicBool::new(false);
/// It was asked to tell of keys that are let go.
static RELEASES: AtomicBool = AtomicBool::new(false);
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

/// Asks the terminal to tell of keys that are let go, or no longer to. Few can (kitty's keyboard
/// protocol); the others pass over it, and Windows' own console tells anyway.
pub fn report_releases(wanted: bool) {
    if RELEASES.swap(wanted, Ordering::SeqCst) == wanted {
        return;
    }
    let mut out = io::stdout();
    let _ = if wanted {
        // Keys that are text are told of in this way only if all keys are.
        let flags = KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES
            | KeyboardEnhancementFlags::REPORT_EVENT_TYPES
            | KeyboardEnhancementFlags::REPORT_ALTERNATE_KEYS
            | KeyboardEnhancementFlags::REPORT_ALL_KEYS_AS_ESCAPE_CODES;
        execute!(out, PushKeyboardEnhancementFlags(flags))
    } else {
        execute!(out, PopKeyboardEnhancementFlags)
    };
}

/// Draws a frame that the terminal shows at once, or not at all: over a slow line half a frame would be
/// seen otherwise. Terminals that cannot (DEC private mode 2026) pass over the request.
pub fn draw(
    terminal: &mut Terminal<CrosstermBackend<io::Stdout>>,
    render: impl FnOnce(&mut Frame),
) -> io::Result<()> {
    queue!(io::stdout(), BeginSynchronizedUpdate)?;
    let drawn = terminal.draw(render).map(drop);
    execute!(io::stdout(), EndSynchronizedUpdate)?;
    drawn
}

/// Rings the terminal's bell; most terminals mark a window that is not looked at.
pub fn ring() -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(b"\x07")?;
    out.flush()
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
        report_releases(false);
        let mut out = io::stdout();
        // A panic in the middle of a frame leaves that open.
        let _ = execute!(out, EndSynchronizedUpdate);
        let _ = execute!(out, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
        #[cfg(unix)]
        super::stderr_pipe::restore();
    }
}

/// Whether the terminal has an event to read; waits so long for one at most. An error says that the
/// terminal is gone.
#[cfg(unix)]
pub fn poll(wait: Duration) -> io::Result<bool> {
    // By ourselves, because crossterm reads a terminal that was closed again and again, and never
    // comes back.
    let fd = if io::stdin().is_terminal() { libc::STDIN_FILENO } else { libc::STDOUT_FILENO };
    let mut timeout = libc::timeval {
        tv_sec: wait.as_secs() as libc::time_t,
        tv_usec: wait.subsec_micros() as libc::suseconds_t,
    };
    // SAFETY: a set of descriptors may be all zero; the descriptor is below its size; all lives on
    // through the calls. What select says does not matter: a signal ends it as well.
    let gone = unsafe {
        let mut set: libc::fd_set = std::mem::zeroed();
        libc::FD_SET(fd, &raw mut set);
        let none = std::ptr::null_mut();
        libc::select(fd + 1, &raw mut set, none, none, &raw mut timeout);
        let mut attributes: libc::termios = std::mem::zeroed();
        libc::tcgetattr(fd, &raw mut attributes) < 0
    };
    match gone {
        true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the terminal was closed")),
        false => event::poll(Duration::ZERO),
    }
}

/// Whether the terminal has an event to read; waits so long for one at most.
#[cfg(not(unix))]
pub fn poll(wait: Duration) -> io::Result<bool> {
    event::poll(wait)
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
