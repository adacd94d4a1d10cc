//! Accounts in a store: words that a component changes together, as it goes, for its successor.
//!
//! An account stands there twice, and its seal says which of the two is the right one: so a component may die between any two
//! stores, and the account is the old one or the new. It is there from its first seal on until that is zero again. What a
//! dying component scribbled over has a seal that does not fit, and is dropped by whoever opens the store next. As with
//! [`records`](crate::records), that takes faults for noise and no more.
//!
//! Before the accounts stands, under a seal, how many were ever used, so that nobody reads the others.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use kd_api::Store;
use kd_sync::Mutex;

use crate::records::seal;

/// The seal and the number of those that were ever used.
const HEAD: usize = 2;

/// Accounts of `N` words.
pub struct Accounts<const N: usize> {
    store: Store,
    free: Mutex<Free>,
}

struct Free {
    /// Places that were used before.
    places: Vec<usize>,
    /// Places that were ever used.
    used: usize,
}

/// One account; erased when it is dropped.
pub struct Account<const N: usize> {
    of: Arc<Accounts<N>>,
    place: usize,
    /// Which of the two is the right one.
    which: usize,
}

/// What a store holds.
pub struct Opened<const N: usize> {
    pub accounts: Arc<Accounts<N>>,
    pub found: Vec<(Account<N>, [u64; N])>,
    /// Places whose seal does not fit; they are free.
    pub spoiled: usize,
}

impl<const N: usize> Accounts<N> {
    const PLACE: usize = 1 + 2 * N;

    /// Words of a store with room for so many.
    pub const fn words(accounts: usize) -> usize {
        HEAD + accounts * Self::PLACE
    }

    /// Whether nobody ever opened it.
    pub fn is_new(store: Store) -> bool {
        store[..HEAD].iter().all(|word| word.load(Acquire) == 0)
    }

    /// Opens a store, where a new one holds nothing.
    pub fn open(store: Store, new: bool) -> Opened<N> {
        let places = (store.len() - HEAD) / Self::PLACE;
        let known = store[1].load(Relaxed);
        let used = match usize::try_from(known) {
            _ if new => 0,
            Ok(used) if store[0].load(Acquire) == seal(0, &[known]) => used.min(places),
            _ => places,
        };
        let accounts = Arc::new(Accounts { store, free: Mutex::new(Free { places: Vec::new(), used }) });
        accounts.note_used(used);
        let mut opened = Opened { accounts: accounts.clone(), found: Vec::new(), spoiled: 0 };
        // The first place is used first.
        for place in (0..used).rev() {
            let sealed = accounts.words_of(place)[0].load(Acquire);
            let account = Account { of: accounts.clone(), place, which: (sealed & 1) as usize };
            let words = account.read();
            match account.seal(&words) == sealed {
                true => opened.found.push((account, words)),
                false => opened.spoiled += usize::from(sealed != 0),
            }
        }
        opened
    }

    /// A place for an account, which is there once it is [set](Account::set); `None` when all are taken.
    pub fn reserve(self: &Arc<Self>) -> Option<Account<N>> {
        let mut free = self.free.lock();
        let place = match free.places.pop() {
            Some(place) => place,
            None if HEAD + (free.used + 1) * Self::PLACE > self.store.len() => return None,
            None => {
                free.used += 1;
                self.note_used(free.used);
                free.used - 1
            }
        };
        Some(Account { of: self.clone(), place, which: 0 })
    }

    /// Places in all, and those that are free.
    pub fn room(&self) -> (usize, usize) {
        let free = self.free.lock();
        let places = (self.store.len() - HEAD) / Self::PLACE;
        (places, places - free.used + free.places.len())
    }

    /// Whoever finds one of these words without the other reads all places.
    fn note_used(&self, used: usize) {
        self.store[1].store(used as u64, Relaxed);
        self.store[0].store(seal(0, &[used as u64]), Release);
    }

    fn words_of(&self, place: usize) -> Store {
        &self.store[HEAD + place * Self::PLACE..][..Self::PLACE]
    }
}

impl<const N: usize> Account<N> {
    /// Its place, by which another may name it.
    pub fn place(&self) -> usize {
        self.place
    }

    /// From here on it is these words.
    pub fn set(&mut self, words: &[u64; N]) {
        self.which = 1 - self.which;
        let to = self.of.words_of(self.place);
        for (at, word) in to[1 + self.which * N..].iter().zip(words) {
            at.store(*word, Relaxed);
        }
        to[0].store(self.seal(words), Release);
    }

