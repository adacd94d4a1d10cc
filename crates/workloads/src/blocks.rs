//! Reads and writes of whole blocks: files of 1 byte to 64 KiB on ramfs, of 4 KiB on the disk's file system, 4 KiB blocks
//! of `/dev/ram0`, and blocks of the disk `/dev/vda`, in sequence and in random order, one at a time or 32 at once.
//!
//! One operation is one block: one `pread` or `pwrite`, since with `read` and `write` each would need an `lseek` beside it
//! to stay where it is, or a 32nd of a `pread_many` or `pwrite_many`. In a file it is always at offset 0 of a file of the app's own, so what is timed is a warm page. On the device
//! it goes through blocks of a region of the app's own in turn, as a sequential reader would, or in an order that visits
//! each of them once and looks random.
//!
//! Blocks that the timed loop uses are followed by [`VERIFIED`] others for the rounds of load, so that neither disturbs
//! what the other expects.

use kd_api::blocks::BLOCKS_MAX;
use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Blocks as Request, Errno, Fd, InBuf, OutBuf};

use crate::ledger::Ledger;
use crate::place::Place;
use crate::{Audit, Env, Group, Session, Verdict, Workload, Wrong};

/// Blocks that rounds of load write and read.
const VERIFIED: usize = 16;
/// Blocks of `/dev/ram0` that the timed loop goes through.
const RAM0_TIMED: usize = 48;
/// Where the device is.
const RAM0: &str = "/dev/ram0";
/// Blocks of `/dev/vda` that the timed loop goes through: a power of two, for the sake of the random order.
const VDA_TIMED: usize = 64;
/// Where the disk is.
const VDA: &str = "/dev/vda";
/// The stamp of what the timed loop writes; no round has this number.
const TIMED: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Read,
    Write,
}

/// A workload of this family.
pub struct Blocks {
    name: &'static str,
    about: &'static str,
    subject: &'static str,
    /// The device, if it is no file.
    device: Option<&'static str>,
    /// Where the file is, if it is one.
    place: Place,
    /// Blocks of the timed loop.
    timed: usize,
    random: bool,
    /// Blocks of one call.
    depth: usize,
    size: usize,
    direction: Direction,
}

impl Blocks {
    /// Reads of `size` bytes on ramfs.
    pub fn read(name: &'static str, size: usize) -> Blocks {
        let about = "One operation reads the first bytes of a small file on ramfs with one pread: a path through two \
                     subsystems whose cost grows with the bytes copied.";
        Blocks::file(name, about, size, Direction::Read)
    }

    /// Writes of `size` bytes on ramfs.
    pub fn write(name: &'static str, size: usize) -> Blocks {
        let about = "One operation overwrites the first bytes of a small file on ramfs with one pwrite: as the read of \
                     the same size, with the data going in.";
        Blocks::file(name, about, size, Direction::Write)
    }

    /// 4 KiB reads of the RAM disk.
    pub fn ram0_read(name: &'static str) -> Blocks {
        let about = "One operation reads 4 KiB of /dev/ram0 with one pread, block after block of 192 KiB: a driver \
                     module's work, loaded from its own file. On the host's kernel the device is a file on tmpfs.";
        Blocks::ram0(name, about, Direction::Read)
    }

    /// 4 KiB writes of the RAM disk.
    pub fn ram0_write(name: &'static str) -> Blocks {
        let about = "One operation writes 4 KiB of /dev/ram0 with one pwrite, block after block of 192 KiB: the same \
                     driver with the data going in.";
        Blocks::ram0(name, about, Direction::Write)
    }

    fn file(name: &'static str, about: &'static str, size: usize, direction: Direction) -> Blocks {
        let (subject, place) = (Place::Root.subject(), Place::Root);
        Blocks { name, about, subject, device: None, place, timed: 1, random: false, depth: 1, size, direction }
    }

    /// 4 KiB of a file on the disk's file system: a read and a write.
    pub fn disk() -> [Blocks; 2] {
        let disk = |name, about, direction| Blocks {
            subject: Place::Disk.subject(),
            place: Place::Disk,
            ..Blocks::file(name, about, 4 << 10, direction)
        };
        [
            disk(
                "disk_read_4k",
                "One operation reads the first 4 KiB of a file on the disk's file system with one pread: a page that its \
                 cache holds, so the disk is not asked.",
                Direction::Read,
            ),
            disk(
                "disk_write_4k",
                "One operation overwrites the first 4 KiB of a file on the disk's file system with one pwrite: into its \
                 page cache, and from there to the disk when it is written back.",
                Direction::Write,
            ),
        ]
    }

