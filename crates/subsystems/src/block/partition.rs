//! A partition: some of a device's sectors as a device of their own, in the domain of whoever uses it.
//!
//! There is no table of partitions on the disk: who makes one says where it lies. Nothing outside it can be reached
//! through it. A flush is the whole device's, and so are the statistics.

use alloc::sync::Arc;
use core::ops::Range;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};

/// Some sectors of a device.
pub struct Partition {
    device: Arc<dyn BlockDevice>,
    sectors: Range<u64>,
}

impl Partition {
    /// The sectors of this range; `EINVAL` if the device has not all of them.
    pub fn new(device: Arc<dyn BlockDevice>, sectors: Range<u64>) -> Result<Partition> {
        if sectors.start > sectors.end || sectors.end > device.capacity()? {
            return Err(Errno::EINVAL);
        }
        Ok(Partition { device, sectors })
    }

    /// Where a request begins on the device; `beyond` if it ends beyond the partition.
    fn locate(&self, sector: u64, bytes: usize, beyond: Errno) -> Result<u64> {
        if !bytes.is_multiple_of(SECTOR) {
            return Err(Errno::EINVAL);
        }
        let first = self.sectors.start.checked_add(sector).ok_or(beyond)?;
        let end = first.checked_add((bytes / SECTOR) as u64).ok_or(beyond)?;
        if end <= self.sectors.end { Ok(first) } else { Err(beyond) }
    }
}

impl BlockDevice for Partition {
    fn capacity(&self) -> Result<u64> {
        Ok(self.sectors.end - self.sectors.start)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.device.read(self.locate(sector, out.remaining(), Errno::EIO)?, out)
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        self.device.write(self.locate(sector, data.remaining(), Errno::ENOSPC)?, fua, data)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        let size = blocks.size();
        self.device.read_many(blocks.leading(|sector| self.locate(sector, size, Errno::EIO))?, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        let size = blocks.size();
        self.device.write_many(blocks.leading(|sector| self.locate(sector, size, Errno::ENOSPC))?, data)
    }

    fn flush(&self) -> Result<()> {
        self.device.flush()
    }

    fn statistics(&self) -> Result<Statistics> {
        self.device.statistics()
    }
}
