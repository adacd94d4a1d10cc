//! Files: reading, writing, cutting, room ahead.
//!
//! Overwriting what is there touches the page cache only. Writing where no block is yet takes blocks in a transaction, to
//! which the file's data is ordered: after a crash no block shows what it held in another file. Bytes beyond the size in
//! the last page are undefined and become zeros when the file grows over them, so that cutting changes no data.

use alloc::sync::Arc;

use kd_api::{Errno, InBuf, OutBuf, Result};

use super::extents::Run;
use super::format::{Extent, SIZE_MAX};
use super::inode::Inode;
use super::journal::Handle;
use super::super_block::{Leaves, SuperBlock};
use crate::page_cache::{Host, PAGE, Page};

/// Pages that one transaction maps: 64 KiB of data.
const CHUNK: u64 = 16;

impl SuperBlock {
    /// Reads from byte `offset`.
    pub fn read(&self, inode: &Arc<Inode>, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        inode.check_file()?;
        let _contents = inode.rw.read();
        let mut meta = inode.meta.lock();
        let size = meta.raw.size;
        inode.note_read(&mut meta);
        drop(meta);
        let count = size.saturating_sub(offset).min(out.remaining() as u64) as usize;
        self.io.cache.read(&**inode, offset, count, size, out)
    }

    /// Writes at byte `offset`, or at the end; where it ended.
    pub fn write(&self, inode: &Arc<Inode>, offset: Option<u64>, data: &mut InBuf<'_>) -> Result<u64> {
        inode.check_file()?;
        let _contents = inode.rw.write();
        inode.check_alive()?;
        let offset = offset.unwrap_or_else(|| inode.size());
        if data.remaining() == 0 {
            return Ok(offset);
        }
        if offset >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        if self.journal.is_aborted() {
            return Err(Errno::EROFS);
        }
        let (mut at, end) = (offset, SIZE_MAX.min(offset.saturating_add(data.remaining() as u64)));
        let chunk = CHUNK * PAGE as u64;
        while at < end {
            let to = end.min((at / chunk + 1) * chunk);
            match self.with_room(|| self.write_chunk(inode, at, to, data)) {
                Ok(reached) => at = reached,
                Err(errno) if at == offset => return Err(errno),
                Err(_) => break,
            }
            self.balance(inode);
        }
        Ok(at)
    }

    /// A page that keeps some of its bytes, if the disk has them.
    fn kept(&self, inode: &Arc<Inode>, index: u64) -> Result<Option<Arc<Page>>> {
        match inode.map.read().run(index as u32) {
            Run::Mapped(..) => {}
            _ => return Ok(None),
        }
        self.io.cache.filled(&**inode, index).map(Some)
    }

    /// Writes bytes `at` to `to` of a file, which lie in one chunk; where it ended, short of `to` if there was no room.
    fn write_chunk(&self, inode: &Arc<Inode>, at: u64, to: u64, data: &mut InBuf<'_>) -> Result<u64> {
        let page = PAGE as u64;
        let (first, last, size) = (at / page, (to - 1) / page, inode.size());
        // Nothing can fail once blocks are taken, so what must be read is read before, and stays while it is held.
        let _head = if at.is_multiple_of(page) { None } else { self.kept(inode, first)? };
        let _tail = if to.is_multiple_of(page) { None } else { self.kept(inode, last)? };
        let gap = if at > size && size % page != 0 { self.kept(inode, size / page)? } else { None };
        let host: Arc<dyn Host> = inode.clone();
        let is_there = |run| matches!(run, Run::Mapped(_, count) if u64::from(count) > last - first);
        if to <= size && is_there(inode.map.read().run(first as u32)) {
            self.copy(&host, at, to, 0, data)?;
            let now = kd_sync::now();
            inode.touch(|raw| (raw.mtime, raw.ctime) = (now, now));
            return Ok(to);
        }
        let handle = self.journal.begin(self.map_credits(CHUNK as usize))?;
        let (end, fresh) = self.map_blocks(&handle, inode, first as u32, (last + 1) as u32, false)?;
        let to = to.min(u64::from(end) * page);
        if gap.is_some() {
            self.io.cache.zero(&host, size / page, (size % page) as usize)?;
        }
        self.copy(&host, at, to, fresh, data)?;
        let now = kd_sync::now();
        inode.update_all(&handle, |raw| {
            raw.size = raw.size.max(to);
            (raw.mtime, raw.ctime) = (now, now);
        });
        handle.ordered(inode.ino, inode.clone());
        Ok(to)
    }

