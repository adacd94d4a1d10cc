//! Reads and writes of whole blocks: files of 1 byte to 64 KiB on ramfs, and 4 KiB blocks of `/dev/ram0` and
//! `/dev/vda`.
//!
//! One operation is one `pread` or `pwrite`: with `read` and `write` each would need an `lseek` beside it to stay where
//! it is. On ramfs it is always at offset 0 of a file of the app's own, so what is timed is a warm page. On the device
//! it goes through [`DEVICE_TIMED`] blocks of a region of the app's own in turn, as a sequential reader would.
//!
//! Blocks that the timed loop uses are followed by [`VERIFIED`] others for the rounds of load, so that neither disturbs
//! what the other expects.

use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Errno, InBuf, OutBuf};

use crate::ledger::Ledger;
use crate::{Audit, Env, Session, Verdict, Workload, Wrong};

/// Blocks that rounds of load write and read.
const VERIFIED: usize = 16;
/// Blocks of a device that the timed loop goes through.
const DEVICE_TIMED: usize = 48;
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
    /// Where the device is, if it is one.
    device: Option<&'static str>,
    size: usize,
    direction: Direction,
}

impl Blocks {
    /// Reads of `size` bytes on ramfs.
    pub fn read(name: &'static str, size: usize) -> Blocks {
        let about = "One operation reads the first bytes of a small file on ramfs with one pread: a path through two \
                     subsystems whose cost grows with the bytes copied.";
        Blocks { name, about, subject: "ramfs", device: None, size, direction: Direction::Read }
    }

    /// Writes of `size` bytes on ramfs.
    pub fn write(name: &'static str, size: usize) -> Blocks {
        let about = "One operation overwrites the first bytes of a small file on ramfs with one pwrite: as the read of \
                     the same size, with the data going in.";
        Blocks { name, about, subject: "ramfs", device: None, size, direction: Direction::Write }
    }

    /// 4 KiB reads of the RAM disk.
    pub fn ram0_read(name: &'static str) -> Blocks {
        let about = "One operation reads 4 KiB of /dev/ram0 with one pread, block after block of 192 KiB: a driver \
                     module's work, loaded from its own file. On the host's kernel the device is a file on tmpfs.";
        Blocks { name, about, subject: "ramdisk", device: Some("/dev/ram0"), size: 4096, direction: Direction::Read }
    }

    /// 4 KiB writes of the RAM disk.
    pub fn ram0_write(name: &'static str) -> Blocks {
        let about = "One operation writes 4 KiB of /dev/ram0 with one pwrite, block after block of 192 KiB: the same \
                     driver with the data going in.";
        Blocks { name, about, subject: "ramdisk", device: Some("/dev/ram0"), size: 4096, direction: Direction::Write }
    }

    /// 4 KiB reads of the disk behind a ring.
    pub fn vda_read(name: &'static str) -> Blocks {
        let about = "One operation reads 4 KiB of /dev/vda with one pread, block after block of 192 KiB: descriptor, \
                     doorbell, DMA and interrupt of a device in a process of its own. On the host's kernel the device is \
                     a file on tmpfs.";
        Blocks { name, about, subject: "vdisk", device: Some("/dev/vda"), size: 4096, direction: Direction::Read }
    }

    /// 4 KiB writes of the disk behind a ring.
    pub fn vda_write(name: &'static str) -> Blocks {
        let about = "One operation writes 4 KiB of /dev/vda with one pwrite, block after block of 192 KiB, into the \
                     device's volatile cache: the same path with the data going in.";
        Blocks { name, about, subject: "vdisk", device: Some("/dev/vda"), size: 4096, direction: Direction::Write }
    }
}

impl Workload for Blocks {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
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
        let on_device = self.device.is_some();
        let (size, timed) = (self.size, if on_device { DEVICE_TIMED } else { 1 });
        let count = timed + VERIFIED;
        let ledger = if let Some(device) = self.device {
            let base = region(env, device, (count * size) as u64)?;
            Ledger::new(env, device.into(), open::RDWR, base, size, count)
        } else {
            let flags = open::CREAT | open::RDWR;
            Ledger::new(env, env.path(self.name), flags, 0, size, count)
        };
        let buffer = vec![0; if self.direction == Direction::Write { timed * size } else { size }];
        let mut session = BlockSession { ledger, direction: self.direction, on_device, timed, next: 0, size, buffer };
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

struct BlockSession {
    ledger: Ledger,
    direction: Direction,
    on_device: bool,
    /// Blocks of the timed loop, which come first.
    timed: usize,
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
        let mut next = self.next;
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
                next = if next + 1 == self.timed { 0 } else { next + 1 };
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
