//! The dashboard: the whole terminal, drawn from the engine's snapshot. Owns the main thread while
//! it is up. `draw` changes nothing; what keys and time change is in `state`.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crossterm::event::{self as terminal_event, KeyEventKind};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

use super::clipboard;
use super::entry::Entry;
use super::inputs::{EndControl, Input, NO_SUSPENDING, Signal, Step};
use super::model::{Command, Event, Snapshot};
use super::palette::Palette;
use super::screen::Screen;
use super::terminal;
use super::{EndReason, Next, Session, Watched};
use crate::platform::clock;
use crate::units::Micros;
use keys::Action;
use state::DashboardState;

mod detail;
mod draw;
mod help;
mod keys;
mod sections;
mod state;
mod table;
#[cfg(all(test, unix))]
mod terminal_tests;
#[cfg(test)]
mod tests;

pub use sections::unfinished;

/// How long a key may wait for its turn; also how often the engine's events are fetched.
const TURN: Duration = Duration::from_millis(25);
/// What stands on the terminal while the shell has it.
const AWAY: &str = "The call and its recording go on; fg brings the dashboard back.";
/// Shortest time between two drawings, microseconds: 15 a second look fluent and cost little.
const DRAW_EVERY: i64 = 66_000;

/// A key's effect is drawn as soon as the engine shows it: so long after the key, microseconds, there
/// is no shortest time between drawings ...
const ANSWER: i64 = 150_000;
/// ... and the engine is looked at this often.
const ANSWER_TURN: Duration = Duration::from_millis(5);

/// Shows the session until it has ended. An error means that the terminal is of no use; the
/// session itself goes on.
pub fn watch(session: &impl Session, inputs: &Receiver<Input>) -> io::Result<Watched> {
    let (to_log, captured) = channel();
    let held = Screen::take(to_log)?;
    Dashboard::new(session, held)?.run(inputs, &captured)
}

struct Dashboard<'a, S> {
    session: &'a S,
    terminal: Terminal<CrosstermBackend<io::Stdout>>,
    screen: Screen,
    state: DashboardState,
    control: EndControl,
    watched: Watched,
    /// The terminal is gone: no keys, no drawing, only waiting for the end.
    lost: bool,
    /// When the last key was pressed.
    pressed: Option<Micros>,
    /// See [`Snapshot::invite_copies`].
    copies: u32,
}

impl<'a, S: Session> Dashboard<'a, S> {
    fn new(session: &'a S, screen: Screen) -> io::Result<Self> {
        Ok(Self {
            session,
            screen,
            terminal: Terminal::new(CrosstermBackend::new(io::stdout()))?,
            state: DashboardState::new(Palette::here()),
            control: EndControl::default(),
            watched: Watched::default(),
            lost: false,
            pressed: None,
            copies: 0,
        })
    }

    fn run(mut self, inputs: &Receiver<Input>, captured: &Receiver<Input>) -> io::Result<Watched> {
        let mut drawn: Option<(Micros, Arc<_>)> = None;
        let mut dirty = true;
        loop {
            dirty |= self.keys()?;
            for input in inputs.try_iter().chain(captured.try_iter()) {
                self.input(input);
                dirty = true;
            }
            if self.watched.abandoned || !self.events(&mut dirty) {
                break;
            }
            if self.screen.lost_its_supervisor() {
                self.input(Input::Signal(Signal::Terminate));
            }
            let snapshot = self.session.snapshot();
            self.copy_for_the_window(&snapshot);
            let now = clock::now();
            let due = match &drawn {
                None => true,
                Some((at, last)) => {
                    (now.since(*at) >= DRAW_EVERY || self.owes_an_answer(now))
                        && (dirty || !Arc::ptr_eq(last, &snapshot))
                }
            };
            if due && !self.lost && !self.screen.is_away() {
                self.state.absorb(&snapshot, now);
                let state = &self.state;
                let draw = |frame: &mut Frame| draw::draw(frame, &snapshot, state);
                let result = terminal::draw(&mut self.terminal, draw);
                let rings = std::mem::take(&mut self.state.bell);
                let rung = if rings { terminal::ring() } else { Ok(()) };
                if let Err(e) = result.and(rung) {
                    self.lose(&e);
                }
                drawn = Some((now, snapshot));
                dirty = false;
            }
        }
        self.watched.aborted = self.control.aborted();
        Ok(self.watched)
    }

    fn owes_an_answer(&self, now: Micros) -> bool {
        self.pressed.is_some_and(|at| now.since(at) < ANSWER)
    }