    fn ram0(name: &'static str, about: &'static str, direction: Direction) -> Blocks {
        let file = Blocks::file(name, about, 4096, direction);
        Blocks { subject: "ramdisk", device: Some(RAM0), timed: RAM0_TIMED, ..file }
    }

    /// The disk: each direction, in sequence and at random, one request after the other and 32 at once.
    pub fn vda() -> [Blocks; 9] {
        let disk = |name, size, direction, random| {
            let about = match direction {
                Direction::Read => {
                    "One operation reads a block of /dev/vda with one pread, in sequence or in random order: descriptor, \
                     doorbell, DMA and interrupt of a device in a process of its own, one request at a time. On the \
                     host's kernel the device is a file on tmpfs."
                }
                Direction::Write => {
                    "One operation writes a block of /dev/vda with one pwrite, in sequence or in random order, into the \
                     device's volatile cache: the same way with the data going in."
                }
            };
            let file = Blocks::file(name, about, size, direction);
            Blocks { subject: "vdisk", device: Some(VDA), timed: VDA_TIMED, random, ..file }
        };
        let queued = |name, direction, random| {
            let about = match direction {
                Direction::Read => {
                    "One operation reads a block of /dev/vda, one of 32 of a vectored call, in sequence or in random \
                     order: all of them are in the device's ring at once, with one doorbell and one message for each \
                     boundary. On the host's kernel each is a pread of a file on tmpfs."
                }
                Direction::Write => {
                    "One operation writes a block of /dev/vda, one of 32 of a vectored call in random order, into the \
                     device's volatile cache: the same way with the data going in."
                }
            };
            Blocks { about, depth: BLOCKS_MAX, ..disk(name, 4 << 10, direction, random) }
        };
        [
            disk("vda_read_4k", 4 << 10, Direction::Read, false),
            disk("vda_rand_read_4k", 4 << 10, Direction::Read, true),
            disk("vda_read_64k", 64 << 10, Direction::Read, false),
            disk("vda_write_4k", 4 << 10, Direction::Write, false),
            disk("vda_rand_write_4k", 4 << 10, Direction::Write, true),
            disk("vda_write_64k", 64 << 10, Direction::Write, false),
            queued("vda_read_4k_qd32", Direction::Read, false),
            queued("vda_rand_read_4k_qd32", Direction::Read, true),
            queued("vda_rand_write_4k_qd32", Direction::Write, true),
        ]
    }
}

impl Workload for Blocks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn group(&self) -> Group {
        if self.device == Some(VDA) || self.place == Place::Disk { Group::Storage } else { Group::Syscall }
    }

    fn needs(&self) -> Option<&'static str> {
        if self.device == Some(VDA) { Some("disk at /dev/vda") } else { self.place.needs() }
    }

    fn bytes(&self) -> Option<usize> {
        Some(self.size)
    }

    fn subject(&self) -> &'static str {
        self.subject
    }

    fn hops(&self) -> u32 {
        self.place.hops()
    }

    fn faulty_operation(&self) -> Option<&'static str> {
        match (self.subject, self.direction) {
            ("ramdisk", Direction::Write) => Some("Ramdisk::locate"),
            ("vdisk", Direction::Write) => Some("RingBlock::locate"),
            _ => None,
        }
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let (size, timed) = (self.size, self.timed);
        let count = timed + VERIFIED;
        let ledger = if let Some(device) = self.device {
            let base = region(env, device, (count * size) as u64)?;
            Ledger::new(env, device.into(), open::RDWR, base, size, count)
        } else {
            let flags = open::CREAT | open::RDWR;
            Ledger::new(env, self.place.path(env, self.name), flags, 0, size, count)
        };
        let order = order(timed, self.random, self.depth);
        let buffer = vec![0; size * if self.direction == Direction::Write { order.len() } else { self.depth }];
        let (direction, on_device, depth) = (self.direction, self.device.is_some(), self.depth);
        let mut session = BlockSession { ledger, direction, on_device, timed, order, next: 0, depth, size, buffer };
        session.prepare().map_err(|wrong| match wrong {
            Wrong::Call(errno) => errno,
            Wrong::Answer(_) => Errno::EIO,
        })?;
        Ok(Box::new(session))
    }
}

/// Where the app's region of the device begins. There are as many regions as fit; apps whose numbers differ by a
/// multiple of that would share one.
fn region(env: &Env, device: &str, bytes: u64) -> Result<i64, Errno> {
    let fd = env.sys.open(env.caller, device, open::RDONLY, 0)?;
    let capacity = env.sys.lseek(env.caller, fd, 0, seek::END);
    env.sys.close(env.caller, fd)?;
    let regions = capacity? / bytes;
    let region = u64::from(env.caller.app.0).checked_rem(regions).ok_or(Errno::ENOSPC)?;
    Ok((region * bytes) as i64)
}

