//! The file system at `/dev`: one entry for each block device that was among the VFS's imports. No name in it changes; a
//! driver may go and come back, and as long as it is gone its name cannot be opened (`ENXIO`). Open files hold the device, so
//! a driver is in use as long as there is one.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use kd_api::hotplug::Hotplug;
use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{FileSystem, Kind, NAME_MAX, Owner, ROOT, SetAttr, Stat, StatFs};
use kd_api::{Errno, Handle, Imports, InBuf, Ino, OutBuf, Result};
use kd_sync::{Mutex, now};

use super::device::Device;
use crate::dirent;

/// The devices, and since when they have been there.
pub struct Devices {
    nodes: Vec<Node>,
    since: u64,
}

/// A name, and the device behind it while there is one.
struct Node {
    /// The import that it comes from.
    import: String,
    name: String,
    ino: u64,
    device: Mutex<Option<Arc<Device>>>,
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
        let nodes = (ROOT.0 + 1..).zip(drivers).map(|(ino, (import, driver))| Node {
            import: import.into(),
            name: device_name(import).into(),
            ino,
            device: Mutex::new(Some(Arc::new(Device::new(driver)))),
        });
        Devices { nodes: nodes.collect(), since: now() }
    }

    /// The device of an inode; `ENXIO` if there is none.
    pub fn device(&self, ino: Ino) -> Result<Arc<Device>> {
        self.node(ino)?.device.lock().clone().ok_or(Errno::ENXIO)
    }

    fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.iter().find(|node| node.ino == ino.0).ok_or(Errno::ENXIO)
    }

    fn stat(&self, ino: u64, kind: Kind) -> Stat {
        let (mode, links, size) = match kind {
            Kind::Directory => (0o755, 2, 40 + 20 * self.nodes.len() as u64),
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

impl Hotplug for Devices {
    fn unplug(&self, name: &str) -> Result<()> {
        for node in self.nodes.iter().filter(|node| node.import == name) {
            let mut device = node.device.lock();
            // Who opens it takes a share under this lock; all others are open files.
            if device.as_ref().is_some_and(|device| Arc::strong_count(device) > 1) {
                return Err(Errno::EBUSY);
            }
            *device = None;
        }
        Ok(())
    }

    fn plug(&self, name: &str, handle: &Handle) {
        if let Ok(driver) = handle.get::<dyn BlockDevice>() {
            let node = self.nodes.iter().find(|node| node.import == name);
            node.into_iter().for_each(|node| *node.device.lock() = Some(Arc::new(Device::new(driver.clone()))));
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
                let node = self.nodes.iter().find(|node| node.name == name).ok_or(Errno::ENOENT)?;
                Ok(self.stat(node.ino, Kind::Block))
            }
        }
    }

    fn getattr(&self, ino: Ino) -> Result<Stat> {
        match ino {
            ROOT => Ok(self.stat(ino.0, Kind::Directory)),
            _ => self.node(ino).map(|_| self.stat(ino.0, Kind::Block)).map_err(|_| Errno::ENOENT),
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
        let entries = dots.chain(self.nodes.iter().map(|node| (node.ino, Kind::Block, node.name.as_str())));
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
        let devices = self.nodes.iter().filter_map(|node| node.device.lock().clone());
        devices.map(|device| device.flush()).fold(Ok(()), Result::and)
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
