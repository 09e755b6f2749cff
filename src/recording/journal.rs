//! The journal beside a recording: what the file's open fragment holds, sample by sample.
//!
//! ```text
//! header   "HZJRNL01" | u32 length | movie parameters (JSON) | u32 CRC of all before
//! record   u64 offset | u64 time | u32 size | u32 duration | u8 track | u8 flags | u16 0
//!          | u32 CRC of the sample's bytes | u32 CRC of all before      (36 bytes, big-endian)
//! ```
//!
//! A record is appended right behind its sample and never synced: a killed program loses nothing of
//! it, and after a power cut each record says by itself whether it and its sample reached the disk.
//! It has every sample from the file's beginning on, so that also a fragment whose index was
//! damaged can be recovered. Removed at the clean end.
//!
//! Pure: makes and reads bytes.

use serde_json::Error as JsonError;

use super::mp4::{MovieParameters, Placed, Track};

/// What the file's name ends with, in place of `mp4`.
pub const EXTENSION: &str = "journal";

/// Bytes of one record.
pub const RECORD: usize = 36;

const MAGIC: &[u8; 8] = b"HZJRNL01";
const SYNC: u8 = 1;
/// The parameters are some hundred bytes; what claims more is damaged.
const LONGEST_PARAMETERS: usize = 1 << 20;

/// One sample and the checksum of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it is and what it is.
    pub placed: Placed,
    /// CRC-32 of its bytes.
    pub checksum: u32,
}

/// Why the header cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("the journal's header cannot be made: {0}")]
pub struct HeaderError(#[from] JsonError);

/// CRC-32 (ISO 3309) of some bytes.
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The header of a new journal.
pub fn header(parameters: &MovieParameters) -> Result<Vec<u8>, HeaderError> {
    let json = serde_json::to_vec(parameters)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&(json.len() as u32).to_be_bytes());
    bytes.extend_from_slice(&json);
    bytes.extend_from_slice(&checksum(&bytes).to_be_bytes());
    Ok(bytes)
}

impl Record {
    /// The record of a sample that was put there.
    pub fn new(placed: Placed, sample: &[u8]) -> Self {
        Self { placed, checksum: checksum(sample) }
    }

    /// As it stands in the journal.
    pub fn to_bytes(&self) -> [u8; RECORD] {
        let mut bytes = [0; RECORD];
        let p = &self.placed;
        bytes[0..8].copy_from_slice(&p.offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&p.time.to_be_bytes());
        bytes[16..20].copy_from_slice(&p.size.to_be_bytes());
        bytes[20..24].copy_from_slice(&p.duration.to_be_bytes());
        bytes[24] = p.track.index() as u8;
        bytes[25] = if p.sync { SYNC } else { 0 };
        bytes[28..32].copy_from_slice(&self.checksum.to_be_bytes());
        let own = checksum(&bytes[..32]);
        bytes[32..].copy_from_slice(&own.to_be_bytes());
        bytes
    }

    /// Reads one; `None` when it is torn or damaged.
    pub fn from_bytes(bytes: &[u8; RECORD]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes of the record"))
        };
        let long = |at: usize| u64::from(word(at)) << 32 | u64::from(word(at + 4));
        if word(32) != checksum(&bytes[..32]) {
            return None;
        }
        let track = *Track::ALL.get(usize::from(bytes[24]))?;
        let placed = Placed {
            track,
            offset: long(0),
            size: word(16),
            time: long(8),
            duration: word(20),
            sync: bytes[25] & SYNC != 0,
        };
        Some(Self { placed, checksum: word(28) })
    }
}

/// A journal as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Journal {
    /// What the file was begun with; `None` when the header is damaged.
    pub parameters: Option<MovieParameters>,
    /// All whole records, in order.
    pub records: Vec<Record>,
    /// Records, or a part of one, that are torn or damaged.
    pub damaged: u64,
}

