//! Records in a store: what a component writes down for its successor, as it goes.
//!
//! A record has three words that stay and one that moves, each under a seal. It is there from the store of its seal on until
//! that is zero again, and the moving word is its old value or its new one: so a component may die between any two stores.
//! What a dying component scribbled over has a seal that does not fit, and is dropped by whoever opens the store next.
//! That takes faults for noise: whoever wanted to could make a seal that fits.
//!
//! A line of eight words each: the seal, the words that stay, the moving word's seal, and two places for that word, of which
//! its seal says the right one. In the first line stands how many lines were ever used, so that nobody reads the others.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use kd_api::Store;
use kd_sync::Mutex;

const LINE: usize = 8;
const SEAL: usize = 0;
const STAYING: usize = 1;
const MOVING_SEAL: usize = STAYING + WORDS;
const MOVING: [usize; 2] = [5, 6];

/// Words of a record that stay.
pub const WORDS: usize = 3;
/// These.
pub type Words = [u64; WORDS];

/// Words of a store with room for so many records.
pub const fn words(records: usize) -> usize {
    (records + 1) * LINE
}

/// The records of one store.
pub struct Records {
    store: Store,
    free: Mutex<Free>,
}

struct Free {
    /// Lines that were used before.
    lines: Vec<usize>,
    /// Lines that were ever used, the first included.
    used: usize,
}

/// One record; erased when it is dropped.
pub struct Record {
    of: Arc<Records>,
    line: usize,
}

/// A record that a predecessor left.
pub struct Found {
    pub record: Record,
    pub words: Words,
    /// `None` if it is spoiled.
    pub moving: Option<u64>,
}

/// Never zero. After the finaliser of MurmurHash3.
pub fn seal(place: usize, words: &[u64]) -> u64 {
    let mixed = words.iter().fold(place as u64 ^ 0x9E37_79B9_7F4A_7C15, |hash, word| {
        let hash = (hash ^ word).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        hash ^ hash >> 33
    });
    mixed.wrapping_mul(0xC4CE_B9FE_1A85_EC53) | 1
}

/// The seal of a moving word in one of the two places: its lowest bit says in which.
fn moving_seal(of: u64, place: usize, value: u64) -> u64 {
    seal(place, &[of, value]) & !1 | place as u64
}

impl Records {
    /// Opens a store: its records, and those that are there already and make sense.
    pub fn open(store: Store) -> (Arc<Records>, Vec<Found>) {
        let lines = store.len() / LINE;
        let known = store[1].load(Relaxed);
        let used = match usize::try_from(known) {
            Ok(used) if store[SEAL].load(Acquire) == seal(0, &[known]) => used.min(lines),
            _ => lines,
        };
        // A store of zeros is new.
        let used = if store[SEAL].load(Acquire) == 0 && known == 0 { 1 } else { used.max(1) };
        let records = Arc::new(Records { store, free: Mutex::new(Free { lines: Vec::new(), used }) });
        let mut found = Vec::new();
        for line in 1..used {
            let record = Record { of: records.clone(), line };
            // One that is none, or makes no sense, is erased here.
            if let Some((words, moving)) = records.read(line) {
                found.push(Found { record, words, moving });
            }
        }
        (records, found)
    }

    /// Makes a record; `None` when the store is full.
    pub fn make(self: &Arc<Records>, words: Words, moving: u64) -> Option<Record> {
        let line = self.take()?;
        let sealed = seal(line, &words);
        words.iter().enumerate().for_each(|(i, word)| self.put(line, STAYING + i, *word));
        self.put(line, MOVING[0], moving);
        self.put(line, MOVING_SEAL, moving_seal(sealed, 0, moving));
        // From here on it is there.
        self.store[line * LINE + SEAL].store(sealed, Release);
        Some(Record { of: self.clone(), line })
    }

    fn take(&self) -> Option<usize> {
        let mut free = self.free.lock();
        if let Some(line) = free.lines.pop() {
            return Some(line);
        }
        let line = free.used;
        if (line + 1) * LINE > self.store.len() {
            return None;
        }
        free.used += 1;
        // Whoever finds one of these stores without the other reads all lines.
        self.put(0, 1, free.used as u64);
        self.store[SEAL].store(seal(0, &[free.used as u64]), Release);
        Some(line)
    }

