//! The virtual file system: paths, descriptors and open files of apps, over one file system, the pipes, and the block
//! devices under `/dev`.
//!
//! Locks: an app's table of descriptors, an open file's position, a device's sector lock, each taken alone but for the
//! last, which may follow the second. No table is locked while a file system, a pipe or a driver is called, so a call
//! that waits holds up nothing but others on the same open file, and pipes not even those.

mod descriptors;
mod device;
mod devices;
mod open_file;
mod path;
#[cfg(test)]
mod tests;
mod walk;

use alloc::sync::Arc;

use kd_api::component::StartError;
use kd_api::interfaces::fs::{FileSystem, Kind, Owner, ROOT, Stat, StatFs};
use kd_api::interfaces::pipe::Pipe;
use kd_api::interfaces::vfs::{Vfs, open};
use kd_api::{AppId, Caller, Component, Errno, Fd, Imports, InBuf, Ino, OutBuf, Result};

use crate::sharded::Sharded;
use descriptors::Descriptors;
use device::Device;
use open_file::{Held, Object, OpenFile, PipeEnd};
use path::{Last, Path};
use walk::{Directory, MOUNT_POINT, Node};

/// How often `open` looks again when the file it found was gone before it could be held.
const RETRIES: u32 = 16;

/// The virtual file system.
pub struct VirtualFileSystem {
    root: Arc<dyn FileSystem>,
    pipes: Arc<dyn Pipe>,
    devices: Arc<[Arc<Device>]>,
    apps: Sharded<Descriptors>,
}

/// The component `vfs`. Besides the imports it names, it takes every block device it is given.
pub fn component() -> Component {
    Component::new::<dyn Vfs, VirtualFileSystem>("vfs", &["ramfs", "pipe"], |imports| {
        Ok(Arc::new(VirtualFileSystem::new(imports)?))
    })
    .for_apps()
}

/// Everything is the superuser's.
fn owner(mode: u16) -> Owner {
    Owner { uid: 0, gid: 0, mode }
}

