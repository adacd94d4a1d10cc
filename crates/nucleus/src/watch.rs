//! A thread that serves requests tells its pool when it is about to wait for somebody else, so that a colleague keeps
//! watch meanwhile. Threads outside any pool have nobody to tell.
//!
//! And a process tells its supervisor that a server gave it an answer that no honest one gives, if it has a supervisor to tell.

use std::cell::Cell;
use std::sync::OnceLock;

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

static COMPLAIN: OnceLock<fn()> = OnceLock::new();

/// Says, once, how the supervisor is told to look at what clients have counted.
pub fn complain_with(complain: fn()) {
    // A process has one supervisor.
    let _ = COMPLAIN.set(complain);
}

/// Tells the supervisor to look.
pub fn complain() {
    if let Some(complain) = COMPLAIN.get() {
        complain();
    }
}
