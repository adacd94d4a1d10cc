//! Grants: a payload is passed by its place in memory that several domains map, instead of being copied at each border.
//!
//! A [`Pool`] is such memory, made before the domains are. Whoever a payload begins or ends with takes a [`Grant`] from
//! it, a buffer, and passes that where an operation takes bytes. A stub that finds the bytes in a pool which its server
//! maps as well sends the pool's number and an offset; the server's half checks both and hands the component a buffer
//! over the very same bytes. A component that passes such a buffer on, as a VFS does, grants it in turn: however long
//! the chain, nothing is copied on the way. After fbufs (Druschel and Peterson, SOSP 1993), and like their *volatile*
//! ones:
//!
//! - Nobody's access ends with the call. A hostile callee may read and write every byte of the pool at any time, also
//!   such as it was never granted, and what output overwrites it may read first. So a pool holds payload alone, its
//!   bytes are copied before anything is decided by them, and a pool is shared by those whom its owner would show it.
//! - Which parts of a pool are taken is private knowledge of whoever takes them.
//! - A submitted call ([`crate::ticket`]) is not granted anything: its buffer may go while its server still writes.
//! - Where no pool is mapped, the same buffer is copied through windows, in pieces of what a message carries.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::any::Any;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use crate::{InBuf, OutBuf};

/// Parts that a pool is given out in.
pub const PARTS: usize = 64;

/// Memory that several domains map.
pub struct Pool {
    base: NonNull<u8>,
    len: usize,
    /// A bit for each part that is taken.
    taken: AtomicU64,
    /// Keeps it mapped.
    _owner: Box<dyn Any + Send + Sync>,
}

// SAFETY: a pool is a claim on memory that is only ever copied from and to; any thread may hold it.
unsafe impl Send for Pool {}
// SAFETY: as above; parts are handed out by atomic steps.
unsafe impl Sync for Pool {}

/// A buffer in a pool, given back when dropped. What it holds is copied in and out by [`Grant::output`] and
/// [`Grant::input`]: a peer may write it at any time, so it is no slice.
pub struct Grant {
    pool: Arc<Pool>,
    offset: usize,
    len: usize,
    parts: u64,
}

impl Pool {
    /// The pool of `len` bytes at `base`, which `owner` keeps mapped.
    ///
    /// # Safety
    /// `base` points to `len` bytes that stay readable and writable while `owner` lives, and that nobody holds a Rust
    /// reference into.
    pub unsafe fn new(base: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> Pool {
        Pool { base, len, taken: AtomicU64::new(0), _owner: owner }
    }

    /// A buffer of `len` bytes; `None` if there is no room for it. Parts are a 64th of the pool each.
    pub fn take(self: &Arc<Pool>, len: usize) -> Option<Grant> {
        let part = self.len / PARTS;
        let count = len.max(1).div_ceil(part.max(1));
        if part == 0 || count > PARTS {
            return None;
        }
        let run = u64::MAX >> (PARTS - count);
        let mut taken = self.taken.load(Relaxed);
        loop {
            let first = (0..=PARTS - count).find(|first| taken & (run << first) == 0)?;
            let parts = run << first;
            match self.taken.compare_exchange_weak(taken, taken | parts, Acquire, Relaxed) {
                Ok(_) => return Some(Grant { pool: self.clone(), offset: first * part, len, parts }),
                Err(now) => taken = now,
            }
        }
    }

    /// The offset of `len` bytes at an address, if all of them lie in the pool.
    #[inline]
    pub fn find(&self, at: *const u8, len: usize) -> Option<u64> {
        let offset = (at as usize).checked_sub(self.base.as_ptr() as usize)?;
        (len <= self.len && offset <= self.len - len).then_some(offset as u64)
    }

    /// The `len` bytes at `offset`, as a peer claims them, as input and as room; `None` if not all of them lie in the pool.
    #[inline]
    pub fn lend(&self, offset: u64, len: usize) -> Option<(InBuf<'_>, OutBuf<'_>)> {
        let offset = usize::try_from(offset).ok()?;
        if len > self.len || offset > self.len - len {
            return None;
        }
        // SAFETY: `offset + len` is at most the pool's length, so the range is mapped while `self` lives, and by the
        // contract of `new` nobody holds a reference into it.
        unsafe {
            let at = self.base.as_ptr().add(offset);
            Some((InBuf::shared(at, len), OutBuf::shared(at, len)))
        }
    }
}

impl Grant {
    /// Its bytes, to be read or to be passed in.
    pub fn input(&self) -> InBuf<'_> {
        // SAFETY: the parts of a grant lie within its pool, which it keeps alive.
        unsafe { InBuf::shared(self.pool.base.as_ptr().add(self.offset), self.len) }
    }

