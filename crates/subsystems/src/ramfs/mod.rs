//! A file system in memory, after Linux's ramfs and tmpfs: inodes in a sharded table, one lock per inode.
//!
//! Lock order: the rename lock; directories, ancestors first; a file's contents; a shard of the inode table. Only a
//! rename between two directories takes the rename lock (Linux's `s_vfs_rename_mutex`): as it alone changes who is
//! whose ancestor, "ancestors first" stands still while it looks.
//!
//! An inode goes when it has neither names nor holds. Numbers are never used again, nor by a
//! successor after a restart, so an old number is `ENOENT`.
//!
//! With a store ([`kept`]), the file system outlives its server: what a call changed is noted there before it is answered,
//! and [`recovery`] makes a file system of it again. Accounts are locked last of all.

mod directory;
mod file;
mod inode;
mod kept;
mod page;
mod recovery;
#[cfg(test)]
mod recovery_tests;
mod rename;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, Owner, ROOT, SetAttr, Stat, StatFs};
use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::{Component, Errno, InBuf, Ino, OutBuf, Result, Store};
use kd_sync::{Mutex, exact_now};

use crate::sharded::Sharded;
use file::PAGE;
use inode::{Body, Inode};
use kept::{Kept, NameAccount};

/// Whose a new root directory is.
const ROOT_OWNER: Owner = Owner { uid: 0, gid: 0, mode: 0o755 };

/// The file system.
pub struct RamFs {
    inodes: Sharded<Inode>,
    next: AtomicU64,
    /// The first number of this instance.
    first: u64,
    instance: u64,
    renaming: Mutex<()>,
    kept: Option<Arc<Kept>>,
    /// A predecessor had inodes of which nobody can say any more which they were.
    lost: bool,
}

/// The component `ramfs`.
pub fn component() -> Component {
    Component::new::<dyn FileSystem, RamFs>("ramfs", &[], |imports| Ok(Arc::new(RamFs::open(imports.store())?)))
        .with_store(kept::STORE)
}

