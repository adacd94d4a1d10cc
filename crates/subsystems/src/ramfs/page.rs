//! A page of a file: in the heap, or in a frame of the store, where it outlives its server.
//!
//! A frame's account has what its words sum up to. Before words are overwritten it says which they are, and the sum of the
//! others alone; so a page whose server died meanwhile is believed in what nobody was writing, and the call is repeated,
//! which writes the rest again. Bytes beyond the end of the file are zero; where a server died before they were, its
//! successor clears them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::{Errno, InBuf, Ino, OutBuf, Result};

use super::file::PAGE;
use super::kept::{FrameAccount, Kept, PAGE_WORDS};
use crate::sum::Sum;

/// Bytes that are copied at once.
const PIECE: usize = 512;

/// A page.
pub enum Page {
    /// It goes with its server.
    Heap(Box<[u8; PAGE]>),
    /// It does not. Boxed, so that the other kind is no larger for it.
    Kept(Box<Frame>),
}

/// A page in the store.
pub struct Frame {
    account: FrameAccount,
    words: &'static [AtomicU64],
    ino: Ino,
    number: u64,
    sum: u64,
    /// What it says is not what was written: it can be overwritten as a whole, and not be read.
    spoiled: bool,
}

impl Page {
    /// One of zeros, in the store if there is one; `ENOSPC`.
    pub fn new(kept: Option<&Arc<Kept>>, ino: Ino, number: u64) -> Result<Page> {
        match kept {
            Some(kept) => Ok(Page::Kept(Box::new(Frame::new(kept, ino, number)?))),
            None => {
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(PAGE).map_err(|_| Errno::ENOSPC)?;
                bytes.resize(PAGE, 0);
                Ok(Page::Heap(bytes.into_boxed_slice().try_into().map_err(|_| Errno::ENOSPC)?))
            }
        }
    }

    /// Reads these bytes; `EIO` if they are spoiled.
    pub fn read(&self, bytes: Range<usize>, out: &mut OutBuf<'_>) -> Result<()> {
        match self {
            Page::Heap(page) => {
                out.write(&page[bytes]);
                Ok(())
            }
            Page::Kept(frame) => frame.read(bytes, out),
        }
    }

    /// Writes these bytes, of which there must be so many; `EIO` if others are spoiled.
    pub fn write(&mut self, bytes: Range<usize>, data: &mut InBuf<'_>) -> Result<()> {
        let mut fill = |to: &mut [u8]| {
            data.read(to);
        };
        match self {
            Page::Heap(page) => fill(&mut page[bytes]),
            Page::Kept(frame) => frame.write(bytes, fill)?,
        }
        Ok(())
    }

    /// Makes everything from here on zero.
    pub fn clear(&mut self, from: usize) {
        match self {
            Page::Heap(page) => page[from..].fill(0),
            // One that is spoiled stays so.
            Page::Kept(frame) => frame.write(from..PAGE, |to| to.fill(0)).unwrap_or_default(),
        }
    }
}

impl Frame {
    fn new(kept: &Kept, ino: Ino, number: u64) -> Result<Frame> {
        let account = kept.frame()?;
        let words = kept.data(&account);
        words.iter().for_each(|word| word.store(0, Relaxed));
        let mut frame = Frame { account, words, ino, number, sum: 0, spoiled: false };
        frame.note(0..0, 0);
        Ok(frame)
    }

    /// Whose a page is that a predecessor left, and which.
    pub fn owner(words: [u64; 4]) -> (Ino, u64) {
        (Ino(words[0]), words[1])
    }

    /// One that a predecessor left, in a file that ends `end` bytes after its beginning.
    pub fn restore(kept: &Kept, account: FrameAccount, found: [u64; 4], end: usize) -> Frame {
        let (ino, number) = Frame::owner(found);
        let words = kept.data(&account);
        let mut frame = Frame { account, words, ino, number, sum: found[2], spoiled: false };
        let writing = (found[3] as u32 as usize).min(PAGE_WORDS)..((found[3] >> 32) as usize).min(PAGE_WORDS);
        let all = frame.sum_of(0..PAGE_WORDS);
        if all.wrapping_sub(frame.sum_of(writing.clone())) != frame.sum {
            frame.spoiled = true;
            return frame;
        }
        frame.sum = all;
        if !writing.is_empty() {
            frame.note(0..0, all);
        }
        if end < PAGE && !frame.is_clear(end) {
            frame.write(end..PAGE, |to| to.fill(0)).unwrap_or_default();
        }
        frame
    }

