//! Cameras of macOS (AVFoundation) and Windows (Media Foundation), through nokhwa.
//!
//! nokhwa waits for a picture without an end, so a thread of its own, `camera-read`, opens the
//! camera and waits, and the camera's thread takes from it within time limits. A reader that hangs
//! in a dead device is left behind; it ends with its next picture. Pictures carry the moment of
//! their arrival: nokhwa's own stamps are of clocks that it does not name.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nokhwa::utils::{
    ApiBackend, CameraFormat as NativeFormat, CameraIndex, CameraInfo as NativeInfo, FrameFormat,
    RequestedFormat, RequestedFormatType,
};

use super::End;
use super::choice::{Mode, choose};
use super::pictures::Pictures;
use crate::devices::list::{CameraDevice, CameraFormat};
use crate::devices::supervise::Stop;
use crate::devices::{CameraInfo, CameraSink, DeviceError, What};
use crate::platform::clock;
use crate::units::Micros;
use crate::video::frame::{Codes, Frame, PixelFormat};
use crate::video::reduce::Reducer;
use crate::video::scale::LARGEST;

const PATIENCE: Duration = Duration::from_millis(100);
const STUCK: i64 = 5_000_000;
// A camera that is asked for the first time also asks the person for permission.
const OPENING: Duration = Duration::from_secs(20);
// Pictures between the two threads; more wait only when the sink is far too slow.
const WAITING: usize = 8;

fn pixel_format(format: FrameFormat) -> Option<PixelFormat> {
    match format {
        FrameFormat::MJPEG => Some(PixelFormat::Mjpeg),
        FrameFormat::YUYV => Some(PixelFormat::Yuyv),
        // On macOS nokhwa sets ten bits a sample for it.
        FrameFormat::NV12 if cfg!(windows) => Some(PixelFormat::Nv12),
        FrameFormat::RAWBGR => Some(PixelFormat::Bgr24),
        _ => None,
    }
}

// Media Foundation wants COM on every thread that asks it something; nokhwa sees to it on the
// first one only. The same kind as nokhwa's, or that would fail; kept until the thread ends, as
// nokhwa gives its own back on whichever thread closes the last camera.
#[cfg(windows)]
fn com() {
    use windows_sys::Win32::System::Com::{
        COINIT_APARTMENTTHREADED, COINIT_DISABLE_OLE1DDE, CoInitializeEx,
    };
    // SAFETY: plain values, for the calling thread; a refusal shows with the first question.
    unsafe {
        CoInitializeEx(
            std::ptr::null(),
            (COINIT_APARTMENTTHREADED | COINIT_DISABLE_OLE1DDE) as u32,
        );
    }
}

// Windows wants COM, macOS the permission, before the first question.
fn prepare() {
    use std::sync::Once;
    #[cfg(windows)]
    com();
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let (answer, answered) = mpsc::channel();
        let answer = std::sync::Mutex::new(answer);
        nokhwa::nokhwa_initialize(move |granted| {
            if let Ok(answer) = answer.lock() {
                let _ = answer.send(granted);
            }
        });
        // A refusal shows when the camera is opened.
        let _ = answered.recv_timeout(OPENING);
    });
}

// The symbolic link (Windows) or unique id (macOS); the index where there is neither.
fn id(info: &NativeInfo) -> String {
    let misc = info.misc();
    if misc.is_empty() { format!("camera:{}", info.index()) } else { misc }
}

fn name(info: &NativeInfo) -> String {
    // Names come from UTF-16 with its terminator.
    let name = info.human_name();
    name.trim_end_matches('\0').trim().to_owned()
}

fn found() -> Vec<NativeInfo> {
    prepare();
    nokhwa::query(ApiBackend::Auto).unwrap_or_default()
}

pub fn cameras() -> Vec<CameraDevice> {
    found()
        .iter()
        .map(|info| CameraDevice {
            id: id(info),
            name: name(info),
            formats: formats(info.index()).unwrap_or_default(),
        })
        .collect()
}

