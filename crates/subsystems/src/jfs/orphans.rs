//! The orphan list: inodes that a crash would leave half done, after ext4's. On disk a list from the superblock through the
//! inodes, newest first; here in order of arrival, so that one in the middle finds the one before it.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Bound::{Excluded, Unbounded};

use super::buffer::Buffer;
use super::format::{Geometry, get32, orphan_head};
use super::inode::Inode;
use super::journal::Handle;
use crate::hash::HashMap;

/// The list.
pub struct Orphans {
    super_buffer: Arc<Buffer>,
    order: BTreeMap<u64, Arc<Inode>>,
    places: HashMap<u32, u64>,
    next: u64,
}

impl Orphans {
    /// The list of this superblock, of which nothing is known yet but its head.
    pub fn new(super_buffer: Arc<Buffer>) -> Orphans {
        Orphans { super_buffer, order: BTreeMap::new(), places: HashMap::default(), next: 0 }
    }

    /// The newest one's number.
    pub fn head(&self) -> u32 {
        self.super_buffer.read(orphan_head)
    }

    /// Takes in one that is on the disk's list already; the oldest first.
    pub fn know(&mut self, inode: &Arc<Inode>) {
        self.order.insert(self.next, inode.clone());
        self.places.insert(inode.ino, self.next);
        self.next += 1;
    }

    /// Adds one, unless it is there.
    pub fn add(&mut self, handle: &Handle<'_>, inode: &Arc<Inode>) {
        if !self.places.contains_key(&inode.ino) {
            let head = self.head();
            inode.update(handle, |raw| raw.next_orphan = head);
            self.set_head(handle, inode.ino);
            self.know(inode);
        }
    }

    /// Takes one out, if it is there.
    pub fn remove(&mut self, handle: &Handle<'_>, inode: &Arc<Inode>) {
        let Some(place) = self.places.remove(&inode.ino) else { return };
        self.order.remove(&place);
        let after = inode.meta.lock().raw.next_orphan;
        match self.order.range((Excluded(place), Unbounded)).next() {
            Some((_, newer)) => newer.update(handle, |raw| raw.next_orphan = after),
            None => self.set_head(handle, after),
        }
        inode.update(handle, |raw| raw.next_orphan = 0);
    }

    fn set_head(&self, handle: &Handle<'_>, ino: u32) {
        handle.modify(&self.super_buffer, |block| {
            let geometry = Geometry { blocks: get32(block, 8), journal: get32(block, 12), inodes: get32(block, 16) };
            geometry.write(block, ino);
        });
    }
}
