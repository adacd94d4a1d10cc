//! Where a file's blocks lie: its extents, all in memory, in the leaves in which they are on disk.
//!
//! The first leaf lies in the inode, the others are extent blocks in a chain. A full leaf is halved (at the end of the
//! file a new one is begun instead), so a change touches three blocks at most, however many extents there are: the leaf
//! level of a B+-tree, without the levels above it, which memory has.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use kd_api::{Errno, Result};

use super::buffer::{Buffer, Buffers};
use super::format::*;
use super::journal::Handle;

struct Leaf {
    /// The extent block; none for the leaf in the inode.
    buffer: Option<Arc<Buffer>>,
    extents: Vec<Extent>,
    dirty: bool,
}

impl Leaf {
    fn most(&self) -> usize {
        if self.buffer.is_some() { LEAF_EXTENTS } else { INODE_EXTENTS }
    }
}

/// Blocks from one on that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// On disk from this block on, so many.
    Mapped(u32, u32),
    /// The same, but they read as zeros.
    Unwritten(u32, u32),
    /// Nowhere, so many.
    Hole(u32),
}

/// Gives and takes extent blocks.
pub trait Room {
    /// An extent block.
    fn take(&mut self) -> Result<Arc<Buffer>>;
    /// It isn't needed any more.
    fn give(&mut self, block: u32);
}

/// The extents of one file.
pub struct Extents {
    leaves: Vec<Leaf>,
}

impl Extents {
    /// None.
    pub fn new() -> Extents {
        Extents { leaves: vec![Leaf { buffer: None, extents: vec![], dirty: false }] }
    }

    /// Those of the inode in these 256 bytes; `EUCLEAN` if they make no sense.
    pub fn load(inode: &[u8], ino: u32, buffers: &Buffers, geometry: &Geometry) -> Result<Extents> {
        let mut all = Extents::new();
        let mut after = 0;
        let count = get32(inode, 60) as usize;
        if count > INODE_EXTENTS {
            return Err(Errno::EUCLEAN);
        }
        all.leaves[0].extents = read_list(&inode[INLINE..], count, &mut after, geometry)?;
        let mut next = get32(inode, 64);
        while next != 0 {
            if !geometry.is_data(next, 1) {
                return Err(Errno::EUCLEAN);
            }
            let buffer = buffers.get(next)?;
            let extents = buffer.read(|block| {
                let (count, list) = leaf_list(block, ino)?;
                next = get32(block, 8);
                read_list(list, count, &mut after, geometry)
            })?;
            all.leaves.push(Leaf { buffer: Some(buffer), extents, dirty: false });
        }
        Ok(all)
    }

    /// Writes them into the inode's bytes.
    pub fn store_inode(&self, inode: &mut [u8]) {
        let list = &self.leaves[0].extents;
        put32(inode, 60, list.len() as u32);
        put32(inode, 64, self.next(0));
        list.iter().enumerate().for_each(|(i, extent)| extent.write(inode, INLINE + i * EXTENT));
    }

    /// Writes changed extent blocks.
    pub fn store_leaves(&mut self, handle: &Handle<'_>, ino: u32) {
        for i in 1..self.leaves.len() {
            if !core::mem::take(&mut self.leaves[i].dirty) {
                continue;
            }
            let (next, leaf) = (self.next(i), &self.leaves[i]);
            if let Some(buffer) = &leaf.buffer {
                handle.modify(buffer, |block| {
                    put32(block, 0, LEAF_MAGIC);
                    put32(block, 4, ino);
                    put32(block, 8, next);
                    put32(block, 12, leaf.extents.len() as u32);
                    let write = |(i, extent): (usize, &Extent)| extent.write(block, LEAF_HEADER + i * EXTENT);
                    leaf.extents.iter().enumerate().for_each(write);
                });
            }
        }
    }

    fn next(&self, leaf: usize) -> u32 {
        self.leaves.get(leaf + 1).and_then(|leaf| leaf.buffer.as_ref()).map_or(0, |buffer| buffer.block)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.leaves.iter().all(|leaf| leaf.extents.is_empty())
    }

    /// The leaf, and in it the index of the first extent that ends after `logical`.
    fn locate(&self, logical: u32) -> (usize, usize) {
        let after = self.leaves[1..].partition_point(|leaf| leaf.extents[0].logical <= logical);
        let index = self.leaves[after].extents.partition_point(|extent| extent.end() <= logical);
        (after, index)
    }

    /// The extent at this place, or at the start of the next leaf.
    fn at(&self, leaf: usize, index: usize) -> Option<Extent> {
        let here = self.leaves[leaf].extents.get(index);
        here.or_else(|| self.leaves.get(leaf + 1).and_then(|leaf| leaf.extents.first())).copied()
    }

    /// What block `logical` and those after it are.
    pub fn run(&self, logical: u32) -> Run {
        let (leaf, index) = self.locate(logical);
        match self.at(leaf, index) {
            Some(extent) if extent.logical <= logical => {
                let skip = logical - extent.logical;
                let (physical, count) = (extent.physical + skip, extent.count - skip);
                if extent.unwritten { Run::Unwritten(physical, count) } else { Run::Mapped(physical, count) }
            }
            Some(extent) => Run::Hole(extent.logical - logical),
            None => Run::Hole(u32::MAX - logical),
        }
    }

    /// The last extent.
    pub fn last(&self) -> Option<Extent> {
        self.leaves.iter().rev().find_map(|leaf| leaf.extents.last()).copied()
    }

