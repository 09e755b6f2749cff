//! The real preview window under Xvfb: what is on the screen, its keys, and its ways to end.
//!
//! Needs Xvfb, xdotool and ImageMagick's `import`; says so and does nothing where they are missing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperzoom::ui::window::process::{WindowEvent, WindowProcess};
use hyperzoom::ui::window::wire::{Key, Overlay, TileInfo};
use hyperzoom::video::image::I420;
use hyperzoom::video::testcard::{TestCard, read_number};

/// Generous: the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);
const SCREEN: (u32, u32) = (1280, 800);

pub fn is_installed(tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|p| p.join(tool).exists()));
    if !found {
        eprintln!("{tool} is not installed: the window is not tested");
    }
    found
}

/// An X server of its own, ended with the test.
pub struct Display {
    pub server: Child,
    pub name: String,
}

impl Display {
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    fn start_with(more: &[&str]) -> Option<Self> {
        if !["Xvfb", "xdotool", "import"].into_iter().all(is_installed) {
            return None;
        }
        let mut server = Command::new("Xvfb")
            // Without -noreset the end of the only client resets the server, and whoever connects
            // at that moment is thrown out: our looks would end the window that they wait for.
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{}x{}x24", SCREEN.0, SCREEN.1))
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvfb starts");
        let stdout = server.stdout.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("Xvfb tells its display");
        Some(Self { server, name: format!(":{}", line.trim()) })
    }

    fn window(&self) -> WindowProcess {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
        command.arg("window").env("DISPLAY", &self.name).env_remove("WAYLAND_DISPLAY");
        WindowProcess::spawn_command(command).expect("the program starts")
    }

    /// The screen's pixels, three bytes each.
    pub fn screenshot(&self) -> Vec<u8> {
        let output = Command::new("import")
            .args(["-display", &self.name, "-window", "root", "-depth", "8", "rgb:-"])
            .output()
            .expect("import runs");
        assert_eq!(output.stdout.len(), (SCREEN.0 * SCREEN.1 * 3) as usize, "a whole screen");
        output.stdout
    }

    pub fn xdotool(&self, args: &[&str]) -> bool {
        self.ask(args).is_some()
    }

    /// What xdotool answers, if it succeeds.
    fn ask(&self, args: &[&str]) -> Option<String> {
        let mut command = Command::new("xdotool");
        command.args(args).env("DISPLAY", &self.name).stdin(Stdio::null());
        let output = command.output().expect("xdotool runs");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Presses a key in the window.
    #[track_caller]
    pub fn press(&self, key: &str) {
        assert!(self.xdotool(&["search", "--name", "preview", "key", key]), "no window");
    }

    /// Width and height of the window.
    fn size(&self) -> Option<(u32, u32)> {
        let answer = self.ask(&["search", "--name", "preview", "getwindowgeometry", "--shell"])?;
        let side = |name: &str| {
            let line = answer.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|digits| digits.parse().ok())
        };
        Some((side("WIDTH=")?, side("HEIGHT=")?))
    }

    /// Waits until the window is that large.
    #[track_caller]
    pub fn is_sized(&self, wanted: impl Fn((u32, u32)) -> bool) {
        eventually("another size", || self.size().is_some_and(&wanted));
    }

    /// Share of the screen that has what wants an answer.
    pub fn alert(&self) -> f64 {
        share(&self.screenshot(), [0xE0, 0x60, 0x30])
    }

    /// Share of the screen that is the test picture's yellow bar.
    pub fn yellow(&self) -> f64 {
        share(&self.screenshot(), [191, 191, 0])
    }

    /// Share of the screen that has what is only told.
    pub fn plate(&self) -> f64 {
        // Exactly: the test picture's ground is only 12 codes away.
        let exact = |rgb: &&[u8]| *rgb == [0x18, 0x20, 0x28];
        let screen = self.screenshot();
        screen.chunks_exact(3).filter(exact).count() as f64 / f64::from(SCREEN.0 * SCREEN.1)
    }
}

/// A window manager on a display, ended with the test.
pub struct Manager(Child);

