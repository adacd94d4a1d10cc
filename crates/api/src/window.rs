//! The window of a channel slot: the memory in which strings, structures and bulk data cross.
//!
//! A peer can write it at any time, so no Rust reference to it is ever made: every access is a copy, done by an
//! instruction the compiler does not look into. What was copied is private and may be checked.
//!
//! Layout: `SPILL` bytes for strings and structures, then `BULK` bytes for an input or output buffer; of one that is
//! granted ([`crate::grant`]) its offset stands there instead, in eight bytes.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::{InBuf, OutBuf};

/// Bytes for strings and structured values: two paths of Linux's PATH_MAX.
pub const SPILL: usize = 8192;
/// Bytes of bulk data one message can carry: 32 blocks, so that one request can fill a device's queue as Linux's can.
pub const BULK: usize = 128 * 1024;
/// Bytes of a whole window.
pub const WINDOW: usize = SPILL + BULK;

/// Copies bytes that somebody else may be writing or reading at the same time.
///
/// # Safety
/// `from` is readable and `to` writable for `len` bytes for the duration of the call, and they do not overlap. Other
/// processes or threads may access either concurrently *only* through this function or from other programs: the
/// copied bytes are then an arbitrary mixture, never undefined behaviour.
#[inline]
pub unsafe fn copy_shared(to: *mut u8, from: *const u8, len: usize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller vouches for both ranges. To the compiler this is opaque machine code that may read and write
    // memory, so it can derive nothing from the values and no data race exists in the language's sense.
    unsafe {
        core::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") to => _,
            inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    for i in 0..len {
        // SAFETY: as above; relaxed atomic byte accesses race with nothing.
        unsafe {
            use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
            let byte = (*from.add(i).cast::<AtomicU8>()).load(Relaxed);
            (*to.add(i).cast::<AtomicU8>()).store(byte, Relaxed);
        }
    }
}

/// A claim on one slot's window, valid while the slot is held.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    base: NonNull<u8>,
    slot: PhantomData<&'a ()>,
}

// SAFETY: a window is a claim on memory that is only ever copied from and to; any thread may hold it.
unsafe impl Send for Window<'_> {}

impl<'a> Window<'a> {
    /// A window at `base`.
    ///
    /// # Safety
    /// `base` points to [`WINDOW`] bytes that stay mapped readable and writable for `'a` and that nobody holds a Rust
    /// reference into.
    #[inline]
    pub const unsafe fn new(base: NonNull<u8>) -> Window<'a> {
        Window { base, slot: PhantomData }
    }

    /// Where it begins.
    pub fn as_raw(&self) -> *const u8 {
        self.base.as_ptr()
    }

    /// Copies `bytes` to offset `at` of the spill area; `false` if they do not fit.
    pub fn write_spill(&self, at: usize, bytes: &[u8]) -> bool {
        if at > SPILL || bytes.len() > SPILL - at {
            return false;
        }
        // SAFETY: the range was just checked to lie in the spill area, which `new`'s contract keeps mapped; `bytes`
        // is a live slice and lies elsewhere because nobody holds a reference into a window.
        unsafe { copy_shared(self.base.as_ptr().add(at), bytes.as_ptr(), bytes.len()) }
        true
    }

    /// Fills `bytes` from offset `at` of the spill area; `false` if the range leaves it.
    pub fn read_spill(&self, at: usize, bytes: &mut [u8]) -> bool {
        if at > SPILL || bytes.len() > SPILL - at {
            return false;
        }
        // SAFETY: as in `write_spill`, with `bytes` exclusively ours.
        unsafe { copy_shared(bytes.as_mut_ptr(), self.base.as_ptr().add(at), bytes.len()) }
        true
    }

    /// The first `len` bytes of the bulk area as input; `len` is cut to [`BULK`].
    #[inline]
    pub fn input(&self, len: usize) -> InBuf<'a> {
        // SAFETY: `base + SPILL` starts `BULK` bytes that `new`'s contract keeps mapped for `'a`.
        unsafe { InBuf::shared(self.base.as_ptr().add(SPILL), len.min(BULK)) }
    }

    /// The first `len` bytes of the bulk area as room for output; `len` is cut to [`BULK`].
    #[inline]
    pub fn output(&self, len: usize) -> OutBuf<'a> {
        // SAFETY: as in `input`, writable as well.
        unsafe { OutBuf::shared(self.base.as_ptr().add(SPILL), len.min(BULK)) }
    }
}
