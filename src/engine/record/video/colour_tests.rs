//! Test bars through the recorder itself, in every format, range, matrix and size that cameras
//! have: converted, scaled, encoded by the real encoder, written as MP4, and read by ffmpeg, which
//! goes by the colour tags that it finds in the file.

use std::path::Path;
use std::process::Command;

use super::*;
use crate::engine::record::video_parameters;
use crate::recording::h264;
use crate::recording::mp4::{MemoryFile, MovieParameters, Mp4Writer, Timecode, VideoTrack};
use crate::video::bars;
use crate::video::frame::{Codes, ColorRange, Matrix, PixelFormat};

/// The encoder's rate control begins at a coarse quantiser, whatever the bitrate: three pictures.
const SETTLED: usize = 5;
/// Into the second second, whose first picture is an IDR again; and where that would take too long.
const MANY: u64 = 34;
const FEW: u64 = 8;

/// Records the bars as this camera sends them; the file.
fn record(camera: &Frame, pictures: u64) -> Vec<u8> {
    let shared = Arc::new(Shared::default());
    shared.set_clock_offset(0);
    let t0 = clock::now() - 3_000_000;
    let record = Arc::new(RecordShared::default());
    let (events, _) = Events::new(shared.clone());
    let (frames, frame_end) = mpsc::channel();
    let mut tap = CameraTap::new(record.clone(), frames, Arc::default(), Arc::default());
    let (mux, items) = MuxInput::new();
    let parameters = video_parameters(camera.width, camera.height);
    let encoder = h264::open(None, &parameters, 2).unwrap();
    let recorder =
        VideoRecorder::new(shared, record.clone(), events, frame_end, mux, parameters, encoder);
    let zero = SessionMicros(t0.0);
    let start = Start { t0: zero, first_slot: 0, epoch_utc_micros: 0, utc_offset_seconds: 0 };
    crate::engine::record::Recorder::begin(&record, start);
    record.parts.end(|_| pictures);
    for number in 0..pictures {
        let captured = t0 + number as i64 * 1_000_000 / 30;
        tap.frame(Frame { captured, number, ..camera.clone() });
    }
    recorder.run();
    let stats = record.counters().unwrap();
    assert_eq!((stats.frames_encoded, stats.frames_dropped), (pictures, 0), "{stats:?}");
    let mut writer = None;
    for (_, item) in items.try_iter() {
        match item {
            MuxItem::VideoFormat { sps, pps } => {
                let movie = MovieParameters {
                    video: Some(VideoTrack {
                        width: parameters.width as u16,
                        height: parameters.height as u16,
                        sps,
                        pps,
                        bitrate: parameters.bitrate_bps,
                    }),
                    audio: None,
                    timecode: Timecode { start_frame: 0 },
                    created_utc_seconds: 0,
                };
                writer = Some(Mp4Writer::create(MemoryFile::new(), movie).unwrap());
            }
            MuxItem::Video(sample) => {
                let writer = writer.as_mut().unwrap();
                writer.video(&sample.data, sample.pts, sample.keyframe).unwrap();
            }
            _ => {}
        }
    }
    let mut writer = writer.unwrap();
    writer.finalise().unwrap();
    writer.into_file().bytes
}

