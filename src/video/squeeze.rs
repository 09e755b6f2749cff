//! A picture made small for waiting: the working picture ([`I420`]) as a JPEG of quality 95, some
//! 300 to 600 KB instead of 3 MB at 1080p. For a recorder under pressure, in place of losing it.
//!
//! The JPEG holds the picture's own codes (limited range, BT.709) without any conversion, so it is
//! no picture for other readers and what comes back differs by the quantiser's steps alone. Runs
//! on whichever thread asks; one of each kind a thread.

use turbojpeg::{Compressor, Decompressor, Subsamp, YuvImage};

use super::convert::Converter;
use super::error::VideoError;
use super::frame::{Frame, PixelFormat};
use super::image::{I420, MAX_SIDE};

/// Steps of one to three codes: below the noise of any webcam, a sixth of the bytes.
const QUALITY: i32 = 95;

/// Squeezes frames of any uncompressed format.
#[derive(Default)]
pub struct Squeezer {
    jpeg: Option<Compressor>,
    converter: Converter,
    picture: I420,
}

impl Squeezer {
    /// Whether that frame gets smaller by it: JPEG already is, and odd sizes (no camera has them)
    /// would not lie in memory as the JPEG library expects.
    pub fn fits(frame: &Frame) -> bool {
        frame.format != PixelFormat::Mjpeg
            && frame.width.is_multiple_of(2)
            && frame.height.is_multiple_of(2)
    }

    /// The frame's picture as a squeezed one.
    pub fn squeeze(&mut self, frame: &Frame) -> Result<Vec<u8>, VideoError> {
        self.converter.to_i420(frame, &mut self.picture)?;
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => {
                let mut new = Compressor::new().map_err(refused)?;
                new.set_quality(QUALITY).map_err(refused)?;
                none.insert(new)
            }
        };
        let I420 { width, height, data } = &self.picture;
        let image = YuvImage {
            pixels: &data[..],
            width: *width as usize,
            align: 1,
            height: *height as usize,
            subsamp: Subsamp::Sub2x2,
        };
        jpeg.compress_yuv_to_vec(image).map_err(refused)
    }
}

/// Brings squeezed pictures back.
#[derive(Default)]
pub struct Unsqueezer {
    jpeg: Option<Decompressor>,
}

impl Unsqueezer {
    /// The picture of [`Squeezer::squeeze`]; `out` takes its size.
    pub fn expand(&mut self, squeezed: &[u8], out: &mut I420) -> Result<(), VideoError> {
        let jpeg = match &mut self.jpeg {
            Some(jpeg) => jpeg,
            none => none.insert(Decompressor::new().map_err(damaged)?),
        };
        let header = jpeg.read_header(squeezed).map_err(damaged)?;
        let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=MAX_SIDE).contains(n));
        // The library writes as much as the JPEG says, so that must be what there is room for.
        let (Some(width), Some(height), Subsamp::Sub2x2) =
            (side(header.width), side(header.height), header.subsamp)
        else {
            return Err(VideoError::Jpeg("it is not what was squeezed".into()));
        };
        out.resize(width, height);
        let image = YuvImage {
            pixels: &mut out.data[..],
            width: header.width,
            align: 1,
            height: header.height,
            subsamp: Subsamp::Sub2x2,
        };
        jpeg.decompress_to_yuv(squeezed, image).map_err(damaged)
    }
}

fn refused(error: turbojpeg::Error) -> VideoError {
    VideoError::Convert(error.to_string())
}

fn damaged(error: turbojpeg::Error) -> VideoError {
    VideoError::Jpeg(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::units::Micros;
    use crate::video::frame::Codes;
    use crate::video::image::luma_psnr;

    /// A gradient with texture, as NV12.
    fn frame(width: u32, height: u32) -> Frame {
        let (w, h) = (width as usize, height as usize);
        let luma = (0..w * h).map(|i| (40 + (i % w) * 150 / w + ((i * 7919) >> 5) % 9) as u8);
        let chroma = (0..w * h / 2).map(|i| (100 + (i % 7) * 8) as u8);
        Frame {
            format: PixelFormat::Nv12,
            codes: Codes::RECORDED,
            width,
            height,
            captured: Micros(0),
            number: 0,
            data: Arc::new(luma.chain(chroma).collect()),
        }
    }

    #[test]
    fn a_squeezed_picture_is_far_smaller_and_comes_back_almost_as_it_was() {
        // 180 lines are no whole number of JPEG blocks.
        let frame = frame(320, 180);
        let squeezed = Squeezer::default().squeeze(&frame).expect("a good picture");
        assert!(squeezed.len() * 2 < frame.data.len(), "{} bytes", squeezed.len());
        let (mut before, mut after) = (I420::default(), I420::default());
        Converter::new().to_i420(&frame, &mut before).expect("a good picture");
        Unsqueezer::default().expand(&squeezed, &mut after).expect("what was squeezed");
        assert_eq!((after.width, after.height), (320, 180));
        let psnr = luma_psnr(&before, &after).expect("of one size");
        assert!(psnr > 42.0, "{psnr} dB");
    }

    #[test]
    fn what_was_not_squeezed_here_is_an_error_and_not_written_anywhere() {
        let mut out = I420::black(16, 16);
        let mut unsqueezer = Unsqueezer::default();
        assert!(unsqueezer.expand(b"no JPEG", &mut out).is_err());
        let pixels = vec![0u8; 16 * 16 * 3];
        let image = turbojpeg::Image {
            pixels: &pixels[..],
            width: 16,
            pitch: 48,
            height: 16,
            format: turbojpeg::PixelFormat::RGB,
        };
        let whole = turbojpeg::compress(image, 90, Subsamp::None).expect("a picture in memory");
        assert!(unsqueezer.expand(&whole, &mut out).is_err());
        assert_eq!(out, I420::black(16, 16));
    }
}
