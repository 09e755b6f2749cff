//! Where an open file is by now: people delete and move folders that are being written to.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Where it was made.
    Here,
    /// It was given another name, or its folder was; where the system does not tell, there is none.
    Moved(Option<PathBuf>),
    /// It has no name any more: what is in it is gone once it is closed.
    Gone,
}

/// Where the open `file` is that was made as `path`.
pub fn of(file: &File, path: &Path) -> io::Result<Whereabouts> {
    match std::fs::metadata(path) {
        Ok(found) if system::same(file, &found)? => Ok(Whereabouts::Here),
        Err(e) if !system::is_gone(&e) => Err(e),
        _ => system::elsewhere(file),
    }
}

#[cfg(unix)]
mod system {
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Whereabouts;

    pub fn is_gone(e: &io::Error) -> bool {
        e.kind() == io::ErrorKind::NotFound
    }

    pub fn same(file: &File, found: &Metadata) -> io::Result<bool> {
        let own = file.metadata()?;
        Ok((own.dev(), own.ino()) == (found.dev(), found.ino()))
    }

    pub fn elsewhere(file: &File) -> io::Result<Whereabouts> {
        if file.metadata()?.nlink() == 0 {
            return Ok(Whereabouts::Gone);
        }
        #[cfg(target_os = "linux")]
        let place = {
            use std::os::fd::AsRawFd;
            std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
        };
        #[cfg(target_os = "macos")]
        let place = path_of(file).filter(|place| is_at(file, place));
        #[cfg(not(any(target_os = "linux", target_os = "macos")))]
        let place = None;
        // A file system that does not count its names says so here.
        match place {
            Some(place) if is_at(file, &place) => Ok(Whereabouts::Moved(Some(place))),
            Some(_) => Ok(Whereabouts::Gone),
            None => Ok(Whereabouts::Moved(None)),
        }
    }

    fn is_at(file: &File, place: &Path) -> bool {
        std::fs::metadata(place).is_ok_and(|found| same(file, &found).unwrap_or(false))
    }

    #[cfg(target_os = "macos")]
    fn path_of(file: &File) -> Option<std::path::PathBuf> {
        use std::os::fd::AsRawFd;
        use std::os::unix::ffi::OsStringExt;
        let mut path = vec![0u8; libc::PATH_MAX as usize];
        // SAFETY: the call writes at most PATH_MAX bytes, a terminating zero included, to where it is
        // told to.
        let told = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETPATH, path.as_mut_ptr()) };
        let length = path.iter().position(|&byte| byte == 0)?;
        path.truncate(length);
        (told != -1 && length > 0).then(|| std::ffi::OsString::from_vec(path).into())
    }
}

#[cfg(windows)]
mod system {
    use std::fs::{File, Metadata};
    use std::io;

    use super::Whereabouts;

    /// A file that was deleted while it is open keeps its name until it is closed, and nobody may ask
    /// for it.
    pub fn is_gone(e: &io::Error) -> bool {
        matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied)
    }

    pub fn same(_file: &File, _found: &Metadata) -> io::Result<bool> {
        // Nobody can make another while ours is open, unless ours has gone; then the name is free
        // only once it is closed.
        Ok(true)
    }

    pub fn elsewhere(_file: &File) -> io::Result<Whereabouts> {
        Ok(Whereabouts::Gone)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_where_it_was_moved_to_and_known_to_be_gone() {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("a");
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("file");
        let file = File::create_new(&path).unwrap();
        assert_eq!(of(&file, &path).unwrap(), Whereabouts::Here);
        let moved = room.path().join("b");
        std::fs::rename(&folder, &moved).unwrap();
        let there = std::fs::canonicalize(&moved).unwrap().join("file");
        assert_eq!(of(&file, &path).unwrap(), Whereabouts::Moved(Some(there)));
        std::fs::remove_dir_all(&moved).unwrap();
        assert_eq!(of(&file, &path).unwrap(), Whereabouts::Gone);
        // Somebody else's file of that name is not ours.
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&path, "x").unwrap();
        assert_eq!(of(&file, &path).unwrap(), Whereabouts::Gone);
    }
}
