//! The number comes back after everything that happens to a picture on its way.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::units::Micros;
use crate::video::convert::Converter;
use crate::video::frame::{Codes, Frame, PixelFormat};
use crate::video::scale::Scaler;
use crate::video::vp8::{Decoded, Vp8Config, Vp8Decoder, Vp8Encoder};

#[test]
fn the_number_is_read_at_every_usual_size() {
    for (width, height) in [
        (1920, 1080),
        (1280, 720),
        (854, 480),
        (640, 480),
        (640, 360),
        (320, 240),
        (160, 120),
        (720, 1280),
    ] {
        let mut card = TestCard::new(width, height);
        let mut image = I420::default();
        for number in [0, 1, 2, 107_999, 0xFFFF_FFFF] {
            card.draw(number, 45_296.789, &mut image);
            assert_eq!(read_number(&image), Some(number), "{width}x{height}");
        }
    }
}

#[test]
fn what_was_drawn_before_leaves_no_trace() {
    let mut used = TestCard::new(320, 240);
    let (mut a, mut b) = (I420::default(), I420::default());
    for number in [99_999, 5, 123_456, 7] {
        used.draw(number, number as f64, &mut a);
        TestCard::new(320, 240).draw(number, number as f64, &mut b);
        assert!(a == b, "{number}");
    }
}

#[test]
fn the_smallest_sizes_are_drawn_without_a_code() {
    for (width, height) in [(16, 16), (2, 2), (16, 3840), (3840, 16)] {
        let mut image = I420::default();
        TestCard::new(width, height).draw(u64::MAX, 1e9, &mut image);
        assert_eq!((image.width, image.height), (width, height));
        assert_eq!(read_number(&image), None);
    }
}

/// Camera to preview and back: converted, boxed into 854x480, VP8 at 400 kbit/s.
fn survives(width: u32, height: u32) {
    let config = Vp8Config { width: 854, height: 480, fps: 24, kbps: 400, keyframe_interval: 48 };
    let mut encoder = Vp8Encoder::new(&config).expect("an encoder");
    let mut decoder = Vp8Decoder::new().expect("a decoder");
    let mut card = TestCard::new(width, height);
    let (mut scaler, mut converter) = (Scaler::new(), Converter::new());
    let (mut drawn, mut boxed, mut seen) =
        (I420::default(), I420::black(854, 480), I420::default());
    let mut converted = I420::default();
    for n in 0..72u64 {
        let number = 1_000_000 + n * 5 / 4;
        card.draw(number, n as f64 / 24.0, &mut drawn);
        let frame = Frame {
            format: PixelFormat::I420,
            codes: Codes::RECORDED,
            width,
            height,
            captured: Micros(0),
            number,
            data: Arc::new(drawn.data.clone()),
        };
        converter.to_i420(&frame, &mut converted).expect("a whole frame");
        scaler.fit(&converted, &mut boxed);
        let mut data = Vec::new();
        encoder.encode(&boxed, n as i64, false, &mut data).expect("a frame");
        let result = decoder.decode(&data, &mut seen);
        assert!(matches!(result, Ok(Decoded::Whole { .. })));
        assert_eq!(read_number(&seen), Some(number), "frame {n} of {width}x{height}");
    }
}

#[test]
fn the_number_survives_scaling_letterboxing_and_vp8() {
    survives(1920, 1080);
    survives(640, 480);
    survives(640, 360);
}

#[test]
fn other_pictures_have_no_number() {
    let mut image = I420::black(854, 480);
    assert_eq!(read_number(&image), None);
    image.fill_rect(0, 0, 854, 480, [235, 128, 128]);
    assert_eq!(read_number(&image), None);
    let mut state = 1u32;
    for code in &mut image.data {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *code = (state >> 24) as u8;
    }
    assert_eq!(read_number(&image), None);
    assert_eq!(read_number(&I420::default()), None);
}

#[test]
fn a_flipped_cell_is_noticed() {
    let mut image = I420::default();
    TestCard::new(854, 480).draw(4711, 0.0, &mut image);
    for index in 0..COLUMNS * ROWS {
        let mut damaged = image.clone();
        let [left, top, right, bottom] = cell(index);
        let (x, y) = (left * 854 / 1000 + 1, top * 480 / 1000 + 1);
        let centre = (x + (right - left) * 854 / 2000, y + (bottom - top) * 480 / 2000);
        let old = image.y()[(centre.1 * 854 + centre.0) as usize];
        let (w, h) = ((right - left) * 854 / 1000, (bottom - top) * 480 / 1000);
        damaged.fill_rect(x, y, w, h, [249 - old, 128, 128]);
        assert_eq!(read_number(&damaged), None, "cell {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_number_comes_back_and_gray_code_inverts(number: u32) {
        prop_assert_eq!(from_gray(number ^ number >> 1), number);
        let mut image = I420::default();
        TestCard::new(320, 180).draw(u64::from(number), 0.0, &mut image);
        prop_assert_eq!(read_number(&image), Some(u64::from(number)));
    }

    #[test]
    fn any_picture_is_read_without_a_panic(width in 0u32..200, height in 0u32..200, code: u8) {
        let mut image = I420::black(width, height);
        image.fill_rect(width / 4, height / 4, width / 2, height / 2, [code, 0, 255]);
        let _ = read_number(&image);
    }
}
