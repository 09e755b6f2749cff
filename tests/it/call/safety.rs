//! Safety tracks of real calls: what one heard of the other stands, rendered, where the other's own
//! recording has it; foreign programs read the files; a killed program leaves one that is whole.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;

use hyperzoom::recording::mp4::{Index, TrackKind};
use serde_json::Value;

use super::{guest, host, party, timecode_frames};
use crate::support::correlate::best_match;
use crate::support::media::{
    babble, ffprobe, mediainfo, number, plays, read_wav, sound, stream, write_wav,
};
use crate::support::process::{Finished, file, real_time, run, side_by_side};
use crate::support::schema::check_metadata;

/// Samples a second.
const RATE: usize = 48_000;
/// The silence in the guest's voice, samples of it.
const SILENT: std::ops::Range<usize> = 4 * RATE..5 * RATE + RATE / 2;

fn metadata(folder: &Path) -> Value {
    let text = std::fs::read_to_string(folder.join("session_metadata.json"));
    let data = serde_json::from_str(&text.expect("it is there")).expect("it is JSON");
    check_metadata(&data);
    data
}

/// Runs `hyperzoom render FILE ARGS --json`; its answer.
#[track_caller]
fn rendered(track: &Path, to: &Path) -> Value {
    let (track, to) = (track.display().to_string(), to.display().to_string());
    let (code, out, error) = run(&["render", &track, "--to", &to, "--json"], "");
    assert_eq!(code, Some(0), "{out}{error}");
    serde_json::from_str(&out).expect("a JSON line")
}

/// Instants of the packets as PyAV (Debian's python3-av) tells them, seconds; `None` without it.
fn instants_by_pyav(path: &Path) -> Option<Vec<f64>> {
    const SCRIPT: &str = "import av, sys\nwith av.open(sys.argv[1]) as f:\n    \
                          for p in f.demux(audio=0):\n        \
                          if p.size: print(float(p.pts * p.time_base))";
    let output = Command::new("/usr/bin/python3").args(["-c", SCRIPT]).arg(path).output().ok()?;
    if !output.status.success() {
        eprintln!("no PyAV here: {}", String::from_utf8_lossy(&output.stderr));
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(|line| line.parse().expect("a number")).collect())
}

/// Instants of the packets as ffprobe tells them, seconds.
fn instants(path: &Path) -> Vec<f64> {
    let args = ["-v", "error", "-select_streams", "a", "-show_entries", "packet=pts_time"];
    let output = Command::new("ffprobe").args(args).args(["-of", "csv=p=0"]).arg(path).output();
    let output = output.expect("ffprobe runs");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let time = |line: &str| line.trim_end_matches(',').parse().expect("a number");
    text.lines().filter(|line| !line.is_empty()).map(time).collect()
}

/// The sound as ffmpeg fills the gaps when it is told to, from T0 on.
fn filled_by_ffmpeg(path: &Path, to: &Path) -> Vec<f32> {
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-y", "-i"])
        .arg(path)
        .args([
            "-map",
            "0:a",
            "-af",
            "aresample=async=1:min_hard_comp=0.002:first_pts=0",
            "-ar",
            "48000",
        ])
        .arg(to)
        .status();
    assert!(status.expect("ffmpeg runs").success());
    read_wav(to)
}

/// How far pieces of `own` stand from their place in `heard`, milliseconds; `moved`: how many samples
/// later `own` begins.
fn apart(own: &[f32], heard: &[f32], moved: f64) -> Vec<f64> {
    const PIECE: usize = RATE / 4;
    const NEAR: usize = RATE / 10;
    let mut found = Vec::new();
    for from in (RATE..own.len().saturating_sub(RATE)).step_by(RATE / 2) {
        let piece = &own[from..from + PIECE];
        let loud = piece.iter().map(|s| s * s).sum::<f32>() / PIECE as f32;
        let place = from as f64 + moved;
        let begin = (place as usize).saturating_sub(NEAR);
        let Some(near) = heard.get(begin..begin + PIECE + 2 * NEAR) else { continue };
        if loud < 1e-3 {
            continue;
        }
        if let Some(found_at) = best_match(near, piece).filter(|m| m.score > 0.9) {
            found.push((begin as f64 + found_at.offset - place) / 48.0);
        }
    }
    found
}

fn worst(apart: &[f64]) -> f64 {
    apart.iter().fold(0.0, |most, ms| most.max(ms.abs()))
}

