//! Files and synthetic devices in real time. Each test waits for what it is about, with a limit.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperzoom::devices::{
    CameraOptions, CameraSink, DeviceError, DeviceEvent, DeviceEvents, MicOptions, MicSink,
    SpeakerOptions, SpeakerSource, What, open_camera, open_microphone, open_speaker,
};
use hyperzoom::platform::clock;
use hyperzoom::units::Micros;
use hyperzoom::video::frame::{Frame, PixelFormat};

const LIMIT: Duration = Duration::from_secs(20);

struct Mic(mpsc::Sender<(Vec<f32>, Micros)>);
impl MicSink for Mic {
    fn samples(&mut self, mono: &[f32], captured: Micros) {
        let _ = self.0.send((mono.to_vec(), captured));
    }
    fn card_samples(&mut self, _: &[f32], _: u32, _: Micros) {}
}

struct Camera(mpsc::Sender<(Frame, Micros)>);
impl CameraSink for Camera {
    fn frame(&mut self, frame: Frame) {
        let _ = self.0.send((frame, clock::now()));
    }
}

struct Ramp(u32);
impl SpeakerSource for Ramp {
    fn fill(&mut self, out: &mut [f32], _: Micros) {
        for s in out {
            *s = (self.0 % 1_000) as f32 / 1_000.0;
            self.0 += 1;
        }
    }
}

fn events() -> (DeviceEvents, Receiver<DeviceEvent>) {
    let (sender, receiver) = mpsc::channel();
    let sender = Mutex::new(sender);
    let events: DeviceEvents = Arc::new(move |event| {
        let _ = sender.lock().expect("nobody panics with it").send(event);
    });
    (events, receiver)
}

fn mic(spec: &str, options: MicOptions) -> Result<MicRun, DeviceError> {
    let (sender, samples) = mpsc::channel();
    let (events, news) = events();
    let spec = spec.parse().expect("a device flag");
    let microphone = open_microphone(&spec, options, Box::new(Mic(sender)), events)?;
    Ok(MicRun { microphone, samples, news })
}

struct MicRun {
    microphone: hyperzoom::devices::Microphone,
    samples: Receiver<(Vec<f32>, Micros)>,
    news: Receiver<DeviceEvent>,
}

impl MicRun {
    /// The first `n` samples; checks that each block's stamp follows from its position.
    fn take(&self, n: usize) -> Vec<f32> {
        let mut all = Vec::new();
        let mut start = None;
        while all.len() < n {
            let (block, captured) = self.samples.recv_timeout(LIMIT).expect("it goes on");
            let start = *start.get_or_insert(captured);
            assert_eq!(captured.since(start), all.len() as i64 * 1_000_000 / 48_000);
            assert!(clock::now() >= captured + block.len() as i64 * 1_000_000 / 48_000);
            all.extend(block);
        }
        all.truncate(n);
        all
    }
}

fn wav(path: &Path, rate: u32, channels: u16, bits: u16, samples: impl Iterator<Item = f32>) {
    let float = bits == 32;
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: bits,
        sample_format: if float { hound::SampleFormat::Float } else { hound::SampleFormat::Int },
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a file");
    for s in samples {
        // The other channels hold something else, to be left alone.
        for channel in 0..channels {
            let s = if channel == 0 { s } else { -0.25 };
            if float {
                writer.write_sample(s).expect("written");
            } else {
                let full = (1i64 << (bits - 1)) as f32;
                writer.write_sample((s * full) as i32).expect("written");
            }
        }
    }
    writer.finalize().expect("complete");
}

fn folder() -> (tempfile::TempDir, impl Fn(&str) -> PathBuf) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().to_owned();
    (dir, move |name| path.join(name))
}

