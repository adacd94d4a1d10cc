//! A file system in memory, after Linux's ramfs and tmpfs: inodes in a sharded table, one lock per inode.
//!
//! Lock order: the rename lock; directories, ancestors first; a file's contents; a shard of the inode table. Only a
//! rename between two directories takes the rename lock (Linux's `s_vfs_rename_mutex`): as it alone changes who is
//! whose ancestor, "ancestors first" stands still while it looks.
//!
//! An inode goes when it has neither names nor holds. Numbers are never used again, so an old number is `ENOENT`.

mod directory;
mod file;
mod inode;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, Owner, ROOT, SetAttr, Stat, StatFs};
use kd_api::{Component, Errno, InBuf, Ino, OutBuf, Result};
use kd_sync::Mutex;

use crate::sharded::Sharded;
use directory::Directory;
use inode::Inode;

/// The file system.
pub struct RamFs {
    inodes: Sharded<Inode>,
    next: AtomicU64,
    renaming: Mutex<()>,
}

/// The component `ramfs`.
pub fn component() -> Component {
    Component::new::<dyn FileSystem, RamFs>("ramfs", &[], |_| Ok(Arc::new(RamFs::new()?)))
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
    /// One with an empty root directory.
    pub fn new() -> Result<RamFs> {
        let inodes = Sharded::new();
        inodes.insert(ROOT.0, Inode::new(ROOT, ROOT, Kind::Directory, 0o755)?);
        Ok(RamFs { inodes, next: AtomicU64::new(ROOT.0 + 1), renaming: Mutex::new(()) })
    }

    fn get(&self, ino: Ino) -> Result<Arc<Inode>> {
        self.inodes.get(ino.0).ok_or(Errno::ENOENT)
    }

    /// Whether `ancestor` is `of` or above it; a stable answer only under the rename lock.
    fn is_above(&self, ancestor: Ino, of: Ino) -> bool {
        let mut at = of;
        while at != ancestor {
            match self.get(at) {
                Ok(inode) if at != ROOT => at = Ino(inode.parent.load(Relaxed)),
                _ => return false,
            }
        }
        true
    }

    /// An inode lost a name, and perhaps its last.
    fn dispose(&self, inode: Arc<Inode>, gone: bool) {
        if gone {
            self.inodes.remove(inode.ino.0);
        }
    }

    /// The move itself, with its directories locked; `to_names` is `None` within one directory. Returns what was
    /// replaced, to be dropped after the locks.
    fn exchange(
        &self,
        (from, from_names, name): (&Inode, &mut Directory, &str),
        (to, to_names, to_name): (&Inode, Option<&mut Directory>, &str),
    ) -> Result<Option<(Arc<Inode>, bool)>> {
        let across = to_names.is_some();
        let source = from_names.get(name).ok_or(Errno::ENOENT)?.clone();
        let target = to_names.as_deref().unwrap_or(from_names).get(to_name).cloned();
        if across && source.is_directory() && self.is_above(source.ino, to.ino) {
            return Err(Errno::EINVAL);
        }
        if across && target.as_ref().is_some_and(|t| t.is_directory() && self.is_above(t.ino, from.ino)) {
            return Err(Errno::ENOTEMPTY);
        }
        match &target {
            Some(target) if target.ino == source.ino => return Ok(None),
            Some(target) => match (source.is_directory(), target.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (false, false) => {}
                (true, true) => target.directory()?.write().retire()?,
            },
            None => to_names.as_deref().unwrap_or(from_names).check_alive()?,
        }
        from_names.remove(name);
        let to_names = to_names.unwrap_or(from_names);
        to_names.remove(to_name);
        to_names.insert(to_name, source.clone());
        if across && source.is_directory() {
            from.counts.unlink();
            to.counts.link();
            source.parent.store(to.ino.0, Relaxed);
        }
        Ok(target.map(|target| {
            let gone = if target.is_directory() {
                to.counts.unlink();
                target.counts.unlink_all()
            } else {
                target.counts.unlink()
            };
            (target, gone)
        }))
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

    fn create(&self, directory: Ino, name: &str, kind: Kind, owner: Owner) -> Result<Stat> {
        let parent = self.get(directory)?;
        let mut names = parent.directory()?.write();
        match check_name(name) {
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            checked => checked?,
        }
        if names.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        names.check_alive()?;
        let inode = Inode::new(Ino(self.next.fetch_add(1, Relaxed)), directory, kind, owner.mode)?;
        self.inodes.insert(inode.ino.0, inode.clone());
        names.insert(name, inode.clone());
        if inode.is_directory() {
            parent.counts.link();
        }
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
        drop(names);
        if let Some(inode) = removed {
            let gone = inode.counts.unlink();
            self.dispose(inode, gone);
        }
        Ok(())
    }

    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (self.get(directory)?, self.get(to_directory)?);
        let (from_lock, to_lock) = (from.directory()?, to.directory()?);
        check_name(name)?;
        // The old name's absence is told before a new name's length.
        let replaced = if directory == to_directory {
            let mut names = from_lock.write();
            names.get(name).ok_or(Errno::ENOENT)?;
            check_name(to_name)?;
            self.exchange((&from, &mut names, name), (&to, None, to_name))
        } else {
            let _renaming = self.renaming.lock();
            let (mut from_names, mut to_names);
            if self.is_above(directory, to_directory) {
                from_names = from_lock.write();
                to_names = to_lock.write();
            } else {
                to_names = to_lock.write();
                from_names = from_lock.write();
            }
            from_names.get(name).ok_or(Errno::ENOENT)?;
            check_name(to_name)?;
            self.exchange((&from, &mut from_names, name), (&to, Some(&mut to_names), to_name))
        };
        if let Some((inode, gone)) = replaced? {
            self.dispose(inode, gone);
        }
        Ok(())
    }

    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        Ok(self.get(ino)?.file()?.read().read(offset, out))
    }

    fn write(&self, ino: Ino, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        self.get(ino)?.file()?.write().write(offset, data)
    }

    fn append(&self, ino: Ino, data: &mut InBuf<'_>) -> Result<u64> {
        let inode = self.get(ino)?;
        let mut pages = inode.file()?.write();
        let end = pages.size();
        pages.write(end, data)?;
        Ok(pages.size())
    }

    fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        self.get(ino)?.file()?.write().truncate(size)
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        let inode = self.get(directory)?;
        let parent = Ino(inode.parent.load(Relaxed));
        inode.directory()?.read().list(directory, parent, cursor, out)
    }

    fn fsync(&self, ino: Ino, _: bool) -> Result<()> {
        self.get(ino).map(|_| ())
    }

    fn hold(&self, ino: Ino) -> Result<()> {
        self.get(ino)?.counts.hold()
    }

    fn release(&self, ino: Ino) -> Result<()> {
        let inode = self.get(ino)?;
        let gone = inode.counts.release()?;
        self.dispose(inode, gone);
        Ok(())
    }

    fn setattr(&self, ino: Ino, change: SetAttr) -> Result<Stat> {
        let _ = (ino, change);
        Err(Errno::ENOSYS)
    }

    fn symlink(&self, directory: Ino, name: &str, target: &str, owner: Owner) -> Result<Stat> {
        let _ = (directory, name, target, owner);
        Err(Errno::ENOSYS)
    }

    fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize> {
        let _ = (ino, out);
        Err(Errno::ENOSYS)
    }

    fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat> {
        let _ = (ino, directory, name);
        Err(Errno::ENOSYS)
    }

    fn rmdir(&self, directory: Ino, name: &str) -> Result<()> {
        let _ = (directory, name);
        Err(Errno::ENOSYS)
    }

    fn allocate(&self, ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        let _ = (ino, offset, bytes, keep_size);
        Err(Errno::ENOSYS)
    }

    fn sync(&self) -> Result<()> {
        Err(Errno::ENOSYS)
    }

    fn statfs(&self) -> Result<StatFs> {
        Err(Errno::ENOSYS)
    }
}
