//! What lies inside the seal of an audio packet (type 1): the newest frame, and room for copies of
//! earlier ones.
//!
//! Pure layout, no state: which copies to send is decided elsewhere, and the parser never trusts a
//! length. One payload, bit for bit (bit 0 is the most significant, as in the PRD's header):
//!
//! ```text
//!  0 1 2 3 4 5 6 7
//! +-+-+-+-+-+-+-+-+
//! | C | N |H|S|0 0|  flags
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
//! - The last two bits are reserved and zero.
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
const RESERVED: u8 = 0b0000_0011;

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
}

/// Writes a payload with one frame and no copies; returns its length in bytes.
///
/// Returns 0, with `out` untouched, when the frame is empty, longer than [`MAX_FRAME_BYTES`] or
/// does not fit.
pub fn write_payload(newest: &[u8], out: &mut [u8]) -> usize {
    let len = newest.len() + 1;
    if newest.is_empty() || newest.len() > MAX_FRAME_BYTES || out.len() < len {
        return 0;
    }
    out[0] = 0;
    out[1..len].copy_from_slice(newest);
    len
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
    }
}
