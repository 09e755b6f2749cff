//! A webcam as its driver shows it (tests/lab/camera-lab) through the whole program: its colours, the
//! offset that is remembered for it, and a machine whose cores others keep busy.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::camera_lab::{CameraLab, Driver};
use crate::support::media::{ffprobe, pictures, stream};
use crate::support::process::{Finished, Guard, Program, real_time};

/// White, yellow, cyan, green, magenta, red, blue, black at 75 %.
const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

/// Y'CbCr codes of a bar (H.273, equations 38 to 40).
fn codes([r, g, b]: [u8; 3], (kr, kb): (f64, f64), full: bool) -> [u8; 3] {
    let [r, g, b] = [r, g, b].map(|code| f64::from(code) / 255.0);
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 - 2.0 * kb), (r - y) / (2.0 - 2.0 * kr));
    let (black, luma, chroma) = if full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
    [black + luma * y, 128.0 + chroma * cb, 128.0 + chroma * cr].map(|code| code.round() as u8)
}

const BT601: (f64, f64) = (0.299, 0.114);
const BT709: (f64, f64) = (0.2126, 0.0722);

/// The bars in a driver's layout; what pads the rows is green.
fn laid_out(driver: Driver, matrix: (f64, f64), full: bool) -> Vec<u8> {
    let Driver { fourcc, width, height, stride, .. } = driver;
    let code = |x: usize, plane: usize| codes(BARS[x * 8 / width], matrix, full)[plane];
    let rows = |count: usize, length: usize, of: &dyn Fn(usize) -> u8| {
        let row: Vec<u8> = (0..stride).map(|i| if i < length { of(i) } else { 0 }).collect();
        row.repeat(count)
    };
    match fourcc {
        "NV12" => {
            let luma = rows(height, width, &|x| code(x, 0));
            let chroma = rows(height / 2, width, &|i| code(i & !1, 1 + i % 2));
            [luma, chroma].concat()
        }
        "YUYV" => rows(height, width * 2, &|i| match i % 4 {
            0 | 2 => code(i / 2, 0),
            1 => code(i / 2, 1),
            _ => code((i / 2) & !1, 2),
        }),
        _ => {
            let rgb: Vec<u8> =
                (0..height).flat_map(|_| (0..width).flat_map(|x| BARS[x * 8 / width])).collect();
            let image = turbojpeg::Image {
                pixels: &rgb[..],
                width,
                pitch: width * 3,
                height,
                format: turbojpeg::PixelFormat::RGB,
            };
            let jpeg = turbojpeg::compress(image, 95, turbojpeg::Subsamp::Sub2x1);
            jpeg.expect("a picture in memory").to_vec()
        }
    }
}

fn record(lab: &CameraLab, room: &Path, mic: &str, more: &[&str]) -> Program {
    let output = room.display().to_string();
    let flags = ["record", "--camera", "/dev/video0", "--mic", mic, "--output", &output];
    Program::start_with("record", &[&flags[..], more].concat(), |command| {
        lab.gives_to(command);
        // What it remembers, it remembers here.
        command.env("XDG_STATE_HOME", room.join("state"));
    })
}

fn metadata(finished: &Finished) -> Value {
    let text = std::fs::read_to_string(finished.folder().join("session_metadata.json"));
    serde_json::from_str(&text.expect("it is there")).expect("JSON")
}

/// The worst pixel in the middle of the bars: Y'CbCr codes by which it is off, in every picture.
fn worst(finished: &Finished, width: usize, height: usize) -> u8 {
    let off = pictures(&finished.path(), width as u32, height as u32, |image| {
        let inside = (0..width).filter(|x| (2..6).contains(&(x * 64 / width % 8)));
        let pixel = |x: usize, y: usize| {
            let chroma = y / 2 * (width / 2) + x / 2;
            let got = [image.y()[y * width + x], image.u()[chroma], image.v()[chroma]];
            let wanted = codes(BARS[x * 8 / width], BT709, false);
            got.iter().zip(wanted).map(|(got, wanted)| got.abs_diff(wanted)).max()
        };
        // Each eighth row: all are alike.
        let places = inside.flat_map(|x| (0..height).step_by(8).map(move |y| (x, y)));
        places.filter_map(|(x, y)| pixel(x, y)).max()
    });
    off.into_iter().flatten().max().expect("there are pictures")
}

