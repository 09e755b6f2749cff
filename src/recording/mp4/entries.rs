//! Sample entries: `avc1` (ISO 14496-15), `mp4a` (ISO 14496-14) and `tmcd` (QuickTime).
//!
//! Pure; writes boxes and knows nothing of files.

use super::boxes::Boxes;
use super::sps::{SpsFields, has_chroma_fields};
use super::{AudioCoding, AudioTrack, FRAME_TICKS, Mp4Error, VIDEO_TIMESCALE, VideoTrack};
use crate::units::{RECORDING_FPS, SAMPLE_RATE};

/// Bits per second, for `btrt` and `esds`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitrate {
    /// Mean over the track.
    pub average: u32,
    /// Most in any fragment.
    pub peak: u32,
    /// Largest sample, bytes: what a decoder must be able to take at once.
    pub buffer: u32,
}

/// `avc1` with `avcC`, `colr` (BT.709 limited), `pasp` (square) and `btrt`.
pub fn avc1(b: &mut Boxes, track: &VideoTrack, bitrate: Bitrate) {
    b.put(b"avc1", |b| {
        b.zeros(6);
        b.u16(1); // data_reference_index
        b.zeros(16);
        b.u16(track.width);
        b.u16(track.height);
        b.u32(0x0048_0000); // 72 dpi, as 14496-12 templates it
        b.u32(0x0048_0000);
        b.u32(0);
        b.u16(1); // frame_count
        b.zeros(32); // compressorname
        b.u16(0x0018); // depth
        b.u16(0xFFFF); // pre_defined = -1
        avcc(b, &track.sps, &track.pps);
        b.put(b"colr", |b| {
            b.raw(b"nclx");
            b.u16(1); // primaries: BT.709
            b.u16(1); // transfer
            b.u16(1); // matrix
            b.u8(0); // limited range
        });
        b.put(b"pasp", |b| {
            b.u32(1);
            b.u32(1);
        });
        btrt(b, bitrate);
    });
}

fn btrt(b: &mut Boxes, bitrate: Bitrate) {
    b.put(b"btrt", |b| {
        b.u32(bitrate.buffer);
        b.u32(bitrate.peak);
        b.u32(bitrate.average);
    });
}

/// Checks the parameter sets once, so that [`avc1`] cannot fail.
pub fn check_parameter_sets(track: &VideoTrack) -> Result<(), Mp4Error> {
    if track.sps.len() > usize::from(u16::MAX) || track.pps.len() > usize::from(u16::MAX) {
        return Err(Mp4Error::Parameters("an H.264 parameter set is longer than 65,535 bytes"));
    }
    if SpsFields::parse(&track.sps).is_none() {
        return Err(Mp4Error::Parameters("the H.264 sequence parameter set cannot be read"));
    }
    if track.pps.first().is_none_or(|header| header & 0x1F != 8) {
        return Err(Mp4Error::Parameters("the H.264 picture parameter set cannot be read"));
    }
    Ok(())
}

fn avcc(b: &mut Boxes, sps: &[u8], pps: &[u8]) {
    let fields = SpsFields::parse(sps).expect("checked when the writer was created");
    b.put(b"avcC", |b| {
        b.u8(1); // configurationVersion
        b.u8(fields.profile);
        b.u8(fields.constraints);
        b.u8(fields.level);
        b.u8(0xFC | 3); // NAL lengths take 4 bytes
        b.u8(0xE0 | 1); // one SPS
        b.u16(u16::try_from(sps.len()).expect("checked when the writer was created"));
        b.raw(sps);
        b.u8(1); // one PPS
        b.u16(u16::try_from(pps.len()).expect("checked when the writer was created"));
        b.raw(pps);
        if has_chroma_fields(fields.profile) {
            b.u8(0xFC | fields.chroma_format);
            b.u8(0xF8 | fields.luma_depth_minus8);
            b.u8(0xF8 | fields.chroma_depth_minus8);
            b.u8(0); // no SPS extensions
        }
    });
}

/// Bytes of FLAC's STREAMINFO block (RFC 9639, 8.2).
const STREAM_INFO_BYTES: usize = 34;
/// Bytes of `dOps` with channel mapping family 0.
const DOPS_BYTES: usize = 11;

