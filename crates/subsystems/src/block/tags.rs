//! How many requests the device may be given at once, and whether others wait: one word.
//!
//! It is all that an uncontended request touches of the queue. Whoever finds a tag free and nobody waiting goes ahead;
//! whoever gives one back and finds somebody waiting passes it on instead, under the queue's lock.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed},
};

const WAITING: u32 = 1 << 31;

/// Tags of one device.
pub struct Tags {
    /// Tags in use, and the flag. The flag is set and cleared under the queue's lock alone, and set only while a tag is
    /// in use: its holder will see the flag when it is done.
    word: AtomicU32,
    depth: u32,
}

impl Tags {
    /// `depth` of them, at least one.
    pub fn new(depth: u32) -> Tags {
        Tags { word: AtomicU32::new(0), depth: depth.clamp(1, WAITING - 1) }
    }

    /// Takes a tag if one is free and nobody waits.
    #[inline]
    pub fn try_take(&self) -> bool {
        let take = |word| (word < self.depth).then_some(word + 1);
        self.word.fetch_update(Acquire, Relaxed, take).is_ok()
    }

    /// The same, and else sets the flag: with the queue locked, by somebody who then waits.
    pub fn take_or_wait(&self) -> bool {
        let take = |word| Some(if word < self.depth { word + 1 } else { word | WAITING });
        self.word.fetch_update(AcqRel, Relaxed, take).is_ok_and(|before| before < self.depth)
    }

    /// Gives a tag back; `false`, and it is still held, if somebody waits for it.
    #[inline]
    pub fn give_back(&self) -> bool {
        let give = |word| (word & WAITING == 0).then(|| word - 1);
        self.word.fetch_update(AcqRel, Acquire, give).is_ok()
    }

    /// Says, with the queue locked, whether anybody waits; the caller holds a tag if so.
    pub fn set_waiting(&self, waiting: bool) {
        match waiting {
            true => self.word.fetch_or(WAITING, AcqRel),
            false => self.word.fetch_and(!WAITING, AcqRel),
        };
    }

    /// Tags in use.
    #[cfg(test)]
    pub fn in_use(&self) -> u32 {
        self.word.load(Relaxed) & !WAITING
    }
}
