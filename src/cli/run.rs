//! Runs a call or a recording from its configuration to its exit code.

use std::cell::Cell;
#[cfg(unix)]
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::after;
use super::args::OutputMode;
use super::before::{self, Before, Held};
use super::error::{CliError, Problem};
use super::explain;
#[cfg(unix)]
use super::foreground;
use super::logging;
use crate::engine::call::Call;
use crate::engine::config::CallConfig;
use crate::engine::{EngineError, exit};
#[cfg(unix)]
use crate::platform::jobs::Supervisor;
use crate::ui::inputs::{self, Input};
use crate::ui::model::{Command, Event, Snapshot, Stamped};
use crate::ui::output::LineOutput;
use crate::ui::precall::Asked;
use crate::ui::{EndReason, Next, Session, Watched, dashboard, json, plain};

/// How a call is shown.
pub struct Show {
    /// Where its events go.
    pub mode: OutputMode,
    /// A log file of the person's own.
    pub log: Option<PathBuf>,
    /// What the screen before it asks, and the address it begins with; `None` for no such screen.
    pub before: Option<(Asked, String)>,
    /// Nobody is waited for at the end, and nothing is read again.
    pub yes: bool,
}

/// Starts the call, shows it until it has ended, and tells the exit code.
pub fn run(config: CallConfig, show: Show) -> Result<ExitCode, CliError> {
    let Show { mode, log, before, yes } = show;
    #[cfg(unix)]
    if mode == OutputMode::Dashboard
        && std::io::stdin().is_terminal()
        && let Some(code) = foreground::wait_for_the_program()
    {
        return Ok(code);
    }
    #[cfg(unix)]
    let _seen = SeenToEnd;
    if let Some(path) = &log {
        logging::start(path)?;
    }
    let (config, held) = match before {
        Some((asked, address)) => match before::ask(config, asked, address)? {
            Before::Call(config, held) => (*config, Some(held)),
            Before::Over(code) => return Ok(code),
        },
        None => (config, None),
    };
    let (terminal, inputs, window) = match held {
        Some(Held { terminal, inputs, window }) => (terminal, Some(inputs), window),
        None => (None, None, Arc::default()),
    };
    let name = config.name.clone();
    let started = Call::start(config, window);
    // Whatever is printed from here on has to be read.
    drop(terminal);
    let call = started.map_err(|e| {
        if mode == OutputMode::Json {
            tell_script(&e);
        }
        CliError::new(e.exit_code(), e.to_string())
    })?;
    let (sender, inputs) = match inputs {
        Some(watched) => watched,
        // Until here signals have had their default effect: there was nothing to finalise.
        None => {
            let (sender, inputs) = inputs::channel();
            if let Err(e) = inputs::watch_signals(sender.clone()) {
                call.command(Command::End);
                call.join();
                return Err(Problem::Signals { why: e.to_string() }.into());
            }
            (sender, inputs)
        }
    };
    if mode == OutputMode::Json {
        inputs::watch_commands(sender);
    }
    let session = CallSession { call, asked: Cell::new(None), over: Cell::new(false) };
    let watched = watch(&session, mode, &inputs);
    if watched.abandoned {
        return Ok(ExitCode::from(exit::ABORTED));
    }
    let outcome = session.call.join();
    if watched.aborted {
        return Ok(ExitCode::from(exit::ABORTED));
    }
    after::tell(watched, &name, mode, yes, &inputs);
    match outcome.refused {
        Some((what, remedy)) => Err(CliError::new(outcome.exit_code, format!("{what}; {remedy}"))),
        None => Ok(ExitCode::from(outcome.exit_code)),
    }
}

/// Lets the process that waits for us go on when we end: while it is stopped it would not notice.
#[cfg(unix)]
struct SeenToEnd;

#[cfg(unix)]
impl Drop for SeenToEnd {
    fn drop(&mut self) {
        if let Some(supervisor) = Supervisor::ours() {
            supervisor.go_on();
        }
    }
}

/// A script that reads standard output learns there, too, why there is no call.
fn tell_script(e: &EngineError) {
    let text = e.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, "hyperzoom --help"));
    let (code, _) = explain::engine(e);
    let event = Event::Error { code, what: what.to_owned(), remedy: remedy.to_owned() };
    LineOutput::stdout().line(json::line(&Stamped { event, t: 0.0 }));
}

fn watch(session: &CallSession, mode: OutputMode, inputs: &Receiver<Input>) -> Watched {
    match mode {
        OutputMode::Json => json::watch(session, inputs),
        OutputMode::Plain => plain::watch(session, inputs),
        OutputMode::Dashboard => {
            // Whatever becomes of the picture, the recording goes on: plain lines take over.
            match catch_unwind(AssertUnwindSafe(|| dashboard::watch(session, inputs))) {
                Ok(Ok(watched)) => watched,
                Ok(Err(e)) => {
                    // Standard error may be the terminal that is gone.
                    let _ = writeln!(
                        std::io::stderr(),
                        "the dashboard cannot be shown ({e}); plain lines instead"
                    );
                    plain::watch(session, inputs)
                }
                Err(_) => plain::watch(session, inputs),
            }
        }
    }
}

/// The engine's call as the user interface knows it.
struct CallSession {
    call: Call,
    /// Who asked for the end: the engine is only told that somebody did.
    asked: Cell<Option<EndReason>>,
    /// The last event was taken: whoever takes over from a dashboard that failed after it has
    /// nothing to wait for.
    over: Cell<bool>,
}

impl Session for CallSession {
    fn next_event(&self, timeout: Duration) -> Next {
        if self.over.get() {
            return Next::Closed;
        }
        match self.call.events().recv_timeout(timeout) {
            Ok(mut stamped) => {
                if let Event::Ended { reason } = &mut stamped.event {
                    self.over.set(true);
                    let ours = ["command", "end_key", "signal"].contains(&reason.as_str());
                    if let (true, Some(asked)) = (ours, self.asked.get()) {
                        *reason = asked.as_str().to_owned();
                    }
                }
                // A log is handed on; who gets it is not invited by that.
                if tracing::enabled!(tracing::Level::INFO) && !stamped.event.invites() {
                    tracing::info!("{}", json::line(&stamped));
                }
                Next::Event(Box::new(stamped))
            }
            Err(RecvTimeoutError::Timeout) => Next::Quiet,
            Err(RecvTimeoutError::Disconnected) => Next::Closed,
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.call.snapshot()
    }

    fn command(&self, command: Command) {
        self.call.command(command);
    }

    fn end(&self, reason: EndReason) {
        if self.asked.get().is_none() {
            self.asked.set(Some(reason));
        }
        self.call.command(Command::End);
    }

    fn abort(&self) {
        self.call.abort();
    }

    fn log(&self, line: &str) {
        self.call.log(line);
    }
}
