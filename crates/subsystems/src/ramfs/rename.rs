//! Moving a name, alone or in exchange for another, within one directory or between two.

use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::fs::{ROOT, rename};
use kd_api::{Errno, Ino, Result};

use super::directory::Directory;
use super::inode::Inode;
use super::{RamFs, check_name};

/// A name in a locked directory.
struct Place<'a> {
    directory: &'a Inode,
    name: &'a str,
}

impl RamFs {
    /// `renameat2(2)` between two directories of this file system.
    pub(super) fn move_name(&self, from: (Ino, &str), to: (Ino, &str), flags: u32) -> Result<()> {
        if flags & !(rename::NOREPLACE | rename::EXCHANGE) != 0 || flags == rename::NOREPLACE | rename::EXCHANGE {
            return Err(Errno::EINVAL);
        }
        let (from_inode, to_inode) = (self.get(from.0)?, self.get(to.0)?);
        let (from_lock, to_lock) = (from_inode.directory()?, to_inode.directory()?);
        check_name(from.1)?;
        let source = Place { directory: &from_inode, name: from.1 };
        let target = Place { directory: &to_inode, name: to.1 };
        let replaced = if from.0 == to.0 {
            self.move_locked(source, &mut from_lock.write(), target, None, flags)
        } else {
            let _renaming = self.renaming.lock();
            let (mut from_names, mut to_names);
            if self.is_above(from.0, to.0) {
                from_names = from_lock.write();
                to_names = to_lock.write();
            } else {
                to_names = to_lock.write();
                from_names = from_lock.write();
            }
            self.move_locked(source, &mut from_names, target, Some(&mut to_names), flags)
        };
        // What was replaced goes after the locks.
        if let Some((inode, gone)) = replaced? {
            self.dispose(inode, gone);
        }
        Ok(())
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

    /// The move itself; `to_names` is `None` within one directory. Returns what was replaced, and whether it goes.
    fn move_locked(
        &self,
        from: Place<'_>,
        from_names: &mut Directory,
        to: Place<'_>,
        to_names: Option<&mut Directory>,
        flags: u32,
    ) -> Result<Option<(Arc<Inode>, bool)>> {
        let across = to_names.is_some();
        let exchange = flags & rename::EXCHANGE != 0;
        let source = from_names.get(from.name).ok_or(Errno::ENOENT)?.clone();
        // The old name's absence is told before a new name's length.
        check_name(to.name)?;
        let target = to_names.as_deref().unwrap_or(from_names).get(to.name).cloned();
        if flags & rename::NOREPLACE != 0 && target.is_some() {
            return Err(Errno::EEXIST);
        }
        if exchange && target.is_none() {
            return Err(Errno::ENOENT);
        }
        if across && source.is_directory() && self.is_above(source.ino, to.directory.ino) {
            return Err(Errno::EINVAL);
        }
        if across && target.as_ref().is_some_and(|t| t.is_directory() && self.is_above(t.ino, from.directory.ino)) {
            return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        match &target {
            Some(target) if target.ino == source.ino => return Ok(None),
            Some(_) if exchange => {}
            Some(target) => match (source.is_directory(), target.is_directory()) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (false, false) => {}
                (true, true) => target.directory()?.write().retire()?,
            },
            None => to_names.as_deref().unwrap_or(from_names).check_alive()?,
        }
        match &target {
            Some(target) if exchange => {
                self.exchange((from_names, from.name, &source), (to_names, to.name, target))?;
            }
            _ => {
                let moved = from_names.remove(from.name);
                let to_names = to_names.unwrap_or(from_names);
                // What is replaced stays noted until what was moved is.
                let _replaced = to_names.remove(to.name);
                moved.into_iter().for_each(|(inode, account)| to_names.insert(to.name, inode, account));
            }
        }
        if across {
            settle(&source, from.directory, to.directory);
        }
        from.directory.touch_names();
        to.directory.touch_names();
        source.touch();
        let Some(target) = target else { return Ok(None) };
        target.touch();
        if exchange {
            if across {
                settle(&target, to.directory, from.directory);
            }
            return Ok(None);
        }
        let gone = if target.is_directory() {
            to.directory.counts.unlink();
            target.counts.unlink_all()
        } else {
            target.counts.unlink()
        };
        Ok(Some((target, gone)))
    }

    /// Two names lead to each other's inodes.
    fn exchange(
        &self,
        (from_names, from, source): (&mut Directory, &str, &Arc<Inode>),
        (to_names, to, target): (Option<&mut Directory>, &str, &Arc<Inode>),
    ) -> Result<()> {
        let lead = |inode: &Inode| (inode.ino, inode.kind());
        let places = from_names.place(from).zip(to_names.as_deref().unwrap_or(from_names).place(to));
        // Until both are noted.
        let _under_way = match (&self.kept, places) {
            (Some(kept), Some((one, other))) => Some(kept.exchange([(one, lead(target)), (other, lead(source))])?),
            _ => None,
        };
        from_names.lead(from, target.clone());
        to_names.unwrap_or(from_names).lead(to, source.clone());
        Ok(())
    }
}

/// A directory that moved has another parent, which its `..` counts for.
fn settle(moved: &Inode, from: &Inode, to: &Inode) {
    if moved.is_directory() {
        from.counts.unlink();
        to.counts.link();
        moved.parent.store(to.ino.0, Relaxed);
    }
}
