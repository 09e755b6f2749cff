//! Asks a file system for space ahead of what is written, without making the file longer.
//!
//! So a disk that fills up is known of before the media is there, and the file lies in few pieces.

use std::fs::File;
use std::io;

/// Reserves space for the bytes up to `until`, measured from the file's start. The length stays;
/// setting it gives back what lies behind. `ErrorKind::Unsupported` where there is no such thing.
pub fn reserve(file: &File, until: u64) -> io::Result<()> {
    system::reserve(file, until)
}

#[cfg(target_os = "linux")]
mod system {
    use std::fs::File;
    use std::io;

    use nix::fcntl::{FallocateFlags, fallocate};

    pub fn reserve(file: &File, until: u64) -> io::Result<()> {
        let length = file.metadata()?.len();
        let Some(more) = until.checked_sub(length).filter(|more| *more > 0) else { return Ok(()) };
        let offset = i64::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        let more = i64::try_from(more).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(fallocate(file, FallocateFlags::FALLOC_FL_KEEP_SIZE, offset, more)?)
    }
}

#[cfg(target_os = "macos")]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    pub fn reserve(file: &File, until: u64) -> io::Result<()> {
        // What is allocated already counts: F_PREALLOCATE adds behind the physical end.
        let allocated = file.metadata()?.blocks().saturating_mul(512);
        let Some(more) = until.checked_sub(allocated).filter(|more| *more > 0) else {
            return Ok(());
        };
        let mut store = libc::fstore_t {
            fst_flags: libc::F_ALLOCATEALL,
            fst_posmode: libc::F_PEOFPOSMODE,
            fst_offset: 0,
            fst_length: i64::try_from(more).map_err(|_| io::ErrorKind::InvalidInput)?,
            fst_bytesalloc: 0,
        };
        // SAFETY: the descriptor is open while `file` lives; fcntl fills the structure that it is
        // given and keeps no pointer to it.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_PREALLOCATE, &mut store) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::io::AsRawHandle;

    use windows_sys::Win32::Storage::FileSystem::{
        FILE_ALLOCATION_INFO, FileAllocationInfo, SetFileInformationByHandle,
    };

    pub fn reserve(file: &File, until: u64) -> io::Result<()> {
        // An allocation smaller than the length would cut the file.
        if until <= file.metadata()?.len() {
            return Ok(());
        }
        let size = i64::try_from(until).map_err(|_| io::ErrorKind::InvalidInput)?;
        let info = FILE_ALLOCATION_INFO { AllocationSize: size };
        // SAFETY: the handle is open while `file` lives; the structure is only read, in its size.
        let done = unsafe {
            SetFileInformationByHandle(
                file.as_raw_handle(),
                FileAllocationInfo,
                std::ptr::from_ref(&info).cast(),
                size_of::<FILE_ALLOCATION_INFO>() as u32,
            )
        };
        if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    use std::fs::File;
    use std::io;

    pub fn reserve(_file: &File, _until: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn reserved_space_is_there_beyond_the_end_until_the_length_is_set() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        match reserve(&file, 1 << 20) {
            // A file system without it is no failure of ours.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => return,
            result => result.unwrap(),
        }
        let allocated = || file.metadata().unwrap().blocks() * 512;
        assert_eq!(file.metadata().unwrap().len(), 10);
        assert!(allocated() >= 1 << 20, "{} bytes allocated", allocated());
        reserve(&file, 5).unwrap();
        file.set_len(10).unwrap();
        assert!(allocated() < 1 << 16, "{} bytes still allocated", allocated());
    }
}
