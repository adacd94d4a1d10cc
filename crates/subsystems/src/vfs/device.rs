//! Block devices as files: any offset and length over a driver that knows whole sectors.
//!
//! The aligned middle of a transfer passes straight through; a piece of a sector goes through a buffer on the stack. To
//! write a piece, its sector is read, changed and written back with the device's lock held exclusively, while aligned
//! writes share it: otherwise one that falls in between would be undone.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::RwLock;

use crate::transfer::transfer;

const UNKNOWN: u64 = u64::MAX;

/// A device under `/dev`.
pub struct Device {
    driver: Arc<dyn BlockDevice>,
    /// Bytes, once asked for: Linux keeps a device's size in its inode as well.
    capacity: AtomicU64,
    whole: RwLock<()>,
}

/// A piece of a transfer: its sector, where in the sector it starts, and how long it is.
fn piece(offset: u64, left: usize) -> (u64, usize, usize) {
    let start = (offset % SECTOR as u64) as usize;
    let count = if start == 0 && left >= SECTOR { left - left % SECTOR } else { left.min(SECTOR - start) };
    (offset / SECTOR as u64, start, count)
}

impl Device {
    pub fn new(driver: Arc<dyn BlockDevice>) -> Device {
        Device { driver, capacity: AtomicU64::new(UNKNOWN), whole: RwLock::new(()) }
    }

    /// Its size in bytes.
    pub fn capacity(&self) -> Result<u64> {
        let mut bytes = self.capacity.load(Relaxed);
        if bytes == UNKNOWN {
            bytes = self.driver.capacity()?.checked_mul(SECTOR as u64).ok_or(Errno::EIO)?.min(i64::MAX as u64);
            self.capacity.store(bytes, Relaxed);
        }
        Ok(bytes)
    }

    pub fn flush(&self) -> Result<()> {
        self.driver.flush()
    }

    /// Reads from byte `offset`; 0 at the end.
    pub fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let end = self.capacity()?;
        let total = out.remaining().min(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX));
        transfer(total, |done| {
            let (sector, start, count) = piece(offset + done as u64, total - done);
            let before = out.written();
            if start == 0 && count >= SECTOR {
                out.with_part(count, |part| self.driver.read(sector, part))?;
            } else {
                let mut buffer = [0; SECTOR];
                self.read_sector(sector, &mut buffer)?;
                out.write(&buffer[start..start + count]);
            }
            Ok((count, out.written() - before))
        })
    }

    /// Writes at byte `offset`; `ENOSPC` at the end.
    pub fn write(&self, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        let end = self.capacity()?;
        if offset >= end && data.remaining() > 0 {
            return Err(Errno::ENOSPC);
        }
        let total = data.remaining().min(usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX));
        transfer(total, |done| {
            let (sector, start, count) = piece(offset + done as u64, total - done);
            let mut part = data.split(count);
            if start == 0 && count >= SECTOR {
                let _shared = self.whole.read();
                return Ok((count, self.driver.write(sector, false, &mut part)?.min(count)));
            }
            let _alone = self.whole.write();
            let mut buffer = [0; SECTOR];
            self.read_sector(sector, &mut buffer)?;
            part.read(&mut buffer[start..start + count]);
            match self.driver.write(sector, false, &mut InBuf::new(&buffer))? {
                SECTOR => Ok((count, count)),
                _ => Err(Errno::EIO),
            }
        })
    }

    /// The sectors at which blocks begin, if all of them are whole sectors within the device.
    pub fn sectors(&self, blocks: &Blocks) -> Result<Option<Blocks>> {
        let (end, size) = (self.capacity()?, blocks.size() as u64);
        let whole = |offset: &u64| offset.is_multiple_of(SECTOR as u64) && end.checked_sub(size) >= Some(*offset);
        if !size.is_multiple_of(SECTOR as u64) || !blocks.at().iter().all(whole) {
            return Ok(None);
        }
        blocks.leading(|offset| Ok(offset / SECTOR as u64)).map(Some)
    }

    /// Reads several blocks at [`Device::sectors`]: one request of the driver.
    pub fn read_many(&self, sectors: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        let before = out.written();
        out.with_part(sectors.bytes(), |part| self.driver.read_many(sectors, part))?;
        Ok(out.written() - before)
    }

    /// Writes several, likewise.
    pub fn write_many(&self, sectors: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        let _shared = self.whole.read();
        let bytes = sectors.bytes();
        Ok(self.driver.write_many(sectors, &mut data.split(bytes))?.min(bytes))
    }

    fn read_sector(&self, sector: u64, buffer: &mut [u8; SECTOR]) -> Result<()> {
        let mut out = OutBuf::new(buffer);
        self.driver.read(sector, &mut out)?;
        if out.written() == SECTOR { Ok(()) } else { Err(Errno::EIO) }
    }
}
