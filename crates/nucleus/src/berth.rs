//! A berth: the word on which a standby waits to take a process's place, and by which a dying process gives it up.
//!
//! Supervisor, server and standby map it. While it is armed, whoever comes first decides, by one exchange of the word: the
//! dying server, which hands its place over at once, or the supervisor, which has things to put in order before. A server
//! that scribbles on it has its place taken, and is killed by who takes it.
//!
//! A process that is killed hands nothing over itself: the host does it. Armed, the word has the form of a *robust futex* (`man 2
//! set_robust_list`) that the holder's first thread holds, so the host takes it from that thread when it ends, and wakes who
//! waits: before it takes the address space down, and so long before it tells of the death.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use kd_machine::memory::{Memory, Words};

use crate::futex;

/// Nobody may take the place.
const CLOSED: u32 = 0;
/// With a holder's number: who dies may hand it over. The host wakes nobody without this mark.
const ARMED: u32 = libc::FUTEX_WAITERS;
/// It was handed over: the last holder is dying, and nothing has been put in order. What the host makes of an armed word.
const HANDED_OVER: u32 = libc::FUTEX_WAITERS | libc::FUTEX_OWNER_DIED;
/// All is in order.
const CLEAR: u32 = libc::FUTEX_OWNER_DIED;
/// The number in a word; that of all ones is no thread's.
const HOLDER: u32 = libc::FUTEX_TID_MASK;

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
    /// A closed one, which nobody has who is forked from here, unless it is [shared](Berth::share_with_children) with him.
    pub fn new() -> io::Result<Berth> {
        let mapping = Memory::new("kd-berth", 4096)?.map()?;
        mapping.keep_from_children()?;
        Ok(Berth(Arc::new(Words::new(mapping))))
    }

    /// Whether processes that are forked from now on have it.
    pub fn share_with_children(&self, share: bool) -> io::Result<()> {
        self.0.share_with_children(share)
    }

    /// The word, for who tells the host of it.
    pub(crate) fn word(&self) -> &AtomicU32 {
        self.0.get_half(0)
    }

    /// From now on a dying holder may hand it over, or the host when the holder of this number ends, by whatever it may be.
    pub fn arm(&self, holder: Option<i32>) {
        let holder = holder.map_or(HOLDER, |holder| holder as u32 & HOLDER);
        let _ = self.word().compare_exchange(CLOSED, ARMED | holder, AcqRel, Acquire);
    }

    /// From now on nobody may; whether somebody has done so before.
    pub fn close(&self) -> bool {
        // Out of every other state it is the supervisor's own.
        let armed = |now: u32| (now & HOLDER != 0).then_some(CLOSED);
        match self.word().fetch_update(AcqRel, Acquire, armed) {
            Ok(_) => false,
            Err(now) => now == HANDED_OVER,
        }
    }

    /// Closes it, whatever it was: for a new standby.
    pub fn reset(&self) {
        self.word().store(CLOSED, Release);
    }

    /// The holder dies: hands the place over if it may; whether somebody has it now. Fit for a signal handler.
    pub fn hand_over(&self) -> bool {
        let armed = |now: u32| (now & HOLDER != 0).then_some(HANDED_OVER);
        let handed_over = self.word().fetch_update(AcqRel, Acquire, armed).is_ok();
        if handed_over {
            futex::wake(self.word(), 1);
        }
        handed_over
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
        assert!(!berth.hand_over());
        assert!(!berth.close(), "a closed one stays closed");
        berth.arm(None);
        assert!(berth.hand_over() && !berth.hand_over());
        assert_eq!(berth.wait(), Succession::HandedOver);
        assert!(berth.close(), "the supervisor comes too late");
        assert_eq!(berth.wait(), Succession::HandedOver, "and changes nothing");
        berth.reset();
        berth.arm(None);
        assert!(!berth.close());
        assert!(!berth.hand_over());
        berth.clear();
        assert_eq!(berth.wait(), Succession::Clear, "the holder came too late");
    }
}