impl Manager {
    pub fn start(display: &Display) -> Option<Self> {
        if !is_installed("openbox") {
            return None;
        }
        // It says how many desktops there are long before it manages windows, and one that is mapped in
        // between is often never shown. What it is told to start, it starts when it is ready.
        let room = tempfile::tempdir().expect("a folder");
        let ready = room.path().join("ready");
        let mut command = Command::new("openbox");
        command.args(["--sm-disable", "--startup", &format!("touch {}", ready.display())]);
        command.env("DISPLAY", &display.name);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let manager = Self(command.spawn().expect("openbox starts"));
        eventually("a window manager", || ready.exists());
        Some(manager)
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Asks until the answer is yes.
#[track_caller]
pub fn eventually(what: &str, mut yes: impl FnMut() -> bool) {
    let start = Instant::now();
    while !yes() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
    }
}

pub fn luma_of(screen: &[u8]) -> I420 {
    let mut image = I420::black(SCREEN.0, SCREEN.1);
    let (luma, _, _) = image.planes_mut();
    for (code, rgb) in luma.iter_mut().zip(screen.chunks_exact(3)) {
        let [r, g, b] = [rgb[0], rgb[1], rgb[2]].map(f64::from);
        *code = (16.0 + (0.2126 * r + 0.7152 * g + 0.0722 * b) * 219.0 / 255.0) as u8;
    }
    image
}

/// Share of the screen's pixels within 12 codes of a colour.
fn share(screen: &[u8], colour: [u8; 3]) -> f64 {
    let near = |rgb: &&[u8]| rgb.iter().zip(colour).all(|(a, b)| a.abs_diff(b) <= 12);
    screen.chunks_exact(3).filter(near).count() as f64 / f64::from(SCREEN.0 * SCREEN.1)
}

pub fn card(number: u64) -> Arc<I420> {
    let mut image = I420::default();
    TestCard::new(854, 480).draw(number, 45_296.0, &mut image);
    Arc::new(image)
}

pub fn named(name: &str) -> TileInfo {
    TileInfo { name: name.to_owned(), ..TileInfo::default() }
}

#[test]
fn pictures_reach_the_screen_keys_come_back_and_death_is_told() {
    let Some(display) = Display::start() else { return };
    let window = display.window();
    window.set_layout(&[1]);
    window.set_info(1, named("Ann"));
    window.show(1, card(4711));
    eventually("the test picture's number on the screen", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        read_number(&luma_of(&display.screenshot())) == Some(4711)
    });
    let yellow = share(&display.screenshot(), [191, 191, 0]);
    assert!((0.01..0.05).contains(&yellow), "an eighth of the bars is yellow, got {yellow}");

    // A grid: the own picture, one whose camera is off, one that is silent.
    window.set_layout(&[0, 1, 2]);
    window.set_info(0, TileInfo { own: true, ..named("me") });
    window.set_info(1, TileInfo { camera_off: true, ..named("Ann") });
    window.set_info(2, TileInfo { silent: true, ..named("Ben") });
    for tile in [0, 2] {
        window.show(tile, card(1));
    }
    eventually("a card for the camera that is off, a warning for the silent one", || {
        let screen = display.screenshot();
        share(&screen, [0x28, 0x2C, 0x34]) > 0.05 && share(&screen, [0xE0, 0x60, 0x30]) > 0.003
    });

    eventually("a key", || {
        display.press("m");
        window.wait_event(Duration::from_millis(500)) == Some(WindowEvent::Key(Key::Char('m')))
    });
    while window.try_event().is_some() {}
    for (name, key) in [
        ("b", Key::Char('b')),
        ("plus", Key::Char('+')),
        ("question", Key::Char('?')),
        ("Tab", Key::Tab),
        ("Return", Key::Enter),
        ("BackSpace", Key::Backspace),
        ("Escape", Key::Escape),
    ] {
        display.press(name);
        let told = std::iter::from_fn(|| window.wait_event(LIMIT));
        // The last of those above may still be on its way.
        let mut told = told.skip_while(|event| *event == WindowEvent::Key(Key::Char('m')));
        assert_eq!(told.next(), Some(WindowEvent::Key(key)), "{name}");
    }

    // What wants an answer lies over the pictures, and goes again.
    assert!(display.alert() < 0.02, "{}", display.alert());
    let lines = vec!["Dan wants to come in".to_owned(), "a lets in, r refuses".to_owned()];
    window.set_overlay(Overlay { alert: true, lines, ..Overlay::default() });
    eventually("a question over the pictures", || display.alert() > 0.03);
    window.set_overlay(Overlay { help: true, ..Overlay::default() });
    eventually("the keys over the pictures", || display.plate() > 0.1 && display.alert() < 0.02);
    window.set_overlay(Overlay::default());

