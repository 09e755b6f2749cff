//! Linux cameras, Video4Linux2.
//!
//! Runs on the camera's thread. Every wait has a limit, so that a camera that hangs can be told
//! from one that is slow, and the thread ends when it is asked to.

use std::io;
use std::path::Path;
use std::sync::Arc;

use v4l::buffer::{Flags, Metadata, Type};
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::mmap::Stream;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, FourCC, Fraction};

use super::End;
use super::choice::{Mode, choose};
use crate::devices::list::{CameraDevice, CameraFormat};
use crate::devices::supervise::Stop;
use crate::devices::{CameraInfo, CameraSink, DeviceError, What, words};
use crate::platform::clock;
use crate::units::Micros;
use crate::video::frame::{Codes, Frame, PixelFormat};
use crate::video::reduce::Ratio;
use crate::video::scale::LARGEST;

mod format;

// One is with us while the driver fills the others: seven of slack are 230 ms at 30 fps, more than
// a loaded machine keeps a thread waiting.
const BUFFERS: u32 = 8;
// How long a wait for a picture lasts before the thread looks whether it should end.
const PATIENCE_MS: i32 = 100;
// A camera in the dark gives 5 frames a second, autofocus and resume take a second.
const STUCK: i64 = 5_000_000;
// V4L2_CAP_VIDEO_CAPTURE and V4L2_CAP_STREAMING (videodev2.h).
const CAPTURE: u32 = 0x1;
const STREAMING: u32 = 0x0400_0000;

// Sizes to ask a camera for that makes any.
const USUAL: [(u32, u32); 9] = [
    (1920, 1080),
    (1440, 1080),
    (1280, 960),
    (1280, 720),
    (1024, 768),
    (800, 600),
    (854, 480),
    (640, 480),
    (640, 360),
];

const FORMATS: [(&[u8; 4], PixelFormat); 5] = [
    (b"MJPG", PixelFormat::Mjpeg),
    (b"JPEG", PixelFormat::Mjpeg),
    (b"YUYV", PixelFormat::Yuyv),
    (b"NV12", PixelFormat::Nv12),
    (b"YU12", PixelFormat::I420),
];

fn pixel_format(fourcc: FourCC) -> Option<PixelFormat> {
    FORMATS.iter().find(|(code, _)| **code == fourcc.repr).map(|(_, format)| *format)
}

// What the driver says, in the order of the numbers of the device nodes.
pub fn cameras() -> Vec<CameraDevice> {
    let Ok(entries) = std::fs::read_dir("/dev") else { return Vec::new() };
    let mut numbers: Vec<u32> = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.strip_prefix("video")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    numbers
        .into_iter()
        .filter_map(|n| {
            let id = format!("/dev/video{n}");
            let device = Device::with_path(&id).ok()?;
            // Metadata nodes and encoders are video devices too.
            let caps = device.query_caps().ok()?;
            if caps.capabilities.bits() & CAPTURE == 0 || caps.capabilities.bits() & STREAMING == 0
            {
                return None;
            }
            let formats = formats(&device);
            (!formats.is_empty()).then_some(CameraDevice { id, name: caps.card, formats })
        })
        .collect()
}

fn formats(device: &Device) -> Vec<CameraFormat> {
    let mut list = Vec::new();
    for description in device.enum_formats().unwrap_or_default() {
        let code = description.fourcc;
        let mut sizes: Vec<(u32, u32)> = Vec::new();
        for size in device.enum_framesizes(code).unwrap_or_default() {
            match size.size {
                FrameSizeEnum::Discrete(d) => sizes.push((d.width, d.height)),
                // Any size: the usual ones are enough to choose from.
                FrameSizeEnum::Stepwise(s) => {
                    // And its own largest, which may be of another shape.
                    let own = (s.max_width, s.max_height);
                    sizes.extend(USUAL.into_iter().chain([own]).filter(|(w, h)| {
                        let fits = |n: u32, min: u32, max: u32, step: u32| {
                            (min..=max).contains(&n) && (n - min).is_multiple_of(step.max(1))
                        };
                        fits(*w, s.min_width, s.max_width, s.step_width)
                            && fits(*h, s.min_height, s.max_height, s.step_height)
                    }));
                }
            }
        }
        for (width, height) in sizes {
            let mut fps: Vec<f64> = Vec::new();
            for interval in device.enum_frameintervals(code, width, height).unwrap_or_default() {
                match interval.interval {
                    FrameIntervalEnum::Discrete(f) => fps.push(rate(f)),
                    FrameIntervalEnum::Stepwise(s) => {
                        let (fastest, slowest) = (rate(s.min), rate(s.max));
                        fps.extend(
                            [60.0, 30.0, 25.0, 15.0]
                                .into_iter()
                                .filter(|f| (slowest..=fastest).contains(f)),
                        );
                    }
                }
            }
            // Drivers without intervals run at one rate that they do not name; 30 is usual.
            if fps.is_empty() {
                fps.push(30.0);
            }
            fps.sort_by(|a, b| b.total_cmp(a));
            let pixels = code.str().unwrap_or("?").trim().to_owned();
            list.push(CameraFormat { pixels, width, height, fps });
        }
    }
    list
}

