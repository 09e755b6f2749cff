//! Sealing and opening: ChaCha20-Poly1305 (RFC 8439) with the header as associated data.
//!
//! Each direction of each pair has a key of its own. The nonce is never sent: 4 zero bytes, type,
//! fragment id, and the sequence number as 48 bits, extended at the receiver as RFC 3711, 3.3.1
//! does. Since type and sequence are in it, the threads that own the streams of one key never
//! have to agree on a counter. [`MediaSealer`] belongs to the talk thread; nothing here allocates,
//! locks, logs or panics.

use std::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag};

use super::fragment::MAX_FRAGMENTS;
use super::header::{HEADER_LEN, Header, MAX_DATAGRAM, PacketType, TAG_LEN};
use crate::units::ParticipantId;

/// First byte of a type-4 payload, in clear: a handshake message.
pub const CONTROL_HANDSHAKE: u8 = 0;
/// First byte of a type-4 payload, in clear: the rest is sealed.
pub const CONTROL_SEALED: u8 = 1;
/// First byte of a type-4 payload, in clear: a datagram to be passed on.
pub const CONTROL_RELAY: u8 = 2;

/// Longest relay packet: a whole datagram, sealed to the relay with its destination.
pub const MAX_ENVELOPE: usize = MAX_DATAGRAM + HEADER_LEN + 2 + TAG_LEN;
/// Fragment fields of the relay packets of the talk thread: a row of numbers of its own, since the
/// control thread counts those with 0 of 0.
pub(super) const TALK_LANE: (u8, u8) = (1, 2);

/// Packets of padding that one frame's number has room for: fragments from [`MAX_FRAGMENTS`] of 255.
pub const PADDINGS: u8 = u8::MAX - MAX_FRAGMENTS;
/// Shortest datagram of padding, bytes: what it says of its length, header and tag.
pub const MIN_PADDING: usize = HEADER_LEN + 2 + TAG_LEN;

/// Sequence numbers end here: the nonce has 48 bits for them.
const SEQUENCE_END: u64 = 1 << 48;

/// The two keys of a pair, from Noise's split.
///
/// One pair of keys makes one [`MediaSealer`], ever: a second one would count from 0 again and
/// use nonces twice.
#[derive(Clone, PartialEq, Eq)]
pub struct PairKeys {
    /// Seals what we send.
    pub send: [u8; 32],
    /// Opens what we receive.
    pub receive: [u8; 32],
}

impl fmt::Debug for PairKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKeys(..)")
    }
}

fn nonce(kind: PacketType, fragment: u8, sequence: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4] = kind as u8;
    nonce[5] = fragment;
    nonce[6..].copy_from_slice(&sequence.to_be_bytes()[2..]);
    nonce.into()
}

/// Seals one text under a key of which each number is used once. For texts outside a pair's streams.
pub(super) fn seal_once(key: &[u8; 32], number: u64, aad: &[u8], text: &[u8]) -> Vec<u8> {
    let mut sealed = text.to_vec();
    let nonce = nonce(PacketType::Control, 0, number);
    let tag = ChaCha20Poly1305::new(&(*key).into())
        .encrypt_inout_detached(&nonce, aad, sealed.as_mut_slice().into())
        .expect("a text is shorter than 256 GB");
    sealed.extend(tag);
    sealed
}

/// Opens what [`seal_once`] has sealed.
pub(super) fn unseal_once(
    key: &[u8; 32],
    number: u64,
    aad: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let (text, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    let mut text = text.to_vec();
    let nonce = nonce(PacketType::Control, 0, number);
    ChaCha20Poly1305::new(&(*key).into())
        .decrypt_inout_detached(&nonce, aad, text.as_mut_slice().into(), &Tag::from(*tag))
        .ok()?;
    Some(text)
}

/// One direction's key.
pub(super) struct Seal(ChaCha20Poly1305);

impl Seal {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(ChaCha20Poly1305::new(&(*key).into()))
    }

    /// Seals `datagram[clear..len - TAG_LEN]` in place and puts the tag behind it.
    fn close(&self, nonce: &Nonce, datagram: &mut [u8], clear: usize) -> bool {
        let Some(text_end) = datagram.len().checked_sub(TAG_LEN) else { return false };
        let (message, tag_space) = datagram.split_at_mut(text_end);
        let Some((aad, text)) = message.split_at_mut_checked(clear) else { return false };
        match self.0.encrypt_inout_detached(nonce, aad, text.into()) {
            Ok(tag) => {
                tag_space.copy_from_slice(&tag);
                true
            }
            Err(_) => false,
        }
    }

    /// Opens in place; `datagram` is untouched when it does not open.
    pub(super) fn open(
        &self,
        header: &Header,
        sequence: u64,
        datagram: &mut [u8],
        clear: usize,
    ) -> bool {
        if sequence >= SEQUENCE_END {
            return false;
        }
        let nonce = nonce(header.kind, header.fragment, sequence);
        let Some((message, tag)) = datagram.split_last_chunk_mut::<TAG_LEN>() else { return false };
        let Some((aad, text)) = message.split_at_mut_checked(clear) else { return false };
        let tag = Tag::from(*tag);
        self.0.decrypt_inout_detached(&nonce, aad, text.into(), &tag).is_ok()
    }
}

