//! What is mounted where. File systems come from the imports and stay; their mount points are names in the root
//! directory, made at the start.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use kd_api::component::StartError;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT};
use kd_api::{Errno, Imports, Ino, Result};

/// File systems by the names of their components: where each is mounted, and whether its names and attributes change
/// through the VFS alone, so that they may be cached.
pub const MOUNTS: [(&str, &str, bool); 2] = [("procfs", "proc", false), ("jfs", "mnt", true)];

/// An inode of a mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Its mount, by number.
    pub mount: u32,
    /// Which one there.
    pub ino: Ino,
}

/// The root directory of all.
pub const TOP: Location = Location { mount: 0, ino: ROOT };

/// The mount of `/dev`.
pub const DEVICES: u32 = 1;

/// A mounted file system.
pub struct Mount {
    /// Its mount point's name.
    name: &'static str,
    pub fs: Arc<dyn FileSystem>,
    pub cached: bool,
}

/// All of them; the first is the root's.
pub struct Mounts(Vec<Mount>);

impl Mounts {
    /// `ramfs` at `/`, `devices` at `/dev`, and of the others those that are imported.
    pub fn new(imports: &Imports, devices: Arc<dyn FileSystem>) -> core::result::Result<Mounts, StartError> {
        let root = imports.get::<dyn FileSystem>("ramfs")?;
        let mut mounts =
            vec![Mount { name: "", fs: root.clone(), cached: true }, Mount { name: "dev", fs: devices, cached: true }];
        for (import, name, cached) in MOUNTS {
            if imports.handle(import).is_some() {
                mounts.push(Mount { name, fs: imports.get(import)?, cached });
            }
        }
        for mount in &mounts[1..] {
            match root.create(ROOT, mount.name, Kind::Directory, Owner { uid: 0, gid: 0, mode: 0o755 }) {
                // It is there already when this VFS follows one that died.
                Ok(_) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(Mounts(mounts))
    }

    /// The mount of a location: locations are made from mounts, so it is there.
    pub fn of(&self, at: Location) -> &Mount {
        &self.0[at.mount as usize]
    }

    /// The mount of a location that may be none.
    pub fn get(&self, at: Location) -> Option<&Mount> {
        self.0.get(at.mount as usize)
    }

    /// The root of what is mounted over `name` in a directory.
    pub fn over(&self, directory: Location, name: &str) -> Option<Location> {
        if directory != TOP {
            return None;
        }
        let mount = self.0.iter().skip(1).position(|mount| mount.name == name)?;
        Some(Location { mount: mount as u32 + 1, ino: ROOT })
    }

    /// `sync` of each; the first error.
    pub fn sync(&self) -> Result<()> {
        self.0.iter().map(|mount| mount.fs.sync()).fold(Ok(()), Result::and)
    }
}