    fn read(&self) -> [u64; N] {
        let from = &self.of.words_of(self.place)[1 + self.which * N..];
        core::array::from_fn(|i| from[i].load(Relaxed))
    }

    /// Its lowest bit says which of the two it is for.
    fn seal(&self, words: &[u64; N]) -> u64 {
        // Never zero, which is an account that is none.
        (seal(self.place, words) | 2) & !1 | self.which as u64
    }
}

impl<const N: usize> Drop for Account<N> {
    fn drop(&mut self) {
        self.of.words_of(self.place)[0].store(0, Release);
        self.of.free.lock().places.push(self.place);
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use core::sync::atomic::AtomicU64;

    use super::*;

    fn store(accounts: usize) -> Store {
        Box::leak((0..Accounts::<2>::words(accounts)).map(|_| AtomicU64::new(0)).collect())
    }

    fn open(store: Store) -> Arc<Accounts<2>> {
        let opened = Accounts::<2>::open(store, Accounts::<2>::is_new(store));
        assert!(opened.found.is_empty() && opened.spoiled == 0);
        opened.accounts
    }

    fn make(accounts: &Arc<Accounts<2>>, words: [u64; 2]) -> Account<2> {
        let mut account = accounts.reserve().expect("there is room");
        account.set(&words);
        account
    }

    /// What a successor finds, in order of places, and how many were spoiled.
    fn found(store: Store) -> (Vec<[u64; 2]>, usize) {
        let Opened { mut found, spoiled, .. } = Accounts::open(store, false);
        found.reverse();
        let words = |(account, words)| {
            core::mem::forget::<Account<2>>(account);
            words
        };
        (found.into_iter().map(words).collect(), spoiled)
    }

    #[test]
    fn a_successor_finds_what_was_there_last() {
        let store = store(3);
        assert!(Accounts::<2>::is_new(store));
        let accounts = open(store);
        assert!(!Accounts::<2>::is_new(store));
        let [mut one, two, mut three] = [1, 2, 3].map(|n| make(&accounts, [n, n + 10]));
        assert!(accounts.reserve().is_none(), "three and no more");
        assert_eq!(accounts.room(), (3, 0));
        one.set(&[7, 8]);
        three.set(&[9, 9]);
        three.set(&[5, 6]);
        drop(two);
        assert_eq!(accounts.room(), (3, 1));
        assert_eq!(found(store), (alloc::vec![[7, 8], [5, 6]], 0));
        assert_eq!(make(&accounts, [0, 0]).place(), 1, "its place is free");
    }

    /// However many of its stores were made before the end: it is there or not, the words old or new.
    #[test]
    fn an_end_between_two_stores_leaves_old_or_new() {
        let store = store(1);
        let accounts = open(store);
        let snapshot = || store.iter().map(|word| word.load(Relaxed)).collect::<Vec<_>>();
        let restore = |to: &[u64]| store.iter().zip(to).for_each(|(word, value)| word.store(*value, Relaxed));
        let mut account = make(&accounts, [1, 2]);
        let before = snapshot();
        account.set(&[3, 4]);
        let after = snapshot();
        // All but the seal; then that as well.
        restore(&after);
        store[HEAD].store(before[HEAD], Relaxed);
        assert_eq!(found(store), (alloc::vec![[1, 2]], 0));
        restore(&after);
        assert_eq!(found(store), (alloc::vec![[3, 4]], 0));
        // Neither in the making.
        store[HEAD].store(0, Relaxed);
        assert_eq!(found(store), (alloc::vec![], 0));
    }

    #[test]
    fn what_is_spoiled_is_dropped_and_counted() {
        let fresh = || {
            let store = store(2);
            let accounts = open(store);
            core::mem::forget([1, 2].map(|n| make(&accounts, [n, n])));
            store
        };
        assert_eq!(found(fresh()), (alloc::vec![[1, 1], [2, 2]], 0));
        for word in 0..Accounts::<2>::words(2) {
            for value in [0, 1, u64::MAX, 0xDEAD_BEEF] {
                let store = fresh();
                let before = store[word].swap(value, Relaxed);
                let (found, spoiled) = found(store);
                let intact = found.iter().all(|words| [[1, 1], [2, 2]].contains(words));
                let dropped = 2 - found.len();
                assert!(intact && dropped <= 1 && spoiled <= dropped, "word {word}: {before} to {value}: {found:?}");
                assert!(value == 0 || dropped == spoiled, "word {word}: {before} to {value}: not counted");
            }
        }
    }
}
