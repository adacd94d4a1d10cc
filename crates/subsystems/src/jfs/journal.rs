//! The journal, after jbd2 in ordered mode: changes of metadata gather in the running transaction and reach the disk as
//! one, sealed by a commit block; data of new blocks is on the disk before that.
//!
//! A commit locks the running transaction until its handles have ended, writes the data that must come first, keeps the
//! contents of its blocks and lets the next transaction begin. Then revoke blocks, descriptors and copies go into the
//! log; after a flush the commit block follows with FUA, and the transaction has happened. Copies go home when the log is
//! half full: all of them, then a flush, then the new tail. Blocks that a transaction freed are handed out again only
//! after its commit, so that what a crash brings back is whole; so are numbers of inodes, so that who held a file that a crash
//! takes back does not find himself with the one that it brings back in its place.
//!
//! Lock order: `log`, then `state`, then a buffer. A handle is never begun under a handle; whoever holds one takes no lock
//! under which others begin handles.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use kd_api::{Errno, Result};
use kd_sync::{Kthread, Mutex, MutexGuard, WaitQueue};

use super::MountOptions;
use super::bitmap::Bitmap;
use super::buffer::{Buffer, Buffers};
use super::crc32c::crc32c;
use super::disk::{self, Batch, Device, zeroed};
use super::format::*;
use super::recovery::{after, list_sum, log_super};
use crate::hash::{HashMap, HashSet};

/// How often the thread commits by itself, in nanoseconds: ext4's five seconds.
const INTERVAL: u64 = 5_000_000_000;

/// A file whose data must be on the disk before a commit.
pub trait Ordered: Send + Sync {
    /// Writes its dirty pages; an error is its holders' to hear of.
    fn write_data(&self);
}

#[derive(Default)]
struct Transaction {
    tid: u64,
    handles: usize,
    /// Blocks that its open handles may yet add.
    reserved: usize,
    blocks: HashMap<u32, Arc<Buffer>>,
    ordered: HashMap<u32, Arc<dyn Ordered>>,
    freed: Vec<(Arc<Bitmap>, u32, u32)>,
    revoked: HashSet<u32>,
}

struct State {
    running: Transaction,
    /// A commit waits for the handles to end; no new ones.
    locked: bool,
    committed: u64,
    error: Option<Errno>,
}

/// Where the log stands; its lock is held throughout a commit.
struct Log {
    sequence: u64,
    head: u32,
    used: u32,
}

/// The journal of a mounted file system.
pub struct Journal {
    device: Device,
    geometry: Geometry,
    options: MountOptions,
    buffers: Arc<Buffers>,
    state: Mutex<State>,
    log: Mutex<Log>,
    /// Handles have ended.
    idle: WaitQueue,
    /// A transaction is no longer locked.
    unlocked: WaitQueue,
    /// A transaction was committed, or none will be any more.
    done: WaitQueue,
    aborted: AtomicBool,
    requested: AtomicU64,
    thread: Mutex<Option<Kthread>>,
}

/// The right to change metadata in the running transaction, until it is dropped.
pub struct Handle<'a> {
    journal: &'a Journal,
    /// The transaction.
    pub tid: u64,
    credits: usize,
}

impl Journal {
    /// The journal of a file system whose log is empty, with this number to come.
    pub fn new(
        device: Device,
        geometry: Geometry,
        options: MountOptions,
        buffers: Arc<Buffers>,
        sequence: u64,
    ) -> Journal {
        let running = Transaction { tid: 1, ..Transaction::default() };
        Journal {
            device,
            geometry,
            options,
            buffers,
            state: Mutex::new(State { running, locked: false, committed: 0, error: None }),
            log: Mutex::new(Log { sequence, head: 1, used: 0 }),
            idle: WaitQueue::new(),
            unlocked: WaitQueue::new(),
            done: WaitQueue::new(),
            aborted: AtomicBool::new(false),
            requested: AtomicU64::new(0),
            thread: Mutex::new(None),
        }
    }

