//! Video, pure: pixel formats, scaling, VP8, frame assembly, pacing, the test picture.
//!
//! A picture walks: [`frame::Frame`] (the camera's own bytes) -> [`convert::Converter`] ->
//! [`image::I420`] -> [`scale::Scaler`] -> [`vp8::Vp8Encoder`] -> [`payload`] -> packets paced by
//! [`pacer::Pacer`]; at the peer: [`assembly::Assembler`] -> [`payload`] -> [`vp8::Vp8Decoder`] ->
//! [`display::Painter`]. Nothing here reads a clock, a socket, a file or a thread.

pub mod allot;
pub mod assembly;
#[cfg(test)]
pub mod bars;
pub mod convert;
pub mod display;
pub mod error;
pub mod fanout;
pub mod filler;
pub mod font;
pub mod frame;
pub mod image;
pub mod pacer;
pub mod payload;
pub mod recolour;
pub mod reduce;
pub mod rgb;
pub mod scale;
pub mod squeeze;
pub mod testcard;
pub mod vp8;

pub use error::VideoError;
