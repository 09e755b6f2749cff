//! What standard input commands while a recording runs: promises that the file keeps.

use hyperzoom::video::testcard::read_number;

use super::{assert_format, guest, host, party};
use crate::support::media::{babble, pictures, read_wav, sound, write_wav};
use crate::support::process::{Program, file, side_by_side};

#[test]
fn muted_is_silent_and_camera_off_is_black_in_the_file() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let wav = room.path().join("voice.wav");
    write_wav(&wav, &babble(5, 30.0));
    let mut args = vec!["record".to_owned()];
    args.extend(party(&file(&wav), "test:320x180", "off", room.path()));
    // A tone in the muted stretch would be no silence.
    args.push("--no-tone".to_owned());
    let mut program = Program::start("record", &args);
    program.recorded(1.5);
    program.command("mute");
    program.command("camera_off");
    program.more_stats(3);
    program.nonsense(r#"{"do": "dance"}"#);
    let warned = program.wait_for("refusal", |e| {
        e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.contains("dance"))
    });
    assert!(warned.1["try"].is_string());
    program.command("unmute");
    program.command("camera_on");
    program.more_stats(3);
    program.command("end");
    let finished = program.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 320, 180);

    // Two whole seconds at least lay between the commands.
    let black = finished.count("black_frames");
    assert!(black >= 60 && finished.count("withheld") >= 60, "{}", finished.0);
    // The first picture may stand for a slot before it, and a crowded machine may miss one.
    assert!(finished.count("frames_repeated") <= 2, "{}", finished.0);
    let shown: Vec<Option<u64>> = pictures(&finished.path(), 320, 180, |p| {
        let dark = p.y().iter().all(|&y| y < 24);
        let number = read_number(p);
        assert!(dark != number.is_some(), "either black or the test picture");
        number
    });
    assert_eq!(shown.iter().filter(|n| n.is_none()).count() as u64, black);
    let first = shown.iter().position(Option::is_none).expect("black pictures");
    let after = shown.iter().rposition(Option::is_none).expect("black pictures") + 1;
    assert_eq!((after - first) as u64, black, "in one piece");
    assert!(first >= 30 && shown.len() - after >= 30, "pictures before and after");

    let text = std::fs::read_to_string(finished.folder().join("session_metadata.json"));
    let data: serde_json::Value = serde_json::from_str(&text.expect("it is there")).expect("JSON");
    let counters = &data["hyperzoom"]["counters"];
    let muted = counters["samples_muted"].as_u64().expect("a number") as usize;
    // AAC smears the fades over a packet or two on each side.
    let recorded = sound(&finished.path());
    let (mut longest, mut run, mut end) = (0usize, 0usize, 0usize);
    for (i, sample) in recorded.iter().enumerate() {
        run = if sample.abs() < 1e-4 { run + 1 } else { 0 };
        if run > longest {
            (longest, end) = (run, i);
        }
    }
    assert!(longest > 90_000, "{longest} samples of silence");
    assert!(longest.abs_diff(muted) < 6_000, "{longest} silent, {muted} muted");
    let loud = |samples: &[f32]| samples.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let begin = end + 1 - longest;
    assert!(loud(&recorded[begin - 24_000..begin]) > 0.05);
    assert!(loud(&recorded[end..(end + 24_000).min(recorded.len())]) > 0.05);
    // Both were commanded at the same moment.
    let apart = first as f64 / 30.0 - begin as f64 / 48_000.0;
    println!("black begins {apart:.3} s after the silence");
    assert!(apart.abs() < 0.5, "{apart} s");
}

#[test]
fn what_is_said_while_muted_is_recorded_when_that_was_asked_for() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let mut args = vec!["record".to_owned()];
    args.extend(party("test", "off", "off", room.path()));
    args.extend(["--mute", "--record-while-muted", "--duration", "2s"].map(str::to_owned));
    let mut program = Program::start("record", &args);
    let finished = program.finished();
    let recorded = sound(&finished.path());
    assert!(recorded.len().abs_diff(96_000) <= 2_048, "{}", recorded.len());
    let power: f32 = recorded.iter().map(|s| s * s).sum::<f32>() / recorded.len() as f32;
    assert!((0.002..0.1).contains(&power), "about -20 dBFS, got {power}");
}

