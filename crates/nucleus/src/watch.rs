//! A thread that serves requests tells its pool when it is about to wait for somebody else, so that a colleague keeps
//! watch meanwhile. Threads outside any pool have nobody to tell.

use std::cell::Cell;

use crate::sync::thread_local;

/// Told by a pool thread that it is about to wait, and that it is back.
pub trait Watch: Sync {
    /// The calling thread will not look for requests for a while.
    fn leaving(&self);
    /// It will again.
    fn back(&self);
}

thread_local! {
    static POOL: Cell<Option<&'static dyn Watch>> = const { Cell::new(None) };
}

/// Makes the calling thread one of a pool.
pub fn join(pool: &'static dyn Watch) {
    POOL.set(Some(pool));
}

/// Tells the calling thread's pool that it is about to wait.
pub fn about_to_wait() {
    if let Some(pool) = POOL.get() {
        pool.leaving();
    }
}

/// Tells the calling thread's pool that it waits no longer.
pub fn done_waiting() {
    if let Some(pool) = POOL.get() {
        pool.back();
    }
}
