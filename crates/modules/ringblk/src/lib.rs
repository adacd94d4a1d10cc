//! The driver of a block device with a ring ([`kd_api::device`]); a driver module wraps it.
//!
//! Frames: a page of rings, then a page for each entry. A request is cut into pages that are in the ring all at once, as
//! far as it has room, and with one doorbell; so are the blocks of a vectored request. Data is copied between its caller's buffer and the pages, since a buffer across a boundary is no
//! memory that a device may reach (Linux does the same with its `swiotlb`).
//!
//! There is no thread for the interrupt: whoever waits for a request takes in the completions of all, and an interrupt
//! wakes all who wait. No allocation after the start.
//!
//! A driver that starts resets the device, which forgets the requests of the last one and keeps what it stored. A driver
//! whose device was reset by another, lost its power or is gone answers `EIO` until it is started anew.
//!
//! One lock, around the ring's bookkeeping; nothing is waited for and no data copied with it held.

#![no_std]
#![forbid(unsafe_code)]

use kd_api::device::{
    Completion, DESCRIPTOR, Descriptor, Device, Op, Outcome, PAGE, QUEUE_MAX, Register, State, parse_status,
};
use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics};
use kd_api::module::DriverEnv;
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::{Mutex, WaitQueue};

/// Where the rings are in the frames.
const SUBMISSIONS: usize = 0;
const COMPLETIONS: usize = SUBMISSIONS + QUEUE_MAX * DESCRIPTOR * 8;
/// Sectors of a page.
const SECTORS: u64 = (PAGE / SECTOR) as u64;

/// Where an entry's page is in the frames.
const fn page(id: usize) -> usize {
    PAGE * (1 + id)
}

/// A set of entries, one bit each.
type Entries = u64;

/// The numbers in a set, lowest first.
fn numbers(set: Entries) -> impl Iterator<Item = usize> {
    (0..QUEUE_MAX).filter(move |id| set & 1 << id != 0)
}

/// The ring's bookkeeping.
struct Ring {
    /// Entries that nobody uses.
    free: Entries,
    /// Those that the device has.
    in_hand: Entries,
    /// Those that it failed.
    failed: Entries,
    /// Descriptors so far.
    tail: u32,
    /// Completions taken in so far.
    head: u32,
    /// What was asked and done.
    statistics: Statistics,
}

/// What a request moves, by pages: blocks of one size, each in pages of its own.
struct Pages<'a> {
    size: usize,
    at: &'a [u64],
}

impl Pages<'_> {
    /// Pages of each block: one for a flush as well, which has no bytes.
    fn each(&self) -> usize {
        self.size.div_ceil(PAGE).max(1)
    }

    fn count(&self) -> usize {
        self.each() * self.at.len()
    }

    /// The first sector and the bytes of a page.
    fn get(&self, number: usize) -> (u64, usize) {
        let (block, part) = (number / self.each(), number % self.each());
        (self.at[block] + part as u64 * SECTORS, (self.size - part * PAGE).min(PAGE))
    }

    /// Bytes of the first so many pages.
    fn bytes(&self, count: usize) -> usize {
        (0..count).map(|number| self.get(number).1).sum()
    }
}

/// The caller's side of a request.
enum Buffer<'a, 'b> {
    Out(&'a mut OutBuf<'b>),
    In(&'a mut InBuf<'b>),
    None,
}

/// A driver of one device.
pub struct RingBlock {
    device: &'static dyn Device,
    /// By which the device knows this instance of the driver.
    session: u64,
    depth: u32,
    sectors: u64,
    longest: usize,
    ring: Mutex<Ring>,
    /// Those who wait for free entries.
    room: WaitQueue,
}

impl RingBlock {
    /// Resets the device and takes it over; `ENODEV` if there is none.
    pub fn probe(env: &DriverEnv<'_>, depth: u64, max_kb: u64) -> Result<RingBlock> {
        let device = env.device.ok_or(Errno::ENODEV)?;
        let pages = (device.frames() / PAGE).saturating_sub(1).min(QUEUE_MAX);
        let depth = usize::try_from(depth).unwrap_or(QUEUE_MAX).min(pages);
        let depth = 1 << depth.checked_ilog2().ok_or(Errno::ENODEV)?;
        let longest = max_kb.checked_mul(1024).and_then(|bytes| usize::try_from(bytes).ok()).ok_or(Errno::EINVAL)?;
        let free = Entries::MAX >> (QUEUE_MAX as u32 - depth);
        let ring =
            Mutex::new(Ring { free, in_hand: 0, failed: 0, tail: 0, head: 0, statistics: Statistics::default() });
        let session = reset(device, depth)?;
        let sectors = device.register(Register::Capacity);
        Ok(RingBlock { device, session, depth, sectors, longest, ring, room: WaitQueue::new() })
    }

