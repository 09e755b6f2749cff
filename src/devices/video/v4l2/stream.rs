//! The driver's buffers, mapped, filled by it and given back to it in turn.

use std::ffi::{c_int, c_void};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::device::Device;
use super::sys;

/// A buffer's memory, shared with the driver.
struct Mapped {
    at: NonNull<c_void>,
    len: usize,
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: what `mmap` gave, unmapped once; no slice of it lives longer than the stream.
        let _ = unsafe { munmap(self.at, self.len) };
    }
}

/// What the driver says of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// It was counted, also when nobody had a buffer for it. Wraps.
    pub sequence: u32,
    /// The driver calls it broken (V4L2_BUF_FLAG_ERROR).
    pub broken: bool,
    /// When it was taken, microseconds of CLOCK_MONOTONIC, where the driver uses that clock.
    pub monotonic: Option<i64>,
}

/// Pictures on their way. They stop, and the driver gets its memory back, when this goes.
pub struct Stream<'a> {
    device: &'a Device,
    buffers: Vec<Mapped>,
    // The one that was handed out last, until it is given back.
    lent: Option<u32>,
}

impl<'a> Stream<'a> {
    /// Maps that many buffers, or what the driver grants, queues them all and starts.
    pub fn start(device: &'a Device, buffers: u32) -> io::Result<Self> {
        let mut request: sys::RequestBuffers = sys::zeroed();
        request.count = buffers;
        request.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
        request.memory = sys::MEMORY_MMAP;
        // SAFETY: the request's own structure, ours for the time of the call.
        unsafe { sys::reqbufs(device.fd(), &raw mut request)? };
        // From here on, dropping gives back what there is.
        let mut stream = Self { device, buffers: Vec::new(), lent: None };
        for index in 0..request.count {
            let buffer = stream.map(index)?;
            stream.buffers.push(buffer);
            stream.queue(index)?;
        }
        let what = sys::BUF_TYPE_VIDEO_CAPTURE as c_int;
        // SAFETY: as above.
        unsafe { sys::streamon(device.fd(), &raw const what)? };
        Ok(stream)
    }

    fn buffer(index: u32) -> sys::Buffer {
        let mut buffer: sys::Buffer = sys::zeroed();
        buffer.index = index;
        buffer.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
        buffer.memory = sys::MEMORY_MMAP;
        buffer
    }

    fn map(&self, index: u32) -> io::Result<Mapped> {
        let mut buffer = Self::buffer(index);
        // SAFETY: as above; of a mapped buffer the union holds the offset.
        let offset = unsafe {
            sys::querybuf(self.device.fd(), &raw mut buffer)?;
            buffer.m.offset
        };
        let len = NonZeroUsize::new(buffer.length as usize)
            .ok_or_else(|| io::Error::other("the camera's buffer is empty"))?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: memory that the driver set apart for this; the length is what it told.
        let at = unsafe {
            mmap(None, len, protection, MapFlags::MAP_SHARED, self.device, offset.into())?
        };
        Ok(Mapped { at, len: len.get() })
    }

    fn queue(&self, index: u32) -> io::Result<()> {
        let mut buffer = Self::buffer(index);
        // SAFETY: as above.
        unsafe { sys::qbuf(self.device.fd(), &raw mut buffer)? };
        Ok(())
    }

    fn give_back(&mut self) -> io::Result<()> {
        self.lent.take().map_or(Ok(()), |index| self.queue(index))
    }

    /// Gives the last picture back and waits at most `ms` for another; whether there may be one. What
    /// is wrong with the device is told by [`next`](Self::next), which has the words.
    pub fn wait(&mut self, ms: u16) -> io::Result<bool> {
        self.give_back()?;
        let mut fds = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::from(ms)) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The next picture, until the next call; `None` if there is none yet.
    pub fn next(&mut self) -> io::Result<Option<(&[u8], Meta)>> {
        self.give_back()?;
        let mut buffer = Self::buffer(0);
        // SAFETY: as above.
        match unsafe { sys::dqbuf(self.device.fd(), &raw mut buffer) } {
            Ok(_) => {}
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
            Err(e) => return Err(e.into()),
        }
        let mapped = self
            .buffers
            .get(buffer.index as usize)
            .ok_or_else(|| io::Error::other("the camera gave a buffer that is not ours"))?;
        self.lent = Some(buffer.index);
        let used = (buffer.bytesused as usize).min(mapped.len);
        // SAFETY: mapped as long as `self`, and not written by the driver before it is queued,
        // which the borrow of `self` keeps from happening.
        let bytes = unsafe { std::slice::from_raw_parts(mapped.at.as_ptr().cast::<u8>(), used) };
        let clock = buffer.flags & sys::BUF_FLAG_TIMESTAMP_MASK;
        let (seconds, micros): (i64, i64) =
            (buffer.timestamp.tv_sec as _, buffer.timestamp.tv_usec as _);
        let meta = Meta {
            sequence: buffer.sequence,
            broken: buffer.flags & sys::BUF_FLAG_ERROR != 0,
            monotonic: (clock == sys::BUF_FLAG_TIMESTAMP_MONOTONIC)
                .then_some(seconds * 1_000_000 + micros),
        };
        Ok(Some((bytes, meta)))
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let what = sys::BUF_TYPE_VIDEO_CAPTURE as c_int;
        // SAFETY: as above. A device that is gone refuses, and has stopped.
        let _ = unsafe { sys::streamoff(self.device.fd(), &raw const what) };
        self.buffers.clear();
        let mut none: sys::RequestBuffers = sys::zeroed();
        none.type_ = sys::BUF_TYPE_VIDEO_CAPTURE;
        none.memory = sys::MEMORY_MMAP;
        // SAFETY: as above.
        let _ = unsafe { sys::reqbufs(self.device.fd(), &raw mut none) };
    }
}
