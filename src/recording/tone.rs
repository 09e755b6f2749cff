//! The sync tone (PRD 4.4, DESIGN section 6): a chirp that two recordings are aligned by, to a
//! fraction of a sample, and the matched filter that finds it.
//!
//! Pure, and the same on every machine: who looks for the tone needs no more than a file's
//! samples. The sweep lies above the strong part of a voice, so that speech hides it badly.

use std::f64::consts::{PI, TAU};
use std::ops::Range;

use super::resample::sinc_at;
use crate::units::SAMPLE_RATE;

/// Length of the tone in samples: a quarter of a second. With the sweep's 8 kHz that makes 2,000
/// independent samples, 33 dB of advantage over what is said meanwhile.
pub const SAMPLES: usize = SAMPLE_RATE as usize / 4;
/// Length of the tone in microseconds.
pub const MICROS: i64 = SAMPLES as i64 * 1_000_000 / SAMPLE_RATE as i64;
/// Amplitude in the file: -20 dBFS.
pub const AMPLITUDE: f32 = 0.1;
/// The sweep's ends, hertz. The width makes the correlation's peak six samples wide.
const FROM: f64 = 2_000.0;
const TO: f64 = 10_000.0;
/// Fade at either end, in samples: 10 ms, so that it does not click.
const EDGE: f64 = 480.0;

/// Products on either side of the largest from which its place between samples is found.
const REACH: i64 = 24;

/// Least score that is taken for a tone. Of two thousand independent samples of anything else, one
/// place in ten thousand scores more than 0.1.
pub const LEAST_SCORE: f64 = 0.12;

/// A tone that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Place of its first sample, counted from the start of the samples given, between samples too.
    pub position: f64,
    /// How alike: 1 is the tone alone, [`LEAST_SCORE`] as good as nothing.
    pub score: f64,
}

/// The tone's samples, at [`AMPLITUDE`].
pub fn tone() -> Vec<f32> {
    (0..SAMPLES).map(sample).collect()
}

/// Sample `index` of the tone; 0 behind its end.
pub fn sample(index: usize) -> f32 {
    if index >= SAMPLES {
        return 0.0;
    }
    let rate = f64::from(SAMPLE_RATE);
    let (t, length) = (index as f64 / rate, SAMPLES as f64 / rate);
    let turns = FROM * t + (TO - FROM) * t * t / (2.0 * length);
    let from_end = (index as f64 + 0.5).min(SAMPLES as f64 - index as f64 - 0.5);
    let edge = 0.5 - 0.5 * (PI * (from_end / EDGE).min(1.0)).cos();
    (f64::from(AMPLITUDE) * edge * (TAU * turns).sin()) as f32
}

/// Adds to `samples`, whose first one is sample `at` of the file, what belongs there of a tone that
/// begins at sample `begins` of the file. `gain` 1 is the level for files.
pub fn mix(samples: &mut [f32], at: u64, begins: u64, gain: f32) {
    let end = begins + SAMPLES as u64;
    if at >= end || at + samples.len() as u64 <= begins {
        return;
    }
    let first = begins.saturating_sub(at) as usize;
    for (index, slot) in samples.iter_mut().enumerate().skip(first) {
        let Some(within) = (at + index as u64).checked_sub(begins) else { continue };
        if within >= SAMPLES as u64 {
            break;
        }
        *slot += gain * sample(within as usize);
    }
}

/// Looks for a tone that begins near sample `around`, up to 100 ms to either side of it.
pub fn locate(samples: &[f32], around: usize) -> Option<Found> {
    const NEAR: usize = SAMPLE_RATE as usize / 10;
    locate_in(samples, around.saturating_sub(NEAR)..around + NEAR + 1)
}

/// Looks for a tone that begins at one of these samples (the best, when there are several).
/// Takes some [`SAMPLES`] multiplications for each.
pub fn locate_in(samples: &[f32], begins: Range<usize>) -> Option<Found> {
    let end = begins.end.min((samples.len() + 1).saturating_sub(SAMPLES));
    if begins.start >= end {
        return None;
    }
    // Differences of neighbours: a voice's strong low end no longer counts for most.
    let differ = |v: &[f32]| -> Vec<f32> { v.windows(2).map(|w| w[1] - w[0]).collect() };
    let needle = differ(&tone());
    // The top between samples is found from places on both sides of it, silence beyond the file.
    let around: Vec<f32> = (begins.start as i64 - REACH..(end + SAMPLES) as i64 + REACH)
        .map(|i| usize::try_from(i).ok().and_then(|i| samples.get(i)).copied().unwrap_or(0.0))
        .collect();
    let hay = differ(&around);
    let needle_power = power(&needle);
    let mut hay_power = power(&hay[..needle.len()]);
    let count = end - begins.start;
    let mut products = Vec::with_capacity(count + 2 * REACH as usize);
    let mut best = (0, 0.0f64);
    for lag in 0..count + 2 * REACH as usize {
        let window = &hay[lag..lag + needle.len()];
        let product = dot(window, &needle);
        products.push(product);
        let score = product / (hay_power.max(needle_power * 1e-6) * needle_power).sqrt();
        let wanted = (REACH as usize..REACH as usize + count).contains(&lag);
        if wanted && score > best.1 {
            best = (lag, score);
        }
        if let Some(next) = hay.get(lag + needle.len()) {
            hay_power += f64::from(*next).powi(2) - f64::from(hay[lag]).powi(2);
        }
    }
    let (lag, score) = best;
    if score < LEAST_SCORE {
        return None;
    }
    let position = begins.start as f64 + top(&products, lag) - REACH as f64;
    Some(Found { position, score: score.min(1.0) })
}

