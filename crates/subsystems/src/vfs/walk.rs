//! Walking paths: from the root, component by component, over the one mount point there is (`/dev`).

use alloc::sync::Arc;

use kd_api::interfaces::fs::{Kind, NAME_MAX, ROOT, Stat};
use kd_api::{Errno, Ino, Result};

use super::device::Device;
use super::path::{Last, Path};
use super::{VirtualFileSystem, devices};

/// The name in the root directory over which the devices lie.
pub const MOUNT_POINT: &str = "dev";

/// A directory on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Directory {
    /// Of the root file system.
    Inode(Ino),
    /// `/dev`.
    Devices,
}

impl Directory {
    /// Whether `name` in it is covered by a mount.
    pub fn covers(self, name: &str) -> bool {
        self == Directory::Inode(ROOT) && name == MOUNT_POINT
    }
}

/// Where a path leads.
pub enum Node {
    /// Into the root file system.
    Inode(Stat),
    /// To `/dev`.
    Devices,
    /// To a device.
    Device(Arc<Device>),
}

impl Node {
    /// The node as a directory; `ENOTDIR`.
    pub fn directory(&self) -> Result<Directory> {
        match self {
            Node::Inode(stat) if stat.kind == Kind::Directory => Ok(Directory::Inode(Ino(stat.ino))),
            Node::Devices => Ok(Directory::Devices),
            _ => Err(Errno::ENOTDIR),
        }
    }

    pub fn is_directory(&self) -> bool {
        self.directory().is_ok()
    }
}

impl VirtualFileSystem {
    /// The directory in which a path's last component lies.
    pub(super) fn parent(&self, path: &Path<'_>) -> Result<Directory> {
        let mut at = Directory::Inode(ROOT);
        for name in path.parents.split('/') {
            at = match name {
                "" | "." => at,
                ".." => self.up(at)?,
                name => self.step(at, name)?.directory()?,
            };
        }
        Ok(at)
    }

    /// What a path leads to.
    pub(super) fn node(&self, path: &Path<'_>) -> Result<Node> {
        let parent = self.parent(path)?;
        self.last(parent, path)
    }

    /// What a path's last component leads to, given its directory.
    pub(super) fn last(&self, parent: Directory, path: &Path<'_>) -> Result<Node> {
        let directory = match path.last {
            Last::Name(name) => return self.step(parent, name),
            Last::Root | Last::Dot => parent,
            Last::DotDot => self.up(parent)?,
        };
        match directory {
            Directory::Inode(ino) => Ok(Node::Inode(self.root.getattr(ino)?)),
            Directory::Devices => Ok(Node::Devices),
        }
    }

    /// What a name in a directory leads to.
    pub(super) fn step(&self, directory: Directory, name: &str) -> Result<Node> {
        match directory {
            _ if directory.covers(name) => Ok(Node::Devices),
            Directory::Inode(ino) => Ok(Node::Inode(self.root.lookup(ino, name)?)),
            Directory::Devices if name.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
            Directory::Devices => {
                let device = self.devices.iter().find(|device| device.name == name);
                device.map(|device| Node::Device(device.clone())).ok_or(Errno::ENOENT)
            }
        }
    }

    fn up(&self, directory: Directory) -> Result<Directory> {
        match directory {
            Directory::Devices | Directory::Inode(ROOT) => Ok(Directory::Inode(ROOT)),
            Directory::Inode(ino) => Ok(Directory::Inode(Ino(self.root.lookup(ino, "..")?.ino))),
        }
    }

    pub(super) fn stat_node(&self, node: &Node) -> Stat {
        match node {
            Node::Inode(stat) => *stat,
            Node::Devices => devices::stat(&self.devices),
            Node::Device(device) => device.stat(),
        }
    }
}
