//! What recording costs: an H.264 picture, an AAC packet, and a second of sound through the
//! resampler, AAC and FLAC.

use divan::Bencher;
use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::h264::{OpenH264, VideoEncoder, VideoParameters};
use hyperzoom::recording::sound::{SoundEncoder, SoundFormat};
use hyperzoom::recording::timeline::AudioTimeline;
use hyperzoom::recording::trial::TestPicture;
use hyperzoom::units::{Micros, SessionMicros};

/// By height and threads.
#[divan::bench(args = [(360, 1), (360, 2), (1080, 1), (1080, 2)], sample_count = 30)]
fn h264(bencher: Bencher, (height, threads): (u32, u32)) {
    let width = height / 9 * 16;
    let parameters = VideoParameters::for_size(width, height);
    let pictures: Vec<_> = (0..8).map(|n| TestPicture::new(width, height, n)).collect();
    let mut encoder = OpenH264::with_threads(&parameters, threads).expect("OpenH264 is bundled");
    let mut n = 0usize;
    bencher.bench_local(|| {
        let at = n % 14;
        let picture = &pictures[at.min(14 - at)];
        encoder.submit(picture.planes(), n as i64).expect("a good picture");
        n += 1;
        encoder.poll()
    });
}

#[divan::bench]
fn aac_1024_samples(bencher: Bencher) {
    let mut encoder = AacEncoder::new().expect("fdk-aac is bundled");
    let sound: Vec<f32> = (0..1_024).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    let mut packets = Vec::new();
    bencher.bench_local(|| {
        packets.clear();
        encoder.push(&sound, &mut packets).expect("encodes");
    });
}

/// One second of sound in blocks of 5 ms, as the audio thread works it.
#[divan::bench(args = [44_100, 48_000, 96_000])]
fn a_second_resampled(bencher: Bencher, rate: u32) {
    let mut timeline = AudioTimeline::new();
    timeline.begin(SessionMicros(0));
    let per_block = rate as usize / 200;
    let block: Vec<f32> = (0..per_block).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    let (mut n, mut out) = (0i64, Vec::new());
    bencher.bench_local(|| {
        out.clear();
        for _ in 0..200 {
            // A card that is 100 ppm slow: every sample lies between two others.
            let at = Micros(n * 5_000 + n / 2);
            timeline.push(&block, rate, at, &|local| local, &mut out);
            n += 1;
        }
        out.len()
    });
}

#[divan::bench(args = ["aac", "flac"])]
fn a_second_encoded(bencher: Bencher, format: &str) {
    let format = if format == "aac" { SoundFormat::Aac } else { SoundFormat::Flac };
    let second: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    let mut encoder = SoundEncoder::new(format).expect("both are bundled");
    let mut packets = Vec::new();
    bencher.bench_local(|| {
        packets.clear();
        encoder.push(&second, &mut packets).expect("encodes");
    });
}

fn main() {
    divan::main();
}
