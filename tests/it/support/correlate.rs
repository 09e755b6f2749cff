//! Finds a known sound in a recording by normalised cross-correlation.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

/// Where a sound was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Place of its first sample in the recording, in samples, between samples too.
    pub offset: f64,
    /// How much the recording there is like it: 1 is the same but for loudness, 0 unlike.
    pub score: f64,
}

/// The place where `needle` is most like `haystack`; `None` when it is longer, or all is silence.
pub fn best_match(haystack: &[f32], needle: &[f32]) -> Option<Match> {
    if needle.is_empty() || needle.len() > haystack.len() {
        return None;
    }
    let products = correlation(haystack, needle);
    let needle_power: f64 = needle.iter().map(|s| f64::from(*s).powi(2)).sum();
    // Windows much quieter than the loudest one would divide rounding errors by almost nothing.
    let mut power = vec![0.0f64; products.len()];
    let mut sum: f64 = haystack[..needle.len()].iter().map(|s| f64::from(*s).powi(2)).sum();
    for (i, slot) in power.iter_mut().enumerate() {
        *slot = sum.max(0.0);
        if let Some(next) = haystack.get(i + needle.len()) {
            sum += f64::from(*next).powi(2) - f64::from(haystack[i]).powi(2);
        }
    }
    let floor = power.iter().fold(0.0f64, |a, b| a.max(*b)) * 1e-4;
    if needle_power == 0.0 || floor == 0.0 {
        return None;
    }
    let score = |i: usize| products[i] / (power[i].max(floor) * needle_power).sqrt();
    let best = (0..products.len()).max_by(|a, b| score(*a).total_cmp(&score(*b)))?;
    let mut offset = best as f64;
    if best > 0 && best + 1 < products.len() {
        // The top of the parabola through the peak and its neighbours.
        let (before, at, after) = (score(best - 1), score(best), score(best + 1));
        let bend = before - 2.0 * at + after;
        if bend < 0.0 {
            offset += ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5);
        }
    }
    Some(Match { offset, score: score(best).clamp(0.0, 1.0) })
}

/// Sum over j of haystack[i + j] x needle[j], for each i where the needle fits.
fn correlation(haystack: &[f32], needle: &[f32]) -> Vec<f64> {
    let len = (haystack.len() + needle.len()).next_power_of_two();
    let spectrum = |samples: &[f32]| {
        let mut buffer: Vec<Complex<f64>> =
            samples.iter().map(|s| Complex::new(f64::from(*s), 0.0)).collect();
        buffer.resize(len, Complex::new(0.0, 0.0));
        FftPlanner::new().plan_fft_forward(len).process(&mut buffer);
        buffer
    };
    let (mut a, b) = (spectrum(haystack), spectrum(needle));
    for (x, y) in a.iter_mut().zip(&b) {
        *x *= y.conj();
    }
    FftPlanner::new().plan_fft_inverse(len).process(&mut a);
    a[..=haystack.len() - needle.len()].iter().map(|c| c.re / len as f64).collect()
}

#[test]
fn a_sound_is_found_where_it_is_also_quieter_and_between_samples() {
    let needle: Vec<f32> = (0..400).map(|i| (i as f32 * i as f32 * 0.0005).sin()).collect();
    let mut haystack = vec![0.0; 5_000];
    for (i, slot) in haystack[1_234..1_634].iter_mut().enumerate() {
        *slot = 0.1 * (needle[i] + needle.get(i.wrapping_sub(1)).copied().unwrap_or(0.0)) / 2.0;
    }
    let found = best_match(&haystack, &needle).unwrap();
    assert!((found.offset - 1_234.5).abs() < 0.05 && found.score > 0.98, "{found:?}");
    assert_eq!(best_match(&needle, &haystack), None);
    assert_eq!(best_match(&[0.0; 500], &needle), None);
}
