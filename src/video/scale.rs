//! Scaling: into a fixed size with black bars, or down to a largest size.

use fast_image_resize::images::{TypedCroppedImageMut, TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::image::I420;

/// The recording's largest picture (PRD 4.3.1), width and height in pixels.
pub const LARGEST: (u32, u32) = (1920, 1080);

/// A rectangle in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rect {
    /// From the left.
    pub x: u32,
    /// From the top.
    pub y: u32,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// Where a picture of `src` size lands inside `out`: as large as fits, its aspect kept, centred;
/// all four numbers even, so that chroma lies on whole samples. Empty when one of them is empty.
pub fn fit_rect(src: (u32, u32), out: (u32, u32)) -> Rect {
    let (sw, sh) = (u64::from(src.0), u64::from(src.1));
    let (ow, oh) = (u64::from(out.0), u64::from(out.1));
    if sw == 0 || sh == 0 || ow == 0 || oh == 0 {
        return Rect::default();
    }
    // Compare the aspects crosswise; within half a per cent the bars would be a line or two: a
    // 16:9 picture fills 854x480, which is not exactly 16:9.
    let (a, b) = (sw * oh, ow * sh);
    let (width, height) = if a.abs_diff(b) * 200 <= b {
        (ow, oh)
    } else if a > b {
        (ow, nearest_even(ow * sh, sw).min(oh))
    } else {
        (nearest_even(oh * sw, sh).min(ow), oh)
    };
    let even = |free: u64| (free / 2) & !1;
    Rect {
        x: even(ow - width) as u32,
        y: even(oh - height) as u32,
        width: width as u32,
        height: height as u32,
    }
}

/// The even number nearest to `n / d`, at least 2.
fn nearest_even(n: u64, d: u64) -> u64 {
    ((n + d) / (2 * d) * 2).max(2)
}

/// The size that a `width` x `height` picture gets when it may be at most `max_width` x
/// `max_height`: its own when it fits, else the largest of its aspect, even.
pub fn down_to(width: u32, height: u32, max_width: u32, max_height: u32) -> (u32, u32) {
    if width <= max_width && height <= max_height {
        return (width, height);
    }
    let rect = fit_rect((width, height), (max_width & !1, max_height & !1));
    (rect.width, rect.height)
}

/// Scales planes; keeps its buffers between pictures. One a thread.
#[derive(Default)]
pub struct Scaler {
    resizer: Resizer,
}

impl Scaler {
    /// A scaler with nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Scales `src` into `out`, whose size stays: letter- or pillar-boxed, bars black.
    pub fn fit(&mut self, src: &I420, out: &mut I420) {
        let rect = fit_rect((src.width, src.height), (out.width, out.height));
        if (src.width, src.height) == (out.width, out.height) {
            out.data.copy_from_slice(&src.data);
            return;
        }
        if (rect.width, rect.height) != (out.width, out.height) {
            out.fill_black();
        }
        if rect.width == 0 {
            return;
        }
        let size = (out.width, out.height);
        let chroma_size = (out.chroma_width(), out.chroma_height());
        let half = Rect {
            x: rect.x / 2,
            y: rect.y / 2,
            width: rect.width.div_ceil(2),
            height: rect.height.div_ceil(2),
        };
        let chroma = (src.chroma_width(), src.chroma_height());
        let (y, u, v) = out.planes_mut();
        self.plane(src.y(), (src.width, src.height), y, size, rect);
        self.plane(src.u(), chroma, u, chroma_size, half);
        self.plane(src.v(), chroma, v, chroma_size, half);
    }

    /// Scales `src` to exactly `width` x `height` into `out`, whatever the aspect.
    pub fn stretch(&mut self, src: &I420, width: u32, height: u32, out: &mut I420) {
        out.resize(width, height);
        if (src.width, src.height) == (width, height) {
            out.data.copy_from_slice(&src.data);
            return;
        }
        if src.width == 0 || src.height == 0 || width == 0 || height == 0 {
            out.fill_black();
            return;
        }
        let whole = |width, height| Rect { x: 0, y: 0, width, height };
        let chroma = (src.chroma_width(), src.chroma_height());
        let (cw, ch) = (out.chroma_width(), out.chroma_height());
        let (y, u, v) = out.planes_mut();
        self.plane(src.y(), (src.width, src.height), y, (width, height), whole(width, height));
        self.plane(src.u(), chroma, u, (cw, ch), whole(cw, ch));
        self.plane(src.v(), chroma, v, (cw, ch), whole(cw, ch));
    }

    fn plane(&mut self, src: &[u8], from: (u32, u32), dst: &mut [u8], to: (u32, u32), rect: Rect) {
        let planes_fit = "planes have the length that their image's size says";
        // By the type of its pixels: the call that looks at it at run time brings the code of a
        // dozen types into the program.
        let src = TypedImageRef::<U8>::from_buffer(from.0, from.1, src).expect(planes_fit);
        let dst = TypedImage::<U8>::from_buffer(to.0, to.1, dst).expect(planes_fit);
        let mut window = TypedCroppedImageMut::new(dst, rect.x, rect.y, rect.width, rect.height)
            .expect("fit_rect lies inside the picture");
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear));
        self.resizer.resize_typed(&src, &mut window, &options).expect("nothing is cropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wide_pictures_are_letterboxed_and_narrow_ones_pillarboxed() {
        let rect = |x, y, width, height| Rect { x, y, width, height };
        assert_eq!(fit_rect((1920, 1080), (854, 480)), rect(0, 0, 854, 480));
        assert_eq!(fit_rect((640, 480), (854, 480)), rect(106, 0, 640, 480));
        assert_eq!(fit_rect((1080, 1920), (854, 480)), rect(292, 0, 270, 480));
        assert_eq!(fit_rect((1920, 800), (854, 480)), rect(0, 62, 854, 356));
        assert_eq!(fit_rect((0, 9), (854, 480)), Rect::default());
    }

    #[test]
    fn only_larger_pictures_come_down() {
        assert_eq!(down_to(1920, 1080, 1920, 1080), (1920, 1080));
        assert_eq!(down_to(640, 480, 1920, 1080), (640, 480));
        assert_eq!(down_to(3840, 2160, 1920, 1080), (1920, 1080));
        assert_eq!(down_to(2592, 1944, 1920, 1080), (1440, 1080));
    }

    #[test]
    fn bars_are_black_and_the_picture_is_between_them() {
        let mut src = I420::black(640, 480);
        src.fill_rect(0, 0, 640, 480, [180, 90, 200]);
        let mut out = I420::black(854, 480);
        out.fill_rect(0, 0, 854, 480, [77, 77, 77]);
        Scaler::new().fit(&src, &mut out);
        for row in out.y().chunks_exact(854) {
            assert!(row[..106].iter().all(|&c| c == 16), "left bar");
            assert!(row[106..746].iter().all(|&c| c == 180), "picture");
            assert!(row[746..].iter().all(|&c| c == 16), "right bar");
        }
        for row in out.u().chunks_exact(427) {
            assert!(row[..53].iter().all(|&c| c == 128));
            assert!(row[53..373].iter().all(|&c| c == 90));
            assert!(row[373..].iter().all(|&c| c == 128));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_size_fits_into_any_other(sw in 1u32..70, sh in 1u32..70, w in 1u32..40, h in 1u32..40) {
            let (ow, oh) = (w * 2, h * 2);
            let rect = fit_rect((sw, sh), (ow, oh));
            prop_assert!(rect.x + rect.width <= ow && rect.y + rect.height <= oh);
            prop_assert!([rect.x, rect.y, rect.width, rect.height].iter().all(|n| n % 2 == 0));
            let mut out = I420::black(ow, oh);
            Scaler::new().fit(&I420::black(sw, sh), &mut out);
            prop_assert!(out.y().iter().all(|&c| c == 16));
        }
    }
}
