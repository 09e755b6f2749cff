//! A disk that stalls, fills or fails when the test says so: a file system in memory, mounted by
//! FUSE. Needs `/dev/fuse` and root.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem,
    FopenFlags, Generation, INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};

/// Nothing is remembered by the kernel: each question is asked anew.
const NEVER: Duration = Duration::ZERO;
const BLOCK: u32 = 4_096;

/// What is wrong with the disk.
#[derive(Default)]
struct Faults {
    stalled: Mutex<bool>,
    resumed: Condvar,
    /// Error of every write, creation and sync; 0 for none.
    error: AtomicI32,
    free: AtomicU64,
    /// Bytes that all files together may have, and the error of what would be more.
    room: AtomicU64,
    full: AtomicI32,
}

impl Faults {
    /// Waits while the disk is stalled.
    fn pass(&self) {
        let stalled = self.stalled.lock().expect("no panic");
        drop(self.resumed.wait_while(stalled, |s| *s).expect("no panic"));
    }

    fn write(&self) -> Result<(), Errno> {
        self.pass();
        match self.error.load(Relaxed) {
            0 => Ok(()),
            code => Err(Errno::from_i32(code)),
        }
    }
}

/// A mounted disk; dropping it unmounts it.
pub struct FaultyDisk {
    faults: Arc<Faults>,
    session: Option<BackgroundSession>,
    used: Arc<AtomicU64>,
    folder: tempfile::TempDir,
}

impl FaultyDisk {
    /// A healthy disk with so many bytes free, however much is written. `None`, with the reason on
    /// standard error, where FUSE cannot be used.
    pub fn mount(free: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let faults = Arc::new(Faults::default());
        faults.free.store(free, Relaxed);
        faults.room.store(u64::MAX, Relaxed);
        let used = Arc::new(AtomicU64::new(0));
        let nodes = Nodes::new(used.clone());
        let memory = Memory { faults: faults.clone(), nodes: Mutex::new(nodes) };
        match fuser::spawn_mount(memory, folder.path(), &Config::default()) {
            Ok(session) => Some(Self { faults, session: Some(session), used, folder }),
            Err(e) => {
                eprintln!("skipped: no FUSE here ({e}); it needs /dev/fuse and root");
                None
            }
        }
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// From now on nothing is answered.
    pub fn stall(&self) {
        *self.faults.stalled.lock().expect("no panic") = true;
    }

    /// It answers again.
    pub fn resume(&self) {
        *self.faults.stalled.lock().expect("no panic") = false;
        self.faults.resumed.notify_all();
    }

    /// From now on whatever changes something fails with that code of `errno`.
    pub fn fail(&self, code: i32) {
        self.faults.error.store(code, Relaxed);
    }

    /// So many more bytes fit, deleted ones not counted; more fails with that code of `errno`.
    pub fn leave_room(&self, bytes: u64, code: i32) {
        self.faults.full.store(code, Relaxed);
        self.faults.room.store(self.used.load(Relaxed) + bytes, Relaxed);
    }

    /// So much is free from now on.
    pub fn set_free(&self, bytes: u64) {
        self.faults.free.store(bytes, Relaxed);
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        self.resume();
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}

enum Content {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, u64>),
}

/// Nodes by number; number 1 is the root. None is ever forgotten (a test is short), but files that
/// have no name and are closed give their bytes back.
struct Nodes {
    all: Vec<Content>,
    nameless: BTreeSet<u64>,
    used: Arc<AtomicU64>,
}

impl Nodes {
    fn new(used: Arc<AtomicU64>) -> Self {
        let all = vec![Content::File(Vec::new()), Content::Folder(BTreeMap::new())];
        Self { all, nameless: BTreeSet::new(), used }
    }

    /// Makes a file longer or shorter, if there is room for that.
    fn resize(&mut self, node: INodeNo, length: usize, faults: &Faults) -> Result<(), Errno> {
        let used = self.used.load(Relaxed);
        let file = self.file(node)?;
        let after = used + length as u64 - file.len() as u64;
        if length > file.len() && after > faults.room.load(Relaxed) {
            return Err(Errno::from_i32(faults.full.load(Relaxed)));
        }
        file.resize(length, 0);
        self.used.store(after, Relaxed);
        Ok(())
    }

    /// A file was closed.
    fn close(&mut self, node: INodeNo) {
        if self.nameless.remove(&node.0)
            && let Ok(file) = self.file(node)
        {
            let bytes = std::mem::take(file).len() as u64;
            self.used.fetch_sub(bytes, Relaxed);
        }
    }

