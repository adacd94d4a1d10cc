//! A mounted file system's parts, and the lives of its inodes.
//!
//! Lock order: the rename lock; directories' `rw`, ancestors first; a file's `rw`; a handle; the orphan list; an inode's
//! `map`, then `meta`; the journal's locks. See `page_cache` for pages, which are locked under a handle or none.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_api::interfaces::fs::Kind;
use kd_api::{Errno, Ino, Result};
use kd_sync::{Kthread, Mutex};

use super::MountOptions;
use super::bitmap::Bitmap;
use super::buffer::{Buffer, Buffers};
use super::disk::{self, Device};
use super::extents::{Extents, Room, Run};
use super::format::*;
use super::inode::{Inode, Inodes, Io};
use super::journal::{Handle, Journal};
use super::names::Names;
use super::orphans::Orphans;
use super::recovery::{log_super, recover};
use crate::page_cache::PageCache;

/// Extents that one transaction frees of a file, at most.
pub const CUT: usize = 8;
/// Names that the indexes of all directories hold, above which the others' are dropped: some 10 MiB of a domain's 64.
const NAMES_MAX: usize = 1 << 17;
/// How often the writer of old pages looks, in nanoseconds: Linux's `dirty_writeback_centisecs`.
const INTERVAL: u64 = 5_000_000_000;

/// A mounted file system.
pub struct SuperBlock {
    pub geometry: Geometry,
    pub buffers: Arc<Buffers>,
    pub journal: Arc<Journal>,
    pub blocks: Arc<Bitmap>,
    pub inode_bits: Arc<Bitmap>,
    pub inodes: Inodes,
    pub io: Arc<Io>,
    pub orphans: Mutex<Orphans>,
    pub renaming: Mutex<()>,
    pub names: Arc<AtomicUsize>,
    /// Blocks kept for extent blocks, so that room once promised can be used.
    pub reserve: u32,
    /// Which of all mounts this one is: the sequence number that it began with, which each mount makes larger.
    pub instance: u64,
    flusher: Mutex<Option<Kthread>>,
}

impl SuperBlock {
    /// Replays the journal and reads what there is.
    pub fn mount(device: Device, options: MountOptions, cache: PageCache) -> Result<Arc<SuperBlock>> {
        let mut block = disk::zeroed();
        disk::read(&*device, 0, &mut *block)?;
        let geometry = Geometry::read(&block, disk::capacity(&*device)?)?;
        let recovered = recover(&geometry, &mut |number, block| disk::read(&*device, number, block))?;
        disk::write_home(&*device, recovered.blocks.iter().map(|(number, block)| (*number, &**block)))?;
        if options.barriers && !recovered.blocks.is_empty() {
            device.flush()?;
        }
        let block = log_super(recovered.sequence, 1);
        disk::write(&*device, geometry.journal_start(), options.barriers, &*block)?;

        let buffers = Arc::new(Buffers::new(device.clone()));
        let super_buffer = buffers.get(0)?;
        let is_table = |block| !geometry.is_data(block, 1);
        let blocks = Bitmap::load(&buffers, geometry.block_bitmap(), geometry.blocks, is_table)?;
        let blocks = Arc::new(blocks);
        let inode_bits = Bitmap::load(&buffers, geometry.inode_bitmap(), geometry.inodes, |ino| ino <= ROOT_INO)?;
        let journal = Journal::new(device.clone(), geometry, options, buffers.clone(), recovered.sequence);
        let fs = Arc::new(SuperBlock {
            geometry,
            buffers,
            journal: Arc::new(journal),
            blocks,
            inode_bits: Arc::new(inode_bits),
            inodes: Inodes::default(),
            io: Arc::new(Io { device, cache }),
            orphans: Mutex::new(Orphans::new(super_buffer)),
            renaming: Mutex::new(()),
            names: Arc::default(),
            reserve: (geometry.blocks / 64).min(64),
            instance: recovered.sequence,
            flusher: Mutex::new(None),
        });
        fs.get(Ino(ROOT_INO.into()))?.check_directory().map_err(|_| Errno::EUCLEAN)?;
        fs.bury_orphans()?;
        if options.threads {
            fs.journal.start();
            fs.start_flusher();
        }
        Ok(fs)
    }

