//! What the recorder does to a picture beside the H.264 encoder and the JPEG decoder, in CPU time of
//! the thread (so that other programs' load does not count), as a share of the encoder's for a
//! 1080p picture (`make measure` prints it): the copy out of the driver's buffer, the conversion
//! and scaling, the sound of that picture's time, the MP4 writer with its hash, its syncs and
//! the disk.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use cpu_time::ThreadTime;
use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::h264::{OpenH264, Planes, VideoEncoder, VideoParameters};
use hyperzoom::recording::mp4::{
    AudioCoding, AudioTrack, MovieParameters, Mp4Writer, RecordingFile, Timecode, VideoTrack,
};
use hyperzoom::recording::timeline::AudioTimeline;
use hyperzoom::recording::trial::TestPicture;
use hyperzoom::units::{Micros, SessionMicros};
use hyperzoom::video::convert::Converter;
use hyperzoom::video::frame::{Codes, Frame, PixelFormat};
use hyperzoom::video::image::I420;
use hyperzoom::video::reduce::Reducer;
use hyperzoom::video::scale::{LARGEST, Scaler};

const WIDTH: u32 = 1920;
const HEIGHT: u32 = 1080;
const PICTURES: usize = 8;
const ROUNDS: usize = 90;

/// The test pictures in a camera's format and size.
fn frames(format: PixelFormat, codes: Codes, (width, height): (u32, u32)) -> Vec<Frame> {
    (0..PICTURES)
        .map(|n| {
            let picture = TestPicture::new(width, height, n);
            let Planes { y, u, v, .. } = picture.planes();
            let data: Vec<u8> = match format {
                PixelFormat::I420 => [y, u, v].concat(),
                PixelFormat::Nv12 => {
                    let chroma = u.iter().zip(v).flat_map(|(u, v)| [*u, *v]);
                    y.iter().copied().chain(chroma).collect()
                }
                PixelFormat::Yuyv => {
                    let half = width as usize / 2;
                    let pair = |i: usize| {
                        let chroma = (i / half / 2) * half + i % half;
                        [y[2 * i], u[chroma], y[2 * i + 1], v[chroma]]
                    };
                    (0..y.len() / 2).flat_map(pair).collect()
                }
                _ => jpeg(y, u, v, (width, height)),
            };
            let captured = Micros(0);
            Frame { format, codes, width, height, captured, number: 0, data: Arc::new(data) }
        })
        .collect()
}

/// 4:2:2, as most webcams send it.
fn jpeg(y: &[u8], u: &[u8], v: &[u8], (width, height): (u32, u32)) -> Vec<u8> {
    let half = width as usize / 2;
    let tall = |plane: &[u8]| -> Vec<u8> {
        plane.chunks_exact(half).flat_map(|row| [row, row].concat()).collect()
    };
    let pixels = [y, &tall(u), &tall(v)].concat();
    let image = turbojpeg::YuvImage {
        pixels: &pixels[..],
        width: width as usize,
        align: 1,
        height: height as usize,
        subsamp: turbojpeg::Subsamp::Sub2x1,
    };
    turbojpeg::compress_yuv(image, 85).expect("a picture in memory").to_vec()
}

/// A file on the disk.
struct OnDisk(File);