/// Checks the audio configuration once, so that [`sound`] cannot fail.
pub fn check_audio(track: &AudioTrack) -> Result<(), Mp4Error> {
    let bytes = track.configuration.len();
    match track.coding {
        // Keeps every descriptor under 128 bytes, so that its length takes one byte.
        AudioCoding::Aac if !(2..=64).contains(&bytes) => {
            return Err(Mp4Error::Parameters("the AudioSpecificConfig is not 2 to 64 bytes"));
        }
        AudioCoding::Flac if bytes != STREAM_INFO_BYTES => {
            return Err(Mp4Error::Parameters("the FLAC STREAMINFO is not 34 bytes"));
        }
        AudioCoding::Opus if bytes != DOPS_BYTES => {
            return Err(Mp4Error::Parameters("the description of the Opus stream is not 11 bytes"));
        }
        AudioCoding::Aac | AudioCoding::Flac | AudioCoding::Opus => {}
    }
    if track.samples_per_packet == 0 {
        return Err(Mp4Error::Parameters("an audio packet must hold samples"));
    }
    Ok(())
}

/// The sound's entry, mono, 48 kHz: `mp4a` with `esds`, `fLaC` with `dfLa`, `Opus` with `dOps`.
pub fn sound(b: &mut Boxes, track: &AudioTrack, bitrate: Bitrate) {
    let (kind, bits) = match track.coding {
        AudioCoding::Aac => (b"mp4a", 16), // as templated
        AudioCoding::Flac => (b"fLaC", 24),
        AudioCoding::Opus => (b"Opus", 16), // as the encapsulation sets it
    };
    b.put(kind, |b| {
        b.zeros(6);
        b.u16(1); // data_reference_index
        b.zeros(8);
        b.u16(1); // channels
        b.u16(bits);
        b.u32(0);
        b.u32(SAMPLE_RATE << 16);
        match track.coding {
            AudioCoding::Aac => esds(b, &track.configuration, bitrate),
            AudioCoding::Flac => dfla(b, &track.configuration),
            AudioCoding::Opus => {
                b.put(b"dOps", |b| b.raw(&track.configuration));
                btrt(b, bitrate);
            }
        }
    });
}

/// FLACSpecificBox: the metadata blocks that a decoder needs, STREAMINFO alone.
fn dfla(b: &mut Boxes, stream_info: &[u8]) {
    b.put_full(b"dfLa", 0, 0, |b| {
        b.u8(0x80); // the last block; type 0: STREAMINFO
        b.raw(&[0, 0, STREAM_INFO_BYTES as u8]); // its length, 24 bits
        b.raw(stream_info);
    });
}

/// One descriptor (ISO 14496-1, 8.3.3): tag, length in one byte, content.
fn descriptor(b: &mut Boxes, tag: u8, content: &[u8]) {
    b.u8(tag);
    b.u8(u8::try_from(content.len()).expect("descriptors stay under 128 bytes"));
    b.raw(content);
}

fn esds(b: &mut Boxes, asc: &[u8], bitrate: Bitrate) {
    let mut decoder = Boxes::new();
    decoder.u8(0x40); // objectTypeIndication: ISO 14496-3 audio
    decoder.u8(0x05 << 2 | 1); // streamType: audio
    decoder.raw(&bitrate.buffer.min(0x00FF_FFFF).to_be_bytes()[1..]);
    decoder.u32(bitrate.peak);
    decoder.u32(bitrate.average);
    descriptor(&mut decoder, 0x05, asc);

    let mut stream = Boxes::new();
    stream.u16(0); // ES_ID: 0 inside a file
    stream.u8(0);
    descriptor(&mut stream, 0x04, &decoder.into_bytes());
    descriptor(&mut stream, 0x06, &[2]); // SLConfig: reserved for MP4

    b.put_full(b"esds", 0, 0, |b| descriptor(b, 0x03, &stream.into_bytes()));
}

/// Timecode flag "wraps at 24 hours" (QuickTime File Format, timecode sample description).
const WRAPS_AT_24_HOURS: u32 = 2;

/// `tmcd`: 30 fps, non-drop.
pub fn tmcd(b: &mut Boxes) {
    b.put(b"tmcd", |b| {
        b.zeros(6);
        b.u16(1); // data_reference_index
        b.u32(0);
        b.u32(WRAPS_AT_24_HOURS);
        b.u32(VIDEO_TIMESCALE);
        b.u32(FRAME_TICKS);
        b.u8(RECORDING_FPS as u8);
        b.u8(0);
    });
}

