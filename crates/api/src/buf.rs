//! Bulk data: [`InBuf`] is read once and copied out, [`OutBuf`] is written and never read back (our `iov_iter`).
//!
//! In a direct call they are the caller's plain slices; across a boundary they are the channel's window, which the
//! peer can still write. Either way a component sees a cursor and no reference, so the same source is right for both.

use core::marker::PhantomData;

use crate::window::copy_shared;

/// Copies between private or shared memory.
///
/// # Safety
/// As [`copy_shared`]; with `shared` false nobody else accesses either range.
#[inline]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize, shared: bool) {
    if shared {
        // SAFETY: passed on.
        unsafe { copy_shared(to, from, len) }
    } else {
        // SAFETY: passed on; both private, not overlapping.
        unsafe { core::ptr::copy_nonoverlapping(from, to, len) }
    }
}

/// Bytes that a caller hands in. Reading advances a cursor: no byte is fetched twice.
pub struct InBuf<'a> {
    at: *const u8,
    left: usize,
    shared: bool,
    source: PhantomData<&'a [u8]>,
}

/// Room for bytes that a caller wants back. There is no way to read what it held.
pub struct OutBuf<'a> {
    at: *mut u8,
    left: usize,
    written: usize,
    shared: bool,
    target: PhantomData<&'a mut [u8]>,
}

// SAFETY: an `InBuf` is a `&'a [u8]`, or a claim on a window that is only copied from; both may move between threads.
unsafe impl Send for InBuf<'_> {}
// SAFETY: an `OutBuf` is a `&'a mut [u8]`, or a claim on a window that is only copied to; both may move.
unsafe impl Send for OutBuf<'_> {}

impl<'a> InBuf<'a> {
    /// The bytes of a slice.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> InBuf<'a> {
        InBuf { at: bytes.as_ptr(), left: bytes.len(), shared: false, source: PhantomData }
    }

    /// Bytes that a peer can still write.
    ///
    /// # Safety
    /// `at` is readable for `len` bytes during `'a`, and nobody holds a Rust reference into the range.
    #[inline]
    pub(crate) unsafe fn shared(at: *const u8, len: usize) -> InBuf<'a> {
        InBuf { at, left: len, shared: true, source: PhantomData }
    }

    /// Bytes not yet read.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// Copies the next bytes into `to`; returns how many: `to.len()`, or fewer at the end.
    pub fn read(&mut self, to: &mut [u8]) -> usize {
        let count = to.len().min(self.left);
        // SAFETY: `count` bytes are left at `at` by the constructors' contracts; `to` is exclusively ours.
        unsafe { self.read_raw(to.as_mut_ptr(), count) }
    }

    /// Copies the next `count` bytes (at most those left) to raw memory, such as a device's; returns how many.
    ///
    /// # Safety
    /// `to` is writable for `count` bytes and apart from this buffer; others may access it only by copying.
    pub unsafe fn read_raw(&mut self, to: *mut u8, count: usize) -> usize {
        let count = count.min(self.left);
        // SAFETY: `count` bytes are left at `at`; the caller vouches for `to`.
        unsafe {
            copy(to, self.at, count, self.shared);
            self.at = self.at.add(count);
        }
        self.left -= count;
        count
    }

    /// Splits off the next `count` bytes (at most those left) as a buffer of their own.
    pub fn split(&mut self, count: usize) -> InBuf<'a> {
        let first = InBuf { at: self.at, left: count.min(self.left), ..*self };
        self.skip(first.left);
        first
    }

    /// Passes over `count` bytes (at most those left).
    #[inline]
    pub fn skip(&mut self, count: usize) {
        let count = count.min(self.left);
        // SAFETY: stays within the range or one past its end.
        self.at = unsafe { self.at.add(count) };
        self.left -= count;
    }

    /// Where the bytes not yet read lie, and how many they are, for a host's system call; [`InBuf::skip`] what it took.
    pub fn as_raw(&self) -> (*const u8, usize) {
        (self.at, self.left)
    }

    /// Where the bytes not yet read lie, if others map that memory as well.
    #[inline]
    pub(crate) fn as_shared(&self) -> Option<(*const u8, usize)> {
        self.shared.then_some((self.at, self.left))
    }

    /// The same bytes from the same position: a client sends them again after its server was restarted.
    #[doc(hidden)]
    pub fn again(&self) -> InBuf<'a> {
        InBuf { ..*self }
    }
}

