//! Every camera format gives the same colour bars back.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::units::Micros;

const W: u32 = 128;
const H: u32 = 32;
/// Red, green and blue of eight bars, full range: 75 % bars with black and white.
const BARS: [[f64; 3]; 8] = [
    [255.0, 255.0, 255.0],
    [191.0, 191.0, 0.0],
    [0.0, 191.0, 191.0],
    [0.0, 191.0, 0.0],
    [191.0, 0.0, 191.0],
    [191.0, 0.0, 0.0],
    [0.0, 0.0, 191.0],
    [0.0, 0.0, 0.0],
];

fn bar(x: u32) -> [f64; 3] {
    BARS[(x * 8 / W) as usize]
}

/// Y'CbCr codes by the definition (H.273, equations 38 to 40 and their ranges).
fn codes([r, g, b]: [f64; 3], kr: f64, kb: f64, full: bool) -> [u8; 3] {
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
    let values = if full {
        [y, 128.0 + cb, 128.0 + cr]
    } else {
        [16.0 + y * 219.0 / 255.0, 128.0 + cb * 224.0 / 255.0, 128.0 + cr * 224.0 / 255.0]
    };
    values.map(|code| code.round().clamp(0.0, 255.0) as u8)
}

fn bt709(rgb: [f64; 3], range: ColorRange) -> [u8; 3] {
    codes(rgb, 0.2126, 0.0722, range == ColorRange::Full)
}

fn frame(format: PixelFormat, range: ColorRange, data: Vec<u8>) -> Frame {
    Frame {
        format,
        range,
        width: W,
        height: H,
        captured: Micros(0),
        number: 0,
        data: Arc::new(data),
    }
}

fn planar_bars(range: ColorRange) -> Vec<u8> {
    let row =
        |plane: usize, step: u32| (0..W / step).map(move |x| bt709(bar(x * step), range)[plane]);
    let mut data: Vec<u8> = (0..H).flat_map(|_| row(0, 1)).collect();
    for plane in [1, 2] {
        data.extend((0..H / 2).flat_map(|_| row(plane, 2)));
    }
    data
}

fn nv12_bars(range: ColorRange) -> Vec<u8> {
    let planar = planar_bars(range);
    let luma = (W * H) as usize;
    let mut data = planar[..luma].to_vec();
    let (u, v) = planar[luma..].split_at(luma / 4);
    data.extend(u.iter().zip(v).flat_map(|(&u, &v)| [u, v]));
    data
}

fn yuyv_bars(range: ColorRange) -> Vec<u8> {
    (0..H)
        .flat_map(|_| (0..W / 2).map(|x| bt709(bar(x * 2), range)))
        .flat_map(|[y, u, v]| [y, u, y, v])
        .collect()
}

fn bgr_bars() -> Vec<u8> {
    (0..H).flat_map(|_| (0..W).map(bar)).flat_map(|[r, g, b]| [b as u8, g as u8, r as u8]).collect()
}

fn jpeg_bars(subsamp: turbojpeg::Subsamp) -> Vec<u8> {
    let pixels = bgr_bars();
    let image = turbojpeg::Image {
        pixels: &pixels[..],
        width: W as usize,
        pitch: W as usize * 3,
        height: H as usize,
        format: turbojpeg::PixelFormat::BGR,
    };
    turbojpeg::compress(image, 98, subsamp).expect("a picture in memory").to_vec()
}

/// Largest distance to the true codes, sampled in the middle of the bars.
fn error(image: &I420) -> u8 {
    assert_eq!((image.width, image.height), (W, H));
    let mut worst = 0;
    for x in (0..W).filter(|x| (4..12).contains(&(x % 16))) {
        let wanted = bt709(bar(x), ColorRange::Limited);
        for y in 0..H {
            let chroma = (y / 2 * W / 2 + x / 2) as usize;
            let got = [image.y()[(y * W + x) as usize], image.u()[chroma], image.v()[chroma]];
            for (got, wanted) in got.into_iter().zip(wanted) {
                worst = worst.max(got.abs_diff(wanted));
            }
        }
    }
    worst
}

fn converted(frame: &Frame) -> I420 {
    let mut out = I420::default();
    Converter::new().to_i420(frame, &mut out).expect("a whole frame");
    out
}

#[test]
fn every_uncompressed_format_gives_the_bars_back_in_both_ranges() {
    for range in [ColorRange::Limited, ColorRange::Full] {
        for (format, data) in [
            (PixelFormat::I420, planar_bars(range)),
            (PixelFormat::Nv12, nv12_bars(range)),
            (PixelFormat::Yuyv, yuyv_bars(range)),
            (PixelFormat::Bgr24, bgr_bars()),
        ] {
            let worst = error(&converted(&frame(format, range, data)));
            assert!(worst <= 2, "{format:?} {range:?}: {worst} codes off");
        }
    }
}

