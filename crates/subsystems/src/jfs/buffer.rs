//! The buffer cache: metadata blocks in memory, after Linux's `buffer_head`.
//!
//! A block's contents are shared (`Arc`): a commit keeps them by cloning the pointer, and whoever changes the block
//! afterwards gets a copy of its own, which is what jbd2 calls frozen data. A committed block that was not yet written
//! to its home stays in `pending`, so a buffer may be dropped once no transaction holds it.
//!
//! Lock order: a shard; or a buffer's data, then `pending`. A shard is never locked under a buffer.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use kd_api::Result;
use kd_sync::{Mutex, RwLock};

use super::disk::{self, Device};
use super::format::{BLOCK, Block};
use crate::hash::HashMap;

const SHARDS: usize = 16;
/// Buffers of a shard above which unused ones are dropped: 16 MiB in all, as much as the page cache has.
const KEEP: usize = 256;

/// One block.
pub struct Buffer {
    pub block: u32,
    data: RwLock<Option<Arc<Block>>>,
    /// The transaction that changed it last.
    tid: AtomicU64,
    used: AtomicBool,
}

impl Buffer {
    fn new(block: u32, data: Option<Arc<Block>>) -> Arc<Buffer> {
        let (tid, used) = (AtomicU64::new(0), AtomicBool::new(true));
        Arc::new(Buffer { block, data: RwLock::new(data), tid, used })
    }

    /// Looks at its contents.
    pub fn read<R>(&self, look: impl FnOnce(&Block) -> R) -> R {
        look(self.data.read().as_ref().expect("loaded before it is handed out"))
    }

    /// Changes its contents; for the journal alone.
    pub(super) fn write<R>(&self, change: impl FnOnce(&mut Block) -> R) -> R {
        let mut data = self.data.write();
        change(Arc::make_mut(data.as_mut().expect("loaded before it is handed out")))
    }

    /// Its contents as they are, to keep.
    pub(super) fn freeze(&self) -> Arc<Block> {
        self.data.read().as_ref().expect("loaded before it is handed out").clone()
    }

    pub(super) fn tid(&self) -> u64 {
        self.tid.load(Acquire)
    }

    pub(super) fn set_tid(&self, tid: u64) {
        self.tid.store(tid, Release);
    }
}

struct Shard {
    buffers: HashMap<u32, Arc<Buffer>>,
    limit: usize,
}

impl Shard {
    /// Drops what nobody used lately: a second chance for each, as with a clock's hand.
    fn shrink(&mut self) {
        if self.buffers.len() > self.limit {
            self.buffers.retain(|_, buffer| Arc::strong_count(buffer) > 1 || buffer.used.swap(false, Relaxed));
            // Not again with each new one if most are in use.
            self.limit = KEEP.max(self.buffers.len() + self.buffers.len() / 4);
        }
    }
}

/// All of them.
pub struct Buffers {
    device: Device,
    shards: Vec<RwLock<Shard>>,
    pending: Mutex<HashMap<u32, Arc<Block>>>,
}

impl Buffers {
    pub fn new(device: Device) -> Buffers {
        let shard = || RwLock::new(Shard { buffers: HashMap::default(), limit: KEEP });
        Buffers { device, shards: (0..SHARDS).map(|_| shard()).collect(), pending: Mutex::default() }
    }

    fn shard(&self, block: u32) -> &RwLock<Shard> {
        &self.shards[block as usize % SHARDS]
    }

    /// A block, read from the disk if need be.
    pub fn get(&self, block: u32) -> Result<Arc<Buffer>> {
        let found = self.shard(block).read().buffers.get(&block).cloned();
        let buffer = found.unwrap_or_else(|| {
            let mut shard = self.shard(block).write();
            shard.shrink();
            shard.buffers.entry(block).or_insert_with(|| Buffer::new(block, None)).clone()
        });
        buffer.used.store(true, Relaxed);
        if buffer.data.read().is_some() {
            return Ok(buffer);
        }
        let mut data = buffer.data.write();
        if data.is_none() {
            let pending = self.pending.lock().get(&block).cloned();
            *data = Some(match pending {
                Some(pending) => pending,
                None => {
                    let mut bytes = [0; BLOCK];
                    disk::read(&*self.device, block, &mut bytes)?;
                    Arc::new(bytes)
                }
            });
        }
        drop(data);
        Ok(buffer)
    }

    /// A block that begins a new life: zeros, whatever the disk holds.
    pub fn fresh(&self, block: u32) -> Arc<Buffer> {
        let buffer = Buffer::new(block, Some(Arc::new([0; BLOCK])));
        let mut shard = self.shard(block).write();
        shard.shrink();
        shard.buffers.insert(block, buffer.clone());
        buffer
    }

    /// A block that is metadata no more.
    pub(super) fn forget(&self, block: u32) {
        self.shard(block).write().buffers.remove(&block);
    }

    /// Committed blocks on their way home.
    pub(super) fn pending(&self) -> &Mutex<HashMap<u32, Arc<Block>>> {
        &self.pending
    }
}
