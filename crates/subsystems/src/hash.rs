//! Hash tables whose hashing has no state of its own.
//!
//! The usual seeds come from a word that every new table changes, and a subsystem has no statics that change: where
//! domains share a process, none writes what the other reads.

use foldhash::fast::FixedState;

/// How keys are hashed.
pub(crate) type Hasher = FixedState;
/// A map.
pub(crate) type HashMap<K, V> = hashbrown::HashMap<K, V, Hasher>;
/// A set.
pub(crate) type HashSet<K> = hashbrown::HashSet<K, Hasher>;