#[test]
fn what_needs_no_conversion_is_left_in_the_frame_and_is_the_same_picture() {
    for (format, range, data, left) in [
        (PixelFormat::I420, ColorRange::Limited, planar_bars(ColorRange::Limited), Left::All),
        (PixelFormat::I420, ColorRange::Full, planar_bars(ColorRange::Full), Left::Nothing),
        (PixelFormat::Nv12, ColorRange::Limited, nv12_bars(ColorRange::Limited), Left::Luma),
        (PixelFormat::Nv12, ColorRange::Full, nv12_bars(ColorRange::Full), Left::Nothing),
        (PixelFormat::Yuyv, ColorRange::Limited, yuyv_bars(ColorRange::Limited), Left::Nothing),
    ] {
        let frame = frame(format, range, data);
        let mut out = I420::black(2, 2);
        let got = Converter::new().prepare(&frame, &mut out).expect("a whole frame");
        assert_eq!(got, left, "{format:?} {range:?}");
        let whole = converted(&frame);
        assert_eq!(got.planes(&frame, &out), (whole.y(), whole.u(), whole.v()), "{format:?}");
    }
    let short = frame(PixelFormat::Nv12, ColorRange::Limited, vec![0; 10]);
    assert!(Converter::new().prepare(&short, &mut I420::default()).is_err());
}

#[test]
fn limited_i420_is_copied_bit_for_bit() {
    let data = planar_bars(ColorRange::Limited);
    assert_eq!(converted(&frame(PixelFormat::I420, ColorRange::Limited, data.clone())).data, data);
}

#[test]
fn jpeg_of_every_subsampling_changes_matrix_and_range() {
    use turbojpeg::Subsamp;
    for subsamp in [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::None] {
        let data = jpeg_bars(subsamp);
        let worst = error(&converted(&frame(PixelFormat::Mjpeg, ColorRange::Full, data)));
        assert!(worst <= 2, "{subsamp:?}: {worst} codes off");
    }
    let grey = converted(&frame(PixelFormat::Mjpeg, ColorRange::Full, jpeg_bars(Subsamp::Gray)));
    assert!(grey.u().iter().chain(grey.v()).all(|&c| c.abs_diff(128) <= 1));
}

#[test]
fn a_truncated_jpeg_is_an_error_and_the_next_whole_one_converts() {
    let whole = jpeg_bars(turbojpeg::Subsamp::Sub2x1);
    let mut converter = Converter::new();
    let mut out = I420::default();
    for cut in [0, 1, 2, 20, 300, whole.len() / 2, whole.len() * 3 / 4] {
        let frame = frame(PixelFormat::Mjpeg, ColorRange::Full, whole[..cut].to_vec());
        assert!(matches!(converter.to_i420(&frame, &mut out), Err(VideoError::Jpeg(_))), "{cut}");
    }
    converter
        .to_i420(&frame(PixelFormat::Mjpeg, ColorRange::Full, whole), &mut out)
        .expect("a whole JPEG after damaged ones");
    assert!(error(&out) <= 3);
}

#[test]
fn a_jpeg_of_another_size_than_agreed_is_an_error() {
    let mut frame =
        frame(PixelFormat::Mjpeg, ColorRange::Full, jpeg_bars(turbojpeg::Subsamp::Sub2x2));
    frame.width = 64;
    let result = Converter::new().to_i420(&frame, &mut I420::default());
    assert!(matches!(result, Err(VideoError::JpegSize { width: 128, expected_width: 64, .. })));
}

#[test]
fn a_short_frame_and_an_impossible_size_are_errors() {
    let mut frame = frame(PixelFormat::Yuyv, ColorRange::Limited, vec![0; 10]);
    let convert = |frame: &Frame| Converter::new().to_i420(frame, &mut I420::default());
    let expected = (W * H * 2) as usize;
    assert_eq!(convert(&frame), Err(VideoError::Length { got: 10, expected }));
    frame.width = 0;
    assert_eq!(convert(&frame), Err(VideoError::Size { width: 0, height: H }));
    frame.width = u32::MAX;
    assert_eq!(convert(&frame), Err(VideoError::Size { width: u32::MAX, height: H }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_damaged_jpeg_never_panics(at in 0usize..4000, byte: u8, cut in 0usize..4000) {
        let mut data = jpeg_bars(turbojpeg::Subsamp::Sub2x2);
        let length = data.len();
        data[at % length] = byte;
        data.truncate(length - cut % length);
        let _ = Converter::new()
            .to_i420(&frame(PixelFormat::Mjpeg, ColorRange::Full, data), &mut I420::default());
    }
}
