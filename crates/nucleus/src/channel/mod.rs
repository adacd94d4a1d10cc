//! Channels: how one domain calls another across processes.
//!
//! A channel is a piece of memory that exactly one client domain and one server domain share: a few slots of one cache
//! line each, and a window per slot. Beside it, a server shares one page with all its clients: the bell that wakes it. A call takes one slot through these states:
//!
//! ```text
//! IDLE --client--> REQUEST (pending, then in hand) --server--> REPLY --client--> next REQUEST
//!                     |                       '--supervisor, server dead--> DIED
//!                     '-- pending, server dead: the next server takes it up, since nobody has begun it
//! ```
//!
//! Which slots are in use is the client's private knowledge; which requests are in hand is the server's own word, in a
//! line the client does not poll; the state word is all that both must agree on. Events use slots of their own, freed
//! by the server. The memory outlives a server: its successor finds the requests of its clients where they were, so
//! that reconnecting needs nothing from a client.

mod bell;
mod client;
mod exchanges;
mod gate;
mod layout;
mod scrub;
mod server;
mod state;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use kd_machine::clock;

pub use bell::Bell;
pub use client::ChannelPort;
pub use exchanges::Exchanges;
pub use gate::Gate;
pub use layout::{CALL_SLOTS, Channel, Counters, Page, pool};
pub use scrub::{Stuck, abandon, is_idle, reset, scrub, stuck, withdraw};
pub use server::{Pool, abandon_current, answer_unasked};

/// How somebody waits for the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wait {
    /// Polls and never gives the core up: only where there are no more actors than cores. A server that nobody calls for a
    /// while sleeps nevertheless, and is no actor then.
    Spin,
    /// Polls a little, then offers the core to others between polls; with one core it offers it at once. Servers that nobody
    /// calls sleep as with `Spin`.
    Yield,
    /// Sleeps on a futex at once.
    Block,
    /// Polls as `Yield` for a while, then sleeps as `Block`; where others compete for its cores, so that an offered core
    /// comes back late, it sleeps at once.
    Adaptive,
}

impl Wait {
    /// All of them.
    pub const ALL: [Wait; 4] = [Wait::Spin, Wait::Yield, Wait::Block, Wait::Adaptive];

    /// Its name in manifests and results.
    pub const fn name(self) -> &'static str {
        match self {
            Wait::Spin => "spin",
            Wait::Yield => "yield",
            Wait::Block => "block",
            Wait::Adaptive => "adaptive",
        }
    }

    /// How to wait at this moment: where a core came back late not long ago, an adaptive waiter blocks.
    #[inline]
    fn now(self) -> Wait {
        if self != Wait::Adaptive {
            return self;
        }
        match LATE.load(Relaxed) {
            0 => self,
            // A count that two threads make at once is one too many, which does no harm.
            left => {
                LATE.store(left - 1, Relaxed);
                Wait::Block
            }
        }
    }

    /// The one of this name.
    pub fn from_name(name: &str) -> Option<Wait> {
        Wait::ALL.into_iter().find(|wait| wait.name() == name)
    }
}

/// Pauses of a client before its first poll. Nothing can have come back before our line went over to the other core and its
/// own came back; a poll in between takes the line away from whoever is about to write it, and costs two transfers more.
/// Only a pause keeps polls back: a processor that runs ahead of any other delay polls at once.
const CLIENT_HEAD_START: u32 = 1;
/// Pauses of a server after an answer: the client looks at that as well, and makes its next call. Both found by trying 0 to
/// 4 on either side, in rounds, some hundred pairs of processes each: where the two cores share their first cache these are
/// the best by a fifth, one more on either side costs that much, and where they don't nothing depends on it.
const SERVER_HEAD_START: u32 = 2;
/// Polls before the core is offered to others: about as long as a message takes between two cores.
const SPINS: u32 = 64;
/// Offers of the core before an adaptive waiter sleeps: some hundred microseconds, longer than any short call takes.
const YIELDS: u32 = 256;

