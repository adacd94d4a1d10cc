//! The page cache: pages of 4 KiB of files, after Linux's `mm/filemap.c`, `mm/readahead.c` and `mm/page-writeback.c`.
//!
//! A file's pages are in its [`Mapping`] (Linux's `address_space`); the file itself, a [`Host`], moves them from and to
//! the disk. [`PageCache`] bounds all mappings together: clean pages go in the order of a clock, second chance for those
//! used since; dirty ones are counted, and whoever makes too many writes some back.
//!
//! What the file system promises: who changes a page, or cuts pages off, keeps readers and writers of the file away
//! meanwhile (its inode lock). Write-back comes at any time.
//!
//! Lock order: a mapping's `writing`; a page; a mapping's tables, or a queue of the clock. The file system's own map of blocks
//! may be locked under a page, never the other way round.

mod mapping;
mod read_ahead;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed},
};

use kd_api::{Errno, InBuf, OutBuf, Result};
use kd_sync::Mutex;

use crate::hash::HashMap;

pub use mapping::{Mapping, Page};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Pages written with one call: 64 KiB, what a request to a block device carries.
const CLUSTER: usize = 16;
/// Queues of the clock, so that misses of several apps do not meet.
const QUEUES: usize = 8;
/// Pages that the clock looks at for each that comes, at most.
const LOOKS: usize = 64;

/// A file with pages in the cache.
pub trait Host: Send + Sync {
    /// Its number.
    fn number(&self) -> u64;
    /// Its pages.
    fn mapping(&self) -> &Arc<Mapping>;
    /// Reads whole pages from the disk; what was never written is zeros.
    fn read_pages(&self, first: u64, bytes: &mut [u8]) -> Result<()>;
    /// Writes whole pages to the disk. Pages that have no place there were cut off meanwhile and are left out.
    fn write_pages(&self, first: u64, bytes: &[u8]) -> Result<()>;
}

type Queue = Mutex<VecDeque<(Weak<Mapping>, Weak<Page>)>>;

/// All pages of one file system.
pub struct PageCache {
    capacity: usize,
    dirty_limit: usize,
    pages: AtomicUsize,
    dirty: AtomicUsize,
    queues: Vec<Queue>,
    /// Files with dirty pages.
    hosts: Mutex<HashMap<u64, Arc<dyn Host>>>,
    error: Mutex<Option<Errno>>,
}

impl PageCache {
    /// One of at most about so many pages, of them so many dirty.
    pub fn new(capacity: usize, dirty_limit: usize) -> PageCache {
        PageCache {
            capacity,
            dirty_limit,
            pages: AtomicUsize::new(0),
            dirty: AtomicUsize::new(0),
            queues: (0..QUEUES).map(|_| Mutex::default()).collect(),
            hosts: Mutex::default(),
            error: Mutex::default(),
        }
    }

    /// Pages in memory.
    pub fn pages(&self) -> usize {
        self.pages.load(Relaxed)
    }

    /// Pages that are newer than the disk.
    pub fn dirty(&self) -> usize {
        self.dirty.load(Relaxed)
    }

    /// Whether a background writer should begin: half of what is allowed is dirty.
    pub fn wants_writing(&self) -> bool {
        self.dirty() > self.dirty_limit / 2
    }

    /// Reads `count` bytes from `offset` on, all within the file's size.
    pub fn read(&self, host: &dyn Host, offset: u64, count: usize, size: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let (mut at, end) = (offset, offset + count as u64);
        let last = end.saturating_sub(1) / PAGE as u64;
        while at < end {
            let (index, start) = (at / PAGE as u64, (at % PAGE as u64) as usize);
            let part = (PAGE - start).min((end - at) as usize);
            let page = match host.mapping().find(index) {
                Some(page) => page,
                None => match self.read_ahead(host, index, last, size) {
                    Ok(page) => page,
                    Err(errno) if at == offset => return Err(errno),
                    Err(_) => break,
                },
            };
            match page.read(host, |bytes| out.write(&bytes[start..start + part])) {
                Ok(_) => at += part as u64,
                Err(errno) if at == offset => return Err(errno),
                Err(_) => break,
            }
        }
        Ok((at - offset) as usize)
    }

    /// A page with what the disk says of it; it stays while it is held.
    pub fn filled(&self, host: &dyn Host, index: u64) -> Result<Arc<Page>> {
        let page = match host.mapping().find(index) {
            Some(page) => page,
            None => self.add(host, index),
        };
        page.read(host, |_| ())?;
        Ok(page)
    }

    /// Copies bytes into a page, which begins as zeros if it is `fresh`.
    pub fn write(
        &self,
        host: &Arc<dyn Host>,
        index: u64,
        start: usize,
        count: usize,
        fresh: bool,
        data: &mut InBuf<'_>,
    ) -> Result<()> {
        self.change(host, index, fresh || count == PAGE, |bytes| {
            data.read(&mut bytes[start..start + count]);
        })
    }

    /// Zeros a page from `start` on.
    pub fn zero(&self, host: &Arc<dyn Host>, index: u64, start: usize) -> Result<()> {
        self.change(host, index, start == 0, |bytes| bytes[start..].fill(0))
    }

