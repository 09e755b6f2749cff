//! What the window's keys ask of the call, and what it says over its pictures because of them. At the
//! call's end of the pipe: the window itself only draws. Pure; time comes in as a parameter.

use crossterm::event::{KeyEvent, KeyModifiers};

use super::wire::{Key, Overlay};
use crate::ui::entry::Entry;
use crate::ui::format::printable;
use crate::ui::keys::{self, Action, Shown};
use crate::ui::model::{Command, PathKind, PeerView, Snapshot, decibels};
use crate::units::Micros;

/// So long the window asks whether the call is to end, microseconds: nobody is at the keys of a window
/// that was left alone.
const ASKS: i64 = 5_000_000;
/// So long it tells what a key has done, microseconds.
const TELLS: i64 = 3_000_000;

/// What a key of the window asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That.
    Command(Command),
    /// The end of the call; it was asked whether that was meant.
    End,
    /// The invite in the clipboard of whoever has the terminal.
    CopyInvite,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Board {
    help: bool,
    detail: bool,
    /// The end key was pressed once.
    asked: Option<Micros>,
    chosen: Option<u8>,
    /// A marker's note, and when it was begun.
    note: Option<(Entry, Micros)>,
    /// Its space bar is down and lets others hear.
    talks: bool,
    said: Option<(String, Micros)>,
}

impl Board {
    fn asks(&self, now: Micros) -> bool {
        self.asked.is_some_and(|at| now.since(at) < ASKS)
    }

    /// A key was pressed: what that asks for, given what the call is like now.
    pub fn pressed(&mut self, key: Key, snapshot: &Snapshot, now: Micros) -> Option<Wish> {
        let shown = Shown {
            typing: self.note.is_some(),
            asking: self.asks(now),
            ending: false,
            help: self.help,
            detail: self.detail,
            push_to_talk: snapshot.hushed || self.talks,
            // It stands in the terminal alone.
            offer: false,
            chosen: self.chosen,
        };
        self.asked = None;
        match keys::action(KeyEvent::new(key.into(), KeyModifiers::NONE), &shown, snapshot) {
            Action::Command(command) => {
                if let Some(text) = told(&command, snapshot) {
                    self.say(text, now);
                }
                return Some(Wish::Command(command));
            }
            Action::PushToTalk(begin) => {
                self.talks = false;
                return Some(Wish::Command(if begin { Command::Hush } else { Command::Talk }));
            }
            Action::Talk if snapshot.hushed => {
                self.talks = true;
                return Some(Wish::Command(Command::Talk));
            }
            Action::End => return Some(Wish::End),
            Action::CopyInvite => {
                let text = "the dashboard copies the invite, if its terminal allows that";
                self.say(text.to_owned(), now);
                return Some(Wish::CopyInvite);
            }
            Action::Mark => {
                let (entry, begun) = self.note.take()?;
                self.say("marked".to_owned(), now);
                // The instant that the key was pressed at, not the one that the note was done.
                let ago_ms = (now.since(begun) / 1_000) as u32;
                return Some(Wish::Command(Command::Marker { note: Some(entry.text()), ago_ms }));
            }
            Action::AskForEnd => self.asked = Some(now),
            Action::Help(shown) => self.help = shown,
            Action::Select(id) => self.chosen = Some(id),
            Action::Detail(shown) => self.detail = shown,
            Action::WriteNote => self.note = Some((Entry::default(), now)),
            Action::DropNote => self.note = None,
            Action::Type(code) => {
                if let Some((entry, _)) = &mut self.note {
                    entry.press(code);
                }
            }
            // There is no log here, and signals are the terminal's.
            Action::Talk
            | Action::KeepGoing
            | Action::Nothing
            | Action::Scroll(_)
            | Action::Interrupt
            | Action::Suspend => {}
        }
        None
    }

    /// The space bar was let go, or the window is gone and nobody could tell.
    pub fn let_go(&mut self) -> Option<Wish> {
        std::mem::take(&mut self.talks).then_some(Wish::Command(Command::Hush))
    }

    /// Says something for some seconds.
    pub fn say(&mut self, text: String, now: Micros) {
        self.said = Some((text, now));
    }

    /// Whom the keys are for; nobody before one was chosen.
    pub fn chosen(&self, snapshot: &Snapshot) -> Option<u8> {
        let here = |id: &u8| snapshot.peers.iter().any(|peer| peer.stats.id == *id);
        self.chosen.filter(here)
    }

