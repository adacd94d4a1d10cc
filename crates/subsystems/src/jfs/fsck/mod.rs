//! Checking and repairing a file system that is not mounted.

use alloc::string::String;
use alloc::vec::Vec;

use kd_api::interfaces::block::BlockDevice;
use kd_api::{Errno, Result};

/// Something that `fsck` found amiss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, for people.
    pub what: String,
}

/// What `fsck` found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Everything amiss.
    pub problems: Vec<Problem>,
    /// How many of these were repaired.
    pub repaired: usize,
}

impl Report {
    /// Whether nothing was amiss.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks a file system that is not mounted and, if asked to, repairs it.
pub fn fsck(device: &dyn BlockDevice, repair: bool) -> Result<Report> {
    let _ = (device, repair);
    Err(Errno::ENOSYS)
}
