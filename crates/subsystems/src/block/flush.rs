//! Flushes, shared by those who wait for them.
//!
//! A flush covers what was acknowledged before it *began*. So whoever comes while one is under way does not take its
//! result: it waits for the next, which one of those who wait then does for all of them (Linux's `block/blk-flush.c`,
//! and group commit in general). With a flush always running and any number of callers, each device flush serves all who
//! came during the one before it.

use kd_api::interfaces::block::BlockDevice;
use kd_api::{Errno, Result};
use kd_sync::{Mutex, MutexGuard, WaitQueue};

/// Results that are kept for those who have not woken yet. Whoever oversleeps more flushes than this waits for another.
const KEPT: u64 = 16;

/// The flushes of one device.
#[derive(Default)]
pub struct Flushes {
    state: Mutex<State>,
    ended: WaitQueue,
}

#[derive(Default)]
struct State {
    /// Flushes that began; they are numbered from 1.
    begun: u64,
    /// Flushes that ended: as many, or one less.
    ended: u64,
    /// Results of the last ones, each at its number modulo their count.
    failures: [Option<Errno>; KEPT as usize],
}

impl State {
    fn result_of(&self, number: u64) -> Result<()> {
        self.failures[(number % KEPT) as usize].map_or(Ok(()), Err)
    }
}

impl Flushes {
    /// Returns once a flush that began after this call has ended, with its result; the flag says whether this call did
    /// it itself.
    pub fn flush(&self, device: &dyn BlockDevice) -> (Result<()>, bool) {
        let mut state = self.state.lock();
        loop {
            let covering = state.begun + 1;
            state = self.ended.wait_while(state, |state| state.ended < covering && state.begun > state.ended);
            if state.begun < covering {
                return (self.run(state, device), true);
            }
            if state.ended - covering < KEPT {
                return (state.result_of(covering), false);
            }
        }
    }

    /// Calls that wait for a flush which has not begun.
    #[cfg(test)]
    pub fn waiting(&self) -> u32 {
        let _state = self.state.lock();
        self.ended.waiting()
    }

    /// Does the next flush, for everybody who waits.
    fn run(&self, mut state: MutexGuard<'_, State>, device: &dyn BlockDevice) -> Result<()> {
        state.begun += 1;
        let result = MutexGuard::unlocked(&mut state, || device.flush());
        let number = state.begun;
        state.failures[(number % KEPT) as usize] = result.err();
        state.ended = number;
        drop(state);
        self.ended.wake_all();
        result
    }
}
