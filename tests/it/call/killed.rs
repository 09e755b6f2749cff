//! Recordings whose process is killed: what is on the disk opens and plays, and `recover` loses
//! nothing of what the encoders had delivered but what was on its way at that moment.

use std::path::{Path, PathBuf};

use hyperzoom::platform::clock;
use hyperzoom::recording::mp4::Summary;
use serde_json::Value;

use super::party;
use crate::support::media::{ffprobe, number, plays, stream};
use crate::support::process::{Program, run, side_by_side};
use crate::support::sim::SimRng;

/// Kills in `make test` and in `make soak`, in rounds of so many at once.
const KILLS: usize = 5;
const SOAK_KILLS: usize = 200;
const AT_ONCE: usize = 5;

/// What is known of a killed recording.
struct Killed {
    path: PathBuf,
    /// Pictures and packets that the encoders had handed over.
    delivered: (u64, u64),
    /// Seconds and bytes in the last statistics.
    told: f64,
}

#[test]
fn a_recording_killed_at_any_moment_opens_and_is_recovered_to_the_last_picture() {
    let _place = side_by_side();
    let soak = std::env::var_os("HYPERZOOM_SOAK").is_some();
    let kills = if soak { SOAK_KILLS } else { KILLS };
    let mut rng = SimRng::new(20_261_122);
    let (mut missing, mut lost) = (0.0_f64, (0, 0));
    for round in 0..kills.div_ceil(AT_ONCE) {
        let room = tempfile::tempdir().expect("a folder");
        let killed = kill(room.path(), kills.min(AT_ONCE), &mut rng);
        for (n, killed) in killed.iter().enumerate() {
            let (m, l) = check(killed, n == 0 || !soak);
            missing = missing.max(m);
            lost = (lost.0.max(l.0), lost.1.max(l.1));
        }
        println!("round {round}: at most {missing:.2} s not in the file as it lay, {lost:?} lost");
    }
}

/// Starts that many recordings and kills each at a moment of its own.
fn kill(room: &Path, count: usize, rng: &mut SimRng) -> Vec<Killed> {
    let programs: Vec<(Program, PathBuf, i64)> = (0..count)
        .map(|n| {
            let output = room.join(n.to_string());
            let log = room.join(format!("{n}.log"));
            let mut args = vec!["record".to_owned()];
            args.extend(party("test", "test:320x240", "off", &output));
            args.extend(["--log".into(), log.display().to_string()]);
            let after = 1_500_000 + (rng.unit() * 3_500_000.0) as i64;
            let program = Program::start_with(&format!("record {n}"), &args, |command| {
                command.env("HYPERZOOM_LOG_LEVEL", "debug");
            });
            (program, log, after)
        })
        .collect();
    std::thread::scope(|scope| {
        let killers: Vec<_> = programs
            .into_iter()
            .map(|(mut program, log, after)| {
                scope.spawn(move || {
                    let (at, started) =
                        program.wait_for("start", |e| e["event"] == "recording_started");
                    // Alone, the session begins with the recording.
                    let began = at - (started["t"].as_f64().expect("a number") * 1e6) as i64;
                    program.watch_until(began + after);
                    program.signal(libc::SIGKILL);
                    assert_eq!(program.exit_code(), None, "it was killed");
                    assert!(program.all("recording_finished").is_empty());
                    let told = program.all("stats");
                    let mut told = told.iter().filter_map(|e| e["recording"]["seconds"].as_f64());
                    let length = clock::now().since(began) as f64 / 1e6;
                    println!("killed at {length:.3} s");
                    Killed {
                        path: PathBuf::from(started["path"].as_str().expect("a path")),
                        delivered: delivered(&log),
                        told: told.next_back().unwrap_or(0.0),
                    }
                })
            })
            .collect();
        killers.into_iter().map(|k| k.join().expect("it was killed")).collect()
    })
}

/// What the encoders had handed over, as the log tells.
fn delivered(log: &Path) -> (u64, u64) {
    let text = std::fs::read_to_string(log).expect("the log is there");
    // The kill may have cut the last line.
    let count = |what: &str| {
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.filter(|line| line.contains(what)).count() as u64
    };
    (count("delivered picture"), count("delivered packet"))
}

