//! Inodes: what a name leads to, whose it is, and when it may go.
//!
//! With a store, what a call changed of one is noted there before anybody learns of it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicU16, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use kd_api::interfaces::fs::{Kind, Owner, SetAttr, Stat};
use kd_api::{Errno, InBuf, Ino, Result};
use kd_sync::{Mutex, RwLock, now};

use super::directory::Directory;
use super::file::{PAGE, Pages};
use super::kept::{InodeAccount, InodeWords, Kept, note_inode};
use super::page::Page;

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
    // Before the body: an inode goes before its pages.
    note: Option<Mutex<Note>>,
    body: Body,
}

/// What is kept of it, where something is.
struct Note {
    account: InodeAccount,
    size: u64,
    pages: u64,
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

impl Attributes {
    fn new(owner: Owner, [atime, mtime, ctime]: [u64; 3]) -> Attributes {
        Attributes {
            mode: (owner.mode & 0o7777).into(),
            uid: owner.uid.into(),
            gid: owner.gid.into(),
            atime: atime.into(),
            mtime: mtime.into(),
            ctime: ctime.into(),
        }
    }

    fn changed(&self) {
        let now = now();
        self.mtime.store(now, Relaxed);
        self.ctime.store(now, Relaxed);
    }
}

/// What an inode holds.
pub enum Body {
    File(RwLock<Pages>),
    Directory(RwLock<Directory>),
    /// What it says, and the page in which that is kept.
    Symlink {
        target: Box<str>,
        _page: Option<Page>,
    },
    /// What a predecessor had there cannot be believed: it can be removed, and everything else is `EIO`.
    Spoiled(Kind),
}

impl Body {
    /// An empty one; `EINVAL` for a kind that needs more than its name.
    pub fn empty(kind: Kind, ino: Ino, kept: Option<&Arc<Kept>>) -> Result<Body> {
        match kind {
            Kind::File => Ok(Body::File(RwLock::new(Pages::new(ino, kept.cloned())))),
            Kind::Directory => Ok(Body::Directory(RwLock::new(Directory::new(ino)))),
            Kind::Block | Kind::Fifo | Kind::Symlink => Err(Errno::EINVAL),
        }
    }

    /// A symbolic link's; `ENOSPC`.
    pub fn symlink(target: &str, ino: Ino, kept: Option<&Arc<Kept>>) -> Result<Body> {
        let mut page = kept.map(|kept| Page::new(Some(kept), ino, 0)).transpose()?;
        if let Some(page) = &mut page {
            page.write(0..target.len(), &mut InBuf::new(target.as_bytes()))?;
        }
        Ok(Body::Symlink { target: target.into(), _page: page })
    }
}

impl Inode {
    /// A new one: with one name, and a directory with its `.` as well; noted in an account, if it has one.
    pub fn new(ino: Ino, parent: Ino, owner: Owner, body: Body, account: Option<InodeAccount>) -> Arc<Inode> {
        let links = if matches!(body, Body::Directory(_)) { 2 } else { 1 };
        let attributes = Attributes::new(owner, [now(); 3]);
        let size = if let Body::Symlink { target, .. } = &body { target.len() as u64 } else { 0 };
        let note = account.map(|account| Mutex::new(Note { account, size, pages: u64::from(size > 0) }));
        let inode = Inode { ino, counts: Counts::new(links, 0), parent: parent.0.into(), attributes, note, body };
        inode.note();
        Arc::new(inode)
    }

    /// One that a predecessor left, without any names yet.
    pub fn restore(words: &InodeWords, account: InodeAccount, body: Body) -> Arc<Inode> {
        let InodeWords { ino, mode, holds, uid, gid, size, pages, times, .. } = *words;
        let links = if matches!(body, Body::Directory(_)) { 2 } else { 0 };
        let counts = Counts::new(links, holds);
        let attributes = Attributes::new(Owner { uid, gid, mode }, times);
        let note = Some(Mutex::new(Note { account, size, pages }));
        let inode = Inode { ino, counts, parent: ino.0.into(), attributes, note, body };
        if let Body::File(pages) = &inode.body {
            inode.note_contents(&pages.read());
        }
        Arc::new(inode)
    }

    /// One that a predecessor spoiled, without any names yet.
    pub fn spoiled(ino: Ino, kind: Kind) -> Arc<Inode> {
        let attributes = Attributes::new(Owner { uid: 0, gid: 0, mode: 0 }, [now(); 3]);
        let (counts, body) = (Counts::new(0, 0), Body::Spoiled(kind));
        Arc::new(Inode { ino, counts, parent: ino.0.into(), attributes, note: None, body })
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::File,
            Body::Directory(_) => Kind::Directory,
            Body::Symlink { .. } => Kind::Symlink,
            Body::Spoiled(kind) => kind,
        }
    }

