//! A berth: the word on which a standby waits to take a process's place, and by which a dying process gives it up.
//!
//! Supervisor, server and standby map it. While it is armed, whoever comes first decides, by one exchange of the word: the
//! dying server, which hands its place over at once, or the supervisor, which has things to put in order before. A server
//! that scribbles on it has its place taken, and is killed by who takes it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use kd_machine::memory::{Memory, Words};

use crate::futex;

/// Nobody may take the place.
const CLOSED: u32 = 0;
/// Who dies may hand it over.
const ARMED: u32 = 1;
/// It was handed over: the last holder is dying, and nothing has been put in order.
const HANDED_OVER: u32 = 2;
/// All is in order.
const CLEAR: u32 = 3;

/// One.
#[derive(Clone, Debug)]
pub struct Berth(Arc<Words>);

/// How a standby comes by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Succession {
    /// From the dying holder: who takes it puts things in order first.
    HandedOver,
    /// From the supervisor, in order.
    Clear,
}

impl Berth {
    /// A closed one, in memory shared with all that are forked from here.
    pub fn new() -> io::Result<Berth> {
        Ok(Berth(Arc::new(Words::new(Memory::new("kd-berth", 4096)?.map()?))))
    }

    fn word(&self) -> &AtomicU32 {
        self.0.get_half(0)
    }

    /// From now on the holder may hand it over.
    pub fn arm(&self) {
        let _ = self.word().compare_exchange(CLOSED, ARMED, AcqRel, Acquire);
    }

    /// From now on the holder may not; whether it has done so before.
    pub fn close(&self) -> bool {
        // Out of every other state it is the supervisor's own.
        match self.word().compare_exchange(ARMED, CLOSED, AcqRel, Acquire) {
            Ok(_) => false,
            Err(now) => now == HANDED_OVER,
        }
    }

    /// Closes it, whatever it was: for a new standby.
    pub fn reset(&self) {
        self.word().store(CLOSED, Release);
    }

    /// The holder dies: hands the place over if it may. Fit for a signal handler.
    pub fn hand_over(&self) {
        if self.word().compare_exchange(ARMED, HANDED_OVER, AcqRel, Acquire).is_ok() {
            futex::wake(self.word(), 1);
        }
    }

    /// The standby may go: all is in order.
    pub fn clear(&self) {
        self.word().store(CLEAR, Release);
        futex::wake(self.word(), 1);
    }

    /// Sleeps until the place is the caller's.
    pub fn wait(&self) -> Succession {
        loop {
            match self.word().load(Acquire) {
                HANDED_OVER => return Succession::HandedOver,
                CLEAR => return Succession::Clear,
                other => futex::wait(self.word(), other),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_armed_berth_is_handed_over_and_whoever_comes_first_decides() {
        let berth = Berth::new().expect("the host has memory");
        berth.hand_over();
        assert!(!berth.close(), "a closed one stays closed");
        berth.arm();
        berth.hand_over();
        assert_eq!(berth.wait(), Succession::HandedOver);
        assert!(berth.close(), "the supervisor comes too late");
        assert_eq!(berth.wait(), Succession::HandedOver, "and changes nothing");
        berth.reset();
        berth.arm();
        assert!(!berth.close());
        berth.hand_over();
        berth.clear();
        assert_eq!(berth.wait(), Succession::Clear, "the holder came too late");
    }
}
