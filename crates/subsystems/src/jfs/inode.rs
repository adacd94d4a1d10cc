//! Inodes in memory, and the table of them.
//!
//! Lock order within an inode: `rw` (Linux's `i_rwsem`; taken before a handle is begun), `map` (its `i_data_sem`), `meta`.
//! Everything an inode knows is also in the buffers under the journal, so one that nobody uses is simply dropped; only times
//! may be newer here (`lazy`, Linux's lazytime), and keep it in memory until they are written.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release},
};

use kd_api::interfaces::block::SECTOR;
use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::{Errno, Result};
use kd_sync::{Mutex, RwLock};

use super::buffer::{Buffer, Buffers};
use super::disk::{self, Device};
use super::extents::{Extents, Run};
use super::format::*;
use super::journal::{Handle, Ordered};
use super::names::Names;
use crate::hash::HashMap;
use crate::page_cache::{Host, Mapping, PAGE, PageCache};

/// Where files' data come from and go to.
pub struct Io {
    pub device: Device,
    pub cache: PageCache,
}

/// What changes under an inode's `meta` lock.
pub struct Meta {
    pub raw: RawInode,
    /// How often it is held.
    pub holds: u32,
    /// It has neither names nor holds and is being freed.
    pub dying: bool,
    /// Its place in the table is another's by now.
    pub freed: bool,
}

/// An inode.
pub struct Inode {
    pub ino: u32,
    pub kind: Kind,
    /// The block of the inode table that it is in, and where.
    pub buffer: Arc<Buffer>,
    pub offset: usize,
    /// Its contents; of a directory, also the index of its names, once somebody asked for one.
    pub rw: RwLock<Option<Names>>,
    pub map: RwLock<Extents>,
    pub meta: Mutex<Meta>,
    /// The last transaction that changed it, and the last that changed what is needed to find its data.
    pub sync_tid: AtomicU64,
    pub datasync_tid: AtomicU64,
    /// Times are newer than in the buffer.
    lazy: AtomicBool,
    used: AtomicBool,
    mapping: Arc<Mapping>,
    io: Arc<Io>,
}

impl Inode {
    /// A new one.
    pub fn new(ino: u32, raw: RawInode, map: Extents, buffer: Arc<Buffer>, offset: usize, io: Arc<Io>) -> Arc<Inode> {
        Arc::new(Inode {
            ino,
            kind: raw.kind,
            buffer,
            offset,
            rw: RwLock::new(None),
            map: RwLock::new(map),
            meta: Mutex::new(Meta { raw, holds: 0, dying: false, freed: false }),
            sync_tid: AtomicU64::new(0),
            datasync_tid: AtomicU64::new(0),
            lazy: AtomicBool::new(false),
            used: AtomicBool::new(true),
            mapping: Arc::default(),
            io,
        })
    }

    /// The inode of this number as it is on the disk; `ENOENT` if it is free, `EUCLEAN` if it makes no sense.
    pub fn load(ino: u32, geometry: &Geometry, buffers: &Buffers, io: &Arc<Io>) -> Result<Arc<Inode>> {
        let (block, offset) = geometry.inode_at(ino);
        let buffer = buffers.get(block)?;
        let bytes: [u8; INODE] = buffer.read(|block| core::array::from_fn(|i| block[offset + i]));
        if get16(&bytes, 0) == 0 {
            return Err(Errno::ENOENT);
        }
        let raw = RawInode::read(&bytes).ok_or(Errno::EUCLEAN)?;
        if raw.size > SIZE_MAX {
            return Err(Errno::EUCLEAN);
        }
        let map = Extents::load(&bytes, ino, buffers, geometry)?;
        Ok(Inode::new(ino, raw, map, buffer, offset, io.clone()))
    }