    /// `EIO` if it cannot be believed.
    pub fn check(&self) -> Result<()> {
        if matches!(self.body, Body::Spoiled(_)) { Err(Errno::EIO) } else { Ok(()) }
    }

    /// What was done to it is done.
    fn note(&self) {
        self.note_as(|_| ());
    }

    fn note_contents(&self, pages: &Pages) {
        self.note_as(|note| (note.size, note.pages) = (pages.size(), pages.count()));
    }

    fn note_as(&self, change: impl FnOnce(&mut Note)) {
        let Some(note) = &self.note else { return };
        let mut note = note.lock();
        change(&mut note);
        let Attributes { mode, uid, gid, atime, mtime, ctime } = &self.attributes;
        let words = InodeWords {
            ino: self.ino,
            kind: self.kind(),
            mode: mode.load(Relaxed),
            holds: self.counts.held(),
            uid: uid.load(Relaxed),
            gid: gid.load(Relaxed),
            size: note.size,
            pages: note.pages,
            times: [atime, mtime, ctime].map(|time| time.load(Relaxed)),
        };
        note_inode(&mut note.account, &words);
    }

    /// One more hold; `ENOENT` if it has gone.
    pub fn hold(&self) -> Result<()> {
        self.check()?;
        self.counts.hold()?;
        self.note();
        Ok(())
    }

    /// One hold fewer; `true` if the inode goes, `EINVAL` if there was none.
    pub fn release(&self) -> Result<bool> {
        let gone = self.counts.release()?;
        self.note();
        Ok(gone)
    }

    /// So many holds from now on; `true` if the inode goes, `ENOENT` if it has gone.
    pub fn reclaim(&self, holds: u32) -> Result<bool> {
        self.check()?;
        let gone = self.counts.reclaim(holds)?;
        self.note();
        Ok(gone)
    }

    pub fn is_directory(&self) -> bool {
        self.kind() == Kind::Directory
    }

    /// Its contents; `EISDIR`, `EINVAL`.
    pub fn file(&self) -> Result<&RwLock<Pages>> {
        match &self.body {
            Body::File(pages) => Ok(pages),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Symlink { .. } => Err(Errno::EINVAL),
            Body::Spoiled(_) => Err(Errno::EIO),
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
            Body::Symlink { target, .. } => Ok(target),
            Body::Spoiled(_) => Err(Errno::EIO),
            _ => Err(Errno::EINVAL),
        }
    }

    /// It was read. Like `relatime`: noted only if it was not read since it last changed.
    pub fn touch_read(&self) {
        let Attributes { atime, mtime, ctime, .. } = &self.attributes;
        let last = atime.load(Relaxed);
        if last <= mtime.load(Relaxed) || last <= ctime.load(Relaxed) {
            atime.store(now(), Relaxed);
            self.note();
        }
    }

    /// Its names changed.
    pub fn touch_names(&self) {
        self.attributes.changed();
        self.note();
    }

    /// Its contents changed, which are these now.
    pub fn touch_contents(&self, pages: &Pages) {
        self.attributes.changed();
        self.note_contents(pages);
    }

    /// It changed otherwise.
    pub fn touch(&self) {
        self.attributes.ctime.store(now(), Relaxed);
        self.note();
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
            Body::Symlink { target, .. } if target.len() < SHORT_TARGET => (target.len() as u64, 0),
            Body::Symlink { target, .. } => (target.len() as u64, SECTORS),
            Body::Spoiled(_) => (0, 0),
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

    fn new(links: u32, holds: u32) -> Counts {
        Counts(AtomicU64::new(u64::from(links) * Counts::LINK + u64::from(holds)))
    }

    pub fn held(&self) -> u32 {
        self.0.load(Relaxed) as u32
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
    fn hold(&self) -> Result<()> {
        let held = |counts: u64| if counts == 0 { Err(Errno::ENOENT) } else { Counts::holds(counts, 1) };
        self.change(held).map(drop)
    }

    /// One hold fewer; `true` if the inode goes, `EINVAL` if there was none.
    fn release(&self) -> Result<bool> {
        self.change(|counts| Counts::holds(counts, -1)).map(|counts| counts == 0)
    }

    /// So many holds from now on; `true` if the inode goes, `ENOENT` if it has gone.
    fn reclaim(&self, holds: u32) -> Result<bool> {
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
