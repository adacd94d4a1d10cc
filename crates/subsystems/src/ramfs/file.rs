//! The contents of a file: pages of 4 KiB by number, absent where nothing was written.
//!
//! Bytes beyond `size` within the last page are zero, so growing a file shows zeros. Overwriting and reading what is
//! there allocates nothing; a page that cannot be had is `ENOSPC`, as on tmpfs.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kd_api::{Errno, InBuf, OutBuf, Result};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Largest size, as tmpfs's: what a signed offset can say.
pub const SIZE_MAX: u64 = i64::MAX as u64;

type Page = Box<[u8; PAGE]>;

/// A file's contents.
#[derive(Default)]
pub struct Pages {
    size: u64,
    pages: BTreeMap<u64, Page>,
}

fn empty_page() -> Result<Page> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(PAGE).map_err(|_| Errno::ENOSPC)?;
    bytes.resize(PAGE, 0);
    bytes.into_boxed_slice().try_into().map_err(|_| Errno::ENOSPC)
}

/// Page number, and start and length within it, of what lies at `at`, up to `end`.
fn within(at: u64, end: u64) -> (u64, usize, usize) {
    let start = (at % PAGE as u64) as usize;
    (at / PAGE as u64, start, (end - at).min((PAGE - start) as u64) as usize)
}

impl Pages {
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages that are there.
    pub fn count(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Reads from `offset`; 0 at the end.
    pub fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> usize {
        let end = self.size.min(offset.saturating_add(out.remaining() as u64));
        let mut at = offset;
        while at < end {
            let (number, start, count) = within(at, end);
            at += count as u64;
            match self.pages.get(&number) {
                Some(page) => out.write(&page[start..start + count]),
                None => out.write_zeros(count),
            };
        }
        at.saturating_sub(offset) as usize
    }

    /// Writes at `offset`, as far as there is memory; `ENOSPC` if there is none at all, `EFBIG` at the largest size.
    pub fn write(&mut self, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() == 0 {
            return Ok(0);
        }
        if offset >= SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        let end = SIZE_MAX.min(offset.saturating_add(data.remaining() as u64));
        let mut at = offset;
        while at < end {
            let (number, start, count) = within(at, end);
            let page = match self.pages.get_mut(&number) {
                Some(page) => page,
                None => match empty_page() {
                    Ok(page) => self.pages.entry(number).or_insert(page),
                    Err(errno) if at == offset => return Err(errno),
                    Err(_) => break,
                },
            };
            at += data.read(&mut page[start..start + count]) as u64;
            self.size = self.size.max(at);
        }
        Ok((at - offset) as usize)
    }

    /// Sets the size.
    pub fn truncate(&mut self, size: u64) -> Result<()> {
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        // Also to the size it has: that gives back the room beyond it.
        if size <= self.size {
            drop(self.pages.split_off(&size.div_ceil(PAGE as u64)));
            if let Some(last) = self.pages.get_mut(&(size / PAGE as u64)) {
                last[(size % PAGE as u64) as usize..].fill(0);
            }
        }
        self.size = size;
        Ok(())
    }

    /// Makes every page from `offset` on, `bytes` far, or none: `ENOSPC`, `EFBIG`. The size grows unless `keep_size`.
    pub fn allocate(&mut self, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        let end = offset.checked_add(bytes).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let numbers = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        let missing = numbers.end.saturating_sub(numbers.start).saturating_sub(self.count());
        // Asked for at once first: a claim beyond all memory is refused before it has taken any.
        let all = usize::try_from(missing).ok().and_then(|pages| pages.checked_mul(PAGE)).ok_or(Errno::ENOSPC)?;
        Vec::<u8>::new().try_reserve_exact(all).map_err(|_| Errno::ENOSPC)?;
        let mut made = Vec::new();
        for number in numbers {
            if !self.pages.contains_key(&number) {
                let Ok(page) = empty_page() else {
                    made.iter().for_each(|number| drop(self.pages.remove(number)));
                    return Err(Errno::ENOSPC);
                };
                self.pages.insert(number, page);
                made.push(number);
            }
        }
        if !keep_size {
            self.size = self.size.max(end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn read(pages: &Pages, offset: u64, room: usize) -> Vec<u8> {
        let mut bytes = vec![0xEE; room];
        let count = pages.read(offset, &mut OutBuf::new(&mut bytes));
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn holes_and_cut_tails_read_as_zeros() {
        let mut pages = Pages::default();
        assert_eq!(pages.write(4094, &mut InBuf::new(b"abcd")), Ok(4));
        assert_eq!(pages.write(3 * 4096, &mut InBuf::new(b"z")), Ok(1));
        assert_eq!((pages.size(), pages.pages.len()), (3 * 4096 + 1, 3));
        assert_eq!(read(&pages, 4092, 8), b"\0\0abcd\0\0");
        assert_eq!(read(&pages, 3 * 4096 - 1, 100), b"\0z");
        assert_eq!(read(&pages, 3 * 4096 + 1, 100), b"");
        assert_eq!(read(&pages, u64::MAX, 100), b"");
        assert_eq!(pages.truncate(4095), Ok(()));
        assert_eq!((pages.size(), pages.pages.len()), (4095, 1));
        assert_eq!(pages.truncate(4100), Ok(()));
        assert_eq!(read(&pages, 4093, 100), b"\0a\0\0\0\0\0");
    }

    #[test]
    fn room_is_made_at_once_or_not_at_all() {
        let mut pages = Pages::default();
        assert_eq!(pages.write(5000, &mut InBuf::new(b"a")), Ok(1));
        assert_eq!(pages.allocate(4095, 2, true), Ok(()));
        assert_eq!((pages.size(), pages.count()), (5001, 2));
        assert_eq!(pages.allocate(4095, 8194, false), Ok(()));
        assert_eq!((pages.size(), pages.count()), (12_289, 4));
        assert_eq!(read(&pages, 4999, 3), b"\0a\0");
        assert_eq!(pages.allocate(0, SIZE_MAX, false), Err(Errno::ENOSPC));
        assert_eq!(pages.allocate(1, SIZE_MAX, false), Err(Errno::EFBIG));
        assert_eq!((pages.size(), pages.count()), (12_289, 4));
        assert_eq!((pages.allocate(20_000, 9000, true), pages.count()), (Ok(()), 8));
        assert_eq!((pages.truncate(12_289), pages.count()), (Ok(()), 4));
    }

    #[test]
    fn the_largest_size_is_a_wall() {
        let mut pages = Pages::default();
        assert_eq!(pages.write(SIZE_MAX - 1, &mut InBuf::new(b"ab")), Ok(1));
        assert_eq!(pages.size(), SIZE_MAX);
        assert_eq!(pages.write(SIZE_MAX, &mut InBuf::new(b"a")), Err(Errno::EFBIG));
        assert_eq!(pages.write(u64::MAX, &mut InBuf::new(b"")), Ok(0));
        assert_eq!(pages.truncate(SIZE_MAX + 1), Err(Errno::EFBIG));
    }
}
