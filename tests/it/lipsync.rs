//! `hyperzoom doctor --clap`, and the same before a call, on claps that are made here.

use std::path::Path;

use crate::call::party;
use crate::support::media::write_wav;
use crate::support::process::{file, run, side_by_side};
use crate::support::terminal::Terminal;

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
/// Seconds at which hands meet.
const CLAPS: [f64; 5] = [1.0, 2.113, 3.267, 4.301, 5.39];
const SECONDS: usize = 7;

/// Bars that approach each other for a fifth of a second, meet, and part slowly: the luma of each picture.
fn clapping(claps: &[f64], seconds: usize) -> impl Iterator<Item = Vec<u8>> {
    (0..seconds * 30).map(|n| {
        let now = n as f64 / 30.0;
        let away = claps.iter().map(|clap| now - clap);
        let near = away.min_by(|a, b| a.abs().total_cmp(&b.abs())).expect("claps");
        let gap = match near {
            away if (-0.2..0.0).contains(&away) => -away * 5.0,
            away if (0.0..0.6).contains(&away) => (away * 0.5).min(0.3),
            _ => 0.7,
        };
        let further = |y: usize| usize::from((gap * 28.0).fract() * HEIGHT as f64 > y as f64);
        let reach = |y: usize| (gap * 28.0) as usize + further(y);
        let dark = |i: usize| (i % WIDTH).abs_diff(WIDTH / 2) <= reach(i / WIDTH);
        (0..WIDTH * HEIGHT).map(|i| if dark(i) { 40 } else { 200 }).collect()
    })
}

fn write_y4m(path: &Path) {
    let mut data = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip C420\n").into_bytes();
    for luma in clapping(&CLAPS, SECONDS) {
        data.extend(b"FRAME\n");
        data.extend(luma);
        data.extend([128; WIDTH * HEIGHT / 2]);
    }
    std::fs::write(path, data).expect("written");
}

/// What is heard of it.
fn write_claps(path: &Path, claps: &[f64], seconds: usize) {
    let mut sound = vec![0.0f32; seconds * 48_000];
    for clap in claps {
        let at = (clap * 48_000.0) as usize;
        for n in 0..2_400 {
            let sign = if n % 7 < 3 { 1.0 } else { -1.0 };
            sound[at + n] = sign * 0.5 * (-(n as f32) / 300.0).exp();
        }
    }
    write_wav(path, &sound);
}

#[test]
fn claps_are_seen_and_heard_and_their_delay_is_told() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let (wav, y4m) = (room.path().join("claps.wav"), room.path().join("claps.y4m"));
    write_claps(&wav, &CLAPS, SECONDS);
    write_y4m(&y4m);
    let args = ["doctor", "--clap", "--json", "--mic", &file(&wav), "--camera", &file(&y4m)];
    let (code, out, error) = run(&args, "");
    assert_eq!(code, Some(0), "{out}{error}");
    assert!(error.contains("Clap 5 times") && error.contains("heard 5"), "{error}");
    let found: serde_json::Value = serde_json::from_str(&out).expect("one object");
    // Both files begin when they are opened: how far apart that is, is the delay here.
    let late = found["late_ms"].as_f64().expect("a number");
    let spread = found["spread_ms"].as_f64().expect("a number");
    assert!(late.abs() < 200.0 && spread < 10.0, "{found}");
    assert_eq!((&found["claps"], &found["kept"]), (&5.into(), &false.into()), "{found}");
    // What nobody claps in is told.
    let args = ["doctor", "--clap", "--mic", "off", "--camera", "off"];
    let (code, _, error) = run(&args, "");
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("try --camera"), "{error}");
}

/// The screen before the call of a host with these devices; `adjust` as in [`Terminal::start`].
fn before(
    room: &Path,
    mic: &str,
    camera: &str,
    adjust: impl FnOnce(&mut portable_pty::CommandBuilder),
) -> Terminal {
    let mut args: Vec<String> =
        ["host", "--listen", "127.0.0.1:0", "--loop-files"].map(str::to_owned).into();
    args.extend(party(mic, camera, "off", &room.join("out")));
    let state = room.join("state");
    let terminal = Terminal::start(&args, |command| {
        command.env("XDG_STATE_HOME", &state);
        adjust(command);
    });
    terminal.shows("before the call");
    terminal
}

