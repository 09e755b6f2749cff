//! Calls and recordings of real processes over loopback, in real time.
//!
//! Each test here takes [`real_time`]'s or [`crate::support::process::side_by_side`]'s places.

mod bad_input;
mod commands;
mod endings;
mod evening;
mod goes_on;
mod killed;
mod knocks;
mod safety;
mod tones;
#[cfg(target_os = "linux")]
mod window;

use std::path::Path;

use hyperzoom::platform::clock;
use hyperzoom::video::testcard::read_number;
use serde_json::Value;

use crate::support::correlate::best_match;
use crate::support::media::{
    babble, ffprobe, mediainfo, number, pictures, plays, read_clock, read_wav, sound, stream,
    write_wav,
};
use crate::support::process::{Finished, Program, file, real_time};
use crate::support::schema::check_metadata;

/// Devices of a party: microphone, camera, speaker; and where it records.
pub fn party(mic: &str, camera: &str, speaker: &str, output: &Path) -> Vec<String> {
    let output = output.display().to_string();
    let flags = ["--mic", mic, "--camera", camera, "--speaker", speaker, "--output", &output];
    flags.map(str::to_owned).to_vec()
}

/// Starts a host on any free port; it and its invite.
pub fn host(flags: Vec<String>) -> (Program, String) {
    let mut args: Vec<String> = ["host", "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    args.extend(flags);
    let host = Program::start("host", &args);
    let invite = host.wait("ready")["invite"].as_str().expect("an invite").to_owned();
    (host, invite)
}

/// Starts a guest of that name.
pub fn guest(name: &str, invite: &str, flags: Vec<String>) -> Program {
    let mut args: Vec<String> = ["join", invite, "--name", name].map(str::to_owned).to_vec();
    args.extend(flags);
    Program::start(name, &args)
}

/// The file is what the PRD promises (4.3.1, 4.3.2), in ffprobe and in MediaInfo, holds as many
/// pictures as were told, and plays without a fault.
#[track_caller]
pub fn assert_format(finished: &Finished, width: u64, height: u64) {
    let path = finished.path();
    let answer = ffprobe(&path);
    let video = stream(&answer, "video");
    let frames = finished.frames();
    let expected: [(&str, Value); 13] = [
        ("codec_name", "h264".into()),
        ("profile", "High".into()),
        ("level", 41.into()),
        ("pix_fmt", "yuv420p".into()),
        ("color_range", "tv".into()),
        ("color_space", "bt709".into()),
        ("color_transfer", "bt709".into()),
        ("color_primaries", "bt709".into()),
        ("width", width.into()),
        ("height", height.into()),
        ("r_frame_rate", "30/1".into()),
        ("avg_frame_rate", "30/1".into()),
        ("nb_read_packets", frames.to_string().into()),
    ];
    for (field, value) in expected {
        assert_eq!(video[field], value, "video {field} in {}", path.display());
    }
    let audio = stream(&answer, "audio");
    let expected: [(&str, Value); 4] = [
        ("codec_name", "aac".into()),
        ("profile", "LC".into()),
        ("sample_rate", "48000".into()),
        ("channels", 1.into()),
    ];
    for (field, value) in expected {
        assert_eq!(audio[field], value, "audio {field} in {}", path.display());
    }
    let apart = number(&audio["duration"]) - number(&video["duration"]);
    assert!(apart.abs() <= 1_024.0 / 48_000.0, "sound and picture differ by {apart} s");
    assert!(
        (finished.0["seconds"].as_f64().unwrap() - number(&answer["format"]["duration"])).abs()
            < 0.01
    );
    let code = stream(&answer, "data");
    assert_eq!(code["codec_tag_string"], "tmcd");
    assert_eq!(code["tags"]["timecode"], video["tags"]["timecode"]);

    let tracks = mediainfo(&path);
    let track = |kind: &str| tracks.iter().find(|t| t["@type"] == kind).expect(kind);
    let expected = [
        ("Format", "AVC"),
        ("Format_Profile", "High"),
        ("Format_Level", "4.1"),
        ("FrameRate_Mode", "CFR"),
        ("FrameRate", "30.000"),
        ("ChromaSubsampling", "4:2:0"),
        ("BitDepth", "8"),
        ("ScanType", "Progressive"),
        ("colour_range", "Limited"),
        ("colour_primaries", "BT.709"),
        ("transfer_characteristics", "BT.709"),
        ("matrix_coefficients", "BT.709"),
    ];
    for (field, value) in expected {
        assert_eq!(track("Video")[field], value, "MediaInfo, video {field}");
    }
    assert_eq!(track("Video")["FrameCount"], frames.to_string());
    let expected = [
        ("Format", "AAC"),
        ("Format_AdditionalFeatures", "LC"),
        ("SamplingRate", "48000"),
        ("Channels", "1"),
        ("BitRate", "192000"),
        ("BitRate_Mode", "CBR"),
    ];
    for (field, value) in expected {
        assert_eq!(track("Audio")[field], value, "MediaInfo, audio {field}");
    }
    assert_eq!(track("Other")["Type"], "Time code");
    plays(&path);
}

/// The session's metadata: the PRD's fields with its types (section 7).
#[track_caller]
fn metadata(finished: &Finished) -> Value {
    let text = std::fs::read_to_string(finished.folder().join("session_metadata.json"));
    let data: Value = serde_json::from_str(&text.expect("it is there")).expect("it is JSON");
    check_metadata(&data);
    assert!(data["session_id"].as_str().is_some_and(|id| id.len() >= 8), "{data}");
    let started = data["started_at_utc"].as_str().expect("a text");
    assert!(chrono::DateTime::parse_from_rfc3339(started).is_ok() && started.ends_with('Z'));
    let seconds = finished.0["seconds"].as_f64().expect("a number");
    assert_eq!(data["duration_seconds"].as_u64(), Some(seconds.round() as u64));
    for person in data["participants"].as_array().expect("a list") {
        assert!(person["id"].is_u64() && person["name"].is_string(), "{person}");
        assert!(person["clock_offset_ms"].is_i64(), "{person}");
    }
    let recording = &data["recording"];
    let expected: [(&str, Value); 9] = [
        ("video_codec", "H.264 High@4.1".into()),
        ("video_resolution", "640x360".into()),
        ("video_fps", 30.into()),
        ("audio_codec", "AAC-LC".into()),
        ("audio_sample_rate", 48_000.into()),
        ("audio_bitrate_kbps", 192.into()),
        ("container", "MP4".into()),
        ("total_frames_captured", finished.count("frames_captured").into()),
        ("total_frames_dropped", 0.into()),
    ];
    for (field, value) in expected {
        assert_eq!(recording[field], value, "{field}");
    }
    assert!(recording["video_bitrate_kbps"].is_u64(), "{recording}");
    data
}

/// Frames since midnight of a timecode `HH:MM:SS:FF`.
fn timecode_frames(code: &str) -> i64 {
    let parts: Vec<i64> = code.split(':').map(|p| p.parse().expect("digits")).collect();
    ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 30 + parts[3]
}

/// What one party's file shows.
struct Seen {
    /// Timecode of the first picture, frames since midnight.
    first: i64,
    /// Each picture's number and the time of day in it, milliseconds.
    pictures: Vec<(u64, u64)>,
}

fn look(finished: &Finished) -> Seen {
    let path = finished.path();
    let answer = ffprobe(&path);
    let code = stream(&answer, "video")["tags"]["timecode"].as_str().expect("a timecode");
    let pictures: Vec<_> = pictures(&path, 640, 360, |p| {
        (read_number(p).expect("a number in each picture"), read_clock(p).expect("a clock"))
    });
    assert_eq!(pictures.len() as u64, finished.frames(), "decoded pictures");
    Seen { first: timecode_frames(code), pictures }
}

/// Pieces of half a second of `sound`, from second 3 to 7 of it.
fn pieces(sound: &[f32]) -> impl Iterator<Item = &[f32]> {
    (0..8).map(move |i| &sound[(3 * 48_000 + i * 24_000)..][..24_000])
}

/// Share of `sound`, from second 3 to 7, that `heard` has in its place, and the median score.
///
/// Found once as a whole, then syllable by syllable near there: the playout may play a little
/// faster (0.5 %) or conceal some milliseconds, which moves what follows.
fn likeness(heard: &[f32], sound: &[f32]) -> (f64, f64) {
    const SYLLABLE: usize = 2_880;
    const NEAR: i64 = 2_400;
    let lag = pieces(sound)
        .step_by(2)
        .enumerate()
        .filter_map(|(i, piece)| {
            let found = best_match(heard, &piece[..12_000])?;
            Some((found.score, found.offset as i64 - (3 + i as i64) * 48_000))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or(0, |found| found.1);
    let mut scores: Vec<f64> = (3 * 48_000..7 * 48_000)
        .step_by(SYLLABLE)
        .map(|at| {
            let from = (at as i64 + lag - NEAR).max(0) as usize;
            let to = (from + SYLLABLE + 2 * NEAR as usize).min(heard.len());
            let found = heard.get(from..to).and_then(|h| best_match(h, &sound[at..][..SYLLABLE]));
            found.map_or(0.0, |m| m.score)
        })
        .collect();
    scores.sort_by(f64::total_cmp);
    let there = scores.iter().filter(|s| **s > 0.7).count() as f64 / scores.len() as f64;
    (there, scores[scores.len() / 2])
}

/// When the thread of that name began, on the local clock, microseconds; the system tells it in
/// hundredths of a second, rounded down.
#[cfg(target_os = "linux")]
fn thread_began(program: &Program, name: &str) -> Option<i64> {
    let boot_time = || {
        let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `t` is a valid place to write to; the clock exists on every Linux.
        unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &mut t) };
        t.tv_sec * 1_000_000 + t.tv_nsec / 1_000
    };
    for task in std::fs::read_dir(format!("/proc/{}/task", program.id())).ok()?.flatten() {
        let comm = std::fs::read_to_string(task.path().join("comm")).ok()?;
        if comm.trim() == name {
            let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
            // Field 22 of proc(5); the name in brackets is field 2.
            let field = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
            let began: i64 = field.parse().ok()?;
            return Some(began * 10_000 - boot_time() + clock::now().0);
        }
    }
    None
}

#[test]
fn two_processes_hear_and_see_each_other_and_record_in_step() {
    let _one = real_time();
    let room = tempfile::tempdir().expect("a folder");
    let path = |name: &str| room.path().join(name);
    let voices = [babble(11, 25.0), babble(22, 25.0)];
    write_wav(&path("ann.wav"), &voices[0]);
    write_wav(&path("ben.wav"), &voices[1]);
    let flags = |mic: &str, heard: &str, output: &str| {
        party(&file(&path(mic)), "test:640x360", &file(&path(heard)), &path(output))
    };
    let mut ann = flags("ann.wav", "heard-by-ann.wav", "ann");
    ann.extend(["--name", "Ann", "--session", "Pilot one"].map(str::to_owned));
    let (mut ann, invite) = host(ann);
    let mut ben = guest("Ben", &invite, flags("ben.wav", "heard-by-ben.wav", "ben"));

    let joined = ann.wait("peer_joined");
    assert_eq!((&joined["id"], &joined["name"]), (&1.into(), &"Ben".into()));
    let joined = ben.wait("peer_joined");
    assert_eq!((&joined["id"], &joined["name"]), (&0.into(), &"Ann".into()));
    let clock_event = ben.wait("clock");
    ann.recorded(7.0);
    ben.recorded(7.0);
    #[cfg(target_os = "linux")]
    let microphones = [thread_began(&ann, "mic-play"), thread_began(&ben, "mic-play")];

    // One ends by a signal, which the other is told at once; the other by a command.
    ben.signal(libc::SIGTERM);
    let left = ann.wait("peer_left");
    assert_eq!((&left["id"], &left["reason"]), (&1.into(), &"bye".into()));
    let bens = ben.finished();
    assert_eq!(ben.wait("ended")["reason"], "signal");
    ann.command("end");
    let anns = ann.finished();
    assert_eq!(ann.wait("ended")["reason"], "command");

    for (program, finished) in [(&ann, &anns), (&ben, &bens)] {
        let started = program.wait("recording_started");
        assert_eq!(started["path"], finished.0["path"]);
        finished.assert_nothing_lost();
        assert_format(finished, 640, 360);
        sees_the_other(program);
        for kind in ["error", "warning"] {
            let told = program.all(kind);
            // A crowded machine may hold the encoder up; that costs live pictures and no others.
            let harmless = |e: &Value| {
                let what = e["what"].as_str().unwrap_or_default();
                what.contains("GB are free") || what.contains("encoder is behind")
            };
            assert!(told.iter().all(harmless), "{told:?}");
        }
    }

    // Sound: each hears the other and not itself; each file holds its own microphone.
    for (heard, own, other, whose) in
        [("heard-by-ann.wav", 0, 1, "Ann"), ("heard-by-ben.wav", 1, 0, "Ben")]
    {
        let heard = read_wav(&path(heard));
        let (there, usual) = likeness(&heard, &voices[other]);
        let (own_there, own) = likeness(&heard, &voices[own]);
        println!(
            "{whose} hears the other: {:.0} % (score {usual:.3}), itself: {:.0} % ({own:.3})",
            there * 100.0,
            own_there * 100.0
        );
        assert!(there > 0.85 && usual > 0.85, "{whose} hears the other: {there}, {usual}");
        assert!(own_there < 0.25 && own < 0.5, "{whose} hears itself: {own_there}, {own}");
    }
    let data = [metadata(&anns), metadata(&bens)];
    let mut began = Vec::new();
    for (i, finished) in [&anns, &bens].into_iter().enumerate() {
        let recorded = sound(&finished.path());
        let found: Vec<_> = pieces(&voices[i])
            .map(|p| best_match(&recorded, p).expect("longer than the piece"))
            .collect();
        for (n, piece) in found.iter().enumerate() {
            // The sync tones are mixed into one or two of them.
            assert!(piece.score > 0.93, "piece {n} in {}: {piece:?}", finished.path().display());
            // Nothing missing and nothing twice in between.
            let apart = piece.offset - found[0].offset - n as f64 * 24_000.0;
            assert!(apart.abs() < 1.0, "piece {n} is off by {apart} samples");
        }
        let (there, other) = likeness(&recorded, &voices[1 - i]);
        assert!(there < 0.25 && other < 0.5, "the other in the own file: {there}, {other}");
        // When the microphone's file began to play, on the session clock, by this recording.
        let file_start = data[i]["hyperzoom"]["file_start_session_us"].as_i64().expect("a number");
        began.push(file_start as f64 + (found[0].offset / 48_000.0 - 3.0) * 1e6);
    }

    // The session clock: the host's, which began at the time of day that the metadata tells; here
    // both have the same clock, so the guest's offset is known.
    let utc_less_local = chrono::Utc::now().timestamp_micros() - clock::now().0;
    let epoch = data[0]["hyperzoom"]["session_epoch_utc_us"].as_i64().expect("a number");
    let zero = epoch - utc_less_local;
    let offset = clock_event["offset_ms"].as_f64().expect("a number") * 1e3;
    let wrong = offset + zero as f64;
    println!("the guest's session clock is off by {wrong:.0} us");
    assert!(wrong.abs() < 2_000.0, "the guest's session clock is off by {wrong} us");
    #[cfg(target_os = "linux")]
    for (i, thread) in microphones.into_iter().enumerate() {
        let Some(thread) = thread else { panic!("no thread mic-play") };
        let late = began[i] - (thread - zero) as f64;
        println!("file {i}: its sound stands {:.1} ms behind its thread's start", late / 1e3);
        assert!((-3_000.0..60_000.0).contains(&late), "file {i}: {late} us");
    }

    in_step([&anns, &bens], [look(&anns), look(&bens)]);
    files_around(&anns, &bens, &data);
}

/// The other's test picture arrives as it should.
#[track_caller]
fn sees_the_other(program: &Program) {
    let stats = program.all("stats");
    let seen: Vec<(f64, u64, u64)> = stats
        .iter()
        .filter_map(|s| {
            let video = &s["peers"][0]["video"];
            let delay = video["delay_ms"].as_f64()?;
            assert!((0.1..2_000.0).contains(&delay), "{video}");
            Some((s["t"].as_f64()?, video["counter"].as_u64()?, video["shown"].as_u64()?))
        })
        .collect();
    assert!(seen.len() >= 5, "pictures in {} of {} seconds", seen.len(), stats.len());
    assert!(seen.windows(2).all(|w| w[0].1 < w[1].1), "counters rise: {seen:?}");
    let (first, last) = (seen[1], seen[seen.len() - 1]);
    let seconds = last.0 - first.0;
    let fps = (last.2 - first.2) as f64 / seconds;
    let rate = (last.1 - first.1) as f64 / seconds;
    println!("the other's picture: {fps:.1} fps of a camera with {rate:.1}");
    assert!((20.0..=26.0).contains(&fps), "about 24 pictures a second, got {fps}");
    assert!((25.0..=35.0).contains(&rate), "numbers rise by 30 a second, got {rate}");
    let peer = &stats[stats.len() - 2]["peers"][0];
    for field in ["rtt_ms", "loss_percent", "jitter_ms", "playout_ms", "audio_latency_ms"] {
        assert!(peer[field].is_f64(), "{field}: {peer}");
    }
}

/// Numbers rise by one a picture, and equal timecodes are equal instants.
#[track_caller]
fn in_step(finished: [&Finished; 2], seen: [Seen; 2]) {
    for (finished, seen) in finished.iter().zip(&seen) {
        let numbers: Vec<u64> = seen.pictures.iter().map(|p| p.0).collect();
        // A camera whose phase is unlucky at the start shows its first picture twice, and says so.
        let repeated = finished.count("frames_repeated");
        assert!(repeated <= 1 && finished.count("cadence_discarded") == 0, "{}", finished.0);
        let again = numbers.windows(2).filter(|w| w[1] == w[0]).count() as u64;
        let on = numbers.windows(2).filter(|w| w[1] == w[0] + 1).count() as u64;
        assert_eq!((again, on), (repeated, finished.frames() - 1 - repeated), "{numbers:?}");
    }
    let [ann, ben] = seen;
    // A picture of a free-running camera stands at most one slot from its instant.
    let (mut worst, mut compared) = (0i64, 0);
    for (i, (_, clock)) in ben.pictures.iter().enumerate() {
        let at = ben.first + i as i64 - ann.first;
        let Some((_, other)) = usize::try_from(at).ok().and_then(|at| ann.pictures.get(at)) else {
            continue;
        };
        let apart = (*clock as i64 - *other as i64 + 43_200_000).rem_euclid(86_400_000);
        worst = worst.max((apart - 43_200_000).abs());
        compared += 1;
    }
    println!("pictures of equal timecode were taken at most {worst} ms apart");
    assert!(compared > 150 && worst <= 50, "{compared} pictures, {worst} ms");
}

/// Folder names, the metadata of both, the text for people.
#[track_caller]
fn files_around(ann: &Finished, ben: &Finished, data: &[Value; 2]) {
    for (finished, data, other) in [(ann, &data[0], "Ben"), (ben, &data[1], "Ann")] {
        let folder = finished.folder();
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(name.ends_with("_Pilot_one"), "{name}");
        let stamp = chrono::NaiveDateTime::parse_from_str(&name[..19], "%Y-%m-%d_%H-%M-%S");
        assert!(stamp.is_ok(), "{name}");
        let people: Vec<_> = data["participants"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|p| (p["id"].as_u64(), p["name"].as_str()))
            .collect();
        assert_eq!(people, [(Some(0), Some("Ann")), (Some(1), Some("Ben"))]);
        let text = std::fs::read_to_string(folder.join("sync_timecodes.txt")).expect("it is there");
        let code = data["hyperzoom"]["start_timecode"].as_str().expect("a timecode");
        assert!(text.contains(code) && text.contains("Ann") && text.contains("Ben"), "{text}");
        let answer = ffprobe(&finished.path());
        assert_eq!(stream(&answer, "video")["tags"]["timecode"], code);
        let mut names: Vec<_> = std::fs::read_dir(&folder)
            .expect("the folder")
            .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "frame_log.csv",
                "hyperzoom.log",
                "local_recording.mp4",
                &format!("remote_audio_{other}.mp4"),
                "session_metadata.json",
                "sync_timecodes.txt"
            ]
        );
        let log = std::fs::read_to_string(folder.join("hyperzoom.log")).expect("it is there");
        assert!(log.contains(" recording to ") && log.contains(" ended ("), "{log}");
        assert!(!log.contains('#'), "no key in what is handed on: {log}");
        // Each lists the clocks of both, as their owners measured them.
        let clocks: Vec<_> = data["hyperzoom"]["clocks"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| (c["id"].as_u64(), c["uncertainty_ms"].as_f64().is_some_and(|u| u < 100.0)))
            .collect();
        assert_eq!(clocks, [(Some(0), true), (Some(1), true)]);
    }
    for field in ["session_id", "started_at_utc"] {
        assert_eq!(data[0][field], data[1][field], "{field}");
    }
}
