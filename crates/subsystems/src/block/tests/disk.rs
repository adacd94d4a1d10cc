//! A disk with a gate.

extern crate std;

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::yield_now;
use std::vec;
use std::vec::Vec;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};

/// Its size.
pub const SECTORS: u64 = 4096;

/// What a device was asked: write, first sector, sectors.
pub type Asked = (bool, u64, u64);

/// A disk that keeps a list of what it was asked, and answers nothing while its gate is closed.
pub struct Disk {
    pub bytes: Mutex<Vec<u8>>,
    pub asked: Mutex<Vec<Asked>>,
    /// Vectored requests among them.
    pub many: AtomicU64,
    closed: Mutex<bool>,
    opened: Condvar,
    /// A request that touches this sector fails.
    pub bad: AtomicU64,
    /// Requests of more bytes are done up to here.
    pub longest: AtomicU64,
    pub flushes: AtomicU64,
    /// The flush that fails, counted from 1.
    pub bad_flush: AtomicU64,
    /// How often each request lets others go first.
    pub slow: AtomicU64,
}

impl Disk {
    pub fn new() -> Arc<Disk> {
        Arc::new(Disk {
            bytes: Mutex::new(vec![0; SECTORS as usize * SECTOR]),
            asked: Mutex::default(),
            many: AtomicU64::new(0),
            closed: Mutex::new(false),
            opened: Condvar::new(),
            bad: AtomicU64::new(u64::MAX),
            longest: AtomicU64::new(u64::MAX),
            flushes: AtomicU64::new(0),
            bad_flush: AtomicU64::new(0),
            slow: AtomicU64::new(0),
        })
    }

    pub fn close(&self) {
        *self.closed.lock().expect("no panic") = true;
    }

    pub fn open(&self) {
        *self.closed.lock().expect("no panic") = false;
        self.opened.notify_all();
    }

    fn pass_gate(&self) {
        drop(self.opened.wait_while(self.closed.lock().expect("no panic"), |closed| *closed));
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    pub fn until_asked(&self, count: usize) {
        while self.asked().len() < count {
            yield_now();
        }
    }

    fn admit(&self, write: bool, sector: u64, bytes: usize) -> Result<(usize, usize)> {
        let sectors = (bytes / SECTOR) as u64;
        self.asked.lock().expect("no panic").push((write, sector, sectors));
        self.pass_gate();
        (0..self.slow.load(SeqCst)).for_each(|_| yield_now());
        let bad = self.bad.load(SeqCst);
        let end = sector.checked_add(sectors).filter(|end| *end <= SECTORS && !(sector..*end).contains(&bad));
        end.ok_or(Errno::EIO)?;
        Ok((sector as usize * SECTOR, bytes.min(self.longest.load(SeqCst) as usize)))
    }
}

impl BlockDevice for Disk {
    fn capacity(&self) -> Result<u64> {
        Ok(SECTORS)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let (at, bytes) = self.admit(false, sector, out.remaining())?;
        Ok(out.write(&self.bytes.lock().expect("no panic")[at..at + bytes]))
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let (at, bytes) = self.admit(true, sector, data.remaining())?;
        Ok(data.read(&mut self.bytes.lock().expect("no panic")[at..at + bytes]))
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        self.many.fetch_add(1, SeqCst);
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        self.many.fetch_add(1, SeqCst);
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        let number = self.flushes.fetch_add(1, SeqCst) + 1;
        self.pass_gate();
        if number == self.bad_flush.load(SeqCst) { Err(Errno::EIO) } else { Ok(()) }
    }

    fn statistics(&self) -> Result<Statistics> {
        Ok(Statistics { interrupts: 7, ..Statistics::default() })
    }
}
