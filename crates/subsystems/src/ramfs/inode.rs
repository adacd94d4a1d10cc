//! Inodes: what a name leads to, whose it is, and when it may go.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use kd_api::interfaces::fs::{Kind, Owner, SetAttr, Stat};
use kd_api::{Errno, Ino, Result};
use kd_sync::{RwLock, now};

use super::directory::Directory;
use super::file::{PAGE, Pages};

/// Longest target that tmpfs keeps within the inode; a longer one takes a page.
const SHORT_TARGET: usize = 128;
/// Sectors of a page, the unit of `st_blocks`.
const SECTORS: u64 = (PAGE / 512) as u64;

/// A file, directory or symbolic link.
pub struct Inode {
    pub ino: Ino,
    pub counts: Counts,
    /// A directory's parent; changes only under the file system's rename lock.
    pub parent: AtomicU64,
    attributes: Attributes,
    body: Body,
}

/// Each on its own, as on Linux: who looks meanwhile may see one changed and the other not yet.
struct Attributes {
    mode: AtomicU16,
    uid: AtomicU32,
    gid: AtomicU32,
    atime: AtomicU64,
    mtime: AtomicU64,
    ctime: AtomicU64,
}

/// What an inode holds.
pub enum Body {
    File(RwLock<Pages>),
    Directory(RwLock<Directory>),
    Symlink(Box<str>),
}

impl Body {
    /// An empty one; `EINVAL` for a kind that needs more than its name.
    pub fn empty(kind: Kind) -> Result<Body> {
        match kind {
            Kind::File => Ok(Body::File(RwLock::default())),
            Kind::Directory => Ok(Body::Directory(RwLock::default())),
            Kind::Block | Kind::Fifo | Kind::Symlink => Err(Errno::EINVAL),
        }
    }
}

impl Inode {
    /// A new one: with one name, and a directory with its `.` as well.
    pub fn new(ino: Ino, parent: Ino, owner: Owner, body: Body) -> Arc<Inode> {
        let links = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        let now = now();
        let attributes = Attributes {
            mode: (owner.mode & 0o7777).into(),
            uid: owner.uid.into(),
            gid: owner.gid.into(),
            atime: now.into(),
            mtime: now.into(),
            ctime: now.into(),
        };
        Arc::new(Inode { ino, counts: Counts::new(links), parent: parent.0.into(), attributes, body })
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Symlink(_) => Kind::Symlink,
        }
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Its contents; `EISDIR`, `EINVAL`.
    pub fn file(&self) -> Result<&RwLock<Pages>> {
        match &self.body {
            Body::File(pages) => Ok(pages),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink(_) => Err(Errno::EINVAL),
        }
    }

    /// Its names; `ENOTDIR`.
    pub fn directory(&self) -> Result<&RwLock<Directory>> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// What a symbolic link says; `EINVAL`.
    pub fn target(&self) -> Result<&str> {
        match &self.body {
            Body::Symlink(target) => Ok(target),
            _ => Err(Errno::EINVAL),
        }
    }

    /// It was read. Like `relatime`: noted only if it was not read since it last changed.
    pub fn touch_read(&self) {
        let Attributes { atime, mtime, ctime, .. } = &self.attributes;
        let last = atime.load(Relaxed);
        if last <= mtime.load(Relaxed) || last <= ctime.load(Relaxed) {
            atime.store(now(), Relaxed);
        }
    }

    /// Its contents changed.
    pub fn touch_contents(&self) {
        let now = now();
        self.attributes.mtime.store(now, Relaxed);
        self.attributes.ctime.store(now, Relaxed);
    }

    /// It changed otherwise.
    pub fn touch(&self) {
        self.attributes.ctime.store(now(), Relaxed);
    }

    /// Changes attributes.
    pub fn set(&self, change: SetAttr) {
        let to = &self.attributes;
        let store = |at: &AtomicU64, value: Option<u64>| value.into_iter().for_each(|value| at.store(value, Relaxed));
        change.mode.into_iter().for_each(|mode| to.mode.store(mode & 0o7777, Relaxed));
        change.uid.into_iter().for_each(|uid| to.uid.store(uid, Relaxed));
        change.gid.into_iter().for_each(|gid| to.gid.store(gid, Relaxed));
        store(&to.atime, change.atime);
        store(&to.mtime, change.mtime);
        self.touch();
    }

