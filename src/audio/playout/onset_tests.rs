//! What a sound that begins after silence costs: the depth at its first sample, over many starts.
//!
//! `HYPERZOOM_TRACES=1 cargo test onset_tests -- --nocapture` prints the figures.

use super::trace_tests::{Call, Line, noise};
use super::*;

/// Samples from one chirp to the next, half a second or so, as the laboratory's.
const EVERY: usize = 24_000;
/// Samples of silence before the first.
const FIRST: usize = 3 * 48_000;

/// Digital silence with chirps of 20 ms; and where each begins, in samples.
fn chirps(count: usize, seed: u64) -> (Vec<f32>, Vec<usize>) {
    let mut out = vec![0.0f32; FIRST + count * EVERY + 24_000];
    let begins = (0..count)
        .map(|k| FIRST + k * EVERY + (noise(seed, k as u64) * 4_000.0) as usize)
        .collect::<Vec<_>>();
    for &at in &begins {
        for (i, sample) in out[at..at + 960].iter_mut().enumerate() {
            let t = i as f32 / 48_000.0;
            let window = (std::f32::consts::PI * i as f32 / 960.0).sin().powi(2);
            *sample = 0.5 * window * (std::f32::consts::TAU * (400.0 + 165_000.0 * t) * t).sin();
        }
    }
    (out, begins)
}

