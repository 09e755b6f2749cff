//! The laboratory's camera (tests/lab/camera-lab), set to one picture in a driver's own layout.

use std::path::Path;
use std::process::Command;

/// A camera of its own folder.
pub struct CameraLab {
    dir: tempfile::TempDir,
}

/// What the driver says of its pictures: rows and colours (the numbers of videodev2.h).
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    pub fourcc: &'static str,
    pub width: usize,
    pub height: usize,
    /// Bytes from one row of luma to the next; 0 for MJPEG.
    pub stride: usize,
    pub colorspace: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
}

impl CameraLab {
    /// Starts it; `None`, and a word of why, where a package is missing.
    pub fn start() -> Option<Self> {
        let memory = Path::new("/dev/shm");
        let within = if memory.is_dir() { memory } else { Path::new("/tmp") };
        let dir = tempfile::Builder::new().prefix("hyperzoom-camera").tempdir_in(within);
        let lab = Self { dir: dir.expect("a folder") };
        if let Err(why) = lab.run(&["start"]) {
            eprintln!("laboratory not available, nothing tested: {}", why.trim());
            return None;
        }
        Some(lab)
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/camera-lab");
        let output = Command::new(tool)
            .args(arguments)
            .env("CAMERALAB_DIR", self.dir.path())
            .output()
            .map_err(|e| e.to_string())?;
        let why = || String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(why()) }
    }

    /// From the next opening on it shows that picture (MJPEG: pictures) in that layout.
    pub fn shows(&self, driver: Driver, picture: &[u8]) {
        let file = self.dir.path().join("picture");
        std::fs::write(&file, picture).expect("memory has room");
        let numbers = [
            driver.width as u32,
            driver.height as u32,
            driver.stride as u32,
            driver.colorspace,
            driver.ycbcr_enc,
            driver.quantization,
        ];
        let numbers = numbers.map(|n| n.to_string());
        let mut words = vec!["raw", driver.fourcc];
        words.extend(numbers.iter().map(String::as_str));
        let file = file.display().to_string();
        words.push(&file);
        self.run(&words).expect("the laboratory takes it");
    }

    /// What a program that is to see it finds around itself.
    pub fn environment(&self) -> [(&'static str, std::path::PathBuf); 2] {
        let dir = self.dir.path();
        [("CAMERALAB_DIR", dir.to_owned()), ("LD_PRELOAD", dir.join("labcam.so"))]
    }

    /// Lets a program see it as `/dev/video0`.
    pub fn gives_to(&self, command: &mut Command) {
        command.envs(self.environment());
    }
}
