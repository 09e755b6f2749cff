//! Bits of an H.264 RBSP, read and written: u(n), ue(v), emulation prevention
//! (ITU-T H.264, 7.2, 7.4.1, 9.1).

/// Reads bits from the front. Everything past the end is `None`.
pub struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    /// A reader of an RBSP (without emulation prevention).
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// One bit.
    pub fn bit(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// u(n), n up to 32.
    pub fn bits(&mut self, n: u32) -> Option<u32> {
        (0..n).try_fold(0, |value, _| Some(value << 1 | u32::from(self.bit()?)))
    }

    /// ue(v), up to 2^32 - 2.
    pub fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros == 32 {
                return None;
            }
        }
        let rest = self.bits(zeros)?;
        Some(((1u64 << zeros) - 1) as u32 + rest)
    }
}

/// Writes bits.
#[derive(Default)]
pub struct BitWriter {
    bytes: Vec<u8>,
    used: usize,
}

impl BitWriter {
    /// One bit.
    pub fn bit(&mut self, bit: bool) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        let last = self.bytes.last_mut().expect("a byte was pushed for this bit");
        *last |= u8::from(bit) << (7 - self.used % 8);
        self.used += 1;
    }

    /// u(n), n up to 32.
    pub fn bits(&mut self, n: u32, value: u32) {
        for i in (0..n).rev() {
            self.bit(value >> i & 1 == 1);
        }
    }

    /// ue(v), up to 2^32 - 2.
    pub fn ue(&mut self, value: u32) {
        let code = u64::from(value) + 1;
        let length = 64 - code.leading_zeros();
        self.bits(length - 1, 0);
        for i in (0..length).rev() {
            self.bit(code >> i & 1 == 1);
        }
    }

    /// rbsp_trailing_bits; gives the RBSP.
    pub fn finish(mut self) -> Vec<u8> {
        self.bit(true);
        self.bytes
    }
}

/// Takes the emulation prevention bytes out of a NAL unit's payload.
pub fn unescape(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len());
    let mut zeros = 0;
    for &byte in payload {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Puts emulation prevention bytes into an RBSP.
pub fn escape(rbsp: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rbsp.len() + 4);
    let mut zeros = 0;
    for &byte in rbsp {
        if zeros >= 2 && byte <= 3 {
            out.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn exp_golomb_codes_are_those_of_table_9_2() {
        let mut w = BitWriter::default();
        (0..5).for_each(|n| w.ue(n));
        // 1 010 011 00100 00101, then the trailing 1.
        assert_eq!(w.finish(), [0b1010_0110, 0b0100_0010, 0b1100_0000]);
    }

    #[test]
    fn emulation_prevention_is_that_of_7_4_1() {
        let rbsp = [0, 0, 0, 0, 0, 1, 0, 0, 3, 0, 0, 4];
        let nal = [0, 0, 3, 0, 0, 3, 0, 1, 0, 0, 3, 3, 0, 0, 4];
        // 00 00 00 00 00 01: a 3 before each third zero, then "00 01" is harmless after the 3.
        assert_eq!(unescape(&nal), rbsp);
        assert_eq!(unescape(&escape(&rbsp)), rbsp);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(values in proptest::collection::vec((0u32..u32::MAX, 1u32..=32), 0..40)) {
            let mut w = BitWriter::default();
            for &(value, n) in &values {
                w.ue(value);
                w.bits(n, value);
            }
            let bytes = w.finish();
            let mut r = BitReader::new(&bytes);
            for &(value, n) in &values {
                prop_assert_eq!(r.ue(), Some(value));
                let mask = if n == 32 { u32::MAX } else { (1 << n) - 1 };
                prop_assert_eq!(r.bits(n), Some(value & mask));
            }
        }

        #[test]
        fn escaped_bytes_hold_no_start_code_and_come_back(rbsp in proptest::collection::vec(0u8..5, 0..200)) {
            let nal = escape(&rbsp);
            prop_assert!(!nal.windows(3).any(|w| w[0] == 0 && w[1] == 0 && w[2] < 3));
            prop_assert_eq!(unescape(&nal), rbsp);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut r = BitReader::new(&bytes);
            while r.ue().is_some() {}
            unescape(&bytes);
        }
    }
}
