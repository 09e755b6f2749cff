//! What one 5 ms frame costs on the live audio path.
//!
//! `cargo bench --bench audio_path`

use criterion::{Criterion, criterion_group, criterion_main};
use hyperzoom::audio::{
    FRAME, MAX_AUDIO_PAYLOAD, PlayoutBuffer, ReceivedAudio, TalkEncoder, TestSound, mixer,
    write_payload,
};
use hyperzoom::units::Micros;

/// Frames of sound: 1 s.
const FRAMES: usize = 200;

fn frames() -> Vec<[f32; FRAME]> {
    let sound = TestSound::new(0);
    (0..FRAMES)
        .map(|n| {
            let mut pcm = [0.0; FRAME];
            sound.fill((n * FRAME) as u64, &mut pcm);
            pcm
        })
        .collect()
}

fn payloads() -> Vec<Vec<u8>> {
    let mut encoder = TalkEncoder::new(32_000).expect("Opus");
    let encode = |pcm: &[f32; FRAME]| {
        let (mut frame, mut payload) = ([0; 128], vec![0; MAX_AUDIO_PAYLOAD]);
        let len = encoder.encode(pcm, &mut frame).expect("a frame of 5 ms");
        let len = write_payload(&frame[..len], &mut payload);
        payload.truncate(len);
        payload
    };
    frames().iter().map(encode).collect()
}

fn audio_path(c: &mut Criterion) {
    let (frames, payloads) = (frames(), payloads());

    let mut encoder = TalkEncoder::new(32_000).expect("Opus");
    let mut n = 0;
    c.bench_function("encode one frame", |b| {
        b.iter(|| {
            n += 1;
            let mut out = [0; 128];
            encoder.encode(&frames[n % FRAMES], &mut out).expect("a frame of 5 ms")
        });
    });

    let mut buffer = PlayoutBuffer::new().expect("Opus");
    let mut n = 0u64;
    c.bench_function("push, decode and pull one frame", |b| {
        b.iter(|| {
            n += 1;
            let now = Micros(n as i64 * 5_000);
            let payload = &payloads[n as usize % FRAMES];
            buffer.push(&ReceivedAudio { sequence: n, payload }, now);
            let mut out = [0.0; FRAME];
            buffer.pull(&mut out, now + 1_000);
            out[0]
        });
    });

    let (mut mixer, mut feeds) = mixer(3).expect("Opus");
    feeds.iter_mut().for_each(|feed| feed.restart());
    let mut n = 0u64;
    c.bench_function("speaker callback, three peers, 240 samples", |b| {
        b.iter(|| {
            n += 1;
            let now = Micros(n as i64 * 5_000);
            for feed in &mut feeds {
                feed.push(n, now, &payloads[n as usize % FRAMES]);
            }
            let mut out = [0.0; FRAME];
            mixer.render(&mut out, now + 1_000);
            out[0]
        });
    });
}

criterion_group!(benches, audio_path);
criterion_main!(benches);
