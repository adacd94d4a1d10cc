//! Names: looking up, making, removing and moving them, after Linux's `namei.c`.
//!
//! What each operation needs it finds, reads and takes first; once records change, nothing can fail any more.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::interfaces::fs::{Kind, NAME_MAX, Owner, Stat, rename};
use kd_api::{Errno, Ino, OutBuf, Result};

use super::buffer::Buffer;
use super::format::*;
use super::inode::Inode;
use super::journal::Handle;
use super::names::{Entry, Names};
use super::super_block::{Leaves, SuperBlock};
use crate::dirent;

/// Most names of a file, as on ext4.
const LINK_MAX: u32 = 65_000;
/// Blocks that an operation on one name changes: directory (inode, block, a new one, its extent blocks), bitmaps, inode.
const CREDITS: usize = 12;
/// The positions of `.` and `..` in a listing come before those of records.
const DOTS: u64 = 2;

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

/// `ENOENT` in a removed directory.
fn check_linked(directory: &Inode) -> Result<()> {
    if directory.meta.lock().raw.links == 0 { Err(Errno::ENOENT) } else { Ok(()) }
}

fn changed(raw: &mut RawInode, now: u64) {
    (raw.mtime, raw.ctime) = (now, now);
}

impl SuperBlock {
    /// The inode that a name leads to.
    pub fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        let parent = self.get(directory)?;
        let found = match name {
            "." => parent.check_directory().map(|()| parent.ino),
            ".." => parent.check_directory().map(|()| parent.meta.lock().raw.parent),
            _ if name.len() > NAME_MAX => parent.check_directory().and(Err(Errno::ENAMETOOLONG)),
            _ => self.with_names(&parent, |names| names.get(name))?.map(|entry| entry.ino).ok_or(Errno::ENOENT),
        };
        match self.get(Ino(found?.into())) {
            // Removed meanwhile; or, on a damaged disk, never there.
            Err(Errno::ENOENT) => Err(Errno::ENOENT),
            found => Ok(found?.stat()),
        }
    }

    fn child(&self, entry: Entry) -> Result<Arc<Inode>> {
        let inode = self.named(entry.ino)?;
        if kind_number(inode.kind) == Some(entry.kind) { Ok(inode) } else { Err(Errno::EUCLEAN) }
    }

    /// Room for a record of this name: a block of the directory, perhaps a new one.
    fn room_for(
        &self,
        handle: &Handle<'_>,
        directory: &Inode,
        names: &mut Names,
        name: &str,
    ) -> Result<(u32, Arc<Buffer>)> {
        if let Some(number) = names.block_for(name) {
            return Ok((number, self.directory_block(directory, number)?));
        }
        let number = (directory.size() / BLOCK as u64) as u32;
        let goal = directory.map.read().goal(number);
        let (physical, _) = self.blocks.take(handle, goal, 1, self.reserve)?;
        let mut room = Leaves::new(self, handle);
        let extent = Extent { logical: number, physical, count: 1, unwritten: false };
        if let Err(errno) = directory.map.write().insert(extent, &mut room) {
            self.blocks.give(handle, physical, 1);
            return Err(errno);
        }
        let (buffer, taken) = (self.buffers.fresh(physical), room.taken + 1);
        names.grow(handle, &buffer);
        directory.update_all(handle, |raw| {
            raw.size += BLOCK as u64;
            raw.blocks = raw.blocks.saturating_add(taken);
        });
        Ok((number, buffer))
    }

    /// Makes a file, a directory, or a symbolic link that says `target`.
    pub fn make(&self, directory: Ino, name: &str, kind: Kind, owner: Owner, target: &str) -> Result<Stat> {
        let parent = self.get(directory)?;
        let number = kind_number(kind).ok_or(Errno::EINVAL)?;
        parent.check_directory()?;
        let mut guard = parent.rw.write();
        match check_name(name) {
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            checked => checked?,
        }
        let names = self.load_names(&parent, &mut guard)?;
        if names.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        check_linked(&parent)?;
        let now = kd_sync::now();
        let raw = RawInode {
            kind,
            mode: owner.mode & 0o7777,
            uid: owner.uid,
            gid: owner.gid,
            links: if kind == Kind::Directory { 2 } else { 1 },
            size: target.len() as u64,
            atime: now,
            mtime: now,
            ctime: now,
            blocks: 0,
            next_orphan: 0,
            parent: if kind == Kind::Directory { parent.ino } else { 0 },
        };
        let handle = self.journal.begin(CREDITS)?;
        let (block, buffer) = self.room_for(&handle, &parent, names, name)?;
        let inode = if target.len() > INLINE_BYTES {
            let (physical, _) = self.blocks.take(&handle, 0, 1, self.reserve)?;
            let inode = self.new_inode(&handle, raw).inspect_err(|_| self.blocks.give(&handle, physical, 1))?;
            handle.modify(&self.buffers.fresh(physical), |block| {
                block[..target.len()].copy_from_slice(target.as_bytes());
            });
            let extent = Extent { logical: 0, physical, count: 1, unwritten: false };
            inode.map.write().insert(extent, &mut Leaves::new(self, &handle))?;
            inode.update_all(&handle, |raw| raw.blocks = 1);
            inode
        } else {
            let inode = self.new_inode(&handle, raw)?;
            let at = inode.offset + INLINE;
            handle.modify(&inode.buffer, |block| block[at..at + target.len()].copy_from_slice(target.as_bytes()));
            inode
        };
        names.insert(&handle, block, &buffer, name, inode.ino, number);
        parent.update(&handle, |raw| {
            raw.links = raw.links.saturating_add(u32::from(kind == Kind::Directory));
            changed(raw, now);
        });
        Ok(inode.stat())
    }

    /// What a symbolic link says.
    pub fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize> {
        let inode = self.get(ino)?;
        if inode.kind != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        let size = inode.size() as usize;
        if inode.map.read().is_empty() {
            let at = inode.offset + INLINE;
            let target = |block: &Block| out.write(&block[at..at + size.min(INLINE_BYTES)]);
            return Ok(inode.buffer.read(target));
        }
        let buffer = self.directory_block(&inode, 0)?;
        Ok(buffer.read(|block| out.write(&block[..size.min(BLOCK)])))
    }

    /// Gives a file one name more.
    pub fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat> {
        let (inode, parent) = (self.get(ino)?, self.get(directory)?);
        parent.check_directory()?;
        let mut guard = parent.rw.write();
        match check_name(name) {
            Err(Errno::EBUSY) => return Err(Errno::EEXIST),
            checked => checked?,
        }
        let names = self.load_names(&parent, &mut guard)?;
        if names.get(name).is_some() {
            return Err(Errno::EEXIST);
        }
        check_linked(&parent)?;
        if inode.is_directory() {
            return Err(Errno::EPERM);
        }
        let handle = self.journal.begin(CREDITS)?;
        let (block, buffer) = self.room_for(&handle, &parent, names, name)?;
        let (now, mut linked) = (kd_sync::now(), Ok(()));
        inode.update(&handle, |raw| match raw.links {
            0 => linked = Err(Errno::ENOENT),
            links if links >= LINK_MAX => linked = Err(Errno::EMLINK),
            _ => (raw.links, raw.ctime) = (raw.links + 1, now),
        });
        linked?;
        let number = kind_number(inode.kind).unwrap_or(0);
        names.insert(&handle, block, &buffer, name, inode.ino, number);
        parent.update(&handle, |raw| changed(raw, now));
        Ok(inode.stat())
    }

    /// A name less; an inode without any is an orphan until it is buried.
    fn drop_link(&self, handle: &Handle<'_>, inode: &Arc<Inode>, now: u64) {
        let mut left = 0;
        inode.update(handle, |raw| {
            raw.links = if raw.kind == Kind::Directory { 0 } else { raw.links.saturating_sub(1) };
            raw.ctime = now;
            left = raw.links;
        });
        if left == 0 {
            self.orphans.lock().add(handle, inode);
        }
    }

    /// Removes the name of a file, or of an empty directory.
    pub fn remove(&self, directory: Ino, name: &str, kind: Kind) -> Result<()> {
        let parent = self.get(directory)?;
        parent.check_directory()?;
        let mut guard = parent.rw.write();
        check_name(name)?;
        let names = self.load_names(&parent, &mut guard)?;
        let entry = names.get(name).ok_or(Errno::ENOENT)?;
        let inode = self.child(entry)?;
        match (kind, inode.is_directory()) {
            (Kind::Directory, false) => return Err(Errno::ENOTDIR),
            (Kind::Directory, true) => self.check_empty(&inode)?,
            (_, true) => return Err(Errno::EISDIR),
            _ => {}
        }
        let buffer = self.directory_block(&parent, entry.block)?;
        let (handle, now) = (self.journal.begin(CREDITS)?, kd_sync::now());
        names.remove(&handle, &buffer, name);
        parent.update(&handle, |raw| {
            raw.links = raw.links.saturating_sub(u32::from(inode.is_directory()));
            changed(raw, now);
        });
        self.drop_link(&handle, &inode, now);
        drop(handle);
        drop(guard);
        self.bury_if_gone(&inode);
        Ok(())
    }

    /// `ENOTEMPTY`. Nobody adds a name later: who would holds its parent, or finds it without links.
    fn check_empty(&self, directory: &Inode) -> Result<()> {
        let mut guard = directory.rw.write();
        if self.load_names(directory, &mut guard)?.is_empty() { Ok(()) } else { Err(Errno::ENOTEMPTY) }
    }

    /// Whether `ancestor` is `of` or above it; a stable answer only under the rename lock.
    fn is_above(&self, ancestor: u32, of: u32) -> bool {
        let mut at = of;
        // As often as there are inodes: a damaged disk may have directories that contain themselves.
        for _ in 0..self.geometry.inodes {
            if at == ancestor {
                return true;
            }
            match self.named(at) {
                Ok(inode) if at != ROOT_INO => at = inode.meta.lock().raw.parent,
                _ => return false,
            }
        }
        true
    }

    /// Moves a name.
    pub fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()> {
        if flags & !(rename::NOREPLACE | rename::EXCHANGE) != 0 || flags == rename::NOREPLACE | rename::EXCHANGE {
            return Err(Errno::EINVAL);
        }
        let (from, to) = (self.get(directory)?, self.get(to_directory)?);
        from.check_directory()?;
        to.check_directory()?;
        check_name(name)?;
        let replaced = if from.ino == to.ino {
            let mut guard = from.rw.write();
            let names = self.load_names(&from, &mut guard)?;
            self.move_name((&from, names, name), (&to, None, to_name), flags)
        } else {
            let _renaming = self.renaming.lock();
            let (mut from_guard, mut to_guard);
            if self.is_above(from.ino, to.ino) {
                from_guard = from.rw.write();
                to_guard = to.rw.write();
            } else {
                to_guard = to.rw.write();
                from_guard = from.rw.write();
            }
            let from_names = self.load_names(&from, &mut from_guard)?;
            let to_names = self.load_names(&to, &mut to_guard)?;
            self.move_name((&from, from_names, name), (&to, Some(to_names), to_name), flags)
        };
        if let Some(inode) = replaced? {
            self.bury_if_gone(&inode);
        }
        Ok(())
    }

    /// The move itself, with its directories locked; `to_names` is `None` within one directory. Returns what was replaced.
    fn move_name(
        &self,
        (from, from_names, name): (&Arc<Inode>, &mut Names, &str),
        (to, mut to_names, to_name): (&Arc<Inode>, Option<&mut Names>, &str),
        flags: u32,
    ) -> Result<Option<Arc<Inode>>> {
        let across = to_names.is_some();
        let source_entry = from_names.get(name).ok_or(Errno::ENOENT)?;
        // The old name's absence is told before a new name's length.
        check_name(to_name)?;
        let target_entry = to_names.as_deref().unwrap_or(from_names).get(to_name);
        match target_entry {
            Some(_) if flags == rename::NOREPLACE => return Err(Errno::EEXIST),
            None if flags == rename::EXCHANGE => return Err(Errno::ENOENT),
            _ => {}
        }
        let source = self.child(source_entry)?;
        let target = target_entry.map(|entry| self.child(entry)).transpose()?;
        if across && source.is_directory() && self.is_above(source.ino, to.ino) {
            return Err(Errno::EINVAL);
        }
        if across && target.as_ref().is_some_and(|t| t.is_directory() && self.is_above(t.ino, from.ino)) {
            return Err(if flags == rename::EXCHANGE { Errno::EINVAL } else { Errno::ENOTEMPTY });
        }
        let source_buffer = self.directory_block(from, source_entry.block)?;
        let target_buffer = target_entry.map(|entry| self.directory_block(to, entry.block)).transpose()?;
        let source_kind = source_entry.kind;
        match (&target, target_entry, target_buffer) {
            (Some(target), _, _) if target.ino == source.ino => Ok(None),
            (Some(target), Some(entry), Some(target_buffer)) => {
                let exchange = flags == rename::EXCHANGE;
                if !exchange {
                    match (source.is_directory(), target.is_directory()) {
                        (true, false) => return Err(Errno::ENOTDIR),
                        (false, true) => return Err(Errno::EISDIR),
                        (false, false) => {}
                        (true, true) => self.check_empty(target)?,
                    }
                }
                let (handle, now) = (self.journal.begin(CREDITS)?, kd_sync::now());
                let into = to_names.as_deref_mut().unwrap_or(from_names);
                into.replace(&handle, &target_buffer, to_name, source.ino, source_kind);
                if exchange {
                    from_names.replace(&handle, &source_buffer, name, entry.ino, entry.kind);
                    self.settle(&handle, target, to, from, now);
                } else {
                    from_names.remove(&handle, &source_buffer, name);
                    self.drop_link(&handle, target, now);
                    let directory = u32::from(target.is_directory());
                    to.update(&handle, |raw| raw.links = raw.links.saturating_sub(directory));
                }
                self.settle(&handle, &source, from, to, now);
                Ok((!exchange).then(|| target.clone()))
            }
            _ => {
                check_linked(to)?;
                let (handle, now) = (self.journal.begin(CREDITS)?, kd_sync::now());
                let into = to_names.unwrap_or(from_names);
                let (block, buffer) = self.room_for(&handle, to, into, to_name)?;
                into.insert(&handle, block, &buffer, to_name, source.ino, source_kind);
                if across {
                    from_names.remove(&handle, &source_buffer, name);
                } else {
                    into.remove(&handle, &source_buffer, name);
                }
                self.settle(&handle, &source, from, to, now);
                Ok(None)
            }
        }
    }

    /// An inode's name has moved from one directory to another, or within one.
    fn settle(&self, handle: &Handle<'_>, inode: &Inode, from: &Inode, to: &Inode, now: u64) {
        let directory = u32::from(inode.is_directory() && from.ino != to.ino);
        inode.update(handle, |raw| {
            if raw.kind == Kind::Directory {
                raw.parent = to.ino;
            }
            raw.ctime = now;
        });
        from.update(handle, |raw| {
            raw.links = raw.links.saturating_sub(directory);
            changed(raw, now);
        });
        to.update(handle, |raw| {
            raw.links = raw.links.saturating_add(directory);
            changed(raw, now);
        });
    }

    /// Lists from position `cursor` on.
    pub fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        let inode = self.get(directory)?;
        inode.check_directory()?;
        check_linked(&inode)?;
        let _names = inode.rw.read();
        let mut meta = inode.meta.lock();
        inode.note_read(&mut meta);
        let (size, parent) = (meta.raw.size, meta.raw.parent);
        drop(meta);
        let dots = [(0, inode.ino, "."), (1, parent, "..")].into_iter().skip(cursor.min(DOTS) as usize);
        let dots =
            dots.map(|(at, ino, name)| dirent::Entry { ino: ino.into(), next: at + 1, kind: Kind::Directory, name });
        let (mut position, mut bytes) = dirent::write(cursor, dots, out)?;
        while let Some(offset) = position.checked_sub(DOTS).filter(|offset| *offset < size) {
            let (number, within) = (offset / BLOCK as u64, (offset % BLOCK as u64) as usize);
            let block = self.directory_block(&inode, number as u32)?.freeze();
            let mut entries = Vec::new();
            for record in records(&block) {
                let record = record?;
                if record.ino != 0 && record.at >= within {
                    entries.push(dirent::Entry {
                        ino: record.ino.into(),
                        next: DOTS + number * BLOCK as u64 + (record.at + record.length) as u64,
                        kind: kind_of(record.kind.into()).ok_or(Errno::EUCLEAN)?,
                        name: core::str::from_utf8(record.name).map_err(|_| Errno::EUCLEAN)?,
                    });
                }
            }
            let last = entries.last().map_or(position, |entry| entry.next);
            match dirent::write(position, entries.into_iter(), out) {
                Ok((next, count)) => (position, bytes) = (next, bytes + count),
                Err(_) if bytes > 0 => break,
                Err(errno) => return Err(errno),
            }
            if position != last {
                break;
            }
            position = DOTS + (number + 1) * BLOCK as u64;
        }
        Ok((position, bytes))
    }
}
