//! A driver that gives its device a wrong address: what it puts into the ring is changed on its way. The driver's code is the
//! shipped one, and the device does what it is told, as far as its IOMMU lets it.

use kd_api::device::{DESCRIPTOR, Device, QUEUE_MAX, Register};
use kd_api::{InBuf, OutBuf};

use super::Trigger;

/// Where a descriptor has its address, among its words.
const ADDRESS: usize = 2;

/// A device as its driver sees it.
pub struct Astray {
    inner: &'static dyn Device,
    trigger: Trigger,
}

impl Astray {
    /// In a device's place.
    pub fn new(inner: &'static dyn Device, trigger: Trigger) -> Astray {
        Astray { inner, trigger }
    }

    /// What goes into the ring at this place.
    fn word_for(&self, offset: usize, value: u64) -> u64 {
        let is_address = offset < QUEUE_MAX * DESCRIPTOR * 8 && offset / 8 % DESCRIPTOR == ADDRESS;
        if !is_address || !self.trigger.strikes() {
            return value;
        }
        match (self.trigger.world.target)(self.trigger.what) {
            Some(address) => {
                (self.trigger.world.done)();
                address as u64
            }
            None => value,
        }
    }
}

impl Device for Astray {
    fn register(&self, register: Register) -> u64 {
        self.inner.register(register)
    }
    fn set_register(&self, register: Register, value: u64) {
        self.inner.set_register(register, value);
    }
    fn ring(&self) {
        self.inner.ring();
    }
    fn interrupts(&self) -> u32 {
        self.inner.interrupts()
    }
    fn wait(&self, seen: u32) {
        self.inner.wait(seen);
    }
    fn frames(&self) -> usize {
        self.inner.frames()
    }
    fn address(&self) -> u64 {
        self.inner.address()
    }
    fn word(&self, offset: usize) -> u64 {
        self.inner.word(offset)
    }
    fn set_word(&self, offset: usize, value: u64) {
        self.inner.set_word(offset, self.word_for(offset, value));
    }
    fn read(&self, offset: usize, len: usize, out: &mut OutBuf<'_>) -> usize {
        self.inner.read(offset, len, out)
    }
    fn write(&self, offset: usize, len: usize, data: &mut InBuf<'_>) -> usize {
        self.inner.write(offset, len, data)
    }
}
