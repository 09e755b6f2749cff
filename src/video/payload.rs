//! What stands in front of the VP8 data of each frame, before it is cut into fragments.
//!
//! ```text
//!  byte 0        bytes 1..9                          bytes 9..
//! +-------------+-----------------------------------+------------------------+
//! | flags, layer| capture time, microseconds of the | one VP8 frame          |
//! |             | session clock, signed, big endian | (RFC 6386)             |
//! +-------------+-----------------------------------+------------------------+
//! ```
//!
//! Byte 0: bits 0-1 the temporal layer (0 is the base), bit 2 set when no later frame refers to
//! this one, bits 3-7 zero. A reader refuses other bits: they belong to formats to come.

use crate::units::SessionMicros;

/// Bytes in front of the VP8 data.
pub const PREFIX: usize = 9;

const LAYER: u8 = 0b0000_0011;
const DISPOSABLE: u8 = 0b0000_0100;

/// The prefix's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePrefix {
    /// Temporal layer, 0 to 3; 0 is the base, without which the others cannot be decoded.
    pub layer: u8,
    /// No later frame refers to this one: a sender short of rate may leave it out.
    pub disposable: bool,
    /// When light fell on the sensor; 0 while the sender's session clock is not set.
    pub captured: SessionMicros,
}

/// Why a frame's payload is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// There is no VP8 data in it.
    #[error("a video frame of {0} bytes is too short; it was left out")]
    Short(usize),
    /// Bits that this version does not know.
    #[error("a video frame has unknown flags {0:#04x}; the sender may run a newer version")]
    Flags(u8),
}

/// Appends the prefix to `out`; the VP8 data follows it.
pub fn write(prefix: &FramePrefix, out: &mut Vec<u8>) {
    let disposable = if prefix.disposable { DISPOSABLE } else { 0 };
    out.push((prefix.layer & LAYER) | disposable);
    out.extend_from_slice(&prefix.captured.0.to_be_bytes());
}

/// Splits an assembled frame into its prefix and its VP8 data.
pub fn parse(frame: &[u8]) -> Result<(FramePrefix, &[u8]), PayloadError> {
    let Some((prefix, vp8)) = frame.split_first_chunk::<PREFIX>() else {
        return Err(PayloadError::Short(frame.len()));
    };
    if vp8.is_empty() {
        return Err(PayloadError::Short(frame.len()));
    }
    let [flags, time @ ..] = *prefix;
    if flags & !(LAYER | DISPOSABLE) != 0 {
        return Err(PayloadError::Flags(flags));
    }
    let captured = SessionMicros(i64::from_be_bytes(time));
    let prefix =
        FramePrefix { layer: flags & LAYER, disposable: flags & DISPOSABLE != 0, captured };
    Ok((prefix, vp8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_picture() {
        let prefix =
            FramePrefix { layer: 1, disposable: true, captured: SessionMicros(0x0102_0304_0506) };
        let mut out = Vec::new();
        write(&prefix, &mut out);
        assert_eq!(out, [0x05, 0, 0, 1, 2, 3, 4, 5, 6]);
        out.push(0xAA);
        assert_eq!(parse(&out), Ok((prefix, &[0xAA][..])));
    }

    #[test]
    fn short_frames_and_unknown_flags_are_refused() {
        assert_eq!(parse(&[]), Err(PayloadError::Short(0)));
        assert_eq!(parse(&[0; 9]), Err(PayloadError::Short(9)));
        assert_eq!(parse(&[8; 10]), Err(PayloadError::Flags(8)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(layer in 0u8..4, disposable: bool, t: i64, vp8 in prop::collection::vec(any::<u8>(), 1..40)) {
            let prefix = FramePrefix { layer, disposable, captured: SessionMicros(t) };
            let mut out = Vec::new();
            write(&prefix, &mut out);
            out.extend_from_slice(&vp8);
            prop_assert_eq!(parse(&out), Ok((prefix, &vp8[..])));
        }

        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok((prefix, vp8)) = parse(&bytes) {
                let mut out = Vec::new();
                write(&prefix, &mut out);
                out.extend_from_slice(vp8);
                prop_assert_eq!(out, bytes);
            }
        }
    }
}