impl VirtualFileSystem {
    /// One over the imports `ramfs`, `pipe` and all block devices; makes the mount point for the devices.
    pub fn new(imports: &Imports) -> core::result::Result<VirtualFileSystem, StartError> {
        let root = imports.get::<dyn FileSystem>("ramfs")?;
        match root.create(ROOT, MOUNT_POINT, Kind::Directory, owner(0o755)) {
            // It is there already when this VFS follows one that died.
            Ok(_) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
        let pipes = imports.get::<dyn Pipe>("pipe")?;
        Ok(VirtualFileSystem { root, pipes, devices: devices::from(imports), apps: Sharded::new() })
    }

    fn table(&self, caller: Caller) -> Arc<Descriptors> {
        self.apps.get_or_insert_with(caller.app.0.into(), Descriptors::default)
    }

    fn file(&self, caller: Caller, fd: Fd) -> Result<Arc<OpenFile>> {
        self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?.get(fd)
    }

    /// What `open` opens, and whether it made it.
    fn find_or_create(&self, parent: Directory, path: &Path<'_>, flags: u32, mode: u32) -> Result<(Node, bool)> {
        let name = match path.last {
            Last::Name(name) if flags & open::CREAT != 0 => name,
            _ => return Ok((self.last(parent, path)?, false)),
        };
        if path.slash {
            return Err(Errno::EISDIR);
        }
        match self.step(parent, name) {
            Err(Errno::ENOENT) => {}
            found => return Ok((found?, false)),
        }
        let Directory::Inode(ino) = parent else { return Err(Errno::EROFS) };
        match self.root.create(ino, name, Kind::File, owner((mode & 0o7777) as u16)) {
            // Another app was faster.
            Err(Errno::EEXIST) => Ok((self.step(parent, name)?, false)),
            made => Ok((Node::Inode(made?), true)),
        }
    }

    fn open_file(&self, path: &Path<'_>, flags: u32, mode: u32) -> Result<OpenFile> {
        let parent = self.parent(path)?;
        for _ in 0..RETRIES {
            let (node, made) = self.find_or_create(parent, path, flags, mode)?;
            let directory = node.is_directory();
            if flags & open::CREAT != 0 && !made {
                if flags & open::EXCL != 0 {
                    return Err(Errno::EEXIST);
                }
                if directory {
                    return Err(Errno::EISDIR);
                }
            }
            if !directory && (flags & open::DIRECTORY != 0 || path.slash) {
                return Err(Errno::ENOTDIR);
            }
            if directory && (flags & open::ACCMODE != open::RDONLY || flags & open::TRUNC != 0) {
                return Err(Errno::EISDIR);
            }
            let object = match node {
                Node::Devices => Object::Devices(self.devices.clone()),
                Node::Device(device) => Object::Device(device),
                Node::Inode(stat) => {
                    let ino = Ino(stat.ino);
                    match self.root.hold(ino) {
                        Err(Errno::ENOENT) => continue,
                        held => held?,
                    }
                    let held = Held { fs: self.root.clone(), ino };
                    if directory {
                        Object::Directory(held)
                    } else {
                        if flags & open::TRUNC != 0 && !made {
                            self.root.truncate(ino, 0)?;
                        }
                        Object::File(held)
                    }
                }
            };
            return Ok(OpenFile::new(object, flags));
        }
        Err(Errno::ENOENT)
    }
}

fn offset(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

impl Vfs for VirtualFileSystem {
    fn open(&self, caller: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        if flags & open::CREAT != 0 && flags & open::DIRECTORY != 0 {
            return Err(Errno::EINVAL);
        }
        let path = Path::parse(path)?;
        let table = self.table(caller);
        let reserved = table.reserve()?;
        reserved.install(self.open_file(&path, flags, mode)?)
    }

    fn close(&self, caller: Caller, fd: Fd) -> Result<()> {
        let table = self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?;
        table.close(fd).map(drop)
    }

    fn read(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.file(caller, fd)?.read(out)
    }

    fn write(&self, caller: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize> {
        self.file(caller, fd)?.write(data)
    }

    fn pread(&self, caller: Caller, fd: Fd, at: i64, out: &mut OutBuf<'_>) -> Result<usize> {
        let at = offset(at)?;
        self.file(caller, fd)?.pread(at, out)
    }

    fn pwrite(&self, caller: Caller, fd: Fd, at: i64, data: &mut InBuf<'_>) -> Result<usize> {
        let at = offset(at)?;
        self.file(caller, fd)?.pwrite(at, data)
    }

    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        self.file(caller, fd)?.seek(offset, whence)
    }

    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.file(caller, fd)?.sync()
    }

    fn stat(&self, _: Caller, path: &str) -> Result<Stat> {
        let path = Path::parse(path)?;
        let node = self.node(&path)?;
        if path.slash && !node.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.stat_node(&node))
    }

    fn mkdir(&self, _: Caller, path: &str, mode: u32) -> Result<()> {
        let path = Path::parse(path)?;
        let parent = self.parent(&path)?;
        let name = path.name_or(Errno::EEXIST)?;
        match parent {
            Directory::Inode(ino) => {
                self.root.create(ino, name, Kind::Directory, owner((mode & 0o1777) as u16))?;
                Ok(())
            }
            Directory::Devices => match self.step(parent, name) {
                Ok(_) => Err(Errno::EEXIST),
                Err(Errno::ENOENT) => Err(Errno::EROFS),
                Err(errno) => Err(errno),
            },
        }
    }

    fn unlink(&self, _: Caller, path: &str) -> Result<()> {
        let path = Path::parse(path)?;
        let parent = self.parent(&path)?;
        let name = path.name_or(Errno::EISDIR)?;
        match parent {
            Directory::Devices => Err(Errno::EROFS),
            Directory::Inode(_) if path.slash => match self.step(parent, name)?.directory() {
                Ok(_) => Err(Errno::EISDIR),
                Err(errno) => Err(errno),
            },
            Directory::Inode(ino) => self.root.unlink(ino, name),
        }
    }

