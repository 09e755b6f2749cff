//! The recording on disks that stall, fill and fail: real processes on a file system of the test.

use std::path::Path;

use hyperzoom::recording::mp4::Summary;
use serde_json::Value;

use crate::call::{assert_format, guest, host, party};
use crate::support::disk::FaultyDisk;
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{Finished, Guard, Program, real_time, run, side_by_side};

const PLENTY: u64 = 500_000_000_000;

fn record(output: &Path) -> Program {
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "test:320x180", "off", output));
    Program::start("record", &args)
}

fn says(event: &Value, words: &str) -> bool {
    ["warning", "error"].iter().any(|kind| event["event"] == *kind)
        && event["what"].as_str().is_some_and(|what| what.contains(words))
}

fn seconds(stats: &Value) -> f64 {
    stats["recording"]["seconds"].as_f64().expect("a number")
}

#[test]
fn a_disk_that_stalls_for_5_s_costs_no_picture_and_no_sample() {
    let _place = side_by_side();
    let Some(disk) = FaultyDisk::mount(PLENTY) else { return };
    let mut program = record(disk.path());
    program.recorded(1.0);
    disk.stall();
    // The figures go on each second, so nobody but the writer waits for the disk.
    program.more_stats(5);
    let stats = program.all("stats").pop().expect("there are some");
    assert!(stats["disk"]["silent_seconds"].as_f64().is_some_and(|s| s > 3.0), "{stats}");
    assert!(stats["recording"]["unwritten_bytes"].as_u64().is_some_and(|n| n > 0), "{stats}");
    assert!(program.all("warning").iter().any(|e| says(e, "disk does not answer")));
    disk.resume();
    program.more_stats(2);
    let stats = program.all("stats").pop().expect("there are some");
    assert_eq!(stats["disk"]["silent_seconds"], 0.0);
    program.command("end");
    let finished = program.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
    assert_eq!(finished.count("samples"), finished.frames() * 1_600);
    // The first slot may lie before the camera's second picture.
    assert!(finished.count("frames_repeated") <= 2, "{}", finished.0);
    assert!(finished.frames() > 7 * 30);
}

#[test]
fn a_disk_that_fails_in_any_way_leaves_a_file_that_opens_and_the_call_goes_on() {
    let _place = side_by_side();
    let mut disks = Vec::new();
    for (code, words) in [
        (libc::ENOSPC, "space"),
        (libc::EDQUOT, "space"),
        (libc::EROFS, "ead-only"),
        (libc::EIO, "nput/output"),
    ] {
        let Some(disk) = FaultyDisk::mount(PLENTY) else { return };
        let program = record(disk.path());
        disks.push((disk, program, code, words));
    }
    for (disk, program, code, _) in &disks {
        program.recorded(2.2);
        disk.fail(*code);
    }
    for (_, program, _, words) in &disks {
        let (_, error) = program.wait_for("error", |e| says(e, "not complete"));
        assert!(error["what"].as_str().is_some_and(|w| w.contains(words)), "{words}: {error}");
        assert!(error["try"].as_str().is_some_and(|t| t.contains("--output")), "{error}");
        // The call goes on.
        program.more_stats(2);
    }
    for (_, program, _, _) in &mut disks {
        program.command("end");
        assert_eq!(program.exit_code(), Some(5), "{}", program.account());
        let started = program.wait("recording_started");
        let path = Path::new(started["path"].as_str().expect("a path"));
        // What to do is told where nothing more can be done here.
        let (_, error) = program.wait_for("word of the end", |e| says(e, "could not be ended"));
        assert!(error["try"].as_str().is_some_and(|t| t.contains("hyperzoom recover")), "{error}");
        let answer = ffprobe(path);
        for kind in ["video", "audio"] {
            let frames = number(&stream(&answer, kind)["nb_read_packets"]);
            assert!(frames >= 30.0, "{kind}: {answer}");
        }
        plays(path);
    }
}

#[test]
fn a_disk_or_quota_that_is_full_leaves_a_file_that_was_ended_with_all_that_fitted() {
    let _place = side_by_side();
    let mut disks = Vec::new();
    for code in [libc::ENOSPC, libc::EDQUOT] {
        let Some(disk) = FaultyDisk::mount(PLENTY) else { return };
        let program = record(disk.path());
        disks.push((disk, program, code));
    }
    for (disk, program, code) in &mut disks {
        program.recorded(1.2);
        disk.leave_room(300_000, *code);
    }
    for (_, program, _) in &mut disks {
        program.wait_for("error", |e| says(e, "not complete"));
        // The call goes on, and the file was ended meanwhile.
        program.more_stats(2);
        program.command("end");
        assert_eq!(program.exit_code(), Some(5), "{}", program.account());
        let finished = Finished(program.wait("recording_finished"));
        let mut file = std::fs::File::open(finished.path()).expect("it is there");
        let summary = Summary::read(&mut file).expect("it reads back");
        assert!(summary.finalised, "{}", program.account());
        assert!(summary.video().is_some_and(|v| v.samples >= 30), "{}", finished.0);
        plays(&finished.path());
        assert!(program.all("error").iter().all(|e| !says(e, "could not be ended")));
    }
}

#[test]
fn a_disk_that_hangs_while_the_file_is_closed_early_holds_up_neither_commands_nor_figures() {
    let _place = side_by_side();
    let Some(disk) = FaultyDisk::mount(PLENTY) else { return };
    let mut program = record(disk.path());
    program.recorded(1.2);
    disk.set_free(100_000_000);
    program.wait_for("error", |e| says(e, "disk is almost full"));
    disk.stall();
    program.more_stats(3);
    program.command("marker");
    program.wait("marker");
    assert!(program.all("recording_finished").is_empty());
    disk.resume();
    program.command("end");
    assert_eq!(program.exit_code(), Some(5), "{}", program.account());
    let finished = Finished(program.wait("recording_finished"));
    plays(&finished.path());
}

