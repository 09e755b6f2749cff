//! Foreign readers: ffprobe, ffmpeg and MediaInfo. They must be there: `make test` installs them.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Bytes as a file that foreign programs can open.
pub fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn run(program: &str, arguments: &[&str], path: &Path) -> Output {
    Command::new(program).args(arguments).arg(path).output().unwrap_or_else(|error| {
        panic!("{program} cannot be started ({error}): install it, or run `make test`, which does")
    })
}

/// What ffprobe says of the file; `Err` with its complaints.
pub fn ffprobe(bytes: &[u8]) -> Result<Value, String> {
    let file = file(bytes);
    let arguments =
        ["-v", "error", "-show_format", "-show_streams", "-count_packets", "-of", "json"];
    let output = run("ffprobe", &arguments, file.path());
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(complaints);
    }
    let mut answer: Value = serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())?;
    answer["complaints"] = complaints.into();
    Ok(answer)
}

/// Decodes everything with ffmpeg; what it complained of (nothing, for a good file).
pub fn decode(bytes: &[u8]) -> String {
    let file = file(bytes);
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(file.path())
        .args(["-map", "0:v?", "-map", "0:a?", "-f", "null", "-"])
        .output()
        .expect("ffmpeg cannot be started: install it, or run `make test`, which does");
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { complaints } else { format!("failed: {complaints}") }
}

/// MediaInfo's tracks.
pub fn mediainfo(bytes: &[u8]) -> Vec<Value> {
    let file = file(bytes);
    let output = run("mediainfo", &["--Output=JSON"], file.path());
    let answer: Value = serde_json::from_slice(&output.stdout).expect("MediaInfo answers in JSON");
    answer["media"]["track"].as_array().cloned().unwrap_or_default()
}

/// The first stream of a type in ffprobe's answer.
pub fn stream<'a>(answer: &'a Value, kind: &str) -> &'a Value {
    answer["streams"]
        .as_array()
        .and_then(|streams| streams.iter().find(|s| s["codec_type"] == kind))
        .unwrap_or(&Value::Null)
}