/// The timecode track's media header: `gmhd` with `gmin` and `tmcd`/`tcmi` (QuickTime).
pub fn gmhd(b: &mut Boxes) {
    b.put(b"gmhd", |b| {
        b.put_full(b"gmin", 0, 0, |b| {
            b.u16(0x0040); // graphics mode: dither copy, as QuickTime templates it
            b.u16(0x8000);
            b.u16(0x8000);
            b.u16(0x8000);
            b.u16(0); // balance
            b.u16(0);
        });
        b.put(b"tmcd", |b| {
            b.put_full(b"tcmi", 0, 0, |b| {
                b.u16(0); // font: the system's
                b.u16(0); // face: plain
                b.u16(12); // size
                b.u16(0);
                b.zeros(6); // black
                b.u16(0xFFFF); // on white
                b.u16(0xFFFF);
                b.u16(0xFFFF);
                b.u8(0); // font name: none
            });
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Bitrate = Bitrate { average: 192_000, peak: 192_512, buffer: 768 };

    #[test]
    fn esds_is_laid_out_as_14496_1_and_14_say() {
        let mut b = Boxes::new();
        esds(&mut b, &[0x11, 0x88], RATE);
        #[rustfmt::skip]
        assert_eq!(b.into_bytes(), [
            0, 0, 0, 39, b'e', b's', b'd', b's', 0, 0, 0, 0,
            3, 25, 0, 0, 0, // ES_Descriptor: id 0, no flags
            4, 17, 0x40, 0x15, 0, 3, 0, 0, 2, 0xF0, 0, 0, 2, 0xEE, 0, // 192,512 and 192,000
            5, 2, 0x11, 0x88, // AudioSpecificConfig
            6, 1, 2, // SLConfigDescriptor
        ]);
    }

    #[test]
    fn a_flac_entry_is_laid_out_as_the_encapsulation_says() {
        let configuration: Vec<u8> = (1..=34).collect();
        let mut track = AudioTrack {
            coding: AudioCoding::Flac,
            configuration: configuration.clone(),
            bitrate: 700_000,
            priming_samples: 0,
            samples_per_packet: 1_024,
        };
        assert!(check_audio(&track).is_ok());
        let mut b = Boxes::new();
        sound(&mut b, &track, RATE);
        #[rustfmt::skip]
        let mut expected = vec![
            0, 0, 0, 86, b'f', b'L', b'a', b'C', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 1, 0, 24, 0, 0, 0, 0, 0xBB, 0x80, 0, 0, // one channel, 24 bit, 48,000 Hz
            0, 0, 0, 50, b'd', b'f', b'L', b'a', 0, 0, 0, 0, 0x80, 0, 0, 34,
        ];
        expected.extend(configuration);
        assert_eq!(b.into_bytes(), expected);
        track.configuration.pop();
        assert!(check_audio(&track).is_err());
    }

    #[test]
    fn an_opus_entry_is_laid_out_as_the_encapsulation_says() {
        let mut track = AudioTrack::opus(120, 32_000, 240);
        assert!(check_audio(&track).is_ok());
        let mut b = Boxes::new();
        sound(&mut b, &track, RATE);
        #[rustfmt::skip]
        assert_eq!(b.into_bytes(), [
            0, 0, 0, 75, b'O', b'p', b'u', b's', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0,
            0, 1, 0, 16, 0, 0, 0, 0, 0xBB, 0x80, 0, 0, // one channel, 16 bit, 48,000 Hz
            0, 0, 0, 19, b'd', b'O', b'p', b's', // a plain box: no version and flags of its own
            0, 1, 0, 120, 0, 0, 0xBB, 0x80, 0, 0, 0, // mono, pre-skip 120, 48,000 Hz, no gain
            0, 0, 0, 20, b'b', b't', b'r', b't', 0, 0, 3, 0, 0, 2, 0xF0, 0, 0, 2, 0xEE, 0,
        ]);
        track.configuration.pop();
        assert!(check_audio(&track).is_err());
    }

    #[test]
    fn avcc_of_a_high_profile_ends_with_chroma_and_depths() {
        let mut b = Boxes::new();
        avcc(&mut b, &[0x67, 100, 0, 41, 0xAC], &[0x68, 0xEE]);
        #[rustfmt::skip]
        assert_eq!(b.into_bytes(), [
            0, 0, 0, 30, b'a', b'v', b'c', b'C',
            1, 100, 0, 41, 0xFF,
            0xE1, 0, 5, 0x67, 100, 0, 41, 0xAC,
            1, 0, 2, 0x68, 0xEE,
            0xFD, 0xF8, 0xF8, 0,
        ]);
    }

    #[test]
    fn the_timecode_entry_says_30_frames_non_drop() {
        let mut b = Boxes::new();
        tmcd(&mut b);
        #[rustfmt::skip]
        assert_eq!(b.into_bytes(), [
            0, 0, 0, 34, b't', b'm', b'c', b'd', 0, 0, 0, 0, 0, 0, 0, 1,
            0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0x75, 0x30, 0, 0, 3, 0xE8, 30, 0,
        ]);
    }

    #[test]
    fn parameter_sets_that_are_none_are_refused() {
        let track = VideoTrack { width: 64, height: 64, sps: vec![], pps: vec![0x68], bitrate: 1 };
        assert!(check_parameter_sets(&track).is_err());
    }
}
