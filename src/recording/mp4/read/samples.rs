//! Every sample of a finished file's track, put together from its tables (ISO 14496-12, 8.6 and 8.7).
//!
//! Pure but for the reader that comes in as a parameter. What the tables say of each other must
//! agree; what does not is told as a fault, never a panic.

use std::io::{Read, Seek};

use super::ReadError;
use super::input::{BoxAt, Input, u32_at};

/// One sample and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleAt {
    /// Where it begins, from the start of the file.
    pub offset: u64,
    /// Decode time, media ticks.
    pub time: u64,
    /// Bytes.
    pub size: u32,
    /// Media ticks.
    pub duration: u32,
    /// Decoding can begin with it.
    pub sync: bool,
}

impl SampleAt {
    /// Where it ends.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.size))
    }
}

/// The tables of one `stbl`. Each holds at most what its box has room for.
#[derive(Debug, Default)]
pub struct Tables {
    sizes: Vec<u32>,
    /// Samples when all have one size, and that size.
    same_size: Option<(u64, u32)>,
    durations: Vec<(u32, u32)>,
    sync: Option<Vec<u32>>,
    chunks: Vec<u64>,
    /// First chunk from 1, samples in each.
    chunk_sizes: Vec<(u32, u32)>,
}

impl Tables {
    /// Takes one of the boxes in; passes over others. `count` is what stands where most have theirs.
    pub fn read<R: Read + Seek>(
        &mut self,
        input: &mut Input<'_, R>,
        part: BoxAt,
        count: u64,
    ) -> Result<(), ReadError> {
        let table = part.content + 8;
        let word = |entry: &[u8], at| u32_at(entry, at).unwrap_or(0);
        match &part.kind {
            b"stsz" => {
                let mut head = [0; 4];
                let known = input.read_exact_at(table, &mut head)?;
                let samples = u64::from(u32::from_be_bytes(head));
                match u32::try_from(count) {
                    Ok(size) if size > 0 && known => self.same_size = Some((samples, size)),
                    _ => input.entries::<4>(table + 4, part.end, samples, |size| {
                        self.sizes.push(u32::from_be_bytes(*size));
                        true
                    })?,
                }
            }
            b"stts" => input.entries::<8>(table, part.end, count, |entry| {
                self.durations.push((word(entry, 0), word(entry, 4)));
                true
            })?,
            b"stss" => {
                let numbers = self.sync.get_or_insert_default();
                input.entries::<4>(table, part.end, count, |number| {
                    numbers.push(u32::from_be_bytes(*number));
                    true
                })?;
            }
            b"stsc" => input.entries::<12>(table, part.end, count, |entry| {
                self.chunk_sizes.push((word(entry, 0), word(entry, 4)));
                true
            })?,
            b"stco" => input.entries::<4>(table, part.end, count, |offset| {
                self.chunks.push(u64::from(u32::from_be_bytes(*offset)));
                true
            })?,
            b"co64" => input.entries::<8>(table, part.end, count, |offset| {
                self.chunks.push(u64::from_be_bytes(*offset));
                true
            })?,
            _ => {}
        }
        Ok(())
    }

    /// The samples; what does not fit together goes to `faults`.
    pub fn combine(self, samples: &mut Vec<SampleAt>, faults: &mut Vec<String>) {
        // One size for all needs no table, so only other tables bound the count.
        let listed: u64 = self.durations.iter().map(|(count, _)| u64::from(*count)).sum();
        let count = match self.same_size {
            Some((count, _)) => count.min(self.chunks.len() as u64 * 1_000).min(listed),
            None => self.sizes.len() as u64,
        };
        if listed != count {
            faults.push(format!("stts tells {listed} samples, stsz {count}"));
        }
        let size_of = |index: usize| match self.same_size {
            Some((_, size)) => size,
            None => self.sizes[index],
        };
        let mut sync = self.sync.as_ref().map(|numbers| numbers.iter().peekable());
        if let Some(numbers) = &self.sync {
            let rising = numbers.windows(2).all(|pair| pair[0] < pair[1]);
            let inside = numbers.iter().all(|n| *n >= 1 && u64::from(*n) <= count);
            if !rising || !inside {
                faults.push("stss is not in order or tells of samples that are not there".into());
            }
        }
        if !self.chunk_sizes.windows(2).all(|pair| pair[0].0 < pair[1].0)
            || self.chunk_sizes.first().is_some_and(|first| first.0 != 1)
        {
            faults.push("stsc is not in order".into());
            return;
        }

        let mut durations =
            self.durations.iter().flat_map(|&(n, d)| std::iter::repeat_n(d, n as usize));
        let mut sizes = self.chunk_sizes.iter().peekable();
        let (mut in_chunk, mut time, mut index) = (0, 0_u64, 0_usize);
        'chunks: for (number, offset) in (1_u32..).zip(&self.chunks) {
            while let Some((_, count)) = sizes.next_if(|(first, _)| *first <= number) {
                in_chunk = *count;
            }
            let mut offset = *offset;
            for _ in 0..in_chunk {
                if index as u64 >= count {
                    faults.push("the chunks hold more samples than stsz tells".into());
                    break 'chunks;
                }
                let size = size_of(index);
                let duration = durations.next().unwrap_or(0);
                let number = index as u32 + 1;
                let sync = match &mut sync {
                    Some(numbers) => numbers.next_if(|n| **n == number).is_some(),
                    None => true,
                };
                samples.push(SampleAt { offset, time, size, duration, sync });
                offset = offset.saturating_add(u64::from(size));
                time = time.saturating_add(u64::from(duration));
                index += 1;
            }
        }
        if (index as u64) < count {
            faults.push(format!("the chunks hold {index} samples, stsz tells {count}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        Tables {
            sizes: vec![5, 6, 7],
            same_size: None,
            durations: vec![(2, 1000), (1, 500)],
            sync: Some(vec![1, 3]),
            chunks: vec![100, 300],
            chunk_sizes: vec![(1, 2), (2, 1)],
        }
    }

    #[test]
    fn tables_become_samples() {
        let (mut samples, mut faults) = (Vec::new(), Vec::new());
        tables().combine(&mut samples, &mut faults);
        let told: Vec<_> =
            samples.iter().map(|s| (s.offset, s.size, s.time, s.duration, s.sync)).collect();
        assert_eq!(
            told,
            [(100, 5, 0, 1000, true), (105, 6, 1000, 1000, false), (300, 7, 2000, 500, true)]
        );
        assert!(faults.is_empty(), "{faults:?}");
    }

    #[test]
    fn tables_that_disagree_are_told_of() {
        type Spoil = fn(&mut Tables);
        let cases: [Spoil; 7] = [
            |t| t.durations[0].0 = 9,
            |t| t.sizes.push(1),
            |t| t.chunks.truncate(1),
            |t| t.chunk_sizes[1].1 = 4,
            |t| t.chunk_sizes[0].0 = 2,
            |t| t.sync = Some(vec![3, 1]),
            |t| t.sync = Some(vec![1, 9]),
        ];
        for (n, spoil) in cases.into_iter().enumerate() {
            let (mut samples, mut faults) = (Vec::new(), Vec::new());
            let mut tables = tables();
            spoil(&mut tables);
            tables.combine(&mut samples, &mut faults);
            assert!(!faults.is_empty(), "case {n}");
        }
    }
}
