//! A video device: what it is, what it offers, and what it is set to.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

use super::sys;

/// Four letters that name a layout of pixels (V4L2_PIX_FMT_…).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourCc(pub [u8; 4]);

impl FourCc {
    pub fn number(self) -> u32 {
        u32::from_le_bytes(self.0)
    }

    fn of(number: u32) -> Self {
        Self(number.to_le_bytes())
    }
}

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(String::from_utf8_lossy(&self.0).trim_end())
    }
}

/// Sizes of one layout, pixels.
pub enum Sizes {
    /// Exactly this one.
    One(u32, u32),
    /// Any between the smallest and the largest, in steps.
    Range { width: Range, height: Range },
}

/// From, to and by.
#[derive(Clone, Copy)]
pub struct Range {
    pub min: u32,
    pub max: u32,
    pub step: u32,
}

impl Range {
    pub fn holds(self, n: u32) -> bool {
        (self.min..=self.max).contains(&n) && (n - self.min).is_multiple_of(self.step.max(1))
    }
}

/// Rates of one size, pictures a second.
pub enum Rates {
    /// Exactly this one.
    One(f64),
    /// Any between.
    Range { slowest: f64, fastest: f64 },
}

/// An open video device.
pub struct Device {
    file: File,
}

impl Device {
    /// Opens a device node. Reading never waits: [`super::stream::Stream::wait`] does.
    pub fn open(path: &str) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        Ok(Self { file: options.open(path)? })
    }

    /// For requests; of this device as long as it lives.
    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The camera's name, if the node is one that delivers pictures to a program: metadata nodes
    /// and encoders are video devices too.
    pub fn camera(&self) -> io::Result<Option<String>> {
        let mut capability: sys::Capability = sys::zeroed();
        // SAFETY: the request's own structure, ours for the time of the call.
        unsafe { sys::querycap(self.fd(), &raw mut capability)? };
        // Of this node, where the driver tells; else of the whole device.
        let caps = if capability.capabilities & sys::CAP_DEVICE_CAPS == 0 {
            capability.capabilities
        } else {
            capability.device_caps
        };
        let wanted = sys::CAP_VIDEO_CAPTURE | sys::CAP_STREAMING;
        Ok((caps & wanted == wanted).then(|| text(&capability.card)))
    }

    /// The layouts it offers.
    pub fn formats(&self) -> Vec<FourCc> {
        let ask = |index| {
            let mut question: sys::FmtDesc = sys::zeroed();
            question.index = index;
            question.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
            // SAFETY: as above.
            unsafe { sys::enum_fmt(self.fd(), &raw mut question).ok()? };
            Some(FourCc::of(question.pixelformat))
        };
        answers(ask).collect()
    }

    /// The sizes it offers of a layout.
    pub fn sizes(&self, format: FourCc) -> Vec<Sizes> {
        let ask = |index| {
            let mut question: sys::FrmSizeEnum = sys::zeroed();
            question.index = index;
            question.pixel_format = format.number();
            // SAFETY: as above.
            unsafe { sys::enum_framesizes(self.fd(), &raw mut question).ok()? };
            let size = question.size;
            Some(if question.type_ == sys::TYPE_DISCRETE {
                Sizes::One(size.min_width, size.max_width)
            } else {
                let range = |min, max, step| Range { min, max, step };
                Sizes::Range {
                    width: range(size.min_width, size.max_width, size.step_width),
                    height: range(size.min_height, size.max_height, size.step_height),
                }
            })
        };
        answers(ask).collect()
    }

    /// The rates it offers of a size; none where the driver does not tell.
    pub fn rates(&self, format: FourCc, width: u32, height: u32) -> Vec<Rates> {
        let ask = |index| {
            let mut question: sys::FrmIvalEnum = sys::zeroed();
            question.index = index;
            question.pixel_format = format.number();
            question.width = width;
            question.height = height;
            // SAFETY: as above.
            unsafe { sys::enum_frameintervals(self.fd(), &raw mut question).ok()? };
            Some(if question.type_ == sys::TYPE_DISCRETE {
                Rates::One(rate(question.min))
            } else {
                Rates::Range { slowest: rate(question.max), fastest: rate(question.min) }
            })
        };
        answers(ask).collect()
    }

    /// Asks for a size and a layout; the driver answers with what it gives instead.
    pub fn set_format(
        &self,
        width: u32,
        height: u32,
        format: FourCc,
    ) -> io::Result<(FourCc, sys::PixFormat)> {
        let mut request: sys::Format = sys::zeroed();
        request.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
        request.fmt.pix = sys::PixFormat {
            width,
            height,
            pixelformat: format.number(),
            priv_: sys::PIX_FMT_PRIV_MAGIC,
            ..sys::zeroed()
        };
        // SAFETY: as above; every member of the union is numbers, so the one we wrote can be read.
        let got = unsafe {
            sys::s_fmt(self.fd(), &raw mut request)?;
            request.fmt.pix
        };
        Ok((FourCc::of(got.pixelformat), got))
    }

    /// Asks for a rate, pictures a second; the driver answers with what it gives instead. An error
    /// where it has none to set: then it runs at its own.
    pub fn set_rate(&self, fps: f64) -> io::Result<f64> {
        let mut request: sys::StreamParm = sys::zeroed();
        request.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
        request.parm.raw_data = [0; 200];
        let whole = (fps - fps.round()).abs() < 1e-6;
        // 29.97 is 30000/1001.
        let numerator = if whole { 1 } else { 1_001 };
        let denominator = (fps * f64::from(numerator)).round() as u32;
        // SAFETY: as above.
        unsafe {
            request.parm.capture.timeperframe = sys::Fract { numerator, denominator };
            sys::s_parm(self.fd(), &raw mut request)?;
            Ok(rate(request.parm.capture.timeperframe))
        }
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The driver numbers what it offers, and refuses the first number behind the last.
fn answers<T>(ask: impl FnMut(u32) -> Option<T>) -> impl Iterator<Item = T> {
    // A driver that never refuses does not keep us.
    (0..256).map_while(ask)
}

fn rate(interval: sys::Fract) -> f64 {
    f64::from(interval.denominator) / f64::from(interval.numerator.max(1))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
