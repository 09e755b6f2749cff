//! An SPS written by hand from 7.3.2.1.1, its rewritten form also by hand.

use proptest::prelude::*;

use super::*;

/// Packs a picture of bits ("1 010 …", spaces for the eye) into bytes; the last one is padded.
fn pack(bits: &str) -> Vec<u8> {
    let bits: Vec<u8> = bits.bytes().filter(|b| *b != b' ').map(|b| b - b'0').collect();
    bits.chunks(8)
        .map(|c| c.iter().enumerate().fold(0, |byte, (i, bit)| byte | bit << (7 - i)))
        .collect()
}

/// High, level 4.0, 1920x1088 cropped to 1080, POC type 2, one reference; the VUI is OpenH264's
/// shortest: all flags off.
const BEFORE: &str = "01100100 00001100 00101000  1 010 1 1 0 0 \
    0001100  011  010 0  0000001111000  0000001000100  1 1 1 1 1 1 00101  0 1";

/// The same at level 4.1 with constraint flags clear, and the VUI of the module.
const AFTER: &str = "01100100 00000000 00101001  1 010 1 1 0 0 \
    0001100  011  010 0  0000001111000  0000001000100  1 1 1 1 1 1 00101  1 \
    1 00000001 0 1 101 0 1 00000001 00000001 00000001 1 1 1 \
    1 00000000000000000000000000000001 00000000000000000000000000111100 1 \
    0 0 0 1 1 1 1 000010001 000010001 1 010 1";

fn nal(bits: &str) -> Vec<u8> {
    let mut nal = vec![0x67];
    nal.extend(escape(&pack(bits)));
    nal
}

#[test]
fn level_colour_and_timing_are_written_and_the_rest_is_kept() {
    assert_eq!(rewrite(&nal(BEFORE), 30), Ok(nal(AFTER)));
}

#[test]
fn a_rewritten_set_is_rewritten_to_itself() {
    let once = rewrite(&nal(BEFORE), 30).expect("a good SPS");
    assert_eq!(rewrite(&once, 30), Ok(once.clone()));
}

#[test]
fn what_cannot_be_promised_is_refused() {
    assert_eq!(rewrite(&[], 30), Err("empty SPS"));
    assert_eq!(rewrite(&[0x68, 1], 30), Err("not an SPS"));
    assert_eq!(rewrite(&[0x67, 66, 0, 40], 30), Err("the profile is not High"));
    assert_eq!(rewrite(&nal(BEFORE)[..8], 30), Err("SPS cut short"));
}

proptest! {
    #[test]
    fn any_bytes_are_answered_without_a_panic(tail in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut nal = vec![0x67, 100, 0, 40];
        nal.extend(tail);
        let _ = rewrite(&nal, 30);
    }
}