#[test]
fn what_was_heard_of_a_guest_stands_where_its_own_recording_has_it_and_gaps_are_true() {
    let _one = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let path = |name: &str| room.path().join(name);
    let mut voice = babble(33, 25.0);
    voice[SILENT].fill(0.0);
    write_wav(&path("ben.wav"), &voice);
    let (mut ann, invite) = host(party("off", "off", "off", &path("ann")));
    let mut flags = party(&file(&path("ben.wav")), "off", "off", &path("ben"));
    flags.push("--no-safety-tracks".to_owned());
    let mut ben = guest("Ben/the 2nd", &invite, flags);
    ann.recorded(7.0);
    ben.recorded(7.0);
    ben.command("end");
    let bens = ben.finished();
    ann.command("end");
    let anns = ann.finished();

    // What is told, and what lies there.
    let data = metadata(&anns.folder());
    let tracks = data["hyperzoom"]["safety_tracks"].as_array().expect("a list");
    let [track] = &tracks[..] else { panic!("one track, {tracks:?}") };
    assert_eq!((&track["id"], &track["name"]), (&1.into(), &"Ben/the 2nd".into()));
    assert_eq!(track["file"], "remote_audio_Ben-the_2nd.mp4");
    let told = &anns.0["safety_tracks"][0];
    let place = anns.folder().join(track["file"].as_str().expect("a name"));
    assert_eq!(told["path"], place.display().to_string());
    for field in ["packets", "lost", "gaps", "gap_ms", "bytes"] {
        assert_eq!(told[field], track[field], "{field}");
    }
    let their = metadata(&bens.folder());
    assert!(their["hyperzoom"]["safety_tracks"].is_null());
    let left: Vec<PathBuf> = std::fs::read_dir(bens.folder())
        .expect("the folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("remote_audio"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // The silence is a gap of its length, less what the encoder takes to believe it.
    let (gaps, ms) = (track["gaps"].as_u64().expect("n"), track["gap_ms"].as_f64().expect("ms"));
    println!("{gaps} gaps, {ms:.0} ms, {} packets, {} lost", track["packets"], track["lost"]);
    assert!(gaps >= 1 && (900.0..2_500.0).contains(&ms), "{track}");

    // Against the guest's own recording.
    let wav = path("ben-by-ann.wav");
    let answer = rendered(&place, &wav);
    let heard = read_wav(&wav);
    assert_eq!(answer["samples"], heard.len());
    let long = anns.0["seconds"].as_f64().expect("a number");
    assert!((heard.len() as f64 / 48e3 - long).abs() < 1e-3, "as long as the session, {long}");
    // An editor finds T0's time of day in it.
    let tags = &ffprobe(&wav)["format"]["tags"];
    let code = data["hyperzoom"]["start_timecode"].as_str().expect("a timecode");
    assert_eq!(number(&tags["time_reference"]), timecode_frames(code) as f64 * 1_600.0, "{tags}");
    let own = sound(&bens.path());
    let session = |key: &str| their["hyperzoom"][key].as_i64().expect("a number") as f64;
    let moved = (session("file_start_session_us") - session("t0_session_us")) * 0.048;
    let found = apart(&own, &heard, moved);
    println!("render against the guest's own recording, ms: {found:.2?}");
    assert!(found.len() >= 6, "{found:?}");
    assert!(worst(&found) < 3.0, "{found:?}");

    foreign(&place, &data, &own, moved, &path("by-ffmpeg.wav"));

    // No file is replaced without being told to; a damaged one is found.
    let (track, to) = (place.display().to_string(), wav.display().to_string());
    let (code, _, error) = run(&["render", &track, "--to", &to], "");
    assert_eq!(code, Some(1));
    assert!(error.contains("--force"), "{error}");
    let (code, out, _) = run(&["render", &track, "--to", &to, "--force"], "");
    assert!(code == Some(0) && out.contains("ben-by-ann.wav"), "{out}");
    let local = anns.path().display().to_string();
    let (code, _, error) =
        run(&["render", &local, "--to", &path("no.wav").display().to_string()], "");
    assert!(code == Some(1) && error.contains("no safety track"), "{error}");
    assert!(!path("no.wav").exists());
    let folder = anns.folder().display().to_string();
    let (code, out, _) = run(&["verify", &folder], "");
    assert_eq!(code, Some(0), "{out}");
    let mut bytes = std::fs::read(&place).expect("it is there");
    let index = Index::read(&mut Cursor::new(&bytes)).expect("it opens");
    let packets = index.of(TrackKind::Audio);
    bytes[packets[packets.len() / 2].offset as usize + 5] ^= 0x55;
    std::fs::write(&place, bytes).expect("the disk has room");
    let (code, out, _) = run(&["verify", &track], "");
    assert!(code == Some(1) && out.contains("FAILED  hash"), "{out}");
}

/// ffprobe, ffmpeg and MediaInfo see what we see.
#[track_caller]
fn foreign(place: &Path, data: &Value, own: &[f32], moved: f64, wav: &Path) {
    plays(place);
    let own_entry = &data["hyperzoom"]["safety_tracks"][0];
    let answer = ffprobe(place);
    let audio = stream(&answer, "audio");
    assert_eq!((&audio["codec_name"], &audio["sample_rate"]), (&"opus".into(), &"48000".into()));
    assert_eq!(audio["channels"], 1);
    assert_eq!(number(&audio["nb_read_packets"]), own_entry["packets"].as_f64().expect("n"));
    let code = data["hyperzoom"]["start_timecode"].as_str().expect("a timecode");
    assert_eq!(stream(&answer, "data")["tags"]["timecode"], code, "the host's begins at T0");
    let times = instants(place);
    let us = |key: &str| own_entry[key].as_f64().expect("a number");
    let t0 = data["hyperzoom"]["t0_session_us"].as_f64().expect("a number");
    let first = (us("first_session_us") - t0) / 1e6;
    // The decoder's first 2.5 ms lie before the first packet's instant.
    assert!((times[0] - first + 0.0025).abs() < 0.0006, "{} and {first}", times[0]);
    let holes = times.windows(2).filter(|w| w[1] - w[0] > 0.0055);
    assert_eq!(holes.clone().count() as u64, own_entry["gaps"].as_u64().expect("a number"));
    let ms = holes.map(|w| (w[1] - w[0]) * 1e3 - 5.0).sum::<f64>();
    assert!((ms - us("gap_ms")).abs() < 1.0, "{ms} ms of gaps, {}", us("gap_ms"));
    if let Some(by_pyav) = instants_by_pyav(place) {
        assert_eq!(by_pyav.len(), times.len());
        assert!(by_pyav.iter().zip(&times).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let found = apart(own, &filled_by_ffmpeg(place, wav), moved);
    println!("ffmpeg's filling against the guest's own recording, ms: {found:.2?}");
    assert!(found.len() >= 6 && worst(&found) < 3.5, "{found:?}");
    let tracks = mediainfo(place);
    let audio = tracks.iter().find(|t| t["@type"] == "Audio").expect("sound");
    assert_eq!((&audio["Format"], &audio["SamplingRate"]), (&"Opus".into(), &"48000".into()));
    assert_eq!(
        tracks.iter().find(|t| t["@type"] == "Other").expect("timecode")["Type"],
        "Time code"
    );
}

#[test]
fn a_killed_host_leaves_a_track_that_opens_renders_and_is_recovered() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let path = |name: &str| room.path().join(name);
    let (mut ann, invite) = host(party("off", "off", "off", &path("ann")));
    let mut ben = guest("Ben", &invite, party("test", "off", "off", &path("ben")));
    ann.recorded(3.0);
    ann.signal(libc::SIGKILL);
    assert_eq!(ann.exit_code(), None, "it was killed");
    let started = ann.wait("recording_started");
    let folder = Path::new(started["path"].as_str().expect("a path")).with_file_name("");
    let track = folder.join("remote_audio_Ben.mp4");

    // As it lies.
    let answer = ffprobe(&track);
    assert_eq!(stream(&answer, "audio")["codec_name"], "opus");
    plays(&track);
    let lay = rendered(&track, &path("lay.wav"));
    assert!(lay["packets"].as_u64().is_some_and(|n| n > 200), "{lay}");

    let place = folder.display().to_string();
    let (code, out, error) = run(&["recover", &place], "");
    assert_eq!((code, out.matches(": recovered ").count()), (Some(0), 2), "{out}{error}");
    let (code, out, _) = run(&["verify", &place], "");
    assert_eq!((code, out.matches("FAILED").count()), (Some(0), 0), "{out}");
    let whole = rendered(&track, &path("whole.wav"));
    assert!(whole["packets"].as_u64() >= lay["packets"].as_u64(), "{whole}");
    // The file as it lay lacks its last second at most, and what waited for packets overtaken.
    let shown = |answer: &Value| answer["packets"].as_f64().expect("a number");
    assert!(shown(&whole) - shown(&lay) <= 270.0, "{lay} {whole}");
    plays(&track);
    let data = metadata(&folder);
    assert_eq!(data["hyperzoom"]["safety_tracks"][0]["packets"], whole["packets"]);

    ben.command("end");
    let _: Finished = ben.finished();
}