/// A name that can be made or removed: the special ones lead somewhere already.
fn check_name(name: &str) -> Result<()> {
    match name {
        "" => Err(Errno::ENOENT),
        "." | ".." => Err(Errno::EBUSY),
        _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ if name.contains(['/', '\0']) => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

impl RamFs {
    /// One with an empty root directory, and nowhere to keep it. Its inodes are counted from the time of the start, so that
    /// what still names an inode of one that died finds nothing here.
    pub fn new() -> Result<RamFs> {
        RamFs::counting_from(exact_now())
    }

    /// The one in a store, if there is one.
    pub fn open(store: Option<Store>) -> Result<RamFs> {
        store.map_or_else(RamFs::new, |store| recovery::open(store, exact_now()))
    }

    /// The same as a new one from another number.
    pub(crate) fn counting_from(first: u64) -> Result<RamFs> {
        let first = first.max(ROOT.0) + 1;
        let root = Inode::new(ROOT, ROOT, ROOT_OWNER, Body::empty(Kind::Directory, ROOT, None)?, None);
        Ok(RamFs::of(&[root], first, first, None, false))
    }

    fn of(inodes: &[Arc<Inode>], first: u64, instance: u64, kept: Option<Arc<Kept>>, lost: bool) -> RamFs {
        let fs =
            RamFs { inodes: Sharded::new(), next: first.into(), first, instance, renaming: Mutex::new(()), kept, lost };
        for inode in inodes {
            fs.inodes.insert(inode.ino.0, inode.clone());
        }
        fs
    }

    /// `EIO` for one that may have been lost, and `ENOENT` for what is not there.
    fn get(&self, ino: Ino) -> Result<Arc<Inode>> {
        let missing = || if self.lost && ino.0 < self.first { Errno::EIO } else { Errno::ENOENT };
        self.inodes.get(ino.0).ok_or_else(missing)
    }

    /// An inode lost a name, and perhaps its last.
    fn dispose(&self, inode: Arc<Inode>, gone: bool) {
        if gone {
            self.inodes.remove(inode.ino.0);
        }
    }

    /// Puts a new inode under a name that must be free.
    fn make(
        &self,
        directory: Ino,
        name: &str,
        owner: Owner,
        body: impl FnOnce(Ino, Option<&Arc<Kept>>) -> Result<Body>,
    ) -> Result<Stat> {
        let parent = self.get(directory)?;
        let mut names = parent.directory()?.write();
        names.check_free(name)?;
        let kept = self.kept.as_ref();
        let (account, noted) = (kept.map(|kept| kept.inode()).transpose()?, self.name_account()?);
        let ino = Ino(self.next.fetch_add(1, Relaxed));
        let inode = Inode::new(ino, directory, owner, body(ino, kept)?, account);
        self.inodes.insert(ino.0, inode.clone());
        names.insert(name, inode.clone(), noted);
        parent.touch_names();
        if inode.is_directory() {
            parent.counts.link();
        }
        Ok(inode.stat())
    }

    /// Room to note a name, where there is a store; `ENOSPC`.
    fn name_account(&self) -> Result<Option<NameAccount>> {
        self.kept.as_ref().map(|kept| kept.name()).transpose()
    }
}

impl FileSystem for RamFs {
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        let inode = self.get(directory)?;
        let names = inode.directory()?.read();
        let found = match name {
            "." => inode.clone(),
            ".." => self.get(Ino(inode.parent.load(Relaxed)))?,
            _ if name.len() > NAME_MAX => return Err(Errno::ENAMETOOLONG),
            _ => names.get(name).ok_or(Errno::ENOENT)?.clone(),
        };
        // `..` lies against the lock order, and a file whose writer hangs must not take its directory along.
        drop(names);
        Ok(found.stat())
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        Ok(self.get(ino)?.stat())
    }

    fn setattr(&self, ino: Ino, change: SetAttr) -> Result<Stat> {
        let inode = self.get(ino)?;
        inode.check()?;
        inode.set(change);
        Ok(inode.stat())
    }

    fn create(&self, directory: Ino, name: &str, kind: Kind, owner: Owner) -> Result<Stat> {
        self.make(directory, name, owner, |ino, kept| Body::empty(kind, ino, kept))
    }

    fn symlink(&self, directory: Ino, name: &str, target: &str, owner: Owner) -> Result<Stat> {
        match target.len() {
            0 => Err(Errno::ENOENT),
            1..=PATH_MAX => self.make(directory, name, owner, |ino, kept| Body::symlink(target, ino, kept)),
            _ => Err(Errno::ENAMETOOLONG),
        }
    }

    fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize> {
        let inode = self.get(ino)?;
        let target = inode.target()?;
        inode.touch_read();
        let count = target.len().min(out.remaining());
        Ok(out.write(&target.as_bytes()[..count]))
    }

    fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat> {
        let (inode, parent) = (self.get(ino)?, self.get(directory)?);
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        let mut names = parent.directory()?.write();
        names.check_free(name)?;
        inode.check()?;
        let noted = self.name_account()?;
        inode.counts.link_again()?;
        names.insert(name, inode.clone(), noted);
        inode.touch();
        parent.touch_names();
        drop(names);
        Ok(inode.stat())
    }

    fn unlink(&self, directory: Ino, name: &str) -> Result<()> {
        let parent = self.get(directory)?;
        let mut names = parent.directory()?.write();
        check_name(name)?;
        if names.get(name).ok_or(Errno::ENOENT)?.is_directory() {
            return Err(Errno::EISDIR);
        }
        let removed = names.remove(name);
        parent.touch_names();
        drop(names);
        if let Some((inode, noted)) = removed {
            // From here on the name is gone.
            drop(noted);
            inode.touch();
            let gone = inode.counts.unlink();
            self.dispose(inode, gone);
        }
        Ok(())
    }

    fn rmdir(&self, directory: Ino, name: &str) -> Result<()> {
        let parent = self.get(directory)?;
        let mut names = parent.directory()?.write();
        check_name(name)?;
        names.get(name).ok_or(Errno::ENOENT)?.directory()?.write().retire()?;
        let removed = names.remove(name);
        parent.counts.unlink();
        parent.touch_names();
        drop(names);
        if let Some((inode, noted)) = removed {
            drop(noted);
            inode.touch();
            let gone = inode.counts.unlink_all();
            self.dispose(inode, gone);
        }
        Ok(())
    }

    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()> {
        self.move_name((directory, name), (to_directory, to_name), flags)
    }

    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let inode = self.get(ino)?;
        let count = inode.file()?.read().read(offset, out)?;
        inode.touch_read();
        Ok(count)
    }

    fn write(&self, ino: Ino, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        let inode = self.get(ino)?;
        let mut pages = inode.file()?.write();
        let count = pages.write(offset, data)?;
        inode.touch_contents(&pages);
        Ok(count)
    }

    fn append(&self, ino: Ino, data: &mut InBuf<'_>) -> Result<u64> {
        let inode = self.get(ino)?;
        let mut pages = inode.file()?.write();
        let end = pages.size();
        pages.write(end, data)?;
        inode.touch_contents(&pages);
        Ok(pages.size())
    }

    fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        let inode = self.get(ino)?;
        let mut pages = inode.file()?.write();
        let cut = pages.truncate(size)?;
        inode.touch_contents(&pages);
        pages.clear_tail();
        drop(cut);
        Ok(())
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        let inode = self.get(directory)?;
        let parent = Ino(inode.parent.load(Relaxed));
        let names = inode.directory()?;
        // As Linux does it, even if no entry fits.
        inode.touch_read();
        names.read().list(directory, parent, cursor, out)
    }

    fn allocate(&self, ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        let inode = self.get(ino)?;
        let mut pages = inode.file()?.write();
        pages.allocate(offset, bytes, keep_size)?;
        inode.touch_contents(&pages);
        Ok(())
    }

    fn fsync(&self, ino: Ino, _: bool) -> Result<u64> {
        self.get(ino).map(|_| self.instance)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn statfs(&self) -> Result<StatFs> {
        let room = self.kept.as_ref().map_or([(0, 0); 2], |kept| kept.room());
        let [(files, free_files), (blocks, free)] = room.map(|(all, free)| (all as u64, free as u64));
        Ok(StatFs { block_size: PAGE as u32, blocks, free, files, free_files })
    }

    fn hold(&self, ino: Ino) -> Result<u64> {
        self.get(ino)?.hold().map(|()| self.instance)
    }

    fn release(&self, ino: Ino) -> Result<()> {
        let inode = self.get(ino)?;
        let gone = inode.release()?;
        self.dispose(inode, gone);
        Ok(())
    }

    fn reclaim(&self, ino: Ino, holds: u32) -> Result<Stat> {
        let inode = self.get(ino)?;
        match inode.reclaim(holds)? {
            true => {
                self.dispose(inode, true);
                Err(Errno::ENOENT)
            }
            false => Ok(inode.stat()),
        }
    }
}
