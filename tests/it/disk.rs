//! The recording on disks that stall, fill and fail: real processes on a file system of the test.

use std::path::Path;

use serde_json::Value;

use crate::call::{assert_format, party};
use crate::support::disk::FaultyDisk;
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{Program, real_time};

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
    let _one = real_time();
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
    let _one = real_time();
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
        let answer = ffprobe(path);
        for kind in ["video", "audio"] {
            let frames = number(&stream(&answer, kind)["nb_read_packets"]);
            assert!(frames >= 30.0, "{kind}: {answer}");
        }
        plays(path);
    }
}

#[test]
fn little_space_is_told_at_the_start_and_the_file_is_closed_while_it_still_can_be() {
    let _one = real_time();
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
    let finished = crate::support::process::Finished(program.wait("recording_finished"));
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
    let last = program.all("stats").pop().expect("there are some");
    assert!(seconds(&last) >= finished.0["seconds"].as_f64().expect("a number") - 0.1);
}
