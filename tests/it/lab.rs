//! Real ALSA and V4L2 interfaces through the laboratory in `tests/lab`.
//!
//! The tools need packages that not every machine has (tests/lab/README.md); without them these
//! tests say so and pass.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    /// Starts sound and camera in folders of their own; `None` where a package is missing.
    fn start() -> Option<Self> {
        let dir = tempfile::Builder::new()
            .prefix("hyperzoom-lab")
            .tempdir_in(if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" })
            .expect("a folder");
        let lab = Self { dir };
        for arguments in [&["sound-lab", "start", "1"][..], &["camera-lab", "start"][..]] {
            let output = lab.run(arguments);
            if !output.status.success() {
                let why = String::from_utf8_lossy(&output.stderr);
                eprintln!("laboratory not available, nothing tested: {}", why.trim());
                return None;
            }
        }
        Some(lab)
    }

    fn tool(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name)
    }

    /// Runs a tool; a second tool behind `exec` is given by its name too.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut words = arguments.iter();
        let first = words.next().expect("a tool's name");
        Command::new(Self::tool(first))
            .args(words.map(|word| match *word {
                "camera-lab" => Self::tool(word).into_os_string(),
                word => word.into(),
            }))
            .env("SOUNDLAB_DIR", self.dir.path().join("sound"))
            .env("CAMERALAB_DIR", self.dir.path().join("camera"))
            .output()
            .expect("the tool starts")
    }
}

