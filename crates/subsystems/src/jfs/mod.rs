//! A journalling file system on a block device, after ext4 and jbd2 (ordered mode) with a format of its own, which
//! `format.rs` describes field by field.
//!
//! | file | what |
//! | --- | --- |
//! | `mkfs`, `fsck` | making, checking and repairing one that is not mounted |
//! | `super_block` | a mounted one: its parts, its lock order, the lives of inodes |
//! | `namei`, `names` | operations on names; the names of one directory |
//! | `file`, `extents` | operations on contents; where the blocks of one file lie |
//! | `inode`, `orphans` | inodes in memory; those that a crash would leave half done |
//! | `journal`, `recovery` | transactions and their log; its replay |
//! | `buffer`, `bitmap`, `disk` | metadata blocks in memory; what is in use; whole blocks of the device |
//!
//! What it promises: after a crash at any moment, a mount brings back a state between two operations, in which everything
//! is that an `fsync` or `sync` acknowledged. A read-only mount, quotas, extended attributes, access-control lists and growing a
//! mounted file system are left out; so are checksums of metadata outside the journal and the superblock.

mod bitmap;
mod buffer;
mod crc32c;
mod disk;
mod extents;
mod file;
mod format;
mod fsck;
mod inode;
mod journal;
mod mkfs;
mod namei;
mod names;
mod orphans;
mod recovery;
mod super_block;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;

use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, SetAttr, Stat, StatFs};
use kd_api::{Component, Errno, InBuf, Ino, OutBuf, Result};

pub use fsck::{Problem, Report, fsck};
pub use mkfs::{MkfsOptions, mkfs};

use crate::block::Partition;
use crate::page_cache::PageCache;
use super_block::SuperBlock;

/// Pages that the page cache keeps, and how many of them may be dirty: 16 MiB, and a quarter of that. A domain has 64 MiB
/// for everything, and the monolith no more.
const PAGES: usize = 4096;
const DIRTY: usize = PAGES / 4;

/// Blocks for each inode of a disk that is formatted at boot: 16 KiB, as mke2fs has it. Their table is zeroed first, and
/// each boot of an experiment waits for it.
const BLOCKS_PER_INODE: u64 = 4;
/// Sectors of a block.
const SECTORS: u64 = (format::BLOCK / SECTOR) as u64;

/// How a file system is to be mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Flush the device where the order of writes matters; without, a power failure may damage the file system.
    pub barriers: bool,
    /// Seal each transaction with a checksum, which replay checks.
    pub journal_checksum: bool,
    /// Commit and write back by kernel threads, where there are any.
    pub threads: bool,
}

impl Default for MountOptions {
    fn default() -> MountOptions {
        MountOptions { barriers: true, journal_checksum: true, threads: true }
    }
}

/// The component `jfs`, on the upper half of the disk: the lower is for those who use it without a file system. It
/// formats a blank one.
pub fn component() -> Component {
    Component::new::<dyn FileSystem, Jfs>("jfs", &["blk"], |imports| {
        let disk = imports.get::<dyn BlockDevice>("blk")?;
        let sectors = disk.capacity()?;
        let first = (sectors / 2).next_multiple_of(SECTORS);
        let device: Arc<dyn BlockDevice> = Arc::new(Partition::new(disk, first..sectors)?);
        if mkfs::is_blank(&*device)? {
            let inodes = (disk::capacity(&*device)? / BLOCKS_PER_INODE).min(u32::MAX.into()) as u32;
            mkfs(&*device, &MkfsOptions { inodes, ..MkfsOptions::default() })?;
        }
        Ok(Jfs::mount(device, MountOptions::default())?)
    })
}

/// A mounted file system. One that is dropped without [`Jfs::unmount`] is as after a crash.
pub struct Jfs(Arc<SuperBlock>);

impl Jfs {
    /// Mounts what is on the device, after replaying its journal; `EUCLEAN` if that makes no sense.
    pub fn mount(device: Arc<dyn BlockDevice>, options: MountOptions) -> Result<Arc<Jfs>> {
        Jfs::mount_with(device, options, PageCache::new(PAGES, DIRTY))
    }

    fn mount_with(device: Arc<dyn BlockDevice>, options: MountOptions, cache: PageCache) -> Result<Arc<Jfs>> {
        SuperBlock::mount(device, options, cache).map(|fs| Arc::new(Jfs(fs)))
    }

