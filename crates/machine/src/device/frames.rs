//! Frames: memory that a device and others map, at an address of its own in the device's address space.
//!
//! Nobody ever makes a Rust reference to its bytes: they are copied, or accessed as atomic words.

use std::sync::atomic::AtomicU64;

use kd_api::window::copy_shared;
use kd_api::{InBuf, OutBuf};

use crate::memory::Mapping;

/// A range of memory.
#[derive(Debug)]
pub struct Frames {
    address: u64,
    mapping: Mapping,
}

impl Frames {
    /// The memory of a mapping, which the device knows by `address`.
    pub fn new(address: u64, mapping: Mapping) -> Frames {
        Frames { address, mapping }
    }

    /// Bytes there are.
    pub fn size(&self) -> usize {
        self.mapping.size()
    }

    /// Where it is mapped: address and bytes.
    pub fn memory(&self) -> (usize, usize) {
        self.mapping.range()
    }

    /// The address of the first.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The offset of an address; none unless `len` bytes lie there.
    pub fn offset(&self, address: u64, len: usize) -> Option<usize> {
        let offset = usize::try_from(address.checked_sub(self.address)?).ok()?;
        (offset.checked_add(len)? <= self.size()).then_some(offset)
    }

    /// Where byte `offset` lies and how many bytes follow it; nothing follows beyond the end.
    fn range(&self, offset: usize) -> (*mut u8, usize) {
        let offset = offset.min(self.size());
        // SAFETY: `offset` is at most the mapping's size, so this stays within it or one past its end.
        (unsafe { self.mapping.start().as_ptr().add(offset) }, self.size() - offset)
    }

    /// The word at byte `offset`, if there is one and it is aligned.
    pub fn word(&self, offset: usize) -> Option<&AtomicU64> {
        let (at, left) = self.range(offset);
        // SAFETY: eight bytes are mapped from `at` on, aligned because mappings start at pages, valid for any bits, and
        // alive with `self`; others access them as words or by copying.
        (left >= 8 && offset.is_multiple_of(8)).then(|| unsafe { &*at.cast() })
    }

    /// Copies bytes from `offset` on; returns how many there were.
    pub fn load(&self, offset: usize, to: &mut [u8]) -> usize {
        let (at, left) = self.range(offset);
        let count = left.min(to.len());
        // SAFETY: `count` bytes are mapped from `at` on and fit into `to`, which is ours alone.
        unsafe { copy_shared(to.as_mut_ptr(), at, count) };
        count
    }

    /// Copies bytes to `offset`; returns how many fitted.
    pub fn store(&self, offset: usize, from: &[u8]) -> usize {
        let (at, left) = self.range(offset);
        let count = left.min(from.len());
        // SAFETY: as for `load`, the other way round; the mapping is writable.
        unsafe { copy_shared(at, from.as_ptr(), count) };
        count
    }

    /// Copies up to `len` bytes from `offset` on into a buffer; returns how many.
    pub fn read(&self, offset: usize, len: usize, out: &mut OutBuf<'_>) -> usize {
        let (at, left) = self.range(offset);
        // SAFETY: `left` bytes are mapped from `at` on; no buffer overlaps frames, since no reference to them exists.
        unsafe { out.write_raw(at, len.min(left)) }
    }

    /// Copies up to `len` bytes from a buffer to `offset`; returns how many.
    pub fn write(&self, offset: usize, len: usize, data: &mut InBuf<'_>) -> usize {
        let (at, left) = self.range(offset);
        // SAFETY: as for `read`; the mapping is writable.
        unsafe { data.read_raw(at, len.min(left)) }
    }
}
