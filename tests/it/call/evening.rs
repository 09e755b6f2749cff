//! A whole evening by keys: the screen before the call, the call, the screen after it.

use std::net::UdpSocket;

use super::{guest, party};
use crate::support::process::side_by_side;
use crate::support::terminal::Terminal;

const UP: &str = "\u{1b}[A";
const RIGHT: &str = "\u{1b}[C";

#[test]
fn an_evening_by_keys_from_the_headphones_to_the_verdict() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let free = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let output = room.path().join("ana");
    let mut args: Vec<String> =
        ["host", "--listen", &address, "--name", "Ana"].map(str::to_owned).into();
    args.extend(party("test", "test:320x180", "off", &output));
    let state = room.path().join("state");
    let at_home = |command: &mut portable_pty::CommandBuilder| {
        command.env("XDG_STATE_HOME", &state);
    };

    // Once about headphones; the devices; who comes back is not asked again.
    let mut ana = Terminal::start(&args, at_home);
    ana.shows("Put on headphones");
    ana.press("\r");
    ana.hides("Put on headphones");
    ana.shows("test picture, 320x180, 30 fps");
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
    ana.is_restored();
    assert!(!output.exists(), "nothing was begun");
    let mut ana = Terminal::start(&args, at_home);
    ana.shows("test picture, 320x180, 30 fps");
    ana.shows("an hour · openh264, 320x180, AAC");
    ana.shows("free in ");
    // The microphone is switched off and on again, as one goes through a list.
    ana.shows("‹ test sound ›");
    ana.press(RIGHT);
    ana.shows("nothing is opened");
    ana.press(RIGHT);
    ana.shows("‹ test sound ›");
    ana.press("t");
    ana.shows("say something");
    ana.press(UP);
    ana.press("\r");
    ana.shows("waiting for guests");

    // A guest without the key knocks; the code is the one that the guest sees.
    let flags = party("test", "test:320x180", "off", &room.path().join("bob"));
    let mut bob = guest("Bob", &address, flags);
    let code = bob.wait("knock_code")["code"].as_str().expect("a text").to_owned();
    ana.shows(&format!("code {code}: Bob"));
    ana.press("a");
    ana.shows("in the call");
    bob.recorded(1.0);

    ana.press("m");
    ana.shows("MUTED");
    ana.press("m");
    ana.hides("MUTED");
    for shown in ["Bob -3 dB", "Bob -6 dB"] {
        ana.press("-");
        ana.shows(shown);
    }
    ana.press("x");
    ana.shows("Bob (muted");
    ana.press("x");
    ana.shows("Bob -6 dB");
    ana.press("d");
    ana.shows("from mouth to ear");
    ana.press("\u{1b}");
    ana.hides("from mouth to ear");
    ana.press("b");
    ana.shows("marker 1 at ");
    // What is typed into a note is no command.
    ana.press("nmute q");
    ana.shows("Marker: mute q");
    ana.press("\r");
    ana.shows("marker 2 at ");
    let shown_at = ana.text_after("marker 1 at ", "HH:MM:SS:FF".len());
    ana.press("?");
    ana.shows("close this help");
    ana.press("?");

    // Push-to-talk, held in a terminal that tells when a key is let go.
    ana.press("p");
    ana.shows("NOT SENT, RECORDED");
    ana.press("\u{1b}[32;1:1u");
    ana.shows("ON AIR");
    ana.press("\u{1b}[32;1:3u");
    ana.shows("NOT SENT, RECORDED");
    ana.press("p");
    ana.hides("NOT SENT");

    ana.press("q");
    ana.shows("End the call?");
    ana.press("n");
    ana.hides("End the call?");
    ana.press("qy");
    assert_eq!(bob.wait("peer_left")["reason"], "bye");
    ana.shows("the recording is finished");
    ana.shows("everything holds");
    ana.shows("the session's clock");
    ana.press("\r");
    assert_eq!(ana.exit_code(), 0);
    ana.shows("check   everything holds");
    ana.is_restored();

    let folder = std::fs::read_dir(&output).expect("a folder").next().expect("an entry");
    let folder = folder.expect("an entry").path();
    let metadata = folder.join("session_metadata.json");
    let text = std::fs::read_to_string(metadata).expect("it is there");
    // The line that the person saw is what the editor reads.
    let times = folder.join("sync_timecodes.txt");
    let times = std::fs::read_to_string(times).expect("it is there");
    let code = times.lines().find(|line| line.contains("marker 1")).expect("the marker");
    let code = code.split_whitespace().next().expect("a timecode");
    assert_eq!(shown_at, code, "{times}");
    assert!(text.contains("marker 1") && text.contains("marker 2: mute q"), "{text}");
    bob.command("end");
    bob.finished();
}