/// Opens it as it lies, recovers it, and compares: seconds missing before, samples lost after.
fn check(killed: &Killed, by_others: bool) -> (f64, (u64, u64)) {
    let path = &killed.path;
    let mut file = std::fs::File::open(path).expect("it is there");
    let lay = Summary::read(&mut file).expect("it opens as it lies");
    assert!(!lay.finalised);
    let shown = |s: &Summary| {
        let track = |t: Option<&hyperzoom::recording::mp4::TrackSummary>| {
            t.map_or(0.0, hyperzoom::recording::mp4::TrackSummary::seconds)
        };
        track(s.video()).min(track(s.audio()))
    };
    let missing = killed.told - shown(&lay);
    // The open third of a second, and the half that the grid and so the pictures run behind capture.
    assert!(missing <= 1.0, "{} s of {} s told are not in the file", missing, killed.told);
    if by_others && lay.fragments > 0 {
        let answer = ffprobe(path);
        assert!(number(&stream(&answer, "video")["duration"]) > 0.9);
        assert!(stream(&answer, "data")["tags"]["timecode"].is_string());
        plays(path);
    }

    let (code, out, error) = run(&["recover", &path.display().to_string(), "--json"], "");
    assert_eq!(code, Some(0), "{out}{error}");
    let answer: Value = serde_json::from_str(&out).expect("one JSON object");
    assert_eq!((&answer["state"], &answer["journal"]), (&"recovered".into(), &true.into()));
    assert_eq!((&answer["lost"], &answer["damaged"]), (&0.into(), &0.into()), "{answer}");
    let now = Summary::read(&mut std::fs::File::open(path).expect("it is there")).expect("whole");
    assert!(now.finalised);
    let video = now.video().map_or(0, |t| t.samples);
    let audio = now.audio().map_or(0, |t| t.samples);
    assert_eq!((&answer["frames"], &answer["packets"]), (&video.into(), &audio.into()));
    let lost = (killed.delivered.0.saturating_sub(video), killed.delivered.1.saturating_sub(audio));
    assert!(
        lost.0 <= 1 && lost.1 <= 1,
        "of {:?} delivered, {lost:?} are not in the file",
        killed.delivered
    );
    if by_others {
        let answer = ffprobe(path);
        assert_eq!(stream(&answer, "video")["nb_frames"], video.to_string());
        plays(path);
    }
    // A second time there is nothing to do, and no journal is left.
    let (code, out, _) = run(&["recover", &path.display().to_string(), "--json"], "");
    assert_eq!(code, Some(0));
    assert!(out.contains(r#""state":"whole""#), "{out}");
    assert!(!path.with_extension("journal").exists());
    let metadata = std::fs::read_to_string(path.with_file_name("session_metadata.json"));
    let metadata: Value = serde_json::from_str(&metadata.expect("it is there")).expect("JSON");
    assert_eq!(metadata["hyperzoom"]["recovered"], true);
    assert_eq!(metadata["hyperzoom"]["files"][0]["frames"], video);
    (missing, lost)
}

#[test]
fn a_start_tells_how_to_recover_what_an_earlier_run_left_and_leaves_a_running_one_alone() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let output = room.path().join("my recordings");
    let record = |name: &str| {
        let mut args = vec!["record".to_owned(), "--session".into(), name.into()];
        args.extend(party("test", "off", "off", &output));
        Program::start(name, &args)
    };
    let mut first = record("killed");
    let running = record("running");
    let place = first.wait("recording_started")["path"].as_str().expect("a path").to_owned();
    running.wait("recording_started");
    first.recorded(1.0);
    first.signal(libc::SIGKILL);
    first.exit_code();

    let third = record("third");
    let warning = third.wait_for("a word on the killed one", |e| {
        e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.contains("earlier run"))
    });
    assert!(warning.1["what"].as_str().is_some_and(|what| what.ends_with(&place)), "{warning:?}");
    assert_eq!(warning.1["try"], format!("hyperzoom recover '{place}'"));
    third.recorded(1.0);
    let told = third.all("warning");
    let about = |e: &&Value| e["what"].as_str().is_some_and(|w| w.contains("earlier run"));
    assert_eq!(told.iter().filter(about).count(), 1, "the running ones are none");

    // A folder of all three: the killed one is recovered, the others are left to their writers.
    let (code, out, _) = run(&["recover", &output.display().to_string()], "");
    assert_eq!(code, Some(1), "{out}");
    assert_eq!(out.matches("still being written").count(), 2, "{out}");
    assert_eq!(out.matches(": recovered ").count(), 1, "{out}");
    for mut program in [running, third] {
        program.command("end");
        program.finished().assert_nothing_lost();
    }
    let (code, out, _) = run(&["recover", &output.display().to_string()], "");
    assert_eq!((code, out.matches("whole already").count()), (Some(0), 3), "{out}");
    let (code, out, _) = run(&["verify", &output.display().to_string()], "");
    assert_eq!((code, out.matches("FAILED").count()), (Some(0), 0), "{out}");
    assert_eq!(out.matches("  hash ").count(), 3, "{out}");
}
