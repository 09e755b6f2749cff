//! What a key means, given what is on the screen. Changes nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::DashboardState;
use crate::ui::model::{Command, PeerStats, Snapshot, Volume};

/// Lines that Page Up and Page Down move the log by.
const PAGE: isize = 5;

/// The key to talk with, with push-to-talk.
pub const TALK: KeyCode = KeyCode::Char(' ');

/// What a key leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No meaning.
    Nothing,
    /// For the session.
    Command(Command),
    /// Begin or end push-to-talk.
    PushToTalk(bool),
    /// The key to talk with went down, or is held.
    Talk,
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
    /// The participant that keys are for.
    Select(u8),
    /// Show or hide all about the participant that is selected.
    Detail(bool),
    /// Copy the invite line.
    CopyInvite,
    /// Begin to write a marker's note; the marker is for this instant.
    WriteNote,
    /// A key of the line that the note is written in.
    Type(KeyCode),
    /// The note is written: mark.
    Mark,
    /// No marker.
    DropNote,
}

/// The meaning of a pressed key.
pub fn action(key: KeyEvent, state: &DashboardState, snapshot: &Snapshot) -> Action {
    use KeyCode::{BackTab, Char, Down, End, Enter, Esc, PageDown, PageUp, Tab, Up};
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
    if state.note.is_some() {
        return match key.code {
            Enter => Action::Mark,
            Esc => Action::DropNote,
            code => Action::Type(code),
        };
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
            TALK if state.push_to_talk => Action::Talk,
            _ => command(key.code, snapshot),
        };
    }
    match key.code {
        Esc if state.detail => Action::Detail(false),
        Esc if offered(snapshot) => Action::Command(Command::LeaveUnfinished),
        Char('q' | 'Q') | Esc if state.ending => Action::Nothing,
        Char('q' | 'Q') | Esc => Action::AskForEnd,
        Char('?') | KeyCode::F(1) => Action::Help(true),
        Up => Action::Scroll(1),
        Down => Action::Scroll(-1),
        PageUp => Action::Scroll(PAGE),
        PageDown => Action::Scroll(-PAGE),
        End => Action::Scroll(isize::MIN),
        Char('n' | 'N') => Action::WriteNote,
        Char('p' | 'P') => Action::PushToTalk(!state.push_to_talk),
        TALK if state.push_to_talk => Action::Talk,
        Char('i' | 'I') if snapshot.invite_line.is_some() => Action::CopyInvite,
        Char('d' | 'D') if !snapshot.peers.is_empty() => Action::Detail(!state.detail),
        Tab => select(snapshot, state, 1),
        BackTab => select(snapshot, state, snapshot.peers.len().saturating_sub(1)),
        Char(digit @ '1'..='9') => {
            let peer = snapshot.peers.get(digit as usize - '1' as usize);
            peer.map_or(Action::Nothing, |peer| Action::Select(peer.stats.id))
        }
        code => match state.selected(snapshot) {
            Some(peer) => hearing(code, &peer.stats).unwrap_or_else(|| command(code, snapshot)),
            None => command(code, snapshot),
        },
    }
}

/// Another participant, so many further down, round and round.
fn select(snapshot: &Snapshot, state: &DashboardState, by: usize) -> Action {
    let count = snapshot.peers.len();
    let Some(now) = state.selected(snapshot) else { return Action::Nothing };
    let at = snapshot.peers.iter().position(|peer| peer.stats.id == now.stats.id).unwrap_or(0);
    Action::Select(snapshot.peers[(at + by) % count].stats.id)
}

/// How the selected participant is heard here.
fn hearing(code: KeyCode, peer: &PeerStats) -> Option<Action> {
    let PeerStats { id, volume, .. } = *peer;
    let muted = volume == 0.0;
    Some(Action::Command(match code {
        KeyCode::Char('x' | 'X' | '+' | '=') if muted => Command::UnmutePeer { id },
        KeyCode::Char('x' | 'X') => Command::MutePeer { id },
        KeyCode::Char('+' | '=') => Command::Volume { id, volume: Volume::step(volume, true) },
        KeyCode::Char('-' | '_') if muted => return Some(Action::Nothing),
        KeyCode::Char('-' | '_') => Command::Volume { id, volume: Volume::step(volume, false) },
        _ => return None,
    }))
}

fn command(code: KeyCode, snapshot: &Snapshot) -> Action {
    Action::Command(match code {
        KeyCode::Char('m' | 'M') if snapshot.muted => Command::Unmute,
        KeyCode::Char('m' | 'M') => Command::Mute,
        KeyCode::Char('c' | 'C') if snapshot.camera_off => Command::CameraOn,
        KeyCode::Char('c' | 'C') => Command::CameraOff,
        KeyCode::Char('w' | 'W') => Command::ToggleWindow,
        KeyCode::Char('b' | 'B') => Command::Marker { note: None, ago_ms: 0 },
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