#[test]
fn a_webcams_colours_come_out_right_whatever_its_driver_says_and_its_offset_is_remembered() {
    let _one = real_time();
    let Some(lab) = CameraLab::start() else { return };
    let room = tempfile::tempdir().expect("a folder");
    let plain = Driver {
        fourcc: "NV12",
        width: 640,
        height: 480,
        stride: 704,
        colorspace: 8,
        ycbcr_enc: 0,
        quantization: 0,
    };
    // sRGB and no more, as uvcdriver says for most: BT.601, limited. BT.709 and full range by
    // number. A JPEG, whatever is said of it.
    let yuyv = Driver { fourcc: "YUYV", stride: 1_280, ycbcr_enc: 2, quantization: 1, ..plain };
    let jpeg = Driver { fourcc: "MJPG", stride: 0, colorspace: 3, ..plain };
    let runs = [
        (plain, BT601, false, Some("-40"), -40.0),
        (yuyv, BT709, true, None, -40.0),
        (jpeg, BT601, true, Some("0"), 0.0),
    ];
    for (driver, matrix, full, asked, offset) in runs {
        lab.shows(driver, &laid_out(driver, matrix, full));
        let mut flags = vec!["--duration", "1s", "--no-tone"];
        flags.extend(asked.iter().flat_map(|ms| ["--av-offset", ms]));
        let mut program = record(&lab, room.path(), "off", &flags);
        let finished = program.finished();
        finished.assert_nothing_lost();
        let told: Vec<Value> = program.all("warning");
        let told = told.iter().filter_map(|w| w["what"].as_str());
        let told: Vec<&str> = told.filter(|w| w.contains("from last time")).collect();
        assert_eq!(told.len(), usize::from(asked.is_none()), "{told:?}");
        assert_eq!(metadata(&finished)["hyperzoom"]["devices"]["av_offset_ms"], offset);
        let answer = ffprobe(&finished.path());
        for (tag, value) in [
            ("color_range", "tv"),
            ("color_space", "bt709"),
            ("color_primaries", "bt709"),
            ("color_transfer", "bt709"),
        ] {
            assert_eq!(stream(&answer, "video")[tag], value, "{driver:?}");
        }
        let off = worst(&finished, driver.width, driver.height);
        println!("{driver:?}: {off} codes off");
        assert!(off <= 2, "{driver:?}: {off}");
    }
}

/// Programs that do nothing but keep a core busy each, as many as there are cores.
fn busy_cores() -> Vec<Guard> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (0..cores)
        .map(|_| {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            Guard(command.spawn().expect("there is a shell"))
        })
        .collect()
}

/// Records from the camera while others keep every core busy, and tells what became of it.
fn under_load(driver: Driver, picture: &[u8], seconds: u32) {
    let Some(lab) = CameraLab::start() else { return };
    let room = tempfile::tempdir().expect("a folder");
    lab.shows(driver, picture);
    let mut program = record(&lab, room.path(), "test", &["--no-tone"]);
    program.recorded(0.5);
    let busy = busy_cores();
    let others = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    // Second by second: each wait has its limit.
    for n in 1..=seconds {
        program.recorded(f64::from(n) + 0.5);
    }
    drop(busy);
    program.command("end");
    let finished = program.finished();
    let stats = program.all("stats");
    let most = |pointer: &str| {
        stats.iter().filter_map(|s| s.pointer(pointer)?.as_f64()).fold(0.0f64, f64::max)
    };
    let counters = metadata(&finished)["hyperzoom"]["counters"].clone();
    println!(
        "{} {}x{}, every core busy for {seconds} s: captured {}, encoded {}, dropped {}, repeated {}, \
         spilled {}; samples {}, silence {}; most: queue {:.0} ms, {:.0} of {:.0} MiB of pictures, \
         rss {:.0} MB; load {}",
        driver.fourcc,
        driver.width,
        driver.height,
        counters["frames_captured"],
        counters["frames_encoded"],
        counters["frames_dropped"],
        counters["frames_repeated"],
        counters["spilled"],
        counters["samples"],
        counters["samples_silence_filled"],
        most("/recording/queue_ms"),
        most("/recording/queued_bytes") / 1_048_576.0,
        most("/recording/queued_limit_bytes") / 1_048_576.0,
        most("/rss_mb"),
        others.trim(),
    );
    finished.assert_nothing_lost();
    assert_eq!(counters["samples_silence_filled"], 0, "{counters}");
    assert_eq!(finished.count("samples"), finished.frames() * 1_600, "as long as the picture");
    assert!(most("/recording/queued_bytes") <= most("/recording/queued_limit_bytes"));
}

fn raw(width: usize, height: usize) -> (Driver, Vec<u8>) {
    let driver = Driver {
        fourcc: "NV12",
        width,
        height,
        stride: width,
        colorspace: 8,
        ycbcr_enc: 0,
        quantization: 0,
    };
    (driver, laid_out(driver, BT601, false))
}

fn jpeg(width: usize, height: usize) -> (Driver, Vec<u8>) {
    let (driver, _) = raw(width, height);
    let driver = Driver { fourcc: "MJPG", stride: 0, ..driver };
    (driver, laid_out(driver, BT601, true))
}

#[test]
fn nothing_is_lost_while_other_programs_keep_every_core_busy() {
    let _one = real_time();
    let soak = std::env::var_os("HYPERZOOM_SOAK").is_some();
    let ((width, height), seconds) = if soak { ((1920, 1080), 60) } else { ((640, 480), 3) };
    for (driver, picture) in [raw(width, height), jpeg(width, height)] {
        under_load(driver, &picture, seconds);
    }
}
