//! A server's bell: the futex that its idle threads sleep on, in a page that it shares with all its clients.
//!
//! It carries no data. A client that scribbles on it can delay the waking of a thread that is just going to sleep, and
//! with it another client's call until the next ring; it can do no other harm.

use std::io;
use std::sync::Arc;

use super::layout::Page;
use crate::futex;
use crate::sync::atomic::Ordering::SeqCst;

/// A bell. Clones share the page.
#[derive(Clone, Debug)]
pub struct Bell {
    page: Arc<Page>,
}

impl Bell {
    /// A bell in shared memory.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell::on(Page::new()?))
    }

    /// The bell on a page.
    pub fn on(page: Page) -> Bell {
        Bell { page: Arc::new(page) }
    }

    /// How often it was rung.
    pub fn rung(&self) -> u32 {
        self.page.word().load(SeqCst)
    }

    /// Wakes one sleeping server thread, and keeps one about to sleep from doing so.
    pub fn ring(&self) {
        self.page.word().fetch_add(1, SeqCst);
        futex::wake(self.page.word(), 1);
    }

    /// Wakes all who sleep. With a dead server, they are threads that the host has not ended yet: each that is left here would be
    /// woken in the stead of one of the successor's.
    pub fn clear_out(&self) {
        futex::wake(self.page.word(), u32::MAX);
    }

    /// Sleeps until it has been rung more often than `rung`; may return early.
    pub fn sleep(&self, rung: u32) {
        futex::wait(self.page.word(), rung);
    }
}