fn formats(index: &CameraIndex) -> Option<Vec<CameraFormat>> {
    let mut camera = nokhwa::Camera::new(index.clone(), any()).ok()?;
    let mut list: Vec<CameraFormat> = Vec::new();
    for native in camera.compatible_camera_formats().ok()? {
        let pixels = native.format().to_string();
        let (width, height) = (native.width(), native.height());
        let fps = f64::from(native.frame_rate());
        match list.iter_mut().find(|f| (&f.pixels, f.width, f.height) == (&pixels, width, height)) {
            Some(same) => same.fps.push(fps),
            None => list.push(CameraFormat { pixels, width, height, fps: vec![fps] }),
        }
    }
    for format in &mut list {
        format.fps.sort_by(|a, b| b.total_cmp(a));
        format.fps.dedup();
    }
    Some(list)
}

fn any() -> RequestedFormat<'static> {
    RequestedFormat::with_formats(
        RequestedFormatType::AbsoluteHighestFrameRate,
        nokhwa::utils::frame_formats(),
    )
}

/// An open camera.
pub struct Camera {
    mode: Mode,
    reducer: Option<Reducer>,
    pictures: mpsc::Receiver<Result<(Vec<u8>, Micros), String>>,
}

impl Camera {
    pub fn open(id: &str, name: &str) -> Result<(CameraInfo, Self), DeviceError> {
        let (answer, answered) = mpsc::channel();
        let (sender, pictures) = mpsc::sync_channel(WAITING);
        let (wanted, label) = (id.to_owned(), name.to_owned());
        std::thread::Builder::new()
            .name("camera-read".into())
            .spawn(move || read(&wanted, &label, &answer, &sender))
            .map_err(|e| failed(name, &e))?;
        let mode = answered
            .recv_timeout(OPENING)
            .unwrap_or_else(|_| Err(failed(name, &"it does not answer")))?;
        let info = CameraInfo {
            name: name.to_owned(),
            id: id.to_owned(),
            width: mode.width,
            height: mode.height,
            fps: mode.fps,
            format: mode.format,
            synthetic: false,
        };
        let size = (mode.width, mode.height);
        let reducer = Reducer::of(mode.format, codes(mode.format), size, 0, LARGEST);
        Ok((info, Self { mode, reducer, pictures }))
    }

    pub fn run(mut self, sink: &mut dyn CameraSink, next_number: &mut u64, stop: &Stop) -> End {
        let mut newest = clock::now();
        let mut memory = Pictures::default();
        loop {
            if stop.asked() {
                return End::Stopped;
            }
            let (picture, captured) = match self.pictures.recv_timeout(PATIENCE) {
                Ok(Ok(picture)) => picture,
                Ok(Err(message)) => return End::Lost(message),
                Err(RecvTimeoutError::Disconnected) => return End::Lost("its driver ended".into()),
                Err(RecvTimeoutError::Timeout) => {
                    if clock::now().since(newest) > STUCK {
                        return End::Lost(format!("no picture for {} s", STUCK / 1_000_000));
                    }
                    continue;
                }
            };
            newest = captured;
            let Some(bytes) = whole(self.mode, picture) else { continue };
            let Mode { format, width, height, .. } = self.mode;
            let (format, (width, height), codes, data) = match &mut self.reducer {
                Some(reducer) => {
                    let small = memory.take(|out| reducer.apply(&bytes, out));
                    let Some(small) = small else { continue };
                    (PixelFormat::I420, reducer.size(), Codes::RECORDED, small)
                }
                None => (format, (width, height), codes(format), Arc::new(bytes)),
            };
            let number = *next_number;
            sink.frame(Frame { format, codes, width, height, captured, number, data });
            *next_number += 1;
        }
    }
}

/// nokhwa tells nothing of them; these are USB's.
fn codes(format: PixelFormat) -> Codes {
    match format {
        PixelFormat::Mjpeg | PixelFormat::Bgr24 => Codes::JFIF,
        _ => Codes::UVC,
    }
}

