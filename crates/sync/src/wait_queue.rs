//! Wait queues: sleeping until another thread changed what a mutex guards, as with a condition variable.
//!
//! Rule of use: whoever makes a predicate false does so under the mutex and calls `wake_one` or `wake_all` afterwards,
//! with the mutex or without. A wake with nobody waiting costs one load.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

use crate::MutexGuard;
use crate::park::{wait, wake};

/// Threads that wait for a change.
#[derive(Default)]
pub struct WaitQueue {
    /// Changes with every wake, so that one between unlocking and sleeping is not lost.
    sequence: AtomicU32,
    /// Threads waiting, or about to. A thread killed in its sleep stays counted, which costs needless wakes only.
    waiting: AtomicU32,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> WaitQueue {
        WaitQueue { sequence: AtomicU32::new(0), waiting: AtomicU32::new(0) }
    }

    /// Waits, with the mutex released, while `predicate` holds of what it guards.
    pub fn wait_while<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while predicate(&mut guard) {
            // Both under the mutex: whoever changes the predicate later sees this waiter and moves the sequence on.
            let seen = self.sequence.load(Relaxed);
            self.waiting.fetch_add(1, SeqCst);
            MutexGuard::unlocked(&mut guard, || wait(&self.sequence, seen, true));
            self.waiting.fetch_sub(1, Relaxed);
        }
        guard
    }

    /// Threads that wait, as Linux's `waitqueue_active`: a hint, unless the mutex is held.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Wakes one waiter to look again.
    pub fn wake_one(&self) {
        self.wake(1);
    }

    /// Wakes every waiter to look again.
    pub fn wake_all(&self) {
        self.wake(u32::MAX);
    }

    fn wake(&self, count: u32) {
        if self.waiting.load(SeqCst) > 0 {
            self.sequence.fetch_add(1, SeqCst);
            wake(&self.sequence, count);
        }
    }
}
