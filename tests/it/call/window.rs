//! The preview window of a call dies, or its X server does: the call goes on.
//!
//! Needs Xvfb as the window's own tests do.

use std::path::PathBuf;

use super::{assert_format, party};
use crate::support::process::{LIMIT, Program, side_by_side};

/// The process that shows the program's window.
fn child_of(program: &Program) -> Option<i32> {
    let own: PathBuf = format!("/proc/{}/task", program.id()).into();
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

/// One call whose window is killed, or whose X server is.
fn outlives(kill_the_server: bool) {
    let room = tempfile::tempdir().expect("a folder");
    let Some(mut display) = crate::window::Display::start() else { return };
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--record-now", "--window"].map(str::to_owned).to_vec();
    args.extend(party("test", "test:320x180", "off", room.path()));
    let name = display.name.clone();
    let mut host = Program::start_with("host", &args, |command| {
        command.env("DISPLAY", &name);
    });
    let start = std::time::Instant::now();
    while !window_is_up(&display.name) {
        assert!(start.elapsed() < LIMIT, "no window\n{}", host.account());
        host.more_stats(1);
    }
    host.recorded(1.0);
    if kill_the_server {
        display.server.kill().expect("our own server");
        let _ = display.server.wait();
    } else {
        let child = child_of(&host).expect("a window's process");
        // SAFETY: a plain system call; the process is a child of our child.
        assert_eq!(unsafe { libc::kill(child, libc::SIGKILL) }, 0);
    }
    let (_, told) = host.wait_for("word of the window", |e| {
        e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.contains("window"))
    });
    assert!(told["try"].as_str().is_some_and(|t| t.contains("press w")), "{told}");
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
fn the_call_outlives_its_window_and_its_x_server() {
    let _place = side_by_side();
    std::thread::scope(|both| {
        for server in [false, true] {
            both.spawn(move || outlives(server));
        }
    });
}
