//! What is said when a recording is over: as a screen for who ended it by a key, else as text.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::args::OutputMode;
use super::before::can_ask;
use super::recover::Bar;
use crate::engine::verification::{self, Checking};
use crate::platform::folders;
use crate::ui::Watched;
use crate::ui::after::{self, Checked, text};
use crate::ui::inputs::{Input, Signal};
use crate::ui::model::Finished;
use crate::ui::output::LineOutput;

/// How often a check is asked how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// Tells of the recording, if there is one. `name`: one's own; `yes`: nobody looks, and a script may
/// wait for the end.
pub fn tell(watched: Watched, name: &str, mode: OutputMode, yes: bool, inputs: &Receiver<Input>) {
    let Watched { finished, reason, warnings, .. } = watched;
    let Some(finished) = finished.filter(|_| mode != OutputMode::Json) else { return };
    let facts = verification::facts(finished, name, warnings);
    // Who shuts the machine down or presses Ctrl-C wants the program to be gone.
    let checked = if yes || reason == "signal" {
        Checked::Not
    } else {
        let checking = Checking::start(&facts.finished);
        if can_ask(mode) && reason == "end_key" {
            let can_open = folders::has_display();
            if let Err(e) = after::show(&facts, &|| checking.state(), can_open, inputs) {
                tracing::warn!("the screen after the call cannot be shown: {e}");
            }
        } else {
            wait(&checking, &facts.finished, inputs);
        }
        checking.state()
    };
    LineOutput::stdout().line(text(&facts, &checked));
}

/// Waits for the check, with a bar where there is a terminal; a signal ends the waiting.
fn wait(checking: &Checking, finished: &Finished, inputs: &Receiver<Input>) {
    let mut bar = Bar::new(Path::new(&finished.path));
    while let Checked::Reading(percent) = checking.state() {
        bar.show(finished.bytes / 100 * u64::from(percent), finished.bytes);
        match inputs.recv_timeout(LOOK) {
            Ok(Input::Signal(Signal::Interrupt | Signal::Terminate)) => break,
            // Without anybody who could send one.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK),
            _ => {}
        }
    }
    bar.clear();
}
