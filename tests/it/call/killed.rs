//! Recordings whose process is killed: what is on the disk opens and plays.

use std::path::Path;

use hyperzoom::platform::clock;

use super::party;
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{Program, real_time};
use crate::support::sim::SimRng;

#[test]
fn a_recording_killed_at_any_moment_plays_up_to_its_last_second() {
    let _one = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let mut rng = SimRng::new(20_261_122);
    let programs: Vec<(Program, i64)> = (0..3)
        .map(|n| {
            let mut args = vec!["record".to_owned()];
            args.extend(party("test", "test:640x360", "off", &room.path().join(n.to_string())));
            let after = 2_500_000 + (rng.unit() * 4_500_000.0) as i64;
            (Program::start(&format!("record {n}"), &args), after)
        })
        .collect();
    std::thread::scope(|scope| {
        for (mut program, after) in programs {
            scope.spawn(move || {
                let (at, started) =
                    program.wait_for("start", |e| e["event"] == "recording_started");
                // Alone, the session begins with the recording.
                let began = at - (started["t"].as_f64().expect("a number") * 1e6) as i64;
                program.watch_until(began + after);
                let length = clock::now().since(began) as f64 / 1e6;
                program.signal(libc::SIGKILL);
                assert_eq!(program.exit_code(), None, "it was killed");
                assert!(program.all("recording_finished").is_empty());
                let path = Path::new(started["path"].as_str().expect("a path"));
                let answer = ffprobe(path);
                let picture = number(&stream(&answer, "video")["duration"]);
                let sound = number(&stream(&answer, "audio")["duration"]);
                println!("killed at {length:.3} s: {picture:.3} s of picture, {sound:.3} of sound");
                // The open second, the half second that the grid runs behind capture, and what a
                // busy machine takes to encode and to write.
                assert!(length - picture < 2.0 && length - sound < 2.0, "{length}: {answer}");
                assert!(stream(&answer, "data")["tags"]["timecode"].is_string());
                plays(path);
            });
        }
    });
}
