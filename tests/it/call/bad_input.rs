//! What cannot work: one line that says what failed and what to try, and its exit code.

use std::net::UdpSocket;
use std::path::Path;

use super::{host, party};
use crate::support::process::{file, run, side_by_side};

/// Runs the program; it must end with that code and one line that has those words.
#[track_caller]
fn refused(args: &[&str], code: i32, words: &str) {
    let (got, out, error) = run(args, "");
    assert_eq!(got, Some(code), "{args:?}: {error}{out}");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 1, "{args:?}: {error}");
    assert!(lines[0].starts_with("error: ") && lines[0].contains("; "), "{args:?}: {error}");
    assert!(lines[0].contains(words), "'{words}' is not in: {error}");
}

fn strings(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}

#[test]
fn devices_files_and_folders_that_cannot_be_used_are_told_before_anything_starts() {
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("recordings");
    let text = room.path().join("notes.txt");
    std::fs::write(&text, "neither sound nor picture\n").expect("the disk has room");
    let (text_file, missing) = (file(&text), file(&room.path().join("missing")));
    let no_device = "Q7-no-such-device";
    for (role, mic, camera, speaker, words) in [
        ("record", no_device, "off", "off", no_device),
        ("record", "off", no_device, "off", no_device),
        ("host", "off", "off", no_device, no_device),
        ("record", text_file.as_str(), "off", "off", "notes.txt"),
        ("record", missing.as_str(), "off", "off", "missing"),
        ("record", "off", text_file.as_str(), "off", "notes.txt"),
        ("record", "off", missing.as_str(), "off", "missing"),
    ] {
        let mut args = vec![role.to_owned()];
        if role == "host" {
            args.extend(["--listen", "127.0.0.1:0"].map(str::to_owned));
        }
        args.extend(party(mic, camera, speaker, &output));
        refused(&strings(&args), 4, words);
        assert_eq!(std::fs::read_dir(&output).expect("made").count(), 0, "nothing left behind");
    }
    for folder in [&text, Path::new("/proc/hyperzoom")] {
        let mut args = vec!["record".to_owned()];
        args.extend(party("test", "off", "off", folder));
        refused(&strings(&args), 1, &folder.display().to_string());
    }
    let mut args = ["record", "--encoder", "abacus"].map(str::to_owned).to_vec();
    args.extend(party("test", "test:320x180", "off", &output));
    refused(&strings(&args), 1, "abacus");
}

#[test]
fn calls_that_cannot_come_about_are_told() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let flags = party("off", "off", "off", room.path());
    let mut hosting = flags.clone();
    hosting.extend(["--admit".to_owned(), "key".to_owned()]);
    let (host, invite) = host(hosting);
    let (address, _) = invite.split_once('#').expect("an invite has a key");
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let silent = silent.local_addr().expect("it is bound").to_string();
    let wrong_key = format!("{address}#AAAQEAYEAUDAOCAJBIFQYDIOB4");
    let malformed_key = format!("{address}#AAAQEAYEAUDAOCAJBIFQYDIOB");
    let calls: [(&[&str], i32, &str); 7] = [
        (&["host", "--listen", address], 1, address),
        (&["join", "nobody.invalid:7000"], 3, "nobody.invalid"),
        (&["join", &silent], 3, "nobody answered"),
        (&["join", &wrong_key], 3, "key"),
        (&["join", address], 3, "key"),
        (&["join", &malformed_key], 2, "key"),
        (&["join", "127.0.0.1:99999"], 2, "port"),
    ];
    std::thread::scope(|scope| {
        for (start, code, words) in calls {
            let flags = &flags;
            scope.spawn(move || {
                let args: Vec<&str> =
                    start.iter().copied().chain(flags.iter().map(String::as_str)).collect();
                refused(&args, code, words);
            });
        }
    });
    // The host was not disturbed by any of it.
    assert!(host.all("peer_joined").is_empty() && host.all("error").is_empty());
    host.more_stats(1);
}

#[test]
fn scripts_read_the_reason_on_standard_output() {
    let args = ["record", "--json", "--mic", "Q7-no-such-device", "--camera", "off"];
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().display().to_string();
    let (code, out, _) = run(&[&args[..], &["--output", &output]].concat(), "");
    assert_eq!(code, Some(4));
    let event: serde_json::Value = serde_json::from_str(out.trim()).expect("one JSON line");
    assert_eq!(event["event"], "error");
    assert!(event["what"].as_str().is_some_and(|w| w.contains("Q7-no-such-device")), "{event}");
    assert!(event["try"].is_string(), "{event}");
}