    fn read(&self, line: usize) -> Option<(Words, Option<u64>)> {
        let sealed = self.store[line * LINE + SEAL].load(Acquire);
        let words = core::array::from_fn(|i| self.get(line, STAYING + i));
        if sealed != seal(line, &words) {
            return None;
        }
        let found = self.get(line, MOVING_SEAL);
        let place = (found & 1) as usize;
        let moving = self.get(line, MOVING[place]);
        Some((words, (found == moving_seal(sealed, place, moving)).then_some(moving)))
    }

    fn get(&self, line: usize, word: usize) -> u64 {
        self.store[line * LINE + word].load(Relaxed)
    }

    fn put(&self, line: usize, word: usize, value: u64) {
        self.store[line * LINE + word].store(value, Relaxed);
    }
}

impl Record {
    /// Its number, by which another record may name it.
    pub fn number(&self) -> u64 {
        self.line as u64
    }

    /// Changes the word that moves; one thread at a time.
    pub fn moved(&self, to: u64) {
        let (records, line) = (&*self.of, self.line);
        let place = 1 - (records.get(line, MOVING_SEAL) & 1) as usize;
        records.put(line, MOVING[place], to);
        // From here on it is the new one.
        let sealed = moving_seal(records.get(line, SEAL), place, to);
        records.store[line * LINE + MOVING_SEAL].store(sealed, Release);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.of.store[self.line * LINE + SEAL].store(0, Release);
        self.of.free.lock().lines.push(self.line);
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn store(records: usize) -> Store {
        Box::leak((0..words(records)).map(|_| AtomicU64::new(0)).collect())
    }

    /// What a successor finds: words and the moving word, in order of lines.
    fn found(store: Store) -> Vec<(Words, Option<u64>)> {
        Records::open(store)
            .1
            .into_iter()
            .map(|found| {
                core::mem::forget(found.record);
                (found.words, found.moving)
            })
            .collect()
    }

    #[test]
    fn a_successor_finds_what_was_there_last() {
        let store = store(3);
        let (records, before) = Records::open(store);
        assert!(before.is_empty());
        let [one, two, three] = [1, 2, 3].map(|n| records.make([n, n + 10, 0], n + 100).expect("there is room"));
        assert!(records.make([4; 3], 4).is_none(), "three and no more");
        one.moved(7);
        three.moved(8);
        three.moved(9);
        drop(two);
        assert_eq!(found(store), [([1, 11, 0], Some(7)), ([3, 13, 0], Some(9))]);
        let again = records.make([5, 6, 7], 0).expect("its place is free");
        assert_eq!(again.number(), 2);
        assert_eq!(found(store)[1], ([5, 6, 7], Some(0)));
    }

    /// However many of its stores were made before the end: the record is there or not, the word old or new.
    #[test]
    fn an_end_between_two_stores_leaves_old_or_new() {
        let store = store(1);
        let (records, _) = Records::open(store);
        let record = records.make([1, 2, 0], 3).expect("there is room");
        let snapshot = || store.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
        let before = snapshot();
        record.moved(4);
        let after = snapshot();
        // All but the last store of a move.
        for (at, word) in store.iter().enumerate() {
            word.store(if at == LINE + MOVING_SEAL { before[at] } else { after[at] }, Relaxed);
        }
        assert_eq!(found(store), [([1, 2, 0], Some(3))]);
        store[LINE + MOVING_SEAL].store(after[LINE + MOVING_SEAL], Relaxed);
        assert_eq!(found(store), [([1, 2, 0], Some(4))]);
        // All but the last store of the making.
        store[LINE].store(0, Relaxed);
        assert_eq!(found(store), []);
    }

    #[test]
    fn whatever_is_spoiled_is_dropped() {
        let fresh = || {
            let store = store(2);
            let (records, _) = Records::open(store);
            let made = [1, 2].map(|n| records.make([n; 3], n).expect("there is room"));
            made[0].moved(5);
            core::mem::forget(made);
            store
        };
        assert_eq!(found(fresh()), [([1; 3], Some(5)), ([2; 3], Some(2))]);
        for word in 0..words(2) {
            for value in [0, 1, u64::MAX, 0xDEAD_BEEF] {
                let store = fresh();
                if store[word].swap(value, Relaxed) == value {
                    continue;
                }
                let found = found(store);
                let intact = [([1; 3], Some(5)), ([2; 3], Some(2))];
                let other = if word / LINE == 1 { intact[1] } else { intact[0] };
                assert!(found.contains(&other), "word {word}: its neighbours are as they were");
                let sound = |one: &(Words, Option<u64>)| intact.contains(one) || one.1.is_none();
                assert!(found.iter().all(sound), "word {word}: {found:?}");
            }
        }
    }
}
