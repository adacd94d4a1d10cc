//! Vectored requests: several blocks of one file or device in one call, in the spirit of `readv(2)` and `lio_listio(3)`.
//!
//! All blocks are of one size and may lie anywhere; their bytes follow each other in the call's one buffer, so that a
//! message carries them all. The call answers as if each block had been asked for in turn, until one falls short or
//! fails: with the bytes up to there, and with an error only if there are none. Who is told less than all asks again from
//! there, and learns why. Blocks behind that one may have been moved as well: a device with a queue has them all in it
//! at once, and they complete in any order.

use crate::wire::{Decoder, Encoder, Wire, get_struct, put_struct};
use crate::{Errno, Result};

/// Most blocks of a request.
pub const BLOCKS_MAX: usize = 32;

/// Where the blocks of a request begin (bytes of a file, sectors of a device), and how many bytes each has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    size: u32,
    count: u32,
    at: [u64; BLOCKS_MAX],
}

impl Blocks {
    /// Blocks of `size` bytes; `EINVAL` for none, for more than [`BLOCKS_MAX`], and for what no message carries.
    pub fn new(size: usize, at: impl IntoIterator<Item = u64>) -> Result<Blocks> {
        let size = u32::try_from(size).map_err(|_| Errno::EINVAL)?;
        let mut blocks = Blocks { size, count: 0, at: [0; BLOCKS_MAX] };
        for (number, at) in at.into_iter().enumerate() {
            *blocks.at.get_mut(number).ok_or(Errno::EINVAL)? = at;
            blocks.count += 1;
        }
        if blocks.is_whole() { Ok(blocks) } else { Err(Errno::EINVAL) }
    }

    /// What [`Blocks::new`] promises: a peer need not have called it.
    fn is_whole(&self) -> bool {
        let (size, count) = (self.size as usize, self.count as usize);
        size > 0 && (1..=BLOCKS_MAX).contains(&count) && size <= crate::window::BULK / count
    }

    /// Bytes of each.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// How many there are, at least one.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of all.
    pub fn bytes(&self) -> usize {
        self.size() * self.count()
    }

    /// Where they begin, in the order of their bytes in the buffer.
    pub fn at(&self) -> &[u64] {
        &self.at[..self.count()]
    }

    /// The same blocks, up to the first that has no place, by other numbers; why it has none if it is the first of all.
    pub fn leading(&self, place: impl Fn(u64) -> Result<u64>) -> Result<Blocks> {
        let mut blocks = Blocks { count: 0, ..*self };
        for &at in self.at() {
            match place(at) {
                Ok(at) => blocks.at[blocks.count()] = at,
                Err(errno) if blocks.count == 0 => return Err(errno),
                Err(_) => break,
            }
            blocks.count += 1;
        }
        Ok(blocks)
    }

    /// Whether two of them share a byte, where `at` counts bytes: then it is open what a write would leave there.
    pub fn overlap(&self) -> bool {
        let mut sorted = self.at;
        let sorted = &mut sorted[..self.count()];
        sorted.sort_unstable();
        sorted.windows(2).any(|pair| pair[1] - pair[0] < u64::from(self.size))
    }

    /// The whole request, one block after the other: what stands for it where there is no queue.
    pub fn in_turn(&self, mut one: impl FnMut(u64) -> Result<usize>) -> Result<usize> {
        let mut done = 0;
        for &at in self.at() {
            match one(at) {
                Ok(bytes) => {
                    done += bytes;
                    if bytes < self.size() {
                        break;
                    }
                }
                Err(errno) if done == 0 || errno.is_internal() => return Err(errno),
                Err(_) => break,
            }
        }
        Ok(done)
    }
}

impl Wire for Blocks {
    const WORDS: usize = 1;
    const SPILLS: bool = true;

    fn put(&self, to: &mut Encoder<'_>) -> Result<()> {
        put_struct(&(self.size, self.count, self.at), to)
    }

    fn get(from: &mut Decoder<'_>) -> Result<Blocks> {
        let (size, count, at) = get_struct(from)?;
        let blocks = Blocks { size, count, at };
        if blocks.is_whole() { Ok(blocks) } else { Err(Errno::EBADMSG) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::window::BULK;

    #[test]
    fn a_request_is_what_one_message_carries() {
        let many = |count: u64, size| Blocks::new(size, 0..count).map(|blocks| (blocks.count(), blocks.bytes()));
        assert_eq!(many(32, 4096), Ok((32, BULK)));
        assert_eq!(many(1, BULK), Ok((1, BULK)));
        for (count, size) in
            [(0, 512), (33, 512), (32, 4097), (1, BULK + 1), (1, 0), (1, usize::MAX), (2, u32::MAX as usize)]
        {
            assert_eq!(many(count, size), Err(Errno::EINVAL), "{count} of {size}");
        }
    }

    #[test]
    fn it_ends_where_a_block_falls_short_or_fails() {
        let blocks = Blocks::new(10, [7, 8, 9]).unwrap();
        let run = |answers: [Result<usize>; 3]| {
            let mut asked = Vec::new();
            let answer = blocks.in_turn(|at| {
                asked.push(at);
                answers[asked.len() - 1]
            });
            (answer, asked.len())
        };
        assert_eq!(run([Ok(10), Ok(10), Ok(10)]), (Ok(30), 3));
        assert_eq!(run([Ok(10), Ok(3), Ok(10)]), (Ok(13), 2));
        assert_eq!(run([Ok(10), Err(Errno::EIO), Ok(10)]), (Ok(10), 2));
        assert_eq!(run([Ok(10), Err(Errno::EUNKNOWN), Ok(10)]), (Err(Errno::EUNKNOWN), 2));
        assert_eq!(run([Err(Errno::EIO), Ok(10), Ok(10)]), (Err(Errno::EIO), 1));
    }

    #[test]
    fn places_are_asked_for_up_to_the_first_that_is_none() {
        let blocks = Blocks::new(512, [0, 512, 700, 1024]).unwrap();
        let sector = |at: u64| if at.is_multiple_of(512) { Ok(at / 512) } else { Err(Errno::EINVAL) };
        assert_eq!(blocks.leading(sector).unwrap().at(), [0, 1]);
        assert_eq!(Blocks::new(512, [3, 0]).unwrap().leading(sector), Err(Errno::EINVAL));
    }

    #[test]
    fn blocks_that_touch_do_not_overlap() {
        let overlap = |at: &[u64]| Blocks::new(512, at.iter().copied()).unwrap().overlap();
        assert!(!overlap(&[1024, 0, 512]) && !overlap(&[u64::MAX, 0]) && !overlap(&[5]));
        assert!(overlap(&[1024, 0, 1024]) && overlap(&[0, 511]) && overlap(&[u64::MAX, u64::MAX - 1]));
    }
}