#[test]
fn the_test_microphone_asks_its_sound_for_every_position_once_and_in_order() {
    let mut next = 0u64;
    let sound = move |position: u64, out: &mut [f32]| {
        assert_eq!(position, next);
        next += out.len() as u64;
        for (i, s) in out.iter_mut().enumerate() {
            *s = ((position + i as u64) % 480) as f32 / 480.0;
        }
    };
    let options = MicOptions { test_sound: Some(Box::new(sound)), ..MicOptions::default() };
    let run = mic("test", options).expect("always there");
    assert!(run.microphone.info().synthetic);
    assert!(run.microphone.priority().is_some());
    let heard = run.take(24_000);
    for (i, s) in heard.iter().enumerate() {
        assert_eq!(*s, (i % 480) as f32 / 480.0);
    }
}

#[test]
fn a_switched_off_microphone_is_silence_on_time() {
    let run = mic("off", MicOptions::default()).expect("always there");
    assert!(run.take(4_800).iter().all(|s| *s == 0.0));
}

#[test]
fn a_wav_file_is_heard_sample_for_sample_then_silence_and_its_end_is_told() {
    let (_dir, path) = folder();
    let value = |i: usize| (i % 2_000) as f32 / 2_048.0 - 0.5;
    for (bits, channels) in [(16, 1), (24, 2), (32, 1), (32, 3)] {
        let file = path(&format!("{bits}-{channels}.wav"));
        wav(&file, 48_000, channels, bits, (0..9_000).map(value));
        let run = mic(&format!("file:{}", file.display()), MicOptions::default()).expect("opens");
        let heard = run.take(12_000);
        for (i, s) in heard.iter().enumerate() {
            let wanted = if i < 9_000 { value(i) } else { 0.0 };
            assert!((s - wanted).abs() < 1.0 / 30_000.0, "{bits} bits, {i}: {s} for {wanted}");
        }
        let told = run.news.recv_timeout(LIMIT).expect("told");
        assert_eq!(told, DeviceEvent::FileEnded { what: What::Microphone });
    }
}

#[test]
fn a_looped_wav_file_starts_over_without_a_gap() {
    let (_dir, path) = folder();
    let file = path("loop.wav");
    wav(&file, 48_000, 1, 16, (0..1_000).map(|i| i as f32 / 1_024.0));
    let options = MicOptions { loop_file: true, ..MicOptions::default() };
    let run = mic(&format!("file:{}", file.display()), options).expect("opens");
    for (i, s) in run.take(9_600).iter().enumerate() {
        assert!((s - (i % 1_000) as f32 / 1_024.0).abs() < 1e-4, "at {i}");
    }
}

#[test]
fn a_wav_file_of_another_rate_keeps_its_pitch_and_place() {
    let (_dir, path) = folder();
    let file = path("cd.wav");
    let tone = |i: f64, rate: f64| (0.5 * (std::f64::consts::TAU * 440.0 * i / rate).sin()) as f32;
    wav(&file, 44_100, 1, 16, (0..44_100).map(|i| tone(f64::from(i), 44_100.0)));
    let run = mic(&format!("file:{}", file.display()), MicOptions::default()).expect("opens");
    for (i, s) in run.take(40_000).iter().enumerate().skip(1_000) {
        let wanted = tone(i as f64, 48_000.0);
        assert!((s - wanted).abs() < 0.02, "at {i}: {s} for {wanted}");
    }
}

