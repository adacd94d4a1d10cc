//! A component that goes at what is not its own, beside one of its calls: memory by its address, buffers of calls that are
//! over, handles of others. It calls the shipped component as it was called, but for a handle.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use kd_api::Operation;
use kd_api::around::{Names, Observer};
use kd_nucleus::trespass;

use super::{Misdeed, Trigger};
use crate::control::canary;

/// Bytes that are read or written at once, at most.
pub const GRASP: usize = 4096;

/// Around a component.
pub struct Trespasser {
    trigger: Trigger,
    /// The buffer of the last call that had one, and its bytes.
    last: [AtomicUsize; 2],
    /// The last inodes named that were not alike, the later one first.
    inodes: [AtomicU64; 2],
}

impl Trespasser {
    /// One that waits for its call.
    pub fn new(trigger: Trigger) -> Trespasser {
        let (last, inodes) = ([const { AtomicUsize::new(0) }; 2], [const { AtomicU64::new(0) }; 2]);
        Trespasser { trigger, last, inodes }
    }

    fn misdeed(&self) -> Misdeed {
        self.trigger.what.misdeed
    }

    /// Reads memory and shows it. What was read was read before anybody hears of it.
    fn read(&self, address: usize, len: usize) {
        let mut bytes = [0; GRASP];
        let bytes = &mut bytes[..len.min(GRASP)];
        (self.trigger.world.done)();
        trespass::load(address, bytes);
        (self.trigger.world.loot)(bytes);
    }

    fn read_recycled(&self) {
        let mut bytes = [0; GRASP];
        (self.trigger.world.done)();
        trespass::recycled(&mut bytes);
        (self.trigger.world.loot)(&bytes);
    }

    /// The buffer of the call before, which has come back long ago.
    fn late(&self, (address, len): (usize, usize)) {
        match self.misdeed() {
            Misdeed::ReadLate => self.read(address, len),
            _ => {
                (self.trigger.world.done)();
                trespass::store(address, &canary(self.trigger.what.salt)[..len.min(GRASP)]);
            }
        }
    }
}

impl Observer for Trespasser {
    fn enter(&self, _: &'static Operation, _: usize) {
        match self.misdeed() {
            Misdeed::Recycled if self.trigger.strikes() => self.read_recycled(),
            Misdeed::Secret | Misdeed::Cached if self.trigger.strikes() => {
                let target = (self.trigger.world.target)(self.trigger.what);
                target.into_iter().for_each(|address| self.read(address, GRASP));
            }
            _ => {}
        }
    }

    fn leave(&self, _: &'static Operation) {}

    fn meddles(&self) -> bool {
        true
    }

    fn pass(&self, what: Names, word: u64) -> u64 {
        if self.misdeed() != Misdeed::Foreign || what == Names::Descriptor {
            return word;
        }
        let other = match what {
            // The other one of two apps; the kernel itself is nobody else.
            Names::Caller if word == 0 => return word,
            Names::Caller => 3 - word.min(2),
            _ => {
                let [last, before] = &self.inodes;
                if last.load(Relaxed) != word {
                    before.store(last.swap(word, Relaxed), Relaxed);
                }
                before.load(Relaxed)
            }
        };
        if self.trigger.strikes_now() { other } else { word }
    }

    fn buffer(&self, at: *const u8, len: usize) {
        let now = (at as usize, len);
        match self.misdeed() {
            Misdeed::Stale if len > 0 && self.trigger.strikes() => self.read(now.0, now.1),
            Misdeed::WriteLate | Misdeed::ReadLate if len > 0 => {
                let [address, bytes] = &self.last;
                let last = (address.swap(now.0, Relaxed), bytes.swap(now.1, Relaxed));
                if self.trigger.strikes() && last.1 > 0 {
                    self.late(last);
                }
            }
            _ => {}
        }
    }
}
