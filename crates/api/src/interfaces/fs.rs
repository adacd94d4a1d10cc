//! File systems, as the VFS sees them: inodes and names, after Linux's `inode_operations` and `file_operations`.

use serde::{Deserialize, Serialize};

use crate::{InBuf, Ino, OutBuf, Result, interface, wire_by_codec};

/// The root directory of every file system.
pub const ROOT: Ino = Ino(1);
/// Longest name of one directory entry, in bytes.
pub const NAME_MAX: usize = 255;

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A block device.
    Block,
    /// A pipe.
    Fifo,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// Inode number.
    pub ino: u64,
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Names that lead to it.
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
}

wire_by_codec!(Kind, Stat);

/// A file system.
#[interface]
pub trait FileSystem {
    /// The inode that `name` leads to in a directory; `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`.
    #[idempotent]
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat>;
    /// What an inode is.
    #[idempotent]
    fn getattr(&self, ino: Ino) -> Result<Stat>;
    /// Makes a file or directory; `EEXIST` if the name is taken.
    fn create(&self, directory: Ino, name: &str, kind: Kind, mode: u16) -> Result<Stat>;
    /// Removes a file's name; `EISDIR` for a directory. The file itself goes when nobody holds it.
    fn unlink(&self, directory: Ino, name: &str) -> Result<()>;
    /// Moves a name, replacing what the new one led to, atomically; errors as `rename(2)`.
    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str) -> Result<()>;
    /// Reads from byte `offset`; 0 at the end.
    #[idempotent]
    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Writes at byte `offset`, growing the file as needed.
    #[idempotent]
    fn write(&self, ino: Ino, offset: u64, data: &mut InBuf<'_>) -> Result<usize>;
    /// Writes at the end, wherever that is by now; returns the offset after the last byte written.
    fn append(&self, ino: Ino, data: &mut InBuf<'_>) -> Result<u64>;
    /// Sets the size, cutting or adding zeros.
    #[idempotent]
    fn truncate(&self, ino: Ino, size: u64) -> Result<()>;
    /// Writes entries (in the form of `linux_dirent64`) from position `cursor` on; returns the next position and the
    /// bytes written. `EINVAL` when not even one fits.
    #[idempotent]
    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)>;
    /// Returns once what was written to the file is as stable as the file system can make it.
    #[idempotent]
    fn fsync(&self, ino: Ino) -> Result<()>;
    /// Holds an inode although its names may go.
    fn hold(&self, ino: Ino) -> Result<()>;
    /// Ends one hold.
    fn release(&self, ino: Ino) -> Result<()>;
}
