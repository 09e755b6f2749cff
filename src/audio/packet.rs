//! What lies inside the seal of an audio packet (type 1): the newest frame, and room for copies of
//! earlier ones.
//!
//! Pure layout, no state: which copies to send is decided elsewhere, and the parser never trusts a
//! length. One payload, bit for bit (bit 0 is the most significant, as in the PRD's header):
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! +-+-+-+-+-+-+-+-+
//! | C | N |H|S|B|0|  flags
//! +-+-+-+-+-+-+-+-+
//! |    offset     |  \ for each of the C copies: 1 to 5, rising,
//! +-+-+-+-+-+-+-+-+   > and the copy's length in bytes, 1 to 128
//! |    length     |  /
//! +-+-+-+-+-+-+-+-+
//! |    length     |    for each newest frame but the last: its length in bytes, 1 to 128
//! +-+-+-+-+-+-+-+-+
//! |  copies ...   |    the copies' bytes, in the order above
//! +-+-+-+-+-+-+-+-+
//! |  newest ...   |    the newest frames' bytes, oldest first; the last one takes what is left
//! +-+-+-+-+-+-+-+-+
//! ```
//!
//! - **C** (2 bits): number of copies of earlier frames, 0 to 3.
//! - **N** (2 bits): newest frames in this packet: 0 is one, 1 is two, 2 is four, 3 is reserved.
//! - **H** (1 bit): the frames are 2.5 ms long instead of 5 ms.
//! - **S** (1 bit): silence follows: the frames after this packet are not sent and not lost.
//! - **B** (1 bit): silence before: the frame before the oldest of the newest was not sent. Without
//!   it, that frame was sent and, if it is not here, is lost or late.
//! - The last bit is reserved and zero.
//!
//! The header's sequence number counts frames and is that of the last frame in the packet. The
//! newest frames end there; a copy at offset k is k frames before the oldest of the newest.

/// Longest Opus frame carried, in bytes: 5 ms at 204.8 kbit/s, twice what can be selected.
pub const MAX_FRAME_BYTES: usize = 128;
/// Most copies of earlier frames in one packet.
pub const MAX_COPIES: usize = 3;
/// Most newest frames in one packet.
pub const MAX_NEWEST: usize = 4;
/// Farthest back that a copy may lie, in frames: a copy at k costs 5k ms of playout depth.
pub const MAX_OFFSET: u8 = 5;
/// Largest payload of an audio packet, in bytes.
pub const MAX_AUDIO_PAYLOAD: usize =
    1 + 2 * MAX_COPIES + (MAX_NEWEST - 1) + (MAX_COPIES + MAX_NEWEST) * MAX_FRAME_BYTES;

const HALF_FRAMES: u8 = 0b0000_1000;
const SILENCE_FOLLOWS: u8 = 0b0000_0100;
const SILENCE_BEFORE: u8 = 0b0000_0010;
const RESERVED: u8 = 0b0000_0001;

/// Why a payload is not one of ours. Such a packet is counted and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It ends before its own lengths do.
    #[error("audio payload ends early; the packet is damaged or not an audio packet")]
    Truncated,
    /// More bytes than any payload has.
    #[error("audio payload of {0} bytes is longer than {MAX_AUDIO_PAYLOAD}; drop it")]
    TooLong(usize),
    /// A reserved bit or frame count is set: a newer version of the program sent it.
    #[error("audio payload has reserved flags {0:#010b}; use the same version on both ends")]
    Reserved(u8),
    /// A copy's offset is not 1 to 5 or does not rise.
    #[error("audio payload has a copy at offset {0}; offsets rise from 1 to 5")]
    Offset(u8),
    /// A frame is empty or longer than [`MAX_FRAME_BYTES`].
    #[error("audio payload has a frame of {0} bytes; frames are 1 to {MAX_FRAME_BYTES}")]
    FrameLength(usize),
}

/// One Opus frame of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRef<'a> {
    /// Frames before the packet's sequence number; 0 is the newest.
    pub back: u8,
    /// It was sent before in a packet of its own.
    pub copy: bool,
    /// The Opus packet.
    pub data: &'a [u8],
}

/// A parsed payload: up to seven frames, borrowed from it, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioPayload<'a> {
    frames: [FrameRef<'a>; MAX_COPIES + MAX_NEWEST],
    count: usize,
    /// The frames are 2.5 ms long instead of 5 ms.
    pub half_frames: bool,
    /// The frames after this packet are silence and not sent.
    pub silence_follows: bool,
    /// The frame before the oldest of the newest was silence and not sent.
    pub silence_before: bool,
}

impl<'a> AudioPayload<'a> {
    /// All frames, the oldest first, the newest last.
    pub fn frames(&self) -> &[FrameRef<'a>] {
        &self.frames[..self.count]
    }