    /// What lies over the pictures.
    pub fn overlay(&self, snapshot: &Snapshot, now: Micros) -> Overlay {
        let mut overlay =
            Overlay { help: self.help, typing: self.note.is_some(), ..Overlay::default() };
        let lines = &mut overlay.lines;
        if let Some((entry, _)) = &self.note {
            lines.push(format!("marker: {}_", printable(&entry.text())));
            lines.push("Enter marks, Esc does not".to_owned());
        }
        if self.asks(now) {
            overlay.alert = true;
            lines.push("press q again to end the call".to_owned());
        }
        if let Some(knock) = snapshot.knocks.first() {
            overlay.alert = true;
            let [code, name, address] =
                [&knock.code, &knock.name, &knock.address].map(|t| printable(t));
            lines.push(format!("{name} from {address} wants to come in"));
            lines.push(format!("code {code}: a lets in, r refuses"));
        }
        if let Some((text, _)) = self.said.as_ref().filter(|(_, at)| now.since(*at) < TELLS) {
            lines.push(text.clone());
        }
        if let Some(peer) = keys::selected(self.chosen, snapshot).filter(|_| self.detail) {
            lines.extend(detail(peer));
        }
        overlay
    }
}

/// What a command does, where the pictures do not show it.
fn told(command: &Command, snapshot: &Snapshot) -> Option<String> {
    let name = |id: &u8| {
        let peer = snapshot.peers.iter().find(|peer| peer.stats.id == *id);
        peer.map_or_else(|| format!("participant {id}"), |peer| printable(&peer.name))
    };
    Some(match command {
        Command::Marker { .. } => "marked".to_owned(),
        Command::Volume { id, volume } => {
            // Adding 0 turns what rounds to -0 into 0.
            let db = decibels(f64::from(volume.factor())).round() + 0.0;
            format!("{}: {db:+} dB, here alone", name(id))
        }
        Command::MutePeer { id } => format!("{} is not heard here", name(id)),
        Command::UnmutePeer { id } => format!("{} is heard again", name(id)),
        _ => return None,
    })
}