/// Least mouth to speaker with which every frame would be in time, ms: over all phases in which frames
/// meet blocks of the microphone and of the speaker.
fn floor(call: &Call) -> f64 {
    let samples = call.length.samples();
    let need = |n: usize| {
        let whole = ((n + 1) * samples).next_multiple_of(call.captured) as f64 / 0.048;
        let arrives = whole + 5_000.0;
        let block = call.played as f64 / 0.048;
        let callback = ((arrives - call.phase) / block).ceil() * block + call.phase;
        (callback - (n * samples) as f64 / 0.048) / 1e3
    };
    (0..512).map(need).fold(0.0, f64::max)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn a_sound_after_silence_is_heard_as_soon_as_the_path_allows() {
    for (name, captured, played) in [
        ("direct", 1, 4),
        ("60", 60, 60),
        ("64", 64, 64),
        ("128", 128, 128),
        ("256", 256, 256),
        ("480", 480, 480),
    ] {
        for length in [FrameLength::Full, FrameLength::Half] {
            let mut over = Vec::new();
            let (mut first, mut made_up) = (Vec::new(), 0);
            for seed in 0..3u64 {
                let (said, begins) = chirps(3, seed);
                let phase = noise(60, seed) * played as f64 / 0.048;
                let kbps = if length == FrameLength::Half { 80 } else { 32 };
                let call = Call {
                    dtx: true,
                    length,
                    kbps,
                    captured,
                    played,
                    on_time: name == "direct",
                    phase,
                    late: 150.0,
                    ..Call::default()
                };
                let heard = call.run(&said, &mut [Line::new(seed)]);
                let floor = floor(&call);
                for (k, begin) in begins.iter().enumerate() {
                    // While its middle is being heard.
                    let at = *begin as f64 / 48.0 + floor + 10.0;
                    let excess = heard.delay(at, at + 12.0) - floor;
                    over.push(excess);
                    if k == 0 {
                        first.push(excess);
                    }
                }
                made_up += heard.trace.last().unwrap().1.concealed_samples;
            }
            let p50 = median(over);
            print(&format!(
                "{name} {length:?}: {p50:.2} ms over the floor, the first {:.2}",
                median(first)
            ));
            assert_eq!(made_up, 0, "{name} {length:?}");
            assert!(p50 <= 1.0, "{name} {length:?}: {p50} ms over the floor");
        }
    }
}

/// How long a radio is away every 0.7 s; what waited comes together.
fn stalls(at: f64) -> f64 {
    let (slot, phase) = ((at / 700_000.0) as u64, at % 700_000.0);
    (4_000.0 + 21_000.0 * noise(40, slot) - phase).max(0.0)
}

/// Jitter and stalls from the first packet on, with and without a pause before the first word. While
/// only frames of speech unlearned the start depth, twelve starts each cost 2.1 and 2.5, 12.9 and
/// 10.8, 1.2 and 0.0, 74 and 107 ms of made-up sound on average.
#[test]
fn a_start_on_a_bad_line_glitches_no_more_than_the_line_makes_it() {
    let jitter = |seed, ms: f64| Line { jitter: ms * 1e3, ..Line::new(seed) };
    let speech = super::trace_tests::speech(7);
    for (name, lines, most) in [
        ("jitter 10 ms", &(|s| vec![jitter(s, 10.0)]) as &dyn Fn(u64) -> Vec<Line>, [8.0, 4.0]),
        ("jitter 10 ms twice", &|s| vec![jitter(s, 10.0), jitter(s + 99, 10.0)], [25.0, 25.0]),
        ("jitter 3 ms", &|s| vec![jitter(s, 3.0)], [6.0, 4.0]),
        ("stalls", &|s| vec![Line { more: stalls, ..Line::new(s) }], [95.0, 145.0]),
    ] {
        for (quiet, most) in [0usize, 3].into_iter().zip(most) {
            let mut said = vec![0.0f32; quiet * 48_000];
            said.extend_from_slice(&speech);
            const SEEDS: u64 = 4;
            let mut made_up = 0.0;
            for seed in 0..SEEDS {
                let phase = 1_300.0 * noise(70, seed);
                let call = Call { dtx: true, phase, late: 150.0, ..Call::default() };
                let heard = call.run(&said, &mut lines(seed));
                let from = quiet as f64 * 1e3;
                let made: Vec<u64> =
                    heard.between(from, from + 7_000.0).map(|t| t.1.concealed_samples).collect();
                made_up += (made[made.len() - 1] - made[0]) as f64 / 48.0 / SEEDS as f64;
            }
            print(&format!("{name}, {quiet} s of silence first: {made_up:.1} ms made up in 7 s"));
            assert!(made_up <= most, "{name}, {quiet} s of silence first: {made_up} ms made up");
        }
    }
}

fn print(line: &str) {
    if std::env::var_os("HYPERZOOM_TRACES").is_some() {
        println!("{line}");
    }
}

/// The first packets after silence have no or only near frames to copy. Whoever took that for their
/// sender's plan would start each word 10 ms too early for the copies of its first lost frames.
#[test]
fn words_between_pauses_keep_the_room_that_copies_need() {
    let (said, begins) = chirps(12, 1);
    let plan = crate::audio::redundancy::Plan::copies(&[1, 3]);
    let call = Call { dtx: true, plan, captured: 1, played: 4, on_time: true, ..Call::default() };
    let line = |seed| Line { loss: 0.05, ..Line::new(seed) };
    let heard = call.run(&said, &mut [line(1), line(2)]);
    for begin in &begins[1..] {
        let at = *begin as f64 / 48.0;
        let depths = heard.between(at, at + 60.0).map(|t| t.1.depth_ms);
        let least = depths.fold(f32::MAX, f32::min);
        assert!(least >= 15.0, "{least} ms at {at}");
    }
    // Of the 3.5 s that are sent one tenth is lost.
    let made_up = heard.trace.last().unwrap().1.concealed_samples;
    assert!(made_up <= 2_400, "{made_up}");
}

/// What stands for a word's first frame while that is not here is silence, and only a piece of it: else
/// the whole word would be later by a frame because of some tenths of a millisecond.
#[test]
fn a_word_whose_first_frame_is_a_little_late_is_later_by_little() {
    let (said, begins) = chirps(12, 2);
    let mut recorded = vec![Some(0.0); said.len() / 240 + 2];
    for begin in &begins[1..] {
        recorded[begin / 240 + 1] = Some(900.0);
    }
    let call = Call { dtx: true, captured: 1, played: 4, on_time: true, ..Call::default() };
    let clean = call.run(&said, &mut [Line::new(1)]);
    // Also while nothing but silence goes by the level is what it is.
    let levels = || clean.between(3_500.0, 9_000.0).map(|t| t.2);
    let (least, most) = (levels().fold(f64::MAX, f64::min), levels().fold(0.0, f64::max));
    assert!(most - least < 2.0, "{least} to {most} ms");
    let heard = call.run(&said, &mut [Line { recorded: recorded.into(), ..Line::new(1) }]);
    for begin in &begins[1..] {
        let at = *begin as f64 / 48.0 + 20.0;
        let later = heard.delay(at, at + 10.0) - clean.delay(at, at + 10.0);
        assert!((-0.5..2.0).contains(&later), "{later} ms later at {at}");
    }
}
