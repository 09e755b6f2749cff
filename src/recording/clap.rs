//! A clap seen and heard: how much later its picture comes than its sound. Pure.
//!
//! Heard is the sudden beginning. Seen is the moment at which the hands, fast until then, stand: the
//! share of the last moving picture's difference tells when within its interval that was, so that
//! some claps give more than a picture's interval of resolution.

use crate::units::{Micros, SAMPLE_RATE};

/// Samples of a block that is loud or not: 1 ms.
const BLOCK: usize = SAMPLE_RATE as usize / 1_000;
/// A clap within a few metres is louder than this (-30 dBFS) ...
const LOUD: f32 = 0.03;
/// ... and so many times as loud as what was before it.
const SUDDEN: f32 = 6.0;
/// Blocks over which what was before is averaged.
const BEFORE: f32 = 200.0;
/// What comes sooner after a clap is its echo.
const APART: i64 = 400_000;
/// How far from its sound a clap is looked for in the pictures, before and after, microseconds.
const EARLY: i64 = 300_000;
const LATE: i64 = 500_000;
/// Hands that clap change the picture by this much more than all else does.
const MOVING: f32 = 3.0;
/// Least change of a picture that counts, luma codes in the mean.
const LEAST: f32 = 0.2;
/// Claps without which there is no result.
pub const FEWEST: usize = 3;
/// What claps may differ by among themselves: a picture's interval is 33 ms.
const SPREAD: i64 = 20_000;

/// Finds claps in the sound.
#[derive(Clone, Debug, Default)]
pub struct Ears {
    peak: f32,
    filled: usize,
    before: f32,
    last: Option<Micros>,
}

impl Ears {
    /// Takes samples; `at` is when the first of them was in the air. `heard` is told of each clap.
    /// Neither allocates nor waits.
    pub fn push(&mut self, samples: &[f32], at: Micros, mut heard: impl FnMut(Micros)) {
        for (n, sample) in samples.iter().enumerate() {
            self.peak = self.peak.max(sample.abs());
            self.filled += 1;
            if self.filled < BLOCK {
                continue;
            }
            let end = (n + 1) as i64 * 1_000_000 / i64::from(SAMPLE_RATE);
            let begin = at + (end - 1_000);
            let fresh = self.last.is_none_or(|last| begin.since(last) > APART);
            if fresh && self.peak > LOUD && self.peak > self.before * SUDDEN {
                self.last = Some(begin);
                heard(begin);
            }
            self.before += (self.peak - self.before) / BEFORE;
            (self.peak, self.filled) = (0.0, 0);
        }
    }
}

/// Watches how much changes from picture to picture.
#[derive(Clone, Debug, Default)]
pub struct Eyes {
    last: Vec<u8>,
    /// When a picture was taken, and how much it differs from the one before.
    changes: Vec<(Micros, f32)>,
}

impl Eyes {
    /// Takes the luma of a picture, small, always of one size.
    pub fn push(&mut self, luma: &[u8], at: Micros) {
        if self.last.len() == luma.len() && !luma.is_empty() {
            let sum: u64 = self.last.iter().zip(luma).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            self.changes.push((at, sum as f32 / luma.len() as f32));
        }
        self.last.clear();
        self.last.extend_from_slice(luma);
    }

    /// The newest picture was taken then.
    pub fn newest(&self) -> Option<Micros> {
        self.changes.last().map(|(at, _)| *at)
    }

    /// When the hands stood that were heard at `heard`; `None` when none were seen.
    fn stood(&self, heard: Micros) -> Option<Micros> {
        let mut all: Vec<f32> = self.changes.iter().map(|(_, change)| *change).collect();
        all.sort_by(f32::total_cmp);
        let calm = all.get(all.len() / 2).copied().unwrap_or(0.0).max(LEAST);
        let near = |at: Micros| (-EARLY..=LATE).contains(&at.since(heard));
        let drop = |three: &&[(Micros, f32)]| three[0].1 - three[2].1;
        let three = self
            .changes
            .windows(3)
            .filter(|three| near(three[0].0) && near(three[2].0))
            .max_by(|a, b| drop(a).total_cmp(&drop(b)))?;
        let [(from, fast), (until, partly), (_, after)] = *three else { return None };
        if fast < calm * MOVING || fast - after < fast / 2.0 {
            return None;
        }
        let share = ((partly - after) / (fast - after)).clamp(0.0, 1.0);
        Some(from + (until.since(from) as f32 * share) as i64)
    }
}

/// What claps have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claps {
    /// How many were seen and heard.
    pub count: usize,
    /// How much later they were seen than heard, microseconds, the middle one.
    pub late: i64,
    /// Half of them are within this of it, microseconds.
    pub spread: i64,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum NoClaps {
    /// Of so many too few were heard.
    #[error("{0} claps were heard, {FEWEST} are needed; try louder ones, a second apart")]
    Unheard(usize),
    /// They were heard, and too few of them were seen.
    #[error(
        "of {heard} claps {seen} were seen; try it in the middle of the picture, in good light"
    )]
    Unseen {
        /// Heard.
        heard: usize,
        /// Seen, too.
        seen: usize,
    },
    /// They contradict each other.
    #[error("the claps differ by {0} ms among themselves; try again with little else moving")]
    Apart(i64),
}

