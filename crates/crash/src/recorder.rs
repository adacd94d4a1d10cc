//! A disk that notes what is asked of it: every write and flush in order.

use std::sync::{Arc, Mutex, PoisonError};

use kd_api::interfaces::block::{BlockDevice, SECTOR, Statistics, read_each, write_each};
use kd_api::{Blocks, InBuf, OutBuf, Result};

use crate::disk::{Disk, Image};

/// A request that changes what is on the disk, or what is stable there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Whole sectors.
    Write {
        /// The first.
        sector: u64,
        /// What they hold then.
        data: Vec<u8>,
        /// They are stable when it returns.
        fua: bool,
    },
    /// All that was written before is stable when it returns.
    Flush,
}

/// Notes requests on their way to a disk.
pub struct Recorder {
    disk: Disk,
    log: Mutex<Vec<Request>>,
}

impl Recorder {
    /// Over a disk that holds what the image does.
    pub fn new(image: &Arc<Image>) -> Recorder {
        Recorder { disk: Disk::new(image), log: Mutex::default() }
    }

    /// How many requests were noted.
    pub fn position(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was noted, which is forgotten here.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, request: Request) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    }
}

impl BlockDevice for Recorder {
    fn capacity(&self) -> Result<u64> {
        self.disk.capacity()
    }

    fn read(&self, sector: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.disk.read(sector, out)
    }

    fn write(&self, sector: u64, fua: bool, data: &mut InBuf<'_>) -> Result<usize> {
        let mut copy = vec![0; data.remaining()];
        data.read(&mut copy);
        let bytes = self.disk.write(sector, fua, &mut InBuf::new(&copy))?;
        debug_assert_eq!(copy.len() % SECTOR, 0, "the disk refuses anything else");
        self.note(Request::Write { sector, data: copy, fua });
        Ok(bytes)
    }

    fn read_many(&self, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        read_each(self, &blocks, out)
    }

    fn write_many(&self, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        write_each(self, &blocks, data)
    }

    fn flush(&self) -> Result<()> {
        self.note(Request::Flush);
        Ok(())
    }

    fn statistics(&self) -> Result<Statistics> {
        self.disk.statistics()
    }
}
