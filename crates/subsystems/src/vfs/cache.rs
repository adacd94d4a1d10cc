//! A bounded cache of what file systems said, kept true by whoever changes it: sets of [`WAYS`] entries with a lock each.
//!
//! A file system changes through the VFS alone, so an entry is true until a change of its own begins. From then until
//! it ends nothing is cached there ([`Change`]), and an answer that was asked for before is not taken up afterwards
//! ([`Ticket`]): whoever looks meanwhile asks the file system, which decides what comes before what. A thread that dies
//! within a change leaves its entries uncached for good, which is slow and never wrong.
//!
//! Entries are replaced in turn within their set (set-associative, as a processor's cache). A lookup allocates nothing.

use alloc::boxed::Box;
use core::hash::{BuildHasher, Hash};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use hashbrown::Equivalent;

use kd_sync::RwLock;

use crate::hash::Hasher;

/// Entries of a set.
pub const WAYS: usize = 4;
/// One change under way, in a word that counts these in its lower half and all there ever were in its upper.
const RUNNING: u64 = 1;
const BEGUN: u64 = 1 << 32;

/// The cache.
pub struct Cache<K, V> {
    hasher: Hasher,
    sets: Box<[RwLock<Set<K, V>>]>,
    changes: Box<[AtomicU64]>,
}

struct Set<K, V> {
    entries: [Option<(K, V)>; WAYS],
    next: usize,
}

/// How the changes stood when somebody set out to ask.
#[derive(Clone, Copy)]
pub struct Ticket(u64);

/// A change under way; it ends when this is dropped.
pub struct Change<'a, K: Hash + Eq, V: Copy> {
    cache: &'a Cache<K, V>,
    key: Option<K>,
    hash: u64,
    /// What was cached when it began.
    pub before: Option<V>,
    /// What the word of changes is if this one is alone.
    alone: u64,
}

impl<K: Hash + Eq, V: Copy> Cache<K, V> {
    /// With so many sets; changes are told apart by `changes` words, each of which stands for an equal share of keys.
    pub fn new(sets: usize, changes: usize) -> Cache<K, V> {
        let set = || RwLock::new(Set { entries: [const { None }; WAYS], next: 0 });
        Cache {
            hasher: Hasher::default(),
            sets: (0..sets).map(|_| set()).collect(),
            changes: (0..changes).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
    }

    fn set(&self, hash: u64) -> &RwLock<Set<K, V>> {
        &self.sets[hash as usize % self.sets.len()]
    }

    fn changes(&self, hash: u64) -> &AtomicU64 {
        &self.changes[hash as usize % self.changes.len()]
    }

    /// What is known.
    pub fn get<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<V> {
        let set = self.set(self.hash(key)).read();
        set.entries.iter().flatten().find(|(known, _)| key.equivalent(known)).map(|(_, value)| *value)
    }

    /// To be had before the file system is asked.
    pub fn ticket<Q: Hash>(&self, key: &Q) -> Ticket {
        Ticket(self.changes(self.hash(key)).load(SeqCst))
    }

    /// Takes up what the file system answered; if anything changed since the ticket, forgets what it knew instead.
    pub fn learn(&self, key: K, value: V, ticket: Ticket) {
        let hash = self.hash(&key);
        self.put(hash, key, value, ticket.0, |changes| changes as u32 == 0);
    }

    fn put(&self, hash: u64, key: K, value: V, expected: u64, quiet: impl Fn(u64) -> bool) {
        let mut set = self.set(hash).write();
        let changes = self.changes(hash).load(SeqCst);
        if changes != expected || !quiet(changes) {
            return set.remove(|known| *known == key).map_or((), drop);
        }
        let slot = set.entries.iter().position(|entry| entry.as_ref().is_some_and(|(known, _)| *known == key));
        let slot = slot.or_else(|| set.entries.iter().position(Option::is_none)).unwrap_or_else(|| {
            set.next = (set.next + 1) % WAYS;
            set.next
        });
        set.entries[slot] = Some((key, value));
    }

    /// Forgets everything, and takes up no answer that was asked for before.
    pub fn forget(&self) {
        for changes in &self.changes {
            changes.fetch_add(BEGUN, SeqCst);
        }
        for set in &self.sets {
            // Dropped after the lock.
            let _entries = core::mem::replace(&mut set.write().entries, [const { None }; WAYS]);
        }
    }

    /// Begins a change of what `key` stands for.
    pub fn change(&self, key: K) -> Change<'_, K, V> {
        let hash = self.hash(&key);
        let alone = self.changes(hash).fetch_add(BEGUN + RUNNING, SeqCst).wrapping_add(BEGUN + RUNNING);
        let before = self.set(hash).write().remove(|known| *known == key).map(|(_, value)| value);
        Change { cache: self, key: Some(key), hash, before, alone }
    }
}

