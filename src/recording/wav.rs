//! The beginning of a WAV file of 24 bits, mono, 48 kHz, whose length is known: with a `bext` chunk
//! (EBU Tech 3285) whose time reference puts it at its timecode in an editor, and as RF64 (EBU Tech
//! 3306) beyond 4 GiB. (`hound`, which reads and writes all other WAV files, knows neither.)
//!
//! Pure: makes bytes.

use chrono::DateTime;

use super::mp4::Timecode;
use crate::units::{SAMPLE_RATE, SAMPLES_PER_FRAME};

/// Bytes of one sample.
pub const SAMPLE_BYTES: usize = 3;
/// Content of a `bext` chunk without coding history.
const BEXT: u32 = 602;
/// Content of a `ds64` chunk without a table.
const DS64: u32 = 28;

/// What the file says of itself.
#[derive(Clone, Debug)]
pub struct Origin<'a> {
    /// In words.
    pub description: &'a str,
    /// When its first sample was captured, seconds since 1970 UTC.
    pub utc_seconds: u64,
    /// The same as time of day.
    pub timecode: Timecode,
}

/// Everything in front of that many samples.
pub fn header(samples: u64, origin: &Origin<'_>) -> Vec<u8> {
    let data = samples.saturating_mul(SAMPLE_BYTES as u64);
    let padded = data.saturating_add(data % 2);
    // "WAVE", and each chunk with its own header.
    let riff = padded.saturating_add(u64::from(4 + 8 + BEXT + 8 + 16 + 8));
    let small = u32::try_from(riff).ok();
    let mut b = Vec::new();
    match small {
        Some(riff) => chunk(&mut b, b"RIFF", riff),
        None => chunk(&mut b, b"RF64", u32::MAX),
    }
    b.extend_from_slice(b"WAVE");
    if small.is_none() {
        chunk(&mut b, b"ds64", DS64);
        for long in [riff.saturating_add(u64::from(8 + DS64)), data, samples] {
            b.extend_from_slice(&long.to_le_bytes());
        }
        b.extend_from_slice(&[0; 4]);
    }
    chunk(&mut b, b"bext", BEXT);
    text(&mut b, origin.description, 256);
    text(&mut b, "HyperZoom", 32);
    text(&mut b, "", 32);
    let at = i64::try_from(origin.utc_seconds).ok().and_then(|s| DateTime::from_timestamp(s, 0));
    let at = at.unwrap_or_default();
    text(&mut b, &at.format("%Y-%m-%d").to_string(), 10);
    text(&mut b, &at.format("%H:%M:%S").to_string(), 8);
    let since_midnight =
        u64::from(origin.timecode.plus(0).start_frame) * u64::from(SAMPLES_PER_FRAME);
    b.extend_from_slice(&since_midnight.to_le_bytes());
    b.extend_from_slice(&1_u16.to_le_bytes());
    b.extend_from_slice(&[0; 64 + 190]);
    chunk(&mut b, b"fmt ", 16);
    b.extend_from_slice(&[1, 0, 1, 0]); // PCM, one channel
    b.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
    b.extend_from_slice(&(SAMPLE_RATE * SAMPLE_BYTES as u32).to_le_bytes());
    b.extend_from_slice(&[SAMPLE_BYTES as u8, 0, SAMPLE_BYTES as u8 * 8, 0]);
    chunk(&mut b, b"data", small.map_or(u32::MAX, |_| data as u32));
    b
}

/// What follows the samples: chunks have even lengths.
pub fn padding(samples: u64) -> &'static [u8] {
    if samples.is_multiple_of(2) { &[] } else { &[0] }
}

/// A sample as it stands in the file.
pub fn sample(value: f32) -> [u8; SAMPLE_BYTES] {
    const FULL: f32 = 8_388_607.0;
    let [a, b, c, _] = ((value.clamp(-1.0, 1.0) * FULL).round() as i32).to_le_bytes();
    [a, b, c]
}

fn chunk(b: &mut Vec<u8>, kind: &[u8; 4], bytes: u32) {
    b.extend_from_slice(kind);
    b.extend_from_slice(&bytes.to_le_bytes());
}

/// ASCII, cut or filled up with zeros.
fn text(b: &mut Vec<u8>, text: &str, bytes: usize) {
    let end = b.len() + bytes;
    let plain = text.chars().map(|c| if c.is_ascii() && !c.is_control() { c as u8 } else { b'?' });
    b.extend(plain.take(bytes));
    b.resize(end, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Origin<'static> {
        let timecode = Timecode { start_frame: 30 * 3_600 };
        Origin { description: "Bén", utc_seconds: 1_772_223_300, timecode }
    }

    #[test]
    fn another_reader_finds_the_samples_and_the_time_reference_is_where_3285_says() {
        let wanted = [0.0, 0.5, -1.0, 2.0, -0.25];
        let mut file = header(5, &origin());
        let begin = file.len();
        wanted.iter().for_each(|s| file.extend_from_slice(&sample(*s)));
        file.extend_from_slice(padding(5));
        let told = u32::from_le_bytes(file[4..8].try_into().unwrap());
        assert_eq!(told as usize, file.len() - 8);
        let mut reader = hound::WavReader::new(&file[..]).unwrap();
        let spec = reader.spec();
        assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 48_000, 24));
        let read: Vec<i32> = reader.samples::<i32>().map(Result::unwrap).collect();
        assert_eq!(read, [0, 4_194_304, -8_388_607, 8_388_607, -2_097_152]);
        assert_eq!(&file[20..24], b"B?n\0");
        let at = 20 + 256 + 32 + 32;
        assert_eq!(&file[at..at + 18], b"2026-02-2720:15:00");
        let reference = u64::from_le_bytes(file[at + 18..at + 26].try_into().unwrap());
        assert_eq!(reference, 3_600 * 48_000);
        assert_eq!(&file[begin - 8..begin - 4], b"data");
    }

    #[test]
    fn beyond_4_gib_it_is_rf64_with_the_lengths_in_their_own_chunk() {
        let samples = 2_000_000_000_u64;
        let file = header(samples, &origin());
        assert_eq!(&file[..8], b"RF64\xFF\xFF\xFF\xFF");
        assert_eq!(&file[12..16], b"ds64");
        let long = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
        assert_eq!(long(20), file.len() as u64 - 8 + samples * 3);
        assert_eq!([long(28), long(36)], [samples * 3, samples]);
        assert_eq!(&file[file.len() - 4..], &[0xFF; 4]);
    }
}
