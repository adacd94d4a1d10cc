//! Deferred replies: an operation that answers later takes a [`Completion`] and returns at once, holding no thread.

use alloc::boxed::Box;

use crate::{Errno, Result};

/// The right and duty to answer one call, once. Dropped unanswered, it answers [`Errno::ECANCELED`].
pub struct Completion<T>(Option<Box<dyn FnOnce(Result<T>) + Send>>);

impl<T> Completion<T> {
    /// A completion that hands its result to `answer`.
    pub fn new(answer: impl FnOnce(Result<T>) + Send + 'static) -> Completion<T> {
        Completion(Some(Box::new(answer)))
    }

    /// Answers the call.
    pub fn complete(mut self, result: Result<T>) {
        if let Some(answer) = self.0.take() {
            answer(result);
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Err(Errno::ECANCELED));
        }
    }
}
