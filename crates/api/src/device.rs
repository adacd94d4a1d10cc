//! The border between a driver and a device with a ring, after NVMe and virtio-blk.
//!
//! A device is a page of [`Register`]s, an interrupt, and frames of memory lent to it. The driver puts descriptors into a
//! ring in those frames, stores the new tail and rings the doorbell; the device moves the data itself (DMA), writes a
//! completion into a second ring, and raises the interrupt. Requests complete in any order.
//!
//! | words | what |
//! | --- | --- |
//! | descriptor 0 | operation (bits 0-7), force unit access (bit 8), its number (16-31), bytes (32-63) |
//! | descriptor 1 | first sector |
//! | descriptor 2 | where in the device's address space the data lies |
//! | descriptor 3 | nothing, zero |
//! | completion | status (bits 0-15), the descriptor's number (16-31), how many completions there are with it (32-63) |
//!
//! An entry of either ring is at index `count % queue size`, counted from the reset; the queue size is a power of two.
//! The completion's own count tells a new entry from an old one, as NVMe's phase bit does. There is nothing to
//! acknowledge: an interrupt is an event, as a message-signalled one is.

use crate::{InBuf, OutBuf};

/// Most bytes that one descriptor moves.
pub const PAGE: usize = 4096;
/// Most descriptors of a ring.
pub const QUEUE_MAX: usize = 64;
/// Words of a descriptor.
pub const DESCRIPTOR: usize = 4;

/// The registers, each a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Register {
    /// Read: size in sectors.
    Capacity,
    /// Write: a number other than the last one resets the device, which takes the registers below as they stand then,
    /// forgets every request, and answers in `Status`.
    Control,
    /// Read: the number in `Control` that it answers, and a [`State`] in the lowest two bits.
    Status,
    /// Write: entries of each ring.
    QueueSize,
    /// Write: address of the descriptors.
    Submissions,
    /// Write: address of the completions.
    Completions,
    /// Write: how many descriptors there were since the reset.
    Tail,
}

/// What a device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Without power, or never reset.
    Off,
    /// Takes requests.
    Ready,
    /// Its driver broke the protocol: only a reset helps.
    Failed,
    /// It is not there any more.
    Gone,
}

/// What `Status` holds.
pub const fn status(control: u64, state: State) -> u64 {
    control << 2 | state as u64
}

/// The parts of what `Status` holds.
pub const fn parse_status(word: u64) -> (u64, State) {
    let state = match word & 3 {
        0 => State::Off,
        1 => State::Ready,
        2 => State::Failed,
        _ => State::Gone,
    };
    (word >> 2, state)
}

/// What a descriptor asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// From the medium into frames.
    Read,
    /// From frames to the medium.
    Write,
    /// Everything written before becomes stable.
    Flush,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it asks for.
    pub op: Op,
    /// Whether what it writes is stable when it completes.
    pub fua: bool,
    /// By which its completion is known.
    pub id: u16,
    /// Bytes: whole sectors, at most [`PAGE`].
    pub len: u32,
    /// The first sector.
    pub sector: u64,
    /// Where the data lies.
    pub address: u64,
}

impl Descriptor {
    /// As it stands in the ring.
    pub fn encode(&self) -> [u64; DESCRIPTOR] {
        let first = self.op as u64 | u64::from(self.fua) << 8 | u64::from(self.id) << 16 | u64::from(self.len) << 32;
        [first, self.sector, self.address, 0]
    }

    /// What stands in the ring; the number alone if it is no descriptor.
    pub fn parse(words: [u64; DESCRIPTOR]) -> Result<Descriptor, u16> {
        let [first, sector, address, rest] = words;
        let id = (first >> 16) as u16;
        let op = match first & 0xff {
            0 => Op::Read,
            1 => Op::Write,
            2 => Op::Flush,
            _ => return Err(id),
        };
        if first & 0xfe00 != 0 || rest != 0 {
            return Err(id);
        }
        Ok(Descriptor { op, fua: first & 0x100 != 0, id, len: (first >> 32) as u32, sector, address })
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Done,
    /// No request that this device knows.
    Invalid,
    /// The address is none that the device may reach.
    Fault,
    /// The medium failed.
    Media,
}

/// A completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// How the request ended.
    pub outcome: Outcome,
    /// Its descriptor's number.
    pub id: u16,
    /// How many completions there are with this one.
    pub count: u32,
}

impl Completion {
    /// As it stands in the ring.
    pub fn encode(&self) -> u64 {
        self.outcome as u64 | u64::from(self.id) << 16 | u64::from(self.count) << 32
    }

    /// What stands in the ring.
    pub fn parse(word: u64) -> Completion {
        let outcome = match word & 0xffff {
            0 => Outcome::Done,
            1 => Outcome::Invalid,
            2 => Outcome::Fault,
            _ => Outcome::Media,
        };
        Completion { outcome, id: (word >> 16) as u16, count: (word >> 32) as u32 }
    }
}

/// A device, as its driver's domain reaches it.
pub trait Device: Send + Sync {
    /// What a register holds.
    fn register(&self, register: Register) -> u64;
    /// Writes a register. The device need not notice before the doorbell rings.
    fn set_register(&self, register: Register, value: u64);
    /// Rings the doorbell: the device looks at its registers.
    fn ring(&self);
    /// Interrupts so far.
    fn interrupts(&self) -> u32;
    /// Sleeps while there were `seen` interrupts; may return early.
    fn wait(&self, seen: u32);
    /// Bytes of the frames that are lent to the device.
    fn frames(&self) -> usize;
    /// The device's address of the first of them.
    fn address(&self) -> u64;
    /// The word at byte `offset` of the frames; 0 where there is none.
    fn word(&self, offset: usize) -> u64;
    /// Writes it.
    fn set_word(&self, offset: usize, value: u64);
    /// Copies up to `len` bytes from byte `offset` of the frames on; returns how many.
    fn read(&self, offset: usize, len: usize, out: &mut OutBuf<'_>) -> usize;
    /// Copies up to `len` bytes to byte `offset` of the frames; returns how many.
    fn write(&self, offset: usize, len: usize, data: &mut InBuf<'_>) -> usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_these_words() {
        let write = Descriptor { op: Op::Write, fua: true, id: 5, len: 4096, sector: 77, address: 0x1234 };
        assert_eq!(write.encode(), [0x0000_1000_0005_0101, 77, 0x1234, 0]);
        assert_eq!(Descriptor::parse(write.encode()), Ok(write));
        let done = Completion { outcome: Outcome::Media, id: 5, count: 9 };
        assert_eq!(done.encode(), 0x0000_0009_0005_0003);
        assert_eq!(Completion::parse(done.encode()), done);
        assert_eq!(parse_status(status(7, State::Failed)), (7, State::Failed));
    }

    #[test]
    fn what_is_no_descriptor_is_refused_with_its_number() {
        for (first, rest) in [(3, 0), (0xff, 0), (0x200, 0), (0x8001, 0), (0, 1)] {
            assert_eq!(Descriptor::parse([first | 9 << 16, 0, 0, rest]), Err(9));
        }
    }
}
