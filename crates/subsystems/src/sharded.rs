//! A map from numbers to shared objects that several threads use at once: one lock for each sixteenth of the numbers.
//!
//! A shard's lock is held to look up, insert or remove and never while anything else is called or locked.

use alloc::sync::Arc;

use kd_sync::RwLock;

use crate::hash::HashMap;

const SHARDS: usize = 16;

/// A shard on cache lines of its own, so that neighbours do not slow each other down.
#[repr(align(128))]
struct Shard<T>(RwLock<HashMap<u64, Arc<T>>>);

/// The map.
pub struct Sharded<T>([Shard<T>; SHARDS]);

impl<T> Sharded<T> {
    pub fn new() -> Sharded<T> {
        Sharded(core::array::from_fn(|_| Shard(RwLock::new(HashMap::default()))))
    }

    fn shard(&self, key: u64) -> &RwLock<HashMap<u64, Arc<T>>> {
        &self.0[key as usize % SHARDS].0
    }

    pub fn get(&self, key: u64) -> Option<Arc<T>> {
        self.shard(key).read().get(&key).cloned()
    }

    pub fn get_or_insert_with(&self, key: u64, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(found) = self.get(key) {
            return found;
        }
        let made = Arc::new(make());
        self.shard(key).write().entry(key).or_insert(made).clone()
    }

    /// Puts it there; what was there before.
    pub fn insert(&self, key: u64, value: Arc<T>) -> Option<Arc<T>> {
        self.shard(key).write().insert(key, value)
    }

    pub fn remove(&self, key: u64) -> Option<Arc<T>> {
        self.shard(key).write().remove(&key)
    }

    /// How many there are, each shard looked at in turn.
    pub fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.0.read().len()).sum()
    }
}