    /// Starts the thread `jbd2`, where there are threads; [`Journal::stop`] ends it.
    pub fn start(self: &Arc<Self>) {
        let journal = self.clone();
        *self.thread.lock() = Kthread::run("jbd2", move |context| {
            while !context.should_stop() {
                let woken = context.woken();
                let requested = journal.requested.load(SeqCst);
                if requested > journal.state.lock().committed && !journal.is_aborted() {
                    // Those who asked learn of a failure from the journal.
                    let _ = journal.commit_now(requested);
                    continue;
                }
                context.sleep(woken, INTERVAL);
                if context.woken() == woken {
                    let running = journal.state.lock().running.tid;
                    journal.requested.fetch_max(running, SeqCst);
                }
            }
        });
    }

    /// Ends the thread.
    pub fn stop(&self) {
        let thread = self.thread.lock().take();
        drop(thread);
    }

    /// Most blocks of one transaction: two of them fit the log, with what goes around them.
    fn most(&self) -> usize {
        (self.geometry.journal as usize / 2).saturating_sub(4)
    }

    /// Whether writing failed before: the file system is read-only then.
    pub fn is_aborted(&self) -> bool {
        self.aborted.load(Relaxed)
    }

    /// Whether this transaction is on the disk.
    pub fn is_committed(&self, tid: u64) -> bool {
        self.state.lock().committed >= tid
    }

    /// The running transaction's number.
    pub fn running(&self) -> u64 {
        self.state.lock().running.tid
    }