#[test]
fn a_speaker_file_holds_what_was_played_sample_for_sample() {
    let (_dir, path) = folder();
    let file = path("heard.wav");
    let (events, _news) = events();
    struct Counted(Ramp, mpsc::Sender<()>);
    impl SpeakerSource for Counted {
        fn fill(&mut self, out: &mut [f32], now: Micros) {
            self.0.fill(out, now);
            let _ = self.1.send(());
        }
    }
    let (sender, filled) = mpsc::channel();
    let spec = format!("file:{}", file.display()).parse().expect("a device flag");
    let source = Box::new(Counted(Ramp(0), sender));
    let speaker = open_speaker(&spec, SpeakerOptions::default(), source, events).expect("opens");
    // Readable while it is being written, which is what a killed process would leave.
    let mut blocks = 0usize;
    while hound::WavReader::open(&file).map_or(0, |r| r.duration()) < 48_000 {
        filled.recv_timeout(LIMIT).expect("it goes on");
        blocks += 1;
        assert!(blocks < 4_000, "nothing readable after 20 s");
    }
    drop(speaker);
    let mut reader = hound::WavReader::open(&file).expect("complete");
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (48_000, 1));
    let samples: Vec<i16> = reader.samples().map(|s| s.expect("a sample")).collect();
    let rendered = 240 * (blocks + filled.try_iter().count());
    assert_eq!(samples.len(), rendered);
    for (i, s) in samples.iter().enumerate() {
        assert!((f32::from(*s) / 32_768.0 - (i % 1_000) as f32 / 1_000.0).abs() < 1e-4, "at {i}");
    }
}

#[test]
fn a_switched_off_speaker_still_pulls_in_real_time() {
    let (sender, pulled) = mpsc::channel();
    struct Count(mpsc::Sender<Micros>);
    impl SpeakerSource for Count {
        fn fill(&mut self, out: &mut [f32], now: Micros) {
            assert_eq!(out.len(), 240);
            let _ = self.0.send(now);
        }
    }
    let (events, _news) = events();
    let spec = "off".parse().expect("a device flag");
    let before = clock::now();
    let _speaker = open_speaker(&spec, SpeakerOptions::default(), Box::new(Count(sender)), events)
        .expect("always there");
    for n in 1..=100i64 {
        let now = pulled.recv_timeout(LIMIT).expect("it goes on");
        assert!(now.since(before) >= n * 5_000, "never early");
    }
}

type Seen = (hyperzoom::devices::Camera, Receiver<(Frame, Micros)>, Receiver<DeviceEvent>);

fn camera(spec: &str, options: CameraOptions) -> Result<Seen, DeviceError> {
    let (sender, frames) = mpsc::channel();
    let (events, news) = events();
    let spec = spec.parse().expect("a device flag");
    let camera = open_camera(&spec, options, Box::new(Camera(sender)), events)?;
    Ok((camera, frames, news))
}

#[test]
fn the_test_camera_keeps_to_its_grid_and_hands_out_what_was_drawn() {
    let draw = |number: u64, _: Micros| Arc::new(vec![number as u8; 64 * 36 * 3 / 2]);
    let options = CameraOptions { test_picture: Some(Box::new(draw)), ..CameraOptions::default() };
    let (camera, frames, _news) = camera("test:64x36@30", options).expect("always there");
    assert_eq!(camera.info().format, PixelFormat::I420);
    assert_eq!(camera.info().to_string(), "test picture, 64x36, 30 fps");
    let mut first: Option<Frame> = None;
    for _ in 0..20 {
        let (frame, at) = frames.recv_timeout(LIMIT).expect("it goes on");
        assert!(at >= frame.captured, "never early");
        assert_eq!(frame.data[0], frame.number as u8);
        let first = first.get_or_insert_with(|| frame.clone());
        let steps = (frame.number - first.number) as i64;
        assert!((frame.captured.since(first.captured) - steps * 100_000 / 3).abs() <= 1);
    }
}

fn y4m(path: &Path, header: &str, pictures: u8, bytes: usize) {
    let mut data = format!("YUV4MPEG2 {header}\n").into_bytes();
    for n in 0..pictures {
        data.extend_from_slice(b"FRAME\n");
        data.extend(std::iter::repeat_n(n, bytes));
    }
    std::fs::write(path, data).expect("written");
}

