//! The real preview window under Xvfb: what is on the screen, its keys, and its ways to end.
//!
//! Needs Xvfb, xdotool and ImageMagick's `import`; says so and does nothing where they are missing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperzoom::ui::window::process::{WindowEvent, WindowProcess};
use hyperzoom::ui::window::wire::TileInfo;
use hyperzoom::video::image::I420;
use hyperzoom::video::testcard::{TestCard, read_number};

/// Generous: the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(60);
const SCREEN: (u32, u32) = (1280, 800);

/// An X server of its own, ended with the test.
pub struct Display {
    pub server: Child,
    pub name: String,
}

impl Display {
    pub fn start() -> Option<Self> {
        for tool in ["Xvfb", "xdotool", "import"] {
            let found = std::env::var_os("PATH")
                .is_some_and(|path| std::env::split_paths(&path).any(|p| p.join(tool).exists()));
            if !found {
                eprintln!("{tool} is not installed: the window is not tested");
                return None;
            }
        }
        let mut server = Command::new("Xvfb")
            // Without -noreset the end of the only client resets the server, and whoever connects
            // at that moment is thrown out: our looks would end the window that they wait for.
            .args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-screen", "0"])
            .arg(format!("{}x{}x24", SCREEN.0, SCREEN.1))
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
    fn screenshot(&self) -> Vec<u8> {
        let output = Command::new("import")
            .args(["-display", &self.name, "-window", "root", "-depth", "8", "rgb:-"])
            .output()
            .expect("import runs");
        assert_eq!(output.stdout.len(), (SCREEN.0 * SCREEN.1 * 3) as usize, "a whole screen");
        output.stdout
    }

    fn xdotool(&self, args: &[&str]) -> bool {
        let mut command = Command::new("xdotool");
        command.args(args).env("DISPLAY", &self.name).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().expect("xdotool runs").success()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// Asks until the answer is yes.
fn eventually(what: &str, mut yes: impl FnMut() -> bool) {
    let start = Instant::now();
    while !yes() {
        assert!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
    }
}

fn luma_of(screen: &[u8]) -> I420 {
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

fn card(number: u64) -> Arc<I420> {
    let mut image = I420::default();
    TestCard::new(854, 480).draw(number, 45_296.0, &mut image);
    Arc::new(image)
}

fn named(name: &str) -> TileInfo {
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
        assert!(display.xdotool(&["search", "--name", "preview", "key", "m"]));
        window.wait_event(Duration::from_millis(500)) == Some(WindowEvent::Key('m'))
    });

    let killed = Command::new("kill").args(["-9", &window.id().to_string()]).status();
    assert!(killed.expect("kill runs").success());
    let end = loop {
        match window.wait_event(LIMIT) {
            Some(WindowEvent::Key(_)) => {}
            end => break end,
        }
    };
    assert!(
        matches!(&end, Some(WindowEvent::Died { status, .. }) if status.contains('9')),
        "{end:?}"
    );
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
    assert!(matches!(window.wait_event(LIMIT), Some(WindowEvent::Died { .. })));
}

#[test]
fn without_a_display_the_reason_is_told() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hyperzoom"));
    command.arg("window").env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
    let window = WindowProcess::spawn_command(command).expect("the program starts");
    let event = window.wait_event(LIMIT);
    let Some(WindowEvent::Died { status, stderr }) = event else { panic!("{event:?}") };
    assert!(status.contains('1') && stderr.contains("preview window"), "{status}: {stderr}");
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