    let killed = Command::new("kill").args(["-9", &window.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let end = loop {
        match window.wait_event(LIMIT) {
            Some(WindowEvent::Key(_)) => {}
            end => break end,
        }
    };
    assert!(matches!(&end, Some(WindowEvent::Died { why }) if why.contains("SIGKILL")), "{end:?}");
    assert!(!window.is_alive());
    window.show(1, card(1));
}

#[test]
fn a_lost_display_ends_the_window_and_is_told() {
    let Some(mut display) = Display::start() else { return };
    let window = display.window();
    eventually("the window", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        display.xdotool(&["search", "--name", "preview"])
    });
    display.server.kill().expect("our own server");
    let _ = display.server.wait();
    let why = "its display went away".to_owned();
    assert_eq!(window.wait_event(LIMIT), Some(WindowEvent::Died { why }));
}

/// Why there is no window with these variables.
fn refusal(variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
    for name in ["DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"] {
        command.env_remove(name);
    }
    command.arg("window").envs(variables.iter().copied());
    let window = WindowProcess::spawn_command(command).expect("the program starts");
    let event = window.wait_event(LIMIT);
    let Some(WindowEvent::NotOpened { why }) = event else { panic!("{event:?}") };
    why
}

#[test]
fn without_a_display_the_reason_is_told() {
    // Without the library, that is the reason.
    if !is_installed("Xvfb") {
        return;
    }
    assert_eq!(refusal(&[]), "there is no display here (DISPLAY is not set)");
    assert_eq!(refusal(&[("DISPLAY", ":64999")]), "no X server answers at :64999");
    assert_eq!(
        refusal(&[("WAYLAND_DISPLAY", "nowhere"), ("XDG_RUNTIME_DIR", "/nonexistent")]),
        "no Wayland compositor answers at nowhere, and there is no display here (DISPLAY is not set)"
    );
}

#[test]
fn a_display_that_refuses_is_told_from_one_that_is_not_there() {
    let room = tempfile::tempdir().expect("a folder");
    let keys = room.path().join("keys");
    // One key, as xauth writes it: any address, any display, its name, 16 bytes.
    let mut key = vec![0xFF, 0xFF, 0, 0, 0, 0, 0, 18];
    key.extend(b"MIT-MAGIC-COOKIE-1\0\x10");
    key.extend([7; 16]);
    std::fs::write(&keys, key).expect("the disk has room");
    let Some(display) = Display::start_with(&["-auth", &keys.display().to_string()]) else {
        return;
    };
    let none = room.path().join("none").display().to_string();
    let why = refusal(&[("DISPLAY", &display.name), ("XAUTHORITY", &none)]);
    let wanted = "refuses it: its key is not in XAUTHORITY or ~/.Xauthority";
    assert_eq!(why, format!("the X server {} {wanted}", display.name));
}

#[test]
fn the_end_of_the_call_ends_the_window() {
    let Some(display) = Display::start() else { return };
    let window = display.window();
    eventually("the window", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        display.xdotool(&["search", "--name", "preview"])
    });
    let id = window.id();
    assert!(Path::new(&format!("/proc/{id}")).exists());
    drop(window);
    assert!(!Path::new(&format!("/proc/{id}")).exists());
}

/// The test picture alone in a new window.
fn with_a_picture(display: &Display) -> WindowProcess {
    let window = display.window();
    window.set_layout(&[1]);
    window.set_info(1, named("Ann"));
    window.show(1, card(815));
    eventually("the test picture", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        read_number(&luma_of(&display.screenshot())) == Some(815)
    });
    window
}

fn the_whole_screen(display: &Display) {
    let window = with_a_picture(display);
    let (small, full) = (display.yellow(), |size| size == SCREEN);
    display.press("f");
    display.is_sized(full);
    eventually("the picture over the whole screen", || {
        // As high as its width allows: 1280x720 instead of 854x480.
        read_number(&luma_of(&display.screenshot())) == Some(815) && display.yellow() > 2.1 * small
    });
    display.press("f");
    display.is_sized(|size| size == (854, 480));
    assert!(display.xdotool(&["search", "--name", "preview", "keydown", "F11"]));
    display.is_sized(full);
    assert!(display.xdotool(&["search", "--name", "preview", "keyup", "F11"]));
    display.press("Escape");
    display.is_sized(|size| size == (854, 480));
    // All of that was the window's own.
    assert_eq!(window.try_event(), None);

    // A person pulls at its edge.
    assert!(display.xdotool(&["search", "--name", "preview", "windowsize", "1100", "650"]));
    display.is_sized(|size| size == (1100, 650));
    eventually("the picture in its new size", || {
        assert!(window.is_alive(), "{:?}", window.try_event());
        // 1100x618.
        read_number(&luma_of(&display.screenshot())) == Some(815)
            && (1.5..1.8).contains(&(display.yellow() / small))
    });
}

#[test]
fn the_window_takes_the_whole_screen_where_nobody_manages_windows() {
    let Some(display) = Display::start() else { return };
    the_whole_screen(&display);
}

#[test]
fn the_window_manager_gives_the_whole_screen_and_a_person_closes_the_window() {
    let Some(display) = Display::start() else { return };
    let Some(_manager) = Manager::start(&display) else { return };
    the_whole_screen(&display);
    let window = with_a_picture(&display);
    close_as_a_person_does(&display);
    assert_eq!(window.wait_event(LIMIT), Some(WindowEvent::Closed));
    assert!(!window.is_alive());
}

/// With the window manager's own key: it asks the window to close, as its button does.
#[track_caller]
pub fn close_as_a_person_does(display: &Display) {
    assert!(display.xdotool(&["search", "--name", "preview", "windowactivate", "--sync"]));
    assert!(display.xdotool(&["key", "alt+F4"]));
}