/// The place of the maximum between the samples: the products are samples of a smooth curve that
/// holds nothing above [`TO`], so what lies between them is known.
fn top(products: &[f64], best: usize) -> f64 {
    let value = |at: f64| sinc_at(products, at, REACH);
    let (mut low, mut high) = (best as f64 - 1.0, best as f64 + 1.0);
    // Between two neighbours of the largest there is one top: thirds of the interval close in.
    for _ in 0..40 {
        let third = (high - low) / 3.0;
        if value(low + third) < value(high - third) {
            low += third;
        } else {
            high -= third;
        }
    }
    (low + high) / 2.0
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|s| f64::from(*s).powi(2)).sum()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f32; 8];
    for (x, y) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    let whole = a.len().min(b.len()) / 8 * 8;
    let rest: f32 = a[whole..].iter().zip(&b[whole..]).map(|(x, y)| x * y).sum();
    sums.iter().map(|s| f64::from(*s)).sum::<f64>() + f64::from(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::TestSound;

    /// A voice about as loud as people speak, 8 seconds.
    fn voice(gain: f32) -> Vec<f32> {
        let mut sound = vec![0.0; 8 * SAMPLE_RATE as usize];
        TestSound::new(1).fill(0, &mut sound);
        sound.iter_mut().for_each(|s| *s *= gain);
        sound
    }

    #[test]
    fn it_is_20_db_below_full_scale_and_begins_and_ends_softly() {
        let tone = tone();
        let peak = tone.iter().fold(0.0f32, |m, s| m.max(s.abs()));
        assert!((0.099..=0.1).contains(&peak), "{peak}");
        assert!(tone[..4].iter().chain(&tone[SAMPLES - 4..]).all(|s| s.abs() < 1e-4));
    }

    #[test]
    fn it_is_mixed_into_blocks_of_any_size_at_its_sample_and_replaces_nothing() {
        let (begins, total) = (1_234u64, 20_000usize);
        for block in [1, 7, 480, 4_096, 20_000] {
            let mut sound = vec![0.25f32; total];
            let mut at = 0;
            for part in sound.chunks_mut(block) {
                mix(part, at, begins, 1.0);
                at += part.len() as u64;
            }
            for (i, s) in sound.iter().enumerate() {
                let tone = (i as u64).checked_sub(begins).map_or(0.0, |w| sample(w as usize));
                assert_eq!(*s, 0.25 + tone, "sample {i}, blocks of {block}");
            }
        }
    }

    #[test]
    fn alone_it_is_found_where_it_is() {
        let mut sound = vec![0.0; 48_000];
        mix(&mut sound, 0, 17_003, 1.0);
        let found = locate(&sound, 16_000).expect("it is there");
        assert!((found.position - 17_003.0).abs() < 1e-3 && found.score > 0.999, "{found:?}");
        assert_eq!(locate(&sound, 30_000), None, "not where it is not");
        let found = locate(&tone(), 0).expect("it is all there is");
        assert!(found.position.abs() < 1e-3, "{found:?}");
        assert_eq!(locate(&sound[..SAMPLES - 1], 0), None, "too short to hold one");
        assert_eq!(locate(&[], 0), None);
    }

    #[test]
    fn between_samples_it_is_found_to_a_hundredth() {
        // Read 0.37 samples late by an ideal interpolation of the tone.
        let tone: Vec<f64> = tone().iter().map(|s| f64::from(*s)).collect();
        let sound: Vec<f32> =
            (0..SAMPLES + 4_000).map(|i| sinc_at(&tone, i as f64 - 2_000.37, 64) as f32).collect();
        let found = locate(&sound, 1_000).expect("it is there");
        assert!((found.position - 2_000.37).abs() < 0.01, "{found:?}");
    }

    #[test]
    fn speech_of_ordinary_loudness_does_not_hide_it() {
        for gain in [1.0, 3.0] {
            for begins in [9_000u64, 50_123, 96_000] {
                let mut sound = voice(gain);
                mix(&mut sound, 0, begins, 1.0);
                let found = locate(&sound, begins as usize + 2_000).expect("it is there");
                let error = found.position - begins as f64;
                assert!(error.abs() < 0.1, "voice x {gain}: {error} samples, {found:?}");
            }
        }
    }

    #[test]
    fn speech_and_noise_without_it_are_not_taken_for_it() {
        let mut seed = 1u32;
        let noise: Vec<f32> = (0..60_000)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        assert_eq!(locate_in(&noise, 0..10_000), None);
        let voice = voice(1.0);
        for at in (10_000..200_000).step_by(62_000) {
            assert_eq!(locate(&voice, at), None);
        }
    }
}
