//! The block layer: a device behind a request queue, after Linux's `block/`.
//!
//! It offers the interface that it imports, so a kernel can do without it. What it adds:
//!
//! - a [`queue`] with a bounded number of requests at the device; the others gather, are merged with their neighbours,
//!   and are sent in the order of a scheduler ([`elevator`]: `none` or `deadline`);
//! - flushes shared by those who wait for them ([`flush`]); `fua` is passed down, and such a write is never merged;
//! - counts of what was asked, merges among them ([`statistics`]).
//!
//! A [`Partition`] is a part of a device, for two who share it.
//!
//! A request that finds the device with a tag to spare passes straight through: one atomic step before and one after,
//! nothing allocated, nothing copied. The layer has no thread; whoever waits does its own request when its turn comes.
//! A vectored request ([`kd_api::blocks`]) is one request with one tag, and goes down as it came.
//!
//! As in Linux, requests that overlap and are under way at once happen in any order, and a flush covers what was
//! acknowledged before it was asked for. What Linux's has and this one doesn't: a queue per core, I/O priorities and
//! control groups, an explicit plug (a caller has one request under way at a time, so there is nothing that it could hold
//! back; one that has several at once says so in a vectored request), splitting by a device's limits, discard, and times in the statistics, since an uncontended request reads no clock.

mod elevator;
mod flush;
mod partition;
mod pool;
mod queue;
mod statistics;
mod tags;

use alloc::sync::Arc;

use kd_api::component::StartError;
use kd_api::interfaces::block::{BlockDevice, Statistics};
use kd_api::{Blocks, Component, InBuf, OutBuf, Result};

pub use elevator::Scheduler;
use flush::Flushes;
pub use partition::Partition;
use queue::{Data, Queue, Request};
pub use queue::{MERGED_MAX, PLACES};

/// The driver of the disk that has a queue, unless a manifest names another.
const DISK: &str = "vdisk";

/// How a queue is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// In which order those who wait are served.
    pub scheduler: Scheduler,
    /// Requests that the device is given at once.
    pub depth: u32,
    /// Nanoseconds of some clock; read for those who wait alone.
    pub clock: fn() -> u64,
}

impl Default for Options {
    /// As Linux has it for a fast device: no scheduler, and as many requests as its ring holds.
    fn default() -> Options {
        Options { scheduler: Scheduler::None, depth: 32, clock: kd_sync::now }
    }
}

/// A device behind a queue.
pub struct Blk {
    device: Arc<dyn BlockDevice>,
    queue: Queue,
    flushes: Flushes,
}

impl Blk {
    /// A queue before `device`.
    pub fn new(device: Arc<dyn BlockDevice>, options: &Options) -> Blk {
        Blk { queue: Queue::new(device.clone(), options), device, flushes: Flushes::default() }
    }
}

impl BlockDevice for Blk {
    fn capacity(&self) -> Result<u64> {
        self.device.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.queue.submit(Request { sector, data: Data::Read(out) })
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        self.queue.submit(Request { sector, data: Data::Write(data, fua) })
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        self.queue.submit(Request { sector: blocks.at()[0], data: Data::ReadMany(blocks, out) })
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        self.queue.submit(Request { sector: blocks.at()[0], data: Data::WriteMany(blocks, data) })
    }

    fn flush(&self) -> Result<()> {
        let (result, ours) = self.flushes.flush(&*self.device);
        if ours {
            self.queue.counters().flushed(&result);
        }
        result
    }

    fn statistics(&self) -> Result<Statistics> {
        let interrupts = self.device.statistics()?.interrupts;
        Ok(Statistics { interrupts, ..self.queue.counters().snapshot() })
    }
}

/// The component `blk`, over the disk behind a ring: over whichever device it is handed.
pub fn component() -> Component {
    Component::new::<dyn BlockDevice, Blk>("blk", &[DISK], |imports| {
        let (_, device) = imports.all().next().ok_or_else(|| StartError::Missing(DISK.into()))?;
        Ok(Arc::new(Blk::new(device, &Options::default())))
    })
}

#[cfg(test)]
mod tests;
