//! VP8 there and back, keyframe cadence, and what damage does.

use proptest::prelude::*;

use super::*;
use crate::video::image::luma_psnr;
use crate::video::testcard::TestCard;

const CONFIG: Vp8Config =
    Vp8Config { width: 320, height: 180, fps: 24, kbps: 400, keyframe_interval: 48 };

fn encoded(frames: u64) -> Vec<(bool, Vec<u8>)> {
    let mut encoder = Vp8Encoder::new(&CONFIG).expect("an encoder");
    let mut card = TestCard::new(CONFIG.width, CONFIG.height);
    let mut image = I420::default();
    (0..frames)
        .map(|n| {
            card.draw(n, n as f64 / 24.0, &mut image);
            let mut data = Vec::new();
            let key = encoder.encode(&image, n as i64, false, &mut data).expect("a frame");
            (key.expect("dropping is off"), data)
        })
        .collect()
}

#[test]
fn pictures_survive_and_keyframes_come_every_two_seconds() {
    let frames = encoded(100);
    let keys: Vec<usize> =
        frames.iter().enumerate().filter(|(_, (key, _))| *key).map(|(n, _)| n).collect();
    assert_eq!(keys, [0, 48, 96]);
    let total: usize = frames.iter().map(|(_, data)| data.len()).sum();
    let kbps = total as f64 * 8.0 * 24.0 / 100.0 / 1000.0;
    assert!(kbps < 440.0, "{kbps} kbit/s");

    let mut decoder = Vp8Decoder::new().expect("a decoder");
    let mut card = TestCard::new(CONFIG.width, CONFIG.height);
    let (mut image, mut out) = (I420::default(), I420::default());
    for (n, (key, data)) in frames.iter().enumerate() {
        let result = decoder.decode(data, &mut out);
        assert_eq!(result, Ok(Decoded::Whole { keyframe: *key }));
        card.draw(n as u64, n as f64 / 24.0, &mut image);
        let psnr = luma_psnr(&image, &out).expect("the same size");
        assert!(psnr > 30.0, "frame {n}: {psnr} dB");
    }
}

#[test]
fn a_keyframe_comes_on_request_and_after_a_new_size() {
    let mut encoder = Vp8Encoder::new(&CONFIG).expect("an encoder");
    let image = I420::black(320, 180);
    let key = |encoder: &mut Vp8Encoder, image: &I420, n, force| {
        encoder.encode(image, n, force, &mut Vec::new()).expect("a frame")
    };
    assert_eq!(key(&mut encoder, &image, 0, false), Some(true));
    assert_eq!(key(&mut encoder, &image, 1, false), Some(false));
    assert_eq!(key(&mut encoder, &image, 2, true), Some(true));
    encoder.reconfigure(&Vp8Config { kbps: 150, ..CONFIG }).expect("another bitrate");
    assert_eq!(key(&mut encoder, &image, 3, false), Some(false), "the stream goes on");
    for (width, height) in [(160, 90), (320, 180), (640, 360)] {
        encoder.reconfigure(&Vp8Config { width, height, ..CONFIG }).expect("another size");
        assert_eq!(key(&mut encoder, &I420::black(width, height), 4, true), Some(true));
    }
    let wrong = I420::black(100, 100);
    let result = encoder.encode(&wrong, 5, false, &mut Vec::new());
    assert_eq!(result, Err(VideoError::Size { width: 100, height: 100 }));
}

#[test]
fn an_impossible_configuration_is_refused() {
    for config in [
        Vp8Config { width: 0, ..CONFIG },
        Vp8Config { height: 181, ..CONFIG },
        Vp8Config { width: 4000, ..CONFIG },
        Vp8Config { fps: 0, ..CONFIG },
        Vp8Config { kbps: 0, ..CONFIG },
    ] {
        assert!(Vp8Encoder::new(&config).is_err(), "{config:?}");
    }
}

#[test]
fn damage_is_told_until_the_next_keyframe() {
    let frames = encoded(60);
    let mut decoder = Vp8Decoder::new().expect("a decoder");
    let mut out = I420::default();
    assert_eq!(decoder.decode(&frames[1].1, &mut out), Ok(Decoded::Damaged), "nothing to refer to");
    assert_eq!(decoder.decode(&frames[0].1, &mut out), Ok(Decoded::Whole { keyframe: true }));
    let half = &frames[1].1[..frames[1].1.len() / 2];
    let shown = decoder.decode(half, &mut out);
    assert!(!matches!(shown, Ok(Decoded::Whole { .. })), "{shown:?}");
    for (_, data) in &frames[2..48] {
        assert_eq!(decoder.decode(data, &mut out), Ok(Decoded::Damaged));
    }
    assert_eq!(decoder.decode(&frames[48].1, &mut out), Ok(Decoded::Whole { keyframe: true }));
    assert_eq!(decoder.decode(&frames[49].1, &mut out), Ok(Decoded::Whole { keyframe: false }));
}

#[test]
fn what_is_no_vp8_or_too_large_is_refused_before_the_decoder_sees_it() {
    let mut decoder = Vp8Decoder::new().expect("a decoder");
    let mut out = I420::default();
    // RFC 6386, 9.1: a keyframe's tag, start code, then width and height, here 16,383 each.
    let giant = [0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A, 0xFF, 0x3F, 0xFF, 0x3F, 0, 0];
    for data in [&[][..], &[0], &[0; 12], &giant] {
        assert!(matches!(decoder.decode(data, &mut out), Err(VideoError::Foreign(_))), "{data:?}");
    }
}

proptest! {
    #[test]
    fn damaged_frames_never_panic(at in prop::collection::vec((0usize..4000, any::<u8>()), 0..20), cut in 0usize..4000, rest in prop::collection::vec(any::<u8>(), 0..60)) {
        let frames = encoded(3);
        let mut decoder = Vp8Decoder::new().expect("a decoder");
        let mut out = I420::default();
        for (_, data) in frames {
            let mut data = data;
            let length = data.len();
            for &(at, byte) in &at {
                data[at % length] ^= byte;
            }
            data.truncate(length - cut % length);
            let _ = decoder.decode(&data, &mut out);
            prop_assert_eq!(out.data.len(), I420::size(out.width, out.height));
        }
        let _ = decoder.decode(&rest, &mut out);
    }
}

/// Half the frames left out, and the other half comes out as if nothing were missing.
#[test]
fn what_is_of_the_upper_layer_can_be_left_out() {
    let mut encoder = Vp8Encoder::new(&CONFIG).expect("an encoder");
    let mut all = Vp8Decoder::new().expect("a decoder");
    let mut base = Vp8Decoder::new().expect("a decoder");
    let (mut whole, mut half) = (I420::black(2, 2), I420::black(2, 2));
    let mut card = crate::video::testcard::TestCard::new(320, 180);
    let mut image = I420::black(320, 180);
    for n in 0..60 {
        card.draw(n, n as f64 / 24.0, &mut image);
        let mut data = Vec::new();
        let upper = n % 2 == 1;
        let made = encoder.encode_layer(&image, n as i64, false, upper, &mut data);
        let keyframe = made.expect("it encodes").expect("it makes a frame");
        assert!(matches!(all.decode(&data, &mut whole), Ok(Decoded::Whole { .. })));
        if !upper || keyframe {
            assert!(matches!(base.decode(&data, &mut half), Ok(Decoded::Whole { .. })));
            assert_eq!(whole.data, half.data, "picture {n}");
        }
    }
}