    /// The newest frame.
    pub fn newest(&self) -> FrameRef<'a> {
        self.frames[self.count - 1]
    }

    /// Frames that this packet is the first to carry: 1, 2 or 4.
    pub fn fresh(&self) -> u8 {
        self.frames().iter().filter(|f| !f.copy).count() as u8
    }

    /// The farthest that a copy lies before the oldest of the newest frames; 0 without copies.
    pub fn reach(&self) -> u8 {
        match self.frames().first() {
            Some(oldest) if oldest.copy => oldest.back + 1 - self.fresh(),
            _ => 0,
        }
    }
}

/// What a packet says about itself beside its frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketFlags {
    /// The frames are 2.5 ms long instead of 5 ms.
    pub half_frames: bool,
    /// The frames after this packet are silence and not sent.
    pub silence_follows: bool,
    /// The frame before the oldest of the newest was silence and not sent.
    pub silence_before: bool,
}

/// Writes a payload with one frame and no copies; returns its length in bytes.
///
/// Returns 0, with `out` untouched, when the frame is empty, longer than [`MAX_FRAME_BYTES`] or
/// does not fit.
pub fn write_payload(newest: &[u8], out: &mut [u8]) -> usize {
    write_packet(PacketFlags::default(), &[], &[newest], out)
}

/// Writes a payload: `copies` with their offsets, rising, and 1, 2 or 4 newest frames, oldest
/// first; returns its length in bytes.
///
/// Returns 0, with `out` untouched, when the layout has no room for it: too many copies or frames,
/// offsets that do not rise from 1 to 5, a frame that is empty or too long, or `out` too short.
pub fn write_packet(
    flags: PacketFlags,
    copies: &[(u8, &[u8])],
    newest: &[&[u8]],
    out: &mut [u8],
) -> usize {
    let fits = |frame: &[u8]| (1..=MAX_FRAME_BYTES).contains(&frame.len());
    let count = match newest.len() {
        1 => 0,
        2 => 1,
        4 => 2,
        _ => return 0,
    };
    let rising = copies.windows(2).all(|w| w[0].0 < w[1].0);
    let reached = copies.iter().all(|c| (1..=MAX_OFFSET).contains(&c.0) && fits(c.1));
    if copies.len() > MAX_COPIES || !rising || !reached || !newest.iter().all(|f| fits(f)) {
        return 0;
    }
    let bytes = copies.iter().map(|c| 2 + c.1.len()).sum::<usize>()
        + newest.iter().map(|f| 1 + f.len()).sum::<usize>();
    if bytes > out.len() {
        return 0;
    }
    out[0] = (copies.len() as u8) << 6 | count << 4;
    for (set, flag) in [
        (flags.half_frames, HALF_FRAMES),
        (flags.silence_follows, SILENCE_FOLLOWS),
        (flags.silence_before, SILENCE_BEFORE),
    ] {
        out[0] |= if set { flag } else { 0 };
    }
    let mut at = 1;
    for (offset, frame) in copies {
        out[at..at + 2].copy_from_slice(&[*offset, frame.len() as u8]);
        at += 2;
    }
    // The last one takes what is left, so its length is not said.
    for frame in &newest[..newest.len() - 1] {
        out[at] = frame.len() as u8;
        at += 1;
    }
    for frame in copies.iter().map(|c| c.1).chain(newest.iter().copied()) {
        out[at..at + frame.len()].copy_from_slice(frame);
        at += frame.len();
    }
    at
}

/// Reads a payload; everything that does not follow the layout exactly is an error.
pub fn parse_payload(payload: &[u8]) -> Result<AudioPayload<'_>, PayloadError> {
    if payload.len() > MAX_AUDIO_PAYLOAD {
        return Err(PayloadError::TooLong(payload.len()));
    }
    let mut reader = Reader(payload);
    let flags = reader.byte()?;
    let copies = usize::from(flags >> 6);
    let newest = match (flags >> 4) & 0b11 {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return Err(PayloadError::Reserved(flags)),
    };
    if flags & RESERVED != 0 {
        return Err(PayloadError::Reserved(flags));
    }

    let mut back = [0u8; MAX_COPIES + MAX_NEWEST];
    let mut lengths = [0usize; MAX_COPIES + MAX_NEWEST];
    let mut least = 1;
    for i in 0..copies {
        let offset = reader.byte()?;
        if offset < least || offset > MAX_OFFSET {
            return Err(PayloadError::Offset(offset));
        }
        least = offset + 1;
        back[i] = offset + newest as u8 - 1;
        lengths[i] = frame_length(usize::from(reader.byte()?))?;
    }
    for i in 0..newest {
        back[copies + i] = (newest - 1 - i) as u8;
        if i + 1 < newest {
            lengths[copies + i] = frame_length(usize::from(reader.byte()?))?;
        }
    }
    let count = copies + newest;
    let sum: usize = lengths[..count - 1].iter().sum();
    let left = reader.0.len().checked_sub(sum).ok_or(PayloadError::Truncated)?;
    if left == 0 {
        return Err(PayloadError::Truncated);
    }
    lengths[count - 1] = frame_length(left)?;

    let mut frames = [FrameRef { back: 0, copy: false, data: &[] }; MAX_COPIES + MAX_NEWEST];
    for i in 0..count {
        let data = reader.take(lengths[i])?;
        frames[i] = FrameRef { back: back[i], copy: i < copies, data };
    }
    // On the wire the copies rise in offset, so the nearest comes first.
    frames[..copies].reverse();
    Ok(AudioPayload {
        frames,
        count,
        half_frames: flags & HALF_FRAMES != 0,
        silence_follows: flags & SILENCE_FOLLOWS != 0,
        silence_before: flags & SILENCE_BEFORE != 0,
    })
}

