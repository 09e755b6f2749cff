//! The 12-byte header in front of every datagram (PRD 5.4), bit for bit.
//!
//! Always in clear and always the associated data of what follows. This file knows nothing of what
//! a payload means; it only refuses what the picture does not allow.

use crate::units::ParticipantId;

/// Bytes of a header (PRD 5.4).
pub const HEADER_LEN: usize = 12;
/// Longest datagram that is ever sent, header included: with IPv6, UDP and a relay's envelope it
/// stays under 1,280 bytes, which every IPv6 path carries whole (RFC 8200, 5).
pub const MAX_DATAGRAM: usize = 1150;
/// Bytes that sealing adds to a payload (RFC 8439, 2.8).
pub const TAG_LEN: usize = 16;

/// Protocol version in the header's first two bits (PRD 5.4).
const VERSION: u8 = 1;
const PADDING_BIT: u8 = 0b0010_0000;
const TYPE_MASK: u8 = 0b0001_1111;

/// What a datagram carries (PRD 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// One packet of live Opus.
    Audio = 1,
    /// A VP8 keyframe, or a fragment of one.
    VideoKey = 2,
    /// Any other VP8 frame, or a fragment of one.
    VideoDelta = 3,
    /// Handshake, heartbeat, stamps, reports.
    Control = 4,
    /// The sender leaves.
    Bye = 5,
}

impl PacketType {
    fn from_wire(value: u8) -> Option<Self> {
        Some(match value {
            1 => Self::Audio,
            2 => Self::VideoKey,
            3 => Self::VideoDelta,
            4 => Self::Control,
            5 => Self::Bye,
            _ => return None,
        })
    }
}

/// A header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// P: the payload ends in padding, see [`crate::protocol::padding`].
    pub padding: bool,
    /// Type.
    pub kind: PacketType,
    /// The sender; [`ParticipantId::UNASSIGNED`] before WELCOME.
    pub participant: ParticipantId,
    /// Low 16 bits of the stream's sequence number.
    pub sequence: u16,
    /// Milliseconds of the session clock, wrapping. Informative: timing comes from the sequence.
    pub timestamp_ms: u32,
    /// Bytes behind the header.
    pub payload_len: u16,
    /// Which fragment, from 0.
    pub fragment: u8,
    /// How many fragments; 0 for a payload that is whole.
    pub fragments: u8,
}

/// Why a datagram is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than 12 bytes.
    #[error("a datagram of {0} bytes is too short for a header; drop it")]
    Short(usize),
    /// Not version 1.
    #[error("a datagram of protocol version {0}, this program speaks 1; drop it")]
    Version(u8),
    /// A type that PRD 5.4 does not have.
    #[error("a datagram of unknown type {0}; drop it")]
    Type(u8),
    /// The length field does not say what is there.
    #[error("a header that tells of {told} bytes before {there}; drop the datagram")]
    Length {
        /// Payload length field.
        told: usize,
        /// Bytes behind the header.
        there: usize,
    },
    /// A fragment that its own total does not have.
    #[error("fragment {fragment} of {fragments}; drop the datagram")]
    Fragment {
        /// Fragment ID field.
        fragment: u8,
        /// Fragment Tot field.
        fragments: u8,
    },
}

impl Header {
    /// The 12 bytes, big-endian.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let padding = if self.padding { PADDING_BIT } else { 0 };
        bytes[0] = VERSION << 6 | padding | self.kind as u8;
        bytes[1] = self.participant.0;
        bytes[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.timestamp_ms.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.payload_len.to_be_bytes());
        bytes[10] = self.fragment;
        bytes[11] = self.fragments;
        bytes
    }

    /// The header of a whole datagram, and its payload.
    pub fn decode(datagram: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let Some((head, payload)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::Short(datagram.len()));
        };
        let version = head[0] >> 6;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let kind = PacketType::from_wire(head[0] & TYPE_MASK)
            .ok_or(HeaderError::Type(head[0] & TYPE_MASK))?;
        let header = Self {
            padding: head[0] & PADDING_BIT != 0,
            kind,
            participant: ParticipantId(head[1]),
            sequence: u16::from_be_bytes([head[2], head[3]]),
            timestamp_ms: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            payload_len: u16::from_be_bytes([head[8], head[9]]),
            fragment: head[10],
            fragments: head[11],
        };
        if usize::from(header.payload_len) != payload.len() {
            return Err(HeaderError::Length {
                told: usize::from(header.payload_len),
                there: payload.len(),
            });
        }
        // 0/0 is a whole payload (PRD 5.4); otherwise the id counts from 0 below the total.
        let whole = header.fragment == 0 && header.fragments == 0;
        if !whole && header.fragment >= header.fragments {
            return Err(HeaderError::Fragment {
                fragment: header.fragment,
                fragments: header.fragments,
            });
        }
        Ok((header, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // Written by hand from the picture in PRD 5.4.
    #[test]
    fn an_audio_header_has_the_bytes_of_the_picture() {
        let header = Header {
            padding: false,
            kind: PacketType::Audio,
            participant: ParticipantId(2),
            sequence: 0x1234,
            timestamp_ms: 0x0102_0304,
            payload_len: 3,
            fragment: 0,
            fragments: 0,
        };
        let golden = [0x41, 0x02, 0x12, 0x34, 0x01, 0x02, 0x03, 0x04, 0x00, 0x03, 0x00, 0x00];
        assert_eq!(header.encode(), golden);
        let mut datagram = golden.to_vec();
        datagram.extend([7, 8, 9]);
        assert_eq!(Header::decode(&datagram), Ok((header, &[7, 8, 9][..])));
    }

    #[test]
    fn padding_type_and_fragments_sit_where_the_picture_has_them() {
        // V=1 (01), P=1 (1), type 2 (00010); fragment 4 of 9.
        let golden = [0x62, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x04, 0x09];
        let (header, payload) = Header::decode(&golden).unwrap();
        assert!(payload.is_empty());
        assert!(header.padding);
        assert_eq!(header.kind, PacketType::VideoKey);
        assert_eq!(header.participant, ParticipantId::UNASSIGNED);
        assert_eq!(header.sequence, 0xFFFE);
        assert_eq!(header.timestamp_ms, u32::MAX);
        assert_eq!((header.fragment, header.fragments), (4, 9));
        assert_eq!(header.encode(), golden);
        // Type 5 without padding.
        assert_eq!(
            Header::decode(&[0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap().0.kind,
            PacketType::Bye
        );
    }

    #[test]
    fn what_the_picture_does_not_allow_is_refused() {
        let good = [0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            Header::decode(&bytes).unwrap_err()
        };
        assert_eq!(Header::decode(&good[..11]).unwrap_err(), HeaderError::Short(11));
        assert_eq!(with(0, 0x84), HeaderError::Version(2));
        assert_eq!(with(0, 0x40), HeaderError::Type(0));
        assert_eq!(with(0, 0x46), HeaderError::Type(6));
        assert_eq!(with(9, 1), HeaderError::Length { told: 1, there: 0 });
        assert_eq!(with(10, 1), HeaderError::Fragment { fragment: 1, fragments: 0 });
    }

    proptest! {
        #[test]
        fn any_bytes_decode_to_what_encodes_to_them_or_to_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..40)
        ) {
            if let Ok((header, payload)) = Header::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
                prop_assert_eq!(payload, &bytes[HEADER_LEN..]);
            }
        }
    }
}
