//! Reading and writing the big-endian fields of control messages, and padding.
//!
//! A reader never panics and never allocates more than it was given. What it does not read at the
//! end of a body is left alone: bodies may grow there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::units::ParticipantId;

/// Most addresses that one participant offers: with this many, a full roster and the rest of a
/// WELCOME still fit one datagram.
pub const MAX_ADDRESSES: usize = 6;

/// A body that ends too early or says something impossible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a control message that is cut short or malformed; drop it")]
pub struct Malformed;

/// Takes fields off the front of a body.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*head)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[b]| b)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    pub fn participant(&mut self) -> Result<ParticipantId, Malformed> {
        self.u8().map(ParticipantId)
    }

    /// One byte of length, then UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let len = self.u8()?;
        std::str::from_utf8(self.bytes(usize::from(len))?).map_err(|_| Malformed)
    }

    /// One byte of count; each is 4 or 6 (IP version), the address, the port.
    pub fn addresses(&mut self) -> Result<Vec<SocketAddr>, Malformed> {
        let count = usize::from(self.u8()?);
        if count > MAX_ADDRESSES {
            return Err(Malformed);
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let ip: IpAddr = match self.u8()? {
                4 => Ipv4Addr::from(self.array::<4>()?).into(),
                6 => Ipv6Addr::from(self.array::<16>()?).into(),
                _ => return Err(Malformed),
            };
            addresses.push(SocketAddr::new(ip, self.u16()?));
        }
        Ok(addresses)
    }
}

/// Puts fields at the end of a body.
pub struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    /// Cut at a character's boundary to what one byte of length can tell.
    pub fn text(&mut self, text: &str) {
        let mut end = text.len().min(255);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.u8(end as u8);
        self.bytes(&text.as_bytes()[..end]);
    }

    /// The first [`MAX_ADDRESSES`]. Scope and flow of an IPv6 address mean nothing elsewhere.
    pub fn addresses(&mut self, addresses: &[SocketAddr]) {
        let addresses = &addresses[..addresses.len().min(MAX_ADDRESSES)];
        self.u8(addresses.len() as u8);
        for address in addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    self.u8(4);
                    self.bytes(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    self.u8(6);
                    self.bytes(&ip.octets());
                }
            }
            self.u16(address.port());
        }
    }
}

/// Padding that the header's P flag tells of.
///
/// A padded payload ends in N bytes of padding (N from 2): zeros, the last two of them being N
/// itself, big-endian. (RTP's single byte, RFC 3550 5.1, cannot count what a HELLO needs.) In a
/// sealed packet it lies inside the seal.
pub mod padding {
    /// Lengthens `payload` to `len` bytes, where it is shorter by at least 2.
    ///
    /// Returns whether it did, which is the header's P flag.
    pub fn add(payload: &mut Vec<u8>, len: usize) -> bool {
        let Some(padding) = len.checked_sub(payload.len()).filter(|&n| n >= 2) else {
            return false;
        };
        let Ok(count) = u16::try_from(padding) else { return false };
        payload.resize(len - 2, 0);
        payload.extend(count.to_be_bytes());
        true
    }

    /// The payload without its padding; `None` where the count is impossible.
    pub fn strip(payload: &[u8]) -> Option<&[u8]> {
        let count = u16::from_be_bytes(*payload.last_chunk::<2>()?);
        if count < 2 {
            return None;
        }
        payload.get(..payload.len().checked_sub(usize::from(count))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_is_zeros_and_its_own_length() {
        let mut payload = vec![9, 9];
        assert!(padding::add(&mut payload, 6));
        assert_eq!(payload, [9, 9, 0, 0, 0, 4]);
        assert_eq!(padding::strip(&payload), Some(&[9, 9][..]));
        assert!(!padding::add(&mut payload, 7), "one byte cannot hold the count");
        assert_eq!(padding::strip(&[0, 1]), None);
        assert_eq!(padding::strip(&[0, 3]), None);
    }

    proptest! {
        #[test]
        fn addresses_come_back(list in proptest::collection::vec(any::<SocketAddr>(), 0..MAX_ADDRESSES)) {
            let mut bytes = Vec::new();
            Writer(&mut bytes).addresses(&list);
            let plain: Vec<_> = list.iter().map(|a| SocketAddr::new(a.ip(), a.port())).collect();
            prop_assert_eq!(Reader(&bytes).addresses().unwrap(), plain);
        }

        #[test]
        fn padding_comes_off_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64), len in 0..128usize) {
            let _ = padding::strip(&bytes);
            let mut padded = bytes.clone();
            if padding::add(&mut padded, len) {
                prop_assert_eq!(padded.len(), len);
                prop_assert_eq!(padding::strip(&padded), Some(&bytes[..]));
            }
        }
    }
}
