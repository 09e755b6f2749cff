//! Going through the samples of a file in the order they lie in it: their bytes against what is
//! known of them. Recovery and verification share this.
//!
//! Pure but for the reader that comes in as a parameter. Reads each byte once, a block at a time.

use std::io::{self, Read, Seek, SeekFrom};

use blake2::{Blake2s256, Digest};

use super::mp4::{SampleAt, Track};

/// Sample sizes above this are damage: a picture has a few hundred kilobytes at most.
const LARGEST_SAMPLE: u32 = 64 << 20;
/// Progress is told this often, bytes.
const STEP: u64 = 1 << 20;

/// Told of (bytes done, bytes in all).
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// The hash of the media (see [`super::mp4::Finished::media_hash`]), fed sample by sample.
#[derive(Default)]
pub struct MediaHash(Blake2s256);

impl MediaHash {
    /// The next sample in file order; the timecode's is left out.
    pub fn add(&mut self, track: Track, bytes: &[u8]) {
        if track != Track::Timecode {
            self.0.update(bytes);
        }
    }

    /// The hash of all samples.
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

/// A hash as it stands in the metadata.
pub fn hex(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Gives each sample's bytes to `each`, in the order given; `None` for one that is not in the file.
pub fn walk<R: Read + Seek>(
    reader: &mut R,
    samples: &[(Track, SampleAt)],
    progress: Progress<'_>,
    mut each: impl FnMut(Track, &SampleAt, Option<&[u8]>),
) -> io::Result<()> {
    let length = reader.seek(SeekFrom::End(0))?;
    let total: u64 = samples.iter().map(|(_, sample)| u64::from(sample.size)).sum();
    let (mut done, mut told) = (0, 0);
    let mut buffer = Vec::new();
    let mut at = length;
    for (track, sample) in samples {
        if sample.end() > length || sample.size > LARGEST_SAMPLE {
            each(*track, sample, None);
            continue;
        }
        if at != sample.offset {
            reader.seek(SeekFrom::Start(sample.offset))?;
        }
        buffer.resize(sample.size as usize, 0);
        reader.read_exact(&mut buffer)?;
        at = sample.end();
        each(*track, sample, Some(&buffer));
        done += u64::from(sample.size);
        if done >= told + STEP {
            told = done;
            progress(done, total);
        }
    }
    progress(total, total);
    Ok(())
}

/// What the NAL units of a length-prefixed sample are (ISO 14496-15, 5.3.3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nals {
    /// Whole, without an IDR slice.
    Dependent,
    /// Whole, with an IDR slice.
    Idr,
    /// Lengths that do not add up, or no slice at all.
    Damaged,
}

/// Looks at the NAL units' lengths and types.
pub fn nals(sample: &[u8]) -> Nals {
    let (mut idr, mut slice) = (false, false);
    let mut rest = sample;
    while !rest.is_empty() {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { return Nals::Damaged };
        let length = u32::from_be_bytes(*length) as usize;
        let Some(nal) = after.get(..length) else { return Nals::Damaged };
        // forbidden_zero_bit is 0; types 1 to 5 are slices (ISO 14496-10, table 7-1).
        match nal.first() {
            Some(header) if header & 0x80 == 0 => match header & 0x1F {
                5 => (idr, slice) = (true, true),
                1..5 => slice = true,
                0 | 24.. => return Nals::Damaged,
                _ => {}
            },
            _ => return Nals::Damaged,
        }
        rest = &after[length..];
    }
    match (slice, idr) {
        (false, _) => Nals::Damaged,
        (true, true) => Nals::Idr,
        (true, false) => Nals::Dependent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nal_units_are_told_by_type_and_must_add_up() {
        let idr = [0, 0, 0, 2, 0x65, 1, 0, 0, 0, 1, 0x06];
        assert_eq!(nals(&idr), Nals::Idr);
        assert_eq!(nals(&[0, 0, 0, 2, 0x41, 1]), Nals::Dependent);
        for damaged in [
            &[][..],
            &[0; 12],
            &[0, 0, 0, 3, 0x65, 1],
            &[0, 0, 0, 2, 0xE5, 1],
            &[0, 0, 0, 2, 0x65, 1, 9],
            &[0, 0, 0, 1, 0x06],
        ] {
            assert_eq!(nals(damaged), Nals::Damaged, "{damaged:?}");
        }
    }
}
