//! Finding boxes in a file and loading them, with every size checked against its parent's.
//!
//! Pure but for the reader that comes in as a parameter.

use std::io::{self, Read, Seek, SeekFrom};

/// Most children of one box that are looked at: bounds memory against a file of empty boxes.
const MOST_CHILDREN: usize = 1024;

/// One box in the file.
#[derive(Clone, Copy, Debug)]
pub struct BoxAt {
    /// Its type.
    pub kind: [u8; 4],
    /// Where its header begins.
    pub start: u64,
    /// Where its content begins.
    pub content: u64,
    /// Where it ends; never beyond its parent.
    pub end: u64,
    /// It claims to go on beyond its parent's end.
    pub cut: bool,
    /// Its size is 0: it reaches to the end, whatever that is.
    pub open: bool,
}

/// A reader with a known length.
pub struct Input<'a, R> {
    reader: &'a mut R,
    length: u64,
}

impl<'a, R: Read + Seek> Input<'a, R> {
    /// Measures the reader.
    pub fn new(reader: &'a mut R) -> io::Result<Self> {
        let length = reader.seek(SeekFrom::End(0))?;
        Ok(Self { reader, length })
    }

    /// The file's length.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer`; false when the file ends before.
    pub fn read_exact_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<bool> {
        if at.checked_add(buffer.len() as u64).is_none_or(|end| end > self.length) {
            return Ok(false);
        }
        self.reader.seek(SeekFrom::Start(at))?;
        self.reader.read_exact(buffer)?;
        Ok(true)
    }

    /// The box that begins at `at` inside a parent that ends at `end`; `None` when no whole
    /// header is there or its size cannot be one.
    pub fn box_at(&mut self, at: u64, end: u64) -> io::Result<Option<BoxAt>> {
        let mut head = [0; 16];
        if end.checked_sub(at).is_none_or(|room| room < 8)
            || !self.read_exact_at(at, &mut head[..8])?
        {
            return Ok(None);
        }
        let kind = [head[4], head[5], head[6], head[7]];
        let (size, header) = match u32::from_be_bytes([head[0], head[1], head[2], head[3]]) {
            0 => (end - at, 8),
            1 => {
                if end - at < 16 || !self.read_exact_at(at + 8, &mut head[8..])? {
                    return Ok(None);
                }
                (u64_at(&head, 8).unwrap_or(0), 16)
            }
            size => (u64::from(size), 8),
        };
        if size < header {
            return Ok(None);
        }
        let claimed = at.saturating_add(size);
        Ok(Some(BoxAt {
            kind,
            start: at,
            content: at + header,
            end: claimed.min(end),
            cut: claimed > end,
            open: head[..4] == [0; 4],
        }))
    }

    /// A box's content, at most `most` bytes of it.
    pub fn load(&mut self, found: BoxAt, most: u64) -> io::Result<Vec<u8>> {
        let size = found.end.saturating_sub(found.content).min(most);
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        if !self.read_exact_at(found.content, &mut bytes)? {
            bytes.clear();
        }
        Ok(bytes)
    }

    /// Calls `each` with every whole entry of `N` bytes from `from` on, at most `count` of them,
    /// until it answers false. Streams: holds one block at a time.
    pub fn entries<const N: usize>(
        &mut self,
        from: u64,
        end: u64,
        count: u64,
        mut each: impl FnMut(&[u8; N]) -> bool,
    ) -> io::Result<()> {
        const AT_ONCE: u64 = 4096;
        let mut left = count.min(end.saturating_sub(from) / N as u64);
        let mut block = vec![0; N * left.min(AT_ONCE) as usize];
        let mut at = from;
        while left > 0 {
            let now = left.min(AT_ONCE) as usize;
            let part = &mut block[..now * N];
            if !self.read_exact_at(at, part)? {
                return Ok(());
            }
            for entry in part.chunks_exact(N) {
                let entry = entry.try_into().expect("chunks_exact gives N bytes");
                if !each(entry) {
                    return Ok(());
                }
            }
            at += part.len() as u64;
            left -= now as u64;
        }
        Ok(())
    }
}

/// The boxes between two offsets, as far as they are whole headers.
pub fn children<R: Read + Seek>(
    input: &mut Input<'_, R>,
    from: u64,
    end: u64,
) -> io::Result<Vec<BoxAt>> {
    let mut found = Vec::new();
    let mut position = from;
    while found.len() < MOST_CHILDREN {
        let Some(child) = input.box_at(position, end)? else { break };
        position = child.end;
        found.push(child);
    }
    Ok(found)
}

/// Big-endian 16 bits at an offset.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Big-endian 32 bits at an offset.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Big-endian 64 bits at an offset.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
