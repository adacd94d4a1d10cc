//! A gate before a server: while it is shut no request is taken up, and none is lost.
//!
//! A supervisor shuts it to have a server finish what it has in hand and begin nothing more, so that another can take its
//! place between two calls instead of within one. The word lies where the server's clients do not reach. Shut it is only once
//! the server says so: who takes requests up is one thread at a time, and it is that thread which says it.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};

/// Requests are taken up: what fresh memory says.
pub(super) const OPEN: u32 = 0;
/// None is to be taken up any more.
pub(super) const CLOSING: u32 = 1;
/// None is taken up.
const SHUT: u32 = 2;

/// One.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a>(&'a AtomicU32);

impl<'a> Gate<'a> {
    /// The gate of this word.
    pub fn new(word: &'a AtomicU32) -> Gate<'a> {
        Gate(word)
    }

    /// Asks for it to be shut; the server must be rung, so that it looks.
    pub fn close(self) {
        let _ = self.0.compare_exchange(OPEN, CLOSING, SeqCst, Relaxed);
    }

    /// Shuts the gate of a server that does not run yet.
    pub fn begin_shut(self) {
        self.0.store(SHUT, SeqCst);
    }

    /// Opens it; the server must be rung.
    pub fn open(self) {
        self.0.store(OPEN, SeqCst);
    }

    /// Whether nothing is taken up, nor will be until it is opened.
    pub fn is_shut(self) -> bool {
        self.0.load(Acquire) == SHUT
    }

    /// How it is, for one of the server's threads before it sleeps. Who moves it rings afterwards, so that who has seen it as it
    /// was does not sleep.
    pub(super) fn state(self) -> u32 {
        self.0.load(SeqCst)
    }

    /// Whether it keeps requests back, for the one thread that may take requests up, which so promises to take none.
    pub(super) fn keeps_out(self) -> bool {
        match self.0.load(Acquire) {
            OPEN => false,
            _ => {
                // It may just be opened again.
                let _ = self.0.compare_exchange(CLOSING, SHUT, SeqCst, Relaxed);
                true
            }
        }
    }
}
