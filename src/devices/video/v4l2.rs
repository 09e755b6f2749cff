//! Linux cameras, Video4Linux2.
//!
//! Runs on the camera's thread. Every wait has a limit, so that a camera that hangs can be told
//! from one that is slow, and the thread ends when it is asked to.

use std::io;

use self::device::{Device, FourCc, Rates, Sizes};
use self::stream::{Meta, Stream};
use super::End;
use super::choice::{Mode, choose};
use super::pictures::Pictures;
use crate::devices::list::{CameraDevice, CameraFormat};
use crate::devices::supervise::Stop;
use crate::devices::{CameraInfo, CameraSink, DeviceError, What, words};
use crate::platform::clock;
use crate::units::Micros;
use crate::video::frame::{Codes, Frame, PixelFormat};
use crate::video::reduce::Reducer;
use crate::video::scale::LARGEST;

mod device;
mod format;
mod stream;
mod sys;

// One is with us while the driver fills the others: seven of slack are 230 ms at 30 fps, more than
// a loaded machine keeps a thread waiting.
const BUFFERS: u32 = 8;
// How long a wait for a picture lasts before the thread looks whether it should end.
const PATIENCE_MS: u16 = 100;
// A camera in the dark gives 5 frames a second, autofocus and resume take a second.
const STUCK: i64 = 5_000_000;

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

fn pixel_format(fourcc: FourCc) -> Option<PixelFormat> {
    FORMATS.iter().find(|(code, _)| **code == fourcc.0).map(|(_, format)| *format)
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
            let device = Device::open(&id).ok()?;
            let name = device.camera().ok()??;
            let formats = formats(&device);
            (!formats.is_empty()).then_some(CameraDevice { id, name, formats })
        })
        .collect()
}

fn formats(device: &Device) -> Vec<CameraFormat> {
    let mut list = Vec::new();
    for code in device.formats() {
        let mut sizes: Vec<(u32, u32)> = Vec::new();
        for size in device.sizes(code) {
            match size {
                Sizes::One(width, height) => sizes.push((width, height)),
                // Any size: the usual ones are enough to choose from, and its own largest, which may
                // be of another shape.
                Sizes::Range { width, height } => sizes.extend(
                    USUAL
                        .into_iter()
                        .chain([(width.max, height.max)])
                        .filter(|(w, h)| width.holds(*w) && height.holds(*h)),
                ),
            }
        }
        for (width, height) in sizes {
            let mut fps: Vec<f64> = Vec::new();
            for rate in device.rates(code, width, height) {
                match rate {
                    Rates::One(rate) => fps.push(rate),
                    Rates::Range { slowest, fastest } => fps.extend(
                        [60.0, 30.0, 25.0, 15.0]
                            .into_iter()
                            .filter(|f| (slowest..=fastest).contains(f)),
                    ),
                }
            }
            // Drivers without intervals run at one rate that they do not name; 30 is usual.
            if fps.is_empty() {
                fps.push(30.0);
            }
            fps.sort_by(|a, b| b.total_cmp(a));
            list.push(CameraFormat { pixels: code.to_string(), width, height, fps });
        }
    }
    list
}

/// An open camera.
pub struct Camera {
    device: Device,
    layout: Layout,
}

/// How its pictures lie in the driver's memory.
struct Layout {
    mode: Mode,
    stride: u32,
    codes: Codes,
    reducer: Option<Reducer>,
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
        let device = Device::open(id).map_err(failed)?;
        let modes: Vec<(Mode, FourCc)> = formats(&device)
            .into_iter()
            .flat_map(|f| {
                let code = f.pixels.clone();
                f.fps.clone().into_iter().filter_map(move |fps| {
                    let code: [u8; 4] = code.as_bytes().try_into().ok()?;
                    let fourcc = FourCc(code);
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
        let fps = device.set_rate(mode.fps).ok().filter(|f| *f > 0.0).unwrap_or(mode.fps);
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
        let size = (got.width, got.height);
        let reducer = Reducer::of(format, codes, size, got.stride, LARGEST);
        let layout = Layout { mode, stride: got.stride, codes, reducer };
        Ok((info, Self { device, layout }))
    }

    pub fn run(mut self, sink: &mut dyn CameraSink, next_number: &mut u64, stop: &Stop) -> End {
        match Stream::start(&self.device, BUFFERS) {
            Ok(mut stream) => self.layout.deliver(&mut stream, sink, next_number, stop),
            Err(e) => End::Lost(lost_text(&e)),
        }
    }
}

impl Layout {
    fn deliver(
        &mut self,
        stream: &mut Stream<'_>,
        sink: &mut dyn CameraSink,
        next_number: &mut u64,
        stop: &Stop,
    ) -> End {
        let mut newest = clock::now();
        let mut first_sequence = None;
        let mut pictures = Pictures::default();
        let base = *next_number;
        loop {
            if stop.asked() {
                return End::Stopped;
            }
            let next = match stream.wait(PATIENCE_MS) {
                Ok(true) => stream.next(),
                Ok(false) => Ok(None),
                Err(e) => Err(e),
            };
            let (bytes, meta) = match next {
                Ok(Some(next)) => next,
                Ok(None) => {
                    if clock::now().since(newest) > STUCK {
                        return End::Lost(format!("no picture for {} s", STUCK / 1_000_000));
                    }
                    continue;
                }
                Err(e) => return End::Lost(lost_text(&e)),
            };
            let arrival = clock::now();
            newest = arrival;
            if meta.broken {
                continue;
            }
            let Some(data) = pictures.take(|out| self.copy(bytes, out)) else { continue };
            let first = *first_sequence.get_or_insert(meta.sequence);
            // Drivers that do not count leave 0 in each.
            let number = base + u64::from(meta.sequence.wrapping_sub(first));
            let number = number.max(*next_number);
            *next_number = number + 1;
            let frame = |format, (width, height), codes| {
                let captured = captured(meta, arrival);
                Frame { format, codes, width, height, captured, number, data }
            };
            sink.frame(match &self.reducer {
                Some(reducer) => frame(PixelFormat::I420, reducer.size(), Codes::RECORDED),
                None => frame(self.mode.format, (self.mode.width, self.mode.height), self.codes),
            });
        }
    }

    /// A whole picture out of the driver's memory, which wants it back, reduced on the way where it
    /// is far larger than the recording's; `None` for one that is cut.
    fn copy(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let Mode { format, width, height, .. } = self.mode;
        match (&mut self.reducer, format) {
            (Some(reducer), _) => reducer.apply(bytes, out),
            // Start of image, and more than headers.
            (None, PixelFormat::Mjpeg) => {
                out.clear();
                out.extend_from_slice(bytes);
                (bytes.len() > 100 && bytes.starts_with(&[0xFF, 0xD8])).then_some(())
            }
            (None, raw) => format::packed(raw, (width, height), self.stride, bytes, out),
        }
    }
}

fn lost_text(e: &io::Error) -> String {
    if e.raw_os_error() == Some(libc::ENODEV) { "it was unplugged".into() } else { words(e) }
}

/// When light fell on the sensor, on our clock: the driver's stamp if it is of CLOCK_MONOTONIC and
/// believable, else the moment of arrival.
fn captured(meta: Meta, arrival: Micros) -> Micros {
    let Some(stamp) = meta.monotonic.map(clock::from_monotonic) else { return arrival };
    // Some drivers stamp with nonsense until the first start of frame.
    if (0..2_000_000).contains(&arrival.since(stamp)) { stamp } else { arrival }
}
