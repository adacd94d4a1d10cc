//! Reads and writes of a block device: one at a time and several at once, whole blocks and parts of one, with flushes.

use kd_api::interfaces::vfs::{open, seek};
use kd_api::{Blocks, Errno, Fd, InBuf, OutBuf};
use kd_boot::board::Board;
use kd_workloads::{Audit, Env, Verdict, Wrong};

use super::private::Private;
use super::{Work, data};

const BLOCK: usize = 4096;
/// Blocks of each app.
const COUNT: usize = 12;
/// Bytes of the small writes, and where in a block they begin: sectors of its middle.
const SMALL: usize = 512;
const AT: usize = 1024;

/// A region of a device.
pub struct Device {
    env: Env,
    path: String,
    fd: Option<Fd>,
    size: u64,
    /// What each block holds; none if that is not known.
    holds: Vec<Option<Vec<u8>>>,
    own: Private,
}

impl Device {
    pub fn start(env: &Env, path: &str) -> Result<Device, Errno> {
        let (holds, own) = (vec![None; COUNT], Private::new(env)?);
        let mut device = Device { env: env.clone(), path: path.into(), fd: None, size: 0, holds, own };
        let fd = device.fd()?;
        device.size = env.sys.lseek(env.caller, fd, 0, seek::END)?;
        // From the beginning on it is known what every block holds.
        match device.fill((0..COUNT).collect(), u64::MAX) {
            Err(Wrong::Call(errno)) => Err(errno),
            Err(Wrong::Answer(_)) => Err(Errno::EIO),
            Ok(()) => Ok(device),
        }
    }

    fn fd(&mut self) -> Result<Fd, Errno> {
        match self.fd {
            Some(fd) => Ok(fd),
            None => Ok(*self.fd.insert(self.env.sys.open(self.env.caller, &self.path, open::RDWR, 0)?)),
        }
    }

    fn at(&self, block: usize) -> i64 {
        ((self.env.caller.app.0 as usize * COUNT + block) * BLOCK) as i64
    }

    fn write(&mut self, block: usize, at: usize, bytes: &[u8]) -> Result<(), Wrong> {
        let before = self.holds[block].take();
        let (fd, place) = (self.fd()?, self.at(block) + at as i64);
        let count = self.env.sys.pwrite(self.env.caller, fd, place, &mut InBuf::new(bytes))?;
        if count != bytes.len() {
            return Err(super::told_short(count, bytes.len()));
        }
        let mut now = if bytes.len() == BLOCK { Some(vec![0; BLOCK]) } else { before };
        if let Some(now) = &mut now {
            now[at..at + bytes.len()].copy_from_slice(bytes);
        }
        self.holds[block] = now;
        Ok(())
    }

    fn read(&mut self, block: usize) -> Result<(), Wrong> {
        let Some(expected) = self.holds[block].clone() else { return Ok(()) };
        let mut bytes = vec![0; BLOCK];
        let (fd, place) = (self.fd()?, self.at(block));
        let count = self.env.sys.pread(self.env.caller, fd, place, &mut OutBuf::new(&mut bytes))?;
        if count != BLOCK {
            return Err(super::told_short(count, BLOCK));
        }
        if bytes != expected {
            return Err(Wrong::Answer(format!("block {block} reads back other bytes")));
        }
        Ok(())
    }

    /// Writes blocks together, and reads them back so.
    fn fill(&mut self, blocks: Vec<usize>, round: u64) -> Result<(), Wrong> {
        let app = self.env.caller.app.0;
        let each: Vec<Vec<u8>> = blocks.iter().map(|block| data(app, *block, round, BLOCK)).collect();
        blocks.iter().for_each(|block| self.holds[*block] = None);
        let request = |device: &Device| Blocks::new(BLOCK, blocks.iter().map(|block| device.at(*block) as u64));
        let (fd, all) = (self.fd()?, each.concat());
        let count = self.env.sys.pwrite_many(self.env.caller, fd, request(self)?, &mut InBuf::new(&all))?;
        if count != all.len() {
            return Err(super::told_short(count, all.len()));
        }
        blocks.iter().zip(each).for_each(|(block, bytes)| self.holds[*block] = Some(bytes));
        let mut back = vec![0; all.len()];
        let count = self.env.sys.pread_many(self.env.caller, fd, request(self)?, &mut OutBuf::new(&mut back))?;
        if count != back.len() {
            return Err(super::told_short(count, back.len()));
        }
        if back != all {
            return Err(Wrong::Answer("blocks read together are not what was written".into()));
        }
        Ok(())
    }

    fn work(&mut self, round: u64) -> Result<(), Wrong> {
        let app = self.env.caller.app.0;
        let block = round as usize % (COUNT - 4);
        match round % 4 {
            1 => self.write(block, AT, &data(app, block, round, SMALL))?,
            3 => self.fill((COUNT - 4..COUNT).collect(), round)?,
            _ => self.write(block, 0, &data(app, block, round, BLOCK))?,
        }
        self.own.pass();
        self.read(block)?;
        self.read((round as usize * 7 + 3) % COUNT)?;
        let fd = self.fd()?;
        if round % 4 == 2 {
            self.env.sys.fsync(self.env.caller, fd)?;
        }
        match self.env.sys.lseek(self.env.caller, fd, 0, seek::END)? {
            size if size == self.size => Ok(()),
            size => Err(Wrong::Answer(format!("a device of {} bytes has {size}", self.size))),
        }
    }
}

impl Work for Device {
    fn round(&mut self, round: u64, _: &Board) -> Verdict {
        let done = self.work(round);
        if matches!(done, Err(Wrong::Call(_))) {
            // The descriptor may be gone with the server that knew it.
            self.fd = None;
        }
        done.into()
    }

    fn audit(&mut self) -> Audit {
        let mut audit = Audit::default();
        for block in 0..COUNT {
            let Some(expected) = self.holds[block].clone() else { continue };
            let mut bytes = vec![0; BLOCK];
            let place = self.at(block);
            let read = self.fd().and_then(|fd| {
                self.env
                    .sys
                    .pread(self.env.caller, fd, place, &mut OutBuf::new(&mut bytes))
                    .inspect_err(|_| self.fd = None)
            });
            super::compare(&mut audit, &expected, &bytes[..read.unwrap_or(0).min(BLOCK)]);
        }
        audit
    }
}
