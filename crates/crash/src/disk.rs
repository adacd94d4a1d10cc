//! A disk in memory over an image that many share: what is written goes to blocks of its own.
//!
//! An [`Image`] never changes, and images of one disk at several moments share the blocks in which they agree. A crash
//! state is an image and a few writes, so that a million of them cost no copies of the whole; a [`Disk`] that is
//! [`Disk::reset`] keeps its room, so that they cost no allocations either.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};

/// Bytes of the unit of sharing.
pub const BLOCK: usize = 4096;
const SECTORS: usize = BLOCK / SECTOR;
type Block = [u8; BLOCK];

/// What a disk holds at one moment.
#[derive(Debug)]
pub struct Image {
    blocks: Vec<Arc<Block>>,
}

impl Image {
    /// One of `blocks` blocks, filled with bytes that a file system never wrote: what shows up of them is stale.
    pub fn stale(blocks: usize) -> Arc<Image> {
        let block = Arc::new([0xA5; BLOCK]);
        Arc::new(Image { blocks: vec![block; blocks] })
    }

    /// How many blocks it has.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The bytes of one block.
    pub fn block(&self, number: usize) -> Option<&[u8]> {
        self.blocks.get(number).map(|block| &block[..])
    }
}

struct Contents {
    image: Arc<Image>,
    /// For each block 0, or one more than its place in `own`.
    places: Vec<u32>,
    own: Vec<Block>,
    owned: Vec<u32>,
}

impl Contents {
    fn block(&self, number: usize) -> &Block {
        match self.places[number] {
            0 => &self.image.blocks[number],
            place => &self.own[place as usize - 1],
        }
    }

    fn block_mut(&mut self, number: usize) -> &mut Block {
        if self.places[number] == 0 {
            self.own.push(*self.image.blocks[number]);
            self.owned.push(number as u32);
            self.places[number] = self.own.len() as u32;
        }
        &mut self.own[self.places[number] as usize - 1]
    }
}

/// A disk.
pub struct Disk(Mutex<Contents>);

impl Disk {
    /// One that holds what the image does.
    pub fn new(image: &Arc<Image>) -> Disk {
        let places = vec![0; image.blocks.len()];
        Disk(Mutex::new(Contents { image: image.clone(), places, own: Vec::new(), owned: Vec::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // A test of hostile images goes on after a panic, with another image.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was written, and holds another image from now on.
    pub fn reset(&self, image: &Arc<Image>) {
        let contents = &mut *self.lock();
        contents.own.clear();
        if contents.places.len() == image.blocks.len() {
            contents.owned.drain(..).for_each(|block| contents.places[block as usize] = 0);
        } else {
            contents.owned.clear();
            contents.places = vec![0; image.blocks.len()];
        }
        contents.image = image.clone();
    }

    /// What it holds now.
    pub fn image(&self) -> Arc<Image> {
        let contents = self.lock();
        let blocks = contents.image.blocks.iter().enumerate();
        let blocks = blocks.map(|(number, block)| match contents.places[number] {
            0 => block.clone(),
            place => Arc::new(contents.own[place as usize - 1]),
        });
        Arc::new(Image { blocks: blocks.collect() })
    }

    /// Overwrites bytes from `at` on, as far as the disk reaches.
    pub fn put(&self, at: usize, mut bytes: &[u8]) {
        let mut contents = self.lock();
        let mut at = at;
        while !bytes.is_empty() && at / BLOCK < contents.places.len() {
            let count = bytes.len().min(BLOCK - at % BLOCK);
            contents.block_mut(at / BLOCK)[at % BLOCK..][..count].copy_from_slice(&bytes[..count]);
            (at, bytes) = (at + count, &bytes[count..]);
        }
    }
}

/// Where a request lies, in sectors; none if it makes no sense or reaches beyond the end.
fn extent(sector: u64, bytes: usize, blocks: usize, beyond: Errno) -> Result<(usize, usize)> {
    let end = sector.checked_add((bytes / SECTOR) as u64);
    match end {
        _ if !bytes.is_multiple_of(SECTOR) => Err(Errno::EINVAL),
        Some(end) if end <= (blocks * SECTORS) as u64 => Ok((sector as usize, end as usize)),
        _ => Err(beyond),
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok((self.lock().places.len() * SECTORS) as u64)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let contents = self.lock();
        let (mut at, end) = extent(sector, out.remaining(), contents.places.len(), Errno::EIO)?;
        let bytes = (end - at) * SECTOR;
        while at < end {
            let (first, count) = (at % SECTORS, (SECTORS - at % SECTORS).min(end - at));
            out.write(&contents.block(at / SECTORS)[first * SECTOR..(first + count) * SECTOR]);
            at += count;
        }
        Ok(bytes)
    }

    fn write(&self, sector: u64, _fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let mut contents = self.lock();
        let (mut at, end) = extent(sector, data.remaining(), contents.places.len(), Errno::ENOSPC)?;
        let bytes = (end - at) * SECTOR;
        while at < end {
            let (first, count) = (at % SECTORS, (SECTORS - at % SECTORS).min(end - at));
            data.read(&mut contents.block_mut(at / SECTORS)[first * SECTOR..(first + count) * SECTOR]);
            at += count;
        }
        Ok(bytes)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(disk: &Disk, sector: u64, bytes: usize) -> Vec<u8> {
        let mut room = vec![0; bytes];
        assert_eq!(disk.read(sector, &mut OutBuf::new(&mut room)), Ok(bytes));
        room
    }

    #[test]
    fn writes_are_its_own_and_a_reset_forgets_them() {
        let image = Image::stale(4);
        let disk = Disk::new(&image);
        assert_eq!(disk.write(6, false, &mut InBuf::new(&[7; 4 * SECTOR])), Ok(4 * SECTOR));
        assert_eq!(read(&disk, 5, 6 * SECTOR), [&[0xA5; 512][..], &[7; 2048], &[0xA5; 512]].concat());
        let changed = disk.image();
        assert_eq!(changed.block(1).map(|block| (block[1023], block[1024])), Some((7, 0xA5)));
        assert!(Arc::ptr_eq(&changed.blocks[3], &image.blocks[3]), "what agrees is shared");
        disk.reset(&image);
        assert_eq!(read(&disk, 5, 6 * SECTOR), [0xA5; 3072]);
        disk.reset(&changed);
        assert_eq!(read(&disk, 7, SECTOR), [7; 512]);
    }

    #[test]
    fn nothing_lies_beyond_the_end() {
        let disk = Disk::new(&Image::stale(1));
        let mut room = [0; 1024];
        assert_eq!(disk.read(7, &mut OutBuf::new(&mut room)), Err(Errno::EIO));
        assert_eq!(disk.read(u64::MAX, &mut OutBuf::new(&mut room)), Err(Errno::EIO));
        assert_eq!(disk.write(7, false, &mut InBuf::new(&room)), Err(Errno::ENOSPC));
        assert_eq!(disk.write(0, false, &mut InBuf::new(&room[..100])), Err(Errno::EINVAL));
    }
}
