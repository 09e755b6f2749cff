//! Cutting a video frame into the payloads of datagrams.
//!
//! All fragments of a frame but the last have one length, which is its sender's to choose: a receiver
//! puts them one behind the other.

use super::header::{HEADER_LEN, MAX_DATAGRAM, TAG_LEN};

/// Most payload bytes in one video fragment: what header and tag leave of a datagram.
pub const MAX_FRAGMENT: usize = MAX_DATAGRAM - HEADER_LEN - TAG_LEN;

/// Most fragments of one frame: ids from here on belong to [`super::MediaSealer::padding`]. 144 kB is
/// three keyframes at the highest bitrate.
pub const MAX_FRAGMENTS: u8 = 128;

/// Headers of IPv4 and UDP, bytes.
const IP_UDP: usize = 28;
/// A fragment is not so long that audio behind it waits for longer than this, milliseconds ...
const WAIT: usize = 12;
/// ... as long as headers take less than an eighth of it, bytes.
const MIN_FRAGMENT: usize = 400;

/// Payload bytes of a fragment on a path of that rate, kbit/s with all headers.
pub fn fragment_len(kbps: u32) -> usize {
    let packet = kbps as usize * WAIT / 8;
    packet.saturating_sub(HEADER_LEN + TAG_LEN + IP_UDP).clamp(MIN_FRAGMENT, MAX_FRAGMENT)
}

/// How many fragments of up to `size` bytes a frame of `len` bytes needs; `None` for an empty frame
/// and for one that [`MAX_FRAGMENTS`] do not hold.
pub fn fragments(len: usize, size: usize) -> Option<u8> {
    match len.div_ceil(size.max(1)) {
        0 => None,
        count => u8::try_from(count).ok().filter(|count| *count <= MAX_FRAGMENTS),
    }
}

/// The bytes of fragment `i`; empty behind the last.
pub fn fragment(data: &[u8], size: usize, i: u8) -> &[u8] {
    let start = (usize::from(i) * size).min(data.len());
    let end = (start + size).min(data.len());
    &data[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_together_are_the_frame() {
        for size in [MIN_FRAGMENT, MAX_FRAGMENT] {
            let most = usize::from(MAX_FRAGMENTS) * size;
            for len in [1, size - 1, size, size + 1, 40_000, most] {
                let data: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
                let count = fragments(len, size).unwrap();
                let parts = (0..count).map(|i| fragment(&data, size, i));
                assert!(parts.clone().all(|part| (1..=size).contains(&part.len())));
                assert_eq!(parts.flatten().copied().collect::<Vec<u8>>(), data);
            }
        }
    }

    #[test]
    fn on_a_thin_path_fragments_are_short_and_elsewhere_full() {
        // 12 ms at 400 kbit/s are 600 bytes on the wire.
        assert_eq!(fragment_len(400), 600 - 56);
        assert_eq!([fragment_len(0), fragment_len(60), fragment_len(200)], [MIN_FRAGMENT; 3]);
        assert_eq!([fragment_len(1_000), fragment_len(u32::MAX / 16)], [MAX_FRAGMENT; 2]);
    }

    #[test]
    fn what_does_not_fit_is_no_frame() {
        assert_eq!(fragments(0, MAX_FRAGMENT), None);
        assert_eq!(fragments(usize::from(MAX_FRAGMENTS) * MAX_FRAGMENT + 1, MAX_FRAGMENT), None);
        assert!(fragment(&[1, 2], MAX_FRAGMENT, 9).is_empty());
    }
}
