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
fn sound_devices_that_are_pulled_out_of_a_running_call_are_taken_back_when_they_return() {
    use crate::support::process::{Program, real_time};

    let _one = real_time();
    let Some(lab) = Lab::start() else { return };
    for way in ["direct", "system"] {
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().to_str().expect("a plain name").to_owned();
        let flags = ["host", "--listen", "127.0.0.1:0", "--record-now", "--camera", "off"];
        let more = ["--no-window", "--period", "480", "--sound", way, "--output", &output];
        let mut host = Program::start_with("host", &[&flags[..], &more[..]].concat(), |command| {
            command.env("ALSA_CONFIG_PATH", lab.dir.path().join("sound/asound-1.conf"));
        });
        host.recorded(1.0);
        let on = |stats: &serde_json::Value| {
            ["microphone", "speaker"].iter().all(|d| stats["sound"][d]["way"] == way)
        };
        host.wait_for("both devices in the way that was asked for", |e| on(e));
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
        assert!(lab.run(&["sound-lab", "plug", "1"]).status.success());
        told("microphone", "is back");
        told("speaker", "is back");
        host.command("end");
        let finished = host.finished();
        // What the microphone did not deliver is silence: the file is as long as the session.
        let (seconds, samples) = (&finished.0["seconds"], finished.count("samples"));
        let seconds = seconds.as_f64().expect("a length");
        assert!((samples as f64 / 48_000.0 - seconds).abs() < 0.1, "{samples} in {seconds} s");
    }
}
