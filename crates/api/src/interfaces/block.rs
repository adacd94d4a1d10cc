//! Block devices.

use serde::{Deserialize, Serialize};

use crate::{InBuf, OutBuf, Result, interface, wire_by_codec};

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
    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Writes whole sectors from `sector` on; returns bytes. Errors as for `read`, `ENOSPC` beyond the end. With `fua`
    /// (force unit access) these sectors are stable when it returns, whatever becomes of those written before.
    #[idempotent]
    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize>;
    /// Returns once every write acknowledged before is stable.
    #[idempotent]
    fn flush(&self) -> Result<()>;
    /// What was asked of it so far.
    #[idempotent]
    fn statistics(&self) -> Result<Statistics>;
}
