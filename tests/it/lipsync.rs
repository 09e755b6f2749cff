//! `hyperzoom doctor --clap` on claps that are made here.

use std::path::Path;

use crate::support::media::write_wav;
use crate::support::process::{file, run, side_by_side};

const WIDTH: usize = 64;
const HEIGHT: usize = 48;
/// Seconds at which hands meet.
const CLAPS: [f64; 5] = [1.0, 2.113, 3.267, 4.301, 5.39];
const SECONDS: usize = 7;

/// Bars that approach each other for a fifth of a second, meet, and part slowly.
fn write_y4m(path: &Path) {
    let mut data = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F30:1 Ip C420\n").into_bytes();
    for n in 0..SECONDS * 30 {
        let now = n as f64 / 30.0;
        let away = CLAPS.map(|clap| now - clap);
        let near = away.into_iter().min_by(|a, b| a.abs().total_cmp(&b.abs())).expect("claps");
        let gap = match near {
            away if (-0.2..0.0).contains(&away) => -away * 5.0,
            away if (0.0..0.6).contains(&away) => (away * 0.5).min(0.3),
            _ => 0.7,
        };
        data.extend(b"FRAME\n");
        for i in 0..WIDTH * HEIGHT {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let further = (gap * 28.0).fract() * HEIGHT as f64 > y as f64;
            let reach = (gap * 28.0) as usize + usize::from(further);
            data.push(if x.abs_diff(WIDTH / 2) <= reach { 40 } else { 200 });
        }
        data.extend([128; WIDTH * HEIGHT / 2]);
    }
    std::fs::write(path, data).expect("written");
}

#[test]
fn claps_are_seen_and_heard_and_their_delay_is_told() {
    let _place = side_by_side();
    let room = tempfile::tempdir().expect("a folder");
    let (wav, y4m) = (room.path().join("claps.wav"), room.path().join("claps.y4m"));
    let mut sound = vec![0.0f32; SECONDS * 48_000];
    for clap in CLAPS {
        let at = (clap * 48_000.0) as usize;
        for n in 0..2_400 {
            let sign = if n % 7 < 3 { 1.0 } else { -1.0 };
            sound[at + n] = sign * 0.5 * (-(n as f32) / 300.0).exp();
        }
    }
    write_wav(&wav, &sound);
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
