//! What was asked of the device.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::block::{SECTOR, Statistics};
use kd_api::{Blocks, Result};

/// Counts of one device, each bumped without a lock. An undone merge counts for nothing; so the requests that were handed
/// in are those that succeeded, those that failed and those that were merged.
#[derive(Default)]
pub struct Counters {
    reads: AtomicU64,
    sectors_read: AtomicU64,
    writes: AtomicU64,
    sectors_written: AtomicU64,
    merges: AtomicU64,
    flushes: AtomicU64,
    errors: AtomicU64,
}

impl Counters {
    /// Counts what came of a request at the device.
    #[inline]
    pub fn completed(&self, write: bool, result: &Result<usize>) {
        let (requests, sectors) =
            if write { (&self.writes, &self.sectors_written) } else { (&self.reads, &self.sectors_read) };
        match result {
            Ok(bytes) => {
                requests.fetch_add(1, Relaxed);
                sectors.fetch_add((bytes / SECTOR) as u64, Relaxed);
            }
            Err(_) => drop(self.errors.fetch_add(1, Relaxed)),
        }
    }

    /// Counts what came of a vectored request: each block that was moved as a request, and one error if not all were.
    pub fn completed_many(&self, write: bool, blocks: &Blocks, result: &Result<usize>) {
        let (requests, sectors) =
            if write { (&self.writes, &self.sectors_written) } else { (&self.reads, &self.sectors_read) };
        let bytes = *result.as_ref().unwrap_or(&0);
        requests.fetch_add((bytes / blocks.size()) as u64, Relaxed);
        sectors.fetch_add((bytes / SECTOR) as u64, Relaxed);
        if bytes < blocks.bytes() {
            self.errors.fetch_add(1, Relaxed);
        }
    }

    /// Counts requests that went along with another one.
    pub fn merged(&self, requests: usize) {
        self.merges.fetch_add(requests as u64, Relaxed);
    }

    /// Counts what came of a flush at the device.
    pub fn flushed(&self, result: &Result<()>) {
        let count = if result.is_ok() { &self.flushes } else { &self.errors };
        count.fetch_add(1, Relaxed);
    }

    /// All counts; interrupts are the driver's to count.
    pub fn snapshot(&self) -> Statistics {
        Statistics {
            reads: self.reads.load(Relaxed),
            merges: self.merges.load(Relaxed),
            sectors_read: self.sectors_read.load(Relaxed),
            writes: self.writes.load(Relaxed),
            sectors_written: self.sectors_written.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
            errors: self.errors.load(Relaxed),
            interrupts: 0,
        }
    }
}
