//! Reads and writes of whole blocks: files of 1 byte to 64 KiB on ramfs, 4 KiB blocks of `/dev/ram0`, and blocks of the
//! disk `/dev/vda`, in sequence and in random order.
//!
//! One operation is one `pread` or `pwrite`: with `read` and `write` each would need an `lseek` beside it to stay where
//! it is. On ramfs it is always at offset 0 of a file of the app's own, so what is timed is a warm page. On the device
//! it goes through blocks of a region of the app's own in turn, as a sequential reader would, or in an order that visits
//! each of them once and looks random.
//!
//! Blocks that the timed loop uses are followed by [`VERIFIED`] others for the rounds of load, so that neither disturbs
//! what the other expects.

use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Errno, InBuf, OutBuf};

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
    /// The device, if it is no file on ramfs.
    device: Option<&'static str>,
    /// Blocks of the timed loop.
    timed: usize,
    random: bool,
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
        Blocks { name, about, subject: "ramfs", device: None, timed: 1, random: false, size, direction }
    }

    fn ram0(name: &'static str, about: &'static str, direction: Direction) -> Blocks {
        let file = Blocks::file(name, about, 4096, direction);
        Blocks { subject: "ramdisk", device: Some(RAM0), timed: RAM0_TIMED, ..file }
    }

    /// The disk, one request after the other: each direction, in sequence and at random.
    pub fn vda() -> [Blocks; 6] {
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
        [
            disk("vda_read_4k", 4 << 10, Direction::Read, false),
            disk("vda_rand_read_4k", 4 << 10, Direction::Read, true),
            disk("vda_read_64k", 64 << 10, Direction::Read, false),
            disk("vda_write_4k", 4 << 10, Direction::Write, false),
            disk("vda_rand_write_4k", 4 << 10, Direction::Write, true),
            disk("vda_write_64k", 64 << 10, Direction::Write, false),
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
        if self.device == Some(VDA) { Group::Storage } else { Group::Syscall }
    }

    fn needs(&self) -> Option<&'static str> {
        (self.device == Some(VDA)).then_some("disk at /dev/vda")
    }

    fn subject(&self) -> &'static str {
        self.subject
    }

    fn hops(&self) -> u32 {
        2
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
            Ledger::new(env, Place::Root.path(env, self.name), flags, 0, size, count)
        };
        let buffer = vec![0; if self.direction == Direction::Write { timed * size } else { size }];
        let order = if self.random { Order::Random } else { Order::Sequence };
        let (direction, on_device) = (self.direction, self.device.is_some());
        let mut session = BlockSession { ledger, direction, on_device, timed, order, next: 0, size, buffer };
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

/// Which block comes after which.
#[derive(Clone, Copy)]
enum Order {
    Sequence,
    /// A linear congruential generator that visits each of 2^n blocks once in turn (Hull and Dobell, 1962).
    Random,
}

impl Order {
    fn after(self, block: usize, blocks: usize) -> usize {
        match self {
            Order::Sequence => (block + 1) % blocks,
            Order::Random => (block * 5 + 3) % blocks,
        }
    }
}

struct BlockSession {
    ledger: Ledger,
    direction: Direction,
    on_device: bool,
    /// Blocks of the timed loop, which come first.
    timed: usize,
    order: Order,
    /// The one that comes next.
    next: usize,
    size: usize,
    /// What the timed loop writes to each of its blocks, or where it reads them.
    buffer: Vec<u8>,
}

impl BlockSession {
    fn prepare(&mut self) -> Result<(), Wrong> {
        for block in 0..self.timed {
            self.ledger.write(block, TIMED)?;
        }
        if self.direction == Direction::Write {
            for (block, bytes) in self.buffer.chunks_mut(self.size).enumerate() {
                self.ledger.fill(bytes, block, TIMED);
            }
        }
        Ok(())
    }
}

impl Session for BlockSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        let fd = self.ledger.fd()?;
        let (sys, caller) = (self.ledger.env().sys.clone(), self.ledger.env().caller);
        let (base, size) = (self.ledger.offset(0), self.size);
        let (order, mut next) = (self.order, self.next);
        let mut work = || {
            for _ in 0..operations {
                let at = next * size;
                let count = match self.direction {
                    Direction::Read => sys.pread(caller, fd, base + at as i64, &mut OutBuf::new(&mut self.buffer))?,
                    Direction::Write => {
                        sys.pwrite(caller, fd, base + at as i64, &mut InBuf::new(&self.buffer[at..at + size]))?
                    }
                };
                if count != size {
                    return Err(Errno::EIO);
                }
                next = order.after(next, self.timed);
            }
            Ok(())
        };
        let result = work();
        self.next = next;
        self.ledger.or_close(result)
    }

    fn check(&mut self) -> Result<(), Wrong> {
        let block = self.next;
        if self.direction == Direction::Write {
            // Something else first, or a kernel that ignores the write would pass.
            self.ledger.write(block, TIMED - 1)?;
            self.ledger.read(block)?;
            self.ledger.write(block, TIMED)?;
            self.ledger.read(block)?;
            self.run(1)?;
            return self.ledger.read(block);
        }
        self.buffer.fill(0);
        self.run(1)?;
        self.ledger.compare_with(block, &self.buffer)
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
