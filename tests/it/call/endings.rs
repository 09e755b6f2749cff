//! Every way to end: the others hear of it, the file is finalised.

use std::net::UdpSocket;

use super::{assert_format, guest, host, party};
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{LIMIT, Program, side_by_side};
use crate::support::terminal::Terminal;

#[test]
fn each_signal_and_the_end_command_say_bye_and_finalise() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let (mut host, invite) = host(party("test", "off", "off", room.path()));
    let signals = [("Int", libc::SIGINT), ("Term", libc::SIGTERM), ("Hup", libc::SIGHUP)];
    let mut guests = signals.map(|(name, signal)| {
        let flags = party("test", "test:320x180", "off", &room.path().join(name));
        (guest(name, &invite, flags), name, signal)
    });
    for (guest, name, signal) in &mut guests {
        let (_, joined) =
            host.wait_for(name, |e| e["event"] == "peer_joined" && e["name"] == *name);
        guest.recorded(1.5);
        guest.signal(*signal);
        let (_, left) =
            host.wait_for("leave", |e| e["event"] == "peer_left" && e["id"] == joined["id"]);
        assert_eq!(left["reason"], "bye", "{name}");
    }
    for (guest, name, _) in &mut guests {
        let finished = guest.finished();
        assert_eq!(guest.wait("ended")["reason"], "signal", "{name}");
        finished.assert_nothing_lost();
        assert_format(&finished, 320, 180);
    }
    host.command("end");
    let finished = host.finished();
    assert_eq!(host.wait("ended")["reason"], "command");
    // The host's file is of sound alone.
    let answer = ffprobe(&finished.path());
    assert!(number(&stream(&answer, "audio")["duration"]) > 1.5);
    plays(&finished.path());
}

#[test]
fn the_end_key_and_the_duration_say_bye_and_finalise() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    // The dashboard's invite is for people; here port and key are known beforehand.
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let key = "AAAQEAYEAUDAOCAJBIFQYDIOB4";
    let mut args = vec!["host".to_owned(), "--listen".into(), address.clone()];
    args.extend(["--key".to_owned(), key.to_owned()]);
    let output = room.path().join("host");
    args.extend(party("test", "test:320x180", "off", &output));
    args.push("--yes".to_owned());
    let mut host = Terminal::start(&args, |_| ());
    host.shows("waiting for guests");
    let invite = format!("{address}#{key}");
    let mut flags = party("test", "test:320x180", "off", &room.path().join("short"));
    flags.extend(["--duration".to_owned(), "2s".to_owned()]);
    let mut short = guest("Short", &invite, flags);
    let flags = party("test", "test:320x180", "off", &room.path().join("long"));
    let mut long = guest("Long", &invite, flags);
    let finished = short.finished();
    assert_eq!(short.wait("ended")["reason"], "duration");
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
    assert!(finished.frames().abs_diff(60) <= 1, "2 s are 60 pictures, not {}", finished.frames());
    long.recorded(1.5);

    host.press("q");
    host.shows("End the call?");
    host.press("q");
    assert_eq!(long.wait("peer_left")["reason"], "bye");
    assert_eq!(host.exit_code(), 0);
    let folders: Vec<_> = std::fs::read_dir(&output).expect("a folder").collect();
    assert_eq!(folders.len(), 1);
    let recording = folders[0].as_ref().expect("an entry").path().join("local_recording.mp4");
    let answer = ffprobe(&recording);
    assert!(number(&stream(&answer, "video")["duration"]) > 2.0);
    plays(&recording);
    // A member that is left alone goes on until its person ends.
    long.more_stats(1);
    long.command("end");
    assert_format(&long.finished(), 320, 180);
}

#[test]
fn a_second_interrupt_aborts_and_the_file_still_plays() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "test:320x180", "off", room.path()));
    let mut program = Program::start("record", &args);
    program.recorded(3.0);
    let path = program.wait("recording_started")["path"].as_str().expect("a path").to_owned();
    program.signal(libc::SIGINT);
    program.wait_for_stderr("again aborts");
    program.signal(libc::SIGINT);
    assert_eq!(program.exit_code(), Some(130), "{}", program.account());
    let path = std::path::Path::new(&path);
    assert!(number(&stream(&ffprobe(path), "video")["duration"]) >= 1.0);
    plays(path);
}

