//! What a key means, given what is on the screen. Changes nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::DashboardState;
use crate::ui::model::{Command, Snapshot};

/// Lines that Page Up and Page Down move the log by.
const PAGE: isize = 5;

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No meaning.
    Nothing,
    /// For the session.
    Command(Command),
    /// The end key: ask whether it was meant.
    AskForEnd,
    /// It was not.
    KeepGoing,
    /// It was.
    End,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Show or hide the help.
    Help(bool),
    /// Move the log, up is positive.
    Scroll(isize),
}

/// The meaning of a pressed key.
pub fn action(key: KeyEvent, state: &DashboardState, snapshot: &Snapshot) -> Action {
    use KeyCode::{Char, Down, End, Esc, PageDown, PageUp, Up};
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            Char('c' | 'C') => Action::Interrupt,
            Char('z' | 'Z') => Action::Suspend,
            _ => Action::Nothing,
        };
    }
    if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
        return Action::Nothing;
    }
    if state.asking {
        return match key.code {
            Char('q' | 'Q' | 'y' | 'Y') => Action::End,
            _ => Action::KeepGoing,
        };
    }
    if state.help {
        return match key.code {
            Char('?' | 'q' | 'Q') | Esc => Action::Help(false),
            _ => command(key.code, snapshot),
        };
    }
    match key.code {
        Esc if offered(snapshot) => Action::Command(Command::LeaveUnfinished),
        Char('q' | 'Q') | Esc if state.ending => Action::Nothing,
        Char('q' | 'Q') | Esc => Action::AskForEnd,
        Char('?') | KeyCode::F(1) => Action::Help(true),
        Up => Action::Scroll(1),
        Down => Action::Scroll(-1),
        PageUp => Action::Scroll(PAGE),
        PageDown => Action::Scroll(-PAGE),
        End => Action::Scroll(isize::MIN),
        code => command(code, snapshot),
    }
}

fn command(code: KeyCode, snapshot: &Snapshot) -> Action {
    Action::Command(match code {
        KeyCode::Char('m' | 'M') if snapshot.muted => Command::Unmute,
        KeyCode::Char('m' | 'M') => Command::Mute,
        KeyCode::Char('c' | 'C') if snapshot.camera_off => Command::CameraOn,
        KeyCode::Char('c' | 'C') => Command::CameraOff,
        KeyCode::Char('w' | 'W') => Command::ToggleWindow,
        code => return knock(code, snapshot),
    })
}

/// Who has knocked the longest is let in or, by default, not.
fn knock(code: KeyCode, snapshot: &Snapshot) -> Action {
    let Some(id) = snapshot.knocks.first().map(|k| k.id) else {
        return match code {
            KeyCode::Char('r' | 'R') if offered(snapshot) => Action::Command(Command::Recover),
            _ => Action::Nothing,
        };
    };
    Action::Command(match code {
        KeyCode::Char('a' | 'A') => Command::Admit { id },
        KeyCode::Char('r' | 'R') | KeyCode::Enter => Command::Refuse { id },
        _ => return Action::Nothing,
    })
}

/// Recordings of earlier runs are offered to be recovered, and nobody has answered.
fn offered(snapshot: &Snapshot) -> bool {
    snapshot.unfinished.as_ref().is_some_and(|unfinished| unfinished.percent.is_none())
}
