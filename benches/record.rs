//! What recording costs: an H.264 picture, an AAC packet, and a second of sound through the
//! resampler, AAC and FLAC.

use criterion::{Criterion, criterion_group, criterion_main};
use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::h264::{OpenH264, VideoEncoder, VideoParameters};
use hyperzoom::recording::sound::{SoundEncoder, SoundFormat};
use hyperzoom::recording::timeline::AudioTimeline;
use hyperzoom::recording::trial::TestPicture;
use hyperzoom::units::{Micros, SessionMicros};

fn video(c: &mut Criterion) {
    let mut group = c.benchmark_group("h264");
    group.sample_size(30);
    for (width, height) in [(640, 360), (1920, 1080)] {
        let parameters = VideoParameters::for_size(width, height);
        let pictures: Vec<_> = (0..8).map(|n| TestPicture::new(width, height, n)).collect();
        for threads in [1, 2] {
            let Ok(mut encoder) = OpenH264::with_threads(&parameters, threads) else {
                panic!("OpenH264 does not start");
            };
            let mut n = 0usize;
            group.bench_function(format!("{width}x{height}, {threads} threads"), |b| {
                b.iter(|| {
                    let at = n % 14;
                    let picture = &pictures[at.min(14 - at)];
                    encoder.submit(picture.planes(), n as i64).expect("a good picture");
                    n += 1;
                    encoder.poll()
                });
            });
        }
    }
}

fn audio(c: &mut Criterion) {
    let mut encoder = AacEncoder::new().expect("fdk-aac is bundled");
    let sound: Vec<f32> = (0..1_024).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    let mut packets = Vec::new();
    c.bench_function("aac, 1024 samples", |b| {
        b.iter(|| {
            packets.clear();
            encoder.push(&sound, &mut packets).expect("encodes");
        });
    });
}

/// One second of sound in blocks of 5 ms, as the audio thread works it.
fn sound(c: &mut Criterion) {
    let mut group = c.benchmark_group("a second of sound");
    for rate in [44_100u32, 48_000, 96_000] {
        let mut timeline = AudioTimeline::new();
        timeline.begin(SessionMicros(0));
        let per_block = rate as usize / 200;
        let block: Vec<f32> = (0..per_block).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
        let (mut n, mut out) = (0i64, Vec::new());
        group.bench_function(format!("resampled from {rate} Hz"), |b| {
            b.iter(|| {
                out.clear();
                for _ in 0..200 {
                    // A card that is 100 ppm slow: every sample lies between two others.
                    let at = Micros(n * 5_000 + n / 2);
                    timeline.push(&block, rate, at, &|local| local, &mut out);
                    n += 1;
                }
                out.len()
            });
        });
    }
    let second: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    for format in [SoundFormat::Aac, SoundFormat::Flac] {
        let mut encoder = SoundEncoder::new(format).expect("both are bundled");
        let mut packets = Vec::new();
        group.bench_function(format!("encoded as {}", format.name()), |b| {
            b.iter(|| {
                packets.clear();
                encoder.push(&second, &mut packets).expect("encodes");
            });
        });
    }
}

criterion_group!(benches, video, audio, sound);
criterion_main!(benches);