#[test]
fn a_folder_that_is_deleted_while_it_is_recorded_to_is_told_of_and_the_recording_saved_again() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut program = record(room.path());
    program.recorded(1.2);
    let started = program.wait("recording_started");
    let path = Path::new(started["path"].as_str().expect("a path")).to_owned();
    let folder = path.parent().expect("a folder");
    std::fs::remove_dir_all(folder).expect("it was there");
    let deleted = std::time::Instant::now();
    program.wait_for("error", |e| says(e, "deleted"));
    println!("told after {:.1} s", deleted.elapsed().as_secs_f64());
    program.more_stats(2);
    program.command("end");
    assert_eq!(program.exit_code(), Some(5), "{}", program.account());
    let finished = Finished(program.wait("recording_finished"));
    assert_eq!(finished.path(), path);
    finished.assert_nothing_lost();
    // All of it is there, from before the deletion on, and what belongs to it.
    assert_format(&finished, 320, 180);
    assert_eq!(finished.count("samples"), finished.frames() * 1_600);
    let (code, report, errors) = run(&["verify", &folder.display().to_string()], "");
    assert_eq!(code, Some(0), "{report}{errors}");
}

#[test]
fn little_space_is_told_at_the_start_and_the_file_is_closed_while_it_still_can_be() {
    let _place = side_by_side();
    let Some(disk) = FaultyDisk::mount(10_000_000_000) else { return };
    let mut program = record(disk.path());
    program.wait_for("warning", |e| says(e, "10.0 GB are free"));
    let stats = program.recorded(1.0);
    assert!(
        stats["disk"]["free_bytes"].as_u64().is_some_and(|n| n.abs_diff(10_000_000_000) < 1 << 20)
    );
    // 2 Mbit/s of picture and 192 kbit/s of sound.
    let left = stats["disk"]["seconds_left"].as_f64().expect("a number");
    assert!((30_000.0..40_000.0).contains(&left), "{left} s left");
    disk.set_free(100_000_000);
    program.wait_for("error", |e| says(e, "disk is almost full"));
    program.more_stats(2);
    program.command("end");
    assert_eq!(program.exit_code(), Some(5), "{}", program.account());
    let finished = Finished(program.wait("recording_finished"));
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
    let last = program.all("stats").pop().expect("there are some");
    assert!(seconds(&last) >= finished.0["seconds"].as_f64().expect("a number") - 0.1);
}

/// A shell that does nothing, as fast as it can; ends with the test.
fn burner() -> Guard {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    Guard(command.spawn().expect("there is a shell"))
}

#[test]
fn other_programs_on_all_cores_for_a_minute_cost_no_picture_and_no_sample() {
    if std::env::var_os("HYPERZOOM_SOAK").is_none() {
        eprintln!("skipped: a minute of full load; it runs with HYPERZOOM_SOAK=1 (make soak)");
        return;
    }
    let _place = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let cores = std::thread::available_parallelism().map_or(2, |n| n.get());
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "test:1280x720", "off", room.path()));
    let mut program = Program::start("record", &args);
    program.recorded(1.0);
    let burners: Vec<Guard> = (0..cores).map(|_| burner()).collect();
    program.recorded(61.0);
    drop(burners);
    program.command("end");
    let finished = program.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 1280, 720);
    assert_eq!(finished.count("samples"), finished.frames() * 1_600);
    for stats in program.all("stats") {
        let queued = stats["recording"]["queued_bytes"].as_u64().unwrap_or(0);
        let limit = stats["recording"]["queued_limit_bytes"].as_u64().unwrap_or(0);
        assert!(queued <= limit, "{stats}");
    }
}

#[test]
fn on_a_disk_that_gets_full_the_safety_tracks_end_first_and_the_recording_goes_on() {
    let _place = side_by_side();
    let Some(disk) = FaultyDisk::mount(PLENTY) else { return };
    let room = tempfile::tempdir().expect("a folder");
    let (mut host, invite) = host(party("test", "off", "off", disk.path()));
    let mut guest = guest("Ben", &invite, party("test", "off", "off", room.path()));
    host.recorded(2.2);
    // Enough for the recording, too little for anything else.
    disk.set_free(250_000_000);
    let (_, warning) = host.wait_for("a warning", |e| says(e, "safety track of Ben ends here"));
    let seconds = warning["t"].as_f64().expect("a number");
    // The others hear of it, who may be looking at their screens.
    guest.wait_for("a warning", |e| says(e, "'s disk has 2"));
    let (_, stats) = guest.wait_for("stats", |e| e["peers"][0]["health"]["little_space"] == true);
    assert_eq!(stats["peers"][0]["health"]["recording"], true, "{stats}");
    host.more_stats(2);
    for program in [&mut guest, &mut host] {
        program.command("end");
    }
    let finished = host.finished();
    assert!(finished.0["seconds"].as_f64().is_some_and(|s| s > 4.0), "{}", finished.0);
    let track = &finished.0["safety_tracks"][0];
    assert!(track["seconds"].as_f64().is_some_and(|s| s > 1.0 && s <= seconds), "{track}");
    let path = Path::new(track["path"].as_str().expect("a path"));
    let mut file = std::fs::File::open(path).expect("it is there");
    let summary = Summary::read(&mut file).expect("it reads back");
    assert!(summary.finalised, "{}", host.account());
    assert!(!path.with_extension("journal").exists());
    guest.finished();
}
