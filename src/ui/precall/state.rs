//! What the screen before the call remembers between two drawings, and what keys do to it. Pure.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::{Asked, Decision, DeviceState, Part, Setup, View};
use crate::protocol::invite::{Invite, in_line};
use crate::ui::entry::Entry;
use crate::ui::meter::Held;
use crate::ui::palette::Palette;
use crate::units::Micros;

/// A line that the cursor can stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// A device.
    Device(Part),
    /// Host or join.
    Role,
    /// The address to join.
    Address,
}

/// What a key leads to outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No more than what has changed here.
    Nothing,
    /// See [`super::Checks`].
    Choose(Part, usize),
    /// See [`super::Checks`].
    Listen,
    /// See [`super::Checks`].
    Clap,
    /// See [`super::Checks`].
    Play,
    /// See [`super::Checks`].
    ToggleWindow,
    /// See [`super::Checks`].
    Recover,
    /// See [`super::Checks`].
    LeaveUnfinished,
    /// See [`super::Checks`].
    HeadphonesKnown,
    /// The shell is to have the terminal for a while.
    Suspend,
    /// The end of the screen.
    Decide(Decision),
}

/// See the module.
#[derive(Debug)]
pub struct State {
    /// Styles.
    pub palette: Palette,
    /// As it began, but for `headphones`: false once the notice was answered.
    pub setup: Setup,
    /// Joins; else hosts.
    pub joins: bool,
    /// Where the cursor stands.
    pub field: Field,
    /// The address.
    pub entry: Entry,
    /// The start was tried with an address that is none.
    pub refused: bool,
    /// The call is being started.
    pub starting: bool,
    /// What the last key led to, where that is not seen.
    pub said: Option<&'static str>,
    /// The meter's peak.
    pub held: Held,
}

impl State {
    /// Nothing was pressed.
    pub fn new(setup: Setup, palette: Palette) -> Self {
        let joins = setup.asked == Asked::Join
            || (setup.asked == Asked::Either && !setup.address.is_empty());
        let field = match setup.asked {
            Asked::Either => Field::Role,
            Asked::Host => Field::Device(Part::Microphone),
            Asked::Join => Field::Address,
        };
        let entry = Entry::new(&setup.address);
        Self {
            palette,
            setup,
            joins,
            field,
            entry,
            refused: false,
            starting: false,
            said: None,
            held: Held::default(),
        }
    }

    /// Takes over what a view tells.
    pub fn absorb(&mut self, view: &View, now: Micros) {
        self.held.absorb(view.level.peak_db, now);
    }

    /// The invite, or what is wrong with what was typed.
    pub fn invite(&self) -> Result<Invite, String> {
        let text = self.entry.text();
        in_line(&text).parse().map_err(|e: crate::protocol::invite::MalformedInvite| e.to_string())
    }

    /// The lines that the cursor goes through, from above.
    fn fields(&self) -> Vec<Field> {
        let mut fields =
            [Part::Microphone, Part::Speaker, Part::Camera].map(Field::Device).to_vec();
        if self.setup.asked == Asked::Either {
            fields.push(Field::Role);
        }
        if self.joins {
            fields.push(Field::Address);
        }
        fields
    }

    fn go(&mut self, by: isize) -> Action {
        let fields = self.fields();
        let at = fields.iter().position(|field| *field == self.field).unwrap_or(0);
        let next = at.saturating_add_signed(by).min(fields.len() - 1);
        self.field = fields[next];
        Action::Nothing
    }

    fn join(&mut self, joins: bool) -> Action {
        if self.setup.asked == Asked::Either {
            self.joins = joins;
            self.refused = false;
            if self.field == Field::Address && !joins {
                self.field = Field::Role;
            }
        }
        Action::Nothing
    }

    /// A pasted text is an address, whatever the cursor stands in, and whatever still has to be read.
    pub fn paste(&mut self, text: &str) -> Action {
        if self.setup.asked == Asked::Host {
            return Action::Nothing;
        }
        let _ = self.join(true);
        // Over an invite or an older paste, not into it.
        if self.field != Field::Address || self.invite().is_ok() {
            self.entry = Entry::default();
        }
        self.field = Field::Address;
        self.refused = false;
        // Without what was copied with it: one sees what will be joined.
        self.entry.paste(&in_line(text));
        Action::Nothing
    }

    /// A key was pressed.
    pub fn press(&mut self, key: KeyEvent, view: &View) -> Action {
        use KeyCode::{BackTab, Char, Down, Enter, Esc, Left, Right, Tab, Up};
        self.said = None;
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                Char('c' | 'C') => Action::Decide(Decision::Interrupt),
                Char('z' | 'Z') => Action::Suspend,
                Char('u' | 'U') if self.field == Field::Address => {
                    self.entry = Entry::default();
                    Action::Nothing
                }
                _ => Action::Nothing,
            };
        }
        if key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SUPER | KeyModifiers::META) {
            return Action::Nothing;
        }
        if self.setup.headphones {
            return match key.code {
                Esc | Char('q' | 'Q') => Action::Decide(Decision::Leave),
                Enter | Char(' ') => {
                    self.setup.headphones = false;
                    Action::HeadphonesKnown
                }
                _ => Action::Nothing,
            };
        }
        let offered = view.unfinished.as_ref().is_some_and(|u| u.percent.is_none());
        match key.code {
            Up | BackTab => return self.go(-1),
            Down | Tab => return self.go(1),
            Enter => return self.start(view),
            Esc if offered => return Action::LeaveUnfinished,
            Esc => return Action::Decide(Decision::Leave),
            _ => {}
        }
        if self.field == Field::Address && self.entry.press(key.code) {
            self.refused = false;
            return Action::Nothing;
        }
        match (key.code, self.field) {
            (Left, Field::Device(part)) => choose(view, part, false),
            (Right | Char(' '), Field::Device(part)) => choose(view, part, true),
            (Left | Right | Char(' '), Field::Role) => self.join(!self.joins),
            (Char('h' | 'H'), _) => self.join(false),
            (Char('j' | 'J'), _) => {
                let _ = self.join(true);
                if self.joins {
                    self.field = Field::Address;
                }
                Action::Nothing
            }
            (Char('t' | 'T'), _) => Action::Listen,
            (Char('l' | 'L'), _) => Action::Clap,
            (Char('p' | 'P'), _) => Action::Play,
            (Char('w' | 'W'), _) => Action::ToggleWindow,
            (Char('r' | 'R'), _) if offered => Action::Recover,
            (Char('q' | 'Q'), _) => Action::Decide(Decision::Leave),
            _ => Action::Nothing,
        }
    }

    fn start(&mut self, view: &View) -> Action {
        // A call that opens this one would end at once.
        let failed = [Part::Microphone, Part::Speaker, Part::Camera]
            .into_iter()
            .find(|part| matches!(view.devices[*part as usize].state, DeviceState::Failed(_)));
        if let Some(part) = failed {
            self.field = Field::Device(part);
            return Action::Nothing;
        }
        if !self.joins {
            return Action::Decide(Decision::Host);
        }
        match self.invite() {
            Ok(invite) => Action::Decide(Decision::Join(invite)),
            Err(_) => {
                self.field = Field::Address;
                self.refused = true;
                Action::Nothing
            }
        }
    }
}

/// The next or the last one, round and round.
fn choose(view: &View, part: Part, next: bool) -> Action {
    let device = &view.devices[part as usize];
    let count = device.names.len();
    if count < 2 {
        return Action::Nothing;
    }
    let by = if next { 1 } else { count - 1 };
    Action::Choose(part, (device.chosen + by) % count)
}
