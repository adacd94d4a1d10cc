//! A journalling file system on a block device.

use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, SetAttr, Stat, StatFs};
use kd_api::{Component, Errno, InBuf, Ino, OutBuf, Result};

/// How a file system is to be laid out; 0 stands for what fits the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MkfsOptions {
    /// Blocks of the journal.
    pub journal_blocks: u32,
    /// Inodes in all.
    pub inodes: u32,
}

/// How a file system is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Flush the device where the order of writes matters; without, a power failure may damage the file system.
    pub barriers: bool,
    /// Seal each transaction with a checksum and check it at replay.
    pub journal_checksum: bool,
    /// Commit and write back by kernel threads, where there are any.
    pub threads: bool,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions { barriers: true, journal_checksum: true, threads: true }
    }
}

/// Something that `fsck` found amiss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is, for people.
    pub what: alloc::string::String,
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

/// Makes an empty file system.
pub fn mkfs(device: &dyn BlockDevice, options: &MkfsOptions) -> Result<()> {
    let _ = (device, options);
    Err(Errno::ENOSYS)
}

/// Checks a file system that is not mounted and, if asked to, repairs it.
pub fn fsck(device: &dyn BlockDevice, repair: bool) -> Result<Report> {
    let _ = (device, repair);
    Err(Errno::ENOSYS)
}

/// The component `jfs`; it formats a blank disk.
pub fn component() -> Component {
    Component::new::<dyn FileSystem, Jfs>("jfs", &["blk"], |imports| {
        let device = imports.get::<dyn BlockDevice>("blk")?;
        Ok(Jfs::mount(device, MountOptions::default())?)
    })
}

/// A mounted file system.
pub struct Jfs {}

impl Jfs {
    /// Mounts what is on the device, after replaying its journal.
    pub fn mount(device: Arc<dyn BlockDevice>, options: MountOptions) -> Result<Arc<Jfs>> {
        let _ = (device, options);
        Err(Errno::ENOSYS)
    }

    /// Writes everything back and leaves an empty journal.
    pub fn unmount(&self) -> Result<()> {
        Err(Errno::ENOSYS)
    }
}

macro_rules! skeleton {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        impl FileSystem for Jfs {
            $(fn $name(&self, $($arg: $type),*) -> Result<$result> {
                let _ = ($($arg,)*);
                Err(Errno::ENOSYS)
            })*
        }
    };
}

skeleton! {
    lookup(directory: Ino, name: &str) -> Stat;
    getattr(ino: Ino) -> Stat;
    setattr(ino: Ino, change: SetAttr) -> Stat;
    create(directory: Ino, name: &str, kind: Kind, owner: Owner) -> Stat;
    symlink(directory: Ino, name: &str, target: &str, owner: Owner) -> Stat;
    readlink(ino: Ino, out: &mut OutBuf<'_>) -> usize;
    link(ino: Ino, directory: Ino, name: &str) -> Stat;
    unlink(directory: Ino, name: &str) -> ();
    rmdir(directory: Ino, name: &str) -> ();
    rename(directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> ();
    read(ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> usize;
    write(ino: Ino, offset: u64, data: &mut InBuf<'_>) -> usize;
    append(ino: Ino, data: &mut InBuf<'_>) -> u64;
    truncate(ino: Ino, size: u64) -> ();
    readdir(directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> (u64, usize);
    allocate(ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> ();
    fsync(ino: Ino, data_only: bool) -> ();
    sync() -> ();
    statfs() -> StatFs;
    hold(ino: Ino) -> ();
    release(ino: Ino) -> ();
}
