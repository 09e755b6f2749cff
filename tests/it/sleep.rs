//! The computer sleeps while it records: the real program, with clocks that a preloaded library
//! (tests/lab/labsleep.c) puts forward. Without a C compiler these tests say so and pass.
#![cfg(target_os = "linux")]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::call::{host, party};
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{Program, run, side_by_side};
use crate::support::schema::check_metadata;

/// A computer that can be put to sleep.
struct Sleeper {
    folder: tempfile::TempDir,
    clocks: std::fs::File,
    asleep: i64,
    missed: i64,
}

impl Sleeper {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/labsleep.c");
        let built = Command::new("gcc")
            .args(["-O2", "-fPIC", "-shared", "-o"])
            .arg(folder.path().join("labsleep.so"))
            .arg(source)
            .arg("-ldl")
            .status();
        if !built.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no C compiler here (apt-get install gcc)");
            return None;
        }
        let path = folder.path().join("clocks");
        std::fs::write(&path, [0; 16]).expect("the disk has room");
        let clocks = std::fs::OpenOptions::new().write(true).open(path).expect("it was just made");
        Some(Self { folder, clocks, asleep: 0, missed: 0 })
    }

    fn start(&self, name: &str, args: &[String]) -> Program {
        Program::start_with(name, args, |command| {
            command.env("LD_PRELOAD", self.folder.path().join("labsleep.so"));
            command.env("LABSLEEP", self.folder.path().join("clocks"));
        })
    }

    fn tell(&self) {
        let words = [self.asleep, self.missed].map(|ms| (ms * 1_000_000).to_ne_bytes());
        self.clocks.write_all_at(&words.concat(), 0).expect("the disk has room");
    }

    /// Asleep for so long, in no time.
    fn sleep(&mut self, milliseconds: i64) {
        self.asleep += milliseconds;
        self.tell();
    }

    /// Asleep for so long, truly: the program does nothing, and its clock misses that.
    fn sleep_truly(&mut self, program: &Program, milliseconds: i64) {
        program.signal(libc::SIGSTOP);
        let began = std::time::Instant::now();
        // Nothing tells when enough time has passed but time.
        std::thread::sleep(std::time::Duration::from_millis(milliseconds as u64));
        let slept = began.elapsed().as_millis() as i64;
        self.asleep += slept;
        self.missed += slept;
        self.tell();
        program.signal(libc::SIGCONT);
    }
}

fn metadata(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("session_metadata.json")).expect("it is there");
    serde_json::from_str(&text).expect("it is JSON")
}

#[track_caller]
fn verified(folder: &Path) {
    let (code, report, errors) = run(&["verify", &folder.display().to_string()], "");
    assert_eq!(code, Some(0), "{report}{errors}");
}

#[test]
fn a_short_sleep_is_filled_and_behind_a_long_one_another_file_begins() {
    let _place = side_by_side();
    let Some(mut computer) = Sleeper::new() else { return };
    let room = tempfile::tempdir().expect("a folder");
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "test:320x180", "off", room.path()));
    let mut program = computer.start("record", &args);
    program.recorded(1.5);
    computer.sleep(10_000);
    let (_, short) = program.wait_for("the short sleep", |e| e["event"] == "slept");
    assert!((short["seconds"].as_f64().expect("a number") - 10.0).abs() < 0.01, "{short}");
    assert_eq!(short["new_file"], false);
    program.recorded(12.5);
    computer.sleep(90_000);
    program.wait_for("the long sleep", |e| e["event"] == "slept" && e["new_file"] == true);
    let (_, second) = program.wait_for("the second file", |e| {
        e["event"] == "recording_started"
            && e["path"].as_str().is_some_and(|p| p.ends_with("local_recording_2.mp4"))
    });
    program.more_stats(3);
    program.command("end");
    let finished = program.finished();
    finished.assert_nothing_lost();
    assert_eq!(finished.count("samples"), finished.frames() * 1_600);

    let parts = finished.0["parts"].as_array().expect("parts").clone();
    assert_eq!(parts.len(), 2, "{}", finished.0);
    assert_eq!(parts[1]["path"], second["path"]);
    let seconds = |part: &Value, what: &str| part[what].as_f64().expect("a number");
    // The first has the short sleep inside; the second begins where the session then was.
    assert!(seconds(&parts[0], "seconds") > 12.0, "{}", finished.0);
    let apart = seconds(&parts[1], "start") - seconds(&parts[0], "start");
    let gap = apart - seconds(&parts[0], "seconds");
    assert!((gap - 90.0).abs() < 0.2, "{gap} s between the files");
    // One grid: whole frames apart.
    assert!((apart * 30.0 - (apart * 30.0).round()).abs() < 0.001, "{apart}");
    let mut codes = Vec::new();
    for part in &parts {
        let path = PathBuf::from(part["path"].as_str().expect("a path"));
        plays(&path);
        let answer = ffprobe(&path);
        let video = stream(&answer, "video");
        assert_eq!(number(&video["nb_read_packets"]), seconds(part, "frames"));
        assert_eq!(video["avg_frame_rate"], "30/1");
        codes.push(video["tags"]["timecode"].as_str().expect("a timecode").to_owned());
    }
    assert_eq!(codes, [&parts[0]["timecode"], &parts[1]["timecode"]].map(|c| c.as_str().unwrap()));

    let folder = finished.folder();
    let data = metadata(&folder);
    check_metadata(&data);
    let files = data["hyperzoom"]["files"].as_array().expect("files");
    assert_eq!(files.len(), 2);
    assert_eq!(files[1]["start_timecode"], parts[1]["timecode"]);
    let events = data["hyperzoom"]["events"].as_array().expect("events");
    let of = |kind: &str| events.iter().filter(|e| e["kind"] == kind).count();
    assert_eq!(of("sleep"), 2, "{events:?}");
    // Of the short one also what stands for it, in sound and picture.
    assert_eq!(of("gap"), 2, "{events:?}");
    let text = std::fs::read_to_string(folder.join("sync_timecodes.txt")).expect("it is there");
    assert!(text.contains("local_recording_2.mp4  from"), "{text}");
    verified(&folder);
    let names: Vec<_> = std::fs::read_dir(&folder)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("journal")), "{names:?}");
}

