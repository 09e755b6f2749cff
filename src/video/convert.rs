//! From the camera's own format to the working picture ([`I420`]: limited range, BT.709).
//!
//! Uncompressed YUV is taken as BT.709 already; only its range is brought to limited. JPEG is full
//! range BT.601 (JFIF 1.02, "Conversion to and from RGB"), so its matrix changes too: within the
//! planes as the JPEG has them ([`super::recolour`]) for the two subsamplings that cameras use, by
//! way of RGB for others. Runs on whichever thread asks; one converter a thread.

use turbojpeg::{Decompressor, Image, PixelFormat as JpegFormat, Subsamp, YuvImage};
use yuv::{
    BufferStoreMut, YuvConversionMode, YuvPackedImage, YuvPlanarImageMut, YuvRange,
    YuvStandardMatrix,
};

use super::error::VideoError;
use super::frame::{ColorRange, Frame, PixelFormat};
use super::image::{I420, MAX_SIDE};
use super::recolour::jfif_to_bt709;

/// Converts frames; keeps its decompressor and its buffers between them.
#[derive(Default)]
pub struct Converter {
    jpeg: Option<Decompressor>,
    /// A decoded JPEG: RGB, or planes of 4:2:2.
    decoded: Vec<u8>,
    offsets: Vec<i16>,
}

impl Converter {
    /// A converter with nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts one frame; `out` takes the frame's size. On an error `out` is undefined, but
    /// whole.
    pub fn to_i420(&mut self, frame: &Frame, out: &mut I420) -> Result<(), VideoError> {
        let (width, height) = (frame.width, frame.height);
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(VideoError::Size { width, height });
        }
        if frame.format == PixelFormat::Mjpeg {
            return self.jpeg_to_i420(frame, out);
        }
        let expected = Frame::raw_size(frame.format, width, height);
        let got = frame.data.len();
        if got < expected || (frame.format == PixelFormat::Yuyv && width % 2 != 0) {
            return Err(VideoError::Length { got, expected });
        }
        let data = &frame.data[..expected];
        out.resize(width, height);
        match frame.format {
            PixelFormat::I420 => out.data.copy_from_slice(data),
            PixelFormat::Nv12 => split_nv12(data, out),
            PixelFormat::Yuyv => {
                let packed = YuvPackedImage { yuy: data, yuy_stride: width * 2, width, height };
                yuv::yuyv422_to_yuv420(&mut planar(out), &packed).map_err(refused)?;
            }
            PixelFormat::Bgr24 => {
                // RGB codes are full range whatever the frame says; the range is of the result.
                return bgr_to_i420(data, out, 3);
            }
            PixelFormat::Mjpeg => unreachable!("handled above"),
        }
        if frame.range == ColorRange::Full {
            to_limited(out);
        }
        Ok(())
    }

    /// The same without copying planes that are what the encoder takes as they are: these are left
    /// in the frame, and `out` (of the frame's size then) has the others.
    pub fn prepare(&mut self, frame: &Frame, out: &mut I420) -> Result<Left, VideoError> {
        let (width, height) = (frame.width, frame.height);
        let whole = frame.data.len() >= Frame::raw_size(frame.format, width, height);
        let sized = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        let limited = frame.range == ColorRange::Limited && whole && sized;
        match frame.format {
            PixelFormat::I420 if limited => {
                out.resize(width, height);
                Ok(Left::All)
            }
            PixelFormat::Nv12 if limited => {
                out.resize(width, height);
                let luma = width as usize * height as usize;
                let chroma = 2 * out.u().len();
                split_chroma(&frame.data[luma..][..chroma], out);
                Ok(Left::Luma)
            }
            _ => self.to_i420(frame, out).map(|()| Left::Nothing),
        }
    }

    fn jpeg_to_i420(&mut self, frame: &Frame, out: &mut I420) -> Result<(), VideoError> {
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => {
                let mut new = Decompressor::new().map_err(damaged)?;
                new.set_fast_upsample(true).map_err(damaged)?;
                // A camera's JPEG is baseline; a progressive one with thousands of scans is an
                // attack by whoever made the file.
                new.set_scan_limit(100).map_err(damaged)?;
                none.insert(new)
            }
        };
        let header = jpeg.read_header(&frame.data).map_err(damaged)?;
        let (width, height) = (frame.width, frame.height);
        if (header.width, header.height) != (width as usize, height as usize) {
            return Err(VideoError::JpegSize {
                width: u32::try_from(header.width).unwrap_or(u32::MAX),
                height: u32::try_from(header.height).unwrap_or(u32::MAX),
                expected_width: width,
                expected_height: height,
            });
        }
        out.resize(width, height);
        let planes = |pixels| YuvImage {
            pixels,
            width: header.width,
            align: 1,
            height: header.height,
            subsamp: header.subsamp,
        };
        match header.subsamp {
            Subsamp::Sub2x2 => {
                whole(jpeg.decompress_to_yuv(&frame.data, planes(&mut out.data[..])))?;
            }
            Subsamp::Sub2x1 => {
                let (luma, half) = (out.y().len(), out.chroma_width() as usize * header.height);
                self.decoded.resize(luma + 2 * half, 0);
                whole(jpeg.decompress_to_yuv(&frame.data, planes(&mut self.decoded[..])))?;
                let (y, chroma) = self.decoded.split_at(luma);
                let (u, v) = chroma.split_at(half);
                let row = out.chroma_width() as usize;
                let (to_y, to_u, to_v) = out.planes_mut();
                to_y.copy_from_slice(y);
                halve_rows(u, to_u, row);
                halve_rows(v, to_v, row);
            }
            _ => {
                let pitch = header.width * 4;
                self.decoded.resize(pitch * header.height, 0);
                let rgb = Image {
                    pixels: &mut self.decoded[..],
                    width: header.width,
                    pitch,
                    height: header.height,
                    format: JpegFormat::BGRX,
                };
                whole(jpeg.decompress(&frame.data, rgb))?;
                return bgr_to_i420(&self.decoded, out, 4);
            }
        }
        jfif_to_bt709(out, &mut self.offsets);
        Ok(())
    }
}

