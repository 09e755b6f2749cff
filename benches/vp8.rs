//! What one picture costs on the live video path: conversion, scaling, VP8, drawing.
//!
//! `cargo bench --bench vp8`

use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use hyperzoom::units::Micros;
use hyperzoom::video::convert::Converter;
use hyperzoom::video::display::{Canvas, Painter};
use hyperzoom::video::frame::{Codes, Frame, PixelFormat};
use hyperzoom::video::image::I420;
use hyperzoom::video::scale::{Rect, Scaler};
use hyperzoom::video::testcard::TestCard;
use hyperzoom::video::vp8::{Vp8Config, Vp8Decoder, Vp8Encoder};

const LIVE: Vp8Config =
    Vp8Config { width: 854, height: 480, fps: 24, kbps: 400, keyframe_interval: 48 };

/// Two seconds of test pictures, brought to 854x480.
fn pictures() -> Vec<I420> {
    let mut card = TestCard::new(LIVE.width, LIVE.height);
    (0..48)
        .map(|n| {
            let mut image = I420::default();
            card.draw(n, n as f64 / 24.0, &mut image);
            image
        })
        .collect()
}

fn frame(format: PixelFormat, codes: Codes, data: Vec<u8>) -> Frame {
    let data = Arc::new(data);
    Frame { format, codes, width: 1920, height: 1080, captured: Micros(0), number: 0, data }
}

fn card_1080p() -> I420 {
    let mut image = I420::default();
    TestCard::new(1920, 1080).draw(1, 1.0, &mut image);
    image
}

fn jpeg(image: &I420) -> Vec<u8> {
    let yuv = turbojpeg::YuvImage {
        pixels: &image.data[..],
        width: image.width as usize,
        align: 1,
        height: image.height as usize,
        subsamp: turbojpeg::Subsamp::Sub2x2,
    };
    let mut compressor = turbojpeg::Compressor::new().expect("a compressor");
    compressor.set_quality(90).expect("a quality");
    compressor.compress_yuv_to_vec(yuv).expect("a picture in memory")
}

fn live_video(c: &mut Criterion) {
    let pictures = pictures();
    let mut group = c.benchmark_group("vp8");
    group.bench_function("encode 854x480", |b| {
        let mut encoder = Vp8Encoder::new(&LIVE).expect("an encoder");
        let (mut n, mut out) = (0, Vec::new());
        b.iter(|| {
            out.clear();
            let picture = &pictures[n as usize % pictures.len()];
            encoder.encode(picture, n, false, &mut out).expect("a frame");
            n += 1;
        });
    });
    group.bench_function("decode 854x480", |b| {
        let mut encoder = Vp8Encoder::new(&LIVE).expect("an encoder");
        let frames: Vec<Vec<u8>> = (0..)
            .zip(&pictures)
            .map(|(n, picture)| {
                let mut out = Vec::new();
                encoder.encode(picture, n, false, &mut out).expect("a frame");
                out
            })
            .collect();
        let (mut decoder, mut image) = (Vp8Decoder::new().expect("a decoder"), I420::default());
        let mut frames = frames.iter().cycle();
        b.iter(|| decoder.decode(frames.next().expect("a cycle"), &mut image).expect("a frame"));
    });
    group.finish();
}

fn pixels(c: &mut Criterion) {
    let card = card_1080p();
    let yuyv = [90, 128, 120, 128].repeat(1920 * 1080 / 2);
    let mut group = c.benchmark_group("1080p");
    for (name, frame) in [
        ("MJPEG to I420", frame(PixelFormat::Mjpeg, Codes::JFIF, jpeg(&card))),
        ("YUYV to I420", frame(PixelFormat::Yuyv, Codes::UVC, yuyv)),
        ("BT.601 NV12 to I420", frame(PixelFormat::Nv12, Codes::UVC, card.data.clone())),
    ] {
        let (mut converter, mut out) = (Converter::new(), I420::default());
        group.bench_function(name, |b| {
            b.iter(|| converter.to_i420(&frame, &mut out).expect("a whole frame"));
        });
    }
    group.bench_function("I420 to 854x480", |b| {
        let (mut scaler, mut out) = (Scaler::new(), I420::black(854, 480));
        b.iter(|| scaler.fit(&card, &mut out));
    });
    group.bench_function("draw the test picture", |b| {
        let (mut card, mut out, mut n) = (TestCard::new(1920, 1080), I420::default(), 0);
        b.iter(|| {
            card.draw(n, n as f64 / 30.0, &mut out);
            n += 1;
        });
    });
    group.finish();
    c.bench_function("854x480 into a window", |b| {
        let image = &pictures()[0];
        let (mut painter, mut pixels) = (Painter::new(), vec![0; 854 * 480]);
        let target = Rect { x: 0, y: 0, width: 854, height: 480 };
        b.iter(|| {
            let mut canvas = Canvas { pixels: &mut pixels, width: 854, height: 480 };
            painter.paint(image, &mut canvas, target, true)
        });
    });
}

criterion_group!(benches, live_video, pixels);
criterion_main!(benches);
