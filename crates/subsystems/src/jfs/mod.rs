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

use kd_api::hotplug::Hotplug;
use kd_api::interfaces::block::{BlockDevice, SECTOR};
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, SetAttr, Stat, StatFs};
use kd_api::{Component, Errno, Handle, InBuf, Ino, OutBuf, Result};
use kd_sync::{MappedRwLockReadGuard, RwLock, RwLockReadGuard, log};

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
        let device = upper_half(imports.get::<dyn BlockDevice>("blk")?)?;
        if mkfs::is_blank(&*device)? {
            let inodes = (disk::capacity(&*device)? / BLOCKS_PER_INODE).min(u32::MAX.into()) as u32;
            mkfs(&*device, &MkfsOptions { inodes, ..MkfsOptions::default() })?;
        }
        let jfs = Jfs::mount(device, MountOptions::default())?;
        imports.offer(jfs.clone());
        Ok(jfs)
    })
}

fn upper_half(disk: Arc<dyn BlockDevice>) -> Result<Arc<dyn BlockDevice>> {
    let sectors = disk.capacity()?;
    let first = (sectors / 2).next_multiple_of(SECTORS);
    Ok(Arc::new(Partition::new(disk, first..sectors)?))
}

/// A mounted file system; unmounted, all calls are `ENXIO`. One that is dropped without [`Jfs::unmount`] is as after a crash.
pub struct Jfs(RwLock<Option<Arc<SuperBlock>>>);

/// The file system, which nobody unmounts meanwhile.
type Mounted<'a> = MappedRwLockReadGuard<'a, SuperBlock>;

impl Jfs {
    /// Mounts what is on the device, after replaying its journal; `EUCLEAN` if that makes no sense.
    pub fn mount(device: Arc<dyn BlockDevice>, options: MountOptions) -> Result<Arc<Jfs>> {
        Jfs::mount_with(device, options, PageCache::new(PAGES, DIRTY))
    }

    fn mount_with(device: Arc<dyn BlockDevice>, options: MountOptions, cache: PageCache) -> Result<Arc<Jfs>> {
        SuperBlock::mount(device, options, cache).map(|fs| Arc::new(Jfs(RwLock::new(Some(fs)))))
    }

    /// Once in a call, as with any lock for reading.
    fn fs(&self) -> Result<Mounted<'_>> {
        RwLockReadGuard::try_map(self.0.read(), Option::as_deref).map_err(|_| Errno::ENXIO)
    }

    /// Writes everything back, leaves an empty log, and lets go of the device, whoever holds files; `EBUSY` while a call is
    /// under way.
    pub fn unmount(&self) -> Result<()> {
        self.unmount_unless(|_| false)
    }

    fn unmount_unless(&self, in_use: impl FnOnce(&SuperBlock) -> bool) -> Result<()> {
        // Waiting for a thread that an oops took away would be for ever.
        let mut mounted = self.0.try_write().ok_or(Errno::EBUSY)?;
        let Some(fs) = &*mounted else { return Ok(()) };
        if in_use(fs) {
            return Err(Errno::EBUSY);
        }
        fs.sync()?;
        fs.stop();
        fs.journal.shut()?;
        *mounted = None;
        Ok(())
    }
}

impl Hotplug for Jfs {
    fn unplug(&self, _: &str) -> Result<()> {
        self.unmount_unless(|fs| fs.inodes.all().iter().any(|inode| inode.meta.lock().holds > 0))
    }

    fn plug(&self, name: &str, handle: &Handle) {
        let device = handle.get::<dyn BlockDevice>().map_err(|_| Errno::ENODEV);
        let options = MountOptions::default();
        let mount = |device| SuperBlock::mount(device, options, PageCache::new(PAGES, DIRTY));
        match device.and_then(upper_half).and_then(mount) {
            Ok(fs) => *self.0.write() = Some(fs),
            Err(errno) => log(&alloc::format!("jfs: {name} cannot be mounted again: {errno:?}")),
        }
    }
}

impl Drop for Jfs {
    fn drop(&mut self) {
        self.0.get_mut().iter().for_each(|fs| fs.stop());
    }
}