fn frame_length(len: usize) -> Result<usize, PayloadError> {
    if (1..=MAX_FRAME_BYTES).contains(&len) { Ok(len) } else { Err(PayloadError::FrameLength(len)) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, PayloadError> {
        let (&first, rest) = self.0.split_first().ok_or(PayloadError::Truncated)?;
        self.0 = rest;
        Ok(first)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PayloadError> {
        let (head, rest) = self.0.split_at_checked(len).ok_or(PayloadError::Truncated)?;
        self.0 = rest;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_frame_is_a_zero_byte_and_the_frame() {
        let mut out = [0xEE; 8];
        assert_eq!(write_payload(&[0xD8, 1, 2], &mut out), 4);
        assert_eq!(out, [0x00, 0xD8, 1, 2, 0xEE, 0xEE, 0xEE, 0xEE]);
        let parsed = parse_payload(&out[..4]).unwrap();
        assert_eq!(parsed.frames(), [FrameRef { back: 0, copy: false, data: &[0xD8, 1, 2] }]);
        assert!(!parsed.half_frames && !parsed.silence_follows);
    }

    #[test]
    fn copies_lie_at_their_offsets_before_the_newest() {
        // C = 2, one frame, silence follows: 10 00 0 1 00; copies at 1 (two bytes) and 3 (one).
        let wire = [0b1000_0100, 1, 2, 3, 1, 0xA1, 0xA2, 0xB1, 0xC1, 0xC2];
        let parsed = parse_payload(&wire).unwrap();
        assert!(parsed.silence_follows);
        assert_eq!(
            parsed.frames(),
            [
                FrameRef { back: 3, copy: true, data: &[0xB1] },
                FrameRef { back: 1, copy: true, data: &[0xA1, 0xA2] },
                FrameRef { back: 0, copy: false, data: &[0xC1, 0xC2] },
            ]
        );
    }

    #[test]
    fn several_frames_end_at_the_packets_number_and_copies_lie_before_the_oldest() {
        // C = 1, two frames of 2.5 ms: 01 01 1 0 00; copy at 1 (one byte), first frame two bytes.
        let wire = [0b0101_1000, 1, 1, 2, 0xA1, 0xB1, 0xB2, 0xC1];
        let parsed = parse_payload(&wire).unwrap();
        assert!(parsed.half_frames);
        assert_eq!(
            parsed.frames(),
            [
                FrameRef { back: 2, copy: true, data: &[0xA1] },
                FrameRef { back: 1, copy: false, data: &[0xB1, 0xB2] },
                FrameRef { back: 0, copy: false, data: &[0xC1] },
            ]
        );
        assert_eq!(parsed.newest().data, [0xC1]);
    }

    #[test]
    fn what_is_written_has_the_layout_above_bit_for_bit() {
        let mut out = [0; 32];
        let flags = PacketFlags { silence_follows: true, ..PacketFlags::default() };
        let copies: [(u8, &[u8]); 2] = [(1, &[0xA1, 0xA2]), (3, &[0xB1])];
        let len = write_packet(flags, &copies, &[&[0xC1, 0xC2]], &mut out);
        assert_eq!(out[..len], [0b1000_0100, 1, 2, 3, 1, 0xA1, 0xA2, 0xB1, 0xC1, 0xC2]);

        let flags = PacketFlags { half_frames: true, silence_before: true, ..flags };
        let frames: [&[u8]; 4] = [&[1], &[2, 2], &[3], &[4]];
        let len = write_packet(flags, &[], &frames, &mut out);
        assert_eq!(out[..len], [0b0010_1110, 1, 2, 1, 1, 2, 2, 3, 4]);
        let parsed = parse_payload(&out[..len]).unwrap();
        assert!(parsed.silence_before && parsed.silence_follows && parsed.half_frames);
        assert_eq!((parsed.fresh(), parsed.reach()), (4, 0));
    }

    #[test]
    fn what_breaks_the_layout_is_refused() {
        use PayloadError::*;
        assert_eq!(parse_payload(&[]), Err(Truncated));
        assert_eq!(parse_payload(&[0]), Err(Truncated), "no newest frame");
        assert_eq!(parse_payload(&[1, 9]), Err(Reserved(1)));
        assert_eq!(parse_payload(&[0b0011_0000, 9]), Err(Reserved(0b0011_0000)));
        assert_eq!(parse_payload(&[0x40, 0, 1, 9, 9]), Err(Offset(0)));
        assert_eq!(parse_payload(&[0x40, 6, 1, 9, 9]), Err(Offset(6)));
        assert_eq!(parse_payload(&[0x80, 2, 1, 2, 1, 9, 9, 9]), Err(Offset(2)), "not rising");
        assert_eq!(parse_payload(&[0x40, 1, 0, 9]), Err(FrameLength(0)));
        assert_eq!(parse_payload(&[0x40, 1, 2, 9, 9]), Err(Truncated), "nothing left");
        assert_eq!(parse_payload(&[0; 130]), Err(FrameLength(129)));
        assert_eq!(parse_payload(&[0; 2000]), Err(TooLong(2000)));
    }

    #[test]
    fn a_frame_that_does_not_fit_is_not_written() {
        let none = PacketFlags::default();
        let frame: &[u8] = &[1];
        for copies in [&[(0, frame)][..], &[(6, frame)], &[(2, frame), (1, frame)], &[(1, &[])]] {
            assert_eq!(write_packet(none, copies, &[frame], &mut [0; 99]), 0, "{copies:?}");
        }
        assert_eq!(write_packet(none, &[(1, frame); 4], &[frame], &mut [0; 99]), 0);
        assert_eq!(write_packet(none, &[], &[frame; 3], &mut [0; 99]), 0, "three frames");
        assert_eq!(write_payload(&[], &mut [0; 8]), 0);
        assert_eq!(write_payload(&[1, 2], &mut [0; 2]), 0);
        assert_eq!(write_payload(&[0; MAX_FRAME_BYTES + 1], &mut [0; 200]), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_to_frames_inside_the_payload_or_to_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..1000)
        ) {
            if let Ok(parsed) = parse_payload(&bytes) {
                let frames = parsed.frames();
                prop_assert_eq!(parsed.newest().back, 0);
                prop_assert!(frames.windows(2).all(|w| w[0].back > w[1].back));
                let total: usize = frames.iter().map(|f| f.data.len()).sum();
                prop_assert!(total < bytes.len());
                prop_assert!(frames.iter().all(|f| !f.data.is_empty()));
            }
        }

        #[test]
        fn every_frame_that_is_written_is_read_back(
            frame in proptest::collection::vec(any::<u8>(), 1..=MAX_FRAME_BYTES)
        ) {
            let mut out = [0; MAX_AUDIO_PAYLOAD];
            let len = write_payload(&frame, &mut out);
            prop_assert_eq!(parse_payload(&out[..len]).unwrap().newest().data, &frame[..]);
        }

        #[test]
        fn every_packet_that_is_written_is_read_back(
            frames in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 1..=MAX_FRAME_BYTES), 7),
            offsets in proptest::sample::subsequence(vec![1u8, 2, 3, 4, 5], 0..=MAX_COPIES),
            count in proptest::sample::select(vec![1usize, 2, 4]),
            half_frames: bool, silence_follows: bool, silence_before: bool
        ) {
            let flags = PacketFlags { half_frames, silence_follows, silence_before };
            let newest: Vec<&[u8]> = frames[..count].iter().map(|f| &f[..]).collect();
            let copies: Vec<(u8, &[u8])> =
                offsets.iter().zip(&frames[4..]).map(|(k, f)| (*k, &f[..])).collect();
            let mut out = [0; MAX_AUDIO_PAYLOAD];
            let len = write_packet(flags, &copies, &newest, &mut out);
            let parsed = parse_payload(&out[..len]).unwrap();
            let read = PacketFlags {
                half_frames: parsed.half_frames,
                silence_follows: parsed.silence_follows,
                silence_before: parsed.silence_before,
            };
            prop_assert_eq!(read, flags);
            prop_assert_eq!(usize::from(parsed.fresh()), count);
            prop_assert_eq!(parsed.reach(), offsets.last().copied().unwrap_or(0));
            let read: Vec<_> = parsed.frames().iter().map(|f| (f.back, f.copy, f.data)).collect();
            let oldest = count as u8 - 1;
            let written: Vec<_> = copies
                .iter()
                .rev()
                .map(|(k, f)| (oldest + k, true, *f))
                .chain(newest.iter().enumerate().map(|(i, f)| (oldest - i as u8, false, *f)))
                .collect();
            prop_assert_eq!(read, written);
        }
    }
}
