//! The camera's true frame rate from its stamps: what its crystal makes of "30 fps".
//!
//! Frames are numbered by their stamps, so that one that the driver left out, or a camera that goes
//! down to half its rate in the dark, does not count as slow. The rate is the median of slopes
//! between frames half of the measured time apart (Theil's incomplete method): jitter of
//! milliseconds averages out, outliers do not count. Pure.

use crate::units::Micros;

/// Intervals that the first guess is the median of.
const FIRST: usize = 30;
/// Frames between two points that are kept, at first.
const STRIDE: i64 = 15;
/// Points that are kept; then every other one goes.
const POINTS: usize = 256;
/// Points that a rate needs: some seconds.
const FEWEST: usize = 12;

/// Rates that cameras name.
const NOMINAL: [f64; 17] = [
    5.0,
    7.5,
    10.0,
    12.0,
    12.5,
    15_000.0 / 1_001.0,
    15.0,
    20.0,
    24_000.0 / 1_001.0,
    24.0,
    25.0,
    30_000.0 / 1_001.0,
    30.0,
    50.0,
    60_000.0 / 1_001.0,
    60.0,
    120.0,
];

/// See the module.
#[derive(Clone, Debug)]
pub struct FrameRate {
    first: Vec<i64>,
    last: Option<Micros>,
    /// Microseconds a frame, guessed.
    period: Option<f64>,
    /// Frame numbers and stamps.
    points: Vec<(i64, Micros)>,
    stride: i64,
}

impl Default for FrameRate {
    fn default() -> Self {
        Self {
            first: Vec::with_capacity(FIRST),
            last: None,
            period: None,
            points: Vec::with_capacity(POINTS),
            stride: STRIDE,
        }
    }
}

impl FrameRate {
    /// Takes the next frame's stamp.
    pub fn push(&mut self, at: Micros) {
        let before = self.last.replace(at);
        let Some(period) = self.period else {
            self.first.extend(before.map(|before| at.since(before)));
            if self.first.len() == FIRST {
                self.first.sort_unstable();
                let median = self.first[FIRST / 2] as f64;
                self.period = (median > 0.0).then_some(median);
                self.first.clear();
            }
            return;
        };
        let Some(&(number, then)) = self.points.last() else {
            self.points.push((0, at));
            return;
        };
        let frames = (at.since(then) as f64 / period).round() as i64;
        if frames < self.stride {
            return;
        }
        if self.points.len() == POINTS {
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
        self.points.push((number + frames, at));
        // A better period keeps the numbers right over the longer strides to come.
        if let Some(fps) = self.fps() {
            self.period = Some(1e6 / fps);
        }
    }

    /// Frames per second of the local clock; `None` before some seconds were measured.
    pub fn fps(&self) -> Option<f64> {
        if self.points.len() < FEWEST {
            return None;
        }
        let half = self.points.len() / 2;
        let mut slopes: Vec<f64> = self
            .points
            .iter()
            .zip(&self.points[half..])
            .map(|(a, b)| b.1.since(a.1) as f64 / (b.0 - a.0) as f64)
            .collect();
        slopes.sort_unstable_by(f64::total_cmp);
        Some(1e6 / slopes[slopes.len() / 2])
    }
}

/// How much faster than the nearest rate that cameras name `fps` is, parts per million.
pub fn ppm(fps: f64) -> f64 {
    let off = |nominal: f64| (fps / nominal - 1.0) * 1e6;
    NOMINAL.into_iter().map(off).fold(f64::INFINITY, |a, b| if b.abs() < a.abs() { b } else { a })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stamps at `fps` with up to 8 ms of jitter, without the frames that `lost` names.
    fn measure(fps: f64, frames: i64, lost: impl Fn(i64) -> bool) -> f64 {
        let mut rate = FrameRate::default();
        for n in (0..frames).filter(|&n| !lost(n)) {
            let jitter = (n * 7_919 % 8_000 - 4_000) * i64::from(n % 3 != 0);
            rate.push(Micros((n as f64 * 1e6 / fps) as i64 + jitter));
        }
        rate.fps().expect("long enough")
    }

    #[test]
    fn ppm_of_a_minute_are_right_to_some_ten_and_of_an_hour_to_one() {
        for off in [0.0, 35.0, -120.0] {
            let fps = 30.0 * (1.0 + off / 1e6);
            assert!((ppm(measure(fps, 1_800, |_| false)) - off).abs() < 60.0, "{off}");
            let hour = ppm(measure(fps, 108_000, |_| false));
            assert!((hour - off).abs() < 1.5, "{off}: {hour}");
        }
    }

    #[test]
    fn frames_that_the_driver_left_out_and_darkness_are_no_slowness() {
        let fps = measure(29.97, 20_000, |n| n % 97 == 5);
        assert!((fps - 29.97).abs() < 0.0005, "{fps}");
        // Half the rate for a third of the time.
        let fps = measure(30.0, 20_000, |n| (6_000..12_000).contains(&n) && n % 2 == 1);
        assert!((fps - 30.0).abs() < 0.0005, "{fps}");
    }

    #[test]
    fn the_nearest_named_rate_is_the_reference() {
        assert!(ppm(30_000.0 / 1_001.0).abs() < 1e-6);
        assert!((ppm(30.003) - 100.0).abs() < 0.1);
        assert!((ppm(24.999) + 40.0).abs() < 0.1);
    }
}
