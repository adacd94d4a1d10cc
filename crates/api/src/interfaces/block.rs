//! Block devices.

use serde::{Deserialize, Serialize};

use crate::{Blocks, Errno, InBuf, OutBuf, Result, interface, wire_by_codec};

/// Bytes of a sector: the unit of addressing, as in Linux.
pub const SECTOR: usize = 512;

/// What was asked of a device since its driver started, after Linux's `/sys/block/*/stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Reads that succeeded.
    pub reads: u64,
    /// Requests that were merged into another before they went down.
    pub merges: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Writes that succeeded.
    pub writes: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Flushes that succeeded.
    pub flushes: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Interrupts taken.
    pub interrupts: u64,
}

wire_by_codec!(Statistics);

/// A device of numbered sectors of [`SECTOR`] bytes.
#[interface]
pub trait BlockDevice {
    /// Its size in sectors.
    #[idempotent]
    fn capacity(&self) -> Result<u64>;
    /// Reads whole sectors from `sector` on until `out` is full; returns bytes. `EINVAL` for a length that is no
    /// multiple of a sector, `EIO` beyond the end.
    #[idempotent]
    #[submittable]
    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Writes whole sectors from `sector` on; returns bytes. Errors as for `read`, `ENOSPC` beyond the end. With `fua`
    /// (force unit access) these sectors are stable when it returns, whatever becomes of those written before.
    #[idempotent]
    #[submittable]
    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize>;
    /// Reads blocks that begin at the sectors that `blocks` names, as [`crate::blocks`] says; `EINVAL` if `out` has not
    /// room for all. Those with nothing to gain from seeing them at once do [`read_each`].
    #[idempotent]
    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Writes such blocks; where two overlap, it is open which one stays. By default [`write_each`].
    #[idempotent]
    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize>;
    /// Returns once every write acknowledged before is stable.
    #[idempotent]
    fn flush(&self) -> Result<()>;
    /// What was asked of it so far.
    #[idempotent]
    fn statistics(&self) -> Result<Statistics>;
}

/// Reads blocks one after the other.
pub fn read_each(device: &impl BlockDevice, blocks: &Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
    if out.remaining() < blocks.bytes() {
        return Err(Errno::EINVAL);
    }
    blocks.in_turn(|sector| out.with_part(blocks.size(), |part| device.read(sector, part)))
}

/// Writes blocks one after the other.
pub fn write_each(device: &impl BlockDevice, blocks: &Blocks, data: &mut InBuf<'_>) -> Result<usize> {
    if data.remaining() < blocks.bytes() {
        return Err(Errno::EINVAL);
    }
    blocks.in_turn(|sector| device.write(sector, false, &mut data.split(blocks.size())))
}
