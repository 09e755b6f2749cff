//! The few fields of an H.264 sequence parameter set that `avcC` repeats (ITU-T H.264, 7.3.2.1.1).
//!
//! Pure; never panics on any bytes.

/// What `avcC` needs to know of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpsFields {
    /// `profile_idc`: 100 is High.
    pub profile: u8,
    /// The byte with the constraint flags.
    pub constraints: u8,
    /// `level_idc`: 41 is level 4.1.
    pub level: u8,
    /// `chroma_format_idc`: 1 is 4:2:0.
    pub chroma_format: u8,
    /// `bit_depth_luma_minus8`.
    pub luma_depth_minus8: u8,
    /// `bit_depth_chroma_minus8`.
    pub chroma_depth_minus8: u8,
}

/// Profiles whose parameter sets carry the chroma format and bit depths.
pub fn has_chroma_fields(profile: u8) -> bool {
    matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135)
}

impl SpsFields {
    /// Reads a NAL unit, its header byte included and without start code. `None` when it is no
    /// sequence parameter set or ends too early.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let [header, profile, constraints, level, rest @ ..] = nal else { return None };
        if header & 0x1F != 7 {
            return None;
        }
        let mut fields = Self {
            profile: *profile,
            constraints: *constraints,
            level: *level,
            chroma_format: 1,
            luma_depth_minus8: 0,
            chroma_depth_minus8: 0,
        };
        if has_chroma_fields(*profile) {
            // Emulation prevention bytes never matter this early: an SPS id of 0 begins with a 1
            // bit, and a 00 00 03 needs sixteen zero bits in a row.
            let mut bits = Bits { bytes: rest, position: 0 };
            let _id = bits.ue()?;
            fields.chroma_format = u8::try_from(bits.ue()?).ok().filter(|c| *c <= 3)?;
            if fields.chroma_format == 3 {
                bits.bit()?;
            }
            fields.luma_depth_minus8 = u8::try_from(bits.ue()?).ok().filter(|d| *d <= 6)?;
            fields.chroma_depth_minus8 = u8::try_from(bits.ue()?).ok().filter(|d| *d <= 6)?;
        }
        Some(fields)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn bit(&mut self) -> Option<u32> {
        let byte = *self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(u32::from(bit))
    }

    /// Exp-Golomb code (9.1), at most 15 leading zeros: no field read here is longer.
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 15 {
                return None;
            }
        }
        let mut value = 1;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_high_profile_set_tells_4_2_0_and_8_bit() {
        // id 0 = "1", chroma_format_idc 1 = "010", depths 0 = "1" "1", then the rest.
        let sps = [0x67, 100, 0, 41, 0b1010_1100];
        assert_eq!(
            SpsFields::parse(&sps),
            Some(SpsFields {
                profile: 100,
                constraints: 0,
                level: 41,
                chroma_format: 1,
                luma_depth_minus8: 0,
                chroma_depth_minus8: 0
            })
        );
    }

    #[test]
    fn a_picture_parameter_set_is_refused() {
        assert_eq!(SpsFields::parse(&[0x68, 100, 0, 41, 0xFF]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = SpsFields::parse(&bytes);
        }
    }
}
