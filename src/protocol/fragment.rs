//! Cutting a video frame into the payloads of datagrams.
//!
//! Every fragment but the last is full, so that a receiver knows each one's place by its id.

use super::header::{HEADER_LEN, MAX_DATAGRAM, TAG_LEN};

/// Most payload bytes in one video fragment: what header and tag leave of a datagram.
pub const MAX_FRAGMENT: usize = MAX_DATAGRAM - HEADER_LEN - TAG_LEN;

/// Most fragments of one frame: ids from here on belong to [`super::MediaSealer::padding`]. 144 kB is
/// three keyframes at the highest bitrate.
pub const MAX_FRAGMENTS: u8 = 128;

/// How many fragments a frame of `len` bytes needs; `None` for an empty frame and for one that
/// [`MAX_FRAGMENTS`] do not hold.
pub fn fragments(len: usize) -> Option<u8> {
    match len.div_ceil(MAX_FRAGMENT) {
        0 => None,
        count => u8::try_from(count).ok().filter(|count| *count <= MAX_FRAGMENTS),
    }
}

/// The bytes of fragment `i`; empty behind the last.
pub fn fragment(data: &[u8], i: u8) -> &[u8] {
    let start = (usize::from(i) * MAX_FRAGMENT).min(data.len());
    let end = (start + MAX_FRAGMENT).min(data.len());
    &data[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_together_are_the_frame() {
        const MOST: usize = MAX_FRAGMENTS as usize * MAX_FRAGMENT;
        for len in [1, MAX_FRAGMENT - 1, MAX_FRAGMENT, MAX_FRAGMENT + 1, 60_000, MOST] {
            let data: Vec<u8> = (0..len).map(|i| ((i * 31) >> 3) as u8).collect();
            let count = fragments(len).unwrap();
            let joined: Vec<u8> = (0..count).flat_map(|i| fragment(&data, i)).copied().collect();
            assert_eq!(joined, data);
            assert!(fragment(&data, count.saturating_sub(1)).len() <= MAX_FRAGMENT);
        }
    }

    #[test]
    fn what_does_not_fit_is_no_frame() {
        assert_eq!(fragments(0), None);
        assert_eq!(fragments(usize::from(MAX_FRAGMENTS) * MAX_FRAGMENT + 1), None);
        assert!(fragment(&[1, 2], 9).is_empty());
    }
}
