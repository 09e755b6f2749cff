//! A camera's picture format, asked for and answered, with what the driver says of its colours.

use std::io;

use super::device::{Device, FourCc};
use super::sys;
use crate::video::frame::{Codes, ColorRange, Frame, Matrix, PixelFormat};

/// What the camera is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Got {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Layout.
    pub fourcc: FourCc,
    /// Bytes from one row of luma to the next.
    pub stride: u32,
    /// What the driver says of the colours.
    pub told: Told,
}

/// The driver's numbers (enum v4l2_colorspace, v4l2_ycbcr_encoding, v4l2_quantization); 0 for
/// "the usual".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub colorspace: u32,
    pub ycbcr_enc: u32,
    pub quantization: u32,
}

impl Told {
    /// What the codes of a picture mean. Where the driver leaves the choice, the defaults of
    /// videodev2.h hold (V4L2_MAP_YCBCR_ENC_DEFAULT, V4L2_MAP_QUANTIZATION_DEFAULT): BT.601 of
    /// limited range for all but the colour spaces named here. A JPEG's are always JFIF's.
    pub fn codes(self, format: PixelFormat) -> Codes {
        if matches!(format, PixelFormat::Mjpeg | PixelFormat::Bgr24) {
            return Codes::JFIF;
        }
        let matrix = match (self.ycbcr_enc, self.colorspace) {
            // V4L2_YCBCR_ENC_601, _XV601, _SYCC
            (1 | 3 | 5, _) => Matrix::Bt601,
            // _709, _XV709
            (2 | 4, _) => Matrix::Bt709,
            // _BT2020, _BT2020_CONST_LUM
            (6 | 7, _) => Matrix::Bt2020,
            // _SMPTE240M
            (8, _) => Matrix::Smpte240m,
            // V4L2_COLORSPACE_REC709, _DCI_P3
            (_, 3 | 12) => Matrix::Bt709,
            (_, 10) => Matrix::Bt2020,
            (_, 2) => Matrix::Smpte240m,
            _ => Matrix::Bt601,
        };
        let range = match (self.quantization, self.colorspace) {
            // V4L2_QUANTIZATION_FULL_RANGE; V4L2_COLORSPACE_JPEG
            (1, _) | (0, 7) => ColorRange::Full,
            _ => ColorRange::Limited,
        };
        Codes { matrix, range }
    }
}

/// Asks for a size and a layout; the driver answers with what it gives instead.
pub fn set(device: &Device, width: u32, height: u32, fourcc: FourCc) -> io::Result<Got> {
    let (fourcc, pix) = device.set_format(width, height, fourcc)?;
    // Behind `priv` there is nothing where the driver did not know of it.
    let extended = pix.priv_ == sys::PIX_FMT_PRIV_MAGIC;
    let only = |number: u32| if extended { number } else { 0 };
    Ok(Got {
        width: pix.width,
        height: pix.height,
        fourcc,
        stride: pix.bytesperline,
        told: Told {
            colorspace: pix.colorspace,
            ycbcr_enc: only(pix.ycbcr_enc),
            quantization: only(pix.quantization),
        },
    })
}

