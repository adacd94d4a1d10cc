//! Which blocks, or inodes, are in use: a bitmap on disk, changed through the journal, and one in memory from which room
//! is handed out. They differ in what was freed and waits for its commit.
//!
//! The lock is held while a free run is sought, never during input or output: all bitmap blocks stay in memory.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::{Errno, Result};
use kd_sync::Mutex;

use super::buffer::{Buffer, Buffers};
use super::format::{BITS, get64};
use super::journal::Handle;

/// A bitmap.
pub struct Bitmap {
    buffers: Vec<Arc<Buffer>>,
    count: u32,
    bits: Mutex<Bits>,
}

struct Bits {
    words: Vec<u64>,
    free: u32,
    /// Freed, but not to be used before the commit.
    waiting: u32,
    /// Where the last search ended.
    cursor: u32,
}

impl Bits {
    fn is_set(&self, bit: u32) -> bool {
        self.words[bit as usize / 64] & (1 << (bit % 64)) != 0
    }

    /// A clear bit from `goal` on or, after the end, from the start: the goal itself, or else one with room behind it.
    fn find(&self, goal: u32, count: u32, want: u32) -> Option<u32> {
        let goal = if goal < count { goal } else { 0 };
        if !self.is_set(goal) {
            return Some(goal);
        }
        let words = self.words.len();
        let order = || (0..words).map(|i| (goal as usize / 64 + i) % words);
        if want > 1
            && let Some(word) = order().find(|word| self.words[*word] == 0)
        {
            return Some(word as u32 * 64);
        }
        order()
            .find(|word| self.words[*word] != u64::MAX)
            .map(|word| word as u32 * 64 + self.words[word].trailing_ones())
    }
}

impl Bitmap {
    /// Reads `count` bits from block `first` on. Those for which `taken` holds are in use whatever the disk says.
    pub fn load(buffers: &Buffers, first: u32, count: u32, taken: impl Fn(u32) -> bool) -> Result<Bitmap> {
        let blocks = (first..first + count.div_ceil(BITS)).map(|block| buffers.get(block));
        let blocks: Vec<_> = blocks.collect::<Result<_>>()?;
        let mut words = Vec::with_capacity(count.div_ceil(64) as usize);
        for block in &blocks {
            block.read(|bytes| words.extend(bytes.chunks_exact(8).map(|word| get64(word, 0))));
        }
        words.truncate(count.div_ceil(64) as usize);
        for bit in (0..count).filter(|bit| taken(*bit)).chain(count..words.len() as u32 * 64) {
            words[bit as usize / 64] |= 1 << (bit % 64);
        }
        let free = words.iter().map(|word| word.count_zeros()).sum();
        Ok(Bitmap { buffers: blocks, count, bits: Mutex::new(Bits { words, free, waiting: 0, cursor: 0 }) })
    }

    /// What nobody uses, and how much of it waits for a commit.
    pub fn free(&self) -> (u32, u32) {
        let bits = self.bits.lock();
        (bits.free + bits.waiting, bits.waiting)
    }

    /// Blocks of the bitmap that `runs` changes of up to `BITS` bits may touch.
    pub fn credits(&self, runs: usize) -> usize {
        self.buffers.len().min(2 * runs)
    }

    /// Takes up to `want` neighbours, at `goal` if they are free (0: anywhere), but leaves `reserve` to others; `ENOSPC`.
    pub fn take(&self, handle: &Handle<'_>, goal: u32, want: u32, reserve: u32) -> Result<(u32, u32)> {
        let mut bits = self.bits.lock();
        let want = want.min(bits.free.saturating_sub(reserve)).min(BITS);
        if want == 0 {
            return Err(Errno::ENOSPC);
        }
        let goal = if goal == 0 { bits.cursor } else { goal };
        let first = bits.find(goal, self.count, want).ok_or(Errno::ENOSPC)?;
        let mut end = first;
        while end < self.count && end - first < want && !bits.is_set(end) {
            bits.words[end as usize / 64] |= 1 << (end % 64);
            end += 1;
        }
        bits.free -= end - first;
        bits.cursor = end;
        drop(bits);
        self.mark(handle, first, end - first, true);
        Ok((first, end - first))
    }

    /// Gives up bits in the transaction; they are free once [`Bitmap::release`] was told of its commit.
    pub fn give(self: &Arc<Self>, handle: &Handle<'_>, first: u32, count: u32) {
        self.bits.lock().waiting += count;
        self.mark(handle, first, count, false);
        handle.freed(self.clone(), first, count);
    }

    /// Gives up a bit that may be used again at once: nobody has seen it in use.
    pub fn give_now(&self, handle: &Handle<'_>, bit: u32) {
        self.mark(handle, bit, 1, false);
        let mut bits = self.bits.lock();
        bits.waiting += 1;
        bits.release(bit, 1);
    }

    /// A run that was given up is free.
    pub fn release(&self, first: u32, count: u32) {
        self.bits.lock().release(first, count);
    }

    fn mark(&self, handle: &Handle<'_>, first: u32, count: u32, set: bool) {
        let mut at = first;
        while at < first + count {
            let end = (first + count).min((at / BITS + 1) * BITS);
            handle.modify(&self.buffers[(at / BITS) as usize], |block| {
                for bit in at % BITS..at % BITS + (end - at) {
                    let mask = 1 << (bit % 8);
                    let byte = &mut block[bit as usize / 8];
                    *byte = if set { *byte | mask } else { *byte & !mask };
                }
            });
            at = end;
        }
    }
}

impl Bits {
    /// On a damaged disk two files may have shared a block: it becomes free once.
    fn release(&mut self, first: u32, count: u32) {
        for bit in first..first + count {
            self.free += u32::from(self.is_set(bit));
            self.words[bit as usize / 64] &= !(1 << (bit % 64));
        }
        self.waiting = self.waiting.saturating_sub(count);
    }
}
