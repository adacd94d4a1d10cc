//! A channel's memory, field by field. `unsafe` of channels is here and nowhere else.
//!
//! | offset | what | written by |
//! | --- | --- | --- |
//! | 0 | attention: [`AWAKE`](super::state::AWAKE), `ASLEEP` or `CLOSED` | server |
//! | 64 | [`Counters`] | client |
//! | 128 | for each slot, the number of the last request taken up | server |
//! | 512 + 64 i | slot i: state word, then the message | both in turn |
//! | 4096 + [`WINDOW`] i | window of slot i | both in turn |

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use kd_api::Message;
use kd_api::grant::Pool;
use kd_api::message::WORDS;
use kd_api::window::{WINDOW, Window};
use kd_machine::memory::{Mapping, Memory, Words};

use super::bell::Bell;

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
    /// A [`State`](super::state::State).
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

/// The page that a server shares with all its clients, for its bell.
#[derive(Debug)]
pub struct Page(Words);

impl Page {
    /// Memory for one.
    pub fn memory() -> io::Result<Memory> {
        Memory::new("kd-bell", 4096)
    }

    /// A fresh one, of zeros.
    pub fn new() -> io::Result<Page> {
        Page::map(&Page::memory()?)
    }

    /// The one in this memory object.
    pub fn map(memory: &Memory) -> io::Result<Page> {
        Ok(Page(Words::new(memory.map()?)))
    }

    /// Its first word.
    pub fn word(&self) -> &AtomicU32 {
        self.0.get_half(0)
    }
}

/// A fresh pool of so many bytes, in shared memory of its own; who is forked afterwards maps it as well.
pub fn pool(size: usize) -> io::Result<Arc<Pool>> {
    let mapping = Memory::new("kd-grants", size)?.map()?;
    // SAFETY: the mapping has that many bytes and lives in the pool; nobody makes references into it.
    Ok(Arc::new(unsafe { Pool::new(mapping.start(), size, Box::new(mapping)) }))
}

/// A channel as this process sees it. Clones share the mapping.
#[derive(Clone)]
pub struct Channel {
    mapping: Arc<Mapping>,
    /// The bell of the server at its end.
    pub bell: Bell,
    pools: Arc<[Arc<Pool>]>,
}

impl Channel {
    /// A fresh channel in shared memory of its own, to the server that sleeps on `bell`.
    pub fn new(name: &str, bell: &Bell) -> io::Result<Channel> {
        Channel::map(&Channel::memory(name)?, bell)
    }

    /// Memory for a channel.
    pub fn memory(name: &str) -> io::Result<Memory> {
        Memory::new(name, SIZE)
    }

    /// The channel in such a memory object.
    pub fn map(memory: &Memory, bell: &Bell) -> io::Result<Channel> {
        if memory.size() != SIZE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a channel has a size of its own"));
        }
        Ok(Channel { mapping: Arc::new(memory.map()?), bell: bell.clone(), pools: Arc::from([]) })
    }

    /// The same with pools that both ends map, from which the client may grant buffers.
    pub fn with_pools(self, pools: &[Arc<Pool>]) -> Channel {
        Channel { pools: pools.into(), ..self }
    }

    /// Its pools.
    #[inline]
    pub fn pools(&self) -> &[Arc<Pool>] {
        &self.pools
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