    fn change(
        &self,
        host: &Arc<dyn Host>,
        index: u64,
        fresh: bool,
        change: impl FnOnce(&mut [u8; PAGE]),
    ) -> Result<()> {
        let page = match host.mapping().find(index) {
            Some(page) => page,
            None => self.add(&**host, index),
        };
        let became_dirty = page.write(&**host, fresh, change)?;
        if became_dirty {
            self.dirty.fetch_add(1, Relaxed);
            if host.mapping().note_dirty(index) {
                self.hosts.lock().insert(host.number(), host.clone());
            }
        }
        Ok(())
    }

    /// An empty page; or the one that somebody else added meanwhile.
    fn add(&self, host: &dyn Host, index: u64) -> Arc<Page> {
        let (page, added) = host.mapping().add(Page::new(index));
        if added {
            self.admit(host.mapping(), &page);
        }
        page
    }

    /// A page more: enters it into the clock and lets others go.
    fn admit(&self, mapping: &Arc<Mapping>, page: &Arc<Page>) {
        let queue = &self.queues[page.index as usize % QUEUES];
        let mut entries = queue.lock();
        if entries.len() > 2 * self.capacity / QUEUES + CLUSTER {
            entries.retain(|(_, page)| page.strong_count() > 0);
        }
        entries.push_back((Arc::downgrade(mapping), Arc::downgrade(page)));
        drop(entries);
        self.pages.fetch_add(1, Relaxed);
        for _ in 0..LOOKS {
            if self.pages() <= self.capacity {
                break;
            }
            self.tick(queue);
        }
    }

    /// One look of the clock: lets a page go or gives it another chance.
    fn tick(&self, queue: &Queue) {
        let Some((mapping, page)) = queue.lock().pop_front() else { return };
        let (Some(owner), Some(candidate)) = (mapping.upgrade(), page.upgrade()) else { return };
        if candidate.is_dirty() || candidate.was_used() || !owner.evict(&candidate) {
            drop(candidate);
            queue.lock().push_back((mapping, page));
        } else {
            self.pages.fetch_sub(1, Relaxed);
        }
    }

    /// Drops pages from `first` on, and returns when none of them is being written any more.
    pub fn cut(&self, host: &dyn Host, first: u64) {
        let (pages, dirty) = host.mapping().cut(first);
        self.pages.fetch_sub(pages, Relaxed);
        self.dirty.fetch_sub(dirty, Relaxed);
        if dirty > 0 {
            self.forget_clean(host);
        }
    }

    fn forget_clean(&self, host: &dyn Host) {
        let mut hosts = self.hosts.lock();
        // Its number may be another file's by now.
        let ours = hosts.get(&host.number()).is_some_and(|there| Arc::ptr_eq(there.mapping(), host.mapping()));
        if ours && host.mapping().is_clean() {
            hosts.remove(&host.number());
        }
    }

    /// A failure to write back that nobody was told of yet who syncs everything; the caller tells.
    pub fn take_error(&self) -> Result<()> {
        self.error.lock().take().map_or(Ok(()), Err)
    }

    /// Writes back the dirty pages of a file, as many as there are now. A failure is noted in the mapping, for whoever
    /// syncs; the pages count as clean then, as in Linux.
    pub fn write_back(&self, host: &dyn Host) {
        let mapping = host.mapping();
        if mapping.is_clean() {
            // Somebody else may be at it still.
            drop(mapping.writing.lock());
            return;
        }
        let mut staging = mapping.writing.lock();
        let indices = mapping.take_dirty();
        let mut indices = indices.into_iter().peekable();
        while let Some(first) = indices.next() {
            staging.clear();
            let mut index = Some(first);
            while let Some(at) = index {
                let copied = mapping.find(at).is_some_and(|page| {
                    let was_dirty = page.clean_into(&mut staging);
                    self.dirty.fetch_sub(usize::from(was_dirty), Relaxed);
                    was_dirty
                });
                let next = at + 1;
                let more = copied && staging.len() < CLUSTER * PAGE;
                index = if more { indices.next_if_eq(&next) } else { None };
            }
            if !staging.is_empty()
                && let Err(errno) = host.write_pages(first, &staging)
            {
                mapping.note_error(errno);
                *self.error.lock() = Some(errno);
            }
        }
        drop(staging);
        self.forget_clean(host);
    }

    /// Files with dirty pages.
    pub fn dirty_hosts(&self) -> Vec<Arc<dyn Host>> {
        self.hosts.lock().values().cloned().collect()
    }

    /// Keeps a writer from filling memory: above the limit it writes back its own file first, then others.
    pub fn balance(&self, host: &dyn Host) {
        if self.dirty.load(Acquire) <= self.dirty_limit {
            return;
        }
        self.write_back(host);
        for other in self.dirty_hosts() {
            if self.dirty() <= self.dirty_limit / 2 {
                break;
            }
            self.write_back(&*other);
        }
    }

    fn read_ahead(&self, host: &dyn Host, index: u64, last: u64, size: u64) -> Result<Arc<Page>> {
        let mapping = host.mapping();
        let count = mapping.ahead.window(index, last, size);
        let (pages, added) = mapping.add_run(index, count, |pages| {
            // All are locked, and nobody else knows them yet.
            let mut bytes = vec![0; pages.len() * PAGE];
            host.read_pages(index, &mut bytes).map(|()| bytes)
        })?;
        for page in &pages[..added] {
            self.admit(mapping, page);
        }
        match pages.into_iter().next() {
            Some(page) => Ok(page),
            None => Ok(self.add(host, index)),
        }
    }
}
