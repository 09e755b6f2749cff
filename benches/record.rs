//! What recording costs: an H.264 picture and an AAC packet.

use criterion::{Criterion, criterion_group, criterion_main};
use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::h264::{OpenH264, VideoEncoder, VideoParameters};
use hyperzoom::recording::trial::TestPicture;

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

criterion_group!(benches, video, audio);
criterion_main!(benches);
