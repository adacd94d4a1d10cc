//! System calls as an app makes them, on every kernel alike.

use crate::interfaces::fs::Stat;
use crate::{Caller, Fd, InBuf, OutBuf, Result, interface};

/// The system calls. On the monolithic kernel their table is in the kernel; on the microkernel it is the app's library,
/// which sends each to the server that answers it; on Linux it is the host's.
#[interface]
pub trait Syscalls {
    /// A null call that ends in the kernel core.
    #[idempotent]
    fn null(&self) -> Result<()>;
    /// A null call that ends in the `proc` subsystem.
    #[idempotent]
    fn getpid(&self, caller: Caller) -> Result<u32>;
    /// `open(2)`.
    fn open(&self, caller: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd>;
    /// `close(2)`.
    fn close(&self, caller: Caller, fd: Fd) -> Result<()>;
    /// `read(2)`.
    #[blocking]
    fn read(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `write(2)`.
    #[blocking]
    fn write(&self, caller: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize>;
    /// `pread(2)`.
    #[idempotent]
    fn pread(&self, caller: Caller, fd: Fd, offset: i64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pwrite(2)`.
    fn pwrite(&self, caller: Caller, fd: Fd, offset: i64, data: &mut InBuf<'_>) -> Result<usize>;
    /// `lseek(2)`.
    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64>;
    /// `fsync(2)`.
    #[idempotent]
    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()>;
    /// `stat(2)`.
    #[idempotent]
    fn stat(&self, caller: Caller, path: &str) -> Result<Stat>;
    /// `mkdir(2)`.
    fn mkdir(&self, caller: Caller, path: &str, mode: u32) -> Result<()>;
    /// `unlink(2)`.
    fn unlink(&self, caller: Caller, path: &str) -> Result<()>;
    /// `rename(2)`.
    fn rename(&self, caller: Caller, from: &str, to: &str) -> Result<()>;
    /// `getdents64(2)`.
    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pipe(2)`.
    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)>;
}
