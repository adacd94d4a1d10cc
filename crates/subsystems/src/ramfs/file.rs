//! The contents of a file: pages of 4 KiB by number, absent where nothing was written.
//!
//! Bytes beyond `size` within the last page are zero, so growing a file shows zeros. Overwriting and reading what is
//! there allocates nothing; a page that cannot be had is `ENOSPC`, as on tmpfs.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::{Errno, InBuf, Ino, OutBuf, Result};

use super::kept::Kept;
use super::page::{Frame, Page};

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Largest size, as tmpfs's: what a signed offset can say.
pub const SIZE_MAX: u64 = i64::MAX as u64;

/// A file's contents.
pub struct Pages {
    ino: Ino,
    kept: Option<Arc<Kept>>,
    size: u64,
    pages: BTreeMap<u64, Page>,
    /// Pages that a predecessor had, and of which it cannot be said any more where they were.
    lost: u64,
}

/// What is cut off a file: to be dropped when its new size is noted.
pub type Cut = BTreeMap<u64, Page>;

/// Page number, and start and length within it, of what lies at `at`, up to `end`.
fn within(at: u64, end: u64) -> (u64, usize, usize) {
    let start = (at % PAGE as u64) as usize;
    (at / PAGE as u64, start, (end - at).min((PAGE - start) as u64) as usize)
}

impl Pages {
    /// None, of this file; in a store if there is one.
    pub fn new(ino: Ino, kept: Option<Arc<Kept>>) -> Pages {
        Pages { ino, kept, size: 0, pages: BTreeMap::new(), lost: 0 }
    }

