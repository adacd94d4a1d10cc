//! Shared memory without a name: a memfd, mapped where it is wanted, gone when nobody holds it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

/// A memory object of fixed size.
#[derive(Debug)]
pub struct Memory {
    fd: OwnedFd,
    /// Where it begins in what the descriptor stands for: 0 but for a [part](Memory::part).
    offset: usize,
    size: usize,
}

/// A mapping of a [`Memory`] (or of a part of it); unmapped when dropped.
#[derive(Debug)]
pub struct Mapping {
    at: NonNull<u8>,
    size: usize,
    /// Bytes on either side that nobody may touch.
    guard: usize,
}

/// A page, which guards a mapping on either side.
const GUARD: usize = 4096;

// SAFETY: a mapping is an address range; what is done with the bytes is the concern of whoever makes pointers into it.
unsafe impl Send for Mapping {}
// SAFETY: as above: sharing the range itself accesses nothing.
unsafe impl Sync for Mapping {}

impl Memory {
    /// `size` zero bytes, named in `/proc/<pid>/maps` for people who look.
    pub fn new(name: &str, size: usize) -> io::Result<Memory> {
        let name = std::ffi::CString::new(name)?;
        // SAFETY: a valid C string; the result is checked.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        File::from(fd.try_clone()?).set_len(size as u64)?;
        Ok(Memory { fd, offset: 0, size })
    }