/// The bytes of a whole picture; rows may come with padding at the end of the buffer.
fn whole(mode: Mode, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    if mode.format == PixelFormat::Mjpeg {
        return bytes.starts_with(&[0xFF, 0xD8]).then_some(bytes);
    }
    let size = Frame::raw_size(mode.format, mode.width, mode.height);
    (bytes.len() >= size).then(|| {
        bytes.truncate(size);
        bytes
    })
}

fn failed(name: &str, why: &dyn std::fmt::Display) -> DeviceError {
    let why = why.to_string().replace('\n', " ");
    DeviceError::Failed { what: What::Camera, name: name.to_owned(), why }
}

type Waiting = mpsc::SyncSender<Result<(Vec<u8>, Micros), String>>;

fn read(
    wanted: &str,
    label: &str,
    answer: &mpsc::Sender<Result<Mode, DeviceError>>,
    pictures: &Waiting,
) {
    let (mut camera, mode) = match start(wanted, label) {
        Ok(open) => open,
        Err(e) => {
            let _ = answer.send(Err(e));
            return;
        }
    };
    if answer.send(Ok(mode)).is_err() {
        return;
    }
    loop {
        // `frame` would throw away what has come in the meantime (macOS); `frame_raw` does not.
        let next = match camera.frame_raw() {
            Ok(bytes) if bytes.is_empty() => continue,
            Ok(bytes) => Ok((bytes.into_owned(), clock::now())),
            Err(e) => Err(e.to_string().replace('\n', " ")),
        };
        let ended = next.is_err();
        if pictures.send(next).is_err() || ended {
            let _ = camera.stop_stream();
            return;
        }
    }
}

fn start(wanted: &str, label: &str) -> Result<(nokhwa::Camera, Mode), DeviceError> {
    let what = What::Camera;
    let info = found()
        .into_iter()
        .find(|info| id(info) == wanted)
        .ok_or_else(|| failed(label, &"it is not connected"))?;
    if !nokhwa::nokhwa_check() {
        let why = "no permission".to_owned();
        return Err(DeviceError::Refused { what, name: label.to_owned(), why });
    }
    let mut camera =
        nokhwa::Camera::new(info.index().clone(), any()).map_err(|e| failed(label, &e))?;
    let modes: Vec<(Mode, NativeFormat)> = camera
        .compatible_camera_formats()
        .map_err(|e| failed(label, &e))?
        .into_iter()
        .filter_map(|native| {
            let format = pixel_format(native.format())?;
            let fps = f64::from(native.frame_rate());
            Some((Mode { format, width: native.width(), height: native.height(), fps }, native))
        })
        .collect();
    let best = choose(&modes.iter().map(|(mode, _)| *mode).collect::<Vec<_>>());
    let native = best.and_then(|best| modes.iter().find(|(mode, _)| *mode == best));
    let Some((_, native)) = native else {
        let why = "it offers no MJPEG and no YUYV".to_owned();
        return Err(DeviceError::Format { what, name: label.to_owned(), why });
    };
    let formats = [native.format()];
    camera
        .set_camera_requset(RequestedFormat::with_formats(
            RequestedFormatType::Exact(*native),
            &formats,
        ))
        .map_err(|e| failed(label, &e))?;
    camera.open_stream().map_err(|e| failed(label, &e))?;
    let got = camera.camera_format();
    let format = pixel_format(got.format()).ok_or_else(|| DeviceError::Format {
        what,
        name: label.to_owned(),
        why: format!("it insists on {}", got.format()),
    })?;
    if !got.width().is_multiple_of(2) || !got.height().is_multiple_of(2) {
        let why = format!("it insists on {}x{}", got.width(), got.height());
        return Err(DeviceError::Format { what, name: label.to_owned(), why });
    }
    let fps = f64::from(got.frame_rate().max(1));
    Ok((camera, Mode { format, width: got.width(), height: got.height(), fps }))
}