#[test]
fn what_is_not_sent_is_recorded_all_the_same() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let heard = room.path().join("heard.wav");
    let (mut host, invite) = host(party("off", "off", &file(&heard), room.path()));
    let mut ben = guest("Ben", &invite, party("test", "off", "off", &room.path().join("b")));
    host.wait("peer_joined");
    ben.recorded(2.0);
    ben.command("hush");
    ben.more_stats(3);
    ben.command("talk");
    ben.more_stats(3);
    host.command("end");
    host.finished();
    ben.command("end");
    let recorded = sound(&ben.finished().path());
    let power = |samples: &[f32]| {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    };
    let own: Vec<f32> = recorded.chunks_exact(24_000).map(power).collect();
    assert!(own.iter().all(|l| *l > 0.02), "{own:?}");
    let loud: Vec<f32> = read_wav(&heard).chunks_exact(24_000).map(power).collect();
    // The codec's noise in silence is far below.
    let (quiet, heard): (Vec<f32>, Vec<f32>) = loud.iter().partition(|l| **l < 0.001);
    assert!(quiet.len() >= 4 && heard.len() >= 6, "{loud:?}");
    // At the very end, when it has left, it is quiet, too.
    let began = loud.iter().position(|l| *l < 0.001).expect("silence");
    let [before, after] = [&loud[..began], &loud[began..]].map(|l| l.iter().any(|l| *l > 0.02));
    assert!(before && after, "{loud:?}");
}

#[test]
fn who_is_made_softer_or_muted_here_is_heard_so_and_recorded_as_ever() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let heard = room.path().join("heard.wav");
    let (mut host, invite) = host(party("off", "off", &file(&heard), room.path()));
    let mut ben = guest("Ben", &invite, party("test", "off", "off", &room.path().join("b")));
    let id = host.wait("peer_joined")["id"].clone();
    ben.recorded(1.0);
    let mut set = |line: String, volume: f64| {
        host.line(&line);
        host.wait_for("the volume", |e| {
            e["event"] == "stats" && e["peers"][0]["volume"] == serde_json::json!(volume)
        });
        host.more_stats(2);
    };
    set(format!(r#"{{"do": "volume", "id": {id}, "volume": 0.25}}"#), 0.25);
    set(format!(r#"{{"do": "mute_peer", "id": {id}}}"#), 0.0);
    set(format!(r#"{{"do": "unmute_peer", "id": {id}}}"#), 0.25);
    set(format!(r#"{{"do": "volume", "id": {id}, "volume": 1}}"#), 1.0);
    for (line, word) in [
        (format!(r#"{{"do": "volume", "id": {id}, "volume": 5}}"#), "0 to 4"),
        (r#"{"do": "mute_peer", "id": 77}"#.to_owned(), "77"),
    ] {
        // The schema knows a number's type, not its range.
        host.nonsense(&line);
        host.wait_for("refusal", |e| {
            e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.contains(word))
        });
    }
    host.command("end");
    host.finished();
    ben.command("end");
    let recorded = sound(&ben.finished().path());

    // How loud each half second was: the test sound is even enough for that.
    let power = |samples: &[f32]| {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    };
    let loud: Vec<f32> = read_wav(&heard).chunks_exact(24_000).map(power).collect();
    let full = loud.iter().copied().fold(0.0, f32::max);
    let near =
        |factor: f32| loud.iter().filter(|l| (*l / full / factor - 1.0).abs() < 0.35).count();
    assert!(loud.iter().filter(|l| **l == 0.0).count() >= 3, "muted: {loud:?}");
    assert!(near(0.25) >= 6 && near(1.0) >= 4, "{loud:?}");
    let own: Vec<f32> = recorded.chunks_exact(24_000).map(power).collect();
    assert!(own.iter().all(|l| *l > 0.02), "nobody else hears a difference: {own:?}");
}

#[test]
fn a_microphone_that_gives_nothing_is_told_of_and_recorded_all_the_same() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let wav = room.path().join("nothing.wav");
    write_wav(&wav, &vec![0.0; 48_000 * 60]);
    let mut args = vec!["record".to_owned()];
    args.extend(party(&file(&wav), "off", "off", room.path()));
    args.push("--no-tone".to_owned());
    let mut program = Program::start("record", &args);
    program.wait_for("the warning", |e| {
        e["event"] == "warning"
            && e["code"] == "microphone-silent"
            && e["try"].as_str().is_some_and(|t| t.contains("--mic"))
    });
    program.command("end");
    program.finished().assert_nothing_lost();
}
