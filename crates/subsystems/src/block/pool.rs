//! A bounded number of buffers in which several requests become one.
//!
//! A buffer is made when it is first needed and kept. What was read into one is shared by those whose data it holds,
//! each copying its own part out; it is free again when the last of them is done.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

/// A buffer; exclusive until it is cloned.
pub type Buffer = Arc<Vec<u8>>;

/// Buffers of one size.
pub struct Pool {
    free: Vec<Buffer>,
    unmade: usize,
    bytes: usize,
}

impl Pool {
    /// At most `count` buffers of `bytes` bytes.
    pub fn new(count: usize, bytes: usize) -> Pool {
        Pool { free: Vec::with_capacity(count), unmade: count, bytes }
    }

    /// One that nobody else holds; none if all are in use.
    pub fn take(&mut self) -> Option<Buffer> {
        if let Some(at) = self.free.iter_mut().position(|buffer| Arc::get_mut(buffer).is_some()) {
            return Some(self.free.swap_remove(at));
        }
        self.unmade = self.unmade.checked_sub(1)?;
        Some(Arc::new(vec![0; self.bytes]))
    }

    /// Gives one back; others may still hold it for a while.
    pub fn give(&mut self, buffer: Buffer) {
        self.free.push(buffer);
    }
}
