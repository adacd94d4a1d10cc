//! The names in a directory: an index of all of them in memory, made when the first is asked for, and the records on disk.
//!
//! A record stays where it is as long as its name, so a position in a listing is where a record begins: listing goes on
//! where it stopped, whatever came or went. The index of a directory is dropped when all together hold too many names.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use kd_api::{Errno, Result};

use super::buffer::Buffer;
use super::format::*;
use super::journal::Handle;
use crate::hash::HashMap;

/// Where a name leads, and where its record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub ino: u32,
    pub kind: u8,
    pub block: u32,
    at: u16,
}

/// The index.
pub struct Names {
    names: HashMap<Box<str>, Entry>,
    /// Bytes of the largest room in each block.
    room: Vec<u16>,
    /// No block before this one had room for the last name.
    first: usize,
    all: Arc<AtomicUsize>,
}

impl Names {
    /// Of a directory of so many blocks, which `read` hands out. `all` counts the names of all directories.
    pub fn load(blocks: u32, all: &Arc<AtomicUsize>, read: impl Fn(u32) -> Result<Arc<Buffer>>) -> Result<Names> {
        let mut found = Names { names: HashMap::default(), room: Vec::new(), first: 0, all: all.clone() };
        for number in 0..blocks {
            read(number)?.read(|block| {
                let mut largest = 0;
                for record in records(block) {
                    let record = record?;
                    largest = largest.max(record.length - record.needed());
                    if record.ino == 0 {
                        continue;
                    }
                    let name = core::str::from_utf8(record.name).map_err(|_| Errno::EUCLEAN)?;
                    let entry = Entry { ino: record.ino, kind: record.kind, block: number, at: record.at as u16 };
                    if found.names.insert(name.into(), entry).is_some() {
                        return Err(Errno::EUCLEAN);
                    }
                    all.fetch_add(1, Relaxed);
                }
                found.room.push(largest as u16);
                Ok(())
            })?;
        }
        Ok(found)
    }

    pub fn get(&self, name: &str) -> Option<Entry> {
        self.names.get(name).copied()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The first block with room for this name; none if there has to be another block.
    pub fn block_for(&mut self, name: &str) -> Option<u32> {
        let needed = record_bytes(name.len());
        // A search for a short name must not hide room for it behind a long one: only the shortest move `first` on.
        while self.room.get(self.first).is_some_and(|room| usize::from(*room) < record_bytes(1)) {
            self.first += 1;
        }
        let found = self.room.iter().skip(self.first).position(|room| usize::from(*room) >= needed);
        found.map(|found| (self.first + found) as u32)
    }

    /// Takes in a new block, empty.
    pub fn grow(&mut self, handle: &Handle<'_>, buffer: &Arc<Buffer>) {
        handle.modify(buffer, |block| write_record(block, 0, BLOCK, 0, 0, &[]));
        self.room.push(BLOCK as u16);
    }

    /// Adds a name that is not there to block `number`, which has room for it.
    pub fn insert(&mut self, handle: &Handle<'_>, number: u32, buffer: &Arc<Buffer>, name: &str, ino: u32, kind: u8) {
        let needed = record_bytes(name.len());
        let at = handle.modify(buffer, |block| {
            let found = records(block).flatten().find(|record| record.length - record.needed() >= needed);
            // Behind a name that is there, in what its record has left; or all of a record that has none.
            let (before, taken, length) = found.map_or((0, 0, BLOCK), |r| (r.at, r.needed(), r.length));
            let at = before + taken;
            if taken > 0 {
                put16(block, before + 4, taken as u16);
            }
            let length = length - taken;
            write_record(block, at, length, ino, kind, name.as_bytes());
            at
        });
        self.measure(number, buffer);
        self.names.insert(name.into(), Entry { ino, kind, block: number, at: at as u16 });
        self.all.fetch_add(1, Relaxed);
    }

    /// Takes a name away.
    pub fn remove(&mut self, handle: &Handle<'_>, buffer: &Arc<Buffer>, name: &str) {
        let Some(entry) = self.names.remove(name) else { return };
        self.all.fetch_sub(1, Relaxed);
        let at = usize::from(entry.at);
        handle.modify(buffer, |block| {
            let length = usize::from(get16(block, at + 4));
            let before = records(block).flatten().find(|record| record.at + record.length == at);
            match before.map(|record| (record.at, record.length)) {
                Some((before, own)) => put16(block, before + 4, (own + length) as u16),
                None => write_record(block, at, length, 0, 0, &[]),
            }
        });
        self.measure(entry.block, buffer);
        self.first = self.first.min(entry.block as usize);
    }

    /// Makes a name lead elsewhere.
    pub fn replace(&mut self, handle: &Handle<'_>, buffer: &Arc<Buffer>, name: &str, ino: u32, kind: u8) {
        if let Some(entry) = self.names.get_mut(name) {
            let at = usize::from(entry.at);
            handle.modify(buffer, |block| {
                put32(block, at, ino);
                block[at + 7] = kind;
            });
            (entry.ino, entry.kind) = (ino, kind);
        }
    }

    fn measure(&mut self, number: u32, buffer: &Arc<Buffer>) {
        let rooms = |block: &Block| records(block).flatten().map(|record| record.length - record.needed()).max();
        if let Some(room) = self.room.get_mut(number as usize) {
            *room = buffer.read(rooms).unwrap_or(0) as u16;
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.all.fetch_sub(self.names.len(), Relaxed);
    }
}
