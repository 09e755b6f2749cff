//! The preview window: a child process, so that a lost display cannot end a call.
//!
//! [`run`] is the child (`hyperzoom window`): minifb on its main thread, which macOS asks for, and
//! one reader thread. [`process::WindowProcess`] is the call's end of the pipe. What goes through
//! it is in [`wire`]; what is drawn, in [`compose`]; what keys do, in [`board`]. Xlib ends the process
//! whose display is lost: here that is this child, and an event for the call.

pub mod board;
pub mod compose;
pub mod process;
mod screen;
pub mod wire;

use std::io::{self, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use minifb::{InputCallback, KeyRepeat, ScaleMode, Window, WindowOptions};

use compose::Composer;
use wire::{Key, MAX_TILES, Message, Reply, WireError};

/// The window as it opens: one 480p picture; a grid scales into it.
const WIDTH: usize = 854;
const HEIGHT: usize = 480;
/// Redraws a second at most (PRD 5.2): faster than any camera in the call.
const FPS: usize = 30;
/// Smallest and largest side that is drawn, pixels.
const MIN_SIDE: usize = 16;
const MAX_SIDE: usize = 8192;

/// Everything is drawn at least this often.
const REFRESH: Duration = Duration::from_secs(1);
/// The call tells within this whether a key has begun a text.
const TOLD: Duration = Duration::from_millis(500);

/// Why there is no window (any more).
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum WindowError {
    /// There is no display, or it refused.
    #[error(
        "no preview window ({0}); the call goes on without it: start it where there is a display, or use --no-window"
    )]
    Display(String),
    /// The pipe from the call broke in the middle.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The operating system gave no thread.
    #[error("the preview window's reader could not start ({0}); close other programs and press w")]
    Thread(io::Error),
}

/// What has come through the pipe and is not yet drawn: the newest of each kind.
#[derive(Default)]
struct Inbox {
    pictures: [Option<Message>; MAX_TILES],
    infos: [Option<Message>; MAX_TILES],
    layout: Option<Message>,
    overlay: Option<Message>,
    end: Option<Result<(), WireError>>,
}

impl Inbox {
    fn put(&mut self, message: Message) {
        let slot = match &message {
            Message::Picture { tile, .. } => self.pictures.get_mut(usize::from(*tile)),
            Message::Info { tile, .. } => self.infos.get_mut(usize::from(*tile)),
            Message::Layout(_) => Some(&mut self.layout),
            Message::Overlay(_) => Some(&mut self.overlay),
        };
        if let Some(slot) = slot {
            *slot = Some(message);
        }
    }

