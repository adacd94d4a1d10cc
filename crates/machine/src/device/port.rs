//! The driver's side of a device: what a driver module is handed.

use std::io;
use std::sync::atomic::Ordering::{Acquire, Release};

use kd_api::device::{Device, Register};
use kd_api::module::HostTable;
use kd_api::{InBuf, OutBuf};

use super::frames::Frames;
use super::registers::Registers;
use crate::memory::Memory;

/// A device, mapped in its driver's domain. Sleeping and waking are the host table's.
pub struct Port {
    registers: Registers,
    frames: Frames,
    host: &'static HostTable,
}

impl Port {
    /// Maps the registers, and the frames at `address` of the direct map, where the device knows them as well.
    pub fn map(registers: &Memory, frames: &Memory, address: usize, host: &'static HostTable) -> io::Result<Port> {
        let frames = Frames::new(address as u64, frames.map_at(address)?);
        Ok(Port { registers: Registers::map(registers)?, frames, host })
    }

    /// Where its memory is mapped: registers and frames, as address and bytes.
    pub fn memory(&self) -> [(usize, usize); 2] {
        [self.registers.memory(), self.frames.memory()]
    }
}

impl Device for Port {
    fn register(&self, register: Register) -> u64 {
        self.registers.get(register)
    }

    fn set_register(&self, register: Register, value: u64) {
        self.registers.set(register, value);
    }

    fn ring(&self) {
        self.registers.ring(self.host.wake);
    }

    fn interrupts(&self) -> u32 {
        self.registers.interrupts()
    }

    fn wait(&self, seen: u32) {
        self.registers.wait(seen, |line, seen| (self.host.wait)(line, seen, true));
    }

    fn frames(&self) -> usize {
        self.frames.size()
    }

    fn address(&self) -> u64 {
        self.frames.address()
    }

    fn word(&self, offset: usize) -> u64 {
        self.frames.word(offset).map_or(0, |word| word.load(Acquire))
    }

    fn set_word(&self, offset: usize, value: u64) {
        if let Some(word) = self.frames.word(offset) {
            word.store(value, Release);
        }
    }

    fn read(&self, offset: usize, len: usize, out: &mut OutBuf<'_>) -> usize {
        self.frames.read(offset, len, out)
    }

    fn write(&self, offset: usize, len: usize, data: &mut InBuf<'_>) -> usize {
        self.frames.write(offset, len, data)
    }
}
