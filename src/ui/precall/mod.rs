//! Before the call: which devices, how they sound and look, what there is room for, and who calls
//! whom. Owns the terminal until the person has decided; what is looked at runs behind [`Checks`].

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crossterm::event::{self as terminal_event, KeyEventKind};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::inputs::{Input, Signal};
use super::model::UnfinishedView;
use super::palette::Palette;
use super::screen::Screen;
use super::terminal::{self, TakenTerminal};
use crate::audio::meter::Level;
use crate::platform::clock;
use crate::protocol::invite::Invite;
use crate::units::Micros;
use state::{Action, State};

mod draw;
mod picture;
mod state;
#[cfg(test)]
mod tests;

pub use picture::Picture;

/// How long a key may wait for its turn.
const TURN: Duration = Duration::from_millis(25);
/// Shortest time between two drawings, microseconds.
const DRAW_EVERY: i64 = 66_000;

/// A device that is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The microphone.
    Microphone,
    /// The speaker.
    Speaker,
    /// The camera.
    Camera,
}

/// What is looked at before a call. Nothing here waits.
pub trait Checks {
    /// The newest picture of everything.
    fn view(&self) -> Arc<View>;
    /// Closes what is open and opens that one of [`DeviceView::names`].
    fn choose(&self, part: Part, index: usize);
    /// Listens to the person for some seconds.
    fn listen(&self);
    /// Waits for claps in front of the camera, or for no more of them.
    fn clap(&self);
    /// Plays a tone on the speaker.
    fn play(&self);
    /// Opens or closes the preview window.
    fn toggle_window(&self);
    /// Recovers what earlier runs could not end.
    fn recover(&self);
    /// Leaves that as it is.
    fn leave_unfinished(&self);
    /// The person has read about headphones.
    fn headphones_known(&self);
}

/// All that is drawn.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// By [`Part`].
    pub devices: [DeviceView; 3],
    /// Of the last 50 ms or so.
    pub level: Level,
    /// Samples at full scale since the microphone was opened.
    pub clipped: u64,
    /// The test of the microphone.
    pub voice: Voice,
    /// What the camera sees.
    pub picture: Option<Arc<Picture>>,
    /// Why there is no preview window, where one was wanted.
    pub window: Option<Remark>,
    /// What a recording takes: `8.19 GB an hour`.
    pub size: String,
    /// Encoder and size of the picture.
    pub encoder: String,
    /// The disk.
    pub space: Option<Remark>,
    /// How the camera's picture is placed against the sound, where it is a camera's.
    pub lipsync: Option<Remark>,
    /// Claps that were heard for that, and how many are waited for, while it is being measured.
    pub clapping: Option<(usize, usize)>,
    /// Whether guests get in; `None` when the router is not asked.
    pub router: Option<Remark>,
    /// Recordings of earlier runs that can be recovered.
    pub unfinished: Option<UnfinishedView>,
    /// What became of them.
    pub news: Option<String>,
}

/// One of the devices.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceView {
    /// What can be chosen.
    pub names: Vec<String>,
    /// Which of them is.
    pub chosen: usize,
    /// How it is.
    pub state: DeviceState,
}

/// How a device is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum DeviceState {
    /// It is being opened, or looked for.
    #[default]
    Opening,
    /// What was got.
    Open(String),
    /// None is wanted.
    Off,
    /// It could not be opened, or is gone.
    Failed(Remark),
}

/// The test of the microphone.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Voice {
    /// Nobody has asked for it.
    #[default]
    Untested,
    /// So much of it is over, from 0 to 1.
    Listening(f32),
    /// What was found.
    Heard(Vec<Remark>),
}

/// Something found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How it is.
    pub mood: Mood,
    /// In a line.
    pub text: String,
    /// What to do.
    pub remedy: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Not known yet.
    Open,
    /// As it should be.
    Good,
    /// Worth a look.
    Caution,
    /// It will not work like this.
    Bad,
}

/// What the person may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To host or to join.
    Either,
    /// To host.
    Host,
    /// To join; the address may be changed.
    Join,
}

/// What the screen begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Own display name.
    pub name: String,
    /// What may be decided.
    pub asked: Asked,
    /// The address, as far as it is known.
    pub address: String,
    /// The person has not read about headphones yet.
    pub headphones: bool,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Begin a call.
    Host,
    /// Join that one.
    Join(Invite),
    /// Nothing; the program ends.
    Leave,
    /// The same by Ctrl-C or a signal.
    Interrupt,
}

