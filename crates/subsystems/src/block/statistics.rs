//! What was asked of a device, as `/proc/diskstats` tells it (Linux: `Documentation/admin-guide/iostats.rst`).

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What is counted of one direction.
#[derive(Default)]
pub struct Direction {
    /// Requests that the device completed, whatever came of them.
    pub completed: AtomicU64,
    /// Requests that went along with another one.
    pub merged: AtomicU64,
    /// Sectors moved.
    pub sectors: AtomicU64,
}

/// What is counted of one device.
#[derive(Default)]
pub struct Statistics {
    directions: [Direction; 2],
    flushes: AtomicU64,
    waited: AtomicU64,
}

/// A line of `/proc/diskstats` without device numbers and name: the fields of `/sys/block/*/stat`.
///
/// Fields that need a clock read at every request are 0, since an uncontended request reads none: the time spent reading,
/// writing, flushing, and the time during which the device was busy. The eleventh is the time that requests waited for
/// their turn, in milliseconds. Nothing is ever discarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Requests completed, reads and writes.
    pub completed: [u64; 2],
    /// Requests that went along with another one.
    pub merged: [u64; 2],
    /// Sectors moved.
    pub sectors: [u64; 2],
    /// Requests at the device.
    pub in_flight: u32,
    /// Nanoseconds that requests waited for their turn.
    pub waited: u64,
    /// Flushes that the device completed.
    pub flushes: u64,
}

impl Statistics {
    /// Counts what the device completed: a request that took `merged` others along and moved so many bytes.
    #[inline]
    pub fn completed(&self, write: bool, merged: u64, bytes: usize) {
        let direction = &self.directions[usize::from(write)];
        direction.completed.fetch_add(1, Relaxed);
        direction.sectors.fetch_add((bytes / kd_api::interfaces::block::SECTOR) as u64, Relaxed);
        if merged > 0 {
            direction.merged.fetch_add(merged, Relaxed);
        }
    }

    /// Counts a flush that the device completed.
    pub fn flushed(&self) {
        self.flushes.fetch_add(1, Relaxed);
    }

    /// Counts nanoseconds for which a request waited.
    pub fn waited(&self, nanos: u64) {
        self.waited.fetch_add(nanos, Relaxed);
    }

    /// What was counted so far, beside the requests at the device.
    pub fn snapshot(&self, in_flight: u32) -> Snapshot {
        let both = |of: fn(&Direction) -> &AtomicU64| {
            let [read, write] = &self.directions;
            [of(read).load(Relaxed), of(write).load(Relaxed)]
        };
        Snapshot {
            completed: both(|direction| &direction.completed),
            merged: both(|direction| &direction.merged),
            sectors: both(|direction| &direction.sectors),
            in_flight,
            waited: self.waited.load(Relaxed),
            flushes: self.flushes.load(Relaxed),
        }
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Snapshot { completed, merged, sectors, in_flight, waited, flushes } = self;
        let direction = |i: usize| (completed[i], merged[i], sectors[i]);
        let ((a, b, c), (d, e, g)) = (direction(0), direction(1));
        write!(f, "{a} {b} {c} 0 {d} {e} {g} 0 {in_flight} 0 {} 0 0 0 0 {flushes} 0", waited / 1_000_000)
    }
}
