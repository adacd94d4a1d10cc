//! Block devices.

use crate::{InBuf, OutBuf, Result, interface};

/// Bytes of a sector: the unit of addressing, as in Linux.
pub const SECTOR: usize = 512;

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
}
