//! What a camera delivers: one picture in the camera's own format, never copied on its way.

use std::sync::Arc;

use crate::units::Micros;

/// Layout of a picture's bytes. Strides equal widths; there is no padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// Planar 4:2:0: Y, then U, then V at half width and height (rounded up).
    I420,
    /// Y, then interleaved UV at half height.
    Nv12,
    /// Packed 4:2:2, Y0 U Y1 V.
    Yuyv,
    /// One JPEG image of any subsampling.
    Mjpeg,
    /// Packed B, G, R, 8 bits each (what some macOS and Windows cameras give).
    Bgr24,
}

/// How luma codes map to black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// 16 to 235, what H.264 and VP8 carry.
    Limited,
    /// 0 to 255, what JPEG carries.
    Full,
}

/// One captured picture. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Layout of `data`.
    pub format: PixelFormat,
    /// Code range of `data` (for MJPEG always full).
    pub range: ColorRange,
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// When light fell on the sensor, as well as the driver tells.
    pub captured: Micros,
    /// Counts the device's frames from 0; a hole means that the device itself lost some.
    pub number: u64,
    /// The bytes, in `format`.
    pub data: Arc<Vec<u8>>,
}

impl Frame {
    /// Bytes that a picture of this size takes in an uncompressed format; 0 for MJPEG.
    pub fn raw_size(format: PixelFormat, width: u32, height: u32) -> usize {
        let (w, h) = (width as usize, height as usize);
        match format {
            PixelFormat::I420 | PixelFormat::Nv12 => w * h + 2 * w.div_ceil(2) * h.div_ceil(2),
            PixelFormat::Yuyv => w * h * 2,
            PixelFormat::Bgr24 => w * h * 3,
            PixelFormat::Mjpeg => 0,
        }
    }
}