/// How far the session clocks of two programs are apart, milliseconds, by their newest events.
fn apart(a: &Program, b: &Program) -> f64 {
    let ahead = |program: &Program| {
        let count = program.all("stats").len();
        let mut seen = 0;
        let (at, stats) = program.wait_for("the newest statistics", |e| {
            seen += usize::from(e["event"] == "stats");
            seen == count
        });
        stats["t"].as_f64().expect("a number") * 1e3 - at.0 as f64 / 1e3
    };
    ahead(a) - ahead(b)
}

fn asleep_in_a_call(who_sleeps: &str) {
    let mut computer = Sleeper::new().expect("it was there before");
    let rooms = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
    let devices = |room: &tempfile::TempDir| {
        let mut flags = party("test", "test:320x180", "off", room.path());
        flags.push("--no-port-mapping".to_owned());
        flags
    };
    let host_sleeps = who_sleeps == "host";
    let (host, invite) = if host_sleeps {
        let mut args: Vec<String> = ["host", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
        args.extend(devices(&rooms[0]));
        let host = computer.start("host", &args);
        let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
        (host, invite)
    } else {
        host(devices(&rooms[0]))
    };
    let mut args: Vec<String> = ["join", &invite, "--name", "Ben"].map(str::to_owned).to_vec();
    args.extend(devices(&rooms[1]));
    let guest =
        if host_sleeps { Program::start("guest", &args) } else { computer.start("guest", &args) };
    guest.recorded(1.5);
    host.recorded(1.5);
    let mut programs = [host, guest];
    let (sleeper, other) = if host_sleeps { (0, 1) } else { (1, 0) };
    computer.sleep_truly(&programs[sleeper], 3_000);
    programs[sleeper].wait_for("the sleep", |e| e["event"] == "slept");
    // The others are told.
    programs[other].wait_for("the other's sleep", |e| e["event"] == "peer_slept");
    programs[sleeper].more_stats(3);
    programs[other].more_stats(1);
    // Statistics come some milliseconds late on a loaded machine.
    let apart = apart(&programs[0], &programs[1]);
    assert!(apart.abs() < 300.0, "the clocks are {apart} ms apart");
    programs.iter_mut().for_each(|p| p.command("end"));
    let finished = programs.each_mut().map(|p| p.finished());
    for (finished, room) in finished.iter().zip(&rooms) {
        finished.assert_nothing_lost();
        assert_eq!(finished.count("samples"), finished.frames() * 1_600);
        plays(&finished.path());
        verified(room.path());
        check_metadata(&metadata(&finished.folder()));
        let events = metadata(&finished.folder())["hyperzoom"]["events"].clone();
        assert!(
            events.as_array().expect("events").iter().any(|e| e["kind"] == "sleep"),
            "{events}"
        );
    }
    let repeated = finished[sleeper].count("frames_repeated");
    assert!((85..150).contains(&repeated), "{repeated} frames stand for three seconds");
}

#[test]
fn a_guest_and_a_host_that_sleep_in_a_call_are_back_on_the_sessions_clock_and_the_others_are_told()
{
    let _place = side_by_side();
    if Sleeper::new().is_none() {
        return;
    }
    std::thread::scope(|both| {
        for who in ["guest", "host"] {
            both.spawn(move || asleep_in_a_call(who));
        }
    });
}
