//! The camera: a real one, a test picture, a Y4M file, or none.
//!
//! One thread, `camera`, waits for pictures (or for their time), stamps them and hands them to
//! [`CameraSink::frame`]; it owns the device and takes it back after a loss. It never scales or
//! decodes.

use std::path::Path;
use std::sync::mpsc;

use super::spec::CameraSpec;
use super::supervise::{Helper, RETRY, Stop};
use super::video::y4m::Y4mFile;
use super::video::{self, End, Open};
use super::{DeviceError, DeviceEvent, DeviceEvents, What};
use crate::platform::clock;
use crate::platform::priority::{self, Grant};
use crate::units::Micros;
use crate::video::frame::{Codes, Frame, PixelFormat};

/// Takes what the camera sees.
pub trait CameraSink: Send {
    /// What was opened, before the first picture.
    fn opened(&mut self, _info: &CameraInfo) {}

    /// The next picture. Runs on the camera's thread, whose buffers are few: no long work.
    fn frame(&mut self, frame: Frame);
}

/// Draws the test picture: frame number and the moment of its capture; I420 in the size asked for.
pub type TestPicture = Box<dyn FnMut(u64, Micros) -> std::sync::Arc<Vec<u8>> + Send>;

/// How to open a camera.
#[derive(Default)]
pub struct CameraOptions {
    /// A file starts over at its end.
    pub loop_file: bool,
    /// The picture of `test`; grey without one.
    pub test_picture: Option<TestPicture>,
}

/// What an open camera turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraInfo {
    /// The system's name, or `test picture`, or the file's name.
    pub name: String,
    /// What the flag takes to get it again.
    pub id: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second, as announced.
    pub fps: f64,
    /// Layout of its pictures.
    pub format: PixelFormat,
    /// It is no real device.
    pub synthetic: bool,
}

/// `Lab camera, 1280x720 Yuyv, 30 fps`, for one line of the dashboard.
impl std::fmt::Display for CameraInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, width, height, format, .. } = self;
        let fps = (self.fps * 100.0).round() / 100.0;
        if self.synthetic {
            write!(f, "{name}, {width}x{height}, {fps} fps")
        } else {
            write!(f, "{name}, {width}x{height} {format:?}, {fps} fps")
        }
    }
}

/// An open camera; dropping it closes it.
pub struct Camera {
    info: CameraInfo,
    grant: Grant,
    _helper: Helper,
}

impl Camera {
    /// What was got.
    pub fn info(&self) -> &CameraInfo {
        &self.info
    }

    /// Priority of its thread.
    pub fn priority(&self) -> &Grant {
        &self.grant
    }
}

/// Opens what `spec` names. `sink` gets pictures from now on, until the camera is dropped.
///
/// `off` is an error of the kind [`DeviceError::None`]: there is nothing to open.
pub fn open_camera(
    spec: &CameraSpec,
    options: CameraOptions,
    sink: Box<dyn CameraSink>,
    events: DeviceEvents,
) -> Result<Camera, DeviceError> {
    match spec {
        CameraSpec::Off => Err(DeviceError::None { what: What::Camera }),
        CameraSpec::Default => open_real(None, sink, events),
        CameraSpec::Device(id) => open_real(Some(id.clone()), sink, events),
        CameraSpec::Test { width, height, fps } => {
            let (width, height) = (*width, *height);
            let info = CameraInfo {
                name: "test picture".into(),
                id: format!("test:{width}x{height}@{fps}"),
                width,
                height,
                fps: *fps,
                format: PixelFormat::I420,
                synthetic: true,
            };
            let mut draw = options.test_picture.unwrap_or_else(|| grey(width, height));
            // The rate as a fraction of whole numbers, so that no deadline ever drifts.
            let rate = ((fps * 1e6).round() as u64, 1_000_000);
            spawn(info.clone(), move |stop| {
                let mut sink = sink;
                sink.opened(&info);
                run_test(&info, rate, &mut draw, sink.as_mut(), &stop);
            })
        }
        CameraSpec::File(path) => {
            let file = Y4mFile::open(path)?;
            let info = CameraInfo {
                name: super::microphone::file_name(path),
                id: format!("file:{}", path.display()),
                width: file.width,
                height: file.height,
                fps: file.rate.0 as f64 / file.rate.1 as f64,
                format: PixelFormat::I420,
                synthetic: true,
            };
            let path = path.clone();
            spawn(info.clone(), move |stop| {
                let mut sink = sink;
                sink.opened(&info);
                run_file(&info, file, &path, options.loop_file, sink.as_mut(), &events, &stop);
            })
        }
    }
}

fn grey(width: u32, height: u32) -> TestPicture {
    let picture = std::sync::Arc::new(vec![128; Frame::raw_size(PixelFormat::I420, width, height)]);
    Box::new(move |_, _| picture.clone())
}

fn failed(name: &str, why: impl ToString) -> DeviceError {
    DeviceError::Failed { what: What::Camera, name: name.to_owned(), why: why.to_string() }
}

fn spawn(
    info: CameraInfo,
    body: impl FnOnce(Stop) + Send + 'static,
) -> Result<Camera, DeviceError> {
    let (answer, answered) = mpsc::channel();
    let helper = Helper::spawn("camera", move |stop| {
        let _ = answer.send(priority::ask(priority::Role::High));
        body(stop);
    })
    .map_err(|e| failed(&info.name, e))?;
    let grant = answered.recv().map_err(|e| failed(&info.name, e))?;
    Ok(Camera { info, grant, _helper: helper })
}