    /// `ENOENT` once it is being freed.
    pub fn check_alive(&self) -> Result<()> {
        if self.meta.lock().dying { Err(Errno::ENOENT) } else { Ok(()) }
    }

    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// `EISDIR`, or `EINVAL` for anything else but a file.
    pub fn check_file(&self) -> Result<()> {
        match self.kind {
            Kind::File => Ok(()),
            Kind::Directory => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// `ENOTDIR`.
    pub fn check_directory(&self) -> Result<()> {
        if self.is_directory() { Ok(()) } else { Err(Errno::ENOTDIR) }
    }

    pub fn size(&self) -> u64 {
        self.meta.lock().raw.size
    }

    pub fn stat(&self) -> Stat {
        let meta = self.meta.lock();
        let raw = &meta.raw;
        Stat {
            ino: self.ino.into(),
            kind: self.kind,
            mode: raw.mode,
            links: raw.links,
            uid: raw.uid,
            gid: raw.gid,
            size: raw.size,
            blocks: u64::from(raw.blocks) * (BLOCK / SECTOR) as u64,
            atime: raw.atime,
            mtime: raw.mtime,
            ctime: raw.ctime,
        }
    }

    /// Changes fields other than extents, in memory and in the transaction.
    pub fn update(&self, handle: &Handle<'_>, change: impl FnOnce(&mut RawInode)) {
        let mut meta = self.meta.lock();
        change(&mut meta.raw);
        // Before the bytes: a change of times meanwhile sets it again.
        self.lazy.store(false, Release);
        if !meta.freed {
            handle.modify(&self.buffer, |block| meta.raw.write(&mut block[self.offset..self.offset + INODE]));
        }
        self.sync_tid.store(handle.tid, Release);
    }

    /// The same with its extents.
    pub fn update_all(&self, handle: &Handle<'_>, change: impl FnOnce(&mut RawInode)) {
        let mut map = self.map.write();
        map.store_leaves(handle, self.ino);
        handle.modify(&self.buffer, |block| map.store_inode(&mut block[self.offset..self.offset + INODE]));
        drop(map);
        self.update(handle, change);
        self.datasync_tid.store(handle.tid, Release);
    }

    /// Changes times in memory only.
    pub fn touch(&self, change: impl FnOnce(&mut RawInode)) {
        let mut meta = self.meta.lock();
        change(&mut meta.raw);
        self.lazy.store(true, Release);
    }

    /// Whether times are newer here than in the journal.
    pub fn is_lazy(&self) -> bool {
        self.lazy.load(Acquire)
    }

    /// Notes a read, as `relatime` does: once after each change.
    pub fn note_read(&self, meta: &mut Meta) {
        let raw = &mut meta.raw;
        if raw.atime <= raw.mtime.max(raw.ctime) {
            let now = kd_sync::now();
            if now > raw.atime {
                raw.atime = now;
                self.lazy.store(true, Release);
            }
        }
    }
}

impl Host for Inode {
    fn number(&self) -> u64 {
        self.ino.into()
    }

    fn mapping(&self) -> &Arc<Mapping> {
        &self.mapping
    }

    fn read_pages(&self, first: u64, mut bytes: &mut [u8]) -> Result<()> {
        let mut at = first as u32;
        while !bytes.is_empty() {
            let run = self.map.read().run(at);
            let left = (bytes.len() / PAGE) as u32;
            let (count, physical) = match run {
                Run::Mapped(physical, count) => (count.min(left), Some(physical)),
                Run::Unwritten(_, count) | Run::Hole(count) => (count.min(left).max(1), None),
            };
            let (part, rest) = bytes.split_at_mut(count as usize * PAGE);
            match physical {
                Some(physical) => disk::read(&*self.io.device, physical, part)?,
                None => part.fill(0),
            }
            bytes = rest;
            at += count;
        }
        Ok(())
    }

    fn write_pages(&self, first: u64, mut bytes: &[u8]) -> Result<()> {
        let mut at = first as u32;
        while !bytes.is_empty() {
            let run = self.map.read().run(at);
            let left = (bytes.len() / PAGE) as u32;
            let (count, physical) = match run {
                Run::Mapped(physical, count) => (count.min(left), Some(physical)),
                Run::Unwritten(_, count) | Run::Hole(count) => (count.min(left).max(1), None),
            };
            let (part, rest) = bytes.split_at(count as usize * PAGE);
            if let Some(physical) = physical {
                disk::write(&*self.io.device, physical, false, part)?;
            }
            bytes = rest;
            at += count;
        }
        Ok(())
    }
}

impl Ordered for Inode {
    fn write_data(&self) {
        self.io.cache.write_back(self);
    }
}

const SHARDS: usize = 16;
/// Inodes of a shard above which unused ones are dropped. Each holds a block of the table: 16 MiB of them at most, where
/// no two share one.
const KEEP: usize = 256;

#[derive(Default)]
struct Shard {
    inodes: RwLock<HashMap<u32, Arc<Inode>>>,
    /// Held while one is being loaded, so that none is loaded twice.
    loading: Mutex<()>,
}

/// The inodes in memory.
#[derive(Default)]
pub struct Inodes([Shard; SHARDS]);

impl Inodes {
    fn shard(&self, ino: u32) -> &Shard {
        &self.0[ino as usize % SHARDS]
    }

    /// The inode of this number, from memory or by `load`.
    pub fn get(&self, ino: u32, load: impl FnOnce() -> Result<Arc<Inode>>) -> Result<Arc<Inode>> {
        let shard = self.shard(ino);
        let find = || {
            let inodes = shard.inodes.read();
            inodes.get(&ino).inspect(|inode| inode.used.store(true, Relaxed)).cloned()
        };
        if let Some(found) = find() {
            return Ok(found);
        }
        let _loading = shard.loading.lock();
        match find() {
            Some(found) => Ok(found),
            None => {
                let inode = load()?;
                self.insert(inode.clone());
                Ok(inode)
            }
        }
    }

    /// Adds one, and drops some that nobody used lately if there are many.
    pub fn insert(&self, inode: Arc<Inode>) {
        let mut inodes = self.shard(inode.ino).inodes.write();
        let mut gone = Vec::new();
        if inodes.len() >= KEEP {
            let idle = |inode: &Arc<Inode>| {
                Arc::strong_count(inode) == 1
                    && !inode.is_lazy()
                    && inode.mapping.is_clean()
                    && inode.meta.lock().holds == 0
                    && !inode.used.swap(false, AcqRel)
            };
            gone.extend(inodes.extract_if(|_, inode| idle(inode)).take(KEEP / 8).map(|(_, inode)| inode));
        }
        inodes.insert(inode.ino, inode);
        drop(inodes);
        for inode in gone {
            inode.io.cache.cut(&*inode, 0);
        }
    }

    /// Takes one out.
    pub fn remove(&self, ino: u32) {
        let removed = self.shard(ino).inodes.write().remove(&ino);
        drop(removed);
    }

    /// All that are in memory now.
    pub fn all(&self) -> Vec<Arc<Inode>> {
        self.0.iter().flat_map(|shard| shard.inodes.read().values().cloned().collect::<Vec<_>>()).collect()
    }
}