    /// Whether the device still takes this driver's requests.
    fn alive(&self) -> bool {
        self.device.register(Register::Control) == self.session
            && parse_status(self.device.register(Register::Status)) == (self.session, State::Ready)
    }

    /// The sector at which a request begins; none if it ends beyond the last one.
    #[inline(never)]
    fn locate(&self, sector: u64, len: usize) -> Option<u64> {
        let end = sector.checked_add((len / SECTOR) as u64)?;
        (end <= self.sectors).then_some(sector)
    }

    /// Refuses what is no request; `beyond` if it ends beyond the last sector.
    fn admit(&self, sector: u64, len: usize, beyond: Errno) -> Result<u64> {
        if !len.is_multiple_of(SECTOR) || len > self.longest {
            return Err(Errno::EINVAL);
        }
        self.locate(sector, len).ok_or(beyond)
    }

    /// Does a request, a ring's worth at a time; returns how many of its pages were moved up to the first that failed.
    fn transfer(&self, op: Op, fua: bool, pages: &Pages<'_>, mut buffer: Buffer<'_, '_>) -> usize {
        let mut done = 0;
        while done < pages.count() {
            let Ok(entries) = self.claim(pages.count() - done) else { return done };
            let ours = || numbers(entries).zip(done..).map(|(id, number)| (id, pages.get(number).1));
            if let Buffer::In(data) = &mut buffer {
                for (id, len) in ours() {
                    self.device.write(page(id), len, data);
                }
            }
            let failed = self.submit(op, fua, pages, done, entries).and_then(|()| self.wait(entries));
            let failed = failed.unwrap_or(entries);
            let moved = numbers(entries).take_while(|id| failed & 1 << id == 0).count();
            if let Buffer::Out(out) = &mut buffer {
                for (id, len) in ours().take(moved) {
                    self.device.read(page(id), len, out);
                }
            }
            self.release(entries);
            done += moved;
            if failed != 0 {
                break;
            }
        }
        done
    }

    /// The same for one block, which fails as a whole.
    fn transfer_one(&self, op: Op, fua: bool, sector: u64, len: usize, buffer: Buffer<'_, '_>) -> Result<()> {
        let pages = Pages { size: len, at: &[sector] };
        if self.transfer(op, fua, &pages, buffer) == pages.count() { Ok(()) } else { Err(Errno::EIO) }
    }

    /// The same for several, up to the first that cannot be; returns bytes and counts blocks.
    fn transfer_many(&self, op: Op, blocks: &Blocks, beyond: Errno, buffer: Buffer<'_, '_>) -> Result<usize> {
        let size = blocks.size();
        let whole = blocks.leading(|sector| self.admit(sector, size, beyond))?;
        let pages = Pages { size, at: whole.at() };
        let bytes = pages.bytes(self.transfer(op, false, &pages, buffer));
        let Statistics { reads, sectors_read, writes, sectors_written, errors, .. } = &mut self.ring.lock().statistics;
        let (count, sectors) = if op == Op::Write { (writes, sectors_written) } else { (reads, sectors_read) };
        *count += (bytes / size) as u64;
        *sectors += (bytes / SECTOR) as u64;
        *errors += u64::from(bytes < whole.bytes());
        if bytes > 0 { Ok(bytes) } else { Err(Errno::EIO) }
    }

    /// Counts a request as it ended.
    fn count(&self, result: &Result<()>, count: impl FnOnce(&mut Statistics)) {
        let statistics = &mut self.ring.lock().statistics;
        match result {
            Ok(()) => count(statistics),
            Err(_) => statistics.errors += 1,
        }
    }

    /// Takes up to `wanted` free entries, at least one.
    fn claim(&self, wanted: usize) -> Result<Entries> {
        let ring = self.ring.lock();
        let mut ring = self.room.wait_while(ring, |ring| ring.free == 0);
        if !self.alive() {
            return Err(Errno::EIO);
        }
        let entries = numbers(ring.free).take(wanted).fold(0, |all, id| all | 1 << id);
        ring.free &= !entries;
        Ok(entries)
    }

    /// Puts a request's descriptors into the ring, from page `first` on, a page each.
    fn submit(&self, op: Op, fua: bool, pages: &Pages<'_>, first: usize, entries: Entries) -> Result<()> {
        let mut ring = self.ring.lock();
        if !self.alive() {
            return Err(Errno::EIO);
        }
        for (id, number) in numbers(entries).zip(first..) {
            let (sector, len) = pages.get(number);
            let address = self.device.address() + page(id) as u64;
            let descriptor = Descriptor { op, fua, id: id as u16, len: len as u32, sector, address }.encode();
            let at = SUBMISSIONS + (ring.tail % self.depth) as usize * DESCRIPTOR * 8;
            for (i, word) in descriptor.into_iter().enumerate() {
                self.device.set_word(at + 8 * i, word);
            }
            ring.tail = ring.tail.wrapping_add(1);
        }
        ring.in_hand |= entries;
        self.device.set_register(Register::Tail, ring.tail.into());
        drop(ring);
        self.device.ring();
        Ok(())
    }

