//! What can go wrong with a picture, and what to try.

/// A picture could not be converted, encoded or decoded. None of these ends a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VideoError {
    /// Width or height is zero or larger than [`super::image::MAX_SIDE`].
    #[error("a picture of {width}x{height} cannot be handled; choose a size up to {max}x{max}", max = super::image::MAX_SIDE)]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// The bytes do not fit the announced format and size.
    #[error(
        "the camera's picture has {got} bytes instead of {expected}; try another camera format"
    )]
    Length {
        /// Bytes that are there.
        got: usize,
        /// Bytes that format and size ask for.
        expected: usize,
    },
    /// The JPEG has another size than the camera announced.
    #[error(
        "the camera's JPEG is {width}x{height} where {expected_width}x{expected_height} was agreed; try another camera format"
    )]
    JpegSize {
        /// Pixels in the JPEG's header.
        width: u32,
        /// Pixels in the JPEG's header.
        height: u32,
        /// Pixels agreed with the camera.
        expected_width: u32,
        /// Pixels agreed with the camera.
        expected_height: u32,
    },
    /// The JPEG is damaged.
    #[error("the camera's JPEG is damaged ({0}); if it goes on, try another cable, port or format")]
    Jpeg(String),
    /// A converter or scaler refused.
    #[error("a picture could not be converted ({0}); try another camera format")]
    Convert(String),
    /// libvpx refused.
    #[error("VP8 {what} failed ({detail}); live video pauses until the next keyframe")]
    Vp8 {
        /// What was tried.
        what: &'static str,
        /// What libvpx says.
        detail: String,
    },
    /// The VP8 data is none, or of a size that no participant sends.
    #[error("the VP8 frame is not one that a participant sends ({0}); it was left out")]
    Foreign(&'static str),
}