/// Seals live audio and video for ONE peer. Belongs to the talk thread.
///
/// A nonce cannot come twice: each number must be higher than the one before, and a call that
/// breaks this seals nothing and returns 0. A retransmission sends the same bytes again.
pub struct MediaSealer {
    seal: Seal,
    own: ParticipantId,
    /// Lowest number that audio may take.
    audio_next: u64,
    /// Lowest frame that video may take, and in it the lowest fragment (256: none is left).
    video_next: (u64, u16),
    /// The same for padding.
    padding_next: (u64, u8),
    relay_next: u64,
}

impl MediaSealer {
    /// Sealer for the peer that `keys` are shared with.
    pub fn new(own: ParticipantId, keys: &PairKeys) -> Self {
        let seal = Seal::new(&keys.send);
        Self { seal, own, audio_next: 0, video_next: (0, 0), padding_next: (0, 0), relay_next: 0 }
    }

    /// Seals one audio packet into `out` and returns the datagram's length.
    ///
    /// `sequence` counts frames and must grow; fewer than 2^15 frames may pass without a packet,
    /// or the receiver can no longer tell which one it is. 0 (nothing was sealed) for a number
    /// that is not above the last, or a payload that does not fit.
    pub fn audio(
        &mut self,
        sequence: u64,
        timestamp_ms: u32,
        payload: &[u8],
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        if sequence < self.audio_next || sequence >= SEQUENCE_END {
            return 0;
        }
        self.audio_next = sequence + 1;
        self.media(PacketType::Audio, sequence, timestamp_ms, (0, 0), payload, out)
    }

    /// Seals one fragment of a video frame into `out` and returns the datagram's length.
    ///
    /// `sequence` counts the frames that are sent, keyframes and others together; (sequence,
    /// fragment) must grow. A frame that needs no cutting has `fragments` 1 or 0. 0 (nothing was
    /// sealed) for a pair that is not above the last, a fragment that its total does not have, one
    /// from [`MAX_FRAGMENTS`] on, or a payload longer than [`super::MAX_FRAGMENT`].
    #[expect(clippy::too_many_arguments, reason = "one for each field of the header")]
    pub fn video(
        &mut self,
        keyframe: bool,
        sequence: u64,
        fragment: u8,
        fragments: u8,
        timestamp_ms: u32,
        payload: &[u8],
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let place = (sequence, u16::from(fragment));
        let known = fragment < fragments.max(1) && fragment < MAX_FRAGMENTS;
        if place < self.video_next || sequence >= SEQUENCE_END || !known {
            return 0;
        }
        self.video_next = (sequence, u16::from(fragment) + 1);
        let kind = if keyframe { PacketType::VideoKey } else { PacketType::VideoDelta };
        // 0/0 = not fragmented (PRD 5.4).
        let cut = if fragments <= 1 { (0, 0) } else { (fragment, fragments) };
        self.media(kind, sequence, timestamp_ms, cut, payload, out)
    }

