//! Read-ahead: how many pages to read where one is missing, after Linux's `mm/readahead.c` in its simple case.
//!
//! A miss where the last read-ahead ended is sequential: the window doubles. Any other miss reads what was asked for.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::PAGE;

/// The first window, and the largest: Linux's 128 KiB.
const FIRST: u32 = 4;
const LARGEST: u32 = 32;

/// What a file was read like lately. Two readers of one file disturb each other, as they share it.
#[derive(Default)]
pub struct ReadAhead {
    next: AtomicU64,
    size: AtomicU32,
}

impl ReadAhead {
    /// Pages to read from `index` on, for a request up to page `last` of a file of `size` bytes.
    pub fn window(&self, index: u64, last: u64, size: u64) -> u64 {
        let sequential = self.next.load(Relaxed) == index;
        let window = if sequential { (self.size.load(Relaxed) * 2).clamp(FIRST, LARGEST) } else { 0 };
        self.size.store(window, Relaxed);
        let asked = last.saturating_sub(index) + 1;
        let left = size.div_ceil(PAGE as u64).saturating_sub(index).max(1);
        let count = asked.max(window.into()).min(LARGEST.into()).min(left);
        self.next.store(index + count, Relaxed);
        count
    }
}
