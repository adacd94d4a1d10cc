//! Wrappers that do something around every operation of an interface: trace it, fence it, pay a trap for it.
//!
//! `#[interface]` generates `XAround<A, P>`, which implements `X` over any pointer `P` to an `X`. Put in only where a
//! run wants it, so an ordinary call pays nothing.

use alloc::sync::Arc;

use crate::message::Operation;
use crate::{AppId, Caller, Fd, Ino};

/// What to do around each operation; chosen at compile time.
pub trait Around: Send + Sync {
    /// Runs `operation`; `bulk` is the bytes of bulk data handed in or offered.
    fn around<R>(&self, of: &'static Operation, bulk: usize, operation: impl FnOnce() -> R) -> R;

    /// A handle among the arguments, as it is passed on.
    #[inline]
    fn pass<H: Named>(&self, handle: H) -> H {
        handle
    }

    /// Where the bulk data lie, and how much there is, before the operation.
    #[inline]
    fn buffer(&self, _at: *const u8, _len: usize) {}
}

/// What a handle names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// An inode.
    Inode,
    /// A descriptor.
    Descriptor,
    /// Who calls.
    Caller,
}

/// What names something of a client's: a word.
pub trait Named: Copy {
    /// What is named so.
    const WHAT: Names;
    /// The word.
    fn word(self) -> u64;
    /// What this word names.
    fn of(word: u64) -> Self;
}

macro_rules! named {
    ($($name:ty as $what:ident: $word:expr, $of:expr;)*) => {$(
        impl Named for $name {
            const WHAT: Names = Names::$what;
            fn word(self) -> u64 { $word(self) }
            fn of(word: u64) -> Self { $of(word) }
        }
    )*};
}

named! {
    Ino as Inode: |ino: Ino| ino.0, Ino;
    Fd as Descriptor: |fd: Fd| fd.0 as u64, |word| Fd(word as i32);
    Caller as Caller: |caller: Caller| caller.app.0.into(), |word| Caller { app: AppId(word as u32) };
}

/// What to do around each operation; chosen at run time.
pub trait Observer: Send + Sync {
    /// Before the operation; `bulk` as in [`Around::around`].
    fn enter(&self, of: &'static Operation, bulk: usize);
    /// After it.
    fn leave(&self, of: &'static Operation);
    /// Whether it wants to be asked what follows; who does not pays for none of it.
    fn meddles(&self) -> bool {
        false
    }
    /// As [`Around::pass`], by its word.
    fn pass(&self, _: Names, word: u64) -> u64 {
        word
    }
    /// As [`Around::buffer`].
    fn buffer(&self, _at: *const u8, _len: usize) {}
}

/// An [`Observer`] as [`Around`].
pub struct Observed {
    observer: Arc<dyn Observer>,
    meddles: bool,
}

impl Observed {
    /// It, and whether it meddles.
    pub fn new(observer: Arc<dyn Observer>) -> Observed {
        Observed { meddles: observer.meddles(), observer }
    }
}

impl Around for Observed {
    #[inline]
    fn around<R>(&self, of: &'static Operation, bulk: usize, operation: impl FnOnce() -> R) -> R {
        self.observer.enter(of, bulk);
        let result = operation();
        self.observer.leave(of);
        result
    }

    #[inline]
    fn pass<H: Named>(&self, handle: H) -> H {
        if self.meddles { H::of(self.observer.pass(H::WHAT, handle.word())) } else { handle }
    }

    #[inline]
    fn buffer(&self, at: *const u8, len: usize) {
        if self.meddles {
            self.observer.buffer(at, len);
        }
    }
}
