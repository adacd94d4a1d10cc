//! Pipes whose bytes outlive their server: they lie in its store, with an account of each pipe.
//!
//! A pipe's account says who has an end of it, how many bytes ever went in and out, and what the bytes in it sum up to. It
//! stands there twice, and its seal says which of the two is the right one: so a server may die between any two stores, and
//! the account is the old one or the new. Bytes are written before the account that counts them and beyond those of the old
//! one, which makes a call happen wholly or not at all.
//!
//! A successor believes an account whose seal fits, that makes sense, and whose sum the bytes have; any other pipe is gone.
//! As with [`records`](crate::records), that takes faults for noise and no more.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use kd_api::interfaces::pipe::PIPE_CAPACITY;
use kd_api::{InBuf, OutBuf, Store};
use kd_sync::Mutex;

use crate::records::seal;

/// Pipes that find room; further ones are not kept.
pub const PLACES: usize = 64;
/// Words before a pipe's bytes: the seal, and the account twice.
const HEAD: usize = 16;
const ACCOUNT: usize = 5;
/// Words of bytes. A word goes when all of its bytes are read, so one more than the bytes fill may be in use.
const BYTES: usize = PIPE_CAPACITY / 8 + 1;
const PLACE: usize = HEAD + BYTES;
/// Words of the store.
pub const STORE: usize = PLACES * PLACE;

/// Bytes that are copied at once.
const PIECE: usize = 512;

/// The places of a store.
pub struct Kept {
    store: Store,
    free: Mutex<Vec<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    id: u64,
    readers: u32,
    writers: u32,
    /// Bytes that ever went out and in. Byte `n` lies in word `n / 8`, the unused end of the last word is zero.
    taken: u64,
    written: u64,
    sum: u64,
}

/// One pipe's bytes and account; erased when it is dropped.
pub struct Place {
    of: Arc<Kept>,
    number: usize,
    account: Account,
    /// Which of the two accounts in the store is the right one.
    which: usize,
}

/// A pipe that a predecessor left.
pub struct Found {
    pub id: u64,
    pub readers: u32,
    pub writers: u32,
    pub place: Place,
}

/// What the `index`-th word adds to the sum: an odd multiple, so that another word adds something else, and the same one does
/// at another place. Nothing for a word of zeros, which is what is not written yet.
fn share(index: u64, word: u64) -> u64 {
    word.wrapping_mul(index << 1 | 1)
}

impl Account {
    fn words(&self) -> [u64; ACCOUNT] {
        let Account { id, readers, writers, taken, written, sum } = *self;
        [id, u64::from(readers) | u64::from(writers) << 32, taken, written, sum]
    }

    fn of([id, ends, taken, written, sum]: [u64; ACCOUNT]) -> Account {
        Account { id, readers: ends as u32, writers: (ends >> 32) as u32, taken, written, sum }
    }

    fn makes_sense(&self) -> bool {
        let len = self.written.checked_sub(self.taken);
        len.is_some_and(|len| len <= PIPE_CAPACITY as u64) && (self.readers > 0 || self.writers > 0)
    }

    /// The seal of the account in one of the two places: its lowest bit says in which.
    fn seal(&self, number: usize, which: usize) -> u64 {
        seal(number, &self.words()) & !1 | which as u64
    }
}

impl Kept {
    /// Opens a store: its places, and the pipes in it that can be believed.
    pub fn open(store: Store) -> (Arc<Kept>, Vec<Found>) {
        let places = store.len() / PLACE;
        let kept = Arc::new(Kept { store, free: Mutex::new(Vec::new()) });
        let mut found = Vec::new();
        for number in 0..places {
            match kept.restore(number) {
                Some(place) => {
                    let Account { id, readers, writers, .. } = place.account;
                    found.push(Found { id, readers, writers, place });
                }
                None => kept.erase(number),
            }
        }
        // The first place is used first.
        kept.free.lock().reverse();
        (kept, found)
    }

    /// A place for a new pipe with one reader and one writer; `None` when all are taken.
    pub fn make(self: &Arc<Kept>, id: u64) -> Option<Place> {
        let number = self.free.lock().pop()?;
        let account = Account { id, readers: 1, writers: 1, taken: 0, written: 0, sum: 0 };
        let mut place = Place { of: self.clone(), number, account, which: 0 };
        place.commit();
        Some(place)
    }

