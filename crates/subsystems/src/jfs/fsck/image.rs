//! The disk as the checks see it: blocks in memory, those of the journal over those at home, written back on request.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use kd_api::Result;
use kd_api::interfaces::block::BlockDevice;

use crate::jfs::disk::{self, zeroed};
use crate::jfs::format::*;

/// Metadata of a disk. Contents of files are never read.
pub struct Image<'a> {
    device: &'a dyn BlockDevice,
    pub geometry: Geometry,
    blocks: BTreeMap<u32, Box<Block>>,
    changed: BTreeSet<u32>,
}

impl<'a> Image<'a> {
    /// A disk of this geometry.
    pub fn new(device: &'a dyn BlockDevice, geometry: Geometry) -> Image<'a> {
        Image { device, geometry, blocks: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// A block.
    pub fn block(&mut self, number: u32) -> Result<&Block> {
        Ok(self.load(number)?)
    }

    fn load(&mut self, number: u32) -> Result<&mut Block> {
        if !self.blocks.contains_key(&number) {
            let mut block = zeroed();
            disk::read(self.device, number, &mut *block)?;
            self.blocks.insert(number, block);
        }
        Ok(self.blocks.entry(number).or_insert_with(zeroed))
    }

    /// Changes a block.
    pub fn change<R>(&mut self, number: u32, change: impl FnOnce(&mut Block) -> R) -> Result<R> {
        self.changed.insert(number);
        Ok(change(self.load(number)?))
    }

    /// Puts a block in the place of what is on the disk.
    pub fn put(&mut self, number: u32, block: Box<Block>) {
        self.changed.insert(number);
        self.blocks.insert(number, block);
    }

    /// The 256 bytes of an inode.
    pub fn inode(&mut self, ino: u32) -> Result<[u8; INODE]> {
        let (block, at) = self.geometry.inode_at(ino);
        let mut bytes = [0; INODE];
        bytes.copy_from_slice(&self.block(block)?[at..at + INODE]);
        Ok(bytes)
    }

    /// Changes an inode's bytes.
    pub fn change_inode(&mut self, ino: u32, change: impl FnOnce(&mut [u8])) -> Result<()> {
        let (block, at) = self.geometry.inode_at(ino);
        self.change(block, |block| change(&mut block[at..at + INODE]))
    }

    /// Writes what was changed: everything but the superblock first, so that one without it tells a disk that needs care.
    pub fn write_back(&mut self) -> Result<()> {
        let blocks = &self.blocks;
        let changed = self.changed.iter().filter_map(|number| Some((*number, &**blocks.get(number)?)));
        disk::write_home(self.device, changed.clone().filter(|(number, _)| *number != 0))?;
        self.device.flush()?;
        disk::write_home(self.device, changed.filter(|(number, _)| *number == 0))?;
        self.device.flush()?;
        self.changed.clear();
        Ok(())
    }
}

/// A set of numbers below a bound.
pub struct Set(alloc::vec::Vec<u64>);

impl Set {
    /// An empty one.
    pub fn new(bound: u32) -> Set {
        Set(alloc::vec![0; bound.div_ceil(64) as usize])
    }

    pub fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & 1 << (number % 64) != 0)
    }

    /// Adds a number below the bound; `false` if it was there.
    pub fn add(&mut self, number: u32) -> bool {
        let new = !self.has(number);
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
        new
    }
}