impl RecordingFile for OnDisk {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(data)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read_exact(buffer)
    }
    fn len(&mut self) -> io::Result<u64> {
        self.0.metadata().map(|m| m.len())
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Milliseconds of CPU time of this thread per call.
fn each(mut work: impl FnMut(usize)) -> f64 {
    work(0);
    let start = ThreadTime::now();
    (0..ROUNDS).for_each(&mut work);
    start.elapsed().as_secs_f64() * 1e3 / ROUNDS as f64
}

fn main() {
    let parameters = VideoParameters::for_size(WIDTH, HEIGHT);
    let pictures: Vec<_> = (0..PICTURES).map(|n| TestPicture::new(WIDTH, HEIGHT, n)).collect();
    // One thread: its CPU time is then all of it.
    let mut encoder = OpenH264::with_threads(&parameters, 1).expect("OpenH264 is bundled");
    let mut pts = 0;
    let mut samples = Vec::new();
    let encode = each(|n| {
        let at = n % (2 * PICTURES - 2);
        let at = at.min(2 * PICTURES - 2 - at);
        encoder.submit(pictures[at].planes(), pts).expect("a good picture");
        pts += 1;
        samples.extend(encoder.poll());
    });
    let mut aac = AacEncoder::new().expect("fdk-aac is bundled");
    let (asc, priming_samples) = (aac.asc(), aac.priming_samples());
    let sound: Vec<f32> = (0..1_600).map(|i| (i as f32 * 0.06).sin() * 0.5).collect();
    let mut packets = Vec::new();
    let audio = each(|_| aac.push(&sound, &mut packets).expect("encodes"));
    // A card that runs 50 ppm fast, in blocks of 7 ms.
    let mut timeline = AudioTimeline::new();
    timeline.begin(SessionMicros(0));
    let (mut card, mut placed) = (0u64, Vec::new());
    let resample = each(|_| {
        placed.clear();
        for block in sound.chunks(320) {
            let stamp = Micros((card as f64 / (0.048 * (1.0 + 50e-6))) as i64);
            timeline.push(block, 48_000, stamp, &|local| local, &mut placed);
            card += block.len() as u64;
        }
    });
    let (sps, pps) = encoder.parameter_sets().expect("a picture was encoded");
    let movie = MovieParameters {
        video: Some(VideoTrack {
            width: WIDTH as u16,
            height: HEIGHT as u16,
            sps,
            pps,
            bitrate: parameters.bitrate_bps,
        }),
        audio: Some(AudioTrack {
            coding: AudioCoding::Aac,
            configuration: asc,
            bitrate: 192_000,
            priming_samples,
            samples_per_packet: 1_024,
        }),
        timecode: Timecode { start_frame: 0 },
        created_utc_seconds: 0,
    };
    let file = OnDisk(tempfile::tempfile().expect("a temporary file"));
    let mut writer = Mp4Writer::create(file, movie).expect("it can be written");
    let mut packets = packets.into_iter().peekable();
    let mux = each(|n| {
        let sample = &samples[n];
        writer.video(&sample.data, writer.counts().video_samples as i64, n == 0).expect("written");
        while let Some(packet) = packets.next_if(|p| p.index * 1_024 <= n as u64 * 1_600) {
            writer.audio(&packet.data, 1_024).expect("written");
        }
    });
    let shared = audio + resample + mux;
    println!(
        "One picture, CPU time: H.264 encode at 1080p {encode:.2} ms; its sound {audio:.2} ms (AAC) and {resample:.2} ms\n(onto the session clock), MP4 and disk {mux:.2} ms.\n"
    );
    println!(
        "| camera | JPEG decode | copy | conversion | scaling | own work in all | of the encoder's |"
    );
    println!("|---|---|---|---|---|---|---|");
    let full = (WIDTH, HEIGHT);
    for (name, format, codes, size) in [
        ("MJPEG", PixelFormat::Mjpeg, Codes::JFIF, full),
        ("YUYV, BT.601", PixelFormat::Yuyv, Codes::UVC, full),
        ("YUYV, BT.709", PixelFormat::Yuyv, Codes::RECORDED, full),
        ("NV12, BT.601", PixelFormat::Nv12, Codes::UVC, full),
        ("NV12, BT.709", PixelFormat::Nv12, Codes::RECORDED, full),
        ("I420, BT.601", PixelFormat::I420, Codes::UVC, full),
        ("I420, BT.709", PixelFormat::I420, Codes::RECORDED, full),
        ("MJPEG, 2560x1440", PixelFormat::Mjpeg, Codes::JFIF, (2560, 1440)),
        ("MJPEG, 3840x2160", PixelFormat::Mjpeg, Codes::JFIF, (3840, 2160)),
        ("YUYV, BT.601, 2560x1440", PixelFormat::Yuyv, Codes::UVC, (2560, 1440)),
        ("NV12, BT.709, 2560x1440", PixelFormat::Nv12, Codes::RECORDED, (2560, 1440)),
        ("NV12, BT.601, 2560x1440", PixelFormat::Nv12, Codes::UVC, (2560, 1440)),
        ("YUYV, BT.601, 3840x2160", PixelFormat::Yuyv, Codes::UVC, (3840, 2160)),
        ("NV12, BT.709, 3840x2160", PixelFormat::Nv12, Codes::RECORDED, (3840, 2160)),
        ("NV12, BT.601, 3840x2160", PixelFormat::Nv12, Codes::UVC, (3840, 2160)),
    ] {
        let mut frames = frames(format, codes, size);
        let mut reducer = Reducer::of(format, codes, size, 0, LARGEST);
        // Into memory that is used again, as the camera's thread does.
        let mut copied = Vec::new();
        let copy = each(|n| {
            let bytes = &frames[n % PICTURES].data;
            match &mut reducer {
                Some(reducer) => reducer.apply(bytes, &mut copied).expect("a whole frame"),
                None => bytes.as_slice().clone_into(&mut copied),
            }
            black_box(&mut copied);
        });
        if let Some(reducer) = &mut reducer {
            for frame in &mut frames {
                let mut small = Vec::new();
                reducer.apply(&frame.data, &mut small).expect("a whole frame");
                (frame.width, frame.height) = reducer.size();
                (frame.format, frame.codes) = (PixelFormat::I420, Codes::RECORDED);
                frame.data = Arc::new(small);
            }
        }
        let (mut converter, mut out) = (Converter::down_to(WIDTH, HEIGHT), I420::default());
        let prepare = each(|n| {
            converter.prepare(&frames[n % PICTURES], &mut out).expect("a whole frame");
        });
        let scale = if (out.width, out.height) == full {
            0.0
        } else {
            converter.to_i420(&frames[0], &mut out).expect("a whole frame");
            let (mut scaler, mut small) = (Scaler::new(), I420::black(WIDTH, HEIGHT));
            each(|_| scaler.fit(&out, &mut small))
        };
        let decode = match format {
            PixelFormat::Mjpeg => {
                let mut jpeg = turbojpeg::Decompressor::new().expect("turbojpeg is bundled");
                let eighths = if size == (3840, 2160) { 4 } else { 8 };
                let factor = turbojpeg::ScalingFactor::new(eighths, 8);
                jpeg.set_scaling_factor(factor).expect("eighths are there");
                let [width, height] = [size.0, size.1].map(|n| factor.scale(n as usize));
                let mut pixels = vec![0; width * height * 2];
                each(|n| {
                    let image = turbojpeg::YuvImage {
                        pixels: &mut pixels[..],
                        width,
                        align: 1,
                        height,
                        subsamp: turbojpeg::Subsamp::Sub2x1,
                    };
                    jpeg.decompress_to_yuv(&frames[n % PICTURES].data, image).expect("whole");
                })
            }
            _ => 0.0,
        };
        let conversion = (prepare - decode).max(0.0);
        let own = copy + conversion + scale + shared;
        println!(
            "| {name} | {decode:.2} ms | {copy:.2} ms | {conversion:.2} ms | {scale:.2} ms | {own:.2} ms | {:.1} % |",
            own * 100.0 / encode
        );
    }
}