/// Polls in a row that find no request, after which a server that spins or yields sleeps until its bell rings: some hundred
/// microseconds. Else a kernel's idle servers would keep the cores from the few that a workload calls.
const IDLE_POLLS: u32 = 10_000;
/// Offers of the only core before an adaptive waiter sleeps: enough for a chain of servers, each of which offers the core as well.
const YIELDS_ALONE: u32 = 16;
/// Nanoseconds after which an offered core came back late: no short call takes so long, but any slice of the host's
/// scheduler does, so that somebody else wants this core, and a waiter who sleeps is woken in their place.
const LATE_AFTER: u64 = 300_000;
/// Waits of this process that block after that, at first and at most: each time that the core comes back late again they are
/// `LATE_GROWTH` times as many, and each time that it comes back soon a few less, so that who once had to wait for a
/// slice of somebody's loses little, and who waits beside load loses a slice in tens of thousands of calls. Found by trying
/// 4, 8 and 32: the more, the longer a process that is made once a second on the side is felt; the fewer, the more slices
/// are lost beside a load that stays.
const LATE_FOR: (u32, u32) = (32, 32_768);
const LATE_GROWTH: u32 = 8;
/// How many of them are left.
static LATE: AtomicU32 = AtomicU32::new(0);
/// How many there will be the next time.
static LATE_NEXT: AtomicU32 = AtomicU32::new(LATE_FOR.0);

/// Polls of one wait, counted; says what to do between two of them.
struct Patience {
    wait: Wait,
    polls: u32,
}

impl Patience {
    /// For a wait that begins now, just after we wrote what the other side waits for.
    #[inline]
    fn new(wait: Wait, head_start: u32) -> Patience {
        Patience::with(wait, head_start, matches!(wait, Wait::Yield | Wait::Adaptive) && crate::process::has_one_core())
    }

    /// `alone`: with one core nothing can happen while we poll it, so that the first polls are as good as made.
    #[inline]
    fn with(wait: Wait, head_start: u32, alone: bool) -> Patience {
        if wait != Wait::Block && !alone {
            (0..head_start).for_each(|_| std::hint::spin_loop());
        }
        let polls = match (alone, wait) {
            (false, _) => 0,
            (true, Wait::Adaptive) => SPINS + YIELDS - YIELDS_ALONE,
            (true, _) => SPINS,
        };
        Patience { wait, polls }
    }

    /// Passes the time until the next poll; `false` when it is time to sleep instead.
    #[inline]
    fn poll_again(&mut self) -> bool {
        if self.wait == Wait::Block {
            return false;
        }
        std::hint::spin_loop();
        self.polls = self.polls.saturating_add(1);
        if self.wait == Wait::Spin || self.polls < SPINS {
            return true;
        }
        if self.wait == Wait::Adaptive && self.polls > SPINS + YIELDS {
            return false;
        }
        if self.wait == Wait::Adaptive {
            return offer();
        }
        std::thread::yield_now();
        true
    }

    /// Whether a server that polls has found nothing for so long that it is idle.
    #[inline]
    fn is_idle(&self) -> bool {
        self.polls > IDLE_POLLS
    }

    /// Whether the other side may still answer before the core is offered to others.
    #[inline]
    fn is_short(&self) -> bool {
        self.wait != Wait::Block && self.polls < SPINS
    }
}

/// Offers the core; `false` if it came back late.
fn offer() -> bool {
    let before = clock::now();
    std::thread::yield_now();
    let late = clock::now() - before > LATE_AFTER;
    let next = LATE_NEXT.load(Relaxed);
    if late {
        LATE.store(next, Relaxed);
        LATE_NEXT.store((next * LATE_GROWTH).min(LATE_FOR.1), Relaxed);
    } else if next > LATE_FOR.0 {
        LATE_NEXT.store((next - next / 16).max(LATE_FOR.0), Relaxed);
    }
    !late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_yields_on_one_core_polls_nothing_first() {
        for wait in [Wait::Yield, Wait::Adaptive] {
            assert!(!Patience::with(wait, 0, true).is_short(), "the core is offered at once");
        }
        let mut patience = Patience::with(Wait::Yield, 0, false);
        let short = std::iter::from_fn(|| patience.is_short().then(|| patience.poll_again())).count();
        assert_eq!(short, SPINS as usize);
    }

    #[test]
    fn who_adapts_to_one_core_sleeps_after_some_offers() {
        let mut patience = Patience::with(Wait::Adaptive, 0, true);
        let offers = std::iter::from_fn(|| patience.poll_again().then_some(())).count();
        // Fewer if this machine gave the core back late.
        assert!(offers <= YIELDS_ALONE as usize && (offers == YIELDS_ALONE as usize || LATE.load(Relaxed) > 0));
    }
}
