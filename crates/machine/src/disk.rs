//! The disk: memory that outlives every kernel and that only its driver's domain maps.
//!
//! What is stored is what the host's memory holds: there is no cache, so nothing is lost when a domain dies, and what a
//! write did before it died stays. Two copies of one range at the same time give bytes of either, as a real disk may.

use std::io;

use kd_api::module::Medium;
use kd_api::{InBuf, OutBuf, Result};

use crate::memory::{Mapping, Memory};

/// A disk as its driver's domain sees it.
#[derive(Debug)]
pub struct DiskMedium {
    mapping: Mapping,
}

impl DiskMedium {
    /// Maps a disk wherever the host likes.
    pub fn map(disk: &Memory) -> io::Result<DiskMedium> {
        Ok(DiskMedium { mapping: disk.map()? })
    }

    /// Maps a disk at `address`; an error if anything is mapped there already.
    pub fn map_at(disk: &Memory, address: usize) -> io::Result<DiskMedium> {
        Ok(DiskMedium { mapping: disk.map_at(address)? })
    }

    /// Where it is mapped: address and bytes.
    pub fn memory(&self) -> (usize, usize) {
        self.mapping.range()
    }

    /// Where byte `offset` lies and how many bytes follow it; nothing follows beyond the end.
    fn range(&self, offset: u64) -> (*mut u8, usize) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(self.mapping.size());
        // SAFETY: `offset` is at most the mapping's size, so this stays within it or one past its end.
        (unsafe { self.mapping.start().as_ptr().add(offset) }, self.mapping.size() - offset)
    }
}

impl Medium for DiskMedium {
    fn size(&self) -> u64 {
        self.mapping.size() as u64
    }

    fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let (at, len) = self.range(offset);
        // SAFETY: `len` bytes are mapped from `at` on; no Rust reference into a disk is ever made, by anyone, so no
        // buffer overlaps it and others reach it by copying alone.
        Ok(unsafe { out.write_raw(at, len) })
    }

    fn write(&self, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        let (at, len) = self.range(offset);
        // SAFETY: as for `read`; the mapping is writable.
        Ok(unsafe { data.read_raw(at, len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(medium: &DiskMedium, offset: u64, len: usize) -> Vec<u8> {
        let mut room = vec![0xEE; len];
        let count = medium.read(offset, &mut OutBuf::new(&mut room)).expect("memory has no errors");
        room.truncate(count);
        room
    }

    #[test]
    fn what_one_kernel_wrote_the_next_one_finds() {
        let disk = Memory::new("test", 8192).expect("memory");
        let first = DiskMedium::map(&disk).expect("mapped");
        assert_eq!(first.size(), 8192);
        assert_eq!(first.write(4094, &mut InBuf::new(b"abcd")), Ok(4));
        drop(first);
        let second = DiskMedium::map(&disk).expect("mapped");
        assert_eq!(read(&second, 4093, 6), b"\0abcd\0");
    }

    #[test]
    fn nothing_is_read_or_written_beyond_the_end() {
        let disk = Memory::new("test", 4096).expect("memory");
        let medium = DiskMedium::map(&disk).expect("mapped");
        assert_eq!(medium.write(4095, &mut InBuf::new(b"abcd")), Ok(1));
        assert_eq!(read(&medium, 4095, 4), b"a");
        for offset in [4096, 4097, u64::MAX] {
            assert_eq!(read(&medium, offset, 4), b"");
            assert_eq!(medium.write(offset, &mut InBuf::new(b"x")), Ok(0));
        }
    }
}
