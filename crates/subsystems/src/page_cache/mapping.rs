//! The pages of one file, and a page.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{AcqRel, Acquire, Relaxed},
};

use kd_api::{Errno, Result};
use kd_sync::{Mutex, RwLock};

use super::read_ahead::ReadAhead;
use super::{Host, PAGE};
use crate::hash::HashMap;

/// A page: 4 KiB of a file, none while nobody has read or written it.
pub struct Page {
    pub(super) index: u64,
    frame: RwLock<Option<Box<[u8; PAGE]>>>,
    dirty: AtomicBool,
    used: AtomicBool,
}

impl Page {
    pub(super) fn new(index: u64) -> Arc<Page> {
        let (dirty, used) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Page { index, frame: RwLock::new(None), dirty, used })
    }

    /// Looks at its bytes, read from the disk if need be.
    pub(super) fn read<R>(&self, host: &dyn Host, look: impl FnOnce(&[u8; PAGE]) -> R) -> Result<R> {
        if !self.used.load(Relaxed) {
            self.used.store(true, Relaxed);
        }
        if let Some(bytes) = &*self.frame.read() {
            return Ok(look(bytes));
        }
        let mut frame = self.frame.write();
        Ok(look(filled(&mut frame, host, self.index)?))
    }

    /// Changes its bytes, which begin as zeros if it is empty and `fresh`; whether it became dirty.
    pub(super) fn write(&self, host: &dyn Host, fresh: bool, change: impl FnOnce(&mut [u8; PAGE])) -> Result<bool> {
        self.used.store(true, Relaxed);
        let mut frame = self.frame.write();
        let bytes = match &mut *frame {
            empty @ None if fresh => empty.insert(Box::new([0; PAGE])),
            _ => filled(&mut frame, host, self.index)?,
        };
        change(bytes);
        Ok(!self.dirty.swap(true, AcqRel))
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty.load(Acquire)
    }

    /// Whether it was used since it was asked last.
    pub(super) fn was_used(&self) -> bool {
        self.used.swap(false, Relaxed)
    }

    /// Appends its bytes and makes it clean, if it is dirty.
    pub(super) fn clean_into(&self, to: &mut Vec<u8>) -> bool {
        let frame = self.frame.read();
        match &*frame {
            Some(bytes) if self.dirty.swap(false, AcqRel) => {
                to.extend_from_slice(&bytes[..]);
                true
            }
            _ => false,
        }
    }
}

fn filled<'a>(frame: &'a mut Option<Box<[u8; PAGE]>>, host: &dyn Host, index: u64) -> Result<&'a mut [u8; PAGE]> {
    match frame {
        Some(bytes) => Ok(bytes),
        empty => {
            let mut bytes = Box::new([0; PAGE]);
            host.read_pages(index, &mut bytes[..])?;
            Ok(empty.insert(bytes))
        }
    }
}

/// The pages of one file: Linux's `address_space`.
#[derive(Default)]
pub struct Mapping {
    table: RwLock<HashMap<u64, Arc<Page>>>,
    dirty: Mutex<BTreeSet<u64>>,
    /// Held while pages are being written, with room for those that go out together.
    pub(super) writing: Mutex<Vec<u8>>,
    pub(super) ahead: ReadAhead,
    error: Mutex<Option<Errno>>,
}

impl Mapping {
    pub(super) fn find(&self, index: u64) -> Option<Arc<Page>> {
        self.table.read().get(&index).cloned()
    }

    /// Adds a page unless there is one; the one there is, and whether it is this one.
    pub(super) fn add(&self, page: Arc<Page>) -> (Arc<Page>, bool) {
        let mut table = self.table.write();
        let there = table.entry(page.index).or_insert_with(|| page.clone());
        (there.clone(), Arc::ptr_eq(there, &page))
    }

    /// Adds the pages of a run that are missing up to the first that is not, with the bytes that `fill` reads for them.
    /// Whoever finds one meanwhile waits for it.
    pub(super) fn add_run(
        &self,
        first: u64,
        count: u64,
        fill: impl FnOnce(&[Arc<Page>]) -> Result<Vec<u8>>,
    ) -> Result<(Vec<Arc<Page>>, usize)> {
        let mut pages: Vec<_> = (first..first + count).map(Page::new).collect();
        let mut frames: Vec<_> = pages.iter().map(|page| page.frame.write()).collect();
        let mut table = self.table.write();
        let there = pages.iter().position(|page| table.contains_key(&page.index)).unwrap_or(pages.len());
        table.extend(pages[..there].iter().map(|page| (page.index, page.clone())));
        drop(table);
        frames.truncate(there);
        let filled = if there > 0 { fill(&pages[..there]) } else { Ok(Vec::new()) };
        if let Ok(bytes) = &filled {
            for (frame, bytes) in frames.iter_mut().zip(bytes.chunks_exact(PAGE)) {
                let mut copy = Box::new([0; PAGE]);
                copy.copy_from_slice(bytes);
                **frame = Some(copy);
            }
        }
        drop(frames);
        if let Err(errno) = filled {
            let mut table = self.table.write();
            pages[..there].iter().for_each(|page| drop(table.remove(&page.index)));
            return Err(errno);
        }
        pages.truncate(there);
        Ok((pages, there))
    }

    /// Lets a page go that only the caller and the table hold; whether it did.
    pub(super) fn evict(&self, page: &Arc<Page>) -> bool {
        let mut table = self.table.write();
        let ours = table.get(&page.index).is_some_and(|there| Arc::ptr_eq(there, page));
        let goes = ours && Arc::strong_count(page) == 2 && !page.is_dirty();
        if goes {
            table.remove(&page.index);
        }
        goes
    }

    /// Drops pages from `first` on; how many these were, and how many of them dirty.
    pub(super) fn cut(&self, first: u64) -> (usize, usize) {
        let mut table = self.table.write();
        let gone: Vec<_> = table.extract_if(|index, _| *index >= first).map(|(_, page)| page).collect();
        drop(table);
        drop(self.dirty.lock().split_off(&first));
        let dirty = gone.iter().filter(|page| {
            let _frame = page.frame.write();
            page.dirty.swap(false, AcqRel)
        });
        let dirty = dirty.count();
        // What a writer copied before is on its way: blocks may be used anew only when it has arrived.
        drop(self.writing.lock());
        (gone.len(), dirty)
    }

    /// Notes a page that became dirty; whether it is the first.
    pub(super) fn note_dirty(&self, index: u64) -> bool {
        let mut dirty = self.dirty.lock();
        let first = dirty.is_empty();
        dirty.insert(index);
        first
    }

    /// Whether no page is dirty.
    pub fn is_clean(&self) -> bool {
        self.dirty.lock().is_empty()
    }

    pub(super) fn take_dirty(&self) -> BTreeSet<u64> {
        core::mem::take(&mut *self.dirty.lock())
    }

    /// Write-back failed.
    pub fn note_error(&self, errno: Errno) {
        *self.error.lock() = Some(errno);
    }

    /// A failure that nobody was told of yet; the caller tells.
    pub fn take_error(&self) -> Result<()> {
        self.error.lock().take().map_or(Ok(()), Err)
    }

    /// Pages in memory.
    pub fn len(&self) -> usize {
        self.table.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
