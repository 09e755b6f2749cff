//! H.264 for the recording: what every encoder offers, and which ones there are.
//!
//! An encoder takes a picture now and gives its packet back later, so that a hardware encoder
//! with a pipeline of its own fits as well as OpenH264, which answers at once. One thread owns an
//! encoder; it may be made on another. No encoder drops a picture: n in, n out, in order.

mod bits;
mod openh264;
pub mod sps;

pub use openh264::OpenH264;

/// A 4:2:0 picture of 8 bits, limited range, borrowed for the time of a call.
#[derive(Clone, Copy)]
pub struct Planes<'a> {
    /// Luma, `stride_y` bytes a row.
    pub y: &'a [u8],
    /// Cb at half width and height, `stride_uv` bytes a row.
    pub u: &'a [u8],
    /// Cr, as `u`.
    pub v: &'a [u8],
    /// Bytes from one luma row to the next.
    pub stride_y: usize,
    /// Bytes from one chroma row to the next.
    pub stride_uv: usize,
}

/// What the stream is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoParameters {
    /// Width in pixels, even.
    pub width: u32,
    /// Height in pixels, even.
    pub height: u32,
    /// Frames per second, constant.
    pub fps: u32,
    /// Target bitrate in bit/s.
    pub bitrate_bps: u32,
    /// Distance between IDR pictures, in frames.
    pub gop: u32,
}

/// Bitrate of 1080p30, in bit/s: the middle of PRD 4.3.1's 15 to 20 Mbit/s.
const BITRATE_1080P: u64 = 18_000_000;
/// Least bitrate: below it the smallest pictures would show blocks for no gain in disk space.
const BITRATE_FLOOR: u64 = 2_000_000;

impl VideoParameters {
    /// Parameters of PRD 4.3.1 for a picture size: 30 fps, an IDR picture each second, and 18
    /// Mbit/s at 1080p. Smaller pictures get `(pixels / 1080p pixels)^0.75` of that (small ones
    /// need more bits a pixel: 9.8 Mbit/s at 720p, 3.5 at 640x360), never less than 2 nor more
    /// than 18 Mbit/s.
    pub fn for_size(width: u32, height: u32) -> Self {
        let share = f64::from(width) * f64::from(height) / (1920.0 * 1080.0);
        let bitrate = (BITRATE_1080P as f64 * share.powf(0.75)) as u64;
        Self {
            width,
            height,
            fps: crate::units::RECORDING_FPS,
            bitrate_bps: bitrate.clamp(BITRATE_FLOOR, BITRATE_1080P) as u32,
            gop: crate::units::RECORDING_FPS,
        }
    }

    fn check(&self) -> Result<(), EncoderError> {
        let Self { width, height, .. } = *self;
        let even = |n: u32| n.is_multiple_of(2);
        let macroblocks = u64::from(width.div_ceil(16)) * u64::from(height.div_ceil(16));
        // OpenH264 takes nothing smaller than one macroblock.
        let fits = width >= 16 && height >= 16 && macroblocks <= LEVEL_4_1_MACROBLOCKS;
        // Level 4.1 also bounds either side to the root of eight times the picture (A.3.1 f, g).
        let narrow = |n: u32| u64::from(n.div_ceil(16)).pow(2) <= 8 * LEVEL_4_1_MACROBLOCKS;
        if !even(width) || !even(height) || !fits || !narrow(width) || !narrow(height) {
            return Err(EncoderError::Size { width, height });
        }
        if self.fps == 0 || self.fps > 240 || self.gop == 0 || self.bitrate_bps < 1_000 {
            return Err(EncoderError::Rate(*self));
        }
        Ok(())
    }
}

/// MaxFS of level 4.1 (ITU-T H.264, table A-1): 1920x1080 has 8,160 macroblocks.
const LEVEL_4_1_MACROBLOCKS: u64 = 8_192;

/// One encoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedSample {
    /// What [`VideoEncoder::submit`] was given with the picture.
    pub pts: i64,
    /// An IDR picture: decoding can begin here.
    pub keyframe: bool,
    /// NAL units, each behind its length in 4 bytes, big-endian (ISO 14496-15, 5.3.3). SPS, PPS
    /// and access unit delimiters are left out; [`VideoEncoder::parameter_sets`] has the former.
    pub data: Vec<u8>,
}

/// How much work the encoder puts into a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// The least, for machines that do not keep up.
    Low,
    /// Better decisions where that is affordable.
    Medium,
}

