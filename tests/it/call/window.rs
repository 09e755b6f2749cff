//! The preview window of a call dies, or its X server does: the call goes on.
//!
//! Needs Xvfb as the window's own tests do.

use std::path::PathBuf;

use super::{assert_format, guest, party};
use crate::support::process::{LIMIT, Program, side_by_side};
use crate::support::terminal::Terminal;
use crate::wayland::Compositor;
use crate::window::{Display, Manager, close_as_a_person_does, eventually};

/// The process that shows the program's window, or that a shell's program waits for.
fn child_of(program: i32) -> Option<i32> {
    let own: PathBuf = format!("/proc/{program}/task").into();
    let children = std::fs::read_dir(own).ok()?.flatten().filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("children")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    });
    children.into_iter().next()
}

fn window_is_up(display: &str) -> bool {
    let mut search = std::process::Command::new("xdotool");
    search.args(["search", "--name", "preview"]).env("DISPLAY", display);
    search.output().is_ok_and(|found| found.status.success() && !found.stdout.is_empty())
}

fn kill(window: i32) {
    // SAFETY: a plain system call; the process is a descendant of our child.
    assert_eq!(unsafe { libc::kill(window, libc::SIGKILL) }, 0);
}

/// What takes a window away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Window,
    XServer,
    Wayland,
}

/// One call whose window is killed, or whose X server is, or its Wayland compositor.
fn outlives(what: Ends) {
    let room = tempfile::tempdir().expect("a folder");
    let Some(mut display) = Display::start() else { return };
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--record-now", "--window"].map(str::to_owned).to_vec();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let mut compositor = None;
    if what == Ends::Wayland {
        compositor = Compositor::start(Some(&display));
        if compositor.is_none() {
            return;
        }
    }
    let mut host = Program::start_with("host", &args, |command| {
        match &compositor {
            Some(compositor) => command.envs(compositor.variables()),
            None => command.env("DISPLAY", &display.name),
        };
    });
    let start = std::time::Instant::now();
    let is_up = || match what {
        // A window of the compositor's is none of its X server's: the own picture is seen.
        Ends::Wayland => display.yellow() > 0.01,
        _ => window_is_up(&display.name),
    };
    while !is_up() {
        assert!(start.elapsed() < LIMIT, "no window\n{}", host.account());
        host.more_stats(1);
    }
    host.recorded(1.0);
    match what {
        Ends::Window => kill(child_of(host.id()).expect("a window's process")),
        Ends::XServer => {
            display.server.kill().expect("our own server");
            let _ = display.server.wait();
        }
        Ends::Wayland => compositor.as_mut().expect("it runs").end(),
    }
    let (_, told) = host.wait_for("word of the window", |e| {
        e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.contains("window"))
    });
    let why = match what {
        Ends::Window => "its process ended (signal: 9 (SIGKILL))",
        Ends::XServer | Ends::Wayland => "its display went away",
    };
    assert_eq!(told["what"], format!("the preview window ended: {why}"));
    assert_eq!(told["try"], "the call goes on; press w to open it again");
    let before = host.all("stats").len();
    host.more_stats(2);
    let stats = host.all("stats");
    let seconds = |i: usize| stats[i]["recording"]["seconds"].as_f64().expect("a number");
    assert!(seconds(stats.len() - 1) > seconds(before - 1) + 1.0, "the recording goes on");
    host.command("end");
    let finished = host.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
}

#[test]
fn a_killed_window_leaves_the_dashboard_and_a_key_brings_it_back() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let Some(display) = crate::window::Display::start() else { return };
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--yes", "--record-now", "--window"]
            .map(str::to_owned)
            .to_vec();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let name = display.name.clone();
    let mut host = Terminal::start(&args, |command| {
        command.env("DISPLAY", &name);
        command.env("XDG_STATE_HOME", room.path());
    });
    host.shows("captured");
    host.shows("close window");
    // What the terminal started waits for the program, whose child the window is.
    let program = child_of(host.id()).expect("the program itself");
    let start = std::time::Instant::now();
    while !window_is_up(&display.name) {
        assert!(start.elapsed() < LIMIT, "no window");
    }
    kill(child_of(program).expect("a window's process"));
    host.shows("the preview window ended");
    host.hides("close window");
    // The dashboard is whole, and obeys.
    host.press("m");
    host.shows("MUTED");
    host.press("w");
    host.shows("close window");
    host.press("w");
    host.hides("close window");
    host.press("qy");
    host.shows("Recorded");
    assert_eq!(host.exit_code(), 0);
    host.is_restored();
}