/// The order in which blocks are visited, each once, and what comes after the last, so that a call may begin anywhere. At
/// random: a linear congruential generator that visits each of 2^n blocks once in turn (Hull and Dobell, 1962).
fn order(blocks: usize, random: bool, depth: usize) -> Vec<usize> {
    let after = |block: &usize| Some(if random { block * 5 + 3 } else { block + 1 } % blocks);
    std::iter::successors(Some(0), after).take(blocks + depth - 1).collect()
}

struct BlockSession {
    ledger: Ledger,
    direction: Direction,
    on_device: bool,
    /// Blocks of the timed loop, which come first.
    timed: usize,
    order: Vec<usize>,
    /// Where in that order the next one stands.
    next: usize,
    /// Blocks of one call.
    depth: usize,
    size: usize,
    /// What the timed loop writes, in the order of visits, or where it reads.
    buffer: Vec<u8>,
}

impl BlockSession {
    fn prepare(&mut self) -> Result<(), Wrong> {
        for block in 0..self.timed {
            self.ledger.write(block, TIMED)?;
        }
        if self.direction == Direction::Write {
            for (block, bytes) in self.order.iter().zip(self.buffer.chunks_mut(self.size)) {
                self.ledger.fill(bytes, *block, TIMED);
            }
        }
        Ok(())
    }

    /// One call for the next `count` blocks; returns bytes.
    fn call(&mut self, fd: Fd, count: usize) -> Result<usize, Errno> {
        let Env { sys, caller, .. } = self.ledger.env();
        let (base, size, first) = (self.ledger.offset(0), self.size, self.next);
        let at = |block: &usize| base + (block * size) as i64;
        let blocks = &self.order[first..first + count];
        let bytes = match self.direction {
            Direction::Read => 0..count * size,
            Direction::Write => first * size..(first + count) * size,
        };
        let buffer = &mut self.buffer[bytes];
        let request = || Request::new(size, blocks.iter().map(|block| at(block) as u64));
        match (self.direction, blocks) {
            (Direction::Read, [block]) => sys.pread(*caller, fd, at(block), &mut OutBuf::new(buffer)),
            (Direction::Read, _) => sys.pread_many(*caller, fd, request()?, &mut OutBuf::new(buffer)),
            (Direction::Write, [block]) => sys.pwrite(*caller, fd, at(block), &mut InBuf::new(buffer)),
            (Direction::Write, _) => sys.pwrite_many(*caller, fd, request()?, &mut InBuf::new(buffer)),
        }
    }
}

impl Session for BlockSession {
    fn together(&self) -> u64 {
        self.depth as u64
    }

    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let fd = self.ledger.fd()?;
        let mut left = operations;
        while left > 0 {
            let count = left.min(self.depth as u64) as usize;
            let moved = self.call(fd, count);
            if self.ledger.or_close(moved)? != count * self.size {
                self.ledger.or_close(Err(Errno::EIO))?;
            }
            self.next = (self.next + count) % self.timed;
            left -= count as u64;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let blocks = self.order[self.next..self.next + self.depth].to_vec();
        if self.direction == Direction::Write {
            // Something else first, or a kernel that ignores the write would pass.
            for block in &blocks {
                self.ledger.write(*block, TIMED - 1)?;
                self.ledger.read(*block)?;
                self.ledger.write(*block, TIMED)?;
                self.ledger.read(*block)?;
            }
            self.run(self.depth as u64)?;
            return blocks.iter().try_for_each(|block| self.ledger.read(*block));
        }
        self.buffer.fill(0);
        self.run(self.depth as u64)?;
        let read = blocks.iter().zip(self.buffer.chunks(self.size));
        read.into_iter().try_for_each(|(block, bytes)| self.ledger.compare_with(*block, bytes))
    }

    /// Writes one block, reads it back, and one that an earlier round wrote: what was right then must be right still.
    fn verify(&mut self, round: u64) -> Verdict {
        let mut work = || {
            let first = (round % VERIFIED as u64) as usize;
            // An odd factor visits all of them over the rounds.
            let other = (round.wrapping_mul(7).wrapping_add(3) % VERIFIED as u64) as usize;
            self.ledger.write(self.timed + first, round)?;
            self.ledger.read(self.timed + first)?;
            self.ledger.read(self.timed + other)
        };
        work().into()
    }

    fn audit(&mut self) -> Audit {
        self.ledger.audit()
    }
}

impl Drop for BlockSession {
    fn drop(&mut self) {
        self.ledger.end(!self.on_device);
    }
}
