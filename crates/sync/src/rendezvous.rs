//! A completion with somebody waiting for it: how a caller that wants to wait uses a deferred operation.

use alloc::sync::Arc;

use kd_api::{Completion, Errno, Result};

use crate::{Mutex, WaitQueue};

struct Meeting<T> {
    answer: Mutex<Option<Result<T>>>,
    answered: WaitQueue,
}

/// The waiting half.
pub struct Waiter<T>(Arc<Meeting<T>>);

/// A completion to hand to a deferred operation, and the means to wait for its answer.
pub fn rendezvous<T: Send + 'static>() -> (Completion<T>, Waiter<T>) {
    let meeting = Arc::new(Meeting { answer: Mutex::new(None), answered: WaitQueue::new() });
    let answering = meeting.clone();
    let completion = Completion::new(move |result| {
        *answering.answer.lock() = Some(result);
        answering.answered.wake_all();
    });
    (completion, Waiter(meeting))
}

impl<T> Waiter<T> {
    /// Waits for the answer; [`Errno::ECANCELED`] if the completion was dropped.
    pub fn wait(self) -> Result<T> {
        let mut answer = self.0.answered.wait_while(self.0.answer.lock(), |answer| answer.is_none());
        answer.take().unwrap_or(Err(Errno::ECANCELED))
    }
}