    /// Seals a packet that carries nothing but its `len` bytes, to see whether the path carries them,
    /// and returns that length.
    ///
    /// On the wire it is a fragment of a video frame that is not a keyframe, under the number of the
    /// frame under way or to come, with an id from [`MAX_FRAGMENTS`] on, as which no picture is sent;
    /// the header's P flag is set and the payload is all padding. A reader that does not know of it
    /// finds an empty fragment and leaves it out, after it has counted the bytes. (`sequence`, `part`)
    /// must grow, `part` is below [`PADDINGS`]; 0 (nothing was sealed) if not, or for a length that
    /// no datagram has.
    pub fn padding(
        &mut self,
        sequence: u64,
        part: u8,
        timestamp_ms: u32,
        len: usize,
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let fits = (MIN_PADDING..=MAX_DATAGRAM).contains(&len) && part < PADDINGS;
        if (sequence, part) < self.padding_next || sequence >= SEQUENCE_END || !fits {
            return 0;
        }
        self.padding_next = (sequence, part + 1);
        let header = Header {
            padding: true,
            kind: PacketType::VideoDelta,
            participant: self.own,
            sequence: sequence as u16,
            timestamp_ms,
            payload_len: (len - HEADER_LEN) as u16,
            fragment: MAX_FRAGMENTS + part,
            fragments: u8::MAX,
        };
        let datagram = &mut out[..len];
        datagram[..HEADER_LEN].copy_from_slice(&header.encode());
        let text = &mut datagram[HEADER_LEN..len - TAG_LEN];
        text.fill(0);
        let count = text.len();
        text[count - 2..].copy_from_slice(&(count as u16).to_be_bytes());
        let nonce = nonce(header.kind, header.fragment, sequence);
        if self.seal.close(&nonce, datagram, HEADER_LEN) { len } else { 0 }
    }

    /// Seals a whole datagram for another member to this peer, which passes it on, into `out`, and
    /// returns the packet's length; 0 if it does not fit.
    pub fn relay(
        &mut self,
        to: ParticipantId,
        timestamp_ms: u32,
        datagram: &[u8],
        out: &mut [u8; MAX_ENVELOPE],
    ) -> usize {
        const CLEAR: usize = HEADER_LEN + 1;
        let len = CLEAR + 1 + datagram.len() + TAG_LEN;
        let Some(packet) = out.get_mut(..len) else { return 0 };
        if self.relay_next >= SEQUENCE_END {
            return 0;
        }
        let sequence = self.relay_next;
        self.relay_next += 1;
        let (fragment, fragments) = TALK_LANE;
        let header = Header {
            padding: false,
            kind: PacketType::Control,
            participant: self.own,
            sequence: sequence as u16,
            timestamp_ms,
            payload_len: (len - HEADER_LEN) as u16,
            fragment,
            fragments,
        };
        packet[..HEADER_LEN].copy_from_slice(&header.encode());
        packet[HEADER_LEN] = CONTROL_RELAY;
        packet[CLEAR] = to.0;
        packet[CLEAR + 1..len - TAG_LEN].copy_from_slice(datagram);
        let nonce = nonce(PacketType::Control, fragment, sequence);
        if self.seal.close(&nonce, packet, CLEAR) { len } else { 0 }
    }

    fn media(
        &self,
        kind: PacketType,
        sequence: u64,
        timestamp_ms: u32,
        (fragment, fragments): (u8, u8),
        payload: &[u8],
        out: &mut [u8; MAX_DATAGRAM],
    ) -> usize {
        let len = HEADER_LEN + payload.len() + TAG_LEN;
        let Some(datagram) = out.get_mut(..len) else { return 0 };
        let header = Header {
            padding: false,
            kind,
            participant: self.own,
            sequence: sequence as u16,
            timestamp_ms,
            payload_len: (payload.len() + TAG_LEN) as u16,
            fragment,
            fragments,
        };
        datagram[..HEADER_LEN].copy_from_slice(&header.encode());
        datagram[HEADER_LEN..len - TAG_LEN].copy_from_slice(payload);
        let nonce = nonce(kind, fragment, sequence);
        if self.seal.close(&nonce, datagram, HEADER_LEN) { len } else { 0 }
    }
}

/// Seals control and BYE for ONE peer. Belongs to the thread of the mesh, counts by itself.
pub(super) struct ControlSealer {
    seal: Seal,
    own: ParticipantId,
    control: u64,
    bye: u64,
}

impl ControlSealer {
    pub(super) fn new(own: ParticipantId, keys: &PairKeys) -> Self {
        Self { seal: Seal::new(&keys.send), own, control: 0, bye: 0 }
    }

    /// Most bytes of messages in one control packet: behind header, kind byte and tag.
    pub(super) const MAX_PLAINTEXT: usize = MAX_DATAGRAM - HEADER_LEN - 1 - TAG_LEN;