    /// Whether it is not what was written.
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Its first bytes as what a symbolic link says; `None` if they cannot be that.
    pub fn into_target(self, len: u64) -> Option<(Box<str>, Page)> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(usize::try_from(len).ok().filter(|len| !self.spoiled && (1..=PATH_MAX).contains(len))?);
        Some((String::from_utf8(bytes).ok()?.into(), Page::Kept(Box::new(self))))
    }

    fn note(&mut self, writing: Range<usize>, sum: u64) {
        let writing = writing.start as u64 | (writing.end as u64) << 32;
        self.account.set(&[self.ino.0, self.number, sum, writing]);
    }

    fn sum_of(&self, words: Range<usize>) -> u64 {
        let mut sum = Sum::default();
        self.words[words.clone()].iter().for_each(|word| sum.add(word.load(Relaxed)));
        sum.from(words.start)
    }

    fn is_clear(&self, from: usize) -> bool {
        let within = self.words[from / 8].load(Relaxed) >> (8 * (from % 8));
        within == 0 && self.words[from / 8 + 1..].iter().all(|word| word.load(Relaxed) == 0)
    }

    fn read(&self, bytes: Range<usize>, out: &mut OutBuf<'_>) -> Result<()> {
        if self.spoiled {
            return Err(Errno::EIO);
        }
        let mut at = bytes.start;
        while at < bytes.end {
            let (first, skip) = (at / 8, at % 8);
            let count = (bytes.end - at).min(PIECE - skip);
            let mut piece = [0; PIECE];
            for (bytes, word) in piece.as_chunks_mut().0.iter_mut().zip(&self.words[first..(at + count).div_ceil(8)]) {
                *bytes = word.load(Relaxed).to_le_bytes();
            }
            out.write(&piece[skip..skip + count]);
            at += count;
        }
        Ok(())
    }

    fn write(&mut self, bytes: Range<usize>, mut fill: impl FnMut(&mut [u8])) -> Result<()> {
        let writing = bytes.start / 8..bytes.end.div_ceil(8);
        let whole = bytes == (0..PAGE);
        if self.spoiled && !whole {
            return Err(Errno::EIO);
        }
        let mut rest = if whole { 0 } else { self.sum.wrapping_sub(self.sum_of(writing.clone())) };
        self.note(writing, rest);
        let mut at = bytes.start;
        while at < bytes.end {
            let (first, skip) = (at / 8, at % 8);
            let count = (bytes.end - at).min(PIECE - skip);
            let words = &self.words[first..(at + count).div_ceil(8)];
            let mut piece = [0; PIECE];
            // The words at both ends keep what is not written.
            for edge in [0, words.len() - 1] {
                piece[8 * edge..][..8].copy_from_slice(&words[edge].load(Relaxed).to_le_bytes());
            }
            fill(&mut piece[skip..skip + count]);
            let mut sum = Sum::default();
            for (word, bytes) in words.iter().zip(piece.as_chunks().0) {
                let value = u64::from_le_bytes(*bytes);
                word.store(value, Relaxed);
                sum.add(value);
            }
            rest = rest.wrapping_add(sum.from(first));
            at += count;
        }
        (self.sum, self.spoiled) = (rest, false);
        self.note(0..0, rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::mem::forget;
    use core::sync::atomic::AtomicU64;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::ramfs::kept::{parts, words};

    const PARTS: [usize; 6] = parts(1, 1);

    /// A page whose server dies when it has written so many pieces of one byte; what the successor has.
    fn dies(bytes: Range<usize>, pieces: usize, spoilt: Option<usize>) -> Frame {
        let store = Box::leak((0..words(PARTS)).map(|_| AtomicU64::new(0)).collect());
        let kept = Kept::open_parts(store, PARTS).kept;
        let mut frame = Frame::new(&kept, Ino(2), 0).expect("there is room");
        frame.write(0..PAGE, |to| to.fill(1)).expect("nothing is spoiled");
        let mut left = pieces;
        let died = catch_unwind(AssertUnwindSafe(|| {
            frame.write(bytes, |to| {
                left = left.checked_sub(1).expect("dies here");
                to.fill(2);
            })
        }));
        assert!(died.is_err());
        spoilt.into_iter().for_each(|word| frame.words[word].store(5, Relaxed));
        forget((frame, kept));
        let found = Kept::open_parts(store, PARTS);
        let (account, words) = found.frames.found.into_iter().next().expect("it is there");
        Frame::restore(&found.kept, account, words, PAGE)
    }

    fn read(frame: &Frame) -> Result<Vec<u8>> {
        let mut bytes = alloc::vec![0; PAGE];
        frame.read(0..PAGE, &mut OutBuf::new(&mut bytes)).map(|()| bytes)
    }

    #[test]
    fn a_page_that_was_being_written_is_believed_in_all_else() {
        let mut left = alloc::vec![1; PAGE];
        assert_eq!(read(&dies(100..3000, 0, None)), Ok(left.clone()));
        // The first piece ends where a word does.
        left[100..96 + PIECE].fill(2);
        assert_eq!(read(&dies(100..3000, 1, None)), Ok(left.clone()));
        assert_eq!(read(&dies(100..3000, 1, Some(3000 / 8 + 1))), Err(Errno::EIO), "nobody was writing there");
        assert_eq!(read(&dies(100..3000, 1, Some(100 / 8 - 1))), Err(Errno::EIO));
        // The call comes again.
        let mut frame = dies(100..3000, 1, Some(200));
        assert_eq!(frame.write(100..3000, |to| to.fill(2)), Ok(()));
        left[100..3000].fill(2);
        assert_eq!(read(&frame), Ok(left));
    }
}
