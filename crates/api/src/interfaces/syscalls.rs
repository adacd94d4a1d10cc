//! System calls as an app makes them, on every kernel alike.

use crate::interfaces::fs::{Stat, StatFs};
use crate::{Blocks, Caller, Fd, InBuf, OutBuf, Result, interface};

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
    /// `pread(2)` of several blocks at once, as [`crate::blocks`] says; `EINVAL` if `out` has not room for all.
    #[idempotent]
    fn pread_many(&self, caller: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pwrite(2)` of several blocks at once; `EINVAL` if two overlap or `data` is shorter than they are.
    fn pwrite_many(&self, caller: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize>;
    /// `lseek(2)`.
    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64>;
    /// `ftruncate(2)`.
    #[idempotent]
    fn ftruncate(&self, caller: Caller, fd: Fd, size: u64) -> Result<()>;
    /// `truncate(2)`.
    #[idempotent]
    fn truncate(&self, caller: Caller, path: &str, size: u64) -> Result<()>;
    /// `fallocate(2)`, with flags of [`crate::interfaces::vfs::allocate`].
    #[idempotent]
    fn fallocate(&self, caller: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()>;
    /// `fsync(2)`.
    #[idempotent]
    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()>;
    /// `fdatasync(2)`.
    #[idempotent]
    fn fdatasync(&self, caller: Caller, fd: Fd) -> Result<()>;
    /// `syncfs(2)` of every mount.
    #[idempotent]
    fn sync(&self, caller: Caller) -> Result<()>;
    /// `dup(2)`.
    fn dup(&self, caller: Caller, fd: Fd) -> Result<Fd>;
    /// `stat(2)`.
    #[idempotent]
    fn stat(&self, caller: Caller, path: &str) -> Result<Stat>;
    /// `lstat(2)`.
    #[idempotent]
    fn lstat(&self, caller: Caller, path: &str) -> Result<Stat>;
    /// `fstat(2)`.
    #[idempotent]
    fn fstat(&self, caller: Caller, fd: Fd) -> Result<Stat>;
    /// `statfs(2)`.
    #[idempotent]
    fn statfs(&self, caller: Caller, path: &str) -> Result<StatFs>;
    /// `chmod(2)`.
    #[idempotent]
    fn chmod(&self, caller: Caller, path: &str, mode: u32) -> Result<()>;
    /// `chown(2)`; `u32::MAX` leaves a number as it is.
    #[idempotent]
    fn chown(&self, caller: Caller, path: &str, uid: u32, gid: u32) -> Result<()>;
    /// `utimensat(2)`: nanoseconds since 1970, or what [`crate::interfaces::vfs::time`] names.
    #[idempotent]
    fn utimens(&self, caller: Caller, path: &str, atime: u64, mtime: u64) -> Result<()>;
    /// `umask(2)`: the mask until now.
    fn umask(&self, caller: Caller, mask: u32) -> Result<u32>;
    /// `setresuid(2)` and `setresgid(2)` with three times the same number: from now on the app is this user.
    #[idempotent]
    fn set_user(&self, caller: Caller, uid: u32, gid: u32) -> Result<()>;
    /// `mkdir(2)`.
    fn mkdir(&self, caller: Caller, path: &str, mode: u32) -> Result<()>;
    /// `rmdir(2)`.
    fn rmdir(&self, caller: Caller, path: &str) -> Result<()>;
    /// `link(2)`.
    fn link(&self, caller: Caller, from: &str, to: &str) -> Result<()>;
    /// `symlink(2)`.
    fn symlink(&self, caller: Caller, target: &str, path: &str) -> Result<()>;
    /// `readlink(2)`.
    #[idempotent]
    fn readlink(&self, caller: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `unlink(2)`.
    fn unlink(&self, caller: Caller, path: &str) -> Result<()>;
    /// `renameat2(2)`, with flags of [`crate::interfaces::fs::rename`].
    fn rename(&self, caller: Caller, from: &str, to: &str, flags: u32) -> Result<()>;
    /// `getdents64(2)`.
    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pipe(2)`.
    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)>;
}
