//! A trial encode: does this machine keep up with a picture size?
//!
//! Pure: the clock is a closure. The pictures are made before the clock is read.

use crate::recording::h264::{EncoderError, Planes, VideoEncoder, VideoParameters};
use crate::units::Micros;

/// Different pictures that the trial goes round: enough that motion search has work, few enough
/// for memory (25 MB at 1080p).
const PICTURES: usize = 8;

/// How long a trial took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrialResult {
    /// Pictures encoded.
    pub frames: u32,
    /// For all of them, in microseconds.
    pub total_micros: i64,
    /// For the slowest, in microseconds.
    pub slowest_micros: i64,
}

impl TrialResult {
    /// Mean time of a picture, in microseconds.
    pub fn mean_micros(&self) -> f64 {
        self.total_micros as f64 / f64::from(self.frames.max(1))
    }

    /// Whether pictures come out at least at `fps` while the encoder has only `share` (0 to 1)
    /// of the time it had in the trial.
    pub fn keeps_up(&self, fps: u32, share: f64) -> bool {
        self.mean_micros() * f64::from(fps) <= 1e6 * share
    }
}

/// Encodes `frames` moving, noisy test pictures and tells how long that took by `clock`.
pub fn trial(
    encoder: &mut dyn VideoEncoder,
    parameters: &VideoParameters,
    frames: u32,
    clock: &mut dyn FnMut() -> Micros,
) -> Result<TrialResult, EncoderError> {
    let pictures: Vec<TestPicture> =
        (0..PICTURES).map(|n| TestPicture::new(parameters.width, parameters.height, n)).collect();
    let mut slowest = 0;
    let start = clock();
    let mut before = start;
    for n in 0..frames {
        // There and back, so that there is no jump where the round ends.
        let at = n as usize % (2 * PICTURES - 2);
        let at = at.min(2 * PICTURES - 2 - at);
        encoder.submit(pictures[at].planes(), i64::from(n))?;
        while encoder.poll().is_some() {}
        let now = clock();
        slowest = slowest.max(now.since(before));
        before = now;
    }
    encoder.finish()?;
    while encoder.poll().is_some() {}
    let total_micros = clock().since(start);
    Ok(TrialResult { frames, total_micros, slowest_micros: slowest })
}

/// A textured picture that moves with its number, with a camera's noise on it.
pub struct TestPicture {
    y: Vec<u8>,
    u: Vec<u8>,
    v: Vec<u8>,
    width: usize,
}

impl TestPicture {
    /// Picture number `n` of a sequence.
    pub fn new(width: u32, height: u32, n: usize) -> Self {
        let (w, h) = (width as usize, height as usize);
        // xorshift: noise of +-3 steps, other for each picture.
        let mut state = 0x2545_F491u32 ^ (n as u32 + 1).wrapping_mul(0x9E37_79B9);
        let mut noise = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) % 7
        };
        let mut y = Vec::with_capacity(w * h);
        for row in 0..h {
            for column in 0..w {
                // Slow gradients and a fine pattern that moves 3 pixels a picture.
                let moved = column + 3 * n;
                let gradient = (moved / 8 + row / 6) % 120;
                let pattern = (moved ^ row) & 31;
                y.push((40 + gradient + pattern) as u8 + noise() as u8);
            }
        }
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        let plane = |offset: usize| {
            let value =
                |i: usize| (96 + ((i % cw + 2 * n) / 16 + (i / cw) / 16 + offset) % 64) as u8;
            (0..cw * ch).map(value).collect()
        };
        Self { y, u: plane(0), v: plane(32), width: w }
    }

    /// Its planes.
    pub fn planes(&self) -> Planes<'_> {
        let Self { y, u, v, width } = self;
        Planes { y, u, v, stride_y: *width, stride_uv: width.div_ceil(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::h264;

    #[test]
    fn the_trial_reads_only_the_clock_it_is_given() {
        let parameters = VideoParameters::for_size(160, 96);
        let mut encoder = h264::open(None, &parameters, 1).expect("openh264 is bundled");
        let mut now = 0;
        let mut clock = || {
            now += 10_000;
            Micros(now)
        };
        let result = trial(&mut *encoder, &parameters, 20, &mut clock).expect("encodes");
        assert_eq!(
            result,
            TrialResult { frames: 20, total_micros: 210_000, slowest_micros: 10_000 }
        );
        assert!(result.keeps_up(30, 0.5));
        assert!(!result.keeps_up(30, 0.3));
    }
}
