//! A disk in memory, as a driver module; after Linux's `brd`.
//!
//! It stores on the medium that its device has and keeps nothing of it: a driver that starts anew finds every byte that
//! the last one stored. A request goes straight between its caller's buffer and the medium.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::module::{DriverEnv, Medium};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::Mutex;

kd_module_rt::driver! {
    name: "ramdisk",
    license: "MIT OR Apache-2.0",
    author: "Kernel Debate",
    description: "A disk in memory",
    parameters: Parameters {
        max_kb: 1024 in 1..=1_048_576 => "longest request in KiB; longer ones are refused with EINVAL",
    },
    probe: Ramdisk::probe,
}

/// One disk.
struct Ramdisk {
    medium: &'static dyn Medium,
    longest: usize,
    statistics: Mutex<Box<Statistics>>,
}

impl Ramdisk {
    fn probe(env: &DriverEnv<'_>, parameters: &Parameters) -> Result<Ramdisk> {
        let medium = env.medium.ok_or(Errno::ENODEV)?;
        let longest = usize::try_from(parameters.max_kb * 1024).map_err(|_| Errno::EINVAL)?;
        Ok(Ramdisk { medium, longest, statistics: Mutex::default() })
    }

    fn sectors(&self) -> u64 {
        self.medium.size() / SECTOR as u64
    }

    /// The byte at which a request begins on the medium; none if it ends beyond the last sector.
    #[inline(never)]
    fn locate(&self, sector: u64, len: usize) -> Option<u64> {
        let end = sector.checked_add((len / SECTOR) as u64)?;
        (end <= self.sectors()).then(|| sector * SECTOR as u64)
    }

    /// Locates and counts a request; `beyond` if it ends beyond the last sector.
    fn admit(&self, sector: u64, len: usize, write: bool, beyond: Errno) -> Result<u64> {
        if !len.is_multiple_of(SECTOR) || len > self.longest {
            return Err(Errno::EINVAL);
        }
        let mut statistics = self.statistics.lock();
        let offset = self.locate(sector, len).ok_or(beyond)?;
        let Statistics { reads, sectors_read, writes, sectors_written, .. } = &mut **statistics;
        let (count, sectors) = if write { (writes, sectors_written) } else { (reads, sectors_read) };
        *count += 1;
        *sectors += (len / SECTOR) as u64;
        Ok(offset)
    }
}

impl BlockDevice for Ramdisk {
    fn capacity(&self) -> Result<u64> {
        Ok(self.sectors())
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let offset = self.admit(sector, out.remaining(), false, Errno::EIO)?;
        self.medium.read(offset, out)
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let offset = self.admit(sector, data.remaining(), true, Errno::ENOSPC)?;
        self.medium.write(offset, data)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.statistics.lock().flushes += 1;
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(**self.statistics.lock())
    }
}

#[cfg(test)]
mod tests;