    /// Copies bytes into pages, of which bit n of `fresh` says that the n-th has nothing on disk.
    fn copy(&self, host: &Arc<dyn Host>, mut at: u64, to: u64, mut fresh: u32, data: &mut InBuf<'_>) -> Result<()> {
        while at < to {
            let start = (at % PAGE as u64) as usize;
            let count = (PAGE - start).min((to - at) as usize);
            self.io.cache.write(host, at / PAGE as u64, start, count, fresh & 1 != 0, data)?;
            at += count as u64;
            fresh >>= 1;
        }
        Ok(())
    }

    /// Blocks of metadata that mapping so many blocks changes: the inode, and extent blocks at both ends and new.
    fn map_credits(&self, blocks: usize) -> usize {
        self.blocks.credits(blocks) + 5
    }

    /// Sees to it that blocks `first` to `end` of a file are on disk, as written or as room; up to which it did, and bit
    /// by bit which of the first 32 were not written before.
    fn map_blocks(
        &self,
        handle: &Handle<'_>,
        inode: &Inode,
        first: u32,
        end: u32,
        unwritten: bool,
    ) -> Result<(u32, u32)> {
        let mut room = Leaves::new(self, handle);
        let mut map = inode.map.write();
        let (mut at, mut fresh, mut taken) = (first, 0, 0);
        let mut failed = Ok(());
        while at < end {
            let (count, is_fresh) = match map.run(at) {
                Run::Mapped(_, count) => (count.min(end - at), false),
                Run::Unwritten(_, count) if unwritten => (count.min(end - at), false),
                Run::Unwritten(_, count) => {
                    let count = count.min(end - at);
                    failed = map.write(at, count, &mut room);
                    (count, true)
                }
                Run::Hole(count) => {
                    let want = count.min(end - at);
                    match self.blocks.take(handle, map.goal(at), want, self.reserve) {
                        Ok((physical, count)) => {
                            let extent = Extent { logical: at, physical, count, unwritten };
                            failed = map.insert(extent, &mut room);
                            match failed {
                                Ok(()) => taken += count,
                                Err(_) => self.blocks.give(handle, physical, count),
                            }
                            (count, true)
                        }
                        Err(errno) => {
                            failed = Err(errno);
                            (want, true)
                        }
                    }
                }
            };
            if failed.is_err() {
                break;
            }
            if is_fresh {
                (at..(at + count).min(first + 32)).for_each(|block| fresh |= 1 << (block - first));
            }
            at += count;
        }
        drop(map);
        if at == first {
            failed?;
        }
        let blocks = taken + room.taken;
        let given = room.given;
        let mut meta = inode.meta.lock();
        meta.raw.blocks = meta.raw.blocks.saturating_add(blocks.saturating_sub(given));
        drop(meta);
        Ok((at, fresh))
    }

    /// Sets the size.
    pub fn truncate(&self, inode: &Arc<Inode>, size: u64) -> Result<()> {
        inode.check_file()?;
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let _contents = inode.rw.write();
        inode.check_alive()?;
        let (old, page, now) = (inode.size(), PAGE as u64, kd_sync::now());
        if size >= old {
            let grows = size > old && old % page != 0;
            let tail = if grows { self.kept(inode, old / page)? } else { None };
            let handle = self.journal.begin(1)?;
            if tail.is_some() {
                let host: Arc<dyn Host> = inode.clone();
                self.io.cache.zero(&host, old / page, (old % page) as usize)?;
                handle.ordered(inode.ino, inode.clone());
            }
            inode.update(&handle, |raw| {
                raw.size = size;
                (raw.mtime, raw.ctime) = (now, now);
            });
            inode.datasync_tid.store(handle.tid, core::sync::atomic::Ordering::Release);
            return Ok(());
        }
        let from = size.div_ceil(page);
        let mut first = true;
        loop {
            let handle = self.journal.begin(self.cut_credits() + 3)?;
            if first {
                self.io.cache.cut(&**inode, from);
                inode.update(&handle, |raw| {
                    raw.size = size;
                    (raw.mtime, raw.ctime) = (now, now);
                });
            }
            match (self.cut(&handle, inode, from as u32), first) {
                (true, true) => return Ok(()),
                (true, false) => {
                    self.orphans.lock().remove(&handle, inode);
                    return Ok(());
                }
                // A crash from here on leaves blocks that nothing but this list tells of.
                (false, _) => self.orphans.lock().add(&handle, inode),
            }
            first = false;
        }
    }