fn output(program: &str, arguments: &[&str], file: &Path) -> Vec<u8> {
    let file = file.to_str().unwrap();
    let words = arguments.iter().map(|word| if *word == "FILE" { file } else { word });
    let output = Command::new(program).args(words).output().expect("make test installs ffmpeg");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// How far off the worst field of the worst picture is: its worst pixel in Y'CbCr codes of the
/// file, and the mean over its inside in red, green and blue as ffmpeg makes them. The latter from
/// the picture [`SETTLED`] on.
fn errors(file: &Path, pictures: u64, width: u32, height: u32) -> (u8, f64) {
    let read = |arguments: &[&str]| {
        let ends = ["-f", "rawvideo", "-"];
        output("ffmpeg", &[&["-v", "error", "-i", "FILE"], arguments, &ends].concat(), file)
    };
    let (luma, half) = ((width * height) as usize, width as usize / 2);
    let codes = read(&["-pix_fmt", "yuv420p"]);
    let exact = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact";
    let rgb = read(&["-sws_flags", exact, "-pix_fmt", "gbrp"]);
    assert_eq!(codes.len(), luma * 3 / 2 * pictures as usize);
    assert_eq!(rgb.len(), luma * 3 * pictures as usize);
    let fields = bars::inside(width, height);
    let mut worst_code = 0;
    for codes in codes.chunks(luma * 3 / 2) {
        let (u, v) = codes[luma..].split_at(luma / 4);
        for (rgb, places) in &fields {
            let wanted = bars::codes_of(*rgb, Codes::RECORDED);
            for &at in places {
                let chroma = at / width as usize / 2 * half + at % width as usize / 2;
                for (got, wanted) in [codes[at], u[chroma], v[chroma]].into_iter().zip(wanted) {
                    worst_code = worst_code.max(got.abs_diff(wanted));
                }
            }
        }
    }
    let mut worst_rgb = 0.0f64;
    for gbr in rgb.chunks(luma * 3).skip(SETTLED) {
        for (rgb, places) in &fields {
            for (plane, wanted) in [2, 0, 1].into_iter().zip(*rgb) {
                let sum: u32 = places.iter().map(|at| u32::from(gbr[plane * luma + at])).sum();
                let mean = f64::from(sum) / places.len() as f64;
                worst_rgb = worst_rgb.max((mean - f64::from(wanted)).abs());
            }
        }
    }
    (worst_code, worst_rgb)
}

/// Records, reads back, and checks size, tags and colours.
#[track_caller]
fn check(pictures: u64, format: PixelFormat, codes: Codes, size: (u32, u32), recorded: (u32, u32)) {
    let bytes = record(&bars::frame(format, codes, size.0, size.1), pictures);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let entries = "stream=width,height,sample_aspect_ratio,pix_fmt,color_range,color_space,\
        color_transfer,color_primaries";
    let tags = ["-v", "error", "-show_entries", entries, "-of", "csv=p=0", "FILE"];
    let tags = String::from_utf8(output("ffprobe", &tags, file.path())).unwrap();
    let (width, height) = recorded;
    // The order is ffprobe's own.
    let wanted = format!("{width},{height},1:1,yuv420p,tv,bt709,bt709,bt709");
    assert_eq!(tags.lines().next(), Some(&wanted[..]), "{format:?} {codes:?} {size:?}");
    let (code, rgb) = errors(file.path(), pictures, width, height);
    let Codes { matrix, range } = codes;
    println!(
        "{format:?} {matrix:?} {range:?} {}x{} -> {width}x{height}: {code} codes off in Y'CbCr, \
         {rgb:.2} in RGB",
        size.0, size.1
    );
    assert!(code <= 2 && rgb <= 2.0, "{format:?} {codes:?} {size:?}: {code}, {rgb}");
}

const FULL_709: Codes = Codes { matrix: Matrix::Bt709, range: ColorRange::Full };

#[test]
fn bars_of_every_format_matrix_and_range_come_back_within_two_codes() {
    let size = (640, 480);
    check(MANY, PixelFormat::Mjpeg, Codes::JFIF, size, size);
    check(FEW, PixelFormat::Bgr24, Codes::JFIF, size, size);
    for codes in [Codes::UVC, Codes::JFIF, Codes::RECORDED, FULL_709] {
        check(FEW, PixelFormat::Yuyv, codes, size, size);
        check(FEW, PixelFormat::Nv12, codes, size, size);
        check(FEW, PixelFormat::I420, codes, size, size);
    }
}

#[test]
fn the_cameras_own_size_up_to_1080p_is_recorded_with_its_colours() {
    for (format, codes, size) in [
        (PixelFormat::Nv12, Codes::UVC, (640, 480)),
        (PixelFormat::Yuyv, Codes::UVC, (1024, 768)),
        (PixelFormat::Mjpeg, Codes::JFIF, (1280, 720)),
        (PixelFormat::I420, Codes::JFIF, (1440, 1080)),
        (PixelFormat::Mjpeg, Codes::JFIF, (1920, 1080)),
    ] {
        check(FEW, format, codes, size, size);
    }
}

#[test]
fn larger_pictures_come_down_with_their_aspect_and_their_colours() {
    check(FEW, PixelFormat::Mjpeg, Codes::JFIF, (2560, 1440), (1920, 1080));
    if std::env::var_os("HYPERZOOM_SOAK").is_some() {
        check(FEW, PixelFormat::Yuyv, Codes::UVC, (2592, 1944), (1440, 1080));
        check(FEW, PixelFormat::Nv12, Codes::RECORDED, (3840, 2160), (1920, 1080));
    }
}
