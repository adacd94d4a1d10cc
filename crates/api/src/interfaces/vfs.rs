//! The virtual file system: paths and descriptors of apps.

use crate::interfaces::fs::{Stat, StatFs};
use crate::{AppId, Blocks, Caller, Fd, InBuf, OutBuf, Result, interface};

/// Longest path, in bytes.
pub const PATH_MAX: usize = 4095;
/// Descriptors one app may hold.
pub const OPEN_MAX: usize = 1024;

/// Flags of `open`, with Linux's numbers on x86-64.
pub mod open {
    /// Reading only.
    pub const RDONLY: u32 = 0;
    /// Writing only.
    pub const WRONLY: u32 = 1;
    /// Both.
    pub const RDWR: u32 = 2;
    /// Mask of the three above.
    pub const ACCMODE: u32 = 3;
    /// Make the file if there is none.
    pub const CREAT: u32 = 0o100;
    /// With `CREAT`: there must be none.
    pub const EXCL: u32 = 0o200;
    /// Cut an existing file to nothing.
    pub const TRUNC: u32 = 0o1000;
    /// Every write goes to the end.
    pub const APPEND: u32 = 0o2000;
    /// It must be a directory.
    pub const DIRECTORY: u32 = 0o200000;
    /// The last component must be no symbolic link.
    pub const NOFOLLOW: u32 = 0o400000;
}

/// Flags of `fallocate`, with Linux's numbers.
pub mod allocate {
    /// The size stays as it is.
    pub const KEEP_SIZE: u32 = 1;
}

/// Times for `utimensat`, with Linux's numbers where they are not nanoseconds since 1970.
pub mod time {
    /// The present time.
    pub const NOW: u64 = (1 << 30) - 1;
    /// Stays as it is.
    pub const OMIT: u64 = (1 << 30) - 2;
}

/// Where `lseek` counts from, with Linux's numbers.
pub mod seek {
    /// The start.
    pub const SET: u32 = 0;
    /// The present position.
    pub const CUR: u32 = 1;
    /// The end.
    pub const END: u32 = 2;
}

/// File calls of apps. Semantics and errors are those of Linux's calls of the same names.
#[interface]
pub trait Vfs {
    /// `open(2)`, with flags of [`open`].
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
    /// `pwrite(2)`; as on Linux, a descriptor opened with `APPEND` appends.
    fn pwrite(&self, caller: Caller, fd: Fd, offset: i64, data: &mut InBuf<'_>) -> Result<usize>;
    /// `pread(2)` of several blocks at once, as [`crate::blocks`] says; `EINVAL` if `out` has not room for all.
    #[idempotent]
    fn pread_many(&self, caller: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pwrite(2)` of several blocks at once; `EINVAL` if two overlap or `data` is shorter than they are.
    fn pwrite_many(&self, caller: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize>;
    /// `lseek(2)`, with whence of [`seek`].
    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64>;
    /// `ftruncate(2)`.
    #[idempotent]
    fn ftruncate(&self, caller: Caller, fd: Fd, size: u64) -> Result<()>;
    /// `truncate(2)`.
    #[idempotent]
    fn truncate(&self, caller: Caller, path: &str, size: u64) -> Result<()>;
    /// `fallocate(2)`, with flags of [`allocate`].
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
    /// `utimensat(2)`: nanoseconds since 1970, or what [`time`] names.
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
    /// `getdents64(2)`: entries in the form of `linux_dirent64`; 0 at the end.
    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pipe(2)`: the reading and the writing end.
    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)>;
    /// An app is gone: its descriptors are released.
    #[event]
    fn app_exited(&self, app: AppId);
    /// A file system was started anew, and may have lost changes that were acknowledged: what was known of it is forgotten.
    #[event]
    fn file_system_restarted(&self);
}
