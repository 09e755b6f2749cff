//! Building boxes (ISO 14496-12, 4.2): a byte buffer that knows where each open box began.
//!
//! Pure; the buffer only grows. Sizes are 32-bit: no box built in memory comes near 4 GiB (a
//! twelve-hour movie box is some 60 MB); only `mdat` does, and its header is written by hand.

/// A box's four-character type.
pub type FourCc = [u8; 4];

/// Bytes of a box's header with a 32-bit size.
pub const HEADER: u64 = 8;

/// A growing buffer of boxes.
#[derive(Debug, Default)]
pub struct Boxes {
    bytes: Vec<u8>,
}

impl Boxes {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was built.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Bytes built so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// One box, its content written by `content`.
    pub fn put(&mut self, kind: &FourCc, content: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.u32(0);
        self.raw(kind);
        content(self);
        let size = u32::try_from(self.bytes.len() - start)
            .expect("a box built in memory is far smaller than 4 GiB");
        self.bytes[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// One full box: a version and 24 flag bits before the content.
    pub fn put_full(
        &mut self,
        kind: &FourCc,
        version: u8,
        flags: u32,
        content: impl FnOnce(&mut Self),
    ) {
        self.put(kind, |b| {
            b.u32(u32::from(version) << 24 | (flags & 0x00FF_FFFF));
            content(b);
        });
    }

    /// A `free` box of `size` bytes in all, at least 8, filled with zeros.
    pub fn free(&mut self, size: usize) {
        self.put(b"free", |b| b.zeros(size - HEADER as usize));
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// That many zero bytes.
    pub fn zeros(&mut self, count: usize) {
        self.bytes.resize(self.bytes.len() + count, 0);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Big-endian 16 bits.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    /// Big-endian 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    /// Big-endian 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_be_bytes());
    }

    /// A time or duration: 64 bits in version 1 boxes, else 32.
    pub fn time(&mut self, version: u8, value: u64) {
        if version == 1 {
            self.u64(value);
        } else {
            self.u32(u32::try_from(value).expect("version 0 is chosen only for 32-bit values"));
        }
    }
}

/// The box version that holds these times and durations: 0 with 32 bits, 1 with 64.
pub fn version_for(values: &[u64]) -> u8 {
    u8::from(values.iter().any(|v| *v > u64::from(u32::MAX)))
}

/// The header of an open `free` box that reaches to the end of the file (size 0, 4.2.2).
pub const OPEN_FREE: [u8; 8] = *b"\0\0\0\0free";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_nest_and_carry_their_sizes() {
        let mut b = Boxes::new();
        b.put(b"moof", |b| b.put_full(b"mfhd", 0, 0, |b| b.u32(7)));
        assert_eq!(
            b.into_bytes(),
            b"\x00\x00\x00\x18moof\x00\x00\x00\x10mfhd\x00\x00\x00\x00\x00\x00\x00\x07"
        );
    }

    #[test]
    fn a_full_box_packs_version_and_flags() {
        let mut b = Boxes::new();
        b.put_full(b"tfhd", 1, 0x02_0001, |_| {});
        assert_eq!(b.into_bytes(), b"\x00\x00\x00\x0Ctfhd\x01\x02\x00\x01");
    }

    #[test]
    fn times_beyond_32_bits_choose_version_1() {
        assert_eq!(version_for(&[0, u64::from(u32::MAX)]), 0);
        assert_eq!(version_for(&[1, u64::from(u32::MAX) + 1]), 1);
    }
}
