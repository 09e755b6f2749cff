//! The movie box against bytes written by hand from ISO 14496-12's tables.

use super::super::{AudioTrack, Timecode, VideoTrack};
use super::*;
use crate::recording::mp4::AudioCoding;

fn parameters() -> MovieParameters {
    MovieParameters {
        video: Some(VideoTrack {
            width: 1920,
            height: 1080,
            sps: vec![0x67, 100, 0, 41, 0xAC],
            pps: vec![0x68, 0xEE],
            bitrate: 18_000_000,
        }),
        audio: Some(AudioTrack {
            coding: AudioCoding::Aac,
            configuration: vec![0x11, 0x88],
            bitrate: 192_000,
            priming_samples: 0,
            samples_per_packet: 1024,
        }),
        timecode: Timecode { start_frame: 0 },
        created_utc_seconds: 0,
    }
}

fn built(parameters: &MovieParameters, recorded: Option<&Recorded>) -> Vec<u8> {
    let mut b = Boxes::new();
    moov(&mut b, parameters, recorded);
    b.into_bytes()
}

/// The n-th box of a type, header included, wherever it is nested.
fn nth_box<'a>(bytes: &'a [u8], kind: &[u8; 4], n: usize) -> &'a [u8] {
    let at = bytes.windows(4).enumerate().filter(|(_, w)| w == kind).nth(n).expect("it is there").0;
    let size = u32::from_be_bytes(bytes[at - 4..at].try_into().unwrap()) as usize;
    &bytes[at - 4..at - 4 + size]
}

fn hours(hours: u32) -> Recorded {
    let mut recorded = Recorded::default();
    for _ in 0..hours * 3600 {
        recorded.tables[0].add_chunk(0, &[(1, 1000); 30], true);
        recorded.tables[1].add_chunk(0, &[(1, 1000); 48], false);
    }
    recorded.tables[2].add_chunk(0, &[(4, 30_000)], false);
    recorded
}

#[test]
fn the_headers_before_the_first_fragment_are_laid_out_as_14496_12_says() {
    let bytes = built(&parameters(), None);
    // 1970 in seconds since 1904 is 0x7C25B080.
    #[rustfmt::skip]
    let mvhd = [
        &[0, 0, 0, 108][..], b"mvhd", &[0, 0, 0, 0],
        &[0x7C, 0x25, 0xB0, 0x80, 0x7C, 0x25, 0xB0, 0x80],
        &[0, 0, 0xBB, 0x80, 0, 0, 0, 0], // 48,000; duration unknown
        &[0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // rate, volume, reserved
        &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0],
        &[0; 24],
        &[0, 0, 0, 4], // next track
    ].concat();
    assert_eq!(nth_box(&bytes, b"mvhd", 0), mvhd);
    #[rustfmt::skip]
    let tkhd = [
        &[0, 0, 0, 92][..], b"tkhd", &[0, 0, 0, 3],
        &[0x7C, 0x25, 0xB0, 0x80, 0x7C, 0x25, 0xB0, 0x80],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0; 16], // reserved, layer, group, volume
        &[0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0],
        &[0x07, 0x80, 0, 0, 0x04, 0x38, 0, 0], // 1920, 1080
    ].concat();
    assert_eq!(nth_box(&bytes, b"tkhd", 0), tkhd);
    #[rustfmt::skip]
    let mdhd = [
        &[0, 0, 0, 32][..], b"mdhd", &[0, 0, 0, 0],
        &[0x7C, 0x25, 0xB0, 0x80, 0x7C, 0x25, 0xB0, 0x80],
        &[0, 0, 0x75, 0x30, 0, 0, 0, 0, 0x55, 0xC4, 0, 0],
    ].concat();
    assert_eq!(nth_box(&bytes, b"mdhd", 0), mdhd);
    // The video track refers to the timecode track.
    assert_eq!(nth_box(&bytes, b"tref", 0), b"\0\0\0\x14tref\0\0\0\x0Ctmcd\0\0\0\x03");
    assert_eq!(
        nth_box(&bytes, b"trex", 0),
        b"\0\0\0\x20trex\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\x03\xE8\0\0\0\0\x01\x01\0\0"
    );
    assert_eq!(
        nth_box(&bytes, b"trex", 1),
        b"\0\0\0\x20trex\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\x04\0\0\0\0\0\x02\0\0\0"
    );
    // One roll group: decoding begins one packet earlier.
    assert_eq!(
        nth_box(&bytes, b"sgpd", 0),
        b"\0\0\0\x1Asgpd\x01\0\0\0roll\0\0\0\x02\0\0\0\x01\xFF\xFF"
    );
    assert!(!bytes.windows(4).any(|w| w == b"elst"), "nothing to hide, no edit list");
}

#[test]
fn an_encoders_delay_becomes_an_edit() {
    let mut parameters = parameters();
    parameters.audio.as_mut().unwrap().priming_samples = 2048;
    let open = built(&parameters, None);
    let elst = b"\0\0\0\x1Celst\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\x08\0\0\x01\0\0";
    assert_eq!(nth_box(&open, b"elst", 0), elst);
    let mut recorded = Recorded::default();
    recorded.tables[1].add_chunk(0, &[(1, 1024); 3], false);
    let finished = built(&parameters, Some(&recorded));
    let elst = b"\0\0\0\x1Celst\0\0\0\0\0\0\0\x01\0\0\x04\0\0\0\x08\0\0\x01\0\0";
    assert_eq!(nth_box(&finished, b"elst", 0), elst);
    assert_eq!(&nth_box(&finished, b"mvhd", 0)[24..28], [0, 0, 4, 0]);
}

#[test]
fn a_late_picture_begins_with_an_empty_edit() {
    let mut recorded = Recorded { first_frame: 3, ..Recorded::default() };
    recorded.tables[0].add_chunk(0, &[(1, 1000)], true);
    let bytes = built(&parameters(), Some(&recorded));
    #[rustfmt::skip]
    let elst = [
        &[0, 0, 0, 40][..], b"elst", &[0, 0, 0, 0, 0, 0, 0, 2],
        &[0, 0, 0x12, 0xC0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 1, 0, 0], // 4,800 of nothing
        &[0, 0, 0x06, 0x40, 0, 0, 0, 0, 0, 1, 0, 0],
    ].concat();
    assert_eq!(nth_box(&bytes, b"elst", 0), elst);
}

#[test]
fn twelve_hours_fit_32_bits_and_a_day_and_a_half_takes_64() {
    let long = built(&parameters(), Some(&hours(12)));
    assert_eq!(nth_box(&long, b"mvhd", 0)[8], 0);
    // 12 x 3,600 s at 48,000.
    assert_eq!(&nth_box(&long, b"mvhd", 0)[24..28], 2_073_600_000_u32.to_be_bytes());
    assert_eq!(&nth_box(&long, b"mdhd", 0)[24..28], 1_296_000_000_u32.to_be_bytes());

    let longer = built(&parameters(), Some(&hours(36)));
    let mvhd = nth_box(&longer, b"mvhd", 0);
    assert_eq!((mvhd.len(), mvhd[8]), (120, 1));
    assert_eq!(&mvhd[32..40], 6_220_800_000_u64.to_be_bytes());
}

#[test]
fn the_peak_is_of_the_fullest_second_wherever_that_is() {
    let mut peak = Peak::default();
    // 30 pictures a second; the third second is the fullest.
    for n in 0..120u64 {
        let bytes = if n / 30 == 2 { 900 } else { 300 };
        peak.add(n * 1_000, 30_000, bytes);
    }
    assert_eq!(peak.most(), 30 * 900 * 8);
}