/// Writes the bytes of one picture without what stands between its rows over what is in `out`;
/// `None` when it is cut short. `stride` is that of luma; planes of chroma have theirs in proportion
/// (V4L2's planar formats).
pub fn packed(
    format: PixelFormat,
    (width, height): (u32, u32),
    stride: u32,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let row = match format {
        PixelFormat::Yuyv => width as usize * 2,
        PixelFormat::Bgr24 => width as usize * 3,
        _ => width as usize,
    };
    let size = Frame::raw_size(format, width, height);
    let (stride, height) = (stride as usize, height as usize);
    out.clear();
    if stride <= row {
        out.extend_from_slice(bytes.get(..size)?);
        return Some(());
    }
    // Rows, their length, and the distance from one to the next, plane by plane.
    let half = height.div_ceil(2);
    let planes = match format {
        PixelFormat::I420 => {
            vec![(height, row, stride), (2 * half, row.div_ceil(2), stride.div_ceil(2))]
        }
        PixelFormat::Nv12 => vec![(height, row, stride), (half, row.next_multiple_of(2), stride)],
        _ => vec![(height, row, stride)],
    };
    out.reserve(size);
    let mut at = 0;
    for (rows, row, stride) in planes {
        for _ in 0..rows {
            out.extend_from_slice(bytes.get(at..at + row)?);
            at += stride;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(matrix: Matrix, range: ColorRange) -> Codes {
        Codes { matrix, range }
    }

    #[test]
    fn a_driver_that_says_nothing_means_bt601_unless_its_colour_space_is_one_of_hdtvs() {
        use {ColorRange::*, Matrix::*};
        // enum v4l2_colorspace: default, SMPTE170M, SMPTE240M, REC709, 470M, 470BG, JPEG, SRGB,
        // OPRGB, BT2020, DCI_P3.
        for (colorspace, matrix, range) in [
            (0, Bt601, Limited),
            (1, Bt601, Limited),
            (2, Smpte240m, Limited),
            (3, Bt709, Limited),
            (5, Bt601, Limited),
            (6, Bt601, Limited),
            (7, Bt601, Full),
            (8, Bt601, Limited),
            (9, Bt601, Limited),
            (10, Bt2020, Limited),
            (12, Bt709, Limited),
            (4_000_000_000, Bt601, Limited),
        ] {
            let told = Told { colorspace, ..Told::default() };
            for format in [PixelFormat::Yuyv, PixelFormat::Nv12, PixelFormat::I420] {
                assert_eq!(told.codes(format), codes(matrix, range), "{colorspace}");
            }
        }
    }

    #[test]
    fn what_a_driver_says_counts_and_a_jpeg_is_a_jpeg() {
        use {ColorRange::*, Matrix::*};
        for (ycbcr_enc, quantization, matrix, range) in [
            (1, 0, Bt601, Limited),
            (2, 0, Bt709, Limited),
            (2, 1, Bt709, Full),
            (3, 2, Bt601, Limited),
            (4, 1, Bt709, Full),
            (6, 2, Bt2020, Limited),
            (8, 0, Smpte240m, Limited),
        ] {
            for colorspace in [1, 3, 8] {
                let told = Told { colorspace, ycbcr_enc, quantization };
                assert_eq!(told.codes(PixelFormat::Yuyv), codes(matrix, range), "{told:?}");
                assert_eq!(told.codes(PixelFormat::Mjpeg), Codes::JFIF);
            }
        }
        // JPEG's colour space with a limited range all the same.
        let told = Told { colorspace: 7, ycbcr_enc: 0, quantization: 2 };
        assert_eq!(told.codes(PixelFormat::Yuyv), Codes::UVC);
    }

    #[test]
    fn padding_behind_the_rows_is_left_out_of_every_layout() {
        let (width, height, stride) = (6usize, 4usize, 16usize);
        // Each byte of the picture tells its row; padding is 99.
        let rows = |from: u8, count: usize, row: usize, stride: usize| -> Vec<u8> {
            (0..count)
                .flat_map(|n| {
                    let mut bytes = vec![99; stride];
                    bytes[..row].fill(from + n as u8);
                    bytes
                })
                .collect()
        };
        let plain = |from: u8, count: usize, row: usize| rows(from, count, row, row);
        for (format, padded, wanted) in [
            (
                PixelFormat::Nv12,
                [rows(0, 4, 6, stride), rows(50, 2, 6, stride)].concat(),
                [plain(0, 4, 6), plain(50, 2, 6)].concat(),
            ),
            (
                PixelFormat::I420,
                [rows(0, 4, 6, stride), rows(50, 4, 3, stride / 2)].concat(),
                [plain(0, 4, 6), plain(50, 4, 3)].concat(),
            ),
            (PixelFormat::Yuyv, rows(0, 4, 12, stride), plain(0, 4, 12)),
        ] {
            let pack = |stride: usize, bytes: &[u8]| {
                let size = (width as u32, height as u32);
                let mut out = vec![77; 5];
                packed(format, size, stride as u32, bytes, &mut out).map(|()| out)
            };
            assert_eq!(pack(stride, &padded).as_deref(), Some(&wanted[..]), "{format:?}");
            // The last row's padding may be missing, a byte of its picture may not.
            let last = padded.iter().rposition(|&b| b != 99).expect("there is a picture");
            assert!(pack(stride, &padded[..=last]).is_some(), "{format:?}");
            assert_eq!(pack(stride, &padded[..last]), None, "{format:?}");
            // Drivers that leave the stride 0 do not pad.
            assert_eq!(pack(0, &wanted).as_deref(), Some(&wanted[..]), "{format:?}");
            assert_eq!(pack(0, &wanted[1..]), None);
        }
    }
}
