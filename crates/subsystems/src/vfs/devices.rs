//! The file system at `/dev`: one entry for each block device that was among the VFS's imports. Nothing in it changes.

use alloc::sync::Arc;

use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, Owner, ROOT, SetAttr, Stat, StatFs};
use kd_api::{Errno, Imports, InBuf, Ino, OutBuf, Result};
use kd_sync::now;

use super::device::Device;
use crate::dirent;

/// The devices, and since when they have been there.
pub struct Devices {
    devices: Arc<[Arc<Device>]>,
    since: u64,
}

/// The name of a driver's device, where it is not the driver's own: as on Linux, `brd` makes `/dev/ram0`.
pub fn device_name(driver: &str) -> &str {
    match driver {
        "ramdisk" => "ram0",
        "nullblk" => "nullb0",
        // The queue before it, where there is one, stands for it.
        "vdisk" | "blk" => "vda",
        "filedisk" => "vdb",
        other => other,
    }
}

impl Devices {
    /// Those among the imports.
    pub fn new(imports: &Imports) -> Devices {
        let drivers = imports.all::<dyn BlockDevice>();
        let devices = (ROOT.0 + 1..)
            .zip(drivers)
            .map(|(ino, (name, driver))| Arc::new(Device::new(device_name(name).into(), ino, driver)))
            .collect();
        Devices { devices, since: now() }
    }

    /// The device of an inode; `ENXIO`.
    pub fn device(&self, ino: Ino) -> Result<&Arc<Device>> {
        self.devices.iter().find(|device| device.ino == ino.0).ok_or(Errno::ENXIO)
    }

    fn stat(&self, ino: u64, kind: Kind) -> Stat {
        let (mode, links, size) = match kind {
            Kind::Directory => (0o755, 2, 40 + 20 * self.devices.len() as u64),
            _ => (0o660, 1, 0),
        };
        let (atime, mtime, ctime) = (self.since, self.since, self.since);
        Stat { ino, kind, mode, links, uid: 0, gid: 0, size, blocks: 0, atime, mtime, ctime }
    }

    fn check_directory(&self, ino: Ino) -> Result<()> {
        if ino == ROOT { Ok(()) } else { self.getattr(ino).and(Err(Errno::ENOTDIR)) }
    }

    /// Why a name can't be made, moved or removed.
    fn refuse<T>(&self, directory: Ino, name: &str, if_there: Errno) -> Result<T> {
        match self.lookup(directory, name) {
            Ok(_) => Err(if_there),
            Err(Errno::ENOENT) if if_there == Errno::EEXIST => Err(Errno::EROFS),
            Err(errno) => Err(errno),
        }
    }
}

impl FileSystem for Devices {
    fn lookup(&self, directory: Ino, name: &str) -> Result<Stat> {
        self.check_directory(directory)?;
        match name {
            "." | ".." => Ok(self.stat(ROOT.0, Kind::Directory)),
            _ if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            _ => {
                let device = self.devices.iter().find(|device| device.name == name).ok_or(Errno::ENOENT)?;
                Ok(self.stat(device.ino, Kind::Block))
            }
        }
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        match ino {
            ROOT => Ok(self.stat(ino.0, Kind::Directory)),
            _ => self.device(ino).map(|_| self.stat(ino.0, Kind::Block)).map_err(|_| Errno::ENOENT),
        }
    }

    fn setattr(&self, _: Ino, _: SetAttr) -> Result<Stat> {
        Err(Errno::EROFS)
    }

    fn create(&self, directory: Ino, name: &str, _: Kind, _: Owner) -> Result<Stat> {
        self.refuse(directory, name, Errno::EEXIST)
    }

    fn symlink(&self, directory: Ino, name: &str, _: &str, _: Owner) -> Result<Stat> {
        self.refuse(directory, name, Errno::EEXIST)
    }

    fn readlink(&self, _: Ino, _: &mut OutBuf<'_>) -> Result<usize> {
        Err(Errno::EINVAL)
    }

    fn link(&self, _: Ino, directory: Ino, name: &str) -> Result<Stat> {
        self.refuse(directory, name, Errno::EEXIST)
    }

    fn unlink(&self, directory: Ino, name: &str) -> Result<()> {
        self.refuse(directory, name, Errno::EROFS)
    }

    fn rmdir(&self, directory: Ino, name: &str) -> Result<()> {
        self.refuse(directory, name, Errno::ENOTDIR)
    }

    fn rename(&self, directory: Ino, name: &str, _: Ino, _: &str, _: u32) -> Result<()> {
        self.refuse(directory, name, Errno::EROFS)
    }

    fn read(&self, _: Ino, _: u64, _: &mut OutBuf<'_>) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn write(&self, _: Ino, _: u64, _: &mut InBuf<'_>) -> Result<usize> {
        Err(Errno::EISDIR)
    }

    fn append(&self, _: Ino, _: &mut InBuf<'_>) -> Result<u64> {
        Err(Errno::EISDIR)
    }

    fn truncate(&self, _: Ino, _: u64) -> Result<()> {
        Err(Errno::EINVAL)
    }

    fn readdir(&self, directory: Ino, cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
        self.check_directory(directory)?;
        let dots = [".", ".."].into_iter().map(|name| (ROOT.0, Kind::Directory, name));
        let entries = dots.chain(self.devices.iter().map(|device| (device.ino, Kind::Block, device.name.as_str())));
        let entries = (1..).zip(entries).map(|(next, (ino, kind, name))| dirent::Entry { ino, next, kind, name });
        dirent::write(cursor, entries.skip(usize::try_from(cursor).unwrap_or(usize::MAX)), out)
    }

    fn allocate(&self, _: Ino, _: u64, _: u64, _: bool) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    fn fsync(&self, _: Ino, _: bool) -> Result<u64> {
        Ok(0)
    }

    fn sync(&self) -> Result<()> {
        self.devices.iter().map(|device| device.flush()).fold(Ok(()), Result::and)
    }

    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs { block_size: 4096, blocks: 0, free: 0, files: 0, free_files: 0 })
    }

    fn hold(&self, ino: Ino) -> Result<u64> {
        self.getattr(ino).map(|_| 0)
    }

    fn release(&self, _: Ino) -> Result<()> {
        Ok(())
    }

    fn reclaim(&self, ino: Ino, _: u32) -> Result<Stat> {
        self.getattr(ino)
    }
}
