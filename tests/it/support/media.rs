//! Recordings as foreign programs read them, and the sounds that tests play.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use hyperzoom::video::font;
use hyperzoom::video::image::I420;
use serde_json::Value;

use super::sim::SimRng;

/// Runs a tool to its end; standard output, and standard error, which must be silent in ffmpeg and
/// ffprobe when nothing is wrong.
fn tool(program: &str, args: &[&str], path: &Path) -> (Vec<u8>, String, bool) {
    let mut command = Command::new(program);
    for arg in args {
        match *arg {
            "FILE" => command.arg(path),
            arg => command.arg(arg),
        };
    }
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!("{program} does not run ({e}); install ffmpeg and mediainfo for this test")
    });
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.stdout, error, output.status.success())
}

/// ffprobe's answer, which must come without complaint; every packet is counted.
#[track_caller]
pub fn ffprobe(path: &Path) -> Value {
    let args =
        ["-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json", "FILE"];
    let (answer, error, ok) = tool("ffprobe", &args, path);
    assert!(ok && error.is_empty(), "ffprobe {}: {error}", path.display());
    serde_json::from_slice(&answer).expect("ffprobe writes JSON")
}

/// The stream of that kind.
#[track_caller]
pub fn stream<'a>(answer: &'a Value, kind: &str) -> &'a Value {
    let streams = answer["streams"].as_array().expect("ffprobe lists streams");
    let found = streams.iter().find(|s| s["codec_type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {answer}"))
}

/// A number that ffprobe writes as text.
#[track_caller]
pub fn number(value: &Value) -> f64 {
    let text = value.as_str().unwrap_or_else(|| panic!("{value} is no text"));
    text.parse().unwrap_or_else(|_| panic!("{value} is no number"))
}

/// MediaInfo's tracks.
#[track_caller]
pub fn mediainfo(path: &Path) -> Vec<Value> {
    let (answer, error, ok) = tool("mediainfo", &["--Output=JSON", "FILE"], path);
    assert!(ok, "mediainfo {}: {error}", path.display());
    let answer: Value = serde_json::from_slice(&answer).expect("mediainfo writes JSON");
    answer["media"]["track"].as_array().expect("mediainfo lists tracks").clone()
}

/// Decodes everything, stopping at the first fault; there must be none.
#[track_caller]
pub fn plays(path: &Path) {
    let args = ["-v", "error", "-xerror", "-i", "FILE", "-f", "null", "-"];
    let (_, error, ok) = tool("ffmpeg", &args, path);
    assert!(ok && error.is_empty(), "ffmpeg {}: {error}", path.display());
}

/// The sound, decoded, mono.
#[track_caller]
pub fn sound(path: &Path) -> Vec<f32> {
    decoded(&["-v", "error", "-i", "FILE", "-map", "0:a", "-f", "f32le", "-"], path)
}

/// The same by a reader that knows no edit lists.
#[track_caller]
pub fn sound_without_edit_lists(path: &Path) -> Vec<f32> {
    let reader = ["-v", "error", "-ignore_editlist", "1", "-i", "FILE"];
    decoded(&[&reader[..], &["-map", "0:a", "-f", "f32le", "-"]].concat(), path)
}