    /// Starts the thread that writes old pages back, where there are threads.
    fn start_flusher(&self) {
        let io = self.io.clone();
        *self.flusher.lock() = Kthread::run("flush-jfs", move |context| {
            while !context.should_stop() {
                let woken = context.woken();
                io.cache.dirty_hosts().iter().for_each(|host| io.cache.write_back(&**host));
                context.sleep(woken, INTERVAL);
            }
        });
    }

    /// Keeps the number of dirty pages down: the thread writes, and beyond the limit the caller too.
    pub fn balance(&self, inode: &Inode) {
        if self.io.cache.wants_writing()
            && let Some(flusher) = &*self.flusher.lock()
        {
            flusher.wake();
        }
        self.io.cache.balance(inode);
    }

    /// Ends the threads.
    pub fn stop(&self) {
        let flusher = self.flusher.lock().take();
        drop(flusher);
        self.journal.stop();
    }

    /// The inode of this number.
    pub fn get(&self, ino: Ino) -> Result<Arc<Inode>> {
        let ino = u32::try_from(ino.0).ok().filter(|ino| (ROOT_INO..self.geometry.inodes).contains(ino));
        let ino = ino.ok_or(Errno::ENOENT)?;
        self.inodes.get(ino, || {
            let inode = Inode::load(ino, &self.geometry, &self.buffers, &self.io)?;
            // Whether its last change was committed nobody knows any more.
            let running = self.journal.running();
            inode.sync_tid.store(running, Relaxed);
            inode.datasync_tid.store(running, Relaxed);
            Ok(inode)
        })
    }

    /// An inode that a name leads to: on a sound disk there is one.
    pub fn named(&self, ino: u32) -> Result<Arc<Inode>> {
        self.get(Ino(ino.into())).map_err(|errno| if errno == Errno::ENOENT { Errno::EUCLEAN } else { errno })
    }