    fn word(&self, number: usize, word: usize) -> &'static AtomicU64 {
        &self.store[number * PLACE + word]
    }

    fn erase(&self, number: usize) {
        self.word(number, 0).store(0, Release);
        self.free.lock().push(number);
    }

    fn restore(self: &Arc<Kept>, number: usize) -> Option<Place> {
        let sealed = self.word(number, 0).load(Acquire);
        let which = (sealed & 1) as usize;
        let account = core::array::from_fn(|i| self.word(number, 1 + which * ACCOUNT + i).load(Relaxed));
        let account = Account::of(account);
        if sealed != account.seal(number, which) || !account.makes_sense() {
            return None;
        }
        let place = Place { of: self.clone(), number, account, which };
        place.cut_tail();
        match place.sum() == account.sum {
            true => Some(place),
            false => {
                // Not by its drop, which would hand it out twice.
                core::mem::forget(place);
                None
            }
        }
    }
}

impl Place {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        (self.account.written - self.account.taken) as usize
    }

    /// Puts in as much as fits, for the next account.
    pub fn fill(&mut self, data: &mut InBuf<'_>) -> usize {
        let count = data.remaining().min(PIPE_CAPACITY - self.len());
        let mut piece = [0; PIECE];
        let mut left = count;
        while left > 0 {
            let moved = data.read(&mut piece[..left.min(PIECE)]);
            self.put(&piece[..moved]);
            left -= moved;
        }
        count
    }

    /// Takes out as much as there is room for, for the next account.
    pub fn drain(&mut self, out: &mut OutBuf<'_>) -> usize {
        let count = out.remaining().min(self.len());
        let mut piece = [0; PIECE];
        let mut left = count;
        while left > 0 {
            let bytes = &mut piece[..left.min(PIECE)];
            self.take(bytes);
            out.write(bytes);
            left -= bytes.len();
        }
        count
    }

    /// From here on it is as it was left, and has so many ends.
    pub fn note(&mut self, readers: u32, writers: u32) {
        (self.account.readers, self.account.writers) = (readers, writers);
        self.which = 1 - self.which;
        self.commit();
    }

    fn commit(&mut self) {
        for (i, word) in self.account.words().into_iter().enumerate() {
            self.of.word(self.number, 1 + self.which * ACCOUNT + i).store(word, Relaxed);
        }
        self.of.word(self.number, 0).store(self.account.seal(self.number, self.which), Release);
    }

    fn word(&self, index: u64) -> &'static AtomicU64 {
        self.of.word(self.number, HEAD + (index % BYTES as u64) as usize)
    }

    /// Up to `count` words from the `index`-th on, as far as they follow each other in the store.
    fn run(&self, index: u64, count: usize) -> &'static [AtomicU64] {
        let first = (index % BYTES as u64) as usize;
        let at = self.number * PLACE + HEAD + first;
        &self.of.store[at..at + count.min(BYTES - first)]
    }

    fn put(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Account { written, mut sum, .. } = self.account;
            let (index, offset) = (written / 8, (written % 8) as usize);
            let (now, later) = if offset == 0 && bytes.len() >= 8 {
                let run = self.run(index, bytes.len() / 8);
                let (now, later) = bytes.split_at(8 * run.len());
                for ((at, word), bytes) in (index..).zip(run).zip(now.chunks_exact(8)) {
                    let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                    word.store(value, Relaxed);
                    sum = sum.wrapping_add(share(at, value));
                }
                (now, later)
            } else {
                let (now, later) = bytes.split_at(bytes.len().min(8 - offset));
                let before = if offset == 0 { 0 } else { self.word(index).load(Relaxed) };
                let value = now.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
                let value = before | value << (8 * offset);
                self.word(index).store(value, Relaxed);
                sum = sum.wrapping_sub(share(index, before)).wrapping_add(share(index, value));
                (now, later)
            };
            (self.account.written, self.account.sum) = (written + now.len() as u64, sum);
            bytes = later;
        }
    }

    fn take(&mut self, mut to: &mut [u8]) {
        while !to.is_empty() {
            let Account { taken, mut sum, .. } = self.account;
            let (index, offset) = (taken / 8, (taken % 8) as usize);
            let room = core::mem::take(&mut to);
            let count = if offset == 0 && room.len() >= 8 {
                let run = self.run(index, room.len() / 8);
                for ((at, word), bytes) in (index..).zip(run).zip(room.chunks_exact_mut(8)) {
                    let value = word.load(Relaxed);
                    bytes.copy_from_slice(&value.to_le_bytes());
                    sum = sum.wrapping_sub(share(at, value));
                }
                8 * run.len()
            } else {
                let count = room.len().min(8 - offset);
                let value = self.word(index).load(Relaxed);
                room[..count].copy_from_slice(&value.to_le_bytes()[offset..offset + count]);
                if offset + count == 8 {
                    sum = sum.wrapping_sub(share(index, value));
                }
                count
            };
            (self.account.taken, self.account.sum) = (taken + count as u64, sum);
            to = &mut room[count..];
        }
    }

    /// Forgets what was written behind the account's end.
    fn cut_tail(&self) {
        let (index, used) = (self.account.written / 8, self.account.written % 8);
        if used > 0 {
            let word = self.word(index);
            word.store(word.load(Relaxed) & ((1 << (8 * used)) - 1), Relaxed);
        }
    }

    /// What its bytes sum up to.
    fn sum(&self) -> u64 {
        let words = self.account.taken / 8..self.account.written.div_ceil(8);
        words.fold(0, |sum, index| sum.wrapping_add(share(index, self.word(index).load(Relaxed))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.erase(self.number);
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;

    use super::*;

    fn store(places: usize) -> Store {
        Box::leak((0..places * PLACE).map(|_| AtomicU64::new(0)).collect())
    }

    /// What a successor finds in the first pipe, without changing more than a successor does.
    fn found(store: Store) -> Option<(u64, u32, u32, Vec<u8>)> {
        let mut one = Kept::open(store).1.pop()?;
        let mut bytes = vec![0; one.place.len()];
        one.place.take(&mut bytes);
        core::mem::forget(one.place);
        Some((one.id, one.readers, one.writers, bytes))
    }

    fn bytes(from: usize, len: usize) -> Vec<u8> {
        (from..from + len).map(|i| (i * 7 % 251) as u8).collect()
    }

    #[test]
    fn a_successor_finds_every_byte_in_order_over_wraps() {
        let store = store(1);
        let mut place = Kept::open(store).0.make(5).expect("there is room");
        let (mut put, mut got) = (0, 0);
        for step in [1, 6, 1, 8, 4095, 3, 30_000, 9, 40_000, 65_536, 7, 65_530] {
            let data = bytes(put, step);
            put += place.fill(&mut InBuf::new(&data));
            place.note(1, 2);
            assert_eq!(found(store), Some((5, 1, 2, bytes(got, put - got))), "after {step} more");
            let mut out = vec![0; step / 2 + 3];
            let count = place.drain(&mut OutBuf::new(&mut out));
            assert_eq!(out[..count], bytes(got, count));
            got += count;
            place.note(3, 0);
            assert_eq!(found(store), Some((5, 3, 0, bytes(got, put - got))));
        }
        drop(place);
        assert_eq!(found(store), None);
    }

    /// Whatever was stored of a call when the end came: the pipe is as before it or as after it.
    #[test]
    fn an_end_between_two_stores_leaves_a_call_undone_or_done() {
        let snapshot = |store: Store| store.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
        let store = store(1);
        let mut place = Kept::open(store).0.make(5).expect("there is room");
        place.put(&bytes(0, 13));
        place.note(1, 1);
        let before = snapshot(store);
        place.put(&bytes(13, 30));
        place.note(1, 1);
        let after = snapshot(store);
        let changed: Vec<usize> = (0..after.len()).filter(|&at| at > 0 && before[at] != after[at]).collect();
        for end in 0..=changed.len() {
            (0..after.len()).for_each(|at| store[at].store(before[at], Relaxed));
            // Bytes first, the account then, its seal last.
            changed.iter().rev().take(end).for_each(|&at| store[at].store(after[at], Relaxed));
            assert_eq!(found(store).map(|found| found.3), Some(bytes(0, 13)), "{end} of {}", changed.len());
        }
        (0..after.len()).for_each(|at| store[at].store(after[at], Relaxed));
        assert_eq!(found(store).map(|found| found.3), Some(bytes(0, 43)));
    }

    #[test]
    fn a_pipe_that_is_spoiled_is_gone_and_its_neighbour_is_not() {
        let fresh = || {
            let store = store(2);
            let (kept, _) = Kept::open(store);
            for id in [1, 2] {
                let mut place = kept.make(id).expect("there is room");
                place.put(&bytes(0, 21));
                place.take(&mut [0; 9]);
                place.note(1, 1);
                core::mem::forget(place);
            }
            store
        };
        let ids = |store| Kept::open(store).1.iter().map(|found| found.id).collect::<Vec<_>>();
        assert_eq!(ids(fresh()), [1, 2]);
        // The seal, the account that it speaks of, and the words that hold bytes still; the last one's unused end is no byte.
        for word in [0].into_iter().chain(1 + ACCOUNT..1 + 2 * ACCOUNT).chain([HEAD + 1, HEAD + 2]) {
            for flip in [1, 1 << 17, 1 << 39] {
                let store = fresh();
                store[word].fetch_xor(flip, Relaxed);
                assert_eq!(ids(store), [2], "word {word}, {flip:#x}");
                // Its place is free again.
                assert!(Kept::open(store).0.make(9).is_some());
            }
        }
    }

    #[test]
    fn there_are_so_many_places_and_no_more() {
        let (kept, _) = Kept::open(store(2));
        let [one, two] = [1, 2].map(|id| kept.make(id).expect("there is room"));
        assert!(kept.make(3).is_none());
        drop(one);
        assert_eq!(kept.make(3).map(|place| place.number), Some(0));
        drop(two);
    }
}
