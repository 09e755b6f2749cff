//! What goes wrong around a recording that runs: it goes on, and the person is told.

use std::path::Path;

use hyperzoom::platform::clock;
use hyperzoom::video::image::I420;
use hyperzoom::video::testcard::{TestCard, read_number};
use serde_json::Value;

use super::{assert_format, guest, host, party};
use crate::support::media::{babble, pictures, sound, write_wav};
use crate::support::process::{Finished, Program, file, side_by_side};

/// A Y4M file of test pictures, 320x180, 30 fps.
fn write_y4m(path: &Path, count: u64) {
    let mut bytes = b"YUV4MPEG2 W320 H180 F30:1 Ip C420jpeg\n".to_vec();
    let mut card = TestCard::new(320, 180);
    let mut image = I420::default();
    for number in 0..count {
        card.draw(number, 0.0, &mut image);
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(&image.data);
    }
    std::fs::write(path, bytes).expect("the disk has room");
}

fn says(event: &Value, words: &str) -> bool {
    ["warning", "error"].iter().any(|kind| event["event"] == *kind)
        && event["what"].as_str().is_some_and(|what| what.contains(words))
}

#[test]
fn files_that_end_and_a_peer_that_vanishes_leave_the_recording_whole() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let (y4m, wav) = (room.path().join("camera.y4m"), room.path().join("voice.wav"));
    write_y4m(&y4m, 75);
    write_wav(&wav, &babble(3, 2.5));
    let mut flags = party(&file(&wav), &file(&y4m), "off", room.path());
    // Without the tone at the end, which would be sound.
    flags.extend(["--record-now", "--no-tone"].map(str::to_owned));
    let (mut host, invite) = host(flags);
    let flags = party("test", "off", "off", &room.path().join("guest"));
    let mut guest = guest("Gone", &invite, flags);
    let (_, joined) = host.wait_for("guest", |e| e["event"] == "peer_joined");
    guest.recorded(1.0);
    guest.signal(libc::SIGKILL);
    let killed = clock::now();
    assert_eq!(guest.exit_code(), None, "it was killed");
    let (_, silent) = host.wait_for("silence", |e| e["event"] == "peer_silent");
    assert_eq!(silent["id"], joined["id"]);
    let (at, left) = host.wait_for("timeout", |e| e["event"] == "peer_left");
    assert_eq!((&left["id"], &left["reason"]), (&joined["id"], &"timeout".into()));
    let seconds = at.since(killed) as f64 / 1e6;
    assert!((4.5..8.0).contains(&seconds), "5 s without a packet, not {seconds}");
    host.wait_for("end of the sound", |e| says(e, "plays the microphone is over"));
    host.wait_for("end of the picture", |e| says(e, "plays the camera is over"));
    host.more_stats(1);
    host.command("end");
    let finished = host.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);
    assert!(finished.count("frames_repeated") > 90, "{}", finished.0);
    let numbers = pictures(&finished.path(), 320, 180, read_number);
    let last = numbers.last().copied().flatten();
    assert_eq!(last, Some(74), "the file's last picture stands to the end");
    let recorded = sound(&finished.path());
    let quiet = recorded.iter().rev().take_while(|s| s.abs() < 1e-4).count();
    assert!(quiet > 3 * 48_000, "silence to the end, {quiet} samples");
}

#[test]
fn a_folder_that_is_deleted_under_the_recording_is_told_and_does_not_end_it() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("gone");
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "test:320x180", "off", &output));
    let mut program = Program::start("record", &args);
    let before = program.recorded(1.0);
    std::fs::remove_dir_all(&output).expect("it can be deleted");
    program.more_stats(2);
    let after = program.all("stats").pop().expect("there are some");
    let seconds = |stats: &Value| stats["recording"]["seconds"].as_f64().expect("a number");
    assert!(seconds(&after) > seconds(&before) + 0.5);
    program.command("end");
    // It is saved once more where it was, and not called complete.
    assert_eq!(program.exit_code(), Some(5), "{}", program.account());
    program.wait_for("error", |e| says(e, "deleted"));
    program.wait_for("warning", |e| says(e, "saved again"));
    let finished = Finished(program.wait("recording_finished"));
    assert_format(&finished, 320, 180);
    program.wait("ended");
}