    /// Its room, to be written or to be passed out.
    pub fn output(&mut self) -> OutBuf<'_> {
        // SAFETY: as in `input`; exclusive among holders of this grant.
        unsafe { OutBuf::shared(self.pool.base.as_ptr().add(self.offset), self.len) }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.pool.taken.fetch_and(!self.parts, Release);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn pool(len: usize) -> Arc<Pool> {
        let mut memory: Vec<u8> = alloc::vec![0; len];
        let base = NonNull::new(memory.as_mut_ptr()).expect("allocated");
        // SAFETY: the vector goes with the pool and its buffer stays where it is; nobody else refers to it.
        Arc::new(unsafe { Pool::new(base, len, Box::new(memory)) })
    }

    #[test]
    fn grants_do_not_overlap_and_come_back() {
        let pool = pool(64 * 16);
        let mut grants: Vec<_> =
            [16 * 60, 17, 16, 1].iter().map(|len| pool.take(*len).expect("there is room")).collect();
        assert!(pool.take(0).is_none(), "60 parts, two, one, and the last");
        for (number, grant) in grants.iter_mut().enumerate() {
            let len = grant.output().remaining();
            assert_eq!(grant.output().write(&alloc::vec![number as u8 + 1; len]), len);
        }
        for (number, (grant, len)) in grants.iter().zip([16 * 60, 17, 16, 1]).enumerate() {
            let mut bytes = alloc::vec![0; len];
            assert_eq!(grant.input().read(&mut bytes), len);
            assert!(bytes.iter().all(|byte| *byte == number as u8 + 1), "nobody else wrote there");
        }
        drop(grants.remove(1));
        assert!(pool.take(3 * 16).is_none() && pool.take(2 * 16).is_some());
        drop(grants);
        assert!(pool.take(64 * 16).is_some() && pool.take(64 * 16 + 1).is_none());
    }

    #[test]
    fn what_does_not_lie_in_the_pool_is_neither_found_nor_lent() {
        let pool = pool(1000);
        let at = |offset: usize| pool.base.as_ptr().wrapping_add(offset).cast_const();
        for (offset, len, inside) in
            [(0, 1000, true), (1000, 0, true), (999, 1, true), (999, 2, false), (1001, 0, false), (0, 1001, false)]
        {
            assert_eq!(pool.find(at(offset), len), inside.then_some(offset as u64), "{offset}, {len}");
            assert_eq!(pool.lend(offset as u64, len).is_some(), inside, "{offset}, {len}");
        }
        assert_eq!(pool.find(at(0).wrapping_sub(1), 1), None);
        for (offset, len) in [(u64::MAX, 1), (u64::MAX, usize::MAX), (1, usize::MAX), (u64::MAX - 1, 2)] {
            assert!(pool.lend(offset, len).is_none(), "{offset}, {len}");
        }
        let (input, output) = pool.lend(10, 20).expect("inside");
        assert_eq!((input.remaining(), output.remaining()), (20, 20));
        assert_eq!(pool.find(input.as_raw().0, 20), Some(10));
    }
}