#[test]
fn without_a_display_the_call_says_why_there_is_no_window_and_goes_on() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--yes", "--record-now", "--window"]
            .map(str::to_owned)
            .into();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let mut host = Terminal::start(&args, |command| {
        command.env("DISPLAY", ":64999");
        command.env("XDG_STATE_HOME", room.path());
    });
    // Whole, though the line is longer than the terminal is wide.
    host.shows("the preview window did not start: no X server answers at :64999");
    host.shows("press w to try again");
    host.press("m");
    host.shows("MUTED");
    host.press("qy");
    host.shows("Recorded");
    assert_eq!(host.exit_code(), 0);
}

/// Where the test picture's yellow bar is on the screen: the mean of its pixels' columns.
fn yellow_column(display: &Display) -> f64 {
    let is_yellow = |rgb: &[u8]| [191u8, 191, 0].iter().zip(rgb).all(|(a, b)| a.abs_diff(*b) <= 12);
    let screen = display.screenshot();
    let columns: Vec<usize> = (0..screen.len() / 3)
        .filter(|at| is_yellow(&screen[at * 3..at * 3 + 3]))
        .map(|at| at % 1280)
        .collect();
    columns.iter().sum::<usize>() as f64 / columns.len().max(1) as f64
}

#[test]
fn before_the_call_w_opens_the_window_which_goes_on_into_the_call() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let Some(display) = Display::start() else { return };
    // The call alone would open none.
    let mut args: Vec<String> = ["host", "--listen", "127.0.0.1:0", "--name", "Ana", "--no-window"]
        .map(str::to_owned)
        .into();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let mut ana = Terminal::start(&args, |command| {
        command.env("DISPLAY", &display.name);
        command.env("XDG_STATE_HOME", room.path());
    });
    ana.shows("Put on headphones");
    ana.press("\r");
    ana.shows("test picture, 320x180, 30 fps");
    assert!(!window_is_up(&display.name));
    ana.press("w");
    eventually("the own picture", || display.yellow() > 0.01);
    // The second bar from the left, in a mirror.
    let column = yellow_column(&display);
    assert!(column > 800.0, "{column}");

    // It is killed, closed by its own key and by the terminal's: the screen is as it was.
    let program = child_of(ana.id()).expect("the program itself");
    kill(child_of(program).expect("a window's process"));
    ana.shows("no preview window: its process ended");
    eventually("no window", || !window_is_up(&display.name));
    ana.press("w");
    ana.hides("no preview window");
    eventually("the window again", || display.yellow() > 0.01);
    display.press("m");
    eventually("which keys it has", || display.plate() > 0.02);
    display.press("w");
    eventually("no window", || !window_is_up(&display.name));
    for wanted in [true, false, true] {
        ana.press("w");
        eventually("the terminal's key", || window_is_up(&display.name) == wanted);
    }
    eventually("the own picture", || display.yellow() > 0.01);

    let window = child_of(program);
    ana.press("\r");
    ana.shows("waiting for guests");
    ana.shows("close window");
    assert_eq!(child_of(program), window, "it is the same one");
    // The dashboard's keys are its own now.
    display.press("c");
    ana.shows("camera off");
    eventually("a card", || display.yellow() < 0.001);
    display.press("c");
    eventually("the picture again", || display.yellow() > 0.01);
    ana.press("qy");
    assert_eq!(ana.exit_code(), 0);
    assert!(!window_is_up(&display.name));
}

