//! A disk in memory that can lose power or fail at a given write.

use alloc::vec;
use alloc::vec::Vec;

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, Errno, InBuf, OutBuf, Result};
use kd_sync::Mutex;

/// What happens at a disk's n-th write, counted from when it was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Well,
    /// From this write on all is lost, though acknowledged: the power is off.
    Dark(usize),
    /// This write, or the flush in its place, fails.
    Fails(usize),
}

struct State {
    sectors: Vec<u8>,
    fate: Fate,
    /// Writes and flushes so far.
    writes: usize,
}

pub struct Memory(Mutex<State>);

impl Memory {
    /// Of so many blocks of 4 KiB.
    pub fn new(blocks: usize) -> Memory {
        Memory::with(vec![0; blocks * 4096])
    }

    pub fn with(sectors: Vec<u8>) -> Memory {
        Memory(Mutex::new(State { sectors, fate: Fate::Well, writes: 0 }))
    }

    pub fn image(&self) -> Vec<u8> {
        self.0.lock().sectors.clone()
    }

    pub fn arm(&self, fate: Fate) {
        let mut state = self.0.lock();
        (state.fate, state.writes) = (fate, 0);
    }

    pub fn writes(&self) -> usize {
        self.0.lock().writes
    }
}

impl State {
    fn range(&self, sector: u64, bytes: usize, beyond: Errno) -> Result<core::ops::Range<usize>> {
        assert_eq!(bytes % SECTOR, 0);
        assert!(bytes <= kd_api::window::BULK, "a request longer than a channel's window");
        let start = usize::try_from(sector).map_err(|_| beyond)?.checked_mul(SECTOR).ok_or(beyond)?;
        let end = start.checked_add(bytes).filter(|end| *end <= self.sectors.len()).ok_or(beyond)?;
        Ok(start..end)
    }

    /// Whether the next write arrives.
    fn next(&mut self) -> Result<bool> {
        let number = self.writes;
        self.writes += 1;
        match self.fate {
            Fate::Dark(from) => Ok(number < from),
            Fate::Fails(at) if at == number => Err(Errno::EIO),
            _ => Ok(true),
        }
    }
}

impl BlockDevice for Memory {
    fn capacity(&self) -> Result<u64> {
        Ok((self.0.lock().sectors.len() / SECTOR) as u64)
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let state = self.0.lock();
        let range = state.range(sector, out.remaining(), Errno::EIO)?;
        Ok(out.write(&state.sectors[range]))
    }

    fn write(&self, sector: u64, _: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let mut state = self.0.lock();
        let range = state.range(sector, data.remaining(), Errno::ENOSPC)?;
        if state.next()? {
            return Ok(data.read(&mut state.sectors[range]));
        }
        Ok(range.len())
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.0.lock().next().map(|_| ())
    }

    fn statistics(&self) -> Result<Statistics> {
        Err(Errno::EOPNOTSUPP)
    }
}
