//! Changing attributes: mode, owner and times, and who may.

use kd_api::interfaces::fs::{SetAttr, Stat};
use kd_api::interfaces::vfs::time;
use kd_api::{Errno, Result};
use kd_sync::now;

use super::VirtualFileSystem;
use super::credentials::{Attributes, Credentials, SET_GID, WRITE};
use super::mounts::Location;
use super::walk::{Node, Walk};

/// A time as `utimensat` takes it.
fn given(value: u64) -> Option<u64> {
    match value {
        time::OMIT => None,
        time::NOW => Some(now()),
        nanos => Some(nanos),
    }
}

/// The change that `chown` makes, if the caller may make it.
fn chown(who: &Credentials, node: &Node, inode: Attributes, uid: u32, gid: u32) -> Result<SetAttr> {
    let (uid, gid) = (Some(uid).filter(|id| *id != u32::MAX), Some(gid).filter(|id| *id != u32::MAX));
    let mode = if node.is_directory() { inode.mode } else { inode.without_identity(who) };
    let mode = Some(mode).filter(|mode| *mode != inode.mode);
    let keeps_user = uid.is_none_or(|uid| uid == inode.uid);
    let own_group = gid.is_none_or(|gid| gid == inode.gid || gid == who.gid);
    let changes = uid.is_some() || gid.is_some() || mode.is_some();
    if !who.is_superuser() && changes && !(who.owns(inode) && keeps_user && own_group) {
        return Err(Errno::EPERM);
    }
    Ok(SetAttr { mode, uid, gid, ..SetAttr::default() })
}

impl Walk<'_> {
    fn set(&self, node: &Node, change: SetAttr) -> Result<Stat> {
        self.with(node, |fs, ino| fs.setattr(ino, change))
    }

    fn set_permissions(&self, node: &Node, change: SetAttr) -> Result<()> {
        self.with(node, |_, _| self.vfs.set_permissions(node.at, change))
    }

    /// `chmod(2)`.
    pub fn chmod(&self, node: &Node, mode: u32) -> Result<()> {
        let mut mode = (mode & 0o7777) as u16;
        if !self.who.is_superuser() {
            let inode = self.attributes(node)?;
            if !self.who.owns(inode) {
                return Err(Errno::EPERM);
            }
            if self.who.gid != inode.gid {
                mode &= !SET_GID;
            }
        }
        self.set_permissions(node, SetAttr { mode: Some(mode), ..SetAttr::default() })
    }

    /// `chown(2)`.
    pub fn chown(&self, node: &Node, uid: u32, gid: u32) -> Result<()> {
        let change = chown(&self.who, node, self.attributes(node)?, uid, gid)?;
        self.set_permissions(node, change)
    }

    /// `utimensat(2)`: to the present, who may write; to another time, the owner alone.
    pub fn utimens(&self, node: &Node, atime: u64, mtime: u64) -> Result<()> {
        if !self.who.is_superuser() {
            let inode = self.attributes(node)?;
            if !self.who.owns(inode) {
                match (atime, mtime) {
                    (time::NOW, time::NOW) => self.who.may(WRITE, inode)?,
                    _ => return Err(Errno::EPERM),
                }
            }
        }
        self.set(node, SetAttr { atime: given(atime), mtime: given(mtime), ..SetAttr::default() }).map(drop)
    }
}

impl VirtualFileSystem {
    /// Changes what the cache knows as well.
    fn set_permissions(&self, at: Location, change: SetAttr) -> Result<()> {
        let mount = self.mounts.of(at);
        let changing = self.inodes.change(at);
        let stat = mount.fs.setattr(at.ino, change)?;
        if mount.cached {
            changing.settle((&stat).into());
        }
        Ok(())
    }

    /// A file that others change is no longer run as its owner.
    pub(super) fn drop_identity(&self, who: &Credentials, at: Location) -> Result<()> {
        if who.is_superuser() {
            return Ok(());
        }
        let inode = self.attributes(at)?;
        let mode = inode.without_identity(who);
        if mode == inode.mode {
            return Ok(());
        }
        self.set_permissions(at, SetAttr { mode: Some(mode), ..SetAttr::default() })
    }
}
