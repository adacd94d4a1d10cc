//! Wrappers that do something around every operation of an interface: trace it, fence it, pay a trap for it.
//!
//! `#[interface]` generates `XAround<A, P>`, which implements `X` over any pointer `P` to an `X`. Put in only where a
//! run wants it, so an ordinary call pays nothing.

use alloc::sync::Arc;

use crate::message::Operation;

/// What to do around each operation; chosen at compile time.
pub trait Around: Send + Sync {
    /// Runs `operation`; `bulk` is the bytes of bulk data handed in or offered.
    fn around<R>(&self, of: &'static Operation, bulk: usize, operation: impl FnOnce() -> R) -> R;
}

/// What to do around each operation; chosen at run time.
pub trait Observer: Send + Sync {
    /// Before the operation; `bulk` as in [`Around::around`].
    fn enter(&self, of: &'static Operation, bulk: usize);
    /// After it.
    fn leave(&self, of: &'static Operation);
}

/// An [`Observer`] as [`Around`].
pub struct Observed(pub Arc<dyn Observer>);

impl Around for Observed {
    #[inline]
    fn around<R>(&self, of: &'static Operation, bulk: usize, operation: impl FnOnce() -> R) -> R {
        self.0.enter(of, bulk);
        let result = operation();
        self.0.leave(of);
        result
    }
}
