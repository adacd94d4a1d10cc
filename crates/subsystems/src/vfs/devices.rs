//! The directory `/dev`: one entry for each block device that was among the VFS's imports. Nothing can be made in it.

use alloc::sync::Arc;

use kd_api::interfaces::block::BlockDevice;
use kd_api::interfaces::fs::{Kind, ROOT, Stat};
use kd_api::{Imports, OutBuf, Result};

use super::device::Device;
use crate::dirent;

/// Inode numbers from here on, out of the reach of a file system that counts from 1.
const INO: u64 = 1 << 48;

/// The name of a driver's device, where it is not the driver's own: as on Linux, `brd` makes `/dev/ram0`.
fn device_name(driver: &str) -> &str {
    match driver {
        "ramdisk" => "ram0",
        "nullblk" => "nullb0",
        "vdisk" => "vda",
        "filedisk" => "vdb",
        other => other,
    }
}

/// The devices among the imports.
pub fn from(imports: &Imports) -> Arc<[Arc<Device>]> {
    let drivers = imports.all::<dyn BlockDevice>();
    (INO + 1..)
        .zip(drivers)
        .map(|(ino, (name, driver))| Arc::new(Device::new(device_name(name).into(), ino, driver)))
        .collect()
}

/// What `stat` tells of `/dev`.
pub fn stat(devices: &[Arc<Device>]) -> Stat {
    Stat {
        ino: INO,
        kind: Kind::Directory,
        mode: 0o755,
        links: 2,
        uid: 0,
        gid: 0,
        size: 40 + 20 * devices.len() as u64,
        blocks: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// Lists from position `cursor` on.
pub fn list(devices: &[Arc<Device>], cursor: u64, out: &mut OutBuf<'_>) -> Result<(u64, usize)> {
    let dots = [(INO, Kind::Directory, "."), (ROOT.0, Kind::Directory, "..")];
    let entries = dots.into_iter().chain(devices.iter().map(|device| (device.ino, Kind::Block, device.name.as_str())));
    let entries = (1..).zip(entries).map(|(next, (ino, kind, name))| dirent::Entry { ino, next, kind, name });
    dirent::write(cursor, entries.skip(usize::try_from(cursor).unwrap_or(usize::MAX)), out)
}
