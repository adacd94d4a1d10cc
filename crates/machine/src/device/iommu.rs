//! Which addresses the device may reach: a table of ranges on the panel, and the memory behind them.
//!
//! Switched off, the device reaches all memory that it is connected to, as any device did before 2005. Then a driver
//! that may talk to its device can have it write anywhere, whatever domain the driver is in.

use std::sync::atomic::Ordering::{Acquire, Release};

use super::frames::Frames;
use super::panel::Panel;

/// The memory that a device is connected to.
#[derive(Debug, Default)]
pub struct Bus(Vec<Frames>);

impl Bus {
    /// Memory, none of which overlaps.
    pub fn new(memory: Vec<Frames>) -> Bus {
        Bus(memory)
    }

    /// The memory at an address, if the device may reach all `len` bytes of it.
    fn locate(&self, panel: &Panel, address: u64, len: usize) -> Option<(&Frames, usize)> {
        if panel.iommu() && !panel.allows(address, len) {
            return None;
        }
        self.0.iter().find_map(|frames| Some((frames, frames.offset(address, len)?)))
    }

    /// Reads memory; `None` is a fault.
    pub fn load(&self, panel: &Panel, address: u64, to: &mut [u8]) -> Option<()> {
        let (frames, offset) = self.locate(panel, address, to.len())?;
        frames.load(offset, to);
        Some(())
    }

    /// Writes memory; `None` is a fault.
    pub fn store(&self, panel: &Panel, address: u64, from: &[u8]) -> Option<()> {
        let (frames, offset) = self.locate(panel, address, from.len())?;
        frames.store(offset, from);
        Some(())
    }

    /// Reads a word; `None` is a fault.
    pub fn word(&self, panel: &Panel, address: u64) -> Option<u64> {
        let (frames, offset) = self.locate(panel, address, 8)?;
        Some(frames.word(offset)?.load(Acquire))
    }

    /// Writes a word; `None` is a fault.
    pub fn set_word(&self, panel: &Panel, address: u64, value: u64) -> Option<()> {
        let (frames, offset) = self.locate(panel, address, 8)?;
        frames.word(offset)?.store(value, Release);
        Some(())
    }
}