    fn folder(&mut self, node: INodeNo) -> Result<&mut BTreeMap<OsString, u64>, Errno> {
        match self.all.get_mut(node.0 as usize) {
            Some(Content::Folder(names)) => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn file(&mut self, node: INodeNo) -> Result<&mut Vec<u8>, Errno> {
        match self.all.get_mut(node.0 as usize) {
            Some(Content::File(bytes)) => Ok(bytes),
            _ => Err(Errno::EISDIR),
        }
    }

    fn attr(&self, node: u64) -> Result<FileAttr, Errno> {
        let (kind, size) = match self.all.get(node as usize) {
            Some(Content::File(bytes)) => (FileType::RegularFile, bytes.len() as u64),
            Some(Content::Folder(_)) => (FileType::Directory, 0),
            None => return Err(Errno::ENOENT),
        };
        let at = SystemTime::UNIX_EPOCH;
        Ok(FileAttr {
            ino: INodeNo(node),
            size,
            blocks: size.div_ceil(512),
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind,
            perm: 0o777,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK,
            flags: 0,
        })
    }

    fn make(&mut self, parent: INodeNo, name: &OsStr, new: Content) -> Result<FileAttr, Errno> {
        let number = self.all.len() as u64;
        let names = self.folder(parent)?;
        if names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.insert(name.to_owned(), number);
        self.all.push(new);
        self.attr(number)
    }

    fn remove(&mut self, parent: INodeNo, name: &OsStr) -> Result<u64, Errno> {
        self.folder(parent)?.remove(name).ok_or(Errno::ENOENT)
    }

    fn unlink(&mut self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let number = self.remove(parent, name)?;
        self.nameless.insert(number);
        Ok(())
    }
}

struct Memory {
    faults: Arc<Faults>,
    nodes: Mutex<Nodes>,
}

impl Memory {
    fn nodes(&self) -> std::sync::MutexGuard<'_, Nodes> {
        self.nodes.lock().expect("no panic")
    }

    fn changed<T>(&self, change: impl FnOnce(&mut Nodes) -> Result<T, Errno>) -> Result<T, Errno> {
        self.faults.write()?;
        change(&mut self.nodes())
    }
}

fn entry(reply: ReplyEntry, attr: Result<FileAttr, Errno>) {
    match attr {
        Ok(attr) => reply.entry(&NEVER, &attr, Generation(0)),
        Err(e) => reply.error(e),
    }
}

fn attributes(reply: ReplyAttr, attr: Result<FileAttr, Errno>) {
    match attr {
        Ok(attr) => reply.attr(&NEVER, &attr),
        Err(e) => reply.error(e),
    }
}

fn done<T>(reply: ReplyEmpty, result: Result<T, Errno>) {
    match result {
        Ok(_) => reply.ok(),
        Err(e) => reply.error(e),
    }
}

impl Filesystem for Memory {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.faults.pass();
        let mut nodes = self.nodes();
        let found = nodes.folder(parent).and_then(|f| f.get(name).copied().ok_or(Errno::ENOENT));
        entry(reply, found.and_then(|node| nodes.attr(node)));
    }

    fn getattr(&self, _: &Request, node: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.faults.pass();
        attributes(reply, self.nodes().attr(node.0));
    }

    fn setattr(
        &self,
        _: &Request,
        node: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let attr = self.changed(|nodes| {
            if let Some(size) = size {
                nodes.resize(node, size as usize, &self.faults)?;
            }
            nodes.attr(node.0)
        });
        attributes(reply, attr);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        let new = Content::Folder(BTreeMap::new());
        entry(reply, self.changed(|nodes| nodes.make(parent, name, new)));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.changed(|nodes| nodes.make(parent, name, Content::File(Vec::new()))) {
            Ok(attr) => {
                let none = FopenFlags::empty();
                reply.created(&NEVER, &attr, Generation(0), FileHandle(0), none);
            }
            Err(e) => reply.error(e),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.changed(|nodes| nodes.unlink(parent, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(reply, self.changed(|nodes| nodes.remove(parent, name)));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new_name: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let moved = self.changed(|nodes| {
            let node = nodes.remove(parent, name)?;
            nodes.folder(to)?.insert(new_name.to_owned(), node);
            Ok(())
        });
        done(reply, moved);
    }

    fn read(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.faults.pass();
        match self.nodes().file(node) {
            Ok(bytes) => {
                let from = (offset as usize).min(bytes.len());
                let to = (from + size as usize).min(bytes.len());
                reply.data(&bytes[from..to]);
            }
            Err(e) => reply.error(e),
        }
    }

    fn write(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.changed(|nodes| {
            let offset = offset as usize;
            let end = offset + data.len();
            let longer = nodes.file(node)?.len().max(end);
            nodes.resize(node, longer, &self.faults)?;
            nodes.file(node)?[offset..end].copy_from_slice(data);
            Ok(())
        });
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(e) => reply.error(e),
        }
    }

    fn release(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.nodes().close(node);
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        done(reply, self.faults.write());
    }

    fn readdir(
        &self,
        _: &Request,
        node: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        self.faults.pass();
        let mut nodes = self.nodes();
        let names = match nodes.folder(node) {
            Ok(names) => names.clone(),
            Err(e) => return reply.error(e),
        };
        for (at, (name, number)) in (1..).zip(names).skip(offset as usize) {
            let kind = nodes.attr(number).map_or(FileType::RegularFile, |a| a.kind);
            if reply.add(INodeNo(number), at, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.faults.pass();
        let free = self.faults.free.load(Relaxed) / u64::from(BLOCK);
        reply.statfs(1 << 40, free, free, 1_000_000, 1_000_000, BLOCK, 255, BLOCK);
    }
}