/// Why an encoder does not start or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncoderError {
    /// No encoder of that name in this build.
    #[error("there is no H.264 encoder '{name}' here; try --encoder auto, or one of: {available}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        available: String,
    },
    /// Level 4.1 has no room for such a picture, or it is odd.
    #[error(
        "{width}x{height} cannot be recorded as H.264 level 4.1; try an even size up to 1920x1080"
    )]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Rates that mean nothing.
    #[error("cannot encode at these rates: {0:?}; try 30 fps, an IDR each 30 frames, 18 Mbit/s")]
    Rate(VideoParameters),
    /// The encoder could not be started.
    #[error("the encoder {name} did not start (code {code}); try a smaller picture or --encoder")]
    Start {
        /// Encoder.
        name: &'static str,
        /// Its own code.
        code: i32,
    },
    /// A picture whose planes are shorter than its size says.
    #[error("a picture's planes are too short for {width}x{height}; check the camera's format")]
    Picture {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The encoder gave no packet for a picture.
    #[error("the encoder {name} failed on picture {pts} (code {code}); try another --encoder")]
    Encode {
        /// Encoder.
        name: &'static str,
        /// The picture.
        pts: i64,
        /// Its own code.
        code: i32,
    },
    /// What came out is not the stream that was asked for.
    #[error("the encoder {name} gave a stream that cannot be stored ({what}); try another one")]
    Stream {
        /// Encoder.
        name: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// An H.264 encoder: High profile, level 4.1, no B-frames, closed GOPs, BT.709 limited range.
pub trait VideoEncoder: Send {
    /// What the person may call it: the value of `--encoder`.
    fn name(&self) -> &str;

    /// Gives it a picture; `pts` counts frames and rises. May take as long as an encode.
    fn submit(&mut self, picture: Planes<'_>, pts: i64) -> Result<(), EncoderError>;

    /// The next finished picture, in the order of submission.
    fn poll(&mut self) -> Option<EncodedSample>;

    /// No more pictures will come: afterwards `poll` gives all that is left.
    fn finish(&mut self) -> Result<(), EncoderError>;

    /// SPS and PPS (NAL units without start code or length), from the first finished picture on,
    /// unchanged for the whole stream.
    fn parameter_sets(&self) -> Option<(Vec<u8>, Vec<u8>)>;

    /// More or less work from the next picture on.
    fn set_effort(&mut self, effort: Effort);
}

/// Names that [`open`] takes, the best first.
pub fn available() -> Vec<&'static str> {
    vec![OpenH264::NAME]
}

/// Starts an encoder: the named one, or (`None`, `auto`) the best there is; one in software takes
/// as many as `threads` threads.
pub fn open(
    name: Option<&str>,
    parameters: &VideoParameters,
    threads: u32,
) -> Result<Box<dyn VideoEncoder>, EncoderError> {
    match name {
        None | Some("auto") | Some(OpenH264::NAME) => {
            Ok(Box::new(OpenH264::with_threads(parameters, threads)?))
        }
        Some(other) => {
            Err(EncoderError::Unknown { name: other.to_owned(), available: available().join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bitrate_follows_the_size_between_its_bounds() {
        let kbps = |w, h| VideoParameters::for_size(w, h).bitrate_bps / 1_000;
        assert_eq!(kbps(1920, 1080), 18_000);
        assert_eq!(kbps(1080, 1920), 18_000);
        assert_eq!(kbps(1280, 720), 9_797);
        assert_eq!(kbps(640, 360), 3_464);
        assert_eq!(kbps(160, 120), 2_000);
        assert_eq!(kbps(3840, 2160), 18_000);
    }

    #[test]
    fn a_size_that_level_4_1_cannot_hold_is_refused_with_advice() {
        for (w, h) in [(3840, 2160), (1921, 1080), (0, 0), (8, 8), (8192, 16), (2048, 1024)] {
            let error =
                open(None, &VideoParameters::for_size(w, h), 2).err().map(|e| e.to_string());
            let fits = (w, h) == (2048, 1024);
            assert_eq!(error.is_none(), fits, "{w}x{h}");
            assert!(error.is_none_or(|e| e.contains("try an even size")));
        }
    }

    #[test]
    fn an_unknown_encoder_is_answered_with_those_there_are() {
        let error = open(Some("magic"), &VideoParameters::for_size(64, 64), 1).err();
        let text = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("'magic'") && text.contains("openh264"), "{text}");
    }
}
