//! Moments on the way of one request: when a device raised its interrupt, and when its driver answered. For tracing boots
//! alone: elsewhere nobody on that path reads a clock.
//!
//! The words are in memory that every process of the boot maps, and each holds the latest moment. So they say something of
//! a request only while it is the only one.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::SeqCst;

use kd_api::Operation;
use kd_api::around::Around;
use kd_machine::clock;
use kd_machine::memory::{Memory, Words};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A device was about to raise its interrupt.
    Raised,
    /// A driver returned from a call.
    Answered,
}

/// A page.
const SIZE: usize = 4096;

static STAMPS: OnceLock<Words> = OnceLock::new();

/// From now on moments are noted: once, in the root and before it forks anything.
///
/// # Errors
/// The host's, if it has no page to share.
pub fn open() -> io::Result<()> {
    let words = Words::new(Memory::new("kd-stamps", SIZE)?.map()?);
    // A root has one boot; a second one would find the first.
    let _ = STAMPS.set(words);
    Ok(())
}

/// Where moments are noted, if they are: address and bytes. Drivers write there.
pub fn memory() -> Option<(usize, usize)> {
    STAMPS.get().map(|words| (std::ptr::from_ref(words.get(0)) as usize, SIZE))
}

/// Whether moments are noted in this boot.
pub fn noted() -> bool {
    STAMPS.get().is_some()
}

/// Notes that something happens now, if moments are noted.
pub fn note(moment: Moment) {
    if let Some(words) = STAMPS.get() {
        words.get(moment as usize).store(clock::now(), SeqCst);
    }
}

/// When it happened last, in nanoseconds of the machine's clock; 0 if never.
pub fn last(moment: Moment) -> u64 {
    STAMPS.get().map_or(0, |words| words.get(moment as usize).load(SeqCst))
}

/// Notes when a driver answers.
pub struct Answers;

impl Around for Answers {
    fn around<R>(&self, _: &'static Operation, _: usize, operation: impl FnOnce() -> R) -> R {
        let result = operation();
        note(Moment::Answered);
        result
    }
}
