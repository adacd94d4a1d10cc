//! How many requests a server has taken up, from the numbers that its channels bear anyway: counting costs a call nothing.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use super::layout::{Channel, SLOTS};

/// Numbers of exchanges have so many bits.
const MASK: u32 = 0xff_ffff;

/// The exchanges of one channel. It must be looked at before any slot's number comes round: some seconds at full speed.
#[derive(Debug, Default)]
pub struct Exchanges {
    seen: Cell<[u32; SLOTS]>,
    total: Cell<u64>,
}

impl Exchanges {
    /// All that were taken up until now.
    pub fn count(&self, channel: &Channel) -> u64 {
        let mut seen = self.seen.get();
        for (before, taken) in seen.iter_mut().zip(channel.taken()) {
            let now = taken.load(Relaxed);
            self.total.set(self.total.get() + u64::from(now.wrapping_sub(*before) & MASK));
            *before = now;
        }
        self.seen.set(seen);
        self.total.get()
    }
}
