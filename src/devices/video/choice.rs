//! Which of a camera's formats to use.

use crate::video::frame::PixelFormat;
use crate::video::scale::LARGEST;

/// One thing that a camera offers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mode {
    /// Layout.
    pub format: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: f64,
}

// Cameras that mean 30 say 30000/1001 as well.
const FULL: f64 = 29.5;
const PAL: f64 = 24.5;

/// The largest size up to 1080p with at least 30 frames a second, else with at least 25, else the
/// fastest there is. Of one size and rate: no faster than needed, then uncompressed before MJPEG
/// (where a camera offers both at full rate, the raw one is not from a decoder's blocks).
pub fn choose(modes: &[Mode]) -> Option<Mode> {
    let usable = |m: &&Mode| {
        let even = m.width.is_multiple_of(2)
            && m.height.is_multiple_of(2)
            && m.width >= 16
            && m.height >= 16;
        even && m.fps > 0.0 && m.fps.is_finite()
    };
    let within: Vec<&Mode> = modes
        .iter()
        .filter(usable)
        .filter(|m| m.width <= LARGEST.0 && m.height <= LARGEST.1)
        .collect();
    // Where a camera has only larger pictures, they are scaled down later.
    let pool: Vec<&Mode> =
        if within.is_empty() { modes.iter().filter(usable).collect() } else { within };
    for least in [FULL, PAL] {
        let best = pool.iter().filter(|m| m.fps >= least).max_by(|a, b| rank(a, b));
        if let Some(best) = best {
            return Some(**best);
        }
    }
    pool.into_iter().max_by(|a, b| a.fps.total_cmp(&b.fps).then_with(|| rank(a, b))).copied()
}

// Larger picture, then slower rate, then layout.
fn rank(a: &Mode, b: &Mode) -> std::cmp::Ordering {
    let area = |m: &Mode| u64::from(m.width) * u64::from(m.height);
    area(a)
        .cmp(&area(b))
        .then_with(|| b.fps.total_cmp(&a.fps))
        .then_with(|| layout(a.format).cmp(&layout(b.format)))
}

fn layout(format: PixelFormat) -> u8 {
    match format {
        PixelFormat::Bgr24 => 0,
        PixelFormat::Mjpeg => 1,
        PixelFormat::Yuyv => 2,
        PixelFormat::I420 => 3,
        PixelFormat::Nv12 => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(format: PixelFormat, width: u32, height: u32, fps: f64) -> Mode {
        Mode { format, width, height, fps }
    }

    #[test]
    fn mjpeg_at_1080p30_wins_over_a_yuyv_that_is_slow_there() {
        let modes = [
            mode(PixelFormat::Yuyv, 1920, 1080, 5.0),
            mode(PixelFormat::Yuyv, 640, 480, 30.0),
            mode(PixelFormat::Mjpeg, 1920, 1080, 30.0),
            mode(PixelFormat::Mjpeg, 3840, 2160, 30.0),
        ];
        assert_eq!(choose(&modes), Some(modes[2]));
    }

    #[test]
    fn yuyv_is_taken_where_it_is_as_large_and_fast() {
        let modes = [
            mode(PixelFormat::Mjpeg, 1280, 720, 30.0),
            mode(PixelFormat::Yuyv, 1280, 720, 30.0),
            mode(PixelFormat::Yuyv, 1280, 720, 60.0),
        ];
        assert_eq!(choose(&modes), Some(modes[1]));
    }

    #[test]
    fn full_rate_goes_before_size_then_25_then_the_fastest() {
        let modes =
            [mode(PixelFormat::Mjpeg, 1920, 1080, 25.0), mode(PixelFormat::Mjpeg, 1280, 720, 30.0)];
        assert_eq!(choose(&modes), Some(modes[1]));
        assert_eq!(choose(&modes[..1]), Some(modes[0]));
        let slow =
            [mode(PixelFormat::Yuyv, 1920, 1080, 5.0), mode(PixelFormat::Yuyv, 640, 480, 15.0)];
        assert_eq!(choose(&slow), Some(slow[1]));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn ntsc_counts_as_30_and_only_larger_pictures_are_better_than_none() {
        let ntsc = mode(PixelFormat::Mjpeg, 1920, 1080, 30_000.0 / 1_001.0);
        assert_eq!(choose(&[ntsc, mode(PixelFormat::Mjpeg, 640, 480, 60.0)]), Some(ntsc));
        let uhd = mode(PixelFormat::Mjpeg, 3840, 2160, 30.0);
        assert_eq!(choose(&[uhd]), Some(uhd));
    }
}
