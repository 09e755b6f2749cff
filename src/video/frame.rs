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

/// How much of red, green and blue makes luma (H.273, table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// BT.601, as JPEG, standard definition and nearly all webcams.
    Bt601,
    /// BT.709, as the recording.
    Bt709,
    /// SMPTE 240M, an early HDTV.
    Smpte240m,
    /// BT.2020, constant luminance apart.
    Bt2020,
}

impl Matrix {
    /// The shares of red and blue (H.273's K_R and K_B).
    pub const fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Smpte240m => (0.212, 0.087),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// What a picture's codes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codes {
    /// How they are made of red, green and blue.
    pub matrix: Matrix,
    /// Where black and white are.
    pub range: ColorRange,
}

impl Codes {
    /// What the recording and the live stream carry: BT.709, limited range.
    pub const RECORDED: Self = Self { matrix: Matrix::Bt709, range: ColorRange::Limited };
    /// What a JPEG holds, always (JFIF 1.02, "Conversion to and from RGB").
    pub const JFIF: Self = Self { matrix: Matrix::Bt601, range: ColorRange::Full };
    /// What a USB camera sends that says nothing about it (UVC 1.5, 3.9.2.6: SMPTE 170M).
    pub const UVC: Self = Self { matrix: Matrix::Bt601, range: ColorRange::Limited };
}

/// One captured picture. Clones share the bytes.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Layout of `data`.
    pub format: PixelFormat,
    /// What the codes of `data` mean (MJPEG's are JFIF's and BGR's full, whatever this says).
    pub codes: Codes,
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
