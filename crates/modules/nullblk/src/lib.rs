//! A block device that stores nothing, as a driver module; after Linux's `null_blk`.
//!
//! Reads give zeros, writes are dropped: what is left of a request's cost is the way to the driver and back.

#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::module::DriverEnv;
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};

kd_module_rt::driver! {
    name: "nullblk",
    license: "MIT OR Apache-2.0",
    author: "Kernel Debate",
    description: "A block device that stores nothing",
    parameters: Parameters {
        gb: 250 in 1..=1_048_576 => "capacity in GiB",
    },
    probe: NullBlock::probe,
}

/// One device.
#[derive(Default)]
struct NullBlock {
    sectors: u64,
    reads: AtomicU64,
    sectors_read: AtomicU64,
    writes: AtomicU64,
    sectors_written: AtomicU64,
    flushes: AtomicU64,
}

impl NullBlock {
    fn probe(_: &DriverEnv<'_>, parameters: &Parameters) -> Result<NullBlock> {
        Ok(NullBlock { sectors: parameters.gb * (1 << 30) / SECTOR as u64, ..NullBlock::default() })
    }

    /// Whether a request ends within the device.
    #[inline(never)]
    fn holds(&self, sector: u64, len: usize) -> bool {
        sector.checked_add((len / SECTOR) as u64).is_some_and(|end| end <= self.sectors)
    }

    /// Refuses what is no request; `beyond` if it ends beyond the last sector.
    fn check(&self, sector: u64, len: usize, beyond: Errno) -> Result<()> {
        match (len.is_multiple_of(SECTOR), self.holds(sector, len)) {
            (false, _) => Err(Errno::EINVAL),
            (_, false) => Err(beyond),
            _ => Ok(()),
        }
    }
}

impl BlockDevice for NullBlock {
    fn capacity(&self) -> Result<u64> {
        Ok(self.sectors)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let len = out.remaining();
        self.check(sector, len, Errno::EIO)?;
        self.reads.fetch_add(1, Relaxed);
        self.sectors_read.fetch_add((len / SECTOR) as u64, Relaxed);
        Ok(out.write_zeros(len))
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let len = data.remaining();
        self.check(sector, len, Errno::ENOSPC)?;
        data.skip(len);
        self.writes.fetch_add(1, Relaxed);
        self.sectors_written.fetch_add((len / SECTOR) as u64, Relaxed);
        Ok(len)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.flushes.fetch_add(1, Relaxed);
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        let [reads, sectors_read, writes, sectors_written, flushes] =
            [&self.reads, &self.sectors_read, &self.writes, &self.sectors_written, &self.flushes]
                .map(|count| count.load(Relaxed));
        Ok(Statistics { reads, sectors_read, writes, sectors_written, flushes, ..Statistics::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_zeros_drops_writes_and_has_an_end() {
        let env = DriverEnv { medium: None, device: None, parameters: &[("gb", 1)] };
        let device = NullBlock::probe(&env, &Parameters::given(&env)).unwrap();
        assert_eq!(device.capacity(), Ok(1 << 21));
        let last = (1 << 21) - 1;
        let mut data = InBuf::new(&[7; SECTOR]);
        assert_eq!((device.write(last, false, &mut data), data.remaining()), (Ok(SECTOR), 0));
        let mut room = [0xEE; SECTOR];
        assert_eq!(device.read(last, &mut OutBuf::new(&mut room)), Ok(SECTOR));
        assert_eq!(room, [0; SECTOR]);
        assert_eq!(device.read(last + 1, &mut OutBuf::new(&mut room)), Err(Errno::EIO));
        assert_eq!(device.write(u64::MAX, false, &mut InBuf::new(&[0; SECTOR])), Err(Errno::ENOSPC));
        assert_eq!(device.read(0, &mut OutBuf::new(&mut room[1..])), Err(Errno::EINVAL));
    }
}
