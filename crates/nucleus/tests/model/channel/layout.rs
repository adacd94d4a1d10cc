//! A channel's memory in the model: fewer slots, and messages that loom watches. Two sides that touch one message without
//! an order between them fail the model.

use std::io;
use std::sync::{Arc, OnceLock};

use kd_api::Message;
use kd_api::window::Window;
use loom::cell::UnsafeCell;

use super::bell::Bell;
use crate::sync::atomic::AtomicU32;

pub const CALL_SLOTS: usize = 2;
pub const EVENT_SLOTS: usize = 1;
pub const SLOTS: usize = CALL_SLOTS + EVENT_SLOTS;

#[derive(Debug)]
pub struct Line {
    pub state: AtomicU32,
    message: UnsafeCell<Message>,
}

// SAFETY: loom runs all threads of a model on one thread of the host, and fails where accesses have no order.
unsafe impl Sync for Line {}
// SAFETY: as above.
unsafe impl Send for Line {}

impl Line {
    pub fn write(&self, message: &Message) {
        // SAFETY: the pointer is to a live cell that nobody else looks at, or loom fails the model first.
        self.message.with_mut(|to| unsafe { *to = *message });
    }

    pub fn read(&self, message: &mut Message) {
        // SAFETY: as in `write`.
        self.message.with(|from| unsafe { *message = *from });
    }
}

#[derive(Debug)]
pub struct Counters {
    pub violations: AtomicU32,
    pub repeated: AtomicU32,
    pub unknown: AtomicU32,
    pub dropped: AtomicU32,
}

#[derive(Debug)]
pub struct Page(AtomicU32);

impl Page {
    pub fn new() -> io::Result<Page> {
        Ok(Page(AtomicU32::new(0)))
    }
    pub fn word(&self) -> &AtomicU32 {
        &self.0
    }
}

#[derive(Debug)]
struct Memory {
    attention: AtomicU32,
    counters: Counters,
    taken: [AtomicU32; SLOTS],
    lines: [Line; SLOTS],
}

#[derive(Clone, Debug)]
pub struct Channel {
    memory: Arc<Memory>,
    pub bell: Bell,
}

impl Channel {
    pub fn new(bell: &Bell) -> Channel {
        let zero = || AtomicU32::new(0);
        let line = || Line { state: zero(), message: UnsafeCell::new(Message::default()) };
        let counters = Counters { violations: zero(), repeated: zero(), unknown: zero(), dropped: zero() };
        let (taken, lines) = (std::array::from_fn(|_| zero()), std::array::from_fn(|_| line()));
        Channel { memory: Arc::new(Memory { attention: zero(), counters, taken, lines }), bell: bell.clone() }
    }
    pub fn attention(&self) -> &AtomicU32 {
        &self.memory.attention
    }
    pub fn counters(&self) -> &Counters {
        &self.memory.counters
    }
    pub fn taken(&self) -> &[AtomicU32; SLOTS] {
        &self.memory.taken
    }
    pub fn lines(&self) -> &[Line; SLOTS] {
        &self.memory.lines
    }
    /// Nothing of the model is granted.
    pub fn pools(&self) -> &[Arc<kd_api::grant::Pool>] {
        &[]
    }
    /// Nothing of the model goes through windows; any will do.
    pub fn window(&self, slot: usize) -> Window<'_> {
        static REAL: OnceLock<kd_nucleus::channel::Channel> = OnceLock::new();
        let real = || kd_nucleus::channel::Channel::new("kd-model", &kd_nucleus::channel::Bell::new()?);
        REAL.get_or_init(|| real().expect("shared memory for one channel")).window(slot)
    }
}
