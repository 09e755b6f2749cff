//! The preview window: a child process, so that a lost display cannot end a call.
//!
//! [`run`] is the child (`hyperzoom window`): minifb on its main thread, which macOS asks for, and
//! one reader thread. [`process::WindowProcess`] is the call's end of the pipe. What goes through
//! it is in [`wire`]; what is drawn, in [`compose`]. Xlib ends the process whose display is lost:
//! here that is this child, and an event for the call.

pub mod compose;
pub mod process;
pub mod wire;

use std::io::{self, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use minifb::{InputCallback, Key, ScaleMode, Window, WindowOptions};

use compose::Composer;
use wire::{MAX_TILES, Message, WireError};

/// The window as it opens: one 480p picture; a grid scales into it.
const WIDTH: usize = 854;
const HEIGHT: usize = 480;
/// Redraws a second at most (PRD 5.2): faster than any camera in the call.
const FPS: usize = 30;
/// Smallest and largest side that is drawn, pixels.
const MIN_SIDE: usize = 16;
const MAX_SIDE: usize = 8192;

/// So long the window asks whether the call is to end.
const ASKS: Duration = Duration::from_secs(5);
/// Then it says this.
const AGAIN: &str = "press q again to end the call";

/// Why there is no window (any more).
#[derive(Debug, thiserror::Error)]
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
    end: Option<Result<(), WireError>>,
}

impl Inbox {
    fn put(&mut self, message: Message) {
        let slot = match &message {
            Message::Picture { tile, .. } => self.pictures.get_mut(usize::from(*tile)),
            Message::Info { tile, .. } => self.infos.get_mut(usize::from(*tile)),
            Message::Layout(_) => Some(&mut self.layout),
        };
        if let Some(slot) = slot {
            *slot = Some(message);
        }
    }

    fn take(&mut self) -> Vec<Message> {
        let pictures = self.pictures.iter_mut().filter_map(Option::take);
        let infos = self.infos.iter_mut().filter_map(Option::take);
        self.layout.take().into_iter().chain(infos).chain(pictures).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between two statements, so a panicked holder
    // leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is done with keys here: the end wants a second key, and the space bar is held and let go.
#[derive(Default)]
struct Keys {
    asked: Option<Instant>,
    held: bool,
}

impl Keys {
    /// Whether the window asks at `now` whether the call is to end.
    fn asks(&self, now: Instant) -> bool {
        self.asked.is_some_and(|at| now.duration_since(at) < ASKS)
    }

    /// A character was typed: whether the call is told.
    fn typed(&mut self, key: char, now: Instant) -> bool {
        let asked = self.asks(now);
        self.asked = None;
        match key {
            // Its own way: a held space bar types many.
            ' ' => false,
            'q' | 'Q' if !asked => {
                self.asked = Some(now);
                false
            }
            _ => true,
        }
    }

    /// Whether the space bar is down now: what to tell the call.
    fn space(&mut self, down: bool) -> Option<&'static str> {
        let was = std::mem::replace(&mut self.held, down);
        match (was, down) {
            (false, true) => Some("key  "),
            (true, false) => Some("release  "),
            _ => None,
        }
    }
}

/// Characters typed into the window, in order.
struct Typed(Arc<Mutex<Vec<char>>>);

impl InputCallback for Typed {
    fn add_char(&mut self, code: u32) {
        if let Some(character) = char::from_u32(code).filter(|c| !c.is_control()) {
            lock(&self.0).push(character);
        }
    }
}

/// Runs the window until its person closes it or `input` ends. Must run on the main thread.
///
/// Reads [`wire`] messages from `input`, writes the lines of [`wire`] to `output`.
pub fn run(input: impl Read + Send + 'static, mut output: impl Write) -> Result<(), WindowError> {
    let options = WindowOptions {
        resize: true,
        scale_mode: ScaleMode::UpperLeft,
        ..WindowOptions::default()
    };
    let mut window = Window::new("HyperZoom preview", WIDTH, HEIGHT, options)
        .map_err(|error| WindowError::Display(error.to_string()))?;
    window.set_target_fps(FPS);
    let typed = Arc::new(Mutex::new(Vec::new()));
    window.set_input_callback(Box::new(Typed(Arc::clone(&typed))));

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
            composer.apply(message);
        }
        let (width, height) = window.get_size();
        let (width, height) = (width.clamp(MIN_SIDE, MAX_SIDE), height.clamp(MIN_SIDE, MAX_SIDE));
        match composer.draw(width as u32, height as u32) {
            Some(pixels) => window
                .update_with_buffer(pixels, width, height)
                .map_err(|error| WindowError::Display(error.to_string()))?,
            None => window.update(),
        }
        let now = Instant::now();
        for key in std::mem::take(&mut *lock(&typed)) {
            if keys.typed(key, now) {
                tell(&mut output, &format!("key {key}"))?;
            }
        }
        // Without the focus nobody tells of a key that is let go.
        let down = window.is_key_down(Key::Space) && window.is_active();
        if let Some(line) = keys.space(down) {
            tell(&mut output, line)?;
        }
        composer.say(keys.asks(now).then_some(AGAIN));
    }
    tell(&mut output, "closed")
}

fn tell(output: &mut impl Write, line: &str) -> Result<(), WindowError> {
    writeln!(output, "{line}").and_then(|()| output.flush()).map_err(WireError::Io)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_wants_a_second_key_within_five_seconds() {
        let (mut keys, begin) = (Keys::default(), Instant::now());
        let mut typed = |key, seconds: f32| {
            let now = begin + Duration::from_secs_f32(seconds);
            (keys.typed(key, now), keys.asks(now))
        };
        assert_eq!([typed('q', 0.0), typed('q', 4.9)], [(false, true), (true, false)]);
        assert_eq!([typed('q', 10.0), typed('q', 15.1)], [(false, true); 2], "too late");
        assert_eq!([typed('m', 15.2), typed('q', 15.3)], [(true, false), (false, true)]);
    }

    #[test]
    fn the_space_bar_is_told_once_when_it_goes_down_and_once_when_it_comes_up() {
        let mut keys = Keys::default();
        let told = [false, true, true, false, false].map(|down| keys.space(down));
        assert_eq!(told, [None, Some("key  "), None, Some("release  "), None]);
        assert!(!keys.typed(' ', Instant::now()));
    }
}