/// Puts sound and picture together.
pub fn judge(heard: &[Micros], eyes: &Eyes) -> Result<Claps, NoClaps> {
    if heard.len() < FEWEST {
        return Err(NoClaps::Unheard(heard.len()));
    }
    let mut late: Vec<i64> =
        heard.iter().filter_map(|at| eyes.stood(*at).map(|stood| stood.since(*at))).collect();
    let count = late.len();
    if count < FEWEST {
        return Err(NoClaps::Unseen { heard: heard.len(), seen: count });
    }
    let middle = median(&mut late);
    let mut away: Vec<i64> = late.iter().map(|late| (late - middle).abs()).collect();
    let spread = median(&mut away);
    if spread > SPREAD {
        return Err(NoClaps::Apart(spread / 1_000));
    }
    Ok(Claps { count, late: middle, spread })
}

fn median(values: &mut [i64]) -> i64 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FPS: i64 = 30;
    const SIDE: usize = 64;

    /// Hands as bars that approach each other for 200 ms, meet at each clap and part slowly; `late` is
    /// how much later their light is stamped.
    fn watch(claps: &[i64], late: i64, seconds: i64) -> Eyes {
        let mut eyes = Eyes::default();
        for n in 0..seconds * FPS {
            let stamped = n * 1_000_000 / FPS + 3_000;
            let truth = stamped - late;
            let near = claps.iter().map(|clap| truth - clap).min_by_key(|away| away.abs());
            let gap = match near {
                Some(away @ -200_000..0) => -away as f32 / 200_000.0,
                Some(away @ 0..1_000_000) => (away as f32 / 2_000_000.0).min(0.3),
                _ => 0.7,
            };
            let hand = (gap * 28.0) as usize;
            // Each row a little further, so that parts of a cell count.
            let luma: Vec<u8> = (0..SIDE * SIDE)
                .map(|i| {
                    let (x, y) = (i % SIDE, i / SIDE);
                    let shift = hand + usize::from((gap * 28.0).fract() * SIDE as f32 > y as f32);
                    let dark = x.abs_diff(SIDE / 2) <= shift;
                    if dark { 40 } else { 200 }
                })
                .collect();
            eyes.push(&luma, Micros(stamped));
        }
        eyes
    }

    fn listen(claps: &[i64], seconds: i64) -> Vec<Micros> {
        let mut samples = vec![0.0f32; (seconds * 48_000) as usize];
        for (n, sample) in samples.iter_mut().enumerate() {
            // A room that hums.
            *sample = (n as f32 * 0.05).sin() * 0.002;
        }
        for clap in claps {
            let at = (clap * 48 / 1_000) as usize;
            for n in 0..2_400 {
                let sign = if n % 7 < 3 { 1.0 } else { -1.0 };
                samples[at + n] += sign * 0.5 * (-(n as f32) / 300.0).exp();
            }
        }
        let mut ears = Ears::default();
        let mut heard = Vec::with_capacity(16);
        for (n, block) in samples.chunks(240).enumerate() {
            assert_no_alloc::assert_no_alloc(|| {
                ears.push(block, Micros(n as i64 * 5_000), |at| heard.push(at));
            });
        }
        heard
    }

    #[test]
    fn a_delay_is_found_to_a_few_milliseconds() {
        let claps = [1_000_000, 2_113_000, 3_267_000, 4_301_000, 5_390_000];
        let heard = listen(&claps, 7);
        assert_eq!(heard.len(), claps.len(), "{heard:?}");
        for (clap, heard) in claps.iter().zip(&heard) {
            assert!((heard.0 - clap).abs() <= 1_000, "{clap} {heard:?}");
        }
        for late in [-40_000, 0, 12_000, 85_000, 160_000] {
            let found = judge(&heard, &watch(&claps, late, 7)).unwrap();
            assert_eq!(found.count, claps.len());
            assert!((found.late - late).abs() < 8_000, "{late}: {found:?}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let claps = [1_000_000, 2_113_000, 3_267_000];
        let eyes = watch(&claps, 0, 5);
        assert_eq!(judge(&[], &eyes), Err(NoClaps::Unheard(0)));
        let heard = listen(&claps, 5);
        assert_eq!(
            judge(&heard, &watch(&[], 0, 5)),
            Err(NoClaps::Unseen { heard: 3, seen: 0 }),
            "nobody moves"
        );
        assert_eq!(judge(&heard, &Eyes::default()), Err(NoClaps::Unseen { heard: 3, seen: 0 }));
    }

    #[test]
    fn steady_noise_is_no_clap() {
        let mut ears = Ears::default();
        let mut heard = 0;
        for n in 0..400 {
            let block: Vec<f32> =
                (0..240).map(|i| ((n * 240 + i) as f32 * 0.3).sin() * 0.2).collect();
            ears.push(&block, Micros(n * 5_000), |_| heard += 1);
        }
        assert!(heard <= 1, "its beginning at most: {heard}");
    }
}