    /// Where on disk a block at `logical` would best lie: behind the one before it; 0 if that says nothing.
    pub fn goal(&self, logical: u32) -> u32 {
        let before = logical.checked_sub(1).map(|before| self.run(before));
        match before {
            Some(Run::Mapped(physical, _) | Run::Unwritten(physical, _)) => physical + 1,
            _ => self.last().map_or(0, |last| last.physical + last.count),
        }
    }

    /// Adds an extent where there is a hole. Nothing is changed on an error.
    pub fn insert(&mut self, extent: Extent, room: &mut dyn Room) -> Result<()> {
        let (leaf, index) = self.locate(extent.logical);
        if let Some(before) = index.checked_sub(1).map(|before| &mut self.leaves[leaf].extents[before])
            && before.end() == extent.logical
            && before.physical + before.count == extent.physical
            && before.unwritten == extent.unwritten
            && before.count + extent.count <= EXTENT_MAX
        {
            before.count += extent.count;
            self.leaves[leaf].dirty = true;
            return Ok(());
        }
        self.splice(leaf, index, 0, &[extent], room)
    }

    /// Says that these blocks, which lie in one unwritten extent, are written now. Nothing is changed on an error.
    pub fn write(&mut self, logical: u32, count: u32, room: &mut dyn Room) -> Result<()> {
        let (leaf, index) = self.locate(logical);
        let whole = self.leaves[leaf].extents[index];
        let before = Extent { count: logical - whole.logical, ..whole };
        let written = Extent { logical, physical: whole.physical + before.count, count, unwritten: false };
        let after = Extent {
            logical: written.end(),
            physical: written.physical + count,
            count: whole.count - before.count - count,
            unwritten: true,
        };
        // Writing on from what is written already, as a rule, makes no extent more.
        if let Some(neighbour) = index.checked_sub(1).map(|i| &mut self.leaves[leaf].extents[i])
            && before.count == 0
            && neighbour.end() == logical
            && neighbour.physical + neighbour.count == written.physical
            && !neighbour.unwritten
            && neighbour.count + count <= EXTENT_MAX
        {
            neighbour.count += count;
            let rest: &[Extent] = if after.count == 0 { &[] } else { &[after] };
            return self.splice(leaf, index, 1, rest, room);
        }
        let pieces: Vec<_> = [before, written, after].into_iter().filter(|piece| piece.count > 0).collect();
        self.splice(leaf, index, 1, &pieces, room)
    }

    /// Cuts up to `most` extents off the end, none below block `from`; what they took, in pieces that were whole extents
    /// or their ends. Not done yet if it returns `most`.
    pub fn cut(&mut self, from: u32, most: usize, room: &mut dyn Room) -> Vec<(u32, u32)> {
        let mut freed = vec![];
        while freed.len() < most {
            let Some(leaf) = self.leaves.iter().rposition(|leaf| !leaf.extents.is_empty()) else { break };
            let index = self.leaves[leaf].extents.len() - 1;
            let extent = &mut self.leaves[leaf].extents[index];
            if extent.end() <= from {
                break;
            }
            if extent.logical < from {
                let keep = from - extent.logical;
                freed.push((extent.physical + keep, extent.count - keep));
                extent.count = keep;
                self.leaves[leaf].dirty = true;
                break;
            }
            freed.push((extent.physical, extent.count));
            // Removing needs no room.
            let _ = self.splice(leaf, index, 1, &[], room);
        }
        freed
    }

    /// Replaces extents of a leaf, which may halve or end it.
    fn splice(&mut self, leaf: usize, at: usize, old: usize, new: &[Extent], room: &mut dyn Room) -> Result<()> {
        let count = self.leaves[leaf].extents.len() - old + new.len();
        let most = self.leaves[leaf].most();
        let more = if count > most { Some(room.take()?) } else { None };
        let here = &mut self.leaves[leaf];
        here.extents.splice(at..at + old, new.iter().copied());
        here.dirty = true;
        if let Some(buffer) = more {
            let split = if at + new.len() == count && leaf + 1 == self.leaves.len() { most } else { count / 2 };
            let extents = self.leaves[leaf].extents.split_off(split);
            self.leaves.insert(leaf + 1, Leaf { buffer: Some(buffer), extents, dirty: true });
        } else if count == 0 && leaf > 0 {
            let gone = self.leaves.remove(leaf);
            self.leaves[leaf - 1].dirty = true;
            if let Some(buffer) = gone.buffer {
                room.give(buffer.block);
            }
        }
        Ok(())
    }
}

/// The number of extents in an extent block and the bytes that hold them; `EUCLEAN` if it isn't one of this inode's.
pub fn leaf_list(block: &Block, ino: u32) -> Result<(usize, &[u8])> {
    let count = get32(block, 12) as usize;
    let sound = get32(block, 0) == LEAF_MAGIC && get32(block, 4) == ino && (1..=LEAF_EXTENTS).contains(&count);
    if sound { Ok((count, &block[LEAF_HEADER..])) } else { Err(Errno::EUCLEAN) }
}

/// Reads extents that begin at block `after` of the file or later, and moves it on.
fn read_list(list: &[u8], count: usize, after: &mut u32, geometry: &Geometry) -> Result<Vec<Extent>> {
    let read = |i| {
        let extent = Extent::read(list, i * EXTENT);
        if !extent.is_sound(*after, geometry) {
            return Err(Errno::EUCLEAN);
        }
        *after = extent.end();
        Ok(extent)
    };
    (0..count).map(read).collect()
}
