//! Where made-up sound begins and ends, where sound is stretched, shortened or left out, and where a
//! peer comes back: no step that the sound itself does not have.
//!
//! `HYPERZOOM_TRACES=1 cargo test seam_tests -- --nocapture` prints the figures.

use super::trace_tests::{Call, Heard, Line, noise};
use crate::audio::redundancy::Plan;

/// Largest step from one sample to the next between two times in seconds.
fn step(samples: &[f32], from: f64, to: f64) -> f32 {
    let part = &samples[(from * 48_000.0) as usize..(to * 48_000.0) as usize];
    part.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max)
}

/// Two tones, so that made-up sound is never quite right.
fn tones(seconds: usize) -> Vec<f32> {
    let wave = |i: usize, hertz: f64| (i as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin();
    (0..seconds * 48_000).map(|i| (0.3 * wave(i, 311.0) + 0.1 * wave(i, 1_207.0)) as f32).collect()
}

#[test]
fn no_seam_of_a_loss_a_return_a_growth_or_a_shrinking_makes_a_click() {
    let said = tones(12);
    let wait: fn(f64) -> f64 = |at| if (4e6..4.2e6).contains(&at) { 25_000.0 } else { 0.0 };
    let stall: fn(f64) -> f64 = |at| {
        let phase = at % 900_000.0;
        (18_000.0 - phase).max(0.0)
    };
    let gusts: fn(f64) -> f64 = |at| {
        let windy = (at / 1.5e6) as u64 % 2 == 1;
        if windy { 15_000.0 * noise(33, at as u64) } else { 0.0 }
    };
    let pause: fn(f64) -> f64 = |at| if (4e6..6e6).contains(&at) { 6e6 - at } else { 0.0 };
    let fade: fn(f64) -> f64 = |at| {
        let phase = at % 1_500_000.0;
        (170_000.0 - phase).max(0.0)
    };
    let run = |line: Line| {
        let call = Call { kbps: 64, plan: Plan::default(), late: 100.0, ..Call::default() };
        call.run(&said, &mut [line])
    };
    let clean = step(&run(Line::new(1)).samples, 1.0, 11.5);
    for (name, line) in [
        ("5 % lost", Line { loss: 0.05, ..Line::new(2) }),
        ("20 % lost in runs of 5", Line { loss: 0.2, burst: 5.0, ..Line::new(3) }),
        ("jitter that comes and goes", Line { more: gusts, ..Line::new(4) }),
        ("25 ms slower for a while", Line { more: wait, ..Line::new(5) }),
        ("stalls of 18 ms", Line { more: stall, ..Line::new(6) }),
        ("stalls that fade out", Line { more: fade, ..Line::new(7) }),
        ("two seconds away", Line { more: pause, ..Line::new(8) }),
    ] {
        let heard = run(line);
        let made_up = heard.concealed(1_000.0, 11_500.0);
        let most = step(&heard.samples, 1.0, 11.5);
        if std::env::var_os("HYPERZOOM_TRACES").is_some() {
            println!(
                "{name:26} {made_up:5.2} % made up, largest step {:4.2} of its own",
                most / clean
            );
        }
        assert!(made_up > 0.0, "{name}: nothing to see");
        assert!(most <= clean * 1.5, "{name}: a step of {most}, its own are up to {clean}");
    }
}

/// A room that hums and hisses softly, with a word of 0.3 s every 2 s.
fn room(seconds: usize) -> Vec<f32> {
    let mut low = 0.0f64;
    (0..seconds * 48_000)
        .map(|i| {
            low += (noise(31, i as u64) - 0.5 - low) * 0.3;
            let t = i as f64 / 48_000.0;
            let word =
                if t % 2.0 < 0.3 { 0.2 * (t * 250.0 * std::f64::consts::TAU).sin() } else { 0.0 };
            let window = (t % 2.0 / 0.3 * std::f64::consts::PI).sin().max(0.0);
            (0.001 * low + word * window) as f32
        })
        .collect()
}

#[test]
fn silence_that_is_shortened_or_lengthened_makes_no_click() {
    let said = room(16);
    // The path swings by 12 ms, so that the depth changes in every pause.
    let swing: fn(f64) -> f64 =
        |at| if ((at / 2e6) as u64).is_multiple_of(2) { 0.0 } else { 12_000.0 };
    let run = |more: fn(f64) -> f64| -> Heard {
        let call = Call { dtx: true, ..Call::default() };
        call.run(&said, &mut [Line { more, ..Line::new(1) }])
    };
    let (steady, moved) = (run(|_| 0.0), run(swing));
    assert!(steady.packets * 5 < said.len() / 240 * 3, "there is silence: {}", steady.packets);
    // Between the words, 0.8 to 1.9 s of each 2 s.
    let quiet = |heard: &Heard| {
        (1..7)
            .map(|k| step(&heard.samples, k as f64 * 2.0 + 0.8, k as f64 * 2.0 + 1.9))
            .fold(0.0, f32::max)
    };
    let (own, most) = (quiet(&steady), quiet(&moved));
    if std::env::var_os("HYPERZOOM_TRACES").is_some() {
        println!("silence: steps up to {own} of its own, {most} where its length changes");
    }
    assert!(most <= own * 1.5, "{most}, its own are up to {own}");
    let whole = (step(&steady.samples, 2.0, 15.0), step(&moved.samples, 2.0, 15.0));
    assert!(whole.1 <= whole.0 * 1.3, "{whole:?}");
}
