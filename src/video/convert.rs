//! From the camera's own format to the working picture ([`I420`]: limited range, BT.709).
//!
//! Uncompressed YUV is what the frame says ([`super::frame::Codes`]); JPEG is full range BT.601
//! (JFIF 1.02, "Conversion to and from RGB") for the two subsamplings that cameras use, and goes by
//! way of RGB for others. What is not the recording's already changes matrix and range within its
//! planes ([`super::recolour`]). Runs on whichever thread asks; one converter a thread.

use turbojpeg::{Decompressor, Image, PixelFormat as JpegFormat, ScalingFactor, Subsamp, YuvImage};

use super::error::VideoError;
use super::frame::{Codes, Frame, PixelFormat};
use super::image::{I420, MAX_SIDE};
use super::recolour::{Recolour, split};
use super::reduce::{Layout, Ratio, Reducer, between};
use super::rgb;
use super::scale::down_to;

/// Converts frames; keeps its decompressor and its buffers between them.
#[derive(Default)]
pub struct Converter {
    jpeg: Option<Decompressor>,
    /// A decoded JPEG: RGB, or planes of 4:2:2.
    decoded: Vec<u8>,
    /// For JPEGs that are larger than what they are scaled to.
    reducer: Option<Reducer>,
    /// For the codes that came last.
    recolour: Option<Recolour>,
    /// What a JPEG's picture is scaled down to afterwards.
    largest: Option<(u32, u32)>,
}

impl Converter {
    /// A converter with nothing allocated yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A converter for pictures that are scaled into `width` x `height` afterwards: a larger JPEG is
    /// decoded at a half, a quarter or an eighth (of its blocks' eighths those that the decoder has
    /// vector code for: six eighths take it twice as long as all eight), or reduced before its
    /// colours are converted ([`super::reduce`]), never to less than it will be.
    pub fn down_to(width: u32, height: u32) -> Self {
        Self { largest: Some((width, height)), ..Self::default() }
    }