    /// Those that a predecessor left, which had so many.
    pub fn restore(ino: Ino, kept: Arc<Kept>, size: u64, pages: BTreeMap<u64, Frame>, had: u64) -> Pages {
        let lost = had.saturating_sub(pages.len() as u64);
        let pages = pages.into_iter().map(|(number, frame)| (number, Page::Kept(Box::new(frame)))).collect();
        Pages { ino, kept: Some(kept), size, pages, lost }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Pages that are there, or should be.
    pub fn count(&self) -> u64 {
        self.pages.len() as u64 + self.lost
    }

    /// `EIO` if a hole may be none.
    fn check_hole(&self) -> Result<()> {
        if self.lost > 0 { Err(Errno::EIO) } else { Ok(()) }
    }

    /// Reads from `offset`; 0 at the end, `EIO` where the first page of it is spoiled.
    pub fn read(&self, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let end = self.size.min(offset.saturating_add(out.remaining() as u64));
        let mut at = offset;
        while at < end {
            let (number, start, count) = within(at, end);
            let read = match self.pages.get(&number) {
                Some(page) => page.read(start..start + count, out),
                None => self.check_hole().map(|()| {
                    out.write_zeros(count);
                }),
            };
            match read {
                Err(errno) if at == offset => return Err(errno),
                Err(_) => break,
                Ok(()) => at += count as u64,
            }
        }
        Ok(at.saturating_sub(offset) as usize)
    }

    /// Writes at `offset`, as far as there is memory; `ENOSPC` if there is none at all, `EFBIG` at the largest size, `EIO` where
    /// the first page of it is spoiled and some of it would stay.
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
            match self.page(number, count).and_then(|page| page.write(start..start + count, data)) {
                Err(errno) if at == offset => return Err(errno),
                Err(_) => break,
                Ok(()) => at += count as u64,
            }
        }
        self.size = self.size.max(at);
        Ok((at - offset) as usize)
    }

    /// The page with this number, of which so many bytes are to be written.
    fn page(&mut self, number: u64, bytes: usize) -> Result<&mut Page> {
        if bytes < PAGE && !self.pages.contains_key(&number) {
            self.check_hole()?;
        }
        match self.pages.entry(number) {
            Entry::Occupied(page) => Ok(page.into_mut()),
            Entry::Vacant(hole) => Ok(hole.insert(Page::new(self.kept.as_ref(), self.ino, number)?)),
        }
    }

    /// Sets the size. When that is noted, what is cut off can go, and [`clear_tail`](Pages::clear_tail) must follow.
    pub fn truncate(&mut self, size: u64) -> Result<Cut> {
        if size > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        // Also to the size it has: that gives back the room beyond it.
        let cut = if size <= self.size { self.pages.split_off(&size.div_ceil(PAGE as u64)) } else { Cut::new() };
        if size == 0 {
            self.lost = 0;
        }
        self.size = size;
        Ok(cut)
    }

    /// Makes what lies beyond the size in the last page zeros.
    pub fn clear_tail(&mut self) {
        if let Some(last) = self.pages.get_mut(&(self.size / PAGE as u64)) {
            last.clear((self.size % PAGE as u64) as usize);
        }
    }

    /// Makes every page from `offset` on, `bytes` far, or none: `ENOSPC`, `EFBIG`. The size grows unless `keep_size`.
    pub fn allocate(&mut self, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        let end = offset.checked_add(bytes).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let numbers = offset / PAGE as u64..end.div_ceil(PAGE as u64);
        let missing = numbers.end.saturating_sub(numbers.start).saturating_sub(self.count());
        // Asked for at once first: a claim beyond all memory is refused before it has taken any.
        let all = usize::try_from(missing).ok().and_then(|pages| pages.checked_mul(PAGE)).ok_or(Errno::ENOSPC)?;
        match &self.kept {
            Some(kept) if kept.room()[1].1 < missing as usize => return Err(Errno::ENOSPC),
            Some(_) => {}
            None => Vec::<u8>::new().try_reserve_exact(all).map_err(|_| Errno::ENOSPC)?,
        }
        let mut made = Vec::new();
        for number in numbers {
            if !self.pages.contains_key(&number) {
                if let Err(errno) = self.page(number, 0) {
                    made.iter().for_each(|number| drop(self.pages.remove(number)));
                    return Err(errno);
                }
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

    fn truncate(pages: &mut Pages, size: u64) -> Result<()> {
        let cut = pages.truncate(size)?;
        pages.clear_tail();
        drop(cut);
        Ok(())
    }

    fn read(pages: &Pages, offset: u64, room: usize) -> Vec<u8> {
        let mut bytes = vec![0xEE; room];
        let count = pages.read(offset, &mut OutBuf::new(&mut bytes)).expect("nothing is spoiled");
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn holes_and_cut_tails_read_as_zeros() {
        let mut pages = Pages::new(Ino(2), None);
        assert_eq!(pages.write(4094, &mut InBuf::new(b"abcd")), Ok(4));
        assert_eq!(pages.write(3 * 4096, &mut InBuf::new(b"z")), Ok(1));
        assert_eq!((pages.size(), pages.pages.len()), (3 * 4096 + 1, 3));
        assert_eq!(read(&pages, 4092, 8), b"\0\0abcd\0\0");
        assert_eq!(read(&pages, 3 * 4096 - 1, 100), b"\0z");
        assert_eq!(read(&pages, 3 * 4096 + 1, 100), b"");
        assert_eq!(read(&pages, u64::MAX, 100), b"");
        assert_eq!(truncate(&mut pages, 4095), Ok(()));
        assert_eq!((pages.size(), pages.pages.len()), (4095, 1));
        assert_eq!(truncate(&mut pages, 4100), Ok(()));
        assert_eq!(read(&pages, 4093, 100), b"\0a\0\0\0\0\0");
    }

    #[test]
    fn room_is_made_at_once_or_not_at_all() {
        let mut pages = Pages::new(Ino(2), None);
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
        assert_eq!((truncate(&mut pages, 12_289), pages.count()), (Ok(()), 4));
    }

    #[test]
    fn the_largest_size_is_a_wall() {
        let mut pages = Pages::new(Ino(2), None);
        assert_eq!(pages.write(SIZE_MAX - 1, &mut InBuf::new(b"ab")), Ok(1));
        assert_eq!(pages.size(), SIZE_MAX);
        assert_eq!(pages.write(SIZE_MAX, &mut InBuf::new(b"a")), Err(Errno::EFBIG));
        assert_eq!(pages.write(u64::MAX, &mut InBuf::new(b"")), Ok(0));
        assert_eq!(truncate(&mut pages, SIZE_MAX + 1), Err(Errno::EFBIG));
    }
}
