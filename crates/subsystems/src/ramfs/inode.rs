//! Inodes: what a name leads to, and when it may go.

use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::{Errno, Ino, Result};
use kd_sync::RwLock;

use super::directory::Directory;
use super::file::Pages;

/// A file or directory.
pub struct Inode {
    pub ino: Ino,
    mode: u16,
    pub counts: Counts,
    /// A directory's parent; changes only under the file system's rename lock.
    pub parent: AtomicU64,
    body: Body,
}

enum Body {
    File(RwLock<Pages>),
    Directory(RwLock<Directory>),
}

impl Inode {
    /// A new one: a file with one name, or a directory with its own and its `.`.
    pub fn new(ino: Ino, parent: Ino, kind: Kind, mode: u16) -> Result<Arc<Inode>> {
        let (links, body) = match kind {
            Kind::File => (1, Body::File(RwLock::default())),
            Kind::Directory => (2, Body::Directory(RwLock::default())),
            Kind::Block | Kind::Fifo | Kind::Symlink => return Err(Errno::EINVAL),
        };
        let parent = AtomicU64::new(parent.0);
        Ok(Arc::new(Inode { ino, mode: mode & 0o7777, counts: Counts::new(links), parent, body }))
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
        }
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Its contents; `EISDIR`.
    pub fn file(&self) -> Result<&RwLock<Pages>> {
        match &self.body {
            Body::File(pages) => Ok(pages),
            Body::Directory(_) => Err(Errno::EISDIR),
        }
    }

    /// Its names; `ENOTDIR`.
    pub fn directory(&self) -> Result<&RwLock<Directory>> {
        match &self.body {
            Body::Directory(directory) => Ok(directory),
            Body::File(_) => Err(Errno::ENOTDIR),
        }
    }

    /// What `stat` tells; takes the inode's lock.
    pub fn stat(&self) -> Stat {
        let size = match &self.body {
            Body::File(pages) => pages.read().size(),
            Body::Directory(directory) => directory.read().size(),
        };
        Stat {
            ino: self.ino.0,
            kind: self.kind(),
            mode: self.mode,
            links: self.counts.links(),
            uid: 0,
            gid: 0,
            size,
            blocks: 0,
            atime: 0,
            mtime: 0,
            ctime: 0,
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

    /// One more name, or one more subdirectory.
    pub fn link(&self) {
        self.0.fetch_add(Counts::LINK, Relaxed);
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
        self.change(held).map(|_| ())
    }

    /// One hold fewer; `true` if the inode goes, `EINVAL` if there was none.
    pub fn release(&self) -> Result<bool> {
        self.change(|counts| Counts::holds(counts, -1)).map(|counts| counts == 0)
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
