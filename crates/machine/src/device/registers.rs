//! The page of registers, with the words behind doorbell and interrupt.

use std::io;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;

use kd_api::device::{Register, State, status};

use crate::memory::{Memory, Words};

/// Bytes of the page.
pub const SIZE: usize = 4096;
/// Counts rings of the doorbell; the device sleeps on it.
const DOORBELL: usize = 16;
/// Whether the device sleeps: an awake one need not be woken.
const ASLEEP: usize = 17;
/// Counts interrupts; drivers sleep on it.
const INTERRUPTS: usize = 18;
/// Sleepers there. One killed in its sleep stays counted, which costs needless wakes only.
const WAITING: usize = 19;

/// The registers. Their driver can write every one at any time.
#[derive(Debug)]
pub struct Registers(Words);

/// Wakes sleepers on a word, at most so many.
pub type Wake = fn(word: &AtomicU32, count: u32);

impl Registers {
    /// The registers in a memory object of [`SIZE`] bytes.
    pub fn map(memory: &Memory) -> io::Result<Registers> {
        if memory.size() < SIZE {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "registers need a page"));
        }
        let mapping = memory.map()?;
        mapping.keep_from_children()?;
        Ok(Registers(Words::new(mapping)))
    }

    /// Where they are mapped: address and bytes.
    pub fn memory(&self) -> (usize, usize) {
        self.0.memory()
    }

    /// What a register holds.
    pub fn get(&self, register: Register) -> u64 {
        self.0.get(register as usize).load(SeqCst)
    }

    /// Sets it.
    pub fn set(&self, register: Register, value: u64) {
        self.0.get(register as usize).store(value, SeqCst);
    }

    /// Rings the doorbell.
    pub fn ring(&self, wake: Wake) {
        let bell = self.0.get_half(DOORBELL);
        bell.fetch_add(1, SeqCst);
        if self.0.get(ASLEEP).load(SeqCst) != 0 {
            wake(bell, u32::MAX);
        }
    }

    /// How often it rang; to be read before looking for work.
    pub fn rings(&self) -> u32 {
        self.0.get_half(DOORBELL).load(SeqCst)
    }

    /// Sleeps by `park`, the host's futex, until the doorbell rang more often than `seen`; may return early.
    pub fn sleep(&self, seen: u32, park: impl FnOnce(&AtomicU32, u32)) {
        self.0.get(ASLEEP).store(1, SeqCst);
        let bell = self.0.get_half(DOORBELL);
        if bell.load(SeqCst) == seen {
            park(bell, seen);
        }
        self.0.get(ASLEEP).store(0, SeqCst);
    }

    /// Raises the interrupt.
    pub fn interrupt(&self, wake: Wake) {
        let line = self.0.get_half(INTERRUPTS);
        line.fetch_add(1, SeqCst);
        if self.0.get(WAITING).load(SeqCst) != 0 {
            wake(line, u32::MAX);
        }
    }

    /// Interrupts so far.
    pub fn interrupts(&self) -> u32 {
        self.0.get_half(INTERRUPTS).load(SeqCst)
    }

    /// Sleeps by `park` while there were `seen` interrupts; may return early.
    pub fn wait(&self, seen: u32, park: impl FnOnce(&AtomicU32, u32)) {
        self.0.get(WAITING).fetch_add(1, SeqCst);
        let line = self.0.get_half(INTERRUPTS);
        if line.load(SeqCst) == seen {
            park(line, seen);
        }
        self.0.get(WAITING).fetch_sub(1, SeqCst);
    }

    /// The device was pulled out: no request will complete any more.
    pub fn gone(&self, wake: Wake) {
        self.set(Register::Status, status(self.get(Register::Control), State::Gone));
        self.interrupt(wake);
    }
}
