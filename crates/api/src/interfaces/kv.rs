//! A key-value store: the example of an extension.

use crate::{InBuf, OutBuf, Result, interface};

/// Longest value, in bytes. Less than a message carries, so a longer one is seen and refused in every kernel.
pub const VALUE_MAX: usize = 4096;

/// Values by number. All apps see the same ones.
#[interface]
pub trait KvStore {
    /// Stores a value, in place of the one the key had; `EFBIG` beyond [`VALUE_MAX`], and `ENOSPC` for one
    /// value too many where they outlive their server.
    #[idempotent]
    fn put(&self, key: u64, data: &mut InBuf<'_>) -> Result<()>;
    /// Copies a key's value out and returns its length; `ENOENT` without one, `EINVAL` if the room is too small, `EIO`
    /// if a server that died has spoiled it.
    #[idempotent]
    fn get(&self, key: u64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Forgets a key; `ENOENT` without one, which a repetition would be told: so it is not repeated.
    fn delete(&self, key: u64) -> Result<()>;
    /// How many keys have values.
    #[idempotent]
    fn count(&self) -> Result<u64>;
}
