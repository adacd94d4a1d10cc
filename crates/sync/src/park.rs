//! How threads sleep and are woken: a hook with the semantics of `futex(2)`.
//!
//! Every waiter checks its condition again after `wait` returns, so a hook may return early for any reason. Before one
//! is installed waiting is spinning, which is right for the single thread that boots a domain.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use once_cell::race::OnceRef;

/// What a kernel core provides.
pub struct Park {
    /// Sleeps while the word holds `expected`. `long`: the wait is for an event (a wait queue, a deferred reply), not
    /// for the end of somebody's critical section, and may last; a pool of server threads counts such a thread as
    /// blocked.
    pub wait: fn(word: &AtomicU32, expected: u32, long: bool),
    /// Wakes up to `count` threads that sleep on the word.
    pub wake: fn(word: &AtomicU32, count: u32),
}

static HOOK: OnceRef<'static, Park> = OnceRef::new();

/// Turns of the processor's pause instruction between two looks at a word: a critical section here lasts about as long.
const SPINS: u32 = 64;

/// Installs the hook for this copy of the crate (a loaded module has its own). The first one stays.
pub fn install(park: &'static Park) {
    let _ = HOOK.set(park);
}

/// Waits until the word probably no longer holds `expected`.
pub(crate) fn wait(word: &AtomicU32, expected: u32, long: bool) {
    match HOOK.get() {
        Some(hook) => (hook.wait)(word, expected, long),
        None => spin(word, expected),
    }
}

/// Wakes up to `count` threads waiting on the word.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    if let Some(hook) = HOOK.get() {
        (hook.wake)(word, count);
    }
}

/// Looks at the word a few times before it is worth sleeping.
pub(crate) fn spin(word: &AtomicU32, expected: u32) {
    for _ in 0..SPINS {
        if word.load(Relaxed) != expected {
            return;
        }
        core::hint::spin_loop();
    }
}