    /// Converts one frame; `out` takes the frame's size, or for a JPEG that is decoded smaller
    /// ([`Converter::down_to`]) that. On an error `out` is undefined, but whole.
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
        let (luma, half) = (out.y().len(), out.u().len());
        let recolour = recolour(&mut self.recolour, frame.codes);
        match (frame.format, recolour) {
            (PixelFormat::I420, None) => out.data.copy_from_slice(data),
            (PixelFormat::I420, Some(recolour)) => {
                let (y, chroma) = data.split_at(luma);
                let (u, v) = chroma.split_at(half);
                recolour.planar([y, u, v], out);
            }
            (PixelFormat::Nv12, None) => split_nv12(data, out),
            (PixelFormat::Nv12, Some(recolour)) => {
                let (y, uv) = data.split_at(luma);
                recolour.nv12(y, uv, out);
            }
            (PixelFormat::Yuyv, recolour) => {
                rgb::from_yuyv(data, out);
                if let Some(recolour) = recolour {
                    recolour.in_place(out);
                }
            }
            // RGB codes are full range whatever the frame says.
            (PixelFormat::Bgr24, _) => rgb::from_bgr::<3>(data, out),
            (PixelFormat::Mjpeg, _) => unreachable!("handled above"),
        }
        Ok(())
    }

    /// The same without copying planes that are what the encoder takes as they are: these are left
    /// in the frame, and `out` (of the frame's size then) has the others.
    pub fn prepare(&mut self, frame: &Frame, out: &mut I420) -> Result<Left, VideoError> {
        let (width, height) = (frame.width, frame.height);
        let whole = frame.data.len() >= Frame::raw_size(frame.format, width, height);
        let sized = (1..=MAX_SIDE).contains(&width) && (1..=MAX_SIDE).contains(&height);
        let as_it_is = frame.codes == Codes::RECORDED && whole && sized;
        match frame.format {
            PixelFormat::I420 if as_it_is => {
                out.resize(width, height);
                Ok(Left::All)
            }
            PixelFormat::Nv12 if as_it_is => {
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
        let factor = fraction((width, height), self.largest);
        jpeg.set_scaling_factor(factor).map_err(damaged)?;
        let header = header.scaled(factor);
        let planes = |pixels| YuvImage {
            pixels,
            width: header.width,
            align: 1,
            height: header.height,
            subsamp: header.subsamp,
        };
        let size = (header.width as u32, header.height as u32);
        let layout = match header.subsamp {
            Subsamp::Sub2x2 => Some(Layout::I420),
            Subsamp::Sub2x1 => Some(Layout::I422),
            _ => None,
        };
        let ratio = self.largest.and_then(|to| Ratio::of(size, to));
        if layout.is_none() || ratio.is_none() {
            out.resize(size.0, size.1);
        }
        match (layout, ratio) {
            (Some(layout), Some(ratio)) => {
                let high = if layout == Layout::I420 { size.1 / 2 } else { size.1 };
                let samples = header.width * (header.height + high as usize);
                self.decoded.resize(samples, 0);
                whole(jpeg.decompress_to_yuv(&frame.data, planes(&mut self.decoded[..])))?;
                let reducer = match &mut self.reducer {
                    Some(reducer) if reducer.is_of(ratio, layout, Codes::JFIF, size) => reducer,
                    other => other.insert(Reducer::new(ratio, layout, Codes::JFIF, size, 0)),
                };
                let (width, height) = reducer.size();
                out.resize(width, height);
                reducer.apply(&self.decoded, &mut out.data).expect("it was decoded whole");
                return Ok(());
            }
            (Some(Layout::I420), None) => {
                whole(jpeg.decompress_to_yuv(&frame.data, planes(&mut out.data[..])))?;
            }
            (Some(_), None) => {
                let row = out.chroma_width() as usize;
                let (luma, chroma) = (out.y().len(), row * header.height);
                self.decoded.resize(luma + 2 * chroma, 0);
                whole(jpeg.decompress_to_yuv(&frame.data, planes(&mut self.decoded[..])))?;
                let (y, chromas) = self.decoded.split_at(luma);
                let (to_y, to_u, to_v) = out.planes_mut();
                to_y.copy_from_slice(y);
                for (bytes, to) in chromas.chunks_exact(chroma).zip([to_u, to_v]) {
                    halve_rows(bytes, to, row);
                }
            }
            (None, _) => {
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
                rgb::from_bgr::<4>(&self.decoded, out);
                return Ok(());
            }
        }
        if let Some(recolour) = recolour(&mut self.recolour, Codes::JFIF) {
            recolour.in_place(out);
        }
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

/// The conversion from these codes, made anew only when they change.
fn recolour(kept: &mut Option<Recolour>, codes: Codes) -> Option<&mut Recolour> {
    if kept.as_ref().map_or(Codes::RECORDED, Recolour::from) != codes {
        *kept = Recolour::new(codes);
    }
    kept.as_mut()
}

/// The smallest size of a JPEG that a picture of `largest` can be made of without scaling up.
fn fraction((width, height): (u32, u32), largest: Option<(u32, u32)>) -> ScalingFactor {
    let Some((most_wide, most_high)) = largest else { return ScalingFactor::ONE };
    let (to_width, to_height) = down_to(width, height, most_wide, most_high);
    [1, 2, 4]
        .into_iter()
        .map(|n| ScalingFactor::new(n, 8))
        .find(|factor| {
            factor.scale(width as usize) >= to_width as usize
                && factor.scale(height as usize) >= to_height as usize
        })
        .unwrap_or(ScalingFactor::ONE)
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
        between(above, below, to);
    }
}

fn damaged(error: turbojpeg::Error) -> VideoError {
    VideoError::Jpeg(error.to_string())
}

fn split_nv12(data: &[u8], out: &mut I420) {
    let (y, _, _) = out.planes_mut();
    let (luma, chroma) = data.split_at(y.len());
    y.copy_from_slice(luma);
    split_chroma(chroma, out);
}

fn split_chroma(chroma: &[u8], out: &mut I420) {
    let (_, u, v) = out.planes_mut();
    split(chroma, u, v);
}

#[cfg(test)]
mod tests;
