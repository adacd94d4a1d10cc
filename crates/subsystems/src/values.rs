//! Values under numbers, as a component has them: in its heap, and, where there is a store, a copy there, so that they outlive
//! it.
//!
//! A value's copy has an account, which says under which number it is, how long, what it sums up to, and which came when: a
//! value that replaces another is noted before that is forgotten, and of two with one number a successor takes the later one.
//! One whose bytes are spoiled is still there, and its bytes are `EIO`; of one whose account is spoiled nobody can say what
//! it was.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use kd_api::{Errno, Result, Store};
use kd_sync::{Mutex, log};

use crate::accounts::{Account, Accounts};
use crate::sum::Sum;

/// Longest value that can be kept.
pub const LONGEST: usize = 4096;
const WORDS: usize = LONGEST / 8;
/// The number, when it came, its length and its sum.
const ACCOUNT: usize = 4;

/// Where values are made.
#[derive(Default)]
pub struct Values(Option<Kept>);

struct Kept {
    accounts: Arc<Accounts<ACCOUNT>>,
    data: Store,
    came: AtomicU64,
}

/// A value.
pub struct Value {
    /// `None` if they are spoiled.
    bytes: Option<Vec<u8>>,
    account: Mutex<Option<Account<ACCOUNT>>>,
}

/// Words of a store for so many.
pub const fn words(values: usize) -> usize {
    Accounts::<ACCOUNT>::words(values) + values * WORDS
}

impl Values {
    /// Opens a store for so many, if there is one, and takes out what `who` left there, by number.
    pub fn open(store: Option<Store>, values: usize, who: &str) -> (Values, BTreeMap<u64, Value>) {
        let Some(store) = store else { return Default::default() };
        let (accounts, data) = store.split_at(Accounts::<ACCOUNT>::words(values).min(store.len()));
        let opened = Accounts::open(accounts, Accounts::<ACCOUNT>::is_new(accounts));
        let kept = Kept { accounts: opened.accounts, data, came: AtomicU64::new(1) };
        let mut found = BTreeMap::<u64, (u64, Value)>::new();
        for (account, [number, came, length, sum]) in opened.found {
            kept.came.fetch_max(came.wrapping_add(1), Relaxed);
            if found.get(&number).is_none_or(|(later, _)| *later < came) {
                let bytes = kept.read(account.place(), length, sum);
                found.insert(number, (came, Value { bytes, account: Mutex::new(Some(account)) }));
            }
        }
        let found: BTreeMap<_, _> = found.into_iter().map(|(number, (_, value))| (number, value)).collect();
        let spoiled = found.values().filter(|value| value.bytes.is_none()).count();
        if spoiled + opened.spoiled > 0 {
            let all = spoiled + opened.spoiled;
            log(&alloc::format!("{who}: its predecessor spoiled {all} values: dropped"));
        }
        (Values(Some(kept)), found)
    }

    /// A value that a successor will find under this number; `ENOSPC` if there is no room to keep it.
    pub fn make(&self, number: u64, bytes: Vec<u8>) -> Result<Value> {
        let account = self.0.as_ref().map(|kept| kept.keep(number, &bytes)).transpose()?;
        Ok(Value { bytes: Some(bytes), account: Mutex::new(account) })
    }
}

impl Kept {
    fn keep(&self, number: u64, bytes: &[u8]) -> Result<Account<ACCOUNT>> {
        if bytes.len() > LONGEST {
            return Err(Errno::EFBIG);
        }
        let mut account = self.accounts.reserve().ok_or(Errno::ENOSPC)?;
        let mut sum = Sum::default();
        for (at, bytes) in self.words(account.place()).iter().zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let word = u64::from_le_bytes(word);
            at.store(word, Relaxed);
            sum.add(word);
        }
        account.set(&[number, self.came.fetch_add(1, Relaxed), bytes.len() as u64, sum.from(0)]);
        Ok(account)
    }

    fn words(&self, place: usize) -> &[AtomicU64] {
        &self.data[place * WORDS..][..WORDS]
    }

    fn read(&self, place: usize, length: u64, sum: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
        let words = self.words(place)[..length.div_ceil(8)].iter().map(|word| word.load(Relaxed));
        let mut found = Sum::default();
        let mut bytes: Vec<u8> = words.inspect(|word| found.add(*word)).flat_map(u64::to_le_bytes).collect();
        bytes.truncate(length);
        (found.from(0) == sum).then_some(bytes)
    }
}

impl Value {
    /// Its bytes; `EIO`.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.bytes.as_deref().ok_or(Errno::EIO)
    }

    /// No successor finds it any more, whoever still reads it.
    pub fn forget(&self) {
        drop(self.account.lock().take());
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::vec;
    use core::mem::forget;

    use super::*;

    const VALUES: usize = 3;

    fn store() -> Store {
        Box::leak((0..words(VALUES)).map(|_| AtomicU64::new(0)).collect())
    }

    fn open(store: Store) -> (Values, BTreeMap<u64, Value>) {
        Values::open(Some(store), VALUES, "test")
    }

    /// What a successor finds; its end leaves everything as it was.
    fn found(store: Store) -> Vec<(u64, Result<Vec<u8>>)> {
        let found = open(store).1;
        let said = found.iter().map(|(number, value)| (*number, value.bytes().map(<[u8]>::to_vec))).collect();
        forget(found);
        said
    }

    /// Two values, of which one was replaced, whose server died.
    fn left() -> Store {
        let store = store();
        let (values, none) = open(store);
        assert!(none.is_empty());
        let make = |number, bytes: &[u8]| values.make(number, bytes.to_vec()).expect("there is room");
        let (old, new, other) = (make(7, b"the old one"), make(7, b"the new one"), make(u64::MAX, b""));
        assert_eq!(values.make(1, vec![]).map(drop), Err(Errno::ENOSPC), "three and no more");
        old.forget();
        assert_eq!(old.bytes(), Ok(b"the old one".as_slice()), "who reads it still");
        forget((old, new, other));
        store
    }

    #[test]
    fn a_successor_finds_what_was_there_last() {
        let both = vec![(7, Ok(b"the new one".to_vec())), (u64::MAX, Ok(vec![]))];
        let store = left();
        assert_eq!((found(store), found(store)), (both.clone(), both));
        let (values, mut found_there) = open(store);
        let newest = values.make(7, vec![5; LONGEST]).expect("there is room");
        // It dies before it forgets the one before.
        forget((newest, found_there.remove(&7)));
        drop(found_there);
        assert_eq!(found(store), [(7, Ok(vec![5; LONGEST]))]);
    }

    #[test]
    fn exactly_what_is_spoiled_is_told_of() {
        let intact = found(left());
        for word in 0..words(VALUES) {
            for to in [0, u64::MAX, 0xDEAD_BEEF] {
                let store = left();
                if store[word].swap(to, Relaxed) == to {
                    continue;
                }
                let found = found(store);
                let same = intact.iter().filter(|one| found.contains(one)).count();
                assert!(same + 1 >= intact.len(), "word {word}: {found:?}");
                let sound = |one: &(u64, Result<Vec<u8>>)| intact.contains(one) || one.1 == Err(Errno::EIO);
                assert!(found.iter().all(sound), "word {word}: {found:?}");
            }
        }
    }
}
