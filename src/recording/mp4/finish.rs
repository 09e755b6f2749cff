//! The end of a file: the final index behind everything, and the 16 bytes that put it into force.
//!
//! Used by the writer and by recovery alike, so that both are safe at every byte: until the last
//! write the file is what it was. Pure; the file comes in as a parameter.

use std::io::{self, Read, Seek, SeekFrom};

use super::boxes::{Boxes, OPEN_FREE};
use super::fragment::Track;
use super::moov::{Recorded, has, moov, track_duration};
use super::{FRAME_TICKS, MovieParameters, Mp4Error, RecordingFile, Result};
use crate::units::{RECORDING_FPS, SAMPLE_RATE};

/// Where `free(16)` begins: right behind the 32-byte `ftyp`, so that it is 16-aligned.
pub const FREE_AT: u64 = 32;
/// Bytes read back at once.
const READ_BACK: usize = 64 * 1024;

/// Everything from the file's first byte to its first slot.
pub fn beginning(parameters: &MovieParameters) -> Vec<u8> {
    let mut b = Boxes::new();
    b.put(b"ftyp", |b| {
        b.raw(b"mp42");
        b.u32(0);
        b.raw(b"mp42isomiso6avc1");
    });
    // The content reads as a 64-bit size of 16 should only "size 1" of the last write land.
    b.put(b"free", |b| b.u64(16));
    moov(&mut b, parameters, None);
    let gap = b.len().next_multiple_of(8) - b.len();
    if gap > 0 {
        b.free(gap + 8);
    }
    b.into_bytes()
}

/// Gives the timecode the whole length; answers the movie's duration in 1/48,000 s. `next_frame`:
/// the frame that would have come next, `None` without a picture.
pub fn measure(
    parameters: &MovieParameters,
    recorded: &mut Recorded,
    next_frame: Option<u64>,
) -> u64 {
    let duration = Track::ALL
        .into_iter()
        .filter(|track| has(parameters, *track))
        .map(|track| track_duration(parameters, recorded, track))
        .max()
        .unwrap_or(0);
    let per_frame = u64::from(SAMPLE_RATE / RECORDING_FPS);
    let frames = next_frame.unwrap_or(duration.div_ceil(per_frame));
    let ticks = frames.saturating_mul(u64::from(FRAME_TICKS));
    let table = &mut recorded.tables[Track::Timecode.index()];
    table.set_last_duration(u32::try_from(ticks).unwrap_or(u32::MAX));
    duration
}

/// The final index, to be put at one place of the file.
pub struct FinalIndex {
    at: u64,
    bytes: Vec<u8>,
    head: [u8; 16],
}

impl FinalIndex {
    /// `at`: a multiple of 8, where an open `free` box or the file's end is.
    pub fn new(parameters: &MovieParameters, recorded: &Recorded, at: u64) -> Self {
        let mut b = Boxes::new();
        b.raw(&OPEN_FREE);
        moov(&mut b, parameters, Some(recorded));
        let swallowed = at + OPEN_FREE.len() as u64 - FREE_AT;
        let mut head = *b"\0\0\0\x01mdat\0\0\0\0\0\0\0\0";
        head[8..].copy_from_slice(&swallowed.to_be_bytes());
        Self { at, bytes: b.into_bytes(), head }
    }

    /// The file's length with it.
    pub fn length(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// Writes, syncs and reads it back. No reader sees it yet. `give_back`: space was reserved
    /// behind the end. On an error the file is cut to `keep` bytes if it grew beyond them.
    pub fn write<F: RecordingFile>(&self, file: &mut F, give_back: bool, keep: u64) -> Result<()> {
        const DOING: &str = "writing the final index";
        if let Err(error) = file.write_at(self.at, &self.bytes) {
            // What did fit lies in an open `free` and harms nobody, but its space is better free.
            let _ = file.set_len(keep);
            return Err(Mp4Error::io(DOING, error));
        }
        let longer = file.len().map_err(|e| Mp4Error::io(DOING, e))? != self.length();
        if longer || give_back {
            file.set_len(self.length()).map_err(|e| Mp4Error::io(DOING, e))?;
        }
        // The large size goes first, into the content of `free(16)`, where no reader looks.
        file.write_at(FREE_AT + 8, &self.head[8..]).map_err(|e| Mp4Error::io(DOING, e))?;
        file.sync().map_err(|e| Mp4Error::io("syncing the final index", e))?;

        let mut buffer = vec![0; READ_BACK.min(self.bytes.len())];
        let mut position = self.at;
        for part in self.bytes.chunks(READ_BACK) {
            let read = &mut buffer[..part.len()];
            file.read_at(position, read)
                .map_err(|e| Mp4Error::io("reading the final index back", e))?;
            if read != part {
                return Err(Mp4Error::ReadBack);
            }
            position += part.len() as u64;
        }
        Ok(())
    }

    /// Puts the index into force: one aligned write, whose sync is the caller's.
    pub fn swallow<F: RecordingFile>(&self, file: &mut F) -> Result<()> {
        file.write_at(FREE_AT, &self.head).map_err(|e| Mp4Error::io("finalising the file", e))
    }

    /// The file as it will be read after [`Self::swallow`].
    pub fn preview<'a, F: RecordingFile>(&self, file: &'a mut F) -> Preview<'a, F> {
        Preview { file, length: self.length(), head: self.head, position: 0 }
    }
}

/// A file seen with the last write done that has not been done yet.
pub struct Preview<'a, F> {
    file: &'a mut F,
    length: u64,
    head: [u8; 16],
    position: u64,
}

impl<F: RecordingFile> Read for Preview<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.length.saturating_sub(self.position);
        let count = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buffer = &mut buffer[..count];
        self.file.read_at(self.position, buffer)?;
        for (at, byte) in (self.position..).zip(buffer.iter_mut()) {
            let Some(inside) = at.checked_sub(FREE_AT) else { continue };
            match self.head.get(inside as usize) {
                Some(new) => *byte = *new,
                None => break,
            }
        }
        self.position += count as u64;
        Ok(count)
    }
}

impl<F: RecordingFile> Seek for Preview<'_, F> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
