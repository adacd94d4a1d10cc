//! The device as blocks of 4 KiB, in requests that fit a channel's window.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::{Errno, InBuf, OutBuf, Result};

use super::format::{BLOCK, Block};

/// Sectors of a block.
const SECTORS: u64 = (BLOCK / SECTOR) as u64;
/// Blocks of the longest request: 128 KiB, what one call carries across a boundary.
pub const REQUEST: usize = 32;

/// An empty block on the heap.
pub fn zeroed() -> Box<Block> {
    Box::new([0; BLOCK])
}

/// Blocks the device has.
pub fn capacity(device: &dyn BlockDevice) -> Result<u64> {
    Ok(device.capacity()? / SECTORS)
}

/// Reads whole blocks; a short read is `EIO`.
pub fn read(device: &dyn BlockDevice, first: u32, to: &mut [u8]) -> Result<()> {
    for (i, piece) in to.chunks_mut(REQUEST * BLOCK).enumerate() {
        let sector = (u64::from(first) + (i * REQUEST) as u64) * SECTORS;
        let bytes = piece.len();
        if device.read(sector, &mut OutBuf::new(piece))? != bytes {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Writes whole blocks; a short write is `EIO`.
pub fn write(device: &dyn BlockDevice, first: u32, fua: bool, bytes: &[u8]) -> Result<()> {
    for (i, piece) in bytes.chunks(REQUEST * BLOCK).enumerate() {
        let sector = (u64::from(first) + (i * REQUEST) as u64) * SECTORS;
        if device.write(sector, fua, &mut InBuf::new(piece))? != piece.len() {
            return Err(Errno::EIO);
        }
    }
    Ok(())
}

/// Collects blocks and writes neighbours with one request.
pub struct Batch<'a> {
    device: &'a dyn BlockDevice,
    first: u32,
    bytes: Vec<u8>,
}

impl<'a> Batch<'a> {
    pub fn new(device: &'a dyn BlockDevice) -> Batch<'a> {
        Batch { device, first: 0, bytes: Vec::new() }
    }

    pub fn push(&mut self, block: u32, bytes: &Block) -> Result<()> {
        let count = self.bytes.len() / BLOCK;
        if count == REQUEST || block != self.first + count as u32 {
            self.finish()?;
            self.first = block;
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes what is left.
    pub fn finish(&mut self) -> Result<()> {
        if !self.bytes.is_empty() {
            write(self.device, self.first, false, &self.bytes)?;
            self.bytes.clear();
        }
        Ok(())
    }
}

/// Writes blocks in ascending order of their numbers.
pub fn write_home<'a>(device: &dyn BlockDevice, blocks: impl Iterator<Item = (u32, &'a Block)>) -> Result<()> {
    let mut batch = Batch::new(device);
    for (block, bytes) in blocks {
        batch.push(block, bytes)?;
    }
    batch.finish()
}

/// A shared device, as every part of a mounted file system holds it.
pub type Device = Arc<dyn BlockDevice>;
