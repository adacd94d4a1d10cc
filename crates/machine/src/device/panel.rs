//! The panel: what the machine's owner sets and reads, out of reach of any driver.
//!
//! Only the machine's own processes map it. Every word has one writer: the owner for what is set, the device for what is
//! counted; a switch that acts once is a number that the owner raises and the device follows.

use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use kd_api::device::Op;

use crate::memory::{Memory, Words};

/// Bytes of the panel.
pub const SIZE: usize = 4096;
/// Ranges that the IOMMU's table holds.
const RANGES: usize = 16;

const IOMMU: usize = 0;
const LATENCY: usize = 1;
const POWER: usize = 2;
const POWER_DONE: usize = 3;
const BAD_START: usize = 4;
const BAD_END: usize = 5;
const BAD_KINDS: usize = 6;
const FAIL_AT: usize = 7;
const COUNTS: usize = 16;
const TABLE: usize = 64;

/// What a device counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Requests begun.
    Requests,
    /// Requests completed.
    Completed,
    /// Bytes read.
    Read,
    /// Bytes written.
    Written,
    /// Times that the medium was told to make all stable.
    Syncs,
    /// Interrupts raised.
    Interrupts,
    /// Addresses out of reach.
    Faults,
    /// Requests that it did not know, and rings that were none.
    Refused,
    /// Requests that the medium failed.
    MediaErrors,
    /// Bytes in the volatile cache.
    Dirty,
    /// Most requests in hand at once.
    Deepest,
}

/// Which requests a bad place fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Reads.
    Reads,
    /// Writes.
    Writes,
    /// Both.
    All,
}

/// The panel.
#[derive(Debug)]
pub struct Panel(Words);

impl Panel {
    /// The panel in a memory object of [`SIZE`] bytes; a fresh one has the IOMMU off and nothing wrong.
    pub fn map(memory: &Memory) -> io::Result<Panel> {
        if memory.size() < SIZE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a panel needs a page"));
        }
        let mapping = memory.map()?;
        // A process forked from this one is no owner of the machine.
        mapping.keep_from_children()?;
        Ok(Panel(Words::new(mapping)))
    }

    fn get(&self, word: usize) -> u64 {
        self.0.get(word).load(SeqCst)
    }

    fn set(&self, word: usize, value: u64) {
        self.0.get(word).store(value, SeqCst);
    }

    /// Switches the IOMMU.
    pub fn set_iommu(&self, on: bool) {
        self.set(IOMMU, u64::from(on));
    }

    /// Whether it is on.
    pub fn iommu(&self) -> bool {
        self.get(IOMMU) != 0
    }

    /// Lets the device reach the `len` bytes at `address`; `false` if the table is full.
    pub fn allow(&self, address: u64, len: usize) -> bool {
        let free = (0..RANGES).find(|entry| self.get(TABLE + 2 * entry + 1) == 0);
        if let Some(entry) = free {
            self.set(TABLE + 2 * entry, address);
            self.set(TABLE + 2 * entry + 1, len as u64);
        }
        free.is_some()
    }

    /// Whether one range of the table holds all `len` bytes at `address`.
    pub fn allows(&self, address: u64, len: usize) -> bool {
        let Some(end) = address.checked_add(len as u64) else { return false };
        (0..RANGES).any(|entry| {
            let (start, size) = (self.get(TABLE + 2 * entry), self.get(TABLE + 2 * entry + 1));
            address >= start && end <= start.saturating_add(size)
        })
    }

    /// Nanoseconds that each request takes at least.
    pub fn set_latency(&self, nanos: u64) {
        self.set(LATENCY, nanos);
    }

    /// What was set.
    pub fn latency(&self) -> u64 {
        self.get(LATENCY)
    }

    /// Takes the power away and gives it back: the cache and every request in hand are lost. The device does so when its
    /// doorbell rings next; [`Panel::power_failed`] tells when it did.
    pub fn fail_power(&self) {
        self.set(POWER, self.get(POWER) + 1);
    }

    /// Whether every power failure has happened.
    pub fn power_failed(&self) -> bool {
        self.get(POWER) == self.get(POWER_DONE)
    }

    /// It has happened; only the device says so.
    pub(super) fn follow_power(&self) {
        self.set(POWER_DONE, self.get(POWER));
    }

    /// Makes sectors fail from now on; an empty range heals all.
    pub fn set_bad(&self, sectors: Range<u64>, kinds: Kinds) {
        self.set(BAD_END, 0);
        self.set(BAD_START, sectors.start);
        self.set(BAD_KINDS, kinds as u64);
        self.set(BAD_END, sectors.end);
    }

    /// Makes the `number`-th request from the device's start on fail, counted from 1 over reads, writes and flushes.
    pub fn set_fail_at(&self, number: u64) {
        self.set(FAIL_AT, number);
    }

    /// Whether a request, the `number`-th of all, is to fail.
    pub(super) fn fails(&self, number: u64, op: Op, sectors: Range<u64>) -> bool {
        let end = self.get(BAD_END);
        let hit = match (op, self.get(BAD_KINDS)) {
            (Op::Flush, _) => false,
            (Op::Read, kinds) => kinds != Kinds::Writes as u64,
            (Op::Write, kinds) => kinds != Kinds::Reads as u64,
        };
        number == self.get(FAIL_AT) || hit && sectors.start < end && self.get(BAD_START).min(end) < sectors.end
    }

    /// What was counted.
    pub fn count(&self, count: Count) -> u64 {
        self.0.get(COUNTS + count as usize).load(Relaxed)
    }

    /// Counts; only the device does.
    pub(super) fn add(&self, count: Count, more: u64) {
        self.0.get(COUNTS + count as usize).fetch_add(more, Relaxed);
    }

    /// Sets a count; only the device does.
    pub(super) fn put(&self, count: Count, value: u64) {
        self.0.get(COUNTS + count as usize).store(value, Relaxed);
    }

    /// Requests in hand.
    pub fn in_hand(&self) -> u64 {
        self.count(Count::Requests).saturating_sub(self.count(Count::Completed))
    }
}
