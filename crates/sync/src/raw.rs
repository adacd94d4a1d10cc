//! The locks' words. The only file of this crate with `unsafe`: `lock_api`'s traits are promises of exclusion.
//!
//! The mutex is the third one of U. Drepper, "Futexes Are Tricky" (2011): free, held, held and somebody may sleep. The
//! reader-writer lock counts readers in one word beside a flag for sleepers; readers that come while somebody sleeps
//! sleep too, so a stream of readers does not starve a writer. Whoever frees it wakes all sleepers, and they race.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};

use lock_api::GuardNoSend;

use crate::park::{spin, wait, wake};

const FREE: u32 = 0;
const HELD: u32 = 1;
const CONTENDED: u32 = 2;

/// The word of a [`crate::Mutex`].
pub struct RawMutex(AtomicU32);

impl RawMutex {
    #[cold]
    fn lock_contended(&self) {
        spin(&self.0, HELD);
        while self.0.swap(CONTENDED, Acquire) != FREE {
            wait(&self.0, CONTENDED, false);
        }
    }
}

// SAFETY: the word leaves FREE only by the compare-and-swap of `try_lock` or by a swap that returned FREE; an atomic
// word lets one thread alone see that FREE. It becomes FREE again only in `unlock`, which the holder alone may call.
unsafe impl lock_api::RawMutex for RawMutex {
    // Each use of a lock starts from a fresh word: that is what `lock_api` asks of this constant.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawMutex = RawMutex(AtomicU32::new(FREE));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Acquire, Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.swap(FREE, Release) == CONTENDED {
            wake(&self.0, 1);
        }
    }
}

const SLEEPERS: u32 = 1 << 31;
const WRITER: u32 = SLEEPERS - 1;

/// The word of a [`crate::RwLock`]: readers, or all ones for a writer, and in the top bit that somebody sleeps.
pub struct RawRwLock(AtomicU32);

impl RawRwLock {
    #[cold]
    fn lock_contended(&self, acquire: impl Fn() -> bool) {
        spin(&self.0, self.0.load(Relaxed));
        while !acquire() {
            let state = self.0.load(Relaxed);
            let marked = state | SLEEPERS;
            // A lock that was freed meanwhile is not marked: nobody would be left to wake the sleepers.
            if state != FREE && (state == marked || self.0.compare_exchange(state, marked, Relaxed, Relaxed).is_ok()) {
                wait(&self.0, marked, false);
            }
        }
    }

    /// Frees a word on which somebody sleeps and that nobody can take meanwhile.
    #[cold]
    fn free_and_wake(&self) {
        self.0.store(FREE, Release);
        wake(&self.0, u32::MAX);
    }
}

// SAFETY: a writer enters only by a compare-and-swap from FREE to WRITER, a reader only by one that adds 1 to a count
// below WRITER - 1 without the SLEEPERS flag; so a writer excludes all others, and readers are counted. The word falls
// back to FREE only when its last holder leaves: `unlock_exclusive`, or the `unlock_shared` that takes the count to 0.
// Between that and the store in `free_and_wake` the word is SLEEPERS alone, which neither kind of entry accepts.
unsafe impl lock_api::RawRwLock for RawRwLock {
    // As for the mutex.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: RawRwLock = RawRwLock(AtomicU32::new(FREE));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        if !self.try_lock_shared() {
            self.lock_contended(|| self.try_lock_shared());
        }
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        let mut state = self.0.load(Relaxed);
        while state < WRITER - 1 {
            match self.0.compare_exchange_weak(state, state + 1, Acquire, Relaxed) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        if self.0.fetch_sub(1, Release) == SLEEPERS | 1 {
            self.free_and_wake();
        }
    }

    #[inline]
    fn lock_exclusive(&self) {
        if !self.try_lock_exclusive() {
            self.lock_contended(|| self.try_lock_exclusive());
        }
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.0.compare_exchange(FREE, WRITER, Acquire, Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        if self.0.swap(FREE, Release) & SLEEPERS != 0 {
            wake(&self.0, u32::MAX);
        }
    }
}
