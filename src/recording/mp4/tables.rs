//! A track's sample table: what the final `moov` tells of each committed sample (`stbl`).
//!
//! Pure. Grows by 4 bytes a sample and 12 a chunk: some 45 MB in twelve hours.

use super::boxes::Boxes;

/// Everything `stbl` holds but the sample description.
#[derive(Clone, Debug, Default)]
pub struct SampleTable {
    sizes: Vec<u32>,
    /// Runs of equal durations: how many, and each in media ticks.
    durations: Vec<(u32, u32)>,
    /// Numbers, from 1, of the samples that decoding can begin at.
    sync: Vec<u32>,
    chunks: Vec<u64>,
    /// Runs of chunks with equally many samples: first chunk from 0, samples in each.
    chunk_sizes: Vec<(u32, u32)>,
    duration: u64,
    bytes: u64,
    largest: u32,
}

impl SampleTable {
    /// Samples in the table.
    pub fn len(&self) -> u32 {
        self.sizes.len() as u32
    }

    /// Sum of all durations, media ticks.
    pub fn duration(&self) -> u64 {
        self.duration
    }

    /// Sum of all sizes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The largest sample's size.
    pub fn largest(&self) -> u32 {
        self.largest
    }

    /// Bytes that [`Self::put`] will take, at most.
    pub fn index_bytes(&self) -> u64 {
        const HEADERS: u64 = 5 * 20;
        let entries = |count: usize, bytes: u64| count as u64 * bytes;
        HEADERS
            + entries(self.sizes.len(), 4)
            + entries(self.durations.len(), 8)
            + entries(self.sync.len(), 4)
            + entries(self.chunks.len(), 8)
            + entries(self.chunk_sizes.len(), 12)
    }

    /// Adds samples that lie one behind the other from `offset` on, each as (size, duration).
    /// `sync_first`: decoding can begin at the first of them.
    pub fn add_chunk(&mut self, offset: u64, samples: &[(u32, u32)], sync_first: bool) {
        if sync_first {
            self.sync.push(self.len() + 1);
        }
        for &(size, duration) in samples {
            self.sizes.push(size);
            self.bytes += u64::from(size);
            self.largest = self.largest.max(size);
            self.push_duration(duration);
        }
        let count = samples.len() as u32;
        if self.chunk_sizes.last().is_none_or(|last| last.1 != count) {
            self.chunk_sizes.push((self.chunks.len() as u32, count));
        }
        self.chunks.push(offset);
    }

    fn push_duration(&mut self, duration: u32) {
        self.duration += u64::from(duration);
        match self.durations.last_mut() {
            Some(last) if last.1 == duration => last.0 += 1,
            _ => self.durations.push((1, duration)),
        }
    }

    /// Gives the newest sample this duration.
    pub fn set_last_duration(&mut self, ticks: u32) {
        let Some(last) = self.durations.last_mut() else { return };
        self.duration -= u64::from(last.1);
        last.0 -= 1;
        if last.0 == 0 {
            self.durations.pop();
        }
        self.push_duration(ticks);
    }

    /// `stts`, `stss` when `some_depend` on others, `stsc`, `stsz`, `stco` or `co64`.
    pub fn put(&self, b: &mut Boxes, some_depend: bool) {
        b.put_full(b"stts", 0, 0, |b| {
            b.u32(self.durations.len() as u32);
            for (count, duration) in &self.durations {
                b.u32(*count);
                b.u32(*duration);
            }
        });
        if some_depend {
            b.put_full(b"stss", 0, 0, |b| {
                b.u32(self.sync.len() as u32);
                for number in &self.sync {
                    b.u32(*number);
                }
            });
        }
        b.put_full(b"stsc", 0, 0, |b| {
            b.u32(self.chunk_sizes.len() as u32);
            for (first, samples) in &self.chunk_sizes {
                b.u32(first + 1);
                b.u32(*samples);
                b.u32(1); // sample_description_index
            }
        });
        b.put_full(b"stsz", 0, 0, |b| {
            b.u32(0);
            b.u32(self.len());
            for size in &self.sizes {
                b.u32(*size);
            }
        });
        let beyond_4_gib = self.chunks.last().is_some_and(|last| *last > u64::from(u32::MAX));
        let kind = if beyond_4_gib { b"co64" } else { b"stco" };
        b.put_full(kind, 0, 0, |b| {
            b.u32(self.chunks.len() as u32);
            for offset in &self.chunks {
                if beyond_4_gib {
                    b.u64(*offset);
                } else {
                    b.u32(*offset as u32);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table_bytes(table: &SampleTable, some_depend: bool) -> Vec<u8> {
        let mut b = Boxes::new();
        table.put(&mut b, some_depend);
        b.into_bytes()
    }

    #[test]
    fn tables_are_laid_out_as_14496_12_says() {
        let mut table = SampleTable::default();
        table.add_chunk(0x100, &[(5, 1000)], true);
        table.add_chunk(0x200, &[(6, 1000)], false);
        table.add_chunk(0x300, &[(7, 1000), (8, 1000)], false);
        #[rustfmt::skip]
        assert_eq!(table_bytes(&table, true), [
            &[0, 0, 0, 24][..], b"stts", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 3, 0xE8],
            &[0, 0, 0, 20], b"stss", &[0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            &[0, 0, 0, 40], b"stsc", &[0, 0, 0, 0, 0, 0, 0, 2,
                0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1,
                0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 36], b"stsz", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4,
                0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8],
            &[0, 0, 0, 28], b"stco", &[0, 0, 0, 0, 0, 0, 0, 3,
                0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0],
        ].concat());
        assert_eq!((table.duration(), table.bytes(), table.largest()), (4000, 26, 8));
    }

    #[test]
    fn offsets_beyond_4_gib_take_co64() {
        let mut table = SampleTable::default();
        table.add_chunk(0x1_0000_0010, &[(1, 1)], false);
        let bytes = table_bytes(&table, false);
        let tail = &bytes[bytes.len() - 24..];
        assert_eq!(tail, b"\0\0\0\x18co64\0\0\0\0\0\0\0\x01\0\0\0\x01\0\0\0\x10");
    }

    #[test]
    fn a_gap_lengthens_the_sample_before_it() {
        let mut table = SampleTable::default();
        table.add_chunk(0, &[(1, 1000), (1, 1000)], true);
        table.set_last_duration(1_500);
        assert_eq!(table.durations, [(1, 1000), (1, 1500)]);
        assert_eq!(table.duration(), 2500);
    }
}