#[test]
fn camera_window_and_copy_keys_do_what_they_say_in_a_call() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("ana");
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--name", "Ana", "--yes"].map(str::to_owned).into();
    args.extend(party("test", "test:320x180", "off", &output));
    let mut ana = Terminal::start(&args, |command| command.env("XDG_STATE_HOME", room.path()));
    ana.shows("waiting for guests");
    // The line that is copied is one that lets a guest in.
    ana.press("i");
    ana.shows("the invite line is copied");
    let line = ana.copied();
    assert!(line.starts_with("hyperzoom join '127.0.0.1:"), "{line}");
    let invite = line.trim_start_matches("hyperzoom join ").trim_matches('\'');
    let flags = party("test", "off", "off", &room.path().join("bob"));
    let mut bob = guest("Bob", invite, flags);
    ana.shows("in the call");
    bob.recorded(1.0);
    // Whether the guest gets pictures, each time after what was known last.
    let mut known = 0.0;
    let mut sees = |pictures: bool| {
        let (_, event) = bob.wait_for("the guest to see it", |e| {
            let fps = e["peers"][0]["video"]["fps"].as_f64().unwrap_or(0.0);
            let later = e["t"].as_f64().is_some_and(|t| t > known);
            e["event"] == "stats" && later && (fps > 1.0) == pictures
        });
        known = event["t"].as_f64().expect("a time");
    };
    sees(true);
    ana.press("c");
    ana.shows("CAMERA OFF");
    sees(false);
    ana.press("c");
    ana.hides("CAMERA OFF");
    sees(true);
    // There is no display here, and it says so.
    ana.press("w");
    ana.shows("the preview window did not start: there is no display here");
    ana.shows("in the call");

    ana.press("qy");
    ana.shows("Recorded");
    assert_eq!(ana.exit_code(), 0);
    ana.is_restored();
    let folder = std::fs::read_dir(&output).expect("a folder").next().expect("an entry");
    let metadata = folder.expect("an entry").path().join("session_metadata.json");
    let text = std::fs::read_to_string(metadata).expect("it is there");
    let metadata: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let events = metadata["hyperzoom"]["events"].as_array().expect("a list");
    let told = |what: &str| events.iter().any(|e| e["what"].as_str() == Some(what));
    assert!(told("Ana's camera off") && told("Ana's camera on"), "{text}");
    bob.command("end");
    bob.finished();
}

#[test]
fn ctrl_z_before_the_call_gives_the_shell_back_and_fg_brings_the_screen() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut shell = Terminal::shell(|command| {
        command.env("PS1", "shell> ");
        command.env("XDG_STATE_HOME", room.path());
    });
    shell.shows("shell>");
    shell.press(&format!(
        "{} host --listen 127.0.0.1:0 --mic off --camera off --speaker off --output {}\r",
        env!("CARGO_BIN_EXE_hyperzoom"),
        room.path().join("out").display()
    ));
    shell.shows("Put on headphones");
    shell.press("\u{1a}");
    shell.shows("fg brings it back");
    shell.shows("Stopped");
    shell.press("echo it is $((40 + 2))\r");
    shell.shows("it is 42");
    shell.press("fg\r");
    shell.shows("Put on headphones");
    shell.press("\r");
    shell.shows("nothing is opened");
    shell.press("q");
    shell.shows("shell>");
    shell.press("echo code $?\r");
    shell.shows("code 0");
}

#[test]
fn a_signal_before_the_call_gives_the_terminal_back() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut args = vec!["join".to_owned()];
    args.extend(party("test", "off", "off", room.path()));
    let mut guest = Terminal::start(&args, |command| command.env("XDG_STATE_HOME", room.path()));
    guest.shows("Put on headphones");
    guest.press("\r");
    // An address that is none is explained while it is typed.
    guest.press("host:x");
    guest.shows("'x' is not a port");
    guest.signal(libc::SIGTERM);
    assert_eq!(guest.exit_code(), 130);
    guest.is_restored();
}

#[test]
fn hyperzoom_alone_asks_whether_to_host_or_to_join() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut alone = Terminal::start(&[], |command| {
        command.env("XDG_STATE_HOME", room.path());
        command.env("HOME", room.path());
    });
    alone.shows("Put on headphones");
    alone.press("\r");
    alone.shows("● Host a call");
    // A paste means joining, wherever the cursor stands, and acts as no key.
    alone.press("\u{1b}[200~hyperzoom join 'studio.example:7000#QQQ'\r\u{1b}[201~");
    alone.shows("● Join one");
    alone.shows("a key has 26 characters, this one 3");
    alone.press("\u{1b}");
    assert_eq!(alone.exit_code(), 0);
    alone.is_restored();
}

#[cfg(target_os = "linux")]
#[test]
fn the_folder_is_opened_by_a_key_when_the_recording_is_over() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("out");
    // What a desktop has for that, on a display that nothing is drawn on.
    let tool = room.path().join("xdg-open");
    let shown = room.path().join("shown");
    std::fs::write(&tool, format!("#!/bin/sh\necho \"$1\" >'{}'\n", shown.display()))
        .expect("written");
    let runs = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&tool, runs).expect("it is ours");
    let mut args: Vec<String> = ["record", "--no-window"].map(str::to_owned).into();
    args.extend(party("test", "off", "off", &output));
    let mut ana = Terminal::start(&args, |command| {
        command.env("XDG_STATE_HOME", room.path());
        command.env("PATH", format!("{}:{}", room.path().display(), env!("PATH")));
        command.env("DISPLAY", ":none");
    });
    ana.shows("00:00:01:");
    ana.press("qy");
    ana.shows("open the folder");
    ana.press("o");
    ana.shows("the folder is shown in another window");
    ana.press("\r");
    assert_eq!(ana.exit_code(), 0);
    let folder = std::fs::read_dir(&output).expect("a folder").next().expect("an entry");
    let folder = folder.expect("an entry").path();
    // Nobody waits for the desktop.
    let deadline = std::time::Instant::now() + crate::support::process::LIMIT;
    let asked = || std::fs::read_to_string(&shown).unwrap_or_default();
    while asked().trim() != folder.to_str().expect("text") {
        assert!(std::time::Instant::now() < deadline, "asked for '{}'", asked());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