    fn rename(&self, _: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        // Linux looks at the second path only once the first has led somewhere.
        let from = Path::parse(from)?;
        let parent = self.parent(&from)?;
        let to = Path::parse(to)?;
        let to_parent = self.parent(&to)?;
        if (parent == Directory::Devices) != (to_parent == Directory::Devices) {
            return Err(Errno::EXDEV);
        }
        let (name, to_name) = (from.name_or(Errno::EBUSY)?, to.name_or(Errno::EBUSY)?);
        let (Directory::Inode(ino), Directory::Inode(to_ino)) = (parent, to_parent) else { return Err(Errno::EROFS) };
        if from.slash || to.slash {
            let source = self.step(parent, name)?;
            match self.step(to_parent, to_name) {
                Ok(_) | Err(Errno::ENOENT) => source.directory()?,
                Err(errno) => return Err(errno),
            };
        }
        if parent.covers(name) || to_parent.covers(to_name) {
            return Err(Errno::EBUSY);
        }
        self.root.rename(ino, name, to_ino, to_name, flags)
    }

    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.file(caller, fd)?.entries(out)
    }

    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)> {
        let table = self.table(caller);
        let (reading, writing) = (table.reserve()?, table.reserve()?);
        let pipe = self.pipes.create()?;
        let end = |writer| Object::Pipe(PipeEnd { pipes: self.pipes.clone(), pipe, writer });
        let (reader, writer) = (OpenFile::new(end(false), open::RDONLY), OpenFile::new(end(true), open::WRONLY));
        Ok((reading.install(reader)?, writing.install(writer)?))
    }

    fn app_exited(&self, app: AppId) {
        if let Some(table) = self.apps.remove(app.0.into()) {
            table.exit().for_each(drop);
        }
    }

    fn ftruncate(&self, caller: Caller, fd: Fd, size: u64) -> Result<()> {
        let _ = (caller, fd, size);
        Err(Errno::ENOSYS)
    }

    fn truncate(&self, caller: Caller, path: &str, size: u64) -> Result<()> {
        let _ = (caller, path, size);
        Err(Errno::ENOSYS)
    }

    fn fallocate(&self, caller: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        let _ = (caller, fd, flags, offset, bytes);
        Err(Errno::ENOSYS)
    }

    fn fdatasync(&self, caller: Caller, fd: Fd) -> Result<()> {
        let _ = (caller, fd);
        Err(Errno::ENOSYS)
    }

    fn sync(&self, caller: Caller) -> Result<()> {
        let _ = caller;
        Err(Errno::ENOSYS)
    }

    fn dup(&self, caller: Caller, fd: Fd) -> Result<Fd> {
        let _ = (caller, fd);
        Err(Errno::ENOSYS)
    }

    fn lstat(&self, caller: Caller, path: &str) -> Result<Stat> {
        let _ = (caller, path);
        Err(Errno::ENOSYS)
    }

    fn fstat(&self, caller: Caller, fd: Fd) -> Result<Stat> {
        let _ = (caller, fd);
        Err(Errno::ENOSYS)
    }

    fn statfs(&self, caller: Caller, path: &str) -> Result<StatFs> {
        let _ = (caller, path);
        Err(Errno::ENOSYS)
    }

    fn chmod(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        let _ = (caller, path, mode);
        Err(Errno::ENOSYS)
    }

    fn chown(&self, caller: Caller, path: &str, uid: u32, gid: u32) -> Result<()> {
        let _ = (caller, path, uid, gid);
        Err(Errno::ENOSYS)
    }

    fn utimens(&self, caller: Caller, path: &str, atime: u64, mtime: u64) -> Result<()> {
        let _ = (caller, path, atime, mtime);
        Err(Errno::ENOSYS)
    }

    fn umask(&self, caller: Caller, mask: u32) -> Result<u32> {
        let _ = (caller, mask);
        Err(Errno::ENOSYS)
    }

    fn set_user(&self, caller: Caller, uid: u32, gid: u32) -> Result<()> {
        let _ = (caller, uid, gid);
        Err(Errno::ENOSYS)
    }

    fn rmdir(&self, caller: Caller, path: &str) -> Result<()> {
        let _ = (caller, path);
        Err(Errno::ENOSYS)
    }

    fn link(&self, caller: Caller, from: &str, to: &str) -> Result<()> {
        let _ = (caller, from, to);
        Err(Errno::ENOSYS)
    }

    fn symlink(&self, caller: Caller, target: &str, path: &str) -> Result<()> {
        let _ = (caller, target, path);
        Err(Errno::ENOSYS)
    }

    fn readlink(&self, caller: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
        let _ = (caller, path, out);
        Err(Errno::ENOSYS)
    }
}