/// The figures of one participant.
fn detail(peer: &PeerView) -> [String; 2] {
    let s = &peer.stats;
    let path = match peer.path {
        PathKind::Direct => "direct",
        PathKind::Local => "local",
        PathKind::Relay => "through another member",
    };
    let parts = &s.latency;
    [
        format!(
            "{}: {:.0} ms to your ear, of it {:.1} on the way, {:.1} playout, {:.1} speaker",
            printable(&peer.name),
            s.audio_latency_ms,
            parts.network_ms,
            parts.playout_ms,
            parts.output_ms
        ),
        format!(
            "{path}, {:.1} ms there and back, {:.1} % lost, {:.0} kbit/s",
            s.rtt_ms, s.loss_percent, s.received_kbps
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::model::{KnockView, PeerStats, UnfinishedView, Volume};

    fn call() -> Snapshot {
        let peer = |id, name: &str| PeerView {
            name: name.to_owned(),
            stats: PeerStats { id, volume: 1.0, ..PeerStats::default() },
            ..PeerView::default()
        };
        Snapshot { peers: vec![peer(1, "Ben"), peer(2, "Cy")], ..Snapshot::default() }
    }

    fn seconds(seconds: f64) -> Micros {
        Micros((seconds * 1e6) as i64)
    }

    /// Types at one instant; gives what the last key asked for.
    fn type_in(board: &mut Board, keys: &str, snapshot: &Snapshot, at: Micros) -> Option<Wish> {
        let press = |key: char| board.pressed(Key::typed(key.into())?, snapshot, at);
        keys.chars().map(press).last().flatten()
    }

    fn command(wish: Option<Wish>) -> Option<Command> {
        match wish {
            Some(Wish::Command(command)) => Some(command),
            _ => None,
        }
    }

    #[test]
    fn the_end_wants_a_second_key_within_five_seconds() {
        let (mut board, s) = (Board::default(), call());
        let mut q = |at: f64| {
            let wish = type_in(&mut board, "q", &s, seconds(at));
            (wish == Some(Wish::End), !board.overlay(&s, seconds(at)).lines.is_empty())
        };
        assert_eq!([q(0.0), q(4.9)], [(false, true), (true, false)]);
        assert_eq!([q(10.0), q(15.1)], [(false, true); 2], "too late");
        let board = &mut board;
        assert_eq!(type_in(board, "m", &s, seconds(15.2)), None, "an answer, and no");
        assert_eq!(
            command(type_in(board, "m", &s, seconds(15.3))),
            Some(Command::Mute),
            "a key again"
        );
    }

    #[test]
    fn who_knocks_is_drawn_and_answered() {
        let (mut board, mut s) = (Board::default(), call());
        assert_eq!(type_in(&mut board, "a", &s, seconds(0.0)), None);
        s.knocks.push(KnockView {
            id: 7,
            name: "Dan\n".into(),
            address: "203.0.113.9:7000".into(),
            code: "123456".into(),
        });
        let overlay = board.overlay(&s, seconds(0.0));
        assert!(overlay.alert);
        assert_eq!(
            overlay.lines,
            ["Dan from 203.0.113.9:7000 wants to come in", "code 123456: a lets in, r refuses"]
        );
        let answer = |board: &mut Board, key| command(type_in(board, key, &s, seconds(1.0)));
        assert_eq!(answer(&mut board, "a"), Some(Command::Admit { id: 7 }));
        assert_eq!(answer(&mut board, "r"), Some(Command::Refuse { id: 7 }));
    }

    #[test]
    fn markers_have_notes_whose_letters_are_no_keys() {
        let (mut board, s) = (Board::default(), call());
        let marked = |note: Option<&str>, ago_ms| {
            Some(Command::Marker { note: note.map(str::to_owned), ago_ms })
        };
        assert_eq!(command(type_in(&mut board, "b", &s, seconds(0.0))), marked(None, 0));
        assert_eq!(type_in(&mut board, "nqm x\u{8}y", &s, seconds(5.0)), None);
        let overlay = board.overlay(&s, seconds(5.0));
        assert!(overlay.typing);
        assert_eq!(overlay.lines, ["marker: qm y_", "Enter marks, Esc does not"]);
        let done = command(type_in(&mut board, "\r", &s, seconds(7.5)));
        assert_eq!(done, marked(Some("qm y"), 2_500));
        assert_eq!(board.overlay(&s, seconds(7.6)).lines, ["marked"]);
        assert_eq!(board.overlay(&s, seconds(11.0)), Overlay::default());
        type_in(&mut board, "nm\u{1b}", &s, seconds(12.0));
        assert!(!board.overlay(&s, seconds(12.0)).typing);
    }

    #[test]
    fn a_participant_is_chosen_made_louder_and_muted_here() {
        let (mut board, mut s) = (Board::default(), call());
        let now = seconds(0.0);
        assert_eq!(board.chosen(&s), None);
        let louder = Command::Volume { id: 2, volume: Volume::step(1.0, true) };
        assert_eq!(command(type_in(&mut board, "\t+", &s, now)), Some(louder));
        assert_eq!(board.chosen(&s), Some(2));
        assert_eq!(board.overlay(&s, now).lines, ["Cy: +3 dB, here alone"]);
        assert_eq!(command(type_in(&mut board, "x", &s, now)), Some(Command::MutePeer { id: 2 }));
        let first = command(type_in(&mut board, "1x", &s, now));
        assert_eq!(first, Some(Command::MutePeer { id: 1 }));
        type_in(&mut board, "2d", &s, now);
        let lines = board.overlay(&s, now).lines;
        assert!(lines[1].starts_with("Cy: 0 ms to your ear"), "{lines:?}");
        s.peers.pop();
        assert_eq!(board.chosen(&s), None, "who left");
    }

    #[test]
    fn help_invite_and_window_have_their_keys_and_an_offer_that_is_not_shown_has_none() {
        let (mut board, mut s) = (Board::default(), call());
        let now = seconds(0.0);
        type_in(&mut board, "?", &s, now);
        assert!(board.overlay(&s, now).help);
        type_in(&mut board, "\u{1b}", &s, now);
        assert!(!board.overlay(&s, now).help);
        assert_eq!(type_in(&mut board, "i", &s, now), None, "a guest has none");
        s.invite_line = Some("hyperzoom join '203.0.113.5:7000#KEY'".into());
        assert_eq!(type_in(&mut board, "i", &s, now), Some(Wish::CopyInvite));
        assert_eq!(command(type_in(&mut board, "w", &s, now)), Some(Command::ToggleWindow));
        s.unfinished = Some(UnfinishedView { path: "/r/a.mp4".into(), count: 1, percent: None });
        assert_eq!(type_in(&mut board, "r", &s, now), None);
    }

    #[test]
    fn the_space_bar_lets_others_hear_while_it_is_down_or_until_the_window_goes() {
        let (mut board, mut s) = (Board::default(), call());
        let mut press = |board: &mut Board, key: &str| {
            let asked = command(type_in(board, key, &s, seconds(0.0)));
            match asked {
                Some(Command::Hush) => s.hushed = true,
                Some(Command::Talk) => s.hushed = false,
                _ => {}
            }
            asked
        };
        assert_eq!(press(&mut board, " "), None, "everything is sent anyway");
        assert_eq!(board.let_go(), None);
        assert_eq!(press(&mut board, "p"), Some(Command::Hush));
        assert_eq!(press(&mut board, " "), Some(Command::Talk));
        assert_eq!(press(&mut board, " "), None);
        assert_eq!(command(board.let_go()), Some(Command::Hush));
        s.hushed = true;
        assert_eq!(command(type_in(&mut board, " ", &s, seconds(1.0))), Some(Command::Talk));
        s.hushed = false;
        // Push-to-talk is over while it is held.
        assert_eq!(command(type_in(&mut board, "P", &s, seconds(1.0))), Some(Command::Talk));
        assert_eq!(board.let_go(), None);
    }
}
