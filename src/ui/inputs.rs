//! What comes in from outside while a call runs: signals and the console's close events, and, with
//! `--json`, commands on standard input. Two threads, `signals` and `commands`; both only send.

use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, Sender, channel as mpsc_channel};

use super::model::Command;
use super::{EndReason, Session};

/// Something from outside.
#[derive(Debug, PartialEq, Eq)]
pub enum Input {
    /// A signal or a console event.
    Signal(Signal),
    /// A command on standard input.
    Command(Command),
    /// A line on standard input that is none.
    NoCommand {
        /// What was wrong with it.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A library wrote this to descriptor 2 while the dashboard was up.
    Stderr(String),
}

/// A signal by what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C, SIGINT, Ctrl-Break.
    Interrupt,
    /// SIGTERM, SIGHUP, closing the console, logging off, shutting down.
    Terminate,
    /// Ctrl-Z, SIGTSTP.
    Suspend,
    /// SIGCONT: the shell's `fg` or `bg`.
    Continue,
}

/// What is said instead of suspending.
pub const NO_SUSPENDING: &str = "Ctrl-Z is not obeyed: it would tear a hole into the recording";

/// A queue for [`Input`]s.
pub fn channel() -> (Sender<Input>, Receiver<Input>) {
    mpsc_channel()
}

/// Takes signals over from here on. Returns when they are taken.
pub fn watch_signals(to: Sender<Input>) -> io::Result<()> {
    let (ready, taken) = mpsc_channel();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
            Ok(runtime) => runtime,
            Err(e) => {
                let _ = ready.send(Err(e));
                return;
            }
        };
        runtime.block_on(async move {
            let mut signals = match Signals::take() {
                Ok(signals) => signals,
                Err(e) => {
                    let _ = ready.send(Err(e));
                    return;
                }
            };
            let _ = ready.send(Ok(()));
            // Ends with the receiver, that is, when nobody looks any more.
            while to.send(Input::Signal(signals.next().await)).is_ok() {}
        });
    })?;
    taken.recv().unwrap_or_else(|_| Err(io::Error::other("the signal thread ended")))
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    suspend: tokio::signal::unix::Signal,
    go_on: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn take() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            suspend: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            go_on: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.hangup.recv() => Signal::Terminate,
            _ = self.suspend.recv() => Signal::Suspend,
            _ = self.go_on.recv() => Signal::Continue,
        }
    }
}

#[cfg(windows)]
struct Signals {
    interrupt: tokio::signal::windows::CtrlC,
    interrupt_too: tokio::signal::windows::CtrlBreak,
    close: tokio::signal::windows::CtrlClose,
    logoff: tokio::signal::windows::CtrlLogoff,
    shutdown: tokio::signal::windows::CtrlShutdown,
}

#[cfg(windows)]
impl Signals {
    fn take() -> io::Result<Self> {
        use tokio::signal::windows;
        Ok(Self {
            interrupt: windows::ctrl_c()?,
            interrupt_too: windows::ctrl_break()?,
            close: windows::ctrl_close()?,
            logoff: windows::ctrl_logoff()?,
            shutdown: windows::ctrl_shutdown()?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.interrupt_too.recv() => Signal::Interrupt,
            _ = self.close.recv() => Signal::Terminate,
            _ = self.logoff.recv() => Signal::Terminate,
            _ = self.shutdown.recv() => Signal::Terminate,
        }
    }
}

/// Longest line that is taken for a command; the longest real one has some 40 bytes.
const LONGEST_COMMAND: u64 = 4096;

/// Reads commands from standard input until its end, which does not end the call.
pub fn watch_commands(to: Sender<Input>) {
    let spawned = std::thread::Builder::new()
        .name("commands".to_owned())
        .spawn(move || read_commands(std::io::stdin().lock(), |input| to.send(input).is_ok()));
    // Without the thread there are no commands; the call itself is whole.
    if let Err(e) = spawned {
        tracing::warn!("no commands will be read: {e}");
    }
}

/// Hands every line on, until the end of input or until `to` wants no more.
fn read_commands(mut input: impl BufRead, mut to: impl FnMut(Input) -> bool) {
    let mut line = Vec::new();
    loop {
        line.clear();
        match io::Read::take(&mut input, LONGEST_COMMAND).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if !to(parse_command(&line)) {
            return;
        }
    }
}

fn parse_command(line: &[u8]) -> Input {
    match serde_json::from_slice(line) {
        Ok(command) => Input::Command(command),
        Err(e) => Input::NoCommand {
            what: format!("a line on standard input is no command: {}", in_short(&e)),
            remedy: how_to_command(),
        },
    }
}

/// An error without the list of what was expected, which is told anyway.
fn in_short(e: &serde_json::Error) -> String {
    let text = e.to_string();
    text.split(", expected one of").next().unwrap_or_default().to_owned()
}

/// What a line of commands looks like.
pub fn how_to_command() -> String {
    format!("say {{\"do\": WHAT}} with one of {}", Command::names().join(", "))
}

/// How far the end has come; the same for every kind of output.
#[derive(Debug, Default)]
pub struct EndControl {
    interrupts: u32,
    /// Somebody asked for the end.
    pub ending: bool,
}

/// What an interrupt led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A clean end was asked for.
    Ending,
    /// The call was aborted.
    Aborting,
    /// Even that takes too long for this person.
    Abandon,
}

impl EndControl {
    /// Ctrl-C, as a key or as a signal: the first ends, the second aborts, the third walks off.
    pub fn interrupt(&mut self, session: &impl Session) -> Step {
        self.interrupts += 1;
        match self.interrupts {
            1 => {
                self.end(session, EndReason::Signal);
                Step::Ending
            }
            2 => {
                session.abort();
                Step::Aborting
            }
            _ => Step::Abandon,
        }
    }

    /// Asks for a clean end, once.
    pub fn end(&mut self, session: &impl Session, reason: EndReason) {
        if !self.ending {
            self.ending = true;
            session.end(reason);
        }
    }

    /// A second interrupt was given.
    pub fn aborted(&self) -> bool {
        self.interrupts >= 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<Input> {
        let mut inputs = Vec::new();
        read_commands(text, |input| {
            inputs.push(input);
            true
        });
        inputs
    }

    #[test]
    fn each_line_is_a_command_or_says_why_not() {
        let inputs = read(b"{\"do\":\"mute\"}\n\nwhat\n{\"do\": \"fly\"}\r\n{\"do\":\"end\"}");
        assert_eq!(inputs[0], Input::Command(Command::Mute));
        assert!(matches!(&inputs[1], Input::NoCommand { .. }));
        let Input::NoCommand { what, remedy } = &inputs[2] else { panic!("{inputs:?}") };
        assert_eq!(what, "a line on standard input is no command: unknown variant `fly`");
        for name in ["mute", "hush", "admit", "remove", "marker", "recover", "unmute_peer"] {
            assert!(remedy.contains(name), "{remedy}");
        }
        assert_eq!(inputs[3], Input::Command(Command::End), "the last line needs no newline");
        assert_eq!(inputs.len(), 4);
    }

    #[test]
    fn an_endless_line_is_read_in_bounded_pieces() {
        let inputs = read(&[b'x'; 10_000]);
        assert_eq!(inputs.len(), 3);
        assert!(inputs.iter().all(|input| matches!(input, Input::NoCommand { .. })));
    }

    #[test]
    fn what_the_window_toggles_with_is_no_command_for_scripts() {
        assert!(matches!(&read(b"{\"do\":\"toggle_window\"}\n")[0], Input::NoCommand { .. }));
    }
}