/// What [`Converter::prepare`] has left in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: the picture is in `out`.
    Nothing,
    /// Luma; chroma is in `out`.
    Luma,
    /// All three planes.
    All,
}

impl Left {
    /// The picture's planes (Y, U, V) after [`Converter::prepare`] with this frame and `out`.
    pub fn planes<'a>(self, frame: &'a Frame, out: &'a I420) -> (&'a [u8], &'a [u8], &'a [u8]) {
        let (luma, chroma) = (out.y().len(), out.u().len());
        match self {
            Self::Nothing => (out.y(), out.u(), out.v()),
            Self::Luma => (&frame.data[..luma], out.u(), out.v()),
            Self::All => {
                let (y, rest) = frame.data.split_at(luma);
                (y, &rest[..chroma], &rest[chroma..2 * chroma])
            }
        }
    }
}

/// Some cameras pad between markers; such a picture is whole.
fn whole(result: Result<(), turbojpeg::Error>) -> Result<(), VideoError> {
    match result {
        Err(turbojpeg::Error::TurboJpegError(text)) if text.contains("extraneous bytes") => Ok(()),
        result => result.map_err(damaged),
    }
}

/// Each two rows to one, their mean; a last single row stays.
fn halve_rows(from: &[u8], to: &mut [u8], row: usize) {
    for (pair, to) in from.chunks(2 * row).zip(to.chunks_exact_mut(row)) {
        let (above, below) = pair.split_at(row);
        let below = if below.is_empty() { above } else { below };
        for ((a, b), to) in above.iter().zip(below).zip(to) {
            *to = (u16::from(*a) + u16::from(*b)).div_ceil(2) as u8;
        }
    }
}

fn damaged(error: turbojpeg::Error) -> VideoError {
    VideoError::Jpeg(error.to_string())
}

fn refused(error: yuv::YuvError) -> VideoError {
    VideoError::Convert(error.to_string())
}

/// The picture's planes as the `yuv` crate wants them.
fn planar(image: &mut I420) -> YuvPlanarImageMut<'_, u8> {
    let (width, height, chroma) = (image.width, image.height, image.chroma_width());
    let (y, u, v) = image.planes_mut();
    YuvPlanarImageMut {
        y_plane: BufferStoreMut::Borrowed(y),
        y_stride: width,
        u_plane: BufferStoreMut::Borrowed(u),
        u_stride: chroma,
        v_plane: BufferStoreMut::Borrowed(v),
        v_stride: chroma,
        width,
        height,
    }
}

fn bgr_to_i420(data: &[u8], out: &mut I420, bytes: u32) -> Result<(), VideoError> {
    let stride = out.width * bytes;
    let convert = if bytes == 4 { yuv::bgra_to_yuv420 } else { yuv::bgr_to_yuv420 };
    convert(
        &mut planar(out),
        data,
        stride,
        YuvRange::Limited,
        YuvStandardMatrix::Bt709,
        YuvConversionMode::Balanced,
    )
    .map_err(refused)
}

fn split_nv12(data: &[u8], out: &mut I420) {
    let (y, _, _) = out.planes_mut();
    let (luma, chroma) = data.split_at(y.len());
    y.copy_from_slice(luma);
    split_chroma(chroma, out);
}

fn split_chroma(chroma: &[u8], out: &mut I420) {
    let (_, u, v) = out.planes_mut();
    for ((pair, u), v) in chroma.chunks_exact(2).zip(u).zip(v) {
        *u = pair[0];
        *v = pair[1];
    }
}

/// Full-range codes to limited ones (BT.709, 4.6): 219/255 of luma, 224/255 of chroma.
fn to_limited(image: &mut I420) {
    let luma: [u8; 256] = std::array::from_fn(|code| (16 + (code * 219 + 127) / 255) as u8);
    let chroma: [u8; 256] =
        std::array::from_fn(|code| (16 + (code * 224 + 112) / 255).min(240) as u8);
    let (y, u, v) = image.planes_mut();
    for code in y {
        *code = luma[usize::from(*code)];
    }
    for code in u.iter_mut().chain(v) {
        *code = chroma[usize::from(*code)];
    }
}

#[cfg(test)]
mod tests;