/// A shell with jobs, as a person has it.
#[test]
fn ctrl_z_gives_the_shell_back_the_recording_goes_on_and_fg_brings_the_dashboard() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let program = env!("CARGO_BIN_EXE_hyperzoom");
    let output = room.path().join("out");
    let mut shell = Terminal::shell(|command| {
        command.env("PS1", "shell> ");
    });
    shell.shows("shell>");
    shell.press(&format!(
        "{program} record --yes --mic test --camera test:128x96 --speaker off --no-window --output {}\r",
        output.display()
    ));
    let recorded = || {
        let session = std::fs::read_dir(&output).into_iter().flatten().flatten().next();
        let movie = session.map(|s| s.path().join("local_recording.mp4"));
        movie.and_then(|path| std::fs::metadata(path).ok()).map_or(0, |m| m.len())
    };
    shell.shows("captured");
    shell.press("\u{1a}");
    shell.shows("fg brings the dashboard back");
    shell.shows("Stopped");
    // The shell answers, and the file grows all the same.
    let before = recorded();
    shell.press("echo it is $((40 + 2))\r");
    shell.shows("it is 42");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while recorded() <= before + 20_000 {
        assert!(std::time::Instant::now() < deadline, "{before} bytes, then {}", recorded());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    shell.press("fg\r");
    shell.shows("captured");
    shell.press("qq");
    shell.shows("shell>");
    shell.press("echo code $?\r");
    shell.shows("code 0");
    let session = std::fs::read_dir(&output).expect("the folder").next().expect("a session");
    plays(&session.expect("an entry").path().join("local_recording.mp4"));
    // While it is away it ends by itself, too, and the shell hears of it.
    shell.press("clear\r");
    shell.hides("code 0");
    shell.press(&format!(
        "{program} record --yes --duration 2s --mic test --camera off --speaker off --no-window --output {}\r",
        room.path().join("two").display()
    ));
    shell.shows("captured");
    shell.press("\u{1a}");
    shell.shows("Stopped");
    shell.shows("Recorded");
    // It says so before a prompt.
    let deadline = std::time::Instant::now() + LIMIT;
    while !shell.has("Done") {
        assert!(std::time::Instant::now() < deadline, "the shell does not hear of the end");
        shell.press("\r");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Closed without a word: a window's button, a killed tmux, a lost ssh.
#[test]
#[cfg(target_os = "linux")]
fn a_terminal_that_is_closed_ends_the_call_and_the_file_is_finalised() {
    use hyperzoom::recording::mp4;
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("out");
    let tmux = |args: &[&str]| {
        let mut command = std::process::Command::new("tmux");
        command.env("TMUX_TMPDIR", room.path()).env_remove("TMUX").env("HYPERZOOM_CONFIG", "");
        let output = command.args(args).output().expect("tmux is there");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let line = format!(
        "exec {} record --yes --mic test --camera test:128x96 --speaker off --no-window --output {}",
        env!("CARGO_BIN_EXE_hyperzoom"),
        output.display()
    );
    tmux(&["new-session", "-d", "-s", "call", "-x", "100", "-y", "30", &line]);
    let deadline = std::time::Instant::now() + LIMIT;
    let wait_for = |what: &str, mut there: Box<dyn FnMut() -> bool + '_>| {
        while !there() {
            assert!(std::time::Instant::now() < deadline, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let shown = || tmux(&["capture-pane", "-p", "-t", "call"]);
    let movie = || {
        let session = std::fs::read_dir(&output).ok()?.next()?.ok()?;
        Some(session.path().join("local_recording.mp4")).filter(|path| path.exists())
    };
    wait_for("it records", Box::new(|| shown().contains("captured") && movie().is_some()));
    let movie = movie().expect("it was just there");
    // What tmux started, and what that waits for.
    let started = tmux(&["list-panes", "-F", "#{pane_pid}"]).trim().to_owned();
    let program = processes().into_iter().find(|(_, parent, _)| *parent == started);
    let (program, ..) = program.expect("the program itself");
    tmux(&["kill-server"]);
    let finalised = || {
        let mut file = std::fs::File::open(&movie).ok();
        let summary = file.as_mut().and_then(|file| mp4::Summary::read(file).ok());
        summary.is_some_and(|summary| summary.finalised)
    };
    wait_for("the file is finalised", Box::new(finalised));
    plays(&movie);
    // Nothing stays behind.
    let over = |id: &str| processes().iter().all(|(found, _, state)| found != id || state == "Z");
    wait_for("both end", Box::new(|| over(&program) && over(&started)));
}

/// Of each process its number, its parent's, and its state (proc(5)).
#[cfg(target_os = "linux")]
fn processes() -> Vec<(String, String, String)> {
    let all = std::fs::read_dir("/proc").expect("Linux").flatten();
    let stats = all.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let parts = stats.filter_map(|stat| {
        let (id, rest) = stat.split_once(' ')?;
        // The name between may hold anything.
        let mut words = rest.rsplit_once(')')?.1.split_whitespace();
        let (state, parent) = (words.next()?, words.next()?);
        Some((id.to_owned(), parent.to_owned(), state.to_owned()))
    });
    parts.collect()
}
