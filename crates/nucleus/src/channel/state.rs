//! The words that both ends of a channel agree on: what is in them, not where they are.

use super::layout::{Channel, Line};
use crate::sync::atomic::Ordering::Acquire;

/// Attention: a server thread looks for requests.
pub const AWAKE: u32 = 0;
/// Attention: nobody looks; whoever publishes a request rings the server's bell.
pub const ASLEEP: u32 = 1;
/// Attention: there is no server and there will be none.
pub const CLOSED: u32 = 2;

/// The state word of a slot: what it is, the client's `WAITER` mark, and the number of the exchange (24 bits).
///
/// A request is *pending* if the server's word for the slot holds the number before its own, and *in hand* if it holds
/// its own. So taking a request up writes no line that the client polls, and number and state are read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub u32);

/// Nobody's.
pub const IDLE: u32 = 0;
/// A request, pending or in hand.
pub const REQUEST: u32 = 1;
/// The reply is there.
pub const REPLY: u32 = 2;
/// The server died with the request in hand.
pub const DIED: u32 = 3;
/// Beside what it is: the client sleeps on the word.
pub const WAITER: u32 = 0x80;

impl State {
    /// A state of exchange `number`.
    pub const fn new(what: u32, number: u32) -> State {
        State(what | number << 8)
    }
    /// `IDLE`, `REQUEST`, `REPLY`, `DIED`, or what a peer scribbled.
    pub const fn what(self) -> u32 {
        self.0 & 0x7f
    }
    /// Whether the client sleeps on it.
    pub const fn waits(self) -> bool {
        self.0 & WAITER != 0
    }
    /// The exchange's number.
    pub const fn number(self) -> u32 {
        self.0 >> 8
    }
    /// The number before it.
    pub const fn previous(self) -> u32 {
        self.number().wrapping_sub(1) & 0xff_ffff
    }
}

impl Line {
    /// The state as it is now.
    #[inline]
    pub fn state(&self) -> State {
        State(self.state.load(Acquire))
    }
}

impl Channel {
    /// A slot's state as it is now, and whether it is a request in hand.
    pub fn look(&self, slot: usize) -> (State, bool) {
        let state = self.lines()[slot].state();
        (state, state.what() == REQUEST && self.taken()[slot].load(Acquire) == state.number())
    }
}