    /// What `stat` tells; takes the inode's lock.
    pub fn stat(&self) -> Stat {
        let (size, blocks) = match &self.body {
            Body::File(pages) => {
                let pages = pages.read();
                (pages.size(), pages.count() * SECTORS)
            }
            Body::Directory(directory) => (directory.read().size(), 0),
            Body::Symlink(target) if target.len() < SHORT_TARGET => (target.len() as u64, 0),
            Body::Symlink(target) => (target.len() as u64, SECTORS),
        };
        let Attributes { mode, uid, gid, atime, mtime, ctime } = &self.attributes;
        Stat {
            ino: self.ino.0,
            kind: self.kind(),
            mode: mode.load(Relaxed),
            links: self.counts.links(),
            uid: uid.load(Relaxed),
            gid: gid.load(Relaxed),
            size,
            blocks,
            atime: atime.load(Relaxed),
            mtime: mtime.load(Relaxed),
            ctime: ctime.load(Relaxed),
        }
    }
}

/// Links in the upper half, holds in the lower, in one word: that both are zero is then one event, seen once.
pub struct Counts(AtomicU64);

impl Counts {
    const LINK: u64 = 1 << 32;

    fn new(links: u32) -> Counts {
        Counts(AtomicU64::new(u64::from(links) * Counts::LINK))
    }

    pub fn links(&self) -> u32 {
        (self.0.load(Relaxed) / Counts::LINK) as u32
    }

    /// One more subdirectory: its parent can't go meanwhile.
    pub fn link(&self) {
        self.0.fetch_add(Counts::LINK, Relaxed);
    }

    /// One more name; `ENOENT` if there is none any more, `EMLINK` at the largest number.
    pub fn link_again(&self) -> Result<()> {
        let linked = |counts: u64| match counts / Counts::LINK {
            0 => Err(Errno::ENOENT),
            _ => counts.checked_add(Counts::LINK).ok_or(Errno::EMLINK),
        };
        self.change(linked).map(drop)
    }

    /// One fewer; `true` if the inode goes.
    pub fn unlink(&self) -> bool {
        self.0.fetch_sub(Counts::LINK, AcqRel) == Counts::LINK
    }

    /// None any more, of a removed directory; `true` if the inode goes.
    pub fn unlink_all(&self) -> bool {
        self.0.fetch_and(Counts::LINK - 1, AcqRel) & (Counts::LINK - 1) == 0
    }

    /// One more hold; `ENOENT` if the inode has gone.
    pub fn hold(&self) -> Result<()> {
        let held = |counts: u64| if counts == 0 { Err(Errno::ENOENT) } else { Counts::holds(counts, 1) };
        self.change(held).map(drop)
    }

    /// One hold fewer; `true` if the inode goes, `EINVAL` if there was none.
    pub fn release(&self) -> Result<bool> {
        self.change(|counts| Counts::holds(counts, -1)).map(|counts| counts == 0)
    }

    /// So many holds from now on; `true` if the inode goes, `ENOENT` if it has gone.
    pub fn reclaim(&self, holds: u32) -> Result<bool> {
        let set = |counts: u64| match counts {
            0 => Err(Errno::ENOENT),
            _ => Ok(counts & !(Counts::LINK - 1) | u64::from(holds)),
        };
        self.change(set).map(|counts| counts == 0)
    }

    fn holds(counts: u64, by: i32) -> Result<u64> {
        let holds = (counts as u32).checked_add_signed(by).ok_or(Errno::EINVAL)?;
        Ok(counts & !(Counts::LINK - 1) | u64::from(holds))
    }

    fn change(&self, to: impl Fn(u64) -> Result<u64>) -> Result<u64> {
        let mut counts = self.0.load(Acquire);
        loop {
            let new = to(counts)?;
            match self.0.compare_exchange_weak(counts, new, AcqRel, Acquire) {
                Ok(_) => return Ok(new),
                Err(now) => counts = now,
            }
        }
    }
}