    /// Waits until the device is done with all these entries; returns those that it failed.
    fn wait(&self, entries: Entries) -> Result<Entries> {
        loop {
            // Before looking: an interrupt between the look and the sleep ends the sleep.
            let seen = self.device.interrupts();
            let mut ring = self.ring.lock();
            self.take_in(&mut ring);
            if ring.in_hand & entries == 0 {
                return Ok(ring.failed & entries);
            }
            drop(ring);
            if !self.alive() {
                return Err(Errno::EIO);
            }
            self.device.wait(seen);
        }
    }

    /// Takes in the completions that there are. What no honest device writes is passed over.
    fn take_in(&self, ring: &mut Ring) {
        for _ in 0..self.depth {
            let at = COMPLETIONS + (ring.head % self.depth) as usize * 8;
            let Completion { outcome, id, count } = Completion::parse(self.device.word(at));
            if count != ring.head.wrapping_add(1) {
                return;
            }
            ring.head = count;
            let entry = 1u64.checked_shl(id.into()).unwrap_or(0) & ring.in_hand;
            ring.in_hand &= !entry;
            if outcome != Outcome::Done {
                ring.failed |= entry;
            }
        }
    }

    /// Gives entries back.
    fn release(&self, entries: Entries) {
        let mut ring = self.ring.lock();
        ring.free |= entries;
        ring.in_hand &= !entries;
        ring.failed &= !entries;
        drop(ring);
        self.room.wake_all();
    }
}

/// Has the device forget all that it was asked; returns the session's number.
fn reset(device: &dyn Device, depth: u32) -> Result<u64> {
    let (last, _) = parse_status(device.register(Register::Status));
    // The registers hold what the last driver left there, whatever it was.
    let session = last.max(device.register(Register::Control)).wrapping_add(1) & (u64::MAX >> 2);
    device.set_register(Register::QueueSize, depth.into());
    device.set_register(Register::Submissions, device.address() + SUBMISSIONS as u64);
    device.set_register(Register::Completions, device.address() + COMPLETIONS as u64);
    device.set_register(Register::Tail, 0);
    device.set_register(Register::Control, session);
    device.ring();
    loop {
        let seen = device.interrupts();
        match parse_status(device.register(Register::Status)) {
            (_, State::Gone) => return Err(Errno::ENODEV),
            (answered, State::Ready) if answered == session => return Ok(session),
            (answered, State::Failed) if answered == session => return Err(Errno::EIO),
            _ => device.wait(seen),
        }
    }
}

impl BlockDevice for RingBlock {
    fn capacity(&self) -> Result<u64> {
        Ok(self.sectors)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let len = out.remaining();
        let sector = self.admit(sector, len, Errno::EIO)?;
        if len > 0 {
            let result = self.transfer_one(Op::Read, false, sector, len, Buffer::Out(out));
            self.count(&result, |statistics| {
                statistics.reads += 1;
                statistics.sectors_read += (len / SECTOR) as u64;
            });
            result?;
        }
        Ok(len)
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let len = data.remaining();
        let sector = self.admit(sector, len, Errno::ENOSPC)?;
        if len > 0 {
            let result = self.transfer_one(Op::Write, fua, sector, len, Buffer::In(data));
            self.count(&result, |statistics| {
                statistics.writes += 1;
                statistics.sectors_written += (len / SECTOR) as u64;
            });
            result?;
        }
        Ok(len)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() < blocks.bytes() {
            return Err(Errno::EINVAL);
        }
        self.transfer_many(Op::Read, &blocks, Errno::EIO, Buffer::Out(out))
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() < blocks.bytes() {
            return Err(Errno::EINVAL);
        }
        self.transfer_many(Op::Write, &blocks, Errno::ENOSPC, Buffer::In(data))
    }

    fn flush(&self) -> Result<()> {
        let result = self.transfer_one(Op::Flush, false, 0, 0, Buffer::None);
        self.count(&result, |statistics| statistics.flushes += 1);
        result
    }

    fn statistics(&self) -> Result<Statistics> {
        let interrupts = self.device.interrupts().into();
        Ok(Statistics { interrupts, ..self.ring.lock().statistics })
    }
}

#[cfg(test)]
mod tests;