fn rate(interval: Fraction) -> f64 {
    f64::from(interval.denominator) / f64::from(interval.numerator.max(1))
}

/// An open camera.
pub struct Camera {
    device: Device,
    mode: Mode,
    stride: u32,
    codes: Codes,
    reduction: Option<Ratio>,
}

impl Camera {
    pub fn open(id: &str, name: &str) -> Result<(CameraInfo, Self), DeviceError> {
        let what = What::Camera;
        let failed = |e: io::Error| {
            let name = name.to_owned();
            let why = words(&e);
            match e.raw_os_error() {
                Some(libc::EBUSY) => DeviceError::Busy { what, name },
                Some(libc::EACCES | libc::EPERM) => DeviceError::Refused { what, name, why },
                _ => DeviceError::Failed { what, name, why },
            }
        };
        let device = Device::with_path(Path::new(id)).map_err(failed)?;
        let modes: Vec<(Mode, FourCC)> = formats(&device)
            .into_iter()
            .flat_map(|f| {
                let code = f.pixels.clone();
                f.fps.clone().into_iter().filter_map(move |fps| {
                    let code: [u8; 4] = code.as_bytes().try_into().ok()?;
                    let fourcc = FourCC::new(&code);
                    let format = pixel_format(fourcc)?;
                    Some((Mode { format, width: f.width, height: f.height, fps }, fourcc))
                })
            })
            .collect();
        let wanted = choose(&modes.iter().map(|(m, _)| *m).collect::<Vec<_>>());
        let Some((mode, fourcc)) = wanted.and_then(|w| modes.iter().find(|(m, _)| *m == w)) else {
            let mut codes: Vec<String> = formats(&device).into_iter().map(|f| f.pixels).collect();
            codes.dedup();
            let why = format!(
                "it offers {}",
                if codes.is_empty() { "none".into() } else { codes.join(", ") }
            );
            return Err(DeviceError::Format { what, name: name.to_owned(), why });
        };
        let got = format::set(&device, mode.width, mode.height, *fourcc).map_err(failed)?;
        let format = pixel_format(got.fourcc).ok_or_else(|| DeviceError::Format {
            what,
            name: name.to_owned(),
            why: format!("it insists on {}", got.fourcc),
        })?;
        if !got.width.is_multiple_of(2)
            || !got.height.is_multiple_of(2)
            || got.width == 0
            || got.height == 0
        {
            let why = format!("it insists on {}x{}", got.width, got.height);
            return Err(DeviceError::Format { what, name: name.to_owned(), why });
        }
        // A driver may have no rate to set; then it runs at its own.
        let interval = if (mode.fps - mode.fps.round()).abs() < 1e-6 {
            Fraction::new(1, mode.fps.round() as u32)
        } else {
            Fraction::new(1_001, (mode.fps * 1_001.0).round() as u32)
        };
        let fps = device
            .set_params(&Parameters::new(interval))
            .map(|p| rate(p.interval))
            .ok()
            .filter(|f| *f > 0.0)
            .unwrap_or(mode.fps);
        let mode = Mode { format, width: got.width, height: got.height, fps };
        let info = CameraInfo {
            name: name.to_owned(),
            id: id.to_owned(),
            width: mode.width,
            height: mode.height,
            fps,
            format,
            synthetic: false,
        };
        let codes = got.told.codes(format);
        let reduction = Ratio::of(format, (got.width, got.height), LARGEST);
        Ok((info, Self { device, mode, stride: got.stride, codes, reduction }))
    }

