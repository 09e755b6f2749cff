//! After the call: the file, whether it holds, how well it lines up with the others', what went
//! wrong, what to do next. A screen until a key is pressed, and the same as text.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crossterm::event::{self as terminal_event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::inputs::{Input, Signal};
use super::model::Finished;
use super::palette::Palette;
use super::terminal::{self, TakenTerminal};
use super::{clipboard, format};
use crate::platform::folders;

mod draw;
#[cfg(test)]
mod tests;

/// How long a key may wait for its turn.
const TURN: Duration = Duration::from_millis(50);

/// All that is known when a recording is over, but for the check that is still made.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The finished file.
    pub finished: Finished,
    /// Own display name.
    pub name: String,
    /// How well each participant's clock was known; empty for who was alone.
    pub clocks: Vec<Clock>,
    /// Warnings and errors of the session, oldest first.
    pub warnings: Vec<String>,
    /// The file has a sync tone.
    pub tone: bool,
}

/// A participant's clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// Display name.
    pub name: String,
    /// How it was known.
    pub known: Known,
}

/// How well a clock is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Known {
    /// It is the session's.
    Session,
    /// Within so many milliseconds.
    Within(f64),
    /// Nobody told.
    No,
}

impl Known {
    /// In words, for an editor: a frame is 33 ms.
    fn words(self) -> String {
        match self {
            Self::Session => "the session's clock".to_owned(),
            Self::Within(ms) if ms < 1.0 => {
                format!("within {ms:.2} ms: good to the sample by tone")
            }
            Self::Within(ms) if ms < 17.0 => format!("within {ms:.1} ms: less than half a frame"),
            Self::Within(ms) => format!("within {ms:.0} ms only: line it up by the sync tone"),
            Self::No => "not known: line it up by the sync tone".to_owned(),
        }
    }

    /// Less than half a frame off.
    fn is_good(self) -> bool {
        matches!(self, Self::Session) || matches!(self, Self::Within(ms) if ms < 17.0)
    }
}

/// How far the file was read again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Checked {
    /// It was not: `hyperzoom verify` does it.
    #[default]
    Not,
    /// Percent of it.
    Reading(u8),
    /// So many checks, and everything holds.
    Holds(usize),
    /// What does not.
    Fails(Vec<String>),
}

/// The same as the screen shows, as text: what stays on the terminal.
pub fn text(facts: &Facts, checked: &Checked) -> String {
    let mut text = format::summary(&facts.finished);
    let mut line = |what: &str, told: &str| {
        text.push_str(&format!("\n  {what:7} {}", format::printable(told)));
    };
    match checked {
        Checked::Not => {}
        Checked::Reading(percent) => line("check", &format!("was left at {percent} %")),
        Checked::Holds(count) => line("check", &format!("everything holds ({count} checks)")),
        Checked::Fails(faults) => faults.iter().for_each(|f| line("check", &format!("FAILED {f}"))),
    }
    for clock in &facts.clocks {
        line("clock", &format!("{}: {}", clock.name, clock.known.words()));
    }
    for warning in &facts.warnings {
        line("told", warning);
    }
    for advice in next(facts) {
        line("next", &advice);
    }
    text
}

/// What to do with the file.
fn next(facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    if facts.clocks.len() > 1 {
        let tone = match facts.tone {
            true => ", and to the sample by the sync tone 2 s after the start",
            false => "",
        };
        lines.push(format!("send the folder to the editor: all files line up by timecode{tone}"));
    }
    let folder = format::quoted(Path::new(&facts.finished.folder));
    lines.push(format!("hyperzoom verify {folder} checks it again, also at the editor's"));
    if let Some(track) = facts.finished.safety_tracks.first() {
        let track = format::quoted(Path::new(&track.path));
        lines.push(format!(
            "hyperzoom render {track} makes a WAV of what was heard, should a guest's file be lost"
        ));
    }
    lines
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Open,
    Copy,
    Leave,
    Nothing,
}

fn action(key: KeyEvent, can_open: bool) -> Action {
    match key.code {
        KeyCode::Char('o' | 'O') if can_open => Action::Open,
        KeyCode::Char('c' | 'C') if !key.modifiers.contains(KeyModifiers::CONTROL) => Action::Copy,
        // Alone they are no answer to anything.
        KeyCode::Modifier(_) | KeyCode::Media(_) | KeyCode::Null => Action::Nothing,
        _ => Action::Leave,
    }
}

/// Shows it until a key is pressed. `checked` tells how far the check is; `can_open`: there is a
/// display that folders can be shown on.
pub fn show(
    facts: &Facts,
    checked: &dyn Fn() -> Checked,
    can_open: bool,
    inputs: &Receiver<Input>,
) -> io::Result<()> {
    let _taken = TakenTerminal::take()?;
    let (to_log, captured) = channel();
    #[cfg(unix)]
    super::stderr_pipe::redirect(to_log)?;
    #[cfg(not(unix))]
    drop(to_log);
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut screen = draw::Screen { palette: Palette::here(), can_open, note: String::new() };
    // The key that ended the call may come again.
    while terminal::poll(Duration::ZERO)? {
        terminal_event::read()?;
    }
    let mut shown = None;
    loop {
        let now = (checked(), screen.note.clone());
        if shown.as_ref() != Some(&now) {
            terminal::draw(&mut terminal, |frame| draw::draw(frame, facts, &now.0, &screen))?;
            shown = Some(now);
        }
        if terminal::poll(TURN)? {
            let event = terminal_event::read()?;
            let pressed = match event {
                // Windows reports releases too.
                terminal_event::Event::Key(key) if key.kind == KeyEventKind::Press => {
                    action(key, can_open)
                }
                terminal_event::Event::Resize(..) => {
                    shown = None;
                    Action::Nothing
                }
                _ => Action::Nothing,
            };
            match pressed {
                Action::Leave => return Ok(()),
                Action::Open => {
                    let opened = folders::show(Path::new(&facts.finished.folder));
                    screen.note = match opened {
                        Ok(()) => "the folder is shown in another window".to_owned(),
                        Err(e) => format!("the folder cannot be shown: {e}"),
                    };
                }
                Action::Copy => {
                    clipboard::copy(&facts.finished.path)?;
                    screen.note = "the path is copied, if this terminal allows it".to_owned();
                }
                Action::Nothing => {}
            }
        }
        for input in inputs.try_iter().chain(captured.try_iter()) {
            match input {
                Input::Signal(Signal::Interrupt | Signal::Terminate) => return Ok(()),
                Input::Stderr(line) => tracing::warn!("stderr: {line}"),
                _ => {}
            }
        }
    }
}