/// What stands on the terminal while the shell has it.
const AWAY: &str = "HyperZoom waits before the call; fg brings it back.";
/// What is said where no shell could bring it back.
const STAYS: &str = "Ctrl-Z leads nowhere here: no shell could bring this screen back";

/// Shows the screen until there is a decision. The terminal stays taken, so that nothing flashes
/// before the call has it; `None` where the shell has it at that moment.
pub fn ask(
    checks: &impl Checks,
    setup: Setup,
    inputs: &Receiver<Input>,
) -> io::Result<(Decision, Option<TakenTerminal>)> {
    let (to_log, captured) = channel();
    let mut screen = Screen::take(to_log)?;
    let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    let mut state = State::new(setup, Palette::here());
    let mut drawn: Option<(Micros, Arc<View>)> = None;
    let mut dirty = true;
    loop {
        // Without the terminal there are no keys: what comes from outside is waited for.
        let away = screen.is_away();
        let first = if away { inputs.recv_timeout(TURN).ok() } else { None };
        let mut wait = TURN;
        while !screen.is_away() && terminal::poll(wait)? {
            wait = Duration::ZERO;
            dirty = true;
            let action = match terminal_event::read()? {
                // Windows reports releases too.
                terminal_event::Event::Key(key) if key.kind != KeyEventKind::Release => {
                    state.press(key, &checks.view())
                }
                terminal_event::Event::Paste(text) => state.paste(&text),
                _ => Action::Nothing,
            };
            if action == Action::Suspend {
                suspend(&mut screen, &mut terminal, &mut state)?;
            } else if let Some(decision) = act(action, checks) {
                state.starting = matches!(decision, Decision::Host | Decision::Join(_));
                let view = checks.view();
                terminal::draw(&mut terminal, |frame| draw::draw(frame, &view, &state))?;
                return Ok((decision, screen.hand_over()));
            }
        }
        if screen.lost_its_supervisor() {
            return Ok((Decision::Interrupt, screen.hand_over()));
        }
        for input in first.into_iter().chain(inputs.try_iter()).chain(captured.try_iter()) {
            match input {
                Input::Signal(Signal::Interrupt | Signal::Terminate) => {
                    return Ok((Decision::Interrupt, screen.hand_over()));
                }
                Input::Signal(Signal::Suspend) => {
                    suspend(&mut screen, &mut terminal, &mut state)?;
                    dirty = true;
                }
                Input::Signal(Signal::Continue) => {
                    dirty |= return_if_asked(&mut screen, &mut terminal)?;
                }
                Input::Stderr(line) => tracing::warn!("stderr: {line}"),
                Input::Command(_) | Input::NoCommand { .. } => {}
            }
        }
        let (view, now) = (checks.view(), clock::now());
        let due = match &drawn {
            None => true,
            Some((at, last)) => {
                now.since(*at) >= DRAW_EVERY && (dirty || !Arc::ptr_eq(last, &view))
            }
        };
        if due && !screen.is_away() {
            state.absorb(&view, now);
            terminal::draw(&mut terminal, |frame| draw::draw(frame, &view, &state))?;
            drawn = Some((now, view));
            dirty = false;
        }
    }
}

/// The terminal as it is drawn on.
type Drawn = Terminal<CrosstermBackend<io::Stdout>>;

/// Ctrl-Z: the shell has its terminal back. Devices stay open, as in a call, and nothing is recorded.
fn suspend(screen: &mut Screen, terminal: &mut Drawn, state: &mut State) -> io::Result<()> {
    match screen.leave(AWAY) {
        None => state.said = Some(STAYS),
        Some(Ok(())) => {}
        Some(Err(_)) => drop(return_if_asked(screen, terminal)?),
    }
    Ok(())
}

/// `fg`.
fn return_if_asked(screen: &mut Screen, terminal: &mut Drawn) -> io::Result<bool> {
    let returned = screen.return_if_asked()?;
    if returned {
        // A new one draws everything; clearing would ask the terminal where its cursor is.
        *terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
    }
    Ok(returned)
}

fn act(action: Action, checks: &impl Checks) -> Option<Decision> {
    match action {
        Action::Nothing | Action::Suspend => {}
        Action::Choose(part, index) => checks.choose(part, index),
        Action::Listen => checks.listen(),
        Action::Clap => checks.clap(),
        Action::Play => checks.play(),
        Action::ToggleWindow => checks.toggle_window(),
        Action::Recover => checks.recover(),
        Action::LeaveUnfinished => checks.leave_unfinished(),
        Action::HeadphonesKnown => checks.headphones_known(),
        Action::Decide(decision) => return Some(decision),
    }
    None
}