#[track_caller]
fn decoded(args: &[&str], path: &Path) -> Vec<f32> {
    let (bytes, error, ok) = tool("ffmpeg", args, path);
    assert!(ok && error.is_empty(), "ffmpeg {}: {error}", path.display());
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Decodes every picture, one by one, and looks at it.
#[track_caller]
pub fn pictures<T>(
    path: &Path,
    width: u32,
    height: u32,
    mut look: impl FnMut(&I420) -> T,
) -> Vec<T> {
    let mut child = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(path)
        .args(["-map", "0:v", "-fps_mode", "passthrough", "-f", "rawvideo"])
        .args(["-pix_fmt", "yuv420p", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ffmpeg is installed");
    let mut stdout = child.stdout.take().expect("it is piped");
    let mut image = I420::black(width, height);
    let mut seen = Vec::new();
    while stdout.read_exact(&mut image.data).is_ok() {
        seen.push(look(&image));
    }
    assert!(child.wait().expect("it is our child").success(), "ffmpeg {}", path.display());
    seen
}

/// The time of day that the test picture shows to people, milliseconds; `None` where it cannot be
/// read. The places are [`hyperzoom::video::testcard`]'s for an undistorted picture.
pub fn read_clock(image: &I420) -> Option<u64> {
    let (width, height) = (image.width, image.height);
    let even = |n: u32| n & !1;
    let scale = (width * 9 / 10 / (20 * font::ADVANCE)).min(height * 12 / 100 / font::HEIGHT);
    let scale = if scale > 1 { even(scale) } else { 1 };
    let (left, top) = (even(width / 20), even(height * 61 / 100));
    let lit = |x: u32, y: u32| {
        let (x, y) = (left + x * scale + scale / 2, top + y * scale + scale / 2);
        image.y()[(y * width + x) as usize] > 140
    };
    let digit = |place: u32| {
        let fits = |n: &char| {
            let rows = font::glyph(*n);
            let wrong: u32 = (0..font::HEIGHT)
                .flat_map(|row| (0..font::WIDTH).map(move |column| (row, column)))
                .map(|(row, column)| {
                    let set = rows[row as usize] & (0x10 >> column) != 0;
                    u32::from(set != lit(place * font::ADVANCE + column, row))
                })
                .sum();
            // Digits differ in more dots than that.
            wrong <= 1
        };
        ('0'..='9').find(fits).and_then(|c| c.to_digit(10)).map(u64::from)
    };
    let two = |place| Some(digit(place)? * 10 + digit(place + 1)?);
    let millis = digit(9)? * 100 + two(10)?;
    Some(((two(0)? * 60 + two(3)?) * 60 + two(6)?) * 1000 + millis)
}

/// Speech-like sound that is like no other seed's: overlapping short sweeps between 300 and 1,800
/// Hz, louder and quieter, some 15 dB below full scale, 48 kHz. No higher, so that half a percent
/// of speed leaves 60 ms of it recognisable.
pub fn babble(seed: u64, seconds: f64) -> Vec<f32> {
    let mut rng = SimRng::new(seed);
    let mut out = vec![0.0f32; (seconds * 48_000.0) as usize];
    let mut at = 0usize;
    while at < out.len() {
        let length = 2_400 + (rng.unit() * 7_200.0) as usize;
        let (from, to) = (300.0 + 1_500.0 * rng.unit(), 300.0 + 1_500.0 * rng.unit());
        let amplitude = 0.1 + 0.2 * rng.unit();
        for (i, sample) in out[at..].iter_mut().take(length).enumerate() {
            let t = i as f64 / 48_000.0;
            let part = i as f64 / length as f64;
            let window = (std::f64::consts::PI * part).sin().powi(2);
            let turns = from * t + (to - from) * t * part / 2.0;
            *sample += (amplitude * window * (std::f64::consts::TAU * turns).sin()) as f32;
        }
        at += length / 2;
    }
    out
}

/// Writes samples as a WAV file of 16 bits at 48 kHz.
pub fn write_wav(path: &Path, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 48_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("the file can be made");
    for sample in samples {
        writer.write_sample((sample * 32_767.0) as i16).expect("the disk has room");
    }
    writer.finalize().expect("the disk has room");
}

/// First channel of a WAV file.
pub fn read_wav(path: &Path) -> Vec<f32> {
    let mut reader = hound::WavReader::open(path).expect("a WAV file");
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    match spec.sample_format {
        hound::SampleFormat::Float => {
            reader.samples::<f32>().step_by(channels).map(|s| s.expect("whole")).collect()
        }
        hound::SampleFormat::Int => {
            let full = (1i64 << (spec.bits_per_sample - 1)) as f32;
            let samples = reader.samples::<i32>().step_by(channels);
            samples.map(|s| s.expect("whole") as f32 / full).collect()
        }
    }
}
