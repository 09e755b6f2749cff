//! One writer for a file, across processes. Reading stays free.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a new file that no other process can open through [`open`]; one that exists is an error.
pub fn create(path: &Path) -> io::Result<File> {
    system::create(path)
}

/// Opens a file so that no other process that opens it through here can, as long as it is open.
/// An error that [`is_locked`] tells from others when somebody has it.
pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    system::open(options, path)
}

/// Whether [`open`] failed because another process has the file.
pub fn is_locked(error: &io::Error) -> bool {
    system::is_locked(error)
}

#[cfg(unix)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::path::Path;

    use fs4::{FileExt, TryLockError};

    pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        let file = options.open(path)?;
        match FileExt::try_lock(&file) {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            // A file system that knows no locks (some network disks) is no reason not to record.
            Err(TryLockError::Error(_)) => Ok(file),
        }
    }

    pub fn create(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        // Whoever came between the two lines only looks, and is gone at once.
        let _ = FileExt::lock(&file);
        Ok(file)
    }

    pub fn is_locked(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::WouldBlock
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use windows_sys::Win32::Foundation::{ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION};
    use windows_sys::Win32::Storage::FileSystem::{FILE_SHARE_DELETE, FILE_SHARE_READ};

    pub fn open(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        // LockFile would lock out readers as well.
        options.share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path)
    }

    pub fn create(path: &Path) -> io::Result<File> {
        open(OpenOptions::new().read(true).write(true).create_new(true), path)
    }

    pub fn is_locked(error: &io::Error) -> bool {
        let code = error.raw_os_error().map(|code| code as u32);
        matches!(code, Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
    }
}