    /// Seals messages into `out`; `false` (and an empty `out`) if they do not fit.
    pub(super) fn control(
        &mut self,
        timestamp_ms: u32,
        messages: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        if messages.len() > Self::MAX_PLAINTEXT || self.control >= SEQUENCE_END {
            return false;
        }
        let sequence = self.control;
        self.control += 1;
        self.packet(PacketType::Control, sequence, timestamp_ms, &[CONTROL_SEALED], messages, out)
    }

    /// Seals a whole datagram for another member to this peer, which passes it on.
    pub(super) fn relay(
        &mut self,
        to: ParticipantId,
        timestamp_ms: u32,
        datagram: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        out.clear();
        if datagram.len() > MAX_DATAGRAM || self.control >= SEQUENCE_END {
            return false;
        }
        let sequence = self.control;
        self.control += 1;
        let text = [&[to.0], datagram].concat();
        self.packet(PacketType::Control, sequence, timestamp_ms, &[CONTROL_RELAY], &text, out)
    }

    /// Seals one BYE into `out`.
    pub(super) fn bye(&mut self, timestamp_ms: u32, out: &mut Vec<u8>) -> bool {
        let sequence = self.bye;
        self.bye += 1;
        self.packet(PacketType::Bye, sequence, timestamp_ms, &[], &[], out)
    }

    fn packet(
        &self,
        kind: PacketType,
        sequence: u64,
        timestamp_ms: u32,
        clear: &[u8],
        text: &[u8],
        out: &mut Vec<u8>,
    ) -> bool {
        let header = Header {
            padding: false,
            kind,
            participant: self.own,
            sequence: sequence as u16,
            timestamp_ms,
            payload_len: (clear.len() + text.len() + TAG_LEN) as u16,
            fragment: 0,
            fragments: 0,
        };
        out.clear();
        out.extend(header.encode());
        out.extend(clear);
        out.extend(text);
        out.extend([0; TAG_LEN]);
        let sealed = self.seal.close(&nonce(kind, 0, sequence), out, HEADER_LEN + clear.len());
        if !sealed {
            out.clear();
        }
        sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn keys() -> PairKeys {
        PairKeys { send: [1; 32], receive: [2; 32] }
    }

    #[test]
    fn keys_do_not_leak_into_debug_output() {
        assert_eq!(format!("{:?}", keys()), "PairKeys(..)");
    }

    // DESIGN section 5: 4 zero bytes || type || fragment id || 48-bit sequence.
    #[test]
    fn a_nonce_has_the_written_layout() {
        assert_eq!(
            nonce(PacketType::VideoKey, 7, 0x0102_0304_0506)[..],
            [0, 0, 0, 0, 2, 7, 1, 2, 3, 4, 5, 6]
        );
    }

    #[test]
    fn a_number_that_does_not_grow_seals_nothing() {
        let mut sealer = MediaSealer::new(ParticipantId(1), &keys());
        let mut out = [0; MAX_DATAGRAM];
        assert_eq!(sealer.audio(4, 0, b"abc", &mut out), HEADER_LEN + 3 + TAG_LEN);
        assert_eq!(sealer.audio(4, 0, b"abc", &mut out), 0);
        assert_eq!(sealer.audio(3, 0, b"abc", &mut out), 0);
        assert_eq!(sealer.audio(SEQUENCE_END, 0, b"abc", &mut out), 0);
        assert_ne!(sealer.audio(5, 0, b"abc", &mut out), 0);

        assert_ne!(sealer.video(true, 2, 0, 2, 0, b"x", &mut out), 0);
        assert_eq!(sealer.video(false, 2, 0, 2, 0, b"x", &mut out), 0, "also as another type");
        assert_ne!(sealer.video(true, 2, 1, 2, 0, b"x", &mut out), 0);
        assert_eq!(sealer.video(true, 2, 2, 2, 0, b"x", &mut out), 0, "no such fragment");
        assert_eq!(sealer.video(true, 1, 0, 1, 0, b"x", &mut out), 0);
        assert_ne!(sealer.video(false, 3, 0, 1, 0, b"x", &mut out), 0);

        assert_eq!(sealer.padding(3, 1, 0, 99, &mut out), 99);
        assert_eq!(sealer.padding(3, 1, 0, 99, &mut out), 0);
        assert_eq!(sealer.padding(2, 9, 0, 99, &mut out), 0);
        assert_eq!(sealer.padding(3, PADDINGS, 0, 99, &mut out), 0, "no such part");
        assert_eq!(sealer.padding(3, 2, 0, MIN_PADDING - 1, &mut out), 0);
        assert_eq!(sealer.padding(4, 0, 0, MAX_DATAGRAM, &mut out), MAX_DATAGRAM);
        assert_eq!(sealer.video(false, 5, MAX_FRAGMENTS, 255, 0, b"x", &mut out), 0);
    }

    #[test]
    fn padding_is_zeros_and_its_own_length_in_a_fragment_that_no_picture_has() {
        let mut sealer = MediaSealer::new(ParticipantId(2), &keys());
        let mut out = [0; MAX_DATAGRAM];
        let len = sealer.padding(0x1234, 3, 0x0102_0304, 40, &mut out);
        // Version 1, P, type 3; participant; number; time; 28 bytes; fragment 131 of 255.
        let golden = [0x63, 2, 0x12, 0x34, 1, 2, 3, 4, 0, 28, 131, 255];
        assert_eq!((len, &out[..HEADER_LEN]), (40, &golden[..]));
        let (header, _) = Header::decode(&out[..len]).unwrap();
        let seal = Seal::new(&keys().send);
        assert!(seal.open(&header, 0x1234, &mut out[..len], HEADER_LEN));
        assert_eq!(out[HEADER_LEN..len - TAG_LEN], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12]);
    }

