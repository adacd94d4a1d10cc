//! The virtual file system: paths and descriptors of apps.

use crate::interfaces::fs::Stat;
use crate::{AppId, Caller, Fd, InBuf, OutBuf, Result, interface};

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
    /// `lseek(2)`, with whence of [`seek`].
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
    /// `getdents64(2)`: entries in the form of `linux_dirent64`; 0 at the end.
    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize>;
    /// `pipe(2)`: the reading and the writing end.
    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)>;
    /// An app is gone: its descriptors are released.
    #[event]
    fn app_exited(&self, app: AppId);
}