impl Journal {
    /// Reads a journal, whatever became of it. Never fails: what cannot be read is counted.
    pub fn read(bytes: &[u8]) -> Self {
        let mut journal = Self::default();
        // Without its header nobody knows where the records begin.
        let Some((parameters, rest)) = read_header(bytes) else {
            journal.damaged = u64::from(!bytes.is_empty());
            return journal;
        };
        journal.parameters = Some(parameters);
        let (whole, torn) = rest.as_chunks::<RECORD>();
        for record in whole {
            match Record::from_bytes(record) {
                Some(record) => journal.records.push(record),
                None => journal.damaged += 1,
            }
        }
        journal.damaged += u64::from(!torn.is_empty());
        journal
    }
}

fn read_header(bytes: &[u8]) -> Option<(MovieParameters, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length > LONGEST_PARAMETERS {
        return None;
    }
    let json = rest.get(..length)?;
    let (own, records) = rest[length..].split_first_chunk::<4>()?;
    let checked = MAGIC.len() + 4 + length;
    if u32::from_be_bytes(*own) != checksum(&bytes[..checked]) {
        return None;
    }
    Some((serde_json::from_slice(json).ok()?, records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::mp4::AudioCoding;
    use crate::recording::mp4::{AudioTrack, Timecode};
    use proptest::prelude::*;

    fn parameters() -> MovieParameters {
        MovieParameters {
            video: None,
            audio: Some(AudioTrack {
                coding: AudioCoding::Aac,
                configuration: vec![0x11, 0x88],
                bitrate: 192_000,
                priming_samples: 0,
                samples_per_packet: 1024,
            }),
            timecode: Timecode { start_frame: 12 },
            created_utc_seconds: 1_772_223_300,
        }
    }

    fn record(n: u64) -> Record {
        let placed = Placed {
            track: Track::ALL[n as usize % 3],
            offset: 5 << 32 | n,
            size: 10 + n as u32,
            time: 7 << 32 | n,
            duration: 1024,
            sync: n.is_multiple_of(2),
        };
        Record::new(placed, &n.to_be_bytes())
    }

    fn journal(records: u64) -> Vec<u8> {
        let mut bytes = header(&parameters()).unwrap();
        (0..records).for_each(|n| bytes.extend_from_slice(&record(n).to_bytes()));
        bytes
    }

    #[test]
    fn what_was_written_reads_back() {
        let journal = Journal::read(&journal(5));
        assert_eq!(journal.parameters, Some(parameters()));
        assert_eq!(journal.records, (0..5).map(record).collect::<Vec<_>>());
        assert_eq!(journal.damaged, 0);
    }

    #[test]
    fn a_torn_tail_is_recognised_at_every_byte() {
        let whole = journal(3);
        let begin = whole.len() - 3 * RECORD;
        for cut in 0..=whole.len() {
            let read = Journal::read(&whole[..cut]);
            let records = cut.saturating_sub(begin) / RECORD;
            assert_eq!(read.records.len(), records, "cut at {cut}");
            let torn = cut > 0 && (cut < begin || !(cut - begin).is_multiple_of(RECORD));
            assert_eq!(read.damaged, u64::from(torn), "cut at {cut}");
        }
        // A power cut may leave the length without the bytes.
        let mut zeros = whole.clone();
        let from = begin + RECORD + 5;
        zeros[from..].fill(0);
        assert_eq!((Journal::read(&zeros).records.len(), Journal::read(&zeros).damaged), (1, 2));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_costs_its_own_record_alone(at in 0..3 * RECORD * 8) {
            let mut bytes = journal(3);
            let begin = bytes.len() - 3 * RECORD;
            bytes[begin + at / 8] ^= 1 << (at % 8);
            let read = Journal::read(&bytes);
            prop_assert_eq!((read.records.len(), read.damaged), (2, 1));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut damaged = MAGIC.to_vec();
            damaged.extend_from_slice(&bytes);
            let _ = Journal::read(&damaged);
            let _ = Journal::read(&bytes);
        }
    }
}