    #[test]
    fn what_does_not_fit_a_datagram_seals_nothing() {
        let mut sealer = MediaSealer::new(ParticipantId(1), &keys());
        let mut out = [0; MAX_DATAGRAM];
        let full = [0; super::super::MAX_FRAGMENT];
        assert_eq!(sealer.video(true, 0, 0, 1, 0, &full, &mut out), MAX_DATAGRAM);
        assert_eq!(sealer.audio(0, 0, &[0; super::super::MAX_FRAGMENT + 1], &mut out), 0);
        let mut control = ControlSealer::new(ParticipantId(1), &keys());
        let mut out = Vec::new();
        assert!(control.control(0, &[0; ControlSealer::MAX_PLAINTEXT], &mut out));
        assert_eq!(out.len(), MAX_DATAGRAM);
        assert!(!control.control(0, &[0; ControlSealer::MAX_PLAINTEXT + 1], &mut out));
        assert!(out.is_empty());
    }

    #[test]
    fn no_two_packets_of_a_key_share_a_nonce() {
        let mut nonces = HashSet::new();
        for sequence in [0, 1, 0xFFFF, 0x1_0000, SEQUENCE_END - 1] {
            for kind in [
                PacketType::Audio,
                PacketType::VideoKey,
                PacketType::VideoDelta,
                PacketType::Control,
                PacketType::Bye,
            ] {
                for fragment in [0, 1, 254] {
                    assert!(nonces.insert(nonce(kind, fragment, sequence)));
                }
            }
        }
    }

    proptest! {
        // Whoever calls it, in whatever order: a repeated nonce would give the key away.
        #[test]
        fn whatever_is_asked_of_a_sealer_no_nonce_comes_twice(
            calls in prop::collection::vec(
                (0u8..4, 0u64..12, any::<bool>(), 0u8..6, 0u8..6, 0usize..1_200),
                1..200,
            ),
        ) {
            let mut sealer = MediaSealer::new(ParticipantId(2), &keys());
            let mut nonces = HashSet::new();
            let mut out = [0; MAX_DATAGRAM];
            // Numbers mostly grow, and now and then stand still or go back.
            let mut base = 0;
            for (what, step, far, fragment, fragments, len) in calls {
                base += if far { 60_000 } else { step / 4 };
                let sequence = (base + step).saturating_sub(4);
                let payload = [0; 1_200];
                let payload = &payload[..len];
                let len = match what {
                    0 => sealer.audio(sequence, 0, payload, &mut out),
                    3 => sealer.padding(sequence, fragment, 0, payload.len(), &mut out),
                    _ => sealer.video(
                        what == 1, sequence, fragment, fragments, 0, payload, &mut out,
                    ),
                };
                if len > 0 {
                    let (header, _) = Header::decode(&out[..len]).unwrap();
                    prop_assert_eq!(header.sequence, sequence as u16);
                    let nonce = nonce(header.kind, header.fragment, sequence);
                    prop_assert!(nonces.insert(nonce), "{:?} {}", header, sequence);
                }
            }
        }
    }
}