    /// Takes room for these bytes, which read as zeros until they are written.
    pub fn allocate(&self, inode: &Arc<Inode>, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        inode.check_file()?;
        if bytes == 0 {
            return Err(Errno::EINVAL);
        }
        let end = offset.checked_add(bytes).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let _contents = inode.rw.write();
        inode.check_alive()?;
        let (size, page) = (inode.size(), PAGE as u64);
        let tail = if !keep_size && end > size && size % page != 0 { self.kept(inode, size / page)? } else { None };
        let (mut at, to) = ((offset / page) as u32, end.div_ceil(page) as u32);
        while at < to {
            let part = to.min(at.saturating_add(super::format::BITS));
            at = self.with_room(|| {
                // A run at a time: a full disk may give many small ones.
                let handle = self.journal.begin(self.map_credits(2))?;
                let run = inode.map.read().run(at);
                let part = match run {
                    Run::Hole(count) => {
                        let want = count.min(part - at);
                        let goal = inode.map.read().goal(at);
                        let (physical, count) = self.blocks.take(&handle, goal, want, self.reserve)?;
                        self.insert_room(&handle, inode, Extent { logical: at, physical, count, unwritten: true })?;
                        at + count
                    }
                    Run::Mapped(_, count) | Run::Unwritten(_, count) => part.min(at + count),
                };
                Ok(part)
            })?;
        }
        let (handle, now) = (self.journal.begin(1)?, kd_sync::now());
        if tail.is_some() {
            let host: Arc<dyn Host> = inode.clone();
            self.io.cache.zero(&host, size / page, (size % page) as usize)?;
            handle.ordered(inode.ino, inode.clone());
        }
        inode.update(&handle, |raw| {
            if !keep_size {
                raw.size = raw.size.max(end);
            }
            raw.ctime = now;
        });
        inode.datasync_tid.store(handle.tid, core::sync::atomic::Ordering::Release);
        Ok(())
    }

    fn insert_room(&self, handle: &Handle<'_>, inode: &Inode, extent: Extent) -> Result<()> {
        let mut room = Leaves::new(self, handle);
        let inserted = inode.map.write().insert(extent, &mut room);
        if inserted.is_err() {
            self.blocks.give(handle, extent.physical, extent.count);
        }
        inserted?;
        let taken = extent.count + room.taken;
        inode.update_all(handle, |raw| raw.blocks = raw.blocks.saturating_add(taken));
        Ok(())
    }

    /// Returns once the file is stable.
    pub fn fsync(&self, inode: &Arc<Inode>, data_only: bool) -> Result<()> {
        use core::sync::atomic::Ordering::Acquire;
        self.io.cache.write_back(&**inode);
        if self.journal.is_aborted() {
            return Err(Errno::EROFS);
        }
        if !data_only && inode.is_lazy() {
            let handle = self.journal.begin(1)?;
            inode.update(&handle, |_| ());
        }
        let tid = if data_only { &inode.datasync_tid } else { &inode.sync_tid }.load(Acquire);
        if self.journal.is_committed(tid) {
            self.journal.barrier()?;
        } else {
            self.journal.commit(tid)?;
        }
        inode.mapping().take_error()
    }

    /// Returns once everything is stable.
    pub fn sync(&self) -> Result<()> {
        let hosts = self.io.cache.dirty_hosts();
        hosts.iter().for_each(|host| self.io.cache.write_back(&**host));
        if self.journal.is_aborted() {
            return Err(Errno::EROFS);
        }
        for inode in self.inodes.all().iter().filter(|inode| inode.is_lazy()) {
            let handle = self.journal.begin(1)?;
            inode.update(&handle, |_| ());
        }
        self.journal.commit(self.journal.running())?;
        self.journal.barrier()?;
        self.io.cache.take_error()
    }
}
