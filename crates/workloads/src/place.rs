//! Where a workload keeps its files: on the root file system, or on the one that a disk holds.

use crate::{Env, Group};

/// Where the disk's file system is mounted.
const DISK: &str = "/mnt";

/// A file system, by what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The root: memory alone.
    Root,
    /// The file system on a block device, mounted at [`DISK`]. Where nothing is, a session's start fails with `ENOENT`.
    Disk,
}

impl Place {
    /// The file or directory of this app for the workload of this name: `<mount>/<workload>-<app>`, so that no two apps
    /// share one.
    pub fn path(self, env: &Env, workload: &str) -> String {
        let mount = if self == Place::Disk { DISK } else { "" };
        format!("{mount}/{workload}-{}", env.caller.app.0)
    }

    /// The group of a single operation there.
    pub fn group(self) -> Group {
        if self == Place::Disk { Group::Storage } else { Group::File }
    }

    /// What has to be there for it.
    pub fn needs(self) -> Option<&'static str> {
        (self == Place::Disk).then_some("file system mounted at /mnt")
    }

    /// The longest chain of servers below the app: VFS and file system, and below that the block layer and a driver.
    pub fn hops(self) -> u32 {
        if self == Place::Disk { 4 } else { 2 }
    }

    /// The component that does most of the work.
    pub fn subject(self) -> &'static str {
        if self == Place::Disk { "jfs" } else { "ramfs" }
    }
}