    fn take(&mut self) -> Vec<Message> {
        let pictures = self.pictures.iter_mut().filter_map(Option::take);
        let infos = self.infos.iter_mut().filter_map(Option::take);
        let first = self.layout.take().into_iter().chain(self.overlay.take());
        first.chain(infos).chain(pictures).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between two statements, so a panicked holder
    // leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is done with keys here: the screen is this process's own, and the space bar is held and let go.
#[derive(Default)]
struct Keys {
    /// They are letters of a text, as far as the call has told.
    typing: bool,
    /// Until then a text may have been begun that the call has not told of yet.
    begun: Option<Instant>,
    /// The window has the whole screen.
    full: bool,
    /// The space bar is down.
    held: bool,
    /// The key of the screen was down when it was looked at last: what is typed is its repetition.
    f: bool,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    /// The call is told.
    Tell(Key),
    /// The window takes the whole screen, or gives it back.
    FullScreen(bool),
    /// Nothing.
    Nothing,
}

impl Keys {
    fn pressed(&mut self, key: Key, now: Instant) -> Pressed {
        match key {
            _ if self.is_typing(now) => Pressed::Tell(key),
            Key::Char('n' | 'N') => {
                self.begun = Some(now + TOLD);
                Pressed::Tell(key)
            }
            // Its own way: a held space bar types many.
            Key::Char(' ') => Pressed::Nothing,
            Key::Char('f' | 'F') if self.f => Pressed::Nothing,
            Key::Char('f' | 'F') => self.toggle(),
            Key::Escape if self.full => self.toggle(),
            _ => Pressed::Tell(key),
        }
    }

    fn is_typing(&self, now: Instant) -> bool {
        self.typing || self.begun.is_some_and(|until| now < until)
    }

    fn toggle(&mut self) -> Pressed {
        self.full = !self.full;
        Pressed::FullScreen(self.full)
    }

    /// Whether the space bar is down now: what to tell the call.
    fn space(&mut self, down: bool, now: Instant) -> Option<Reply> {
        let down = down && (self.held || !self.is_typing(now));
        let was = std::mem::replace(&mut self.held, down);
        match (was, down) {
            (false, true) => Some(Reply::Key(Key::Char(' '))),
            (true, false) => Some(Reply::Released),
            _ => None,
        }
    }
}

/// Keys typed into the window, in order.
#[derive(Clone, Default)]
struct Typed(Arc<Mutex<Vec<Key>>>);

impl Typed {
    fn take(&self) -> Vec<Key> {
        std::mem::take(&mut *lock(&self.0))
    }
}

impl InputCallback for Typed {
    fn add_char(&mut self, code: u32) {
        if let Some(key) = Key::typed(code) {
            lock(&self.0).push(key);
        }
    }
}

/// Opens the window, or another one in its place.
fn open(place: Place, typed: &Typed) -> Result<Window, WindowError> {
    let (width, height) = match place {
        Place::Usual => (WIDTH, HEIGHT),
        Place::Whole(size) => size,
    };
    let options = WindowOptions {
        resize: true,
        borderless: place != Place::Usual,
        scale_mode: ScaleMode::UpperLeft,
        ..WindowOptions::default()
    };
    let mut window = Window::new("HyperZoom preview", width, height, options)
        .map_err(|error| WindowError::Display(screen::why_not(&error.to_string())))?;
    screen::watch(&window);
    window.set_target_fps(FPS);
    window.set_input_callback(Box::new(typed.clone()));
    if place != Place::Usual {
        window.set_position(0, 0);
    }
    Ok(window)
}

/// Where a window stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// As large as it opens, where the desktop puts it.
    Usual,
    /// Over a screen of so many pixels, without a border.
    Whole((usize, usize)),
}

/// Keys without a letter, where the window system tells of letters alone.
fn letterless(window: &Window) -> impl Iterator<Item = Key> {
    let keys = [
        (minifb::Key::Enter, Key::Enter),
        (minifb::Key::Escape, Key::Escape),
        (minifb::Key::Tab, Key::Tab),
        (minifb::Key::Backspace, Key::Backspace),
    ];
    let wanted = screen::tells_letters_alone(window);
    keys.into_iter()
        .filter(move |(key, _)| wanted && window.is_key_pressed(*key, KeyRepeat::No))
        .map(|(_, key)| key)
}

/// Runs the window until its person closes it or `input` ends. Must run on the main thread.
///
/// Reads [`wire`] messages from `input`, writes the lines of [`wire`] to `output`.
pub fn run(input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), WindowError> {
    let typed = Typed::default();
    let mut window = match open(Place::Usual, &typed) {
        Err(WindowError::Display(why)) => {
            tell(&mut output, Reply::Unopened(why.clone()))?;
            return Err(WindowError::Display(why));
        }
        opened => opened?,
    };

    let inbox = Arc::new(Mutex::new(Inbox::default()));
    let writer = Arc::clone(&inbox);
    thread::Builder::new()
        .name("window-reader".to_owned())
        .spawn(move || {
            let mut input = BufReader::with_capacity(1 << 16, input);
            let end = loop {
                match wire::read(&mut input) {
                    Ok(Some(message)) => lock(&writer).put(message),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            lock(&writer).end = Some(end);
        })
        .map_err(WindowError::Thread)?;

    let mut composer = Composer::new();
    let mut all_drawn = Instant::now();
    let mut keys = Keys::default();
    while window.is_open() {
        let (messages, end) = {
            let mut inbox = lock(&inbox);
            (inbox.take(), inbox.end.take())
        };
        if let Some(end) = end {
            return Ok(end?);
        }
        for message in messages {
            if let Message::Overlay(overlay) = &message {
                keys.typing = overlay.typing;
            }
            composer.apply(message);
        }
        let (width, height) = window.get_size();
        let (width, height) = (width.clamp(MIN_SIDE, MAX_SIDE), height.clamp(MIN_SIDE, MAX_SIDE));
        // What another window has covered is drawn anew by nobody else: minifb does not hear of it.
        if all_drawn.elapsed() >= REFRESH {
            all_drawn = Instant::now();
            composer.anew();
        }
        match composer.draw(width as u32, height as u32) {
            Some(pixels) => window
                .update_with_buffer(pixels, width, height)
                .map_err(|error| WindowError::Display(error.to_string()))?,
            None => window.update(),
        }
        let now = Instant::now();
        let mut pressed: Vec<Pressed> =
            letterless(&window).chain(typed.take()).map(|key| keys.pressed(key, now)).collect();
        if window.is_key_pressed(minifb::Key::F11, KeyRepeat::No) {
            pressed.push(keys.toggle());
        }
        for pressed in pressed {
            match pressed {
                Pressed::Tell(key) => tell(&mut output, Reply::Key(key))?,
                Pressed::FullScreen(on) => {
                    if screen::fill(&window, on) {
                        continue;
                    }
                    // Nobody can be asked for it here: another window takes this one's place.
                    let place = match on {
                        true => screen::size().map(Place::Whole),
                        false => Some(Place::Usual),
                    };
                    match place {
                        Some(place) => {
                            window = open(place, &typed)?;
                            composer.anew();
                        }
                        None => keys.full = false,
                    }
                }
                Pressed::Nothing => {}
            }
        }
        keys.f = window.is_key_down(minifb::Key::F);
        // Without the focus nobody tells of a key that is let go.
        let down = window.is_key_down(minifb::Key::Space) && window.is_active();
        if let Some(reply) = keys.space(down, now) {
            tell(&mut output, reply)?;
        }
    }
    if screen::is_lost(&window) {
        tell(&mut output, Reply::Lost)?;
        return Err(WindowError::Display("the display is gone".to_owned()));
    }
    tell(&mut output, Reply::Closed)
}

fn tell(output: &mut impl Write, reply: Reply) -> Result<(), WindowError> {
    writeln!(output, "{}", reply.line()).and_then(|()| output.flush()).map_err(WireError::Io)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_the_window_s_own_and_all_other_keys_are_the_call_s() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        let tell = Pressed::Tell;
        assert_eq!(keys.pressed(Key::Char('m'), now), tell(Key::Char('m')));
        assert_eq!(keys.pressed(Key::Escape, now), tell(Key::Escape));
        assert_eq!(keys.pressed(Key::Char('f'), now), Pressed::FullScreen(true));
        assert_eq!(keys.pressed(Key::Char('F'), now), Pressed::FullScreen(false));
        assert_eq!(keys.toggle(), Pressed::FullScreen(true));
        keys.f = true;
        assert_eq!(keys.pressed(Key::Char('f'), now), Pressed::Nothing, "it is held");
        assert_eq!(keys.pressed(Key::Escape, now), Pressed::FullScreen(false));
        keys.typing = true;
        for key in [Key::Char('f'), Key::Char(' '), Key::Escape] {
            assert_eq!(keys.pressed(key, now), tell(key), "a letter of a note");
        }
    }

    #[test]
    fn a_note_s_first_letters_are_letters_before_the_call_has_told_of_it() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        for key in ['n', 'f', ' '].map(Key::Char) {
            assert_eq!(keys.pressed(key, now), Pressed::Tell(key));
        }
        assert_eq!(keys.space(true, now), None);
        // It may have begun none: with a question on the screen it does not.
        let later = now + TOLD;
        assert_eq!(keys.pressed(Key::Char('f'), later), Pressed::FullScreen(true));
    }

    #[test]
    fn the_space_bar_is_told_once_when_it_goes_down_and_once_when_it_comes_up() {
        let (mut keys, now) = (Keys::default(), Instant::now());
        let told = [false, true, true, false, false].map(|down| keys.space(down, now));
        let (down, up) = (Reply::Key(Key::Char(' ')), Reply::Released);
        assert_eq!(told, [None, Some(down), None, Some(up), None]);
        assert_eq!(keys.pressed(Key::Char(' '), now), Pressed::Nothing);
        keys.typing = true;
        assert_eq!(keys.space(true, now), None, "a gap between words");
    }
}
