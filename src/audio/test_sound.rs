//! A synthetic microphone: speech-like babble and, each second, a chirp whose second and voice can
//! be told from its shape.
//!
//! Pure in the position: any block at any position gives the same samples, so that what was heard
//! can be compared with what was said. About -20 dBFS.

use crate::units::SAMPLE_RATE;

/// Voices that differ in pitch and in the band of their chirps.
pub const VOICES: u8 = 4;
/// Seconds after which the chirps repeat.
pub const CHIRP_PERIOD: u64 = 8;
/// Samples of a chirp: 80 ms.
pub const CHIRP_LEN: usize = 3_840;
/// Amplitude of a chirp: -14 dBFS.
const CHIRP_AMPLITUDE: f64 = 0.2;
/// Samples over which the babble makes room for the chirp, on both sides: 10 ms.
const EDGE: u64 = 480;
/// Harmonics of the babble and their amplitudes; together about -20 dBFS.
const HARMONICS: [(f64, f64); 5] =
    [(1.0, 0.08), (2.0, 0.07), (3.0, 0.05), (5.0, 0.03), (8.0, 0.02)];
const SECOND: u64 = SAMPLE_RATE as u64;

/// The synthetic microphone of one voice.
#[derive(Clone, Debug)]
pub struct TestSound {
    voice: u8,
    /// Phase advance a sample, 2^32 a turn, for each harmonic.
    harmonics: [u32; HARMONICS.len()],
    /// The same for its loudness, which comes and goes some times a second as syllables do.
    syllables: [u32; HARMONICS.len()],
    chirps: Box<[Vec<f32>]>,
}

impl TestSound {
    /// A voice, 0 to 3; higher ones begin anew.
    pub fn new(voice: u8) -> Self {
        let voice = voice % VOICES;
        // Prime-like ratios keep voices and syllables from falling into step.
        let pitch = [97.0, 127.0, 163.0, 211.0][usize::from(voice)];
        let turn = |hertz: f64| (hertz / f64::from(SAMPLE_RATE) * 4_294_967_296.0) as u32;
        let syllable = |i: usize| turn(1.7 + 0.61 * i as f64 + 0.13 * f64::from(voice));
        Self {
            voice,
            harmonics: HARMONICS.map(|(multiple, _)| turn(pitch * multiple)),
            syllables: std::array::from_fn(syllable),
            chirps: (0..CHIRP_PERIOD).map(|second| chirp(voice, second)).collect(),
        }
    }

    /// The voice, 0 to 3.
    pub fn voice(&self) -> u8 {
        self.voice
    }

    /// Writes the samples from `position` (in samples from the start) on.
    pub fn fill(&self, position: u64, out: &mut [f32]) {
        for (i, sample) in out.iter_mut().enumerate() {
            *sample = self.sample(position.wrapping_add(i as u64));
        }
    }

    fn sample(&self, position: u64) -> f32 {
        let within = position % SECOND;
        let len = CHIRP_LEN as u64;
        if within < len {
            let second = position / SECOND % CHIRP_PERIOD;
            return self.chirps[second as usize][within as usize];
        }
        let edge = (within - len).min(SECOND - within).min(EDGE) as f32 / EDGE as f32;
        let mut sum = 0.0;
        for (i, (_, amplitude)) in HARMONICS.iter().enumerate() {
            let loudness = 0.75 + 0.5 * sine(self.syllables[i].wrapping_mul(position as u32));
            sum += sine(self.harmonics[i].wrapping_mul(position as u32))
                * loudness
                * *amplitude as f32;
        }
        sum * edge
    }
}

/// The chirp that opens second `second` of `voice`: a linear sweep under a Hann window.
///
/// All lie between 500 and 3,100 Hz, where Opus at 32 kbit/s keeps them best. Voices differ in the
/// band's lower end, the seconds of a period in width and direction, both in slope: chirps of
/// different slopes correlate little.
pub fn chirp(voice: u8, second: u64) -> Vec<f32> {
    let voice = f64::from(voice % VOICES);
    let kind = second % CHIRP_PERIOD;
    let low = 500.0 + 350.0 * voice;
    let width = 400.0 + 300.0 * (kind / 2) as f64 + 75.0 * voice;
    let (from, to) = if kind.is_multiple_of(2) { (low, low + width) } else { (low + width, low) };
    let rate = f64::from(SAMPLE_RATE);
    let seconds = CHIRP_LEN as f64 / rate;
    (0..CHIRP_LEN)
        .map(|i| {
            let t = i as f64 / rate;
            let turns = from * t + (to - from) * t * t / (2.0 * seconds);
            let window = 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / CHIRP_LEN as f64).cos();
            (CHIRP_AMPLITUDE * window * (std::f64::consts::TAU * turns).sin()) as f32
        })
        .collect()
}

/// Sine of a phase in 2^-32 turns: Bhaskara's approximation (off by less than 0.2 %), which needs
/// no library and gives the same on every machine.
fn sine(phase: u32) -> f32 {
    let half = (phase << 1) as f32 / 4_294_967_296.0;
    let parabola = half * (1.0 - half);
    let value = 16.0 * parabola / (5.0 - 4.0 * parabola);
    if phase < 1 << 31 { value } else { -value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(a: &[f32], b: &[f32]) -> f32 {
        let dot: f32 = a.iter().zip(b).map(|(x, y)| x * y).sum();
        let power = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        dot.abs() / (power(a) * power(b)).sqrt()
    }

    #[test]
    fn the_sound_depends_on_the_position_only() {
        let sound = TestSound::new(1);
        let mut whole = vec![0.0; 20_000];
        sound.fill(40_000, &mut whole);
        let mut parts = vec![0.0; 20_000];
        let mut at = 0;
        for len in [1, 239, 240, 64, 4_096].into_iter().cycle() {
            let end = (at + len).min(parts.len());
            TestSound::new(5).fill(40_000 + at as u64, &mut parts[at..end]);
            at = end;
            if at == parts.len() {
                break;
            }
        }
        assert_eq!(whole, parts);
    }

    #[test]
    fn each_voice_is_about_20_db_below_full_scale_and_never_clips() {
        for voice in 0..VOICES {
            let mut samples = vec![0.0; 8 * 48_000];
            TestSound::new(voice).fill(0, &mut samples);
            let power = samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32;
            let level = 10.0 * power.log10();
            assert!((-24.0..=-18.0).contains(&level), "voice {voice}: {level} dBFS");
            assert!(samples.iter().all(|s| s.abs() < 0.5));
        }
    }

    #[test]
    fn a_second_opens_with_its_chirp_and_chirps_are_unlike_each_other_at_any_shift() {
        let mut start = vec![0.0; CHIRP_LEN];
        TestSound::new(2).fill(11 * 48_000, &mut start);
        assert_eq!(start, chirp(2, 3));
        let all: Vec<_> =
            (0..VOICES).flat_map(|v| (0..CHIRP_PERIOD).map(move |s| chirp(v, s))).collect();
        for (i, a) in all.iter().enumerate() {
            for b in &all[..i] {
                for shift in (0..CHIRP_LEN / 2).step_by(37) {
                    let near = score(&a[shift..], &b[..CHIRP_LEN - shift]);
                    let far = score(&b[shift..], &a[..CHIRP_LEN - shift]);
                    assert!(near < 0.85 && far < 0.85, "chirp {i}: {near} {far} at {shift}");
                }
            }
        }
    }
}