impl FileSystem for Jfs {
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        let fs = self.fs()?;
        fs.lookup(directory, name)
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        let fs = self.fs()?;
        let inode = fs.get(ino)?;
        inode.check_alive()?;
        Ok(inode.stat())
    }

    fn setattr(&self, ino: Ino, change: SetAttr) -> Result<Stat> {
        let fs = self.fs()?;
        let inode = fs.get(ino)?;
        inode.check_alive()?;
        let (handle, now) = (fs.journal.begin(1)?, kd_sync::now());
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
        let fs = self.fs()?;
        fs.with_room(|| fs.make(directory, name, kind, owner, ""))
    }

    fn symlink(&self, directory: Ino, name: &str, target: &str, owner: Owner) -> Result<Stat> {
        let fs = self.fs()?;
        match target.len() {
            0 => Err(Errno::ENOENT),
            1..format::BLOCK => fs.with_room(|| fs.make(directory, name, Kind::Symlink, owner, target)),
            _ => Err(Errno::ENAMETOOLONG),
        }
    }

    fn readlink(&self, ino: Ino, out: &mut OutBuf<'_>) -> Result<usize> {
        self.fs()?.readlink(ino, out)
    }

    fn link(&self, ino: Ino, directory: Ino, name: &str) -> Result<Stat> {
        let fs = self.fs()?;
        fs.with_room(|| fs.link(ino, directory, name))
    }

    fn unlink(&self, directory: Ino, name: &str) -> Result<()> {
        self.fs()?.remove(directory, name, Kind::File)
    }

    fn rmdir(&self, directory: Ino, name: &str) -> Result<()> {
        self.fs()?.remove(directory, name, Kind::Directory)
    }

    fn rename(&self, directory: Ino, name: &str, to_directory: Ino, to_name: &str, flags: u32) -> Result<()> {
        let fs = self.fs()?;
        fs.with_room(|| fs.rename(directory, name, to_directory, to_name, flags))
    }

    fn read(&self, ino: Ino, offset: u64, out: &mut OutBuf<'_>) -> Result<usize> {
        let fs = self.fs()?;
        fs.read(&fs.get(ino)?, offset, out)
    }

    fn write(&self, ino: Ino, offset: u64, data: &mut InBuf<'_>) -> Result<usize> {
        let fs = self.fs()?;
        Ok((fs.write(&fs.get(ino)?, Some(offset), data)? - offset) as usize)
    }

    fn append(&self, ino: Ino, data: &mut InBuf<'_>) -> Result<u64> {
        let fs = self.fs()?;
        fs.write(&fs.get(ino)?, None, data)
    }

    fn truncate(&self, ino: Ino, size: u64) -> Result<()> {
        let fs = self.fs()?;
        fs.truncate(&fs.get(ino)?, size)
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        self.fs()?.readdir(directory, cursor, out)
    }

    fn allocate(&self, ino: Ino, offset: u64, bytes: u64, keep_size: bool) -> Result<()> {
        let fs = self.fs()?;
        fs.allocate(&fs.get(ino)?, offset, bytes, keep_size)
    }

    fn fsync(&self, ino: Ino, data_only: bool) -> Result<u64> {
        let fs = self.fs()?;
        fs.fsync(&fs.get(ino)?, data_only)?;
        Ok(fs.instance)
    }

    fn sync(&self) -> Result<()> {
        // What is not mounted was written back.
        self.fs().map_or(Ok(()), |fs| fs.sync())
    }

    fn statfs(&self) -> Result<StatFs> {
        let fs = self.fs()?;
        let geometry = &fs.geometry;
        Ok(StatFs {
            block_size: format::BLOCK as u32,
            blocks: (geometry.data_end() - geometry.data()).into(),
            free: fs.blocks.free().0.saturating_sub(fs.reserve).into(),
            files: (geometry.inodes - 1).into(),
            free_files: fs.inode_bits.free().0.into(),
        })
    }

    fn hold(&self, ino: Ino) -> Result<u64> {
        let fs = self.fs()?;
        let inode = fs.get(ino)?;
        let mut meta = inode.meta.lock();
        if meta.dying {
            return Err(Errno::ENOENT);
        }
        meta.holds = meta.holds.checked_add(1).ok_or(Errno::EOVERFLOW)?;
        Ok(fs.instance)
    }

    fn release(&self, ino: Ino) -> Result<()> {
        let fs = self.fs()?;
        let inode = fs.get(ino)?;
        let mut meta = inode.meta.lock();
        meta.holds = meta.holds.checked_sub(1).ok_or(Errno::EINVAL)?;
        drop(meta);
        fs.bury_if_gone(&inode);
        Ok(())
    }

    fn reclaim(&self, ino: Ino, holds: u32) -> Result<Stat> {
        let fs = self.fs()?;
        let inode = fs.get(ino)?;
        inode.meta.lock().holds = holds;
        fs.bury_if_gone(&inode);
        inode.check_alive()?;
        Ok(inode.stat())
    }
}