    /// Writes everything back and leaves an empty log. Nothing is to be called any more then.
    pub fn unmount(&self) -> Result<()> {
        self.0.sync()?;
        self.0.stop();
        self.0.journal.shut()
    }
}

impl Drop for Jfs {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl FileSystem for Jfs {
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        self.0.lookup(directory, name)
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        let inode = self.0.get(ino)?;
        inode.check_alive()?;
        Ok(inode.stat())
    }

    fn setattr(&self, ino: Ino, change: SetAttr) -> Result<Stat> {
        let inode = self.0.get(ino)?;
        inode.check_alive()?;
        let (handle, now) = (self.0.journal.begin(1)?, kd_sync::now());
        inode.update(&handle, |raw| {
            raw.mode = change.mode.map_or(raw.mode, |mode| mode & 0o7777);
            raw.uid = change.uid.unwrap_or(raw.uid);
            raw.gid = change.gid.unwrap_or(raw.gid);
            raw.atime = change.atime.unwrap_or(raw.atime);
            raw.mtime = change.mtime.unwrap_or(raw.mtime);
            raw.ctime = now;
        });
        Ok(inode.stat())
    }

    fn create(&self, directory: Ino, name: &str, kind: Kind, owner: Owner) -> Result<Stat> {
        if kind == Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        self.0.with_room(|| self.0.make(directory, name, kind, owner, ""))
    }

    fn symlink(&self, directory: Ino, name: &str, target: &str, owner: Owner) -> Result<Stat> {
        match target.len() {
            0 => Err(Errno::ENOENT),
            1..format::BLOCK => self.0.with_room(|| self.0.make(directory, name, Kind::Symlink, owner, target)),
            _ => Err(Errno::ENAMETOOLONG),
        }
    }

    fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize> {
        self.0.readlink(ino, out)
    }

    fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat> {
        self.0.with_room(|| self.0.link(ino, directory, name))
    }

    fn unlink(&self, directory: Ino, name: &str) -> Result<()> {
        self.0.remove(directory, name, Kind::File)
    }

    fn rmdir(&self, directory: Ino, name: &str) -> Result<()> {
        self.0.remove(directory, name, Kind::Directory)
    }

    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()> {
        self.0.with_room(|| self.0.rename(directory, name, to_directory, to_name, flags))
    }

    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.0.read(&self.0.get(ino)?, offset, out)
    }

    fn write(&self, ino: Ino, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        Ok((self.0.write(&self.0.get(ino)?, Some(offset), data)? - offset) as usize)
    }

    fn append(&self, ino: Ino, data: &mut InBuf<'_>) -> Result<u64> {
        self.0.write(&self.0.get(ino)?, None, data)
    }

    fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        self.0.truncate(&self.0.get(ino)?, size)
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        self.0.readdir(directory, cursor, out)
    }

    fn allocate(&self, ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        self.0.allocate(&self.0.get(ino)?, offset, bytes, keep_size)
    }

    fn fsync(&self, ino: Ino, data_only: bool) -> Result<u64> {
        self.0.fsync(&self.0.get(ino)?, data_only)?;
        Ok(self.0.instance)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn statfs(&self) -> Result<StatFs> {
        let (fs, geometry) = (&self.0, &self.0.geometry);
        Ok(StatFs {
            block_size: format::BLOCK as u32,
            blocks: (geometry.data_end() - geometry.data()).into(),
            free: fs.blocks.free().0.saturating_sub(fs.reserve).into(),
            files: (geometry.inodes - 1).into(),
            free_files: fs.inode_bits.free().0.into(),
        })
    }

    fn hold(&self, ino: Ino) -> Result<u64> {
        let inode = self.0.get(ino)?;
        let mut meta = inode.meta.lock();
        if meta.dying {
            return Err(Errno::ENOENT);
        }
        meta.holds = meta.holds.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        Ok(self.0.instance)
    }

    fn release(&self, ino: Ino) -> Result<()> {
        let inode = self.0.get(ino)?;
        let mut meta = inode.meta.lock();
        meta.holds = meta.holds.checked_sub(1).ok_or(Errno::EINVAL)?;
        drop(meta);
        self.0.bury_if_gone(&inode);
        Ok(())
    }

    fn reclaim(&self, ino: Ino, holds: u32) -> Result<Stat> {
        let inode = self.0.get(ino)?;
        inode.meta.lock().holds = holds;
        self.0.bury_if_gone(&inode);
        inode.check_alive()?;
        Ok(inode.stat())
    }
}