impl<'a> OutBuf<'a> {
    /// Room in a slice.
    #[inline]
    pub fn new(room: &'a mut [u8]) -> OutBuf<'a> {
        OutBuf { at: room.as_mut_ptr(), left: room.len(), written: 0, shared: false, target: PhantomData }
    }

    /// Room that a peer can read and write meanwhile.
    ///
    /// # Safety
    /// `at` is writable for `len` bytes during `'a`, and nobody holds a Rust reference into the range.
    #[inline]
    pub(crate) unsafe fn shared(at: *mut u8, len: usize) -> OutBuf<'a> {
        OutBuf { at, left: len, written: 0, shared: true, target: PhantomData }
    }

    /// Room left, in bytes.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.left
    }

    /// Bytes written so far.
    #[inline]
    pub fn written(&self) -> usize {
        self.written
    }

    /// Where the room left lies, and how much it is, for a host's system call; [`OutBuf::assume_written`] what it wrote.
    pub fn as_raw(&mut self) -> (*mut u8, usize) {
        (self.at, self.left)
    }

    /// Counts `count` bytes (at most those left) as written.
    ///
    /// # Safety
    /// They were written since [`OutBuf::as_raw`]: what lay there before must not pass for output.
    pub unsafe fn assume_written(&mut self, count: usize) {
        self.advance(count);
    }

    /// Where the room left lies, if others map that memory as well.
    #[inline]
    pub(crate) fn as_shared(&self) -> Option<(*const u8, usize)> {
        self.shared.then_some((self.at.cast_const(), self.left))
    }

    /// Counts `count` bytes (at most those left) of shared room as written, as the peer says who was granted it. If it lies,
    /// old bytes of the room pass for output: they are the owner's, and were the peer's to read anyway.
    #[inline]
    pub(crate) fn written_by_peer(&mut self, count: usize) {
        debug_assert!(self.shared, "private room is never granted");
        self.advance(count);
    }

    #[inline]
    fn advance(&mut self, count: usize) {
        let count = count.min(self.left);
        // SAFETY: stays within the room or one past its end.
        self.at = unsafe { self.at.add(count) };
        self.left -= count;
        self.written += count;
    }

    /// Appends `bytes`; returns how many fitted.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        // SAFETY: `bytes` is a live slice, and an exclusive room cannot overlap it.
        unsafe { self.write_raw(bytes.as_ptr(), bytes.len()) }
    }

    /// Appends `count` zero bytes, as a hole in a sparse file reads; returns how many fitted.
    pub fn write_zeros(&mut self, count: usize) -> usize {
        const ZEROS: [u8; 512] = [0; 512];
        let count = count.min(self.left);
        let mut left = count;
        while left > 0 {
            left -= self.write(&ZEROS[..left.min(ZEROS.len())]);
        }
        count
    }

    /// Appends up to `count` bytes of raw memory, such as a device's; returns how many fitted.
    ///
    /// # Safety
    /// `from` is readable for `count` bytes and apart from this buffer; others may write it only by copying.
    pub unsafe fn write_raw(&mut self, from: *const u8, count: usize) -> usize {
        let count = count.min(self.left);
        // SAFETY: `count` bytes of room are left at `at` by the constructors' contracts; the caller vouches for `from`.
        unsafe {
            copy(self.at, from, count, self.shared);
            self.at = self.at.add(count);
        }
        self.left -= count;
        self.written += count;
        count
    }

    /// Appends what `input` still holds, as far as it fits; returns how much. Nothing passes through a third place.
    pub fn write_from(&mut self, input: &mut InBuf<'_>) -> usize {
        let count = self.left.min(input.left);
        // SAFETY: `count` bytes are left on either side; an input and an output are never made over the same range by
        // one holder, and across a boundary both are copied by the shared way.
        unsafe {
            copy(self.at, input.at, count, self.shared || input.shared);
            self.at = self.at.add(count);
        }
        self.left -= count;
        self.written += count;
        input.skip(count);
        count
    }

    /// Lends the next `count` bytes of room (at most those left) to `fill`, then counts what it wrote as written here.
    pub fn with_part<R>(&mut self, count: usize, fill: impl FnOnce(&mut OutBuf<'_>) -> R) -> R {
        let mut part =
            OutBuf { at: self.at, left: count.min(self.left), written: 0, shared: self.shared, target: PhantomData };
        let result = fill(&mut part);
        let wrote = part.written;
        self.advance(wrote);
        result
    }
}
