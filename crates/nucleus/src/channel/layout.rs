//! A channel's memory, field by field. `unsafe` of channels is here and nowhere else.
//!
//! | offset | what | written by |
//! | --- | --- | --- |
//! | 0 | attention: [`AWAKE`], [`ASLEEP`] or [`CLOSED`] | server |
//! | 64 | [`Counters`] | client |
//! | 128 | for each slot, the number of the last request taken up | server |
//! | 512 + 64 i | slot i: state word, then the message | both in turn |
//! | 4096 + [`WINDOW`] i | window of slot i | both in turn |

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst};

use kd_api::Message;
use kd_api::message::WORDS;
use kd_api::window::{WINDOW, Window};
use kd_machine::memory::{Mapping, Memory, Words};

/// Slots for calls: a client domain can have as many calls under way to one server.
pub const CALL_SLOTS: usize = 6;
/// Slots for events.
pub const EVENT_SLOTS: usize = 2;
/// All slots.
pub const SLOTS: usize = CALL_SLOTS + EVENT_SLOTS;

const COUNTERS: usize = 64;
const TAKEN: usize = 128;
const LINES: usize = 512;
const WINDOWS: usize = 4096;
const SIZE: usize = WINDOWS + SLOTS * WINDOW;

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

/// What a client counts for whoever supervises its server.
#[repr(C)]
#[derive(Debug)]
pub struct Counters {
    /// Answers that no honest server gives.
    pub violations: AtomicU32,
    /// Calls repeated after a restart.
    pub repeated: AtomicU32,
    /// Calls whose outcome stayed unknown.
    pub unknown: AtomicU32,
    /// Events dropped for want of a slot.
    pub dropped: AtomicU32,
}

/// One slot's cache line. Every field is atomic: a peer that scribbles yields wrong values, never undefined behaviour.
#[repr(C, align(64))]
pub struct Line {
    /// A [`State`].
    pub state: AtomicU32,
    sequence: AtomicU32,
    /// Operation in the lower half, status in the upper.
    operation_status: AtomicU32,
    bulk: AtomicU32,
    words: [AtomicU64; WORDS],
}

const _: () =
    assert!(size_of::<Line>() == 64 && LINES + SLOTS * 64 <= WINDOWS && COUNTERS + size_of::<Counters>() <= TAKEN);

impl Line {
    /// The state as it is now.
    #[inline]
    pub fn state(&self) -> State {
        State(self.state.load(Acquire))
    }

    /// Stores a message; published by the state word's release.
    #[inline]
    pub fn write(&self, message: &Message) {
        self.sequence.store(message.sequence, Relaxed);
        let status = u32::from(message.status as u16) << 16;
        self.operation_status.store(status | u32::from(message.operation), Relaxed);
        self.bulk.store(message.bulk, Relaxed);
        for (to, word) in self.words.iter().zip(message.words) {
            to.store(word, Relaxed);
        }
    }

    /// Copies the message out; what is checked afterwards is the copy.
    #[inline]
    pub fn read(&self, message: &mut Message) {
        let operation_status = self.operation_status.load(Relaxed);
        message.sequence = self.sequence.load(Relaxed);
        message.operation = operation_status as u16;
        message.status = (operation_status >> 16) as i16;
        message.bulk = self.bulk.load(Relaxed);
        for (word, from) in message.words.iter_mut().zip(&self.words) {
            *word = from.load(Relaxed);
        }
    }
}

/// A server's bell: the futex that its idle threads sleep on, in a page that it shares with all its clients.
///
/// It carries no data. A client that scribbles on it can delay the waking of a thread that is just going to sleep, and
/// with it another client's call until the next ring; it can do no other harm.
#[derive(Clone, Debug)]
pub struct Bell {
    page: Arc<Words>,
}

impl Bell {
    /// A bell in shared memory.
    pub fn new() -> io::Result<Bell> {
        Ok(Bell { page: Arc::new(Words::new(Memory::new("kd-bell", 4096)?.map()?)) })
    }

    fn word(&self) -> &AtomicU32 {
        self.page.get_half(0)
    }

    /// How often it was rung.
    pub fn rung(&self) -> u32 {
        self.word().load(SeqCst)
    }

    /// Wakes one sleeping server thread, and keeps one about to sleep from doing so.
    pub fn ring(&self) {
        self.word().fetch_add(1, SeqCst);
        crate::futex::wake(self.word(), 1);
    }

    /// Sleeps until it has been rung more often than `rung`; may return early.
    pub fn sleep(&self, rung: u32) {
        crate::futex::wait(self.word(), rung);
    }
}

/// A channel as this process sees it. Clones share the mapping.
#[derive(Clone, Debug)]
pub struct Channel {
    mapping: Arc<Mapping>,
    /// The bell of the server at its end.
    pub bell: Bell,
}

impl Channel {
    /// A fresh channel in shared memory of its own, to the server that sleeps on `bell`.
    pub fn new(name: &str, bell: &Bell) -> io::Result<Channel> {
        let mapping = Memory::new(name, SIZE)?.map()?;
        Ok(Channel { mapping: Arc::new(mapping), bell: bell.clone() })
    }

    /// Whether processes that are forked from now on have it.
    pub fn share_with_children(&self, share: bool) -> io::Result<()> {
        self.mapping.share_with_children(share)
    }

    #[inline]
    fn at<T>(&self, offset: usize) -> NonNull<T> {
        debug_assert!(offset + size_of::<T>() <= SIZE);
        // SAFETY: callers pass offsets of the table above, which lie within the mapping of `SIZE` bytes.
        unsafe { self.mapping.start().add(offset) }.cast()
    }

    /// Whether a server thread looks for requests by itself.
    #[inline]
    pub fn attention(&self) -> &AtomicU32 {
        // SAFETY: within the mapping, aligned, valid for any bit pattern, alive as long as `self`.
        unsafe { self.at::<AtomicU32>(0).as_ref() }
    }

    /// The counters.
    pub fn counters(&self) -> &Counters {
        // SAFETY: as for `attention`; all fields are atomics.
        unsafe { self.at::<Counters>(COUNTERS).as_ref() }
    }

    /// For each slot the number of the last request taken up.
    #[inline]
    pub fn taken(&self) -> &[AtomicU32; SLOTS] {
        // SAFETY: as for `attention`.
        unsafe { self.at::<[AtomicU32; SLOTS]>(TAKEN).as_ref() }
    }

    /// A slot's state as it is now, and whether it is a request in hand.
    pub fn look(&self, slot: usize) -> (State, bool) {
        let state = self.lines()[slot].state();
        (state, state.what() == REQUEST && self.taken()[slot].load(Acquire) == state.number())
    }

    /// The lines of all slots.
    #[inline]
    pub fn lines(&self) -> &[Line; SLOTS] {
        // SAFETY: as for `attention`; all fields are atomics.
        unsafe { self.at::<[Line; SLOTS]>(LINES).as_ref() }
    }

    /// The window of a slot.
    #[inline]
    pub fn window(&self, slot: usize) -> Window<'_> {
        assert!(slot < SLOTS, "a slot's number comes from our own loops");
        // SAFETY: within the mapping, which lives as long as `self`; nobody makes references into windows.
        unsafe { Window::new(self.at(WINDOWS + slot * WINDOW)) }
    }
}
