//! The recording's encoders as foreign readers see them: ffmpeg, ffprobe and MediaInfo.

use std::path::{Path, PathBuf};
use std::process::Command;

use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::h264::{self, EncodedSample, OpenH264, VideoEncoder, VideoParameters};
use hyperzoom::recording::sound::{PACKET_SAMPLES as FRAME_SAMPLES, SoundPacket};
use hyperzoom::recording::trial::TestPicture;

use crate::support::busy::busy;

/// Runs a tool and gives its standard output. A missing tool fails the test and says which.
fn run(tool: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(tool)
        .args(arguments)
        .output()
        .unwrap_or_else(|e| panic!("this test needs {tool} ({e}); install ffmpeg and mediainfo"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{tool} {arguments:?}: {errors}");
    output.stdout
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8 here")
}

/// Encodes `frames` pictures; gives the samples and the encoder's parameter sets.
fn encode(
    encoder: &mut dyn VideoEncoder,
    parameters: &VideoParameters,
    frames: usize,
) -> (Vec<EncodedSample>, (Vec<u8>, Vec<u8>)) {
    let mut samples = Vec::new();
    for n in 0..frames {
        // A cut each second, not where an IDR is due: a scene change must not make one.
        let n = n + n / 17 * 1_000;
        let picture = TestPicture::new(parameters.width, parameters.height, n);
        encoder.submit(picture.planes(), samples.len() as i64).expect("a good picture");
        samples.extend(std::iter::from_fn(|| encoder.poll()));
    }
    encoder.finish().expect("ends");
    samples.extend(std::iter::from_fn(|| encoder.poll()));
    (samples, encoder.parameter_sets().expect("known after the first picture"))
}

/// The NAL units of a length-prefixed sample.
fn units(mut data: &[u8]) -> Vec<&[u8]> {
    let mut units = Vec::new();
    while let Some((length, rest)) = data.split_first_chunk::<4>() {
        let (unit, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        units.push(unit);
        data = rest;
    }
    assert!(data.is_empty(), "lengths cover the sample exactly");
    units
}

/// Writes samples as an Annex B stream with the parameter sets in front.
fn annex_b(path: &Path, samples: &[EncodedSample], sets: &(Vec<u8>, Vec<u8>)) {
    let mut stream = Vec::new();
    let all = samples.iter().flat_map(|s| units(&s.data));
    for unit in [&sets.0[..], &sets.1[..]].into_iter().chain(all) {
        stream.extend([0, 0, 0, 1]);
        stream.extend(unit);
    }
    std::fs::write(path, stream).expect("a temporary folder can be written");
}

fn probe(path: &Path, entries: &str) -> String {
    let arguments = ["-v", "error", "-of", "default=nw=1", "-show_entries", entries, text(path)];
    String::from_utf8_lossy(&run("ffprobe", &arguments)).into_owned()
}

/// An H.264 stream and the MP4 that ffmpeg makes of it, in a folder that lives as long.
fn stream(
    parameters: &VideoParameters,
    frames: usize,
    threads: u32,
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let raw = folder.path().join("stream.h264");
    let mut encoder = OpenH264::with_threads(parameters, threads).expect("OpenH264 is bundled");
    let (samples, sets) = encode(&mut encoder, parameters, frames);
    assert_eq!(samples.len(), frames);
    annex_b(&raw, &samples, &sets);
    let mp4 = folder.path().join("stream.mp4");
    let input = ["-v", "error", "-framerate", "30", "-i", text(&raw)];
    run(
        "ffmpeg",
        &[&input[..], &["-video_track_timescale", "30000", "-c", "copy", text(&mp4)]].concat(),
    );
    (folder, mp4)
}

#[test]
fn every_picture_becomes_one_sample_with_an_idr_at_each_30th_whatever_the_scene_does() {
    let parameters = VideoParameters::for_size(320, 192);
    let mut encoder = h264::open(None, &parameters, 2).expect("OpenH264 is bundled");
    let (samples, _) = encode(&mut *encoder, &parameters, 150);
    assert_eq!(samples.len(), 150);
    for (i, sample) in samples.iter().enumerate() {
        assert_eq!(sample.pts, i as i64);
        assert_eq!(sample.keyframe, i % 30 == 0, "picture {i}");
        let expected = if sample.keyframe { 5 } else { 1 };
        assert!(!units(&sample.data).is_empty());
        assert!(units(&sample.data).iter().all(|unit| unit[0] & 0x1F == expected));
    }
}

#[test]
fn ffprobe_and_mediainfo_read_the_promised_format() {
    let _one = busy();
    let parameters = VideoParameters::for_size(1920, 1080);
    let (_folder, mp4) = stream(&parameters, 31, 2);
    let entries = "stream=codec_name,profile,level,width,height,coded_height,pix_fmt,color_range,\
        color_space,color_transfer,color_primaries,chroma_location,field_order,r_frame_rate,\
        avg_frame_rate,has_b_frames,is_avc,nal_length_size,nb_frames,sample_aspect_ratio";
    let found = probe(&mp4, entries);
    for line in [
        "codec_name=h264",
        "profile=High",
        "level=41",
        "width=1920",
        "height=1080",
        "pix_fmt=yuv420p",
        "color_range=tv",
        "color_space=bt709",
        "color_transfer=bt709",
        "color_primaries=bt709",
        "chroma_location=left",
        "field_order=progressive",
        "r_frame_rate=30/1",
        "avg_frame_rate=30/1",
        "has_b_frames=0",
        "is_avc=true",
        "nal_length_size=4",
        "nb_frames=31",
        "sample_aspect_ratio=1:1",
    ] {
        assert!(found.lines().any(|l| l == line), "{line} is missing in:\n{found}");
    }

    let inform = "--Inform=Video;%Format_Profile%|%Width%x%Height%|%FrameRate_Mode%|%FrameRate%|\
        %ChromaSubsampling%|%BitDepth%|%ScanType%|%colour_range%|%colour_primaries%|%FrameCount%";
    let found = String::from_utf8_lossy(&run("mediainfo", &[inform, text(&mp4)])).into_owned();
    assert_eq!(
        found.trim(),
        "High@L4.1|1920x1080|CFR|30.000|4:2:0|8|Progressive|Limited|BT.709|31"
    );
}

#[test]
fn sizes_that_are_no_multiple_of_16_and_any_number_of_threads_decode_to_what_went_in() {
    let _one = busy();
    for (width, height, threads) in [(640, 360, 2), (854, 480, 1), (1280, 720, 4), (176, 144, 8)] {
        let parameters = VideoParameters::for_size(width, height);
        let (_folder, mp4) = stream(&parameters, 34, threads);
        let arguments = ["-v", "error", "-xerror", "-i", text(&mp4)];
        let raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-fps_mode", "passthrough", "-"];
        let decoded = run("ffmpeg", &[&arguments[..], &raw[..]].concat());
        let luma = (width * height) as usize;
        assert_eq!(decoded.len(), 34 * luma * 3 / 2, "{width}x{height}");
        for n in [0, 16, 17, 33] {
            let picture = TestPicture::new(width, height, n + n / 17 * 1_000);
            let got = &decoded[n * luma * 3 / 2..][..luma];
            let error: u64 = picture
                .planes()
                .y
                .iter()
                .zip(got)
                .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
                .sum();
            let psnr = 10.0 * (255.0f64.powi(2) * luma as f64 / error.max(1) as f64).log10();
            assert!(psnr > 32.0, "picture {n} of {width}x{height}: {psnr:.1} dB");
        }
    }
}

#[test]
fn every_even_size_a_camera_may_have_starts_with_any_number_of_threads() {
    let _one = busy();
    let cameras = [(1920, 1080), (1920, 816), (1600, 1200), (1080, 1920), (1024, 576), (960, 540)];
    let odd =
        [(848, 480), (352, 288), (424, 240), (1920, 144), (144, 1920), (16, 16), (1918, 1078)];
    for (width, height) in cameras.into_iter().chain(odd) {
        let parameters = VideoParameters::for_size(width, height);
        for threads in [1, 2, 3, 4] {
            let mut encoder = OpenH264::with_threads(&parameters, threads)
                .unwrap_or_else(|e| panic!("{width}x{height}, {threads} threads: {e}"));
            let picture = TestPicture::new(width, height, 0);
            encoder.submit(picture.planes(), 0).expect("a good picture");
            assert!(encoder.poll().is_some_and(|s| s.keyframe));
            assert!(encoder.parameter_sets().is_some());
        }
    }
}

/// They share the library's threads and memory; whoever watches the heap (valgrind, glibc's
/// `malloc.check`) sees here when they step on each other.
#[test]
fn encoders_that_come_and_go_beside_each_other_do_not_touch_each_others_memory() {
    let _one = busy();
    std::thread::scope(|scope| {
        for slices in 1..=4 {
            scope.spawn(move || {
                let parameters = VideoParameters::for_size(854, 480);
                let picture = TestPicture::new(854, 480, 0);
                for _ in 0..20 {
                    let mut encoder =
                        OpenH264::with_threads(&parameters, slices).expect("OpenH264 is bundled");
                    encoder.submit(picture.planes(), 0).expect("a good picture");
                    let sample = encoder.poll().expect("it answers at once");
                    assert!(sample.keyframe && sample.data.len() > 1_000);
                }
            });
        }
    });
}

#[test]
fn the_bitrate_of_a_noisy_moving_picture_is_near_the_target() {
    let _one = busy();
    let parameters =
        VideoParameters { bitrate_bps: 4_000_000, ..VideoParameters::for_size(640, 360) };
    let mut encoder = OpenH264::with_threads(&parameters, 2).expect("OpenH264 is bundled");
    let mut bytes = 0;
    for n in 0..300 {
        let picture = TestPicture::new(640, 360, n);
        encoder.submit(picture.planes(), n as i64).expect("a good picture");
        let sample = encoder.poll().expect("it answers at once");
        // The first seconds are the rate control's to settle.
        if n >= 60 {
            bytes += sample.data.len();
        }
    }
    let bps = bytes as f64 * 8.0 / 8.0;
    assert!((0.85..1.15).contains(&(bps / 4_000_000.0)), "{bps:.0} bit/s");
}

#[test]
fn switching_the_effort_keeps_count_order_and_parameter_sets() {
    let parameters = VideoParameters::for_size(640, 360);
    let mut encoder = OpenH264::with_threads(&parameters, 2).expect("OpenH264 is bundled");
    let mut samples = Vec::new();
    for n in 0..62 {
        let effort = if n / 10 % 2 == 0 { h264::Effort::Low } else { h264::Effort::Medium };
        encoder.set_effort(effort);
        encoder.submit(TestPicture::new(640, 360, n).planes(), n as i64).expect("encodes");
        samples.extend(encoder.poll());
    }
    assert_eq!(samples.len(), 62);
    assert!(samples.iter().enumerate().all(|(i, s)| s.keyframe == (i % 30 == 0)));
}

#[test]
fn planes_that_are_too_short_are_refused_and_the_encoder_goes_on() {
    let parameters = VideoParameters::for_size(64, 64);
    let mut encoder = h264::open(Some("openh264"), &parameters, 2).expect("OpenH264 is bundled");
    let small = TestPicture::new(64, 62, 0);
    let error = encoder.submit(small.planes(), 0).expect_err("two rows are missing");
    assert!(error.to_string().contains("64x64"), "{error}");
    assert!(encoder.poll().is_none());
    encoder.submit(TestPicture::new(64, 64, 0).planes(), 0).expect("a good picture");
    assert!(encoder.poll().is_some_and(|s| s.keyframe));
}

/// Packets in ADTS (ISO 13818-7, 6.2): no edit list, no container that could shift time.
fn adts(packets: &[SoundPacket]) -> Vec<u8> {
    let mut stream = Vec::new();
    for packet in packets {
        let length = packet.data.len() as u32 + 7;
        stream.extend([
            0xFF,
            0xF1,                               // MPEG-4, layer 0, no CRC
            0b0100_1100,                        // LC, 48,000 Hz, channels 0..
            0b0100_0000 | (length >> 11) as u8, // ..01
            (length >> 3) as u8,
            (length << 5) as u8 | 0x1F, // buffer fullness: all ones
            0xFC,
        ]);
        stream.extend(&packet.data);
    }
    stream
}

fn decode_aac(packets: &[SoundPacket]) -> Vec<f32> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("sound.aac");
    std::fs::write(&path, adts(packets)).expect("a temporary folder can be written");
    let bytes = run("ffmpeg", &["-v", "error", "-i", text(&path), "-f", "f32le", "-"]);
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[test]
fn a_click_at_a_sample_is_decoded_at_that_sample() {
    let clicks = [3_000usize, 24_000, 48_001, 96_000 + 777, 143_000];
    let mut sound = vec![0.0f32; 144_000];
    clicks.iter().for_each(|&at| sound[at] = 0.9);
    let (mut encoder, mut packets) = (AacEncoder::new().expect("fdk-aac is bundled"), Vec::new());
    for block in sound.chunks(441) {
        encoder.push(block, &mut packets).expect("encodes");
    }
    encoder.finish(144_000, &mut packets).expect("ends");
    let decoded = decode_aac(&packets);
    assert_eq!(decoded.len(), 144_000usize.div_ceil(FRAME_SAMPLES as usize) * 1_024);
    for at in clicks {
        let around = at.saturating_sub(2_000)..(at + 2_000).min(decoded.len());
        let peak = around
            .max_by(|&a, &b| decoded[a].abs().total_cmp(&decoded[b].abs()))
            .expect("a range with samples");
        assert!(peak.abs_diff(at) <= 1, "the click at {at} is decoded at {peak}");
        assert!(decoded[peak] > 0.3, "{}", decoded[peak]);
    }
}

#[test]
fn sound_is_decoded_true_from_the_second_packet_on_and_silence_stays_silent() {
    let sound: Vec<f32> = (0..96_000).map(|i| (i as f32 * 0.057_595_865).sin() * 0.5).collect();
    let (mut encoder, mut packets) = (AacEncoder::new().expect("fdk-aac is bundled"), Vec::new());
    encoder.push(&sound, &mut packets).expect("encodes");
    encoder.push(&[0.0; 96_000], &mut packets).expect("encodes");
    encoder.finish(192_000, &mut packets).expect("ends");
    let decoded = decode_aac(&packets);
    let worst = (1_024..94_000).map(|i| (decoded[i] - sound[i]).abs()).fold(0.0f32, f32::max);
    assert!(worst < 0.01, "{worst}");
    assert!(decoded[100_000..].iter().all(|s| s.abs() < 1e-6));
}
