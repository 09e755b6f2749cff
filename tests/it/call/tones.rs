//! Sync tones, FLAC and the raw track as a whole program writes them.

use hyperzoom::recording::tone;
use serde_json::Value;

use super::party;
use crate::support::media::{ffprobe, plays, sound, stream};
use crate::support::process::{Finished, Program, real_time};

fn record(room: &std::path::Path, mic: &str, more: &[&str]) -> Program {
    let mut args = vec!["record".to_owned()];
    args.extend(party(mic, "off", "off", room));
    args.extend(more.iter().map(|s| (*s).to_owned()));
    Program::start("record", &args)
}

fn extension(finished: &Finished) -> Value {
    let text = std::fs::read_to_string(finished.folder().join("session_metadata.json"));
    let data: Value = serde_json::from_str(&text.expect("it is there")).expect("JSON");
    data["hyperzoom"].clone()
}

#[test]
fn a_recording_has_its_tone_after_two_seconds_and_at_its_end_to_the_sample() {
    let _one = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let mut program = record(room.path(), "off", &[]);
    program.recorded(3.0);
    program.command("end");
    let finished = program.finished();
    let file = sound(&finished.path());
    let tones = extension(&finished)["tones"].clone();
    let told: Vec<(i64, usize)> = tones
        .as_array()
        .expect("a list")
        .iter()
        .map(|t| (t["session_us"].as_i64().unwrap(), t["sample"].as_u64().unwrap() as usize))
        .collect();
    assert_eq!(told.len(), 2, "{tones}");
    assert_eq!(told[0], (2_000_000, 96_000), "T0 of a recorder alone is its start");
    assert!(told[1].0 % 1_000_000 == 0 && told[1].1 as i64 == told[1].0 * 48 / 1_000, "{tones}");
    for (_, sample) in &told {
        let found = tone::locate(&file, *sample + 1_500).expect("the tone is there");
        let error = found.position - *sample as f64;
        println!("tone at sample {sample}: off by {error:.3}, score {:.3}", found.score);
        assert!(error.abs() < 0.2, "{found:?} for {sample}");
    }
    // The file closes after it.
    let length = finished.count("samples") as usize;
    assert_eq!(length, told[1].1 + 14_400);
    let quiet = |s: &[f32]| s.iter().all(|s| s.abs() < 1e-3);
    assert!(quiet(&file[..94_000]) && quiet(&file[110_000..told[1].1 - 2_100]));
}

#[test]
fn flac_beside_the_cards_own_samples_and_no_tone_where_none_is_wanted() {
    let _one = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let flags = ["--no-tone", "--audio-format", "flac", "--raw-audio", "--duration", "3s"];
    let mut program = record(room.path(), "test", &flags);
    let finished = program.finished();
    plays(&finished.path());
    let answer = ffprobe(&finished.path());
    assert_eq!(stream(&answer, "audio")["codec_name"], "flac");
    let file = sound(&finished.path());
    assert_eq!(file.len(), 144_000);
    assert!(extension(&finished)["tones"].as_array().is_none_or(Vec::is_empty));

    let raw_path = finished.folder().join("raw_microphone.flac");
    let raw = sound(&raw_path);
    plays(&raw_path);
    assert!((142_000..150_000).contains(&raw.len()), "{}", raw.len());
    // The test microphone runs by this computer's clock: the file is its samples, read between
    // each other. A tenth of a second of it is found in the raw track to a fraction of a sample.
    let needle = &file[72_000..76_800];
    let found = crate::support::correlate::best_match(&raw, needle).expect("it is there");
    assert!(found.score > 0.99, "{found:?}");
    let times = std::fs::read_to_string(finished.folder().join("raw_microphone.txt")).unwrap();
    let lines: Vec<&str> = times.lines().filter(|l| !l.starts_with('#')).collect();
    assert!((3..=4).contains(&lines.len()), "{times}");
    let first: Vec<i64> = lines[0].split('\t').map(|n| n.parse().unwrap()).collect();
    // The raw track's sample `found` was captured when the file's sample 72,000 was.
    let captured = first[2] as f64 + found.offset * 1e6 / 48_000.0;
    let instant = extension(&finished)["file_start_session_us"].as_i64().unwrap() as f64 + 1.5e6;
    println!("raw and file apart by {:.1} us", captured - instant);
    assert!((captured - instant).abs() < 100.0, "{captured} {instant}");
}
