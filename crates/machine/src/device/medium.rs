//! The medium: a file of the host (a memfd, or one on the host's disk), behind a volatile write cache.
//!
//! A write goes into the cache; a flush, or a write with FUA, brings it to the file and makes the file stable. A power
//! failure loses what is in the cache and nothing else. The cache is bounded: what does not fit goes to the file earlier,
//! lowest sector first, as any disk may write back whenever it likes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use kd_api::interfaces::block::SECTOR;

use crate::clock;
use crate::memory::Memory;

/// Bytes of a block of the cache.
const BLOCK: usize = 4096;
/// Sectors of it.
const SECTORS: u64 = (BLOCK / SECTOR) as u64;
/// Blocks that the cache holds: 4 MiB.
const BLOCKS: usize = 1024;

/// Sectors of a block that were written since the last flush.
struct Dirty {
    data: [u8; BLOCK],
    /// One bit for each sector.
    sectors: u8,
}

/// A medium.
pub struct Medium {
    file: File,
    sectors: u64,
    cache: BTreeMap<u64, Box<Dirty>>,
    /// Sectors in the cache.
    dirty: u64,
}

/// One block's part of a range of sectors: the block, which of its sectors, which bytes of the range.
type Part = (u64, Range<u64>, Range<usize>);

fn parts(sector: u64, len: usize) -> impl Iterator<Item = Part> {
    let end = sector + (len / SECTOR) as u64;
    (sector / SECTORS..end.div_ceil(SECTORS)).map(move |block| {
        let first = block * SECTORS;
        let part = sector.max(first)..end.min(first + SECTORS);
        let bytes = (part.start - sector) as usize * SECTOR..(part.end - sector) as usize * SECTOR;
        (block, part.start - first..part.end - first, bytes)
    })
}

/// A new file that no folder names: made so, or where the host cannot, with its name removed at once.
fn nameless(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    if let Ok(file) = options.clone().custom_flags(libc::O_TMPFILE).open(folder) {
        return Ok(file);
    }
    let path = folder.join(format!("kd-disk-{}-{}", std::process::id(), clock::now()));
    let file = options.create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn bytes_of(sector: u64) -> Range<usize> {
    sector as usize * SECTOR..(sector as usize + 1) * SECTOR
}

impl Medium {
    /// Memory, as zeros.
    pub fn memory(bytes: usize) -> io::Result<Medium> {
        let fd = Memory::new("kd-medium", bytes)?.into_fd();
        Ok(Medium { file: fd.into(), sectors: (bytes / SECTOR) as u64, cache: BTreeMap::new(), dirty: 0 })
    }

    /// A fresh file in a folder of the host's; it has no name, so nothing of it is left behind.
    pub fn file(folder: &Path, bytes: usize) -> io::Result<Medium> {
        let file = nameless(folder)?;
        file.set_len(bytes as u64)?;
        Ok(Medium { file, sectors: (bytes / SECTOR) as u64, cache: BTreeMap::new(), dirty: 0 })
    }

    /// Something of the host's that is no file, which can neither be written at a place nor be made stable.
    #[cfg(test)]
    pub fn broken(bytes: usize) -> io::Result<Medium> {
        let (end, _) = io::pipe()?;
        let file = std::os::fd::OwnedFd::from(end).into();
        Ok(Medium { file, sectors: (bytes / SECTOR) as u64, cache: BTreeMap::new(), dirty: 0 })
    }

    /// Its size in sectors.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Bytes in the cache.
    pub fn dirty(&self) -> u64 {
        self.dirty * SECTOR as u64
    }

    /// Whether a range of sectors lies on it.
    pub fn holds(&self, sector: u64, len: usize) -> bool {
        let end = sector.checked_add((len / SECTOR) as u64);
        len.is_multiple_of(SECTOR) && end.is_some_and(|end| end <= self.sectors)
    }

    /// Reads sectors that it [holds](Medium::holds).
    pub fn read(&self, sector: u64, to: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(to, sector * SECTOR as u64)?;
        for (block, sectors, bytes) in parts(sector, to.len()) {
            let Some(dirty) = self.cache.get(&block) else { continue };
            for (i, sector) in sectors.enumerate().filter(|(_, sector)| dirty.sectors & 1 << sector != 0) {
                let at = bytes.start + i * SECTOR;
                to[at..at + SECTOR].copy_from_slice(&dirty.data[bytes_of(sector)]);
            }
        }
        Ok(())
    }

    /// Writes sectors that it holds, into the cache.
    pub fn write(&mut self, sector: u64, from: &[u8]) -> io::Result<()> {
        for (block, sectors, bytes) in parts(sector, from.len()) {
            if self.cache.len() >= BLOCKS
                && !self.cache.contains_key(&block)
                && let Some((&first, _)) = self.cache.first_key_value()
            {
                self.write_back(first)?;
            }
            let dirty = self.cache.entry(block).or_insert_with(|| Box::new(Dirty { data: [0; BLOCK], sectors: 0 }));
            dirty.data[sectors.start as usize * SECTOR..sectors.end as usize * SECTOR].copy_from_slice(&from[bytes]);
            let before = dirty.sectors.count_ones();
            sectors.for_each(|sector| dirty.sectors |= 1 << sector);
            self.dirty += u64::from(dirty.sectors.count_ones() - before);
        }
        Ok(())
    }

    /// Writes sectors that it holds past the cache; they are stable after the next [`Medium::sync`].
    pub fn write_through(&mut self, sector: u64, from: &[u8]) -> io::Result<()> {
        self.file.write_all_at(from, sector * SECTOR as u64)?;
        for (block, sectors, _) in parts(sector, from.len()) {
            if let Some(dirty) = self.cache.get_mut(&block) {
                let before = dirty.sectors.count_ones();
                sectors.for_each(|sector| dirty.sectors &= !(1 << sector));
                self.dirty -= u64::from(before - dirty.sectors.count_ones());
            }
        }
        Ok(())
    }

    /// Brings everything in the cache to the file; it is stable after the next [`Medium::sync`].
    pub fn write_back_all(&mut self) -> io::Result<()> {
        while let Some((&first, _)) = self.cache.first_key_value() {
            self.write_back(first)?;
        }
        Ok(())
    }

    /// Makes what is in the file stable.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// The power fails: the cache is lost.
    pub fn lose_power(&mut self) {
        self.cache.clear();
        self.dirty = 0;
    }

    /// A block that could not be written stays in the cache.
    fn write_back(&mut self, block: u64) -> io::Result<()> {
        let Some(dirty) = self.cache.get(&block) else { return Ok(()) };
        let mut sector = 0;
        while sector < SECTORS {
            let run = (sector..SECTORS).take_while(|sector| dirty.sectors & 1 << sector != 0).count() as u64;
            if run > 0 {
                let bytes = bytes_of(sector).start..bytes_of(sector + run - 1).end;
                self.file.write_all_at(&dirty.data[bytes], (block * SECTORS + sector) * SECTOR as u64)?;
            }
            sector += run.max(1);
        }
        self.dirty -= u64::from(dirty.sectors.count_ones());
        self.cache.remove(&block);
        Ok(())
    }
}

impl AsRawFd for Medium {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