    pub fn run(self, sink: &mut dyn CameraSink, next_number: &mut u64, stop: &Stop) -> End {
        let mut stream = match Stream::with_buffers(&self.device, Type::VideoCapture, BUFFERS) {
            Ok(stream) => stream,
            Err(e) => return End::Lost(words(&e)),
        };
        let end = self.deliver(&mut stream, sink, next_number, stop);
        // The crate's own drop would panic over an error here.
        match stream.stop() {
            Ok(()) => drop(stream),
            Err(e) if e.raw_os_error() == Some(libc::ENODEV) => drop(stream),
            Err(_) => std::mem::forget(stream),
        }
        end
    }

    fn deliver(
        &self,
        stream: &mut Stream<'_>,
        sink: &mut dyn CameraSink,
        next_number: &mut u64,
        stop: &Stop,
    ) -> End {
        // `Stream::next` queues the buffer that it handed out last, the first one to begin with, and
        // then waits without an end. So the others are queued here and the waiting is done by
        // `poll`, and `next` only takes what is ready.
        for index in 1..BUFFERS as usize {
            // A driver may have granted fewer.
            if stream.queue(index).is_err() {
                break;
            }
        }
        // For a driver that says "ready" and then has nothing.
        stream.set_timeout(std::time::Duration::from_secs(1));
        if let Err(e) = stream.start() {
            return End::Lost(words(&e));
        }
        let handle = stream.handle();
        let mut newest = clock::now();
        let mut first_sequence = None;
        let base = *next_number;
        loop {
            if stop.asked() {
                return End::Stopped;
            }
            match handle.poll(libc::POLLIN, PATIENCE_MS) {
                Ok(0) => {
                    let waited = clock::now().since(newest);
                    if waited > STUCK {
                        return End::Lost(format!("no picture for {} s", STUCK / 1_000_000));
                    }
                    continue;
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return End::Lost(words(&e)),
            }
            let (bytes, meta) = match stream.next() {
                Ok(next) => next,
                Err(e) => return End::Lost(lost_text(&e)),
            };
            let arrival = clock::now();
            newest = arrival;
            let used = (meta.bytesused as usize).min(bytes.len());
            let Some(picture) = self.picture(&bytes[..used], meta) else { continue };
            let (width, height) = self.size();
            let first = *first_sequence.get_or_insert(meta.sequence);
            // Drivers that do not count leave 0 in each.
            let number = base + u64::from(meta.sequence.wrapping_sub(first));
            let number = number.max(*next_number);
            *next_number = number + 1;
            sink.frame(Frame {
                // What was reduced is planar.
                format: self.reduction.map_or(self.mode.format, |_| PixelFormat::I420),
                codes: self.codes,
                width,
                height,
                captured: captured(meta, arrival),
                number,
                data: Arc::new(picture),
            });
        }
    }
}

impl Camera {
    /// A whole picture, copied out of the driver's memory, which wants it back, and reduced on the
    /// way where it is far larger than the recording's; `None` for one that the driver itself calls
    /// broken or that is cut.
    fn picture(&self, bytes: &[u8], meta: &Metadata) -> Option<Vec<u8>> {
        if meta.flags.contains(Flags::ERROR) {
            return None;
        }
        let Mode { format, width, height, .. } = self.mode;
        match format {
            // Start of image, and more than headers.
            PixelFormat::Mjpeg => {
                (bytes.len() > 100 && bytes.starts_with(&[0xFF, 0xD8])).then(|| bytes.to_vec())
            }
            raw => match self.reduction {
                Some(ratio) => ratio.apply(raw, (width, height), self.stride, bytes),
                None => format::packed(raw, width, height, self.stride, bytes),
            },
        }
    }

    /// Of the pictures that are handed on, pixels.
    fn size(&self) -> (u32, u32) {
        let size = (self.mode.width, self.mode.height);
        self.reduction.map_or(size, |ratio| ratio.size(size))
    }
}

fn lost_text(e: &io::Error) -> String {
    if e.raw_os_error() == Some(libc::ENODEV) { "it was unplugged".into() } else { words(e) }
}

/// When light fell on the sensor, on our clock: the driver's stamp if it is of CLOCK_MONOTONIC and
/// believable, else the moment of arrival.
fn captured(meta: &Metadata, arrival: Micros) -> Micros {
    if !meta.flags.contains(Flags::TIMESTAMP_MONOTONIC) {
        return arrival;
    }
    let (seconds, micros): (i64, i64) = (meta.timestamp.sec as _, meta.timestamp.usec as _);
    let stamp = clock::from_monotonic(seconds * 1_000_000 + micros);
    // Some drivers stamp with nonsense until the first start of frame.
    if (0..2_000_000).contains(&arrival.since(stamp)) { stamp } else { arrival }
}
