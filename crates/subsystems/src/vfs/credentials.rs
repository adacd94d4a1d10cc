//! Who an app is, and what a user may do with an inode: permission bits by user and group, as Linux checks them without
//! access-control lists. The superuser may all.

use core::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use kd_api::interfaces::fs::{Kind, Owner, Stat};
use kd_api::{Errno, Result};
use kd_sync::Mutex;

use super::descriptors::Descriptors;
use crate::records::Record;

/// To read, to write, to search: bits of what is asked for.
pub const READ: u16 = 4;
pub const WRITE: u16 = 2;
pub const SEARCH: u16 = 1;

pub const SET_UID: u16 = 0o4000;
pub const SET_GID: u16 = 0o2000;
pub const STICKY: u16 = 0o1000;
const GROUP_EXECUTE: u16 = 0o010;

/// What the VFS knows of an app.
#[derive(Default)]
pub struct App {
    pub descriptors: Descriptors,
    /// User in the upper half, group in the lower.
    ids: AtomicU64,
    umask: AtomicU32,
    /// What is noted of the two, once they were changed.
    pub note: Mutex<Option<Record>>,
}

/// Who calls.
#[derive(Clone, Copy, Default)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    pub umask: u16,
}

/// Whose an inode is and what it permits: the part of it that checks need.
#[derive(Clone, Copy)]
pub struct Attributes {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
}

impl App {
    pub fn credentials(&self) -> Credentials {
        let ids = self.ids.load(Acquire);
        Credentials { uid: (ids >> 32) as u32, gid: ids as u32, umask: self.umask.load(Relaxed) as u16 }
    }

    /// Another user from now on: the superuser anyone, others only who they are already, `EPERM`.
    pub fn set_user(&self, uid: u32, gid: u32) -> Result<()> {
        let who = self.credentials();
        if uid == u32::MAX || gid == u32::MAX {
            return Err(Errno::EINVAL);
        }
        if !who.is_superuser() && (who.uid, who.gid) != (uid, gid) {
            return Err(Errno::EPERM);
        }
        self.ids.store(u64::from(uid) << 32 | u64::from(gid), Release);
        Ok(())
    }

    /// Who it was according to a VFS that died: user in the upper half, group in the lower.
    pub fn restore(&self, ids: u64, umask: u32) {
        self.ids.store(ids, Release);
        self.umask.store(umask, Relaxed);
    }

    pub fn set_umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Relaxed)
    }
}

impl Credentials {
    pub fn is_superuser(&self) -> bool {
        self.uid == 0
    }

    pub fn owns(&self, inode: Attributes) -> bool {
        self.is_superuser() || self.uid == inode.uid
    }

    /// Whether it may use an inode so; `EACCES`.
    pub fn may(&self, wanted: u16, inode: Attributes) -> Result<()> {
        let granted = match inode.mode {
            _ if self.is_superuser() => return Ok(()),
            mode if self.uid == inode.uid => mode >> 6,
            mode if self.gid == inode.gid => mode >> 3,
            mode => mode,
        };
        if wanted & !granted == 0 { Ok(()) } else { Err(Errno::EACCES) }
    }

    /// Whether it may take a name out of a directory that it may write to: in a sticky one, its own inodes alone.
    pub fn may_take(&self, directory: Attributes, victim: Attributes) -> Result<()> {
        if directory.mode & STICKY != 0 && !self.owns(victim) && !self.owns(directory) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Whose a new inode is: the group is the directory's where that is marked so, and directories hand the mark on.
    pub fn owner(&self, directory: Attributes, kind: Kind, mode: u16) -> Owner {
        let inherits = directory.mode & SET_GID != 0;
        let gid = if inherits { directory.gid } else { self.gid };
        // Judged by what was asked for, before the mask: as Linux does.
        let runs_as_group = mode & (SET_GID | GROUP_EXECUTE) == SET_GID | GROUP_EXECUTE;
        let masked = mode & !self.umask;
        let mode = match kind {
            Kind::Symlink => mode,
            Kind::Directory if inherits => masked | SET_GID,
            Kind::File if inherits && runs_as_group && !self.is_superuser() && self.gid != gid => masked & !SET_GID,
            _ => masked,
        };
        Owner { uid: self.uid, gid, mode }
    }
}

impl From<&Stat> for Attributes {
    fn from(stat: &Stat) -> Attributes {
        Attributes { mode: stat.mode, uid: stat.uid, gid: stat.gid }
    }
}

impl Attributes {
    /// The mode that is left when a file gets another owner: nobody is to run it as the new one.
    pub fn without_identity(&self, who: &Credentials) -> u16 {
        let keeps_group = self.mode & GROUP_EXECUTE == 0 && (who.is_superuser() || who.gid == self.gid);
        self.mode & !(SET_UID | if keeps_group { 0 } else { SET_GID })
    }
}