#[test]
fn before_the_call_claps_that_are_not_seen_are_told_and_the_screen_stays() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let wav = room.path().join("claps.wav");
    write_claps(&wav, &CLAPS, SECONDS);
    let mut ana = before(room.path(), &file(&wav), "test:320x180", |_| {});
    ana.shows("Put on headphones");
    ana.press("\r");
    ana.shows("test picture, 320x180, 30 fps");
    ana.shows("t, then say something");
    ana.press("l");
    ana.shows("of 5 heard: clap in the middle");
    ana.shows("stop clapping");
    ana.shows("1 of 5 heard");
    ana.shows("0 were seen; try it in the middle of the picture, in good light");
    // Whoever changes their mind.
    ana.press("l");
    ana.shows(" of 5 heard");
    ana.press("l");
    ana.hides("of 5 heard");
    ana.shows("0 were seen");
    // Before the first one comes the last one: off.
    ana.press("\u{1b}[D");
    ana.shows("‹ off ›");
    ana.press("l");
    ana.shows("lip-sync needs a microphone and a camera that work");
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
    ana.is_restored();
}

#[cfg(target_os = "linux")]
#[test]
fn before_the_call_a_cameras_delay_is_measured_by_a_key_kept_and_shown() {
    use crate::support::camera_lab::{CameraLab, Driver};

    /// A rhythm that goes on when both begin again after four seconds.
    const CLAPS: [f64; 4] = [0.6, 1.513, 2.667, 3.301];
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let wav = room.path().join("claps.wav");
    write_claps(&wav, &CLAPS, 4);
    let Some(lab) = CameraLab::start() else { return };
    let driver = Driver {
        fourcc: "MJPG",
        width: WIDTH,
        height: HEIGHT,
        stride: 0,
        colorspace: 3,
        ycbcr_enc: 0,
        quantization: 0,
    };
    let jpeg = |luma: Vec<u8>| {
        let grey: Vec<u8> = luma.into_iter().flat_map(|code| [code; 3]).collect();
        let image = turbojpeg::Image {
            pixels: &grey[..],
            width: WIDTH,
            pitch: WIDTH * 3,
            height: HEIGHT,
            format: turbojpeg::PixelFormat::RGB,
        };
        let jpeg = turbojpeg::compress(image, 95, turbojpeg::Subsamp::Sub2x1);
        jpeg.expect("a picture in memory").to_vec()
    };
    let pictures: Vec<u8> = clapping(&CLAPS, 4).flat_map(jpeg).collect();
    lab.shows(driver, &pictures);
    let start = || {
        before(room.path(), &file(&wav), "Lab camera", |command| {
            lab.environment().into_iter().for_each(|(name, value)| command.env(name, value));
        })
    };
    let mut ana = start();
    ana.shows("Put on headphones");
    ana.press("\r");
    ana.shows("this camera's delay is not known; press l and clap");
    ana.press("l");
    ana.shows("5 of 5 heard");
    ana.shows("recordings with it move the");
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
    ana.is_restored();
    let kept = room.path().join("state/hyperzoom/av-offsets.json");
    let kept = std::fs::read_to_string(kept).expect("it is kept");
    let kept: serde_json::Value = serde_json::from_str(&kept).expect("JSON");
    let offset = kept["Lab camera"].as_f64().expect("this camera's");
    // Both begin when they are opened: how far apart that is, is the delay here.
    assert!(offset.abs() < 200.0, "{kept}");
    let mut ana = start();
    let way = if offset < 0.0 { "earlier" } else { "later" };
    ana.shows(&format!("picture {} ms {way}, as kept for this camera", offset.abs()));
    ana.press("q");
    assert_eq!(ana.exit_code(), 0);
}
