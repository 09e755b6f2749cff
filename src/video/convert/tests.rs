//! Every camera format gives the same colour bars back.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::units::Micros;
use crate::video::bars::codes_of;
use crate::video::frame::{ColorRange, Matrix};

const W: u32 = 128;
const H: u32 = 32;
/// Red, green and blue of eight bars, full range: 75 % bars with black and white.
const BARS: [[u8; 3]; 8] = [
    [255, 255, 255],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

fn bar(x: u32) -> [u8; 3] {
    BARS[(x * 8 / W) as usize]
}

fn all_codes() -> impl Iterator<Item = Codes> {
    let matrices = [Matrix::Bt601, Matrix::Bt709, Matrix::Smpte240m, Matrix::Bt2020];
    let ranges = [ColorRange::Limited, ColorRange::Full];
    matrices.into_iter().flat_map(move |matrix| ranges.map(|range| Codes { matrix, range }))
}

fn frame(format: PixelFormat, codes: Codes, data: Vec<u8>) -> Frame {
    Frame {
        format,
        codes,
        width: W,
        height: H,
        captured: Micros(0),
        number: 0,
        data: Arc::new(data),
    }
}

fn planar_bars(codes: Codes) -> Vec<u8> {
    let row =
        |plane: usize, step: u32| (0..W / step).map(move |x| codes_of(bar(x * step), codes)[plane]);
    let mut data: Vec<u8> = (0..H).flat_map(|_| row(0, 1)).collect();
    for plane in [1, 2] {
        data.extend((0..H / 2).flat_map(|_| row(plane, 2)));
    }
    data
}

fn nv12_bars(codes: Codes) -> Vec<u8> {
    let planar = planar_bars(codes);
    let luma = (W * H) as usize;
    let mut data = planar[..luma].to_vec();
    let (u, v) = planar[luma..].split_at(luma / 4);
    data.extend(u.iter().zip(v).flat_map(|(&u, &v)| [u, v]));
    data
}

fn yuyv_bars(codes: Codes) -> Vec<u8> {
    (0..H)
        .flat_map(|_| (0..W / 2).map(|x| codes_of(bar(x * 2), codes)))
        .flat_map(|[y, u, v]| [y, u, y, v])
        .collect()
}

fn bgr_bars() -> Vec<u8> {
    (0..H).flat_map(|_| (0..W).map(bar)).flat_map(|[r, g, b]| [b, g, r]).collect()
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
        let wanted = codes_of(bar(x), Codes::RECORDED);
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
fn every_uncompressed_format_gives_the_bars_back_in_every_matrix_and_range() {
    for codes in all_codes() {
        for (format, data) in [
            (PixelFormat::I420, planar_bars(codes)),
            (PixelFormat::Nv12, nv12_bars(codes)),
            (PixelFormat::Yuyv, yuyv_bars(codes)),
            (PixelFormat::Bgr24, bgr_bars()),
        ] {
            let worst = error(&converted(&frame(format, codes, data)));
            assert!(worst <= 1, "{format:?} {codes:?}: {worst} codes off");
        }
    }
}

#[test]
fn one_converter_follows_a_camera_that_changes_its_codes() {
    let (mut converter, mut out) = (Converter::new(), I420::default());
    for codes in all_codes().chain(all_codes()) {
        let frame = frame(PixelFormat::Nv12, codes, nv12_bars(codes));
        converter.to_i420(&frame, &mut out).expect("a whole frame");
        assert!(error(&out) <= 1, "{codes:?}");
    }
}

#[test]
fn what_needs_no_conversion_is_left_in_the_frame_and_is_the_same_picture() {
    for codes in all_codes() {
        let plain = codes == Codes::RECORDED;
        for (format, data, left) in [
            (PixelFormat::I420, planar_bars(codes), if plain { Left::All } else { Left::Nothing }),
            (PixelFormat::Nv12, nv12_bars(codes), if plain { Left::Luma } else { Left::Nothing }),
            (PixelFormat::Yuyv, yuyv_bars(codes), Left::Nothing),
        ] {
            let frame = frame(format, codes, data);
            let mut out = I420::black(2, 2);
            let got = Converter::new().prepare(&frame, &mut out).expect("a whole frame");
            assert_eq!(got, left, "{format:?} {codes:?}");
            let whole = converted(&frame);
            assert_eq!(got.planes(&frame, &out), (whole.y(), whole.u(), whole.v()), "{format:?}");
        }
    }
    let short = frame(PixelFormat::Nv12, Codes::RECORDED, vec![0; 10]);
    assert!(Converter::new().prepare(&short, &mut I420::default()).is_err());
}

#[test]
fn limited_i420_is_copied_bit_for_bit() {
    let data = planar_bars(Codes::RECORDED);
    assert_eq!(converted(&frame(PixelFormat::I420, Codes::RECORDED, data.clone())).data, data);
}

#[test]
fn jpeg_of_every_subsampling_changes_matrix_and_range() {
    use turbojpeg::Subsamp;
    for subsamp in [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::None] {
        let data = jpeg_bars(subsamp);
        let worst = error(&converted(&frame(PixelFormat::Mjpeg, Codes::JFIF, data)));
        assert!(worst <= 2, "{subsamp:?}: {worst} codes off");
    }
    let grey = converted(&frame(PixelFormat::Mjpeg, Codes::JFIF, jpeg_bars(Subsamp::Gray)));
    assert!(grey.u().iter().chain(grey.v()).all(|&c| c.abs_diff(128) <= 1));
}

#[test]
fn a_jpeg_that_is_scaled_down_afterwards_is_decoded_or_made_smaller_and_has_the_same_colours() {
    use turbojpeg::Subsamp;
    for subsamp in [Subsamp::Sub2x2, Subsamp::Sub2x1, Subsamp::None] {
        let frame = frame(PixelFormat::Mjpeg, Codes::JFIF, jpeg_bars(subsamp));
        // 4:4:4 goes by way of RGB, at what the decoder gives.
        let quarters = if subsamp == Subsamp::None { (128, 32) } else { (96, 24) };
        for (largest, size) in [
            ((64, 16), (64, 16)),
            ((96, 24), quarters),
            ((60, 16), (64, 16)),
            ((200, 99), (128, 32)),
        ] {
            let mut out = I420::default();
            Converter::down_to(largest.0, largest.1).to_i420(&frame, &mut out).expect("whole");
            assert_eq!((out.width, out.height), size, "{subsamp:?} {largest:?}");
            for x in (0..W).filter(|x| (6..10).contains(&(x % 16))) {
                let wanted = codes_of(bar(x), Codes::RECORDED);
                let (at, y) = (x * out.width / W, out.height / 2);
                let chroma = (y / 2 * out.chroma_width() + at / 2) as usize;
                let luma = out.y()[(y * out.width + at) as usize];
                for (got, wanted) in
                    [luma, out.u()[chroma], out.v()[chroma]].into_iter().zip(wanted)
                {
                    assert!(
                        got.abs_diff(wanted) <= 3,
                        "{subsamp:?} {largest:?} {x}: {got} {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_truncated_jpeg_is_an_error_and_the_next_whole_one_converts() {
    let whole = jpeg_bars(turbojpeg::Subsamp::Sub2x1);
    let mut converter = Converter::new();
    let mut out = I420::default();
    for cut in [0, 1, 2, 20, 300, whole.len() / 2, whole.len() * 3 / 4] {
        let frame = frame(PixelFormat::Mjpeg, Codes::JFIF, whole[..cut].to_vec());
        assert!(matches!(converter.to_i420(&frame, &mut out), Err(VideoError::Jpeg(_))), "{cut}");
    }
    converter
        .to_i420(&frame(PixelFormat::Mjpeg, Codes::JFIF, whole), &mut out)
        .expect("a whole JPEG after damaged ones");
    assert!(error(&out) <= 3);
}

#[test]
fn a_jpeg_of_another_size_than_agreed_is_an_error() {
    let mut frame = frame(PixelFormat::Mjpeg, Codes::JFIF, jpeg_bars(turbojpeg::Subsamp::Sub2x2));
    frame.width = 64;
    let result = Converter::new().to_i420(&frame, &mut I420::default());
    assert!(matches!(result, Err(VideoError::JpegSize { width: 128, expected_width: 64, .. })));
}

#[test]
fn a_short_frame_and_an_impossible_size_are_errors() {
    let mut frame = frame(PixelFormat::Yuyv, Codes::RECORDED, vec![0; 10]);
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
            .to_i420(&frame(PixelFormat::Mjpeg, Codes::JFIF, data), &mut I420::default());
    }
}
