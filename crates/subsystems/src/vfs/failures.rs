//! Failures of writing back, told once through each open file (Linux's `errseq_t`).
//!
//! A file system tells the first who syncs a file, and forgets. All others who had the file open then are owed the same:
//! their data was in the same pages. So a failure that a sync was told of is kept here with its number, and an open file
//! remembers up to which number it knows. One that is opened later is owed nothing. Who syncs in the same moment as the
//! first is told at the latest by the next sync.

use alloc::collections::BTreeMap;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use kd_api::{Errno, Result};
use kd_sync::Mutex;

use super::mounts::Location;

/// Files whose failures are kept; beyond them the oldest is forgotten.
const FILES: usize = 1024;

/// The failures of all files.
#[derive(Default)]
pub struct Failures {
    latest: AtomicU64,
    files: Mutex<BTreeMap<Location, (u64, Errno)>>,
}

impl Failures {
    /// The number that whoever opens a file now knows already.
    pub fn latest(&self) -> u64 {
        self.latest.load(SeqCst)
    }

    /// What a sync of a file came to, for one that knows failures up to number `known`.
    pub fn tell(&self, at: Location, known: &AtomicU64, synced: Result<()>) -> Result<()> {
        match synced {
            Err(errno @ (Errno::EIO | Errno::ENOSPC)) => {
                let mut files = self.files.lock();
                let number = self.latest.fetch_add(1, SeqCst) + 1;
                files.insert(at, (number, errno));
                if files.len() > FILES
                    && let Some(oldest) = files.iter().min_by_key(|(_, (number, _))| *number).map(|(at, _)| *at)
                {
                    files.remove(&oldest);
                }
                known.store(number, SeqCst);
                Err(errno)
            }
            // Mostly nothing ever failed.
            Ok(()) if self.latest() > known.load(SeqCst) => {
                let files = self.files.lock();
                let owed = files.get(&at).filter(|(number, _)| *number > known.load(SeqCst));
                known.store(self.latest(), SeqCst);
                owed.map_or(Ok(()), |(_, errno)| Err(*errno))
            }
            other => other,
        }
    }
}
