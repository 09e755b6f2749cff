//! A recording file in memory that remembers every write and sync, for tests of write order.
//!
//! Pure; can be told to be full after so many bytes.

use std::io;

use super::RecordingFile;

/// One thing that was done to the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `data` was written at `offset`.
    Write {
        /// Byte offset.
        offset: u64,
        /// What was written.
        data: Vec<u8>,
    },
    /// The length was set.
    SetLen(u64),
    /// Space was asked for up to here.
    Reserve(u64),
    /// Everything before this is on the disk.
    Sync,
}

impl Operation {
    /// Does to a plain byte vector what was done to the file.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => {
                let start = usize::try_from(*offset).expect("the file fits into memory");
                if bytes.len() < start + data.len() {
                    bytes.resize(start + data.len(), 0);
                }
                bytes[start..start + data.len()].copy_from_slice(data);
            }
            Self::SetLen(length) => {
                bytes.resize(usize::try_from(*length).expect("the file fits into memory"), 0);
            }
            Self::Sync | Self::Reserve(_) => {}
        }
    }
}

/// The file.
#[derive(Clone, Debug, Default)]
pub struct MemoryFile {
    /// Its bytes as a reader would see them now.
    pub bytes: Vec<u8>,
    /// Everything that was done, in order.
    pub log: Vec<Operation>,
    /// Writes that would make the file longer than this fail as a full disk does, after writing
    /// what fits. `None`: no limit.
    pub capacity: Option<u64>,
}

impl MemoryFile {
    /// An empty file without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    fn do_it(&mut self, operation: Operation) {
        operation.apply(&mut self.bytes);
        self.log.push(operation);
    }
}

impl RecordingFile for MemoryFile {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        let room = self.capacity.map_or(usize::MAX, |capacity| {
            usize::try_from(capacity.saturating_sub(offset)).unwrap_or(usize::MAX)
        });
        let fits = data.len().min(room);
        if fits > 0 {
            self.do_it(Operation::Write { offset, data: data[..fits].to_vec() });
        }
        if fits < data.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.do_it(Operation::Sync);
        Ok(())
    }

    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let stored = start
            .checked_add(buffer.len())
            .and_then(|end| self.bytes.get(start..end))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(stored);
        Ok(())
    }

    fn len(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn reserve(&mut self, until: u64) -> io::Result<()> {
        if self.capacity.is_some_and(|capacity| until > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.do_it(Operation::Reserve(until));
        Ok(())
    }

    fn set_len(&mut self, length: u64) -> io::Result<()> {
        if self.capacity.is_some_and(|capacity| length > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.do_it(Operation::SetLen(length));
        Ok(())
    }
}

/// Lets a test keep a handle on a file that the writer owns.
impl RecordingFile for &mut MemoryFile {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, data)
    }
    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
    fn reserve(&mut self, until: u64) -> io::Result<()> {
        (**self).reserve(until)
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
    fn len(&mut self) -> io::Result<u64> {
        (**self).len()
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        (**self).set_len(length)
    }
}