#[test]
fn a_y4m_file_is_seen_picture_for_picture_and_its_end_is_told() {
    let (_dir, path) = folder();
    let file = path("a.y4m");
    y4m(&file, "W32 H18 F60:1 Ip C420jpeg", 10, 32 * 18 * 3 / 2);
    let spec = format!("file:{}", file.display());
    let (camera_, frames, news) = camera(&spec, CameraOptions::default()).expect("opens");
    assert_eq!((camera_.info().width, camera_.info().height), (32, 18));
    let mut start = None;
    for n in 0..10u64 {
        let (frame, _) = frames.recv_timeout(LIMIT).expect("it goes on");
        assert_eq!((frame.number, frame.data[0]), (n, n as u8));
        let start = *start.get_or_insert(frame.captured);
        assert_eq!(frame.captured.since(start), n as i64 * 1_000_000 / 60);
    }
    let told = news.recv_timeout(LIMIT).expect("told");
    assert_eq!(told, DeviceEvent::FileEnded { what: What::Camera });
    assert!(frames.try_recv().is_err(), "nothing follows");
    // Looped, it starts over; the numbers go on.
    let options = CameraOptions { loop_file: true, ..CameraOptions::default() };
    let (_camera, frames, _news) = camera(&spec, options).expect("opens");
    for n in 0..25u64 {
        let (frame, _) = frames.recv_timeout(LIMIT).expect("it goes on");
        assert_eq!((frame.number, frame.data[0]), (n, (n % 10) as u8));
    }
}

#[test]
fn wrong_files_are_errors_that_name_the_file_and_say_what_to_try() {
    let (_dir, path) = folder();
    let text = path("text.txt");
    std::fs::write(&text, "not a recording at all, not even nearly").expect("written");
    let empty = path("empty");
    std::fs::write(&empty, "").expect("written");
    let silent = path("silent.wav");
    wav(&silent, 48_000, 1, 16, std::iter::empty());
    let deep = path("deep.y4m");
    y4m(&deep, "W32 H18 F30:1 C444", 1, 32 * 18 * 3);
    let odd = path("odd.y4m");
    y4m(&odd, "W31 H18 F30:1 C420jpeg", 1, 31 * 18 * 3 / 2);
    let cut = path("cut.y4m");
    y4m(&cut, "W32 H18 F30:1 C420jpeg", 1, 100);
    let missing = path("missing");
    let dir = path("");
    let check = |error: Option<DeviceError>, file: &Path| {
        let error = error.unwrap_or_else(|| panic!("{} is accepted", file.display()));
        assert!(matches!(error, DeviceError::File { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&file.display().to_string()) && text.contains("; "), "{text}");
        assert!(!text.contains("os error") && !text.contains('\n'), "{text}");
    };
    for file in [&text, &empty, &silent, &missing, &dir] {
        check(mic(&format!("file:{}", file.display()), MicOptions::default()).err(), file);
    }
    for file in [&text, &empty, &deep, &odd, &cut, &missing, &dir] {
        check(camera(&format!("file:{}", file.display()), CameraOptions::default()).err(), file);
    }
    let nowhere = path("no/such/folder.wav");
    let (events, _news) = events();
    let spec = format!("file:{}", nowhere.display()).parse().expect("a device flag");
    let error = open_speaker(&spec, SpeakerOptions::default(), Box::new(Ramp(0)), events);
    check(error.err(), &nowhere);
}

#[test]
fn an_unknown_device_is_an_error_for_each_kind() {
    let unknown = "no such device anywhere";
    let error = mic(unknown, MicOptions::default()).err().expect("there is none");
    assert!(matches!(error, DeviceError::NotFound { what: What::Microphone, .. }), "{error}");
    let error = camera(unknown, CameraOptions::default()).err().expect("there is none");
    assert!(matches!(error, DeviceError::NotFound { what: What::Camera, .. }), "{error}");
}

#[test]
fn devices_open_and_close_side_by_side() {
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(|| {
                for _ in 0..5 {
                    let run = mic("off", MicOptions::default()).expect("always there");
                    run.take(240);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("none panics");
    }
}
