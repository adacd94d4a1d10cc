//! The medium: a file of the host (a memfd, or one on the host's disk), behind a volatile write cache.
//!
//! A write goes into the cache; a flush, or a write with FUA, brings it to the file and makes the file stable. A power
//! failure loses what is in the cache and nothing else. The cache is bounded: what does not fit goes to the file earlier,
//! lowest sector first, as any disk may write back whenever it likes.
//!
//! A medium may begin as a copy of an image, so that many boots find the same disk without making it: blocks that were
//! never written are read from the image, which itself is never changed.

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

/// What a medium begins as, and which of its blocks are so no more.
struct Image {
    file: File,
    written: Vec<bool>,
}

/// A medium.
pub struct Medium {
    file: File,
    image: Option<Image>,
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
        Ok(Medium::over(Memory::new("kd-medium", bytes)?.into_fd().into(), bytes))
    }

    fn over(file: File, bytes: usize) -> Medium {
        Medium { file, image: None, sectors: (bytes / SECTOR) as u64, cache: BTreeMap::new(), dirty: 0 }
    }

    /// A file of the host's by its name: what is written stays there.
    pub fn named(path: &Path) -> io::Result<Medium> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = file.metadata()?.len() as usize;
        Ok(Medium::over(file, bytes))
    }

    /// Memory that begins as what such a file holds, which nobody may change meanwhile.
    pub fn copy(path: &Path) -> io::Result<Medium> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len() as usize;
        let image = Image { file, written: vec![false; bytes.div_ceil(BLOCK)] };
        Ok(Medium { image: Some(image), ..Medium::memory(bytes)? })
    }

    /// A fresh file in a folder of the host's; it has no name, so nothing of it is left behind.
    pub fn file(folder: &Path, bytes: usize) -> io::Result<Medium> {
        let file = nameless(folder)?;
        file.set_len(bytes as u64)?;
        Ok(Medium::over(file, bytes))
    }

    /// Something of the host's that is no file, which can neither be written at a place nor be made stable.
    #[cfg(test)]
    pub fn broken(bytes: usize) -> io::Result<Medium> {
        let (end, _) = io::pipe()?;
        let file = std::os::fd::OwnedFd::from(end).into();
        Ok(Medium::over(file, bytes))
    }

    /// Its descriptors of the host's, which whoever holds it must keep open.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> {
        let image = self.image.as_ref().map(|image| image.file.as_raw_fd());
        [self.file.as_raw_fd()].into_iter().chain(image)
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
        self.load(sector, to)?;
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
        self.store(sector, from)?;
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
        let Some(dirty) = self.cache.remove(&block) else { return Ok(()) };
        let written = self.store_dirty(block, &dirty);
        if written.is_ok() {
            self.dirty -= u64::from(dirty.sectors.count_ones());
        } else {
            self.cache.insert(block, dirty);
        }
        written
    }

    fn store_dirty(&mut self, block: u64, dirty: &Dirty) -> io::Result<()> {
        let mut sector = 0;
        while sector < SECTORS {
            let run = (sector..SECTORS).take_while(|sector| dirty.sectors & 1 << sector != 0).count() as u64;
            if run > 0 {
                let bytes = bytes_of(sector).start..bytes_of(sector + run - 1).end;
                self.store(block * SECTORS + sector, &dirty.data[bytes])?;
            }
            sector += run.max(1);
        }
        Ok(())
    }

    /// Reads sectors from where they are stable: the file, or the image.
    fn load(&self, sector: u64, to: &mut [u8]) -> io::Result<()> {
        let Some(image) = &self.image else { return self.file.read_exact_at(to, sector * SECTOR as u64) };
        image.file.read_exact_at(to, sector * SECTOR as u64)?;
        for (block, sectors, bytes) in parts(sector, to.len()) {
            if image.written[block as usize] {
                self.file.read_exact_at(&mut to[bytes], (block * SECTORS + sectors.start) * SECTOR as u64)?;
            }
        }
        Ok(())
    }

    /// Writes sectors to the file; of a block that was the image's it takes the rest along.
    fn store(&mut self, sector: u64, from: &[u8]) -> io::Result<()> {
        if let Some(image) = &mut self.image {
            for (block, sectors, _) in parts(sector, from.len()) {
                if !image.written[block as usize] && sectors.end - sectors.start < SECTORS {
                    let (mut rest, at) = ([0; BLOCK], block * BLOCK as u64);
                    image.file.read_exact_at(&mut rest, at)?;
                    self.file.write_all_at(&rest, at)?;
                }
            }
        }
        self.file.write_all_at(from, sector * SECTOR as u64)?;
        if let Some(image) = &mut self.image {
            parts(sector, from.len()).for_each(|(block, ..)| image.written[block as usize] = true);
        }
        Ok(())
    }
}