#[test]
fn before_the_call_the_window_that_cannot_be_opened_is_told_and_one_that_is_open_ends_with_the_program()
 {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--name", "Ana"].map(str::to_owned).into();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let start = |display: Option<&str>| {
        Terminal::start(&args, |command| {
            command.env("XDG_STATE_HOME", room.path());
            if let Some(display) = display {
                command.env("DISPLAY", display);
            }
        })
    };
    let mut ana = start(None);
    ana.shows("Put on headphones");
    ana.press("\r");
    ana.shows("test picture, 320x180, 30 fps");
    ana.press("w");
    ana.shows("there is no display here");
    ana.shows("press w to try again");
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
    let Some(display) = Display::start() else { return };
    let mut ana = start(Some(&display.name));
    ana.shows("test picture, 320x180, 30 fps");
    ana.press("w");
    eventually("the own picture", || display.yellow() > 0.01);
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
    ana.is_restored();
    eventually("no window", || !window_is_up(&display.name));
}

#[test]
fn the_call_outlives_its_window_its_x_server_and_its_compositor() {
    let _place = side_by_side();
    std::thread::scope(|all| {
        for what in [Ends::Window, Ends::XServer, Ends::Wayland] {
            all.spawn(move || outlives(what));
        }
    });
}

#[test]
fn the_window_s_keys_are_the_terminal_s_and_w_brings_a_closed_one_back() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let Some(display) = Display::start() else { return };
    let Some(_manager) = Manager::start(&display) else { return };
    let free = std::net::UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let mut args: Vec<String> =
        ["host", "--listen", &address, "--name", "Ana", "--yes", "--window", "--no-port-mapping"]
            .map(str::to_owned)
            .into();
    args.extend(party("test", "test:320x180", "off", &room.path().join("ana")));
    let mut ana = Terminal::start(&args, |command| {
        command.env("DISPLAY", &display.name);
        command.env("XDG_STATE_HOME", room.path());
    });
    ana.shows("waiting for guests");
    eventually("a window", || window_is_up(&display.name));

    // Who knocks is drawn over the pictures and let in from there.
    let flags = party("test", "test:320x180", "off", &room.path().join("bob"));
    let mut bob = guest("Bob", &address, flags);
    let code = bob.wait("knock_code")["code"].as_str().expect("a text").to_owned();
    ana.shows(&format!("code {code}: Bob"));
    eventually("a knock on the picture", || display.alert() > 0.02);
    display.press("a");
    ana.shows("in the call");
    bob.recorded(1.0);
    eventually("an answered knock", || display.alert() < 0.01);

    display.press("m");
    ana.shows("MUTED");
    display.press("m");
    ana.hides("MUTED");
    for shown in ["Bob -3 dB", "Bob -6 dB"] {
        display.press("minus");
        ana.shows(shown);
    }
    display.press("x");
    ana.shows("Bob (muted");
    display.press("plus");
    ana.shows("Bob -6 dB");
    display.press("b");
    ana.shows("marker 1");
    // Letters of a note are no keys, once the window knows that it is one.
    eventually("nothing said of the last marker", || display.plate() == 0.0);
    display.press("n");
    eventually("a line to write in", || display.plate() > 0.02);
    for key in ["m", "f", "Return"] {
        display.press(key);
    }
    ana.shows(": mf");
    display.press("i");
    ana.shows("the invite line is copied");
    // The terminal knows that the note is done before the window does.
    eventually("no line to write in", || display.plate() == 0.0);
    display.press("f");
    display.is_sized(|size| size == (1280, 800));
    display.press("f");
    display.is_sized(|size| size == (854, 480));

    // A person closes it: the call goes on, and w in the terminal brings it back.
    close_as_a_person_does(&display);
    ana.shows("the preview window was closed");
    eventually("no window", || !window_is_up(&display.name));
    bob.more_stats(2);
    ana.shows("in the call");
    ana.press("w");
    eventually("the window again", || window_is_up(&display.name));
    // And w in the window closes it.
    display.press("w");
    eventually("no window", || !window_is_up(&display.name));
    ana.press("w");
    eventually("the window again", || window_is_up(&display.name));
    display.press("q");
    eventually("the question", || display.alert() > 0.02);
    display.press("q");
    assert_eq!(bob.wait("peer_left")["reason"], "bye");
    assert_eq!(ana.exit_code(), 0);
    bob.command("end");
    bob.finished();
}
