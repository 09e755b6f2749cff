//! What a key means, given what is on the screen: one table for the dashboard and the preview window.
//! Changes nothing.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Command, PeerStats, PeerView, Snapshot, Volume};

/// Lines that Page Up and Page Down move the log by.
const PAGE: isize = 5;

/// The key to talk with, with push-to-talk.
pub const TALK: KeyCode = KeyCode::Char(' ');

/// Where a key of the help means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the dashboard and in the window.
    Both,
    /// In the dashboard.
    Terminal,
    /// In the window.
    Window,
}

/// Key and meaning, the more important ones first.
const HELP: &[(&str, &str, Place)] = &[
    ("m", "mute or unmute: silence live and in the file", Place::Both),
    ("p, space", "push to talk: space sends; all is recorded", Place::Both),
    ("c", "camera off or on: black in the file", Place::Both),
    ("w", "open or close the preview window", Place::Terminal),
    ("w", "close this window; w in the terminal opens it again", Place::Window),
    ("f, F11", "the whole screen, or no longer (as Esc)", Place::Window),
    ("b, n", "mark this instant; n with a note for the edit", Place::Both),
    ("Tab, 1-3", "choose a participant; for that one:", Place::Both),
    ("+ -", "  louder or softer, here alone, in steps of 3 dB", Place::Both),
    ("x", "  do not hear it, or hear it again", Place::Both),
    ("d", "  everything about it: delay, path, graphs", Place::Terminal),
    ("d", "  its delay, path and loss", Place::Window),
    ("i", "copy the line that guests join with", Place::Terminal),
    ("i", "the dashboard copies the line that guests join with", Place::Window),
    ("a, r", "let in who knocks, or refuse (as Enter does)", Place::Both),
    ("r, Esc", "recover what an earlier run left, or leave it", Place::Terminal),
    ("arrows", "scroll the log; End goes back to the newest line", Place::Terminal),
    ("q, Esc", "end the call; asks once. Ctrl-C ends at once", Place::Terminal),
    ("q, Esc", "end the call; asks once", Place::Window),
    ("?", "close this help", Place::Both),
];

/// The keys of the dashboard or of the window, with their meanings.
pub fn help(place: Place) -> impl Iterator<Item = (&'static str, &'static str)> {
    let here = move |of: Place| of == Place::Both || of == place;
    HELP.iter().filter(move |(_, _, of)| here(*of)).map(|(key, what, _)| (*key, *what))
}

/// What is on a screen, as far as the meaning of keys goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// A marker's note is being written.
    pub typing: bool,
    /// Whether the end was meant is asked.
    pub asking: bool,
    /// The end was asked for.
    pub ending: bool,
    /// The help is open.
    pub help: bool,
    /// All about a participant is shown.
    pub detail: bool,
    /// Sound is only sent while the key to talk with is held.
    pub push_to_talk: bool,
    /// The offer to recover what an earlier run left can be seen, where there is one.
    pub offer: bool,
    /// The participant that keys are for, once one was selected.
    pub chosen: Option<u8>,
}

/// The participant that keys are for: the one that was chosen, else the first.
pub fn selected(chosen: Option<u8>, snapshot: &Snapshot) -> Option<&PeerView> {
    let found = snapshot.peers.iter().find(|peer| Some(peer.stats.id) == chosen);
    found.or_else(|| snapshot.peers.first())
}

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
pub fn action(key: KeyEvent, shown: &Shown, snapshot: &Snapshot) -> Action {
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
    if shown.typing {
        return match key.code {
            Enter => Action::Mark,
            Esc => Action::DropNote,
            code => Action::Type(code),
        };
    }
    if shown.asking {
        return match key.code {
            Char('q' | 'Q' | 'y' | 'Y') => Action::End,
            _ => Action::KeepGoing,
        };
    }
    if shown.help {
        return match key.code {
            Char('?' | 'q' | 'Q') | Esc => Action::Help(false),
            TALK if shown.push_to_talk => Action::Talk,
            _ => command(key.code, shown, snapshot),
        };
    }
    match key.code {
        Esc if shown.detail => Action::Detail(false),
        Esc if offered(shown, snapshot) => Action::Command(Command::LeaveUnfinished),
        Char('q' | 'Q') | Esc if shown.ending => Action::Nothing,
        Char('q' | 'Q') | Esc => Action::AskForEnd,
        Char('?') | KeyCode::F(1) => Action::Help(true),
        Up => Action::Scroll(1),
        Down => Action::Scroll(-1),
        PageUp => Action::Scroll(PAGE),
        PageDown => Action::Scroll(-PAGE),
        End => Action::Scroll(isize::MIN),
        Char('n' | 'N') => Action::WriteNote,
        Char('p' | 'P') => Action::PushToTalk(!shown.push_to_talk),
        TALK if shown.push_to_talk => Action::Talk,
        Char('i' | 'I') if snapshot.invite_line.is_some() => Action::CopyInvite,
        Char('d' | 'D') if !snapshot.peers.is_empty() => Action::Detail(!shown.detail),
        Tab => select(snapshot, shown, 1),
        BackTab => select(snapshot, shown, snapshot.peers.len().saturating_sub(1)),
        Char(digit @ '1'..='9') => {
            let peer = snapshot.peers.get(digit as usize - '1' as usize);
            peer.map_or(Action::Nothing, |peer| Action::Select(peer.stats.id))
        }
        code => match selected(shown.chosen, snapshot) {
            Some(peer) => {
                hearing(code, &peer.stats).unwrap_or_else(|| command(code, shown, snapshot))
            }
            None => command(code, shown, snapshot),
        },
    }
}

/// Another participant, so many further down, round and round.
fn select(snapshot: &Snapshot, shown: &Shown, by: usize) -> Action {
    let count = snapshot.peers.len();
    let Some(now) = selected(shown.chosen, snapshot) else { return Action::Nothing };
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

fn command(code: KeyCode, shown: &Shown, snapshot: &Snapshot) -> Action {
    Action::Command(match code {
        KeyCode::Char('m' | 'M') if snapshot.muted => Command::Unmute,
        KeyCode::Char('m' | 'M') => Command::Mute,
        KeyCode::Char('c' | 'C') if snapshot.camera_off => Command::CameraOn,
        KeyCode::Char('c' | 'C') => Command::CameraOff,
        KeyCode::Char('w' | 'W') => Command::ToggleWindow,
        KeyCode::Char('b' | 'B') => Command::Marker { note: None, ago_ms: 0 },
        code => return knock(code, shown, snapshot),
    })
}

/// Who has knocked the longest is let in or, by default, not.
fn knock(code: KeyCode, shown: &Shown, snapshot: &Snapshot) -> Action {
    let Some(id) = snapshot.knocks.first().map(|k| k.id) else {
        return match code {
            KeyCode::Char('r' | 'R') if offered(shown, snapshot) => {
                Action::Command(Command::Recover)
            }
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
fn offered(shown: &Shown, snapshot: &Snapshot) -> bool {
    shown.offer
        && snapshot.unfinished.as_ref().is_some_and(|unfinished| unfinished.percent.is_none())
}