impl<K, V> Set<K, V> {
    fn remove(&mut self, is: impl Fn(&K) -> bool) -> Option<(K, V)> {
        self.entries.iter_mut().find(|entry| entry.as_ref().is_some_and(|(known, _)| is(known)))?.take()
    }
}

impl<K: Hash + Eq, V: Copy> Change<'_, K, V> {
    /// Whether no other change fell into this one so far.
    pub fn is_alone(&self) -> bool {
        self.alone as u32 == RUNNING as u32 && self.cache.changes(self.hash).load(SeqCst) == self.alone
    }

    /// It ends, and this is what came of it.
    pub fn settle(mut self, value: V) {
        if let Some(key) = self.key.take() {
            self.cache.put(self.hash, key, value, self.alone, |changes| changes as u32 == RUNNING as u32);
        }
    }
}

impl<K: Hash + Eq, V: Copy> Drop for Change<'_, K, V> {
    fn drop(&mut self) {
        self.cache.changes(self.hash).fetch_sub(RUNNING, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache<u32, u32> {
        Cache::new(1, 1)
    }

    #[test]
    fn keeps_as_many_as_there_are_ways() {
        let cache = cache();
        for key in 0..WAYS as u32 + 1 {
            cache.learn(key, key + 10, cache.ticket(&key));
        }
        let known = (0..WAYS as u32 + 1).filter(|key| cache.get(key) == Some(key + 10)).count();
        assert_eq!((known, cache.get(&(WAYS as u32))), (WAYS, Some(WAYS as u32 + 10)));
    }

    #[test]
    fn an_answer_from_before_a_change_is_not_taken_up() {
        let cache = cache();
        let early = cache.ticket(&1);
        let change = cache.change(1);
        let during = cache.ticket(&1);
        cache.learn(1, 5, early);
        cache.learn(1, 5, during);
        assert_eq!(cache.get(&1), None);
        change.settle(6);
        assert_eq!(cache.get(&1), Some(6));
        cache.learn(1, 5, early);
        assert_eq!(cache.get(&1), None, "what it knew may be as old");
        cache.learn(1, 7, cache.ticket(&1));
        assert_eq!((cache.get(&1), cache.change(1).before), (Some(7), Some(7)));
        assert_eq!(cache.get(&1), None);
    }

    #[test]
    fn what_was_forgotten_does_not_come_back() {
        let cache = cache();
        cache.learn(1, 5, cache.ticket(&1));
        let (early, change) = (cache.ticket(&2), cache.change(3));
        cache.forget();
        cache.learn(2, 5, early);
        change.settle(5);
        assert_eq!([1, 2, 3].map(|key| cache.get(&key)), [None; 3]);
        cache.learn(2, 6, cache.ticket(&2));
        assert_eq!(cache.get(&2), Some(6));
    }

    #[test]
    fn of_two_changes_at_once_neither_knows_what_came_of_it() {
        let cache = cache();
        let (first, second) = (cache.change(1), cache.change(1));
        assert!(!first.is_alone() && !second.is_alone());
        second.settle(2);
        first.settle(1);
        assert_eq!(cache.get(&1), None);
        let alone = cache.change(1);
        assert!(alone.is_alone());
        drop(alone);
        cache.learn(1, 3, cache.ticket(&1));
        assert_eq!(cache.get(&1), Some(3));
    }
}