#[test]
fn hyperzoom_devices_lists_the_laboratorys_microphone_speaker_and_camera() {
    let Some(lab) = Lab::start() else { return };
    let output = lab.run(&[
        "sound-lab",
        "exec",
        "1",
        "camera-lab",
        "exec",
        env!("CARGO_BIN_EXE_hyperzoom"),
        "devices",
        "--json",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    for id in ["alsa:lab_mic", "alsa:lab_ear", "/dev/video0", "Lab camera"] {
        assert!(text.contains(id), "{id} in {text}");
    }
    assert!(!errors.contains("ALSA lib"), "the library's noise is kept from the person: {errors}");
}

#[test]
fn sound_devices_that_are_pulled_out_are_taken_back_when_they_return_whatever_the_default_is_then()
{
    use crate::support::process::{Program, real_time};

    let _one = real_time();
    let Some(lab) = Lab::start() else { return };
    for way in ["direct", "system"] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().to_str().expect("a plain name").to_owned();
        let flags = ["host", "--listen", "127.0.0.1:0", "--record-now", "--camera", "off"];
        let more = ["--no-window", "--period", "480", "--sound", way, "--output", &output];
        let config = lab.dir.path().join("sound/asound-1.conf");
        let mut host = Program::start_with("host", &[&flags[..], &more[..]].concat(), |command| {
            command.env("ALSA_CONFIG_PATH", &config);
        });
        host.recorded(1.0);
        let on = |stats: &serde_json::Value| {
            ["microphone", "speaker"].iter().all(|d| stats["sound"][d]["way"] == way)
        };
        let (_, before) = host.wait_for("both devices in the way that was asked for", |e| on(e));
        let names = |stats: &serde_json::Value| {
            ["microphone", "speaker"].map(|d| stats["sound"][d]["name"].clone())
        };
        // Another default, which is always there, is nothing that a call moves to by itself: not
        // now, and not while its own devices are gone.
        let plain = std::fs::read_to_string(&config).expect("the laboratory wrote it");
        std::fs::write(&config, format!("{plain}pcm.!default {{ type null }}\n")).expect("space");
        host.more_stats(2);
        assert!(lab.run(&["sound-lab", "unplug", "1"]).status.success());
        let told = |device: &str, what: &str| {
            host.wait_for(what, |e| {
                e["event"] == "warning"
                    && e["what"].as_str().is_some_and(|w| {
                        w.starts_with(&format!("the {device} ")) && w.contains(what)
                    })
            });
        };
        told("microphone", "is gone");
        told("speaker", "is gone");
        host.more_stats(2);
        let back = |e: &serde_json::Value| {
            e["event"] == "warning" && e["what"].as_str().is_some_and(|w| w.ends_with("is back"))
        };
        assert!(!host.all("warning").iter().any(back), "there is nothing to come back to");
        assert!(lab.run(&["sound-lab", "plug", "1"]).status.success());
        told("microphone", "is back");
        told("speaker", "is back");
        std::fs::write(&config, &plain).expect("space");
        host.more_stats(2);
        let after = host.all("stats").pop().expect("each second");
        assert_eq!(names(&before), names(&after));
        host.command("end");
        let finished = host.finished();
        // What the microphone did not deliver is silence: the file is as long as the session.
        let (seconds, samples) = (&finished.0["seconds"], finished.count("samples"));
        let seconds = seconds.as_f64().expect("a length");
        assert!((samples as f64 / 48_000.0 - seconds).abs() < 0.1, "{samples} in {seconds} s");
    }
}

#[test]
fn a_camera_and_a_microphone_that_vanish_and_return_leave_silence_and_the_last_picture_and_no_seam()
{
    use crate::call::assert_format;
    use crate::support::media::{sound, write_wav};
    use crate::support::process::{Guard, Program, real_time, run};

    let _one = real_time();
    let Some(lab) = Lab::start() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    // A steady tone all the time: a click or a hole in it would be seen.
    let hum = folder.path().join("hum.wav");
    let turn = std::f32::consts::TAU * 440.0 / 48_000.0;
    write_wav(&hum, &(0..60 * 48_000).map(|n| 0.25 * (n as f32 * turn).sin()).collect::<Vec<_>>());
    let play = Command::new(Lab::tool("sound-lab"))
        .args(["play", "1"])
        .arg(&hum)
        .env("SOUNDLAB_DIR", lab.dir.path().join("sound"))
        .stdout(std::process::Stdio::null())
        .spawn();
    let _play = Guard(play.expect("the tool starts"));
    let output = folder.path().to_str().expect("a plain name").to_owned();
    let flags = ["record", "--no-tone", "--no-window", "--output", &output, "--period", "480"];
    let mut program = Program::start_with("record", &flags, |command| {
        command.env("ALSA_CONFIG_PATH", lab.dir.path().join("sound/asound-1.conf"));
        command.env("CAMERALAB_DIR", lab.dir.path().join("camera"));
        command.env("LD_PRELOAD", lab.dir.path().join("camera/labcam.so"));
    });
    program.recorded(2.0);
    for tool in ["sound-lab", "camera-lab"] {
        let arguments: &[&str] =
            if tool == "sound-lab" { &[tool, "unplug", "1"] } else { &[tool, "unplug"] };
        assert!(lab.run(arguments).status.success());
    }
    let told = |program: &Program, device: &str, what: &str| {
        program.wait_for(what, |e| {
            e["event"] == "warning"
                && e["what"]
                    .as_str()
                    .is_some_and(|w| w.starts_with(&format!("the {device} ")) && w.contains(what))
        });
    };
    told(&program, "microphone", "is gone");
    told(&program, "camera", "is gone");
    program.more_stats(3);
    assert!(lab.run(&["sound-lab", "plug", "1"]).status.success());
    assert!(lab.run(&["camera-lab", "plug"]).status.success());
    told(&program, "microphone", "is back");
    told(&program, "camera", "is back");
    program.more_stats(3);
    program.command("end");
    let finished = program.finished();
    finished.assert_nothing_lost();
    assert_format(&finished, 1920, 1080);
    assert_eq!(finished.count("samples"), finished.frames() * 1_600, "no seam in the timeline");
    assert!(finished.count("frames_repeated") >= 60, "{}", finished.0);

    let text = std::fs::read_to_string(finished.folder().join("session_metadata.json"));
    let data: serde_json::Value = serde_json::from_str(&text.expect("it is there")).expect("JSON");
    let events = data["hyperzoom"]["events"].as_array().expect("events").clone();
    let gap = |what: &str| {
        let found = events
            .iter()
            .find(|e| e["kind"] == "gap" && e["what"].as_str().is_some_and(|w| w.contains(what)));
        found.unwrap_or_else(|| panic!("no gap {what} in {events:?}")).clone()
    };
    gap("from the camera");
    gap("from the microphone");
    let listed =
        std::fs::read_to_string(finished.folder().join("sync_timecodes.txt")).expect("it is there");
    assert!(
        listed.contains("no sound from the microphone")
            && listed.contains("no picture from the camera")
    );
    // "... samples A to B are silence"; a loaded machine may have lost a moment elsewhere, too.
    let places = events.iter().filter_map(|e| {
        let words = e["what"].as_str()?.split_once(": samples ")?.1;
        let numbers: Vec<usize> = words.split(' ').filter_map(|w| w.parse().ok()).collect();
        <[usize; 2]>::try_from(numbers).ok()
    });
    let [from, to] = places.max_by_key(|[from, to]| to - from).expect("a gap in the sound");
    let words = format!("samples {from} to {to}");
    let pcm = sound(&finished.path());
    let loud =
        |range: std::ops::Range<usize>| pcm[range].iter().fold(0.0f32, |a, b| a.max(b.abs()));
    // AAC smears an edge over a packet to either side.
    assert!(loud(from + 2_048..to - 2_048) < 1e-3, "{words}");
    let (before, after) = (loud(from - 7_200..from - 2_400), loud(to + 2_400..to + 7_200));
    assert!(before > 0.12 && after > 0.12, "{before} before, {after} after: {words}");
    // A sine of that height moves by 0.0144 from sample to sample; a cut one jumps by up to 0.25.
    let start = 24_000;
    let steps = pcm[start..pcm.len() - 4_800].windows(2).map(|w| (w[1] - w[0]).abs());
    let worst = steps.fold(0.0f32, f32::max);
    assert!(worst < 0.03, "a step of {worst}");
    let (code, report, errors) = run(&["verify", &output], "");
    assert_eq!(code, Some(0), "{report}{errors}");
}