    /// The memory object behind a descriptor received from another process.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Memory> {
        let size = File::from(fd.try_clone()?).metadata()?.len() as usize;
        Ok(Memory { fd, offset: 0, size })
    }

    /// Bytes it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The `size` bytes at `offset`, which must be a page's, as a memory object that shares them.
    pub fn part(&self, offset: usize, size: usize) -> io::Result<Memory> {
        if offset.checked_add(size).is_none_or(|end| end > self.size) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a part must lie within its whole"));
        }
        Ok(Memory { fd: self.fd.try_clone()?, offset: self.offset + offset, size })
    }

    /// Makes all of it zeros, and gives the host back what it took.
    pub fn clear(&self) -> io::Result<()> {
        let how = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: plain system call on our own descriptor; who maps the bytes reads zeros from then on.
        match unsafe { libc::fallocate(self.fd.as_raw_fd(), how, self.offset as i64, self.size as i64) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The descriptor, of the whole.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Maps all of it, readable and writable, wherever the host likes, between two pages that nobody may touch: the host puts
    /// mappings side by side, and who runs over the end of what it shares with one must not write what it shares with another.
    pub fn map(&self) -> io::Result<Mapping> {
        let mut all = reserve(self.size.next_multiple_of(GUARD) + 2 * GUARD)?;
        // SAFETY: a guard's size into a mapping that has two of them.
        let at = unsafe { all.at.add(GUARD) };
        let flags = libc::MAP_SHARED | libc::MAP_FIXED;
        // SAFETY: it replaces pages of the mapping above, which nobody uses yet.
        let inner = unsafe { map(at.as_ptr().cast(), self.size, flags, self.fd.as_raw_fd(), self.offset)? };
        // Both go with one of the two.
        std::mem::forget(inner);
        (all.at, all.size, all.guard) = (at, self.size, GUARD);
        Ok(all)
    }

    /// Maps all of it at `address`; an error if anything is mapped there already.
    pub fn map_at(&self, address: usize) -> io::Result<Mapping> {
        // SAFETY: MAP_FIXED_NOREPLACE replaces no mapping.
        unsafe {
            map(
                address as *mut _,
                self.size,
                libc::MAP_SHARED | libc::MAP_FIXED_NOREPLACE,
                self.fd.as_raw_fd(),
                self.offset,
            )
        }
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Private zero pages at `address`, where nothing may be mapped yet.
pub fn anonymous_at(address: usize, size: usize) -> io::Result<Mapping> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: MAP_FIXED_NOREPLACE replaces no mapping.
    unsafe { map(address as *mut _, size, flags, -1, 0) }
}

/// So many bytes that nobody may touch, wherever the host likes.
fn reserve(size: usize) -> io::Result<Mapping> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a null hint replaces no mapping.
    mapped(unsafe { libc::mmap(std::ptr::null_mut(), size, libc::PROT_NONE, flags, -1, 0) }, size)
}

/// # Safety
/// The flags with the address must not replace a mapping that somebody uses.
unsafe fn map(address: *mut libc::c_void, size: usize, flags: i32, fd: i32, offset: usize) -> io::Result<Mapping> {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: by this function's contract; the result is checked.
    mapped(unsafe { libc::mmap(address, size, rights, flags, fd, offset as i64) }, size)
}

fn mapped(at: *mut libc::c_void, size: usize) -> io::Result<Mapping> {
    match NonNull::new(at.cast()) {
        Some(at) if at.as_ptr() as isize != -1 => Ok(Mapping { at, size, guard: 0 }),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Mapping {
    /// Where it starts.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.at
    }

    /// Bytes it has.
    #[inline]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Both: address and bytes.
    pub fn range(&self) -> (usize, usize) {
        (self.at.as_ptr() as usize, self.size)
    }

    /// Keeps it from processes that are forked from now on.
    pub fn keep_from_children(&self) -> io::Result<()> {
        self.share_with_children(false)
    }

    /// Whether processes that are forked from now on have it.
    pub fn share_with_children(&self, share: bool) -> io::Result<()> {
        let advice = if share { libc::MADV_DOFORK } else { libc::MADV_DONTFORK };
        let (at, size) = self.whole();
        // SAFETY: exactly the range that was mapped; nothing changes in this process.
        match unsafe { libc::madvise(at, size, advice) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Never unmaps it: it lives as long as the process.
    pub fn leak(self) -> NonNull<u8> {
        let at = self.at;
        std::mem::forget(self);
        at
    }

    /// With its guards, as the host knows it.
    fn whole(&self) -> (*mut libc::c_void, usize) {
        (self.at.as_ptr().wrapping_sub(self.guard).cast(), self.size.next_multiple_of(GUARD) + 2 * self.guard)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let (at, size) = self.whole();
        // SAFETY: exactly the range that was mapped, with its guards; whoever made pointers into it vouched not to outlive it.
        unsafe { libc::munmap(at, size) };
    }
}

/// A mapping as words that several processes read and write.
#[derive(Debug)]
pub struct Words {
    mapping: Mapping,
}

impl Words {
    /// The words of a mapping; a remainder of less than a word is not used.
    pub fn new(mapping: Mapping) -> Words {
        Words { mapping }
    }

    /// Where they are mapped: address and bytes.
    pub fn memory(&self) -> (usize, usize) {
        self.mapping.range()
    }

    /// Whether processes that are forked from now on have them.
    pub fn share_with_children(&self, share: bool) -> io::Result<()> {
        self.mapping.share_with_children(share)
    }

    /// How many there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.mapping.size() / 8
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of them, for as long as the process lives.
    pub fn leak(self) -> &'static [std::sync::atomic::AtomicU64] {
        let len = self.len();
        let at = self.mapping.leak();
        // SAFETY: the mapping is never undone; it has `len` words, aligned because mappings start at pages, valid for any
        // bits, and only ever accessed atomically.
        unsafe { std::slice::from_raw_parts(at.as_ptr().cast(), len) }
    }

    /// The lower half of one of them, where 32 bits are wanted (a futex); panics beyond the end.
    #[inline]
    pub fn get_half(&self, index: usize) -> &std::sync::atomic::AtomicU32 {
        let word: *const std::sync::atomic::AtomicU64 = self.get(index);
        // SAFETY: the first four bytes of a live, aligned word; whoever uses a word by halves does so everywhere.
        unsafe { &*word.cast() }
    }

    /// One of them; panics beyond the end.
    #[inline]
    pub fn get(&self, index: usize) -> &std::sync::atomic::AtomicU64 {
        assert!(index < self.len(), "word {index} of {}", self.len());
        // SAFETY: within the mapping, aligned because mappings start at pages, valid for any bits, alive with `self`,
        // and only ever accessed atomically.
        unsafe { self.mapping.start().cast::<std::sync::atomic::AtomicU64>().add(index).as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a byte can be read: the host is asked to, and refuses where nobody may.
    fn is_readable(address: usize) -> bool {
        let (_reader, writer) = io::pipe().expect("a pipe");
        // SAFETY: the host reads the byte, or says that it cannot; no reference is made.
        unsafe { libc::write(writer.as_raw_fd(), address as *const _, 1) == 1 }
    }

    #[test]
    fn nobody_runs_over_the_end_of_a_mapping_into_another() {
        let memory = Memory::new("test", 3 * GUARD).expect("memory");
        let ends = |mapping: &Mapping| (mapping.range().0, mapping.range().0 + mapping.range().1);
        // Side by side, as the host puts them.
        let mappings: Vec<Mapping> = (0..4).map(|_| memory.map().expect("mapped")).collect();
        for (start, end) in mappings.iter().map(ends) {
            assert!(is_readable(start) && is_readable(end - 1));
            assert!(!is_readable(start - 1) && !is_readable(end));
        }
    }

    #[test]
    fn guards_go_with_what_they_guard() {
        let memory = Memory::new("test", 3 * GUARD).expect("memory");
        // More often than a process may have mappings.
        for _ in 0..70_000 {
            assert!(memory.map().is_ok());
        }
    }
}