    /// Takes keys for up to [`TURN`]; says whether anything may look different now.
    fn keys(&mut self) -> io::Result<bool> {
        if self.lost || self.screen.is_away() {
            // The events' own waiting takes the place of the terminal's.
            return Ok(false);
        }
        let mut changed = false;
        let mut wait = if self.owes_an_answer(clock::now()) { ANSWER_TURN } else { TURN };
        loop {
            let event = match terminal::poll(wait) {
                Ok(false) => return Ok(changed),
                Ok(true) => terminal_event::read(),
                Err(e) => Err(e),
            };
            wait = Duration::ZERO;
            changed = true;
            match event {
                // Windows reports releases, others where they were asked to.
                Ok(terminal_event::Event::Key(key)) if key.kind == KeyEventKind::Release => {
                    if key.code == keys::TALK
                        && let Some(command) = self.state.let_go()
                    {
                        self.session.command(command);
                    }
                }
                Ok(terminal_event::Event::Key(key)) => {
                    self.pressed = Some(clock::now());
                    let action = keys::action(key, &self.state, &self.session.snapshot());
                    self.act(action);
                }
                Ok(terminal_event::Event::Paste(text)) => {
                    if let Some((entry, _)) = &mut self.state.note {
                        entry.paste(&text);
                    }
                }
                Ok(_) => {}
                Err(e) => {
                    self.lose(&e);
                    return Ok(true);
                }
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Nothing => {}
            Action::Command(command) => self.session.command(command),
            Action::PushToTalk(on) => {
                self.state.push_to_talk = on;
                terminal::report_releases(on);
                self.session.command(if on { Command::Hush } else { Command::Talk });
            }
            Action::Talk => {
                let hushed = self.session.snapshot().hushed;
                if let Some(command) = self.state.talk(hushed, clock::now()) {
                    self.session.command(command);
                }
            }
            Action::AskForEnd => self.state.asking = true,
            Action::KeepGoing => self.state.asking = false,
            Action::End => {
                self.state.asking = false;
                self.state.ending = true;
                self.control.end(self.session, EndReason::EndKey);
            }
            Action::Interrupt => self.input(Input::Signal(Signal::Interrupt)),
            Action::Suspend => self.input(Input::Signal(Signal::Suspend)),
            Action::Help(shown) => self.state.help = shown,
            Action::Scroll(lines) => self.state.scroll_by(lines),
            Action::Select(id) => self.state.chosen = Some(id),
            Action::Detail(shown) => self.state.detail = shown,
            Action::CopyInvite => self.copy_invite(),
            Action::WriteNote => self.state.note = Some((Entry::default(), clock::now())),
            Action::DropNote => self.state.note = None,
            Action::Type(code) => {
                if let Some((entry, _)) = &mut self.state.note {
                    entry.press(code);
                }
            }
            Action::Mark => {
                if let Some((entry, begun)) = self.state.note.take() {
                    // The instant that the key was pressed at, not the one that the note was done.
                    let ago_ms = (clock::now().since(begun) / 1_000) as u32;
                    self.session.command(Command::Marker { note: Some(entry.text()), ago_ms });
                }
            }
        }
    }

    /// The window has no clipboard that works over ssh; this terminal may have one.
    fn copy_for_the_window(&mut self, snapshot: &Snapshot) {
        if std::mem::replace(&mut self.copies, snapshot.invite_copies) != snapshot.invite_copies
            && !self.lost
            && !self.screen.is_away()
        {
            self.copy_invite();
        }
    }

    fn copy_invite(&mut self) {
        let snapshot = self.session.snapshot();
        let Some(line) = &snapshot.invite_line else { return };
        match clipboard::copy(line) {
            Ok(()) => {
                self.state.say("the invite line is copied, if this terminal allows it".into())
            }
            Err(e) => self.lose(&e),
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Signal(Signal::Interrupt) => {
                self.state.asking = false;
                self.state.ending = true;
                match self.control.interrupt(self.session) {
                    Step::Ending => {}
                    Step::Aborting => {
                        self.state.say("aborting; the file stays recoverable".to_owned());
                    }
                    Step::Abandon => self.watched.abandoned = true,
                }
            }
            Input::Signal(Signal::Terminate) => {
                self.state.ending = true;
                self.control.end(self.session, EndReason::Signal);
            }
            Input::Signal(Signal::Suspend) => self.leave_for_a_while(),
            Input::Signal(Signal::Continue) => self.return_if_asked(),
            Input::Command(Command::End) => {
                self.control.end(self.session, EndReason::Command);
            }
            Input::Command(command) => self.session.command(command),
            Input::NoCommand { what, remedy } => {
                self.state.say(format!("warning: {what}; try {remedy}"));
            }
            Input::Stderr(line) => {
                tracing::warn!("stderr: {line}");
                self.session.log(&format!("stderr: {line}"));
                self.state.say(line);
            }
        }
    }

    /// Ctrl-Z: the shell has its terminal back, and the call goes on.
    fn leave_for_a_while(&mut self) {
        let Some(left) = self.screen.leave(AWAY) else {
            return self.state.say(NO_SUSPENDING.to_owned());
        };
        if self.state.push_to_talk {
            // Nobody sees the key being let go.
            self.session.command(Command::Hush);
        }
        if left.is_err() {
            self.return_if_asked();
        }
    }

    /// `fg`.
    fn return_if_asked(&mut self) {
        let drawn = match self.screen.return_if_asked() {
            Ok(false) => return,
            returned => returned,
        };
        terminal::report_releases(self.state.push_to_talk);
        // A new one draws everything; clearing would ask the terminal where its cursor is.
        match drawn.and_then(|_| Terminal::new(CrosstermBackend::new(io::stdout()))) {
            Ok(terminal) => self.terminal = terminal,
            Err(e) => self.lose(&e),
        }
    }

    /// Takes what has happened; `false` when the session has ended.
    fn events(&mut self, dirty: &mut bool) -> bool {
        let idle = self.lost || self.screen.is_away();
        let mut wait = if idle { TURN } else { Duration::ZERO };
        loop {
            match self.session.next_event(wait) {
                Next::Quiet => return true,
                Next::Closed => return false,
                Next::Event(stamped) => {
                    *dirty = true;
                    self.watched.learn(&stamped);
                    if matches!(stamped.event, Event::Ended { .. }) {
                        return false;
                    }
                }
            }
            wait = Duration::ZERO;
        }
    }

    /// Without a terminal there is nobody to ask: the same as a hang-up.
    fn lose(&mut self, why: &io::Error) {
        tracing::warn!("the terminal is gone: {why}");
        self.lost = true;
        terminal::restore();
        self.control.end(self.session, EndReason::Signal);
    }
}
