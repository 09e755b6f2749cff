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
