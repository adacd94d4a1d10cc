//! A file in blocks, and what the kernel has acknowledged of each.
//!
//! A write that failed may have happened, in part or not at all, so until the next one that succeeds each byte of its
//! block may be the old or the new one. The new data of such a block stays what it was first meant to be, whatever the
//! round: so there are never more than two values that a byte may have. After any failure the file is opened anew,
//! because its descriptor may be gone with the server that knew it.

use kd_api::{Errno, Fd, InBuf, OutBuf};

use crate::{Audit, Env, Wrong, pattern};

/// What a block may hold, by the stamps of its writes.
#[derive(Clone, Copy, Default)]
struct Block {
    acknowledged: Option<u64>,
    pending: Option<u64>,
}

pub struct Ledger {
    env: Env,
    path: String,
    flags: u32,
    fd: Option<Fd>,
    base: i64,
    size: usize,
    blocks: Vec<Block>,
    data: Vec<u8>,
    expected: Vec<u8>,
}

impl Ledger {
    /// The file at `path` as `count` blocks of `size` bytes from offset `base` on; `flags` as for `open(2)`.
    pub fn new(env: &Env, path: String, flags: u32, base: i64, size: usize, count: usize) -> Ledger {
        Ledger {
            env: env.clone(),
            path,
            flags,
            fd: None,
            base,
            size,
            blocks: vec![Block::default(); count],
            data: vec![0; size],
            expected: vec![0; size],
        }
    }

    pub fn env(&self) -> &Env {
        &self.env
    }

    /// The file's descriptor; opens it if need be.
    pub fn fd(&mut self) -> Result<Fd, Errno> {
        match self.fd {
            Some(fd) => Ok(fd),
            None => Ok(*self.fd.insert(self.env.sys.open(self.env.caller, &self.path, self.flags, 0o600)?)),
        }
    }

    pub fn offset(&self, block: usize) -> i64 {
        self.base + (block * self.size) as i64
    }

    /// The data of a block, as [`Ledger::write`] would write it with this stamp.
    pub fn fill(&self, bytes: &mut [u8], block: usize, stamp: u64) {
        pattern::fill(bytes, self.env.caller.app.0, block, stamp);
    }

    /// Writes a block whose data follows from `stamp`, or from that of an earlier write whose outcome is unknown.
    pub fn write(&mut self, block: usize, stamp: u64) -> Result<(), Wrong> {
        let stamp = *self.blocks[block].pending.get_or_insert(stamp);
        pattern::fill(&mut self.data, self.env.caller.app.0, block, stamp);
        let (fd, offset) = (self.fd()?, self.offset(block));
        let written = self.env.sys.pwrite(self.env.caller, fd, offset, &mut InBuf::new(&self.data));
        let count = self.or_close(written)?;
        if count != self.size {
            return Err(Wrong::Answer(format!("a write of {} bytes to block {block} took {count}", self.size)));
        }
        self.blocks[block] = Block { acknowledged: Some(stamp), pending: None };
        Ok(())
    }

    /// Reads a block and compares it, if it was ever acknowledged.
    pub fn read(&mut self, block: usize) -> Result<(), Wrong> {
        if self.blocks[block].acknowledged.is_none() {
            return Ok(());
        }
        let read = self.fetch(block)?;
        if read != self.size {
            return Err(Wrong::Answer(format!("a read of {} bytes of block {block} gave {read}", self.size)));
        }
        self.compare(block)
    }

    /// Compares the bytes of a block, read elsewhere.
    pub fn compare_with(&mut self, block: usize, bytes: &[u8]) -> Result<(), Wrong> {
        self.data.copy_from_slice(bytes);
        self.compare(block)
    }

    /// Reads everything back that was acknowledged.
    pub fn audit(&mut self) -> Audit {
        let mut audit = Audit::default();
        for block in 0..self.blocks.len() {
            if self.blocks[block].acknowledged.is_none() {
                continue;
            }
            let there = self.fetch(block).unwrap_or(0).min(self.size);
            self.data[there..].fill(0);
            audit.acknowledged += self.size as u64;
            for at in self.differing(block) {
                *(if self.data[at] == 0 { &mut audit.lost } else { &mut audit.wrong }) += 1;
            }
        }
        audit
    }

    /// Ends the use of the file; removes it if `remove`.
    pub fn end(&mut self, remove: bool) {
        self.close();
        if remove {
            // What a kernel in trouble does not remove is left.
            let _ = self.env.sys.unlink(self.env.caller, &self.path);
        }
    }

    fn fetch(&mut self, block: usize) -> Result<usize, Errno> {
        let (fd, offset) = (self.fd()?, self.offset(block));
        let read = self.env.sys.pread(self.env.caller, fd, offset, &mut OutBuf::new(&mut self.data));
        self.or_close(read)
    }

    fn compare(&mut self, block: usize) -> Result<(), Wrong> {
        let differing = self.differing(block);
        match differing.first() {
            None => Ok(()),
            Some(&at) => Err(Wrong::Answer(format!(
                "{} of {} bytes of block {block} differ, the first at {at}: {:#04x} for {:#04x}",
                differing.len(),
                self.size,
                self.data[at],
                self.expected[at]
            ))),
        }
    }

    /// Where the data differs from everything that it may be; `expected` holds what was acknowledged last.
    fn differing(&mut self, block: usize) -> Vec<usize> {
        let Block { acknowledged, pending } = self.blocks[block];
        let app = self.env.caller.app.0;
        let mut differing: Option<Vec<usize>> = None;
        for stamp in [pending, acknowledged].into_iter().flatten() {
            pattern::fill(&mut self.expected, app, block, stamp);
            if self.data == self.expected {
                return Vec::new();
            }
            let differs = |at: &usize| self.data[*at] != self.expected[*at];
            match &mut differing {
                None => differing = Some((0..self.size).filter(differs).collect()),
                Some(differing) => differing.retain(differs),
            }
        }
        differing.unwrap_or_default()
    }

    pub fn or_close<T>(&mut self, result: Result<T, Errno>) -> Result<T, Errno> {
        if result.is_err() {
            self.close();
        }
        result
    }

    fn close(&mut self) {
        if let Some(fd) = self.fd.take() {
            // A descriptor that the kernel has forgotten is closed.
            let _ = self.env.sys.close(self.env.caller, fd);
        }
    }
}
