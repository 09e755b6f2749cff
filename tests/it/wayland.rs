//! The preview window under a real Wayland compositor: Weston, whose screen is a window of an Xvfb, so
//! that it can be looked at and typed into.
//!
//! Says so and does nothing where Weston or what the X11 tests take is missing. Weston's own headless
//! backend has no seat, and minifb opens no window without one: that it is told is tested, too.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hyperzoom::ui::window::process::{WindowEvent, WindowProcess};
use hyperzoom::ui::window::wire::Key;
use hyperzoom::video::testcard::read_number;

use crate::support::process::LIMIT;
use crate::window::{Display, card, eventually, is_installed, luma_of, named};

/// A compositor, ended with the test.
pub struct Compositor {
    pub server: Child,
    folder: tempfile::TempDir,
}

const SOCKET: &str = "hz";
/// Nothing beside the window that could be taken for a part of the test picture.
const CONFIG: &str = "[shell]\nbackground-color=0xff000000\npanel-position=none\nlocking=false\n";

impl Compositor {
    /// On a display, or on none.
    pub fn start(display: Option<&Display>) -> Option<Self> {
        if !is_installed("weston") {
            return None;
        }
        // Not readable for others, as the compositor wants it.
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("weston.ini");
        std::fs::write(&config, CONFIG).expect("the disk has room");
        let backend = if display.is_some() { "x11" } else { "headless" };
        let mut command = Command::new("weston");
        command
            .arg(format!("--backend={backend}-backend.so"))
            .arg(format!("--socket={SOCKET}"))
            .arg(format!("--config={}", config.display()))
            .args(["--idle-time=0", "--width=1280", "--height=800"])
            .env("XDG_RUNTIME_DIR", folder.path())
            .env_remove("WAYLAND_DISPLAY")
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(display) = display {
            command.arg("--use-pixman").env("DISPLAY", &display.name);
        }
        let server = command.spawn().expect("weston starts");
        let socket = folder.path().join(SOCKET);
        eventually("a compositor", || socket.exists());
        Some(Self { server, folder })
    }

    /// For a program that is to show its window here.
    pub fn variables(&self) -> [(&'static str, &Path); 2] {
        [("XDG_RUNTIME_DIR", self.folder.path()), ("WAYLAND_DISPLAY", Path::new(SOCKET))]
    }

    fn window(&self) -> WindowProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
        command.arg("window").env_remove("DISPLAY").envs(self.variables());
        WindowProcess::spawn_command(command).expect("the program starts")
    }

    pub fn end(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Compositor {
    fn drop(&mut self) {
        self.end();
    }
}

/// A key, as long as a finger takes: Wayland tells of a key without a letter only while it is down.
fn press(display: &Display, key: &str, told: impl FnOnce()) {
    assert!(display.xdotool(&["keydown", key]));
    told();
    assert!(display.xdotool(&["keyup", key]));
}

#[test]
fn the_window_draws_takes_keys_and_the_whole_screen_and_tells_of_a_compositor_that_is_gone() {
    let Some(display) = Display::start() else { return };
    let Some(mut compositor) = Compositor::start(Some(&display)) else { return };
    let window = compositor.window();
    window.set_layout(&[1]);
    window.set_info(1, named("Ann"));
    window.show(1, card(2024));
    let drawn = || read_number(&luma_of(&display.screenshot())) == Some(2024);
    eventually("the test picture", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        drawn()
    });
    for (name, key) in [("m", Key::Char('m')), ("Tab", Key::Tab), ("Return", Key::Enter)] {
        press(&display, name, || {
            assert_eq!(window.wait_event(LIMIT), Some(WindowEvent::Key(key)), "{name}");
        });
    }
    // The chosen one's frame, which comes with the next drawing.
    eventually("who is chosen", || display.yellow() > 0.0);
    let small = display.yellow();
    // Not held: the X server below would repeat the key, as no compositor does.
    assert!(display.xdotool(&["key", "f"]));
    eventually("the whole screen", || drawn() && display.yellow() > 2.0 * small);
    // A window of another size is another window here; a key that comes before it has the keyboard
    // goes nowhere, and nothing tells when it has.
    let mut pressed: Option<std::time::Instant> = None;
    eventually("as before", || {
        if pressed.is_none_or(|at| at.elapsed() > std::time::Duration::from_secs(5)) {
            assert!(display.xdotool(&["key", "f"]));
            pressed = Some(std::time::Instant::now());
        }
        drawn() && display.yellow() < 1.2 * small
    });

    compositor.end();
    let end = window.wait_event(LIMIT);
    let why = "its display went away".to_owned();
    assert_eq!(end, Some(WindowEvent::Died { why }));
}

#[test]
fn a_compositor_without_a_seat_or_without_life_is_told() {
    let Some(mut compositor) = Compositor::start(None) else { return };
    let last_words = |compositor: &Compositor| {
        let end = compositor.window().wait_event(LIMIT);
        let Some(WindowEvent::NotOpened { why }) = end else { panic!("{end:?}") };
        why
    };
    let said = last_words(&compositor);
    assert!(said.contains("compositor hz has no keyboard and pointer (wl_seat)"), "{said}");
    compositor.end();
    let said = last_words(&compositor);
    assert!(said.contains("no Wayland compositor answers at hz"), "{said}");
}
