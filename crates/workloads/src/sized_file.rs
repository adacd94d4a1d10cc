//! 64 KiB at random places of a file of 1 MiB, 16 MiB and so on, read or written, on the file system that a disk holds.
//!
//! What grows is the file beside the page cache: a file that fits is memory, of a larger one most reads go to the disk, and
//! each write lets another page go there. What a block holds follows from its number, so that reading and writing share one
//! file, and a block that came from somewhere else is noticed.
//!
//! A session makes the file; where it is there already, from a disk that was made ready, it uses it and leaves it.

use kd_api::interfaces::vfs::open;
use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::pattern;
use crate::place::Place;
use crate::turn::after;
use crate::{Env, Group, Session, Workload, Wrong};

/// Bytes of an operation.
const BLOCK: usize = 64 << 10;
/// Blocks of a MiB.
const PER_MIB: u64 = (1 << 20) / BLOCK as u64;
/// The largest file, in MiB.
const MOST: u64 = 1024;
/// The largest file that is read once before it is timed, in MiB: of a larger one a page cache holds no turn.
const WARM: u64 = 16;

/// A workload of this family.
pub struct SizedFile {
    writes: bool,
    mib: u64,
}

impl SizedFile {
    /// Both of them.
    pub fn all() -> [SizedFile; 2] {
        [false, true].map(|writes| SizedFile { writes, mib: 1 })
    }
}

impl Workload for SizedFile {
    fn name(&self) -> &'static str {
        if self.writes { "disk_file_write" } else { "disk_file_read" }
    }

    fn about(&self) -> &'static str {
        if self.writes {
            "One operation writes 64 KiB at a random place of a file of 1 MiB, or as many as `/mib_N` says, with one pwrite: \
             the page cache takes it, and beyond its bounds the disk."
        } else {
            "One operation reads 64 KiB at a random place of a file of 1 MiB, or as many as `/mib_N` says, with one pread: \
             from memory as far as the page cache reaches, then from the disk."
        }
    }

    fn group(&self) -> Group {
        Group::Scaling
    }

    fn subject(&self) -> &'static str {
        Place::Disk.subject()
    }

    fn hops(&self) -> u32 {
        Place::Disk.hops()
    }

    fn needs(&self) -> Option<&'static str> {
        Place::Disk.needs()
    }

    fn verifies(&self) -> bool {
        false
    }

    /// `mib_N`, where N is a power of two up to [`MOST`].
    fn at(&self, point: &str) -> Option<Box<dyn Workload>> {
        let mib = point.strip_prefix("mib_")?.parse::<u64>().ok()?;
        let known = mib.is_power_of_two() && mib <= MOST;
        known.then(|| -> Box<dyn Workload> { Box::new(SizedFile { mib, ..*self }) })
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let path = Place::Disk.path(env, &format!("file_{}", self.mib));
        let mut data = vec![0; BLOCK];
        pattern::fill(&mut data, env.caller.app.0, 0, 0);
        let bytes = self.mib << 20;
        let made = match env.sys.stat(env.caller, &path) {
            Err(Errno::ENOENT) => true,
            found => found?.size != bytes,
        };
        let fd = env.sys.open(env.caller, &path, open::CREAT | open::RDWR, 0o600)?;
        let (env, blocks, buffer) = (env.clone(), self.mib * PER_MIB, vec![0; BLOCK]);
        let mut session = SizedSession { env, path, fd, made, blocks, writes: self.writes, data, buffer, next: 0 };
        if made {
            session.fill()?;
        } else if self.mib <= WARM {
            (0..session.blocks).try_for_each(|block| session.read(block))?;
        }
        Ok(Box::new(session))
    }
}

struct SizedSession {
    env: Env,
    path: String,
    fd: Fd,
    /// Whether this session has to remove the file.
    made: bool,
    blocks: u64,
    writes: bool,
    /// What each block holds but for its number, which it begins with.
    data: Vec<u8>,
    /// Where a block is read.
    buffer: Vec<u8>,
    /// The block that comes next.
    next: u64,
}

impl SizedSession {
    fn fill(&mut self) -> Result<(), Errno> {
        (0..self.blocks).try_for_each(|block| self.write(block, block))?;
        self.env.sys.fsync(self.env.caller, self.fd)
    }

    /// Writes a block, with a number that need not be its own.
    fn write(&mut self, block: u64, number: u64) -> Result<(), Errno> {
        self.data[..8].copy_from_slice(&number.to_le_bytes());
        let at = block as i64 * BLOCK as i64;
        let count = self.env.sys.pwrite(self.env.caller, self.fd, at, &mut InBuf::new(&self.data))?;
        if count == BLOCK { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Reads a block.
    fn read(&mut self, block: u64) -> Result<(), Errno> {
        let at = block as i64 * BLOCK as i64;
        let count = self.env.sys.pread(self.env.caller, self.fd, at, &mut OutBuf::new(&mut self.buffer))?;
        if count == BLOCK { Ok(()) } else { Err(Errno::EIO) }
    }

    /// Reads a block whole and compares it; its number must be this one.
    fn expect(&mut self, block: u64, number: u64) -> Result<(), Wrong> {
        self.buffer.fill(0);
        self.read(block)?;
        self.data[..8].copy_from_slice(&number.to_le_bytes());
        if self.buffer == self.data {
            Ok(())
        } else {
            Err(Wrong::Answer(format!("block {block} of {} is another", self.path)))
        }
    }
}

impl Session for SizedSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        for _ in 0..operations {
            let block = self.next;
            if self.writes {
                self.write(block, block)?;
            } else {
                self.read(block)?;
                if self.buffer[..8] != block.to_le_bytes() {
                    return Err(Errno::EIO);
                }
            }
            self.next = after(block, self.blocks);
        }
        Ok(())
    }

    /// The next block is as it should be; for the writer, after it has been something else.
    fn check(&mut self) -> Result<(), Wrong> {
        let block = self.next;
        if self.writes {
            self.write(block, !block)?;
            self.expect(block, !block)?;
            self.run(1)?;
        }
        self.expect(block, block)
    }
}

impl Drop for SizedSession {
    fn drop(&mut self) {
        // What a kernel in trouble does not remove is left.
        let _ = self.env.sys.close(self.env.caller, self.fd);
        if self.made {
            let _ = self.env.sys.unlink(self.env.caller, &self.path);
        }
    }
}
