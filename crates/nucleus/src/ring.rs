//! A ring: how children wake the one that supervises them, before the host does.
//!
//! It carries no data and needs no trust: whoever rings it makes the supervisor look, and nothing else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One, shared by a supervisor and all that it forks.
#[derive(Debug)]
pub struct Ring(File);

impl Ring {
    /// A silent one.
    pub fn new() -> io::Result<Ring> {
        // SAFETY: plain system call; the result is checked.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a fresh descriptor.
        Ok(Ring(unsafe { OwnedFd::from_raw_fd(fd) }.into()))
    }

    /// The one behind a descriptor that this program was handed.
    pub fn from_fd(fd: OwnedFd) -> Ring {
        Ring(fd.into())
    }

    /// The descriptor, readable while it rings.
    pub fn fd(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Rings. One system call, fit for a signal handler.
    pub fn ring(&self) {
        // It refuses only when it rings already.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Silences it.
    pub fn clear(&self) {
        let _ = (&self.0).read(&mut [0; 8]);
    }
}