    /// Begins a change of at most `credits` blocks; `EROFS` once writing has failed. May wait for a commit.
    pub fn begin(&self, credits: usize) -> Result<Handle<'_>> {
        let credits = credits.min(self.most());
        loop {
            let mut state = self.unlocked.wait_while(self.state.lock(), |state| state.locked && state.error.is_none());
            if state.error.is_some() {
                return Err(Errno::EROFS);
            }
            let running = &mut state.running;
            if running.reserved + running.blocks.len() + credits <= self.most() {
                running.handles += 1;
                running.reserved += credits;
                return Ok(Handle { journal: self, tid: running.tid, credits });
            }
            let full = running.tid;
            drop(state);
            self.commit(full).map_err(|_| Errno::EROFS)?;
        }
    }

    /// Returns once this transaction is on the disk. Callers that come together share a commit.
    pub fn commit(&self, tid: u64) -> Result<()> {
        let thread = self.thread.lock();
        let Some(jbd2) = thread.as_ref() else {
            drop(thread);
            return self.commit_now(tid);
        };
        self.requested.fetch_max(tid, SeqCst);
        jbd2.wake();
        drop(thread);
        let state = self.done.wait_while(self.state.lock(), |state| state.committed < tid && state.error.is_none());
        if state.committed >= tid { Ok(()) } else { Err(Errno::EIO) }
    }

    fn commit_now(&self, tid: u64) -> Result<()> {
        let mut log = self.log.lock();
        let state = self.state.lock();
        if state.committed >= tid {
            return Ok(());
        }
        if state.error.is_some() {
            return Err(Errno::EIO);
        }
        // Most of the data goes out while others still work; what they add meanwhile follows under the lock.
        let ordered: Vec<_> = state.running.ordered.values().cloned().collect();
        drop(state);
        ordered.iter().for_each(|file| file.write_data());
        drop(ordered);

        let mut state = self.state.lock();
        state.locked = true;
        let mut state = self.idle.wait_while(state, |state| state.running.handles > 0);
        let ordered: Vec<_> = state.running.ordered.drain().map(|(_, file)| file).collect();
        if !ordered.is_empty() {
            MutexGuard::unlocked(&mut state, || ordered.iter().for_each(|file| file.write_data()));
        }
        if state.error.is_some() {
            return Err(Errno::EIO);
        }
        let next = Transaction { tid: state.running.tid + 1, ..Transaction::default() };
        let transaction = core::mem::replace(&mut state.running, next);
        let mut copies: Vec<_> = transaction.blocks.values().map(|buffer| (buffer.block, buffer.freeze())).collect();
        state.locked = false;
        drop(state);
        self.unlocked.wake_all();
        drop(ordered);

        copies.sort_unstable_by_key(|(block, _)| *block);
        let written = if copies.is_empty() && transaction.revoked.is_empty() {
            Ok(())
        } else {
            self.write_log(&mut log, &transaction, &copies)
        };
        if written.is_err() {
            self.abort();
            return Err(Errno::EIO);
        }
        {
            let mut pending = self.buffers.pending().lock();
            transaction.revoked.iter().for_each(|block| drop(pending.remove(block)));
            pending.extend(copies);
        }
        transaction.freed.iter().for_each(|(bitmap, first, count)| bitmap.release(*first, *count));
        self.state.lock().committed = transaction.tid;
        self.done.wake_all();
        if log.used > self.geometry.journal / 2 {
            self.checkpoint(&mut log).inspect_err(|_| self.abort())?;
        }
        Ok(())
    }

    /// The transaction into the log, up to its commit block.
    fn write_log(&self, log: &mut Log, transaction: &Transaction, copies: &[(u32, Arc<Block>)]) -> Result<()> {
        let lists = copies.len().div_ceil(TAGS) + transaction.revoked.len().div_ceil(REVOKES);
        let needed = (lists + copies.len() + 1) as u32;
        let room = self.geometry.journal - 1;
        if log.used + needed > room {
            self.checkpoint(log)?;
        }
        if needed > room {
            return Err(Errno::EIO);
        }
        let mut writer = Writer { journal: self, position: log.head, sum: 0, batch: Batch::new(&*self.device) };
        let revoked: Vec<u32> = transaction.revoked.iter().copied().collect();
        for piece in revoked.chunks(REVOKES) {
            let mut block = self.header(LOG_REVOKE, log.sequence, piece.len());
            for (i, home) in piece.iter().enumerate() {
                put32(&mut *block, LOG_LIST + 4 * i, *home);
            }
            let sum = list_sum(&block);
            put32(&mut *block, 20, sum);
            writer.push(&block)?;
        }
        for piece in copies.chunks(TAGS) {
            let mut block = self.header(LOG_DESCRIPTOR, log.sequence, piece.len());
            for (i, (home, copy)) in piece.iter().enumerate() {
                put32(&mut *block, LOG_LIST + 8 * i, *home);
                put32(&mut *block, LOG_LIST + 8 * i + 4, if get32(&**copy, 0) == LOG_MAGIC { ESCAPED } else { 0 });
            }
            let sum = list_sum(&block);
            put32(&mut *block, 20, sum);
            writer.push(&block)?;
            for (_, copy) in piece {
                if get32(&**copy, 0) == LOG_MAGIC {
                    let mut escaped = **copy;
                    put32(&mut escaped, 0, 0);
                    writer.push(&escaped)?;
                } else {
                    writer.push(copy)?;
                }
            }
        }
        writer.batch.finish()?;
        let (position, sum) = (writer.position, writer.sum);
        // Data and copies are stable before the block that says so.
        self.barrier()?;
        let mut block = self.header(LOG_COMMIT, log.sequence, needed as usize - 1);
        put32(&mut *block, 20, if self.options.journal_checksum { SUMMED } else { 0 });
        put32(&mut *block, 24, if self.options.journal_checksum { sum } else { 0 });
        let own = crc32c(0, &block[..28]);
        put32(&mut *block, 28, own);
        disk::write(&*self.device, self.geometry.journal_start() + position, self.options.barriers, &*block)?;
        log.head = after(position, self.geometry.journal);
        log.used += needed;
        log.sequence += 1;
        Ok(())
    }

    fn header(&self, kind: u32, sequence: u64, entries: usize) -> alloc::boxed::Box<Block> {
        let mut block = zeroed();
        put32(&mut *block, 0, LOG_MAGIC);
        put32(&mut *block, 4, kind);
        put64(&mut *block, 8, sequence);
        put32(&mut *block, 16, entries as u32);
        block
    }

    /// Takes all committed copies home and empties the log.
    fn checkpoint(&self, log: &mut Log) -> Result<()> {
        let mut copies: Vec<_> = self.buffers.pending().lock().iter().map(|(b, copy)| (*b, copy.clone())).collect();
        copies.sort_unstable_by_key(|(block, _)| *block);
        disk::write_home(&*self.device, copies.iter().map(|(block, copy)| (*block, &**copy)))?;
        self.barrier()?;
        let block = log_super(log.sequence, log.head);
        disk::write(&*self.device, self.geometry.journal_start(), self.options.barriers, &*block)?;
        // Nobody adds to it meanwhile: only a commit does.
        self.buffers.pending().lock().clear();
        log.used = 0;
        Ok(())
    }

    /// Commits what runs and empties the log.
    pub fn shut(&self) -> Result<()> {
        self.commit(self.running())?;
        let mut log = self.log.lock();
        self.checkpoint(&mut log).inspect_err(|_| self.abort())
    }

    /// Makes everything written so far stable.
    pub fn barrier(&self) -> Result<()> {
        if self.options.barriers { self.device.flush() } else { Ok(()) }
    }

    /// Nothing is written any more: what is on the disk is as a crash would leave it, and a replay makes it whole.
    pub fn abort(&self) {
        self.aborted.store(true, Relaxed);
        let mut state = self.state.lock();
        state.error = Some(Errno::EIO);
        state.locked = false;
        drop(state);
        self.unlocked.wake_all();
        self.done.wake_all();
    }
}

