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
//! Byte 0: bit 0 the temporal layer (0 is the base), bit 1 zero, bit 2 set when no later frame refers
//! to this one, bits 3-7 the number of a base frame, modulo 32: the frame's own in the base layer, in
//! the upper one that of the frame that it refers to. So a reader that misses a frame knows from the
//! next one whether it missed anything that matters. A reader refuses other bits: they belong to
//! formats to come.

use crate::units::SessionMicros;

/// Bytes in front of the VP8 data.
pub const PREFIX: usize = 9;

const LAYER: u8 = 0b0000_0001;
const UNKNOWN: u8 = 0b0000_0010;
const BASE_AT: u32 = 3;
/// Base frames are counted modulo this.
pub const BASES: u8 = 32;
const DISPOSABLE: u8 = 0b0000_0100;

/// The prefix's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramePrefix {
    /// Temporal layer, 0 or 1; 0 is the base, without which the other cannot be decoded.
    pub layer: u8,
    /// Number of this base frame, or of the one that this frame refers to, below [`BASES`].
    pub base: u8,
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
    out.push((prefix.layer & LAYER) | disposable | (prefix.base % BASES) << BASE_AT);
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
    if flags & UNKNOWN != 0 {
        return Err(PayloadError::Flags(flags));
    }
    let captured = SessionMicros(i64::from_be_bytes(time));
    let disposable = flags & DISPOSABLE != 0;
    let prefix = FramePrefix { layer: flags & LAYER, base: flags >> BASE_AT, disposable, captured };
    Ok((prefix, vp8))
}

/// What a frame refers to, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(u8);

impl Chain {
    /// Of the first bytes of a frame; `None` where there are none.
    pub fn of(frame: &[u8]) -> Option<Self> {
        frame.first().copied().map(Self)
    }

    /// The base frame that is needed before this one, if `newest` is the newest one that was decoded.
    pub fn follows(self, newest: Self) -> bool {
        let [here, there] = [self, newest].map(|c| c.0 >> BASE_AT);
        let ahead = here.wrapping_sub(there) % BASES;
        ahead == u8::from(self.is_base())
    }

    /// Later frames may refer to it.
    pub fn is_base(self) -> bool {
        self.0 & LAYER == 0
    }
}

/// The number of a keyframe. `newest` is its stream's newest base frame, `other` that of the sender's
/// other stream, from which somebody may come over: where it gets nothing of the keyframe, what follows
/// must not seem to continue either.
pub fn keyframe_base(newest: u8, other: u8) -> u8 {
    let next = newest.wrapping_add(1) % BASES;
    let ahead = next.wrapping_sub(other) % BASES;
    let far = (BASES / 4..=BASES - BASES / 4).contains(&ahead);
    if far { next } else { (next + BASES / 2) % BASES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bytes_are_those_of_the_picture() {
        let prefix = FramePrefix {
            layer: 1,
            base: 31,
            disposable: true,
            captured: SessionMicros(0x0102_0304_0506),
        };
        let mut out = Vec::new();
        write(&prefix, &mut out);
        assert_eq!(out, [0xFD, 0, 0, 1, 2, 3, 4, 5, 6]);
        out.push(0xAA);
        assert_eq!(parse(&out), Ok((prefix, &[0xAA][..])));
    }

    #[test]
    fn short_frames_and_unknown_flags_are_refused() {
        assert_eq!(parse(&[]), Err(PayloadError::Short(0)));
        assert_eq!(parse(&[0; 9]), Err(PayloadError::Short(9)));
        assert_eq!(parse(&[2; 10]), Err(PayloadError::Flags(2)));
    }

    #[test]
    fn a_frame_tells_what_must_have_come_before_it() {
        let base = |n: u8| Chain(n << 3);
        let upper = |n: u8| Chain(n << 3 | 5);
        assert!(base(1).follows(base(0)) && base(0).follows(base(31)));
        assert!(!base(2).follows(base(0)), "a base frame is missing");
        assert!(upper(4).follows(base(4)) && !upper(5).follows(base(4)));
    }

    #[test]
    fn what_follows_a_keyframe_continues_neither_its_own_stream_nor_the_other_without_it() {
        for newest in 0..BASES {
            for other in 0..BASES {
                let key = keyframe_base(newest, other);
                let chain = |n: u8| Chain((n % BASES) << BASE_AT);
                // Who comes over may be some frames behind the other stream, or ahead.
                let seen = (0..7).flat_map(|n| [other.wrapping_sub(n), other.wrapping_add(n)]);
                for before in seen.chain([newest]) {
                    assert!(!chain(key + 1).follows(chain(before)), "{newest} {other} {before}");
                    let upper = Chain(key << BASE_AT | LAYER);
                    assert!(!upper.follows(chain(before)), "{newest} {other} {before}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(layer in 0u8..2, base in 0..BASES, disposable: bool, t: i64, vp8 in prop::collection::vec(any::<u8>(), 1..40)) {
            let prefix = FramePrefix { layer, base, disposable, captured: SessionMicros(t) };
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