    /// Does something again after a commit if there was no room but what the running transaction freed.
    pub fn with_room<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        match act() {
            Err(Errno::ENOSPC) if self.blocks.free().1 + self.inode_bits.free().1 > 0 => {
                self.journal.commit(self.journal.running())?;
                act()
            }
            result => result,
        }
    }

    /// Runs `act` with a directory's names, which nobody changes meanwhile.
    pub fn with_names<T>(&self, directory: &Inode, act: impl FnOnce(&Names) -> T) -> Result<T> {
        directory.check_directory()?;
        if let Some(names) = &*directory.rw.read() {
            return Ok(act(names));
        }
        let mut guard = directory.rw.write();
        Ok(act(self.load_names(directory, &mut guard)?))
    }

    /// The names of a directory whose `rw` is held, read if need be.
    pub fn load_names<'a>(&self, directory: &Inode, names: &'a mut Option<Names>) -> Result<&'a mut Names> {
        directory.check_directory()?;
        match names {
            Some(names) => Ok(names),
            None => {
                if self.names.load(Relaxed) > NAMES_MAX {
                    self.drop_names();
                }
                let blocks = (directory.size() / BLOCK as u64) as u32;
                let loaded = Names::load(blocks, &self.names, |number| self.directory_block(directory, number))?;
                Ok(names.insert(loaded))
            }
        }
    }

    /// Drops the index of every directory that nobody uses right now.
    fn drop_names(&self) {
        for inode in self.inodes.all().iter().filter(|inode| inode.is_directory()) {
            if let Some(mut names) = inode.rw.try_write() {
                *names = None;
            }
        }
    }

    /// A block of a directory, or of a long symbolic link.
    pub fn directory_block(&self, inode: &Inode, number: u32) -> Result<Arc<Buffer>> {
        match inode.map.read().run(number) {
            Run::Mapped(block, _) => self.buffers.get(block),
            _ => Err(Errno::EUCLEAN),
        }
    }

    /// Makes an inode that nothing leads to yet.
    pub fn new_inode(&self, handle: &Handle<'_>, raw: RawInode) -> Result<Arc<Inode>> {
        let (ino, _) = self.inode_bits.take(handle, 0, 1, 0)?;
        let (block, offset) = self.geometry.inode_at(ino);
        let buffer = self.buffers.get(block).inspect_err(|_| self.inode_bits.give_now(handle, ino))?;
        handle.modify(&buffer, |block| block[offset..offset + INODE].fill(0));
        let inode = Inode::new(ino, raw, Extents::new(), buffer, offset, self.io.clone());
        inode.update_all(handle, |_| ());
        self.inodes.insert(inode.clone());
        Ok(inode)
    }

    /// Blocks that freeing up to [`CUT`] extents changes.
    pub fn cut_credits(&self) -> usize {
        self.blocks.credits(CUT + 2) + 5
    }

    /// Frees blocks from `from` on, up to [`CUT`] extents; whether it is done. The caller writes the inode.
    pub fn cut(&self, handle: &Handle<'_>, inode: &Inode, from: u32) -> bool {
        let mut room = Leaves::new(self, handle);
        let freed = inode.map.write().cut(from, CUT, &mut room);
        let given = room.given + freed.iter().map(|(_, count)| count).sum::<u32>();
        for (first, count) in &freed {
            if inode.kind != Kind::File {
                // Such blocks went through the journal.
                (*first..first + count).for_each(|block| handle.revoke(block));
            }
            self.blocks.give(handle, *first, *count);
        }
        inode.update_all(handle, |raw| raw.blocks = raw.blocks.saturating_sub(given));
        freed.len() < CUT
    }

    /// Frees an inode without names and holds, which is on the orphan list.
    pub fn bury(&self, inode: &Arc<Inode>) -> Result<()> {
        let mut contents = inode.rw.write();
        *contents = None;
        self.io.cache.cut(&**inode, 0);
        loop {
            let handle = self.journal.begin(self.cut_credits() + 4)?;
            if self.cut(&handle, inode, 0) {
                self.orphans.lock().remove(&handle, inode);
                self.inodes.remove(inode.ino);
                let (mut meta, offset) = (inode.meta.lock(), inode.offset);
                meta.freed = true;
                handle.modify(&inode.buffer, |block| block[offset..offset + INODE].fill(0));
                self.inode_bits.give(&handle, inode.ino, 1);
                return Ok(());
            }
        }
    }

    /// Buries an inode if it has neither names nor holds. Whatever goes wrong is left to the next mount.
    pub fn bury_if_gone(&self, inode: &Arc<Inode>) {
        let mut meta = inode.meta.lock();
        let gone = meta.raw.links == 0 && meta.holds == 0 && !meta.dying;
        meta.dying |= gone;
        drop(meta);
        if gone {
            let _ = self.bury(inode);
        }
    }

    /// After a crash: frees what was open without a name, and ends what was being truncated.
    fn bury_orphans(&self) -> Result<()> {
        let mut next = self.orphans.lock().head();
        let (mut listed, mut seen) = (Vec::new(), BTreeSet::new());
        while next != 0 {
            let inode = self.named(next)?;
            if next == ROOT_INO || !seen.insert(next) {
                return Err(Errno::EUCLEAN);
            }
            next = inode.meta.lock().raw.next_orphan;
            listed.push(inode);
        }
        for inode in listed.iter().rev() {
            self.orphans.lock().know(inode);
        }
        for inode in &listed {
            let meta = inode.meta.lock();
            let (links, from) = (meta.raw.links, meta.raw.size.div_ceil(BLOCK as u64) as u32);
            drop(meta);
            if links == 0 {
                self.bury_if_gone(inode);
                continue;
            }
            loop {
                let handle = self.journal.begin(self.cut_credits() + 3)?;
                if self.cut(&handle, inode, from) {
                    self.orphans.lock().remove(&handle, inode);
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Takes extent blocks from the reserve, and counts.
pub struct Leaves<'a> {
    fs: &'a SuperBlock,
    handle: &'a Handle<'a>,
    pub taken: u32,
    pub given: u32,
}

impl<'a> Leaves<'a> {
    pub fn new(fs: &'a SuperBlock, handle: &'a Handle<'a>) -> Leaves<'a> {
        Leaves { fs, handle, taken: 0, given: 0 }
    }
}

impl Room for Leaves<'_> {
    fn take(&mut self) -> Result<Arc<Buffer>> {
        let (block, _) = self.fs.blocks.take(self.handle, 0, 1, 0)?;
        self.taken += 1;
        Ok(self.fs.buffers.fresh(block))
    }

    fn give(&mut self, block: u32) {
        self.handle.revoke(block);
        self.fs.blocks.give(self.handle, block, 1);
        self.given += 1;
    }
}
