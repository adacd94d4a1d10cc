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
    /// A symbolic link.
    Symlink,
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
    /// The user it belongs to.
    pub uid: u32,
    /// The group it belongs to.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Sectors of 512 bytes that it takes.
    pub blocks: u64,
    /// When it was last read, in nanoseconds since 1970; as with `relatime`, not every read is noted.
    pub atime: u64,
    /// When its contents last changed.
    pub mtime: u64,
    /// When it last changed in any way.
    pub ctime: u64,
}

/// Whose a new inode is, and its permission bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u16,
}

/// What is to change of an inode; `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAttr {
    /// Permission bits.
    pub mode: Option<u16>,
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// Time of the last read, in nanoseconds since 1970.
    pub atime: Option<u64>,
    /// Time of the last change of its contents.
    pub mtime: Option<u64>,
}

/// What `statfs` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatFs {
    /// Bytes of a block.
    pub block_size: u32,
    /// Blocks in all; 0 where nothing but memory limits it.
    pub blocks: u64,
    /// Blocks nobody uses.
    pub free: u64,
    /// Inodes in all; 0 where nothing but memory limits them.
    pub files: u64,
    /// Inodes nobody uses.
    pub free_files: u64,
}

wire_by_codec!(Kind, Stat, Owner, SetAttr, StatFs);

/// Flags of `rename`, with the numbers of `renameat2(2)`.
pub mod rename {
    /// The new name must not be taken.
    pub const NOREPLACE: u32 = 1;
    /// Both names are exchanged.
    pub const EXCHANGE: u32 = 2;
}

/// A file system.
#[interface]
pub trait FileSystem {
    /// The inode that `name` leads to in a directory; `ENOENT`, `ENOTDIR`, `ENAMETOOLONG`.
    #[idempotent]
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat>;
    /// What an inode is.
    #[idempotent]
    fn getattr(&self, ino: Ino) -> Result<Stat>;
    /// Changes an inode's attributes and its `ctime`; what it is then. Who may is the VFS's concern.
    #[idempotent]
    fn setattr(&self, ino: Ino, change: SetAttr) -> Result<Stat>;
    /// Makes a file or directory; `EEXIST` if the name is taken.
    fn create(&self, directory: Ino, name: &str, kind: Kind, owner: Owner) -> Result<Stat>;
    /// Makes a symbolic link that says `target`.
    fn symlink(&self, directory: Ino, name: &str, target: &str, owner: Owner) -> Result<Stat>;
    /// What a symbolic link says; bytes written. `EINVAL` for anything else.
    #[idempotent]
    fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize>;
    /// Gives a file one name more; `EPERM` for a directory, `EMLINK` for one too many.
    fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat>;
    /// Removes a file's name; `EISDIR` for a directory. The file itself goes when nobody holds it.
    fn unlink(&self, directory: Ino, name: &str) -> Result<()>;
    /// Removes an empty directory; `ENOTDIR`, `ENOTEMPTY`.
    fn rmdir(&self, directory: Ino, name: &str) -> Result<()>;
    /// Moves a name, replacing what the new one led to, atomically; flags of [`rename`], errors as `renameat2(2)`.
    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()>;
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
    /// Sees to it that writes to these bytes need no more room; the size grows with it unless `keep_size`.
    #[idempotent]
    fn allocate(&self, ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> Result<()>;
    /// Returns once what was written to the file is as stable as the file system can make it; with `data_only`, as
    /// `fdatasync(2)`, attributes that are not needed to find the data may stay behind. An earlier failure to write back
    /// is told to each holder of the file once, since `fsync` is where Linux tells it. Answers which instance of the file
    /// system it was: what was written to another one, which died, may be lost.
    #[idempotent]
    fn fsync(&self, ino: Ino, data_only: bool) -> Result<u64>;
    /// The same for everything that was written to the file system.
    #[idempotent]
    fn sync(&self) -> Result<()>;
    /// Room and inodes, in all and free.
    #[idempotent]
    fn statfs(&self) -> Result<StatFs>;
    /// Holds an inode although its names may go; answers which instance of the file system does, as `fsync`.
    fn hold(&self, ino: Ino) -> Result<u64>;
    /// Ends one hold.
    fn release(&self, ino: Ino) -> Result<()>;
    /// There are so many holds of an inode, whatever was counted: said by a VFS that follows one that died. What the inode
    /// is; `ENOENT` if it has gone, or goes now because it has neither names nor holds.
    #[idempotent]
    fn reclaim(&self, ino: Ino, holds: u32) -> Result<Stat>;
}