/// Writes log blocks one after the other, around the end, and sums them up.
struct Writer<'a> {
    journal: &'a Journal,
    position: u32,
    sum: u32,
    batch: Batch<'a>,
}

impl Writer<'_> {
    fn push(&mut self, block: &Block) -> Result<()> {
        if self.journal.options.journal_checksum {
            self.sum = crc32c(self.sum, block);
        }
        self.batch.push(self.journal.geometry.journal_start() + self.position, block)?;
        self.position = after(self.position, self.journal.geometry.journal);
        Ok(())
    }
}

impl Handle<'_> {
    /// Changes a block as part of the transaction.
    pub fn modify<R>(&self, buffer: &Arc<Buffer>, change: impl FnOnce(&mut Block) -> R) -> R {
        if buffer.tid() != self.tid {
            // In the transaction first: its contents are looked at only when no handle is left.
            self.journal.state.lock().running.blocks.insert(buffer.block, buffer.clone());
            buffer.set_tid(self.tid);
        }
        buffer.write(change)
    }

    /// A range of blocks, or of inodes, is free once the transaction is on the disk.
    pub fn freed(&self, bitmap: Arc<Bitmap>, first: u32, count: u32) {
        self.journal.state.lock().running.freed.push((bitmap, first, count));
    }

    /// A block is metadata no more: no copy of it may be replayed over what it becomes.
    pub fn revoke(&self, block: u32) {
        let mut state = self.journal.state.lock();
        state.running.blocks.remove(&block);
        state.running.revoked.insert(block);
        drop(state);
        self.journal.buffers.forget(block);
    }

    /// The file's data is to be on the disk before the transaction.
    pub fn ordered(&self, ino: u32, file: Arc<dyn Ordered>) {
        self.journal.state.lock().running.ordered.insert(ino, file);
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        let mut state = self.journal.state.lock();
        state.running.handles -= 1;
        state.running.reserved -= self.credits;
        let wake = state.locked && state.running.handles == 0;
        drop(state);
        if wake {
            self.journal.idle.wake_all();
        }
    }
}