fn open_real(
    wanted: Option<String>,
    mut sink: Box<dyn CameraSink>,
    events: DeviceEvents,
) -> Result<Camera, DeviceError> {
    let (id, name) = video::resolve(wanted.as_deref())?;
    let (answer, answered) = mpsc::channel();
    // Opened on its own thread: some systems bind a camera to the thread that opened it.
    let helper = Helper::spawn("camera", move |stop| {
        let grant = priority::ask(priority::Role::High);
        let mut open = match Open::new(&id, &name) {
            Ok(open) => open,
            Err(e) => {
                let _ = answer.send(Err(e));
                return;
            }
        };
        sink.opened(&open.info);
        let _ = answer.send(Ok((open.info.clone(), grant)));
        let mut next_number = 0;
        loop {
            let message = match open.run(sink.as_mut(), &mut next_number, &stop) {
                End::Stopped => return,
                End::Lost(message) => message,
            };
            events(DeviceEvent::Lost { what: What::Camera, message });
            open = loop {
                if stop.sleep(RETRY) {
                    return;
                }
                // A camera may come back under another number: by its name then.
                let again = Open::new(&id, &name).or_else(|e| match video::resolve(Some(&name)) {
                    Ok((new, _)) if new != id => Open::new(&new, &name),
                    _ => Err(e),
                });
                if let Ok(again) = again {
                    break again;
                }
            };
            events(DeviceEvent::Returned { what: What::Camera });
        }
    })
    .map_err(|e| failed("helper thread", e))?;
    let (info, grant) =
        answered.recv().unwrap_or_else(|_| Err(failed("device", "the camera's library failed")))?;
    Ok(Camera { info, grant, _helper: helper })
}

/// Instants of a constant rate, from the start alone.
#[derive(Clone, Copy, Debug)]
struct Grid {
    start: Micros,
    // Frames per second as a fraction.
    rate: (u64, u64),
}

impl Grid {
    fn at(&self, number: u64) -> Micros {
        let (frames, seconds) = (u128::from(self.rate.0.max(1)), u128::from(self.rate.1));
        self.start + (u128::from(number) * 1_000_000 * seconds / frames) as i64
    }

    // The newest frame whose time has come.
    fn newest(&self, now: Micros) -> u64 {
        let elapsed = now.since(self.start).max(0) as u128;
        (elapsed * u128::from(self.rate.0) / (1_000_000 * u128::from(self.rate.1).max(1))) as u64
    }
}

// A real sensor loses pictures when nobody takes them for longer than its buffers last.
const BEHIND: u64 = 8;

fn run_test(
    info: &CameraInfo,
    rate: (u64, u64),
    draw: &mut TestPicture,
    sink: &mut dyn CameraSink,
    stop: &Stop,
) {
    let grid = Grid { start: clock::now(), rate };
    let mut number = 0u64;
    while !stop.sleep_until(grid.at(number)) {
        let newest = grid.newest(clock::now());
        if newest > number + BEHIND {
            number = newest;
        }
        let captured = grid.at(number);
        sink.frame(Frame {
            format: PixelFormat::I420,
            codes: Codes::RECORDED,
            width: info.width,
            height: info.height,
            captured,
            number,
            data: draw(number, captured),
        });
        number += 1;
    }
}

fn run_file(
    info: &CameraInfo,
    mut file: Y4mFile,
    path: &Path,
    repeat: bool,
    sink: &mut dyn CameraSink,
    events: &DeviceEvents,
    stop: &Stop,
) {
    let grid = Grid { start: clock::now(), rate: file.rate };
    let mut number = 0u64;
    let mut since_start = 0u64;
    loop {
        let picture = match file.next() {
            Ok(Some(picture)) => picture,
            Ok(None) if repeat && since_start > 0 => {
                since_start = 0;
                if let Err(e) = file.rewind() {
                    let message = format!("{}: {e}", path.display());
                    events(DeviceEvent::FileFailed { what: What::Camera, message });
                    return;
                }
                continue;
            }
            Ok(None) => {
                events(DeviceEvent::FileEnded { what: What::Camera });
                return;
            }
            Err(e) => {
                let message = format!("{}: {e}", path.display());
                events(DeviceEvent::FileFailed { what: What::Camera, message });
                return;
            }
        };
        if stop.sleep_until(grid.at(number)) {
            return;
        }
        sink.frame(Frame {
            format: PixelFormat::I420,
            codes: file.codes,
            width: info.width,
            height: info.height,
            captured: grid.at(number),
            number,
            data: picture,
        });
        number += 1;
        since_start += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ntsc_frames_keep_to_their_grid_for_days() {
        let grid = Grid { start: Micros(5), rate: (30_000, 1_001) };
        assert_eq!(grid.at(0), Micros(5));
        assert_eq!(grid.at(30_000), Micros(5 + 1_001_000_000));
        // Two days.
        let n = 30_000 * 173;
        assert_eq!(grid.at(n), Micros(5 + 173 * 1_001_000_000));
        assert_eq!(grid.newest(grid.at(n)), n);
        assert_eq!(grid.newest(grid.at(n) - 1), n - 1);
    }
}
