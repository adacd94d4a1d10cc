//! The virtual file system: paths, descriptors and open files of apps, over the file systems that are mounted, the pipes,
//! and the block devices under `/dev`.
//!
//! Two caches keep calls to file systems down, and are the only ones: names ([`walk`]), and of inodes the part that never
//! changes without the VFS ([`credentials::Attributes`]: mode, user, group). With both warm, `stat` is one call of the
//! file system (`getattr`), `open` another one (`hold`), for sizes, times and links change by every write and are always
//! asked for. Both are bounded, and true by the protocol of [`cache`].
//!
//! Locks: an app's table of descriptors, an open file's position, a device's sector lock, a set of a cache, each taken
//! alone but for the third, which may follow the second. No table is locked while a file system, a pipe or a driver is
//! called, so a call that waits holds up nothing but others on the same open file, and pipes not even those.

mod attributes;
mod cache;
mod credentials;
mod descriptors;
mod device;
mod devices;
mod failures;
mod mounts;
mod names;
mod notes;
mod open_file;
mod opening;
mod path;
#[cfg(test)]
mod successor_tests;
#[cfg(test)]
mod tests;
mod walk;

use alloc::sync::Arc;

use kd_api::component::StartError;
use kd_api::interfaces::fs::{Kind, Stat, StatFs, rename};
use kd_api::interfaces::pipe::Pipe;
use kd_api::interfaces::vfs::{Vfs, open, time};
use kd_api::{AppId, Blocks, Caller, Component, Errno, Fd, Imports, InBuf, OutBuf, Result};

use crate::sharded::Sharded;
use cache::Cache;
use credentials::{App, Attributes, Credentials, WRITE};
use descriptors::Reserved;
use devices::Devices;
pub use devices::device_name;
use failures::Failures;
pub use mounts::MOUNTS;
use mounts::{Location, Mounts};
use notes::Notes;
use open_file::{Object, OpenFile, PipeEnd};
use path::Path;
use walk::{Child, Dentry, Node, Walk};

/// How often a walk is repeated when the inode it found was gone before it could be used.
const RETRIES: u32 = 16;
/// Sets of the cache of names, [`cache::WAYS`] entries each: 4096 names.
const NAME_SETS: usize = 1024;
/// The same for inodes: 2048.
const INODE_SETS: usize = 512;

/// The virtual file system.
pub struct VirtualFileSystem {
    mounts: Mounts,
    devices: Arc<Devices>,
    pipes: Arc<dyn Pipe>,
    apps: Sharded<App>,
    names: Cache<Dentry, Child>,
    /// Which inode an answer is about is known only afterwards, so one count of changes stands for all. They are rare.
    inodes: Cache<Location, Attributes>,
    failures: Failures,
    notes: Notes,
}

/// The component `vfs`. Besides the imports it names, it takes every file system it knows a place for, and every block
/// device.
pub fn component() -> Component {
    Component::new::<dyn Vfs, VirtualFileSystem>("vfs", &["ramfs", "pipe"], |imports| {
        Ok(Arc::new(VirtualFileSystem::new(imports)?))
    })
    .for_apps()
    .with_store(notes::STORE)
}

impl VirtualFileSystem {
    /// One over the imports `ramfs`, `pipe`, further file systems and all block devices; makes the mount points, and takes
    /// over what it finds in its store.
    pub fn new(imports: &Imports) -> core::result::Result<VirtualFileSystem, StartError> {
        let devices = Arc::new(Devices::new(imports));
        imports.offer(devices.clone());
        let (notes, found) = Notes::open(imports.store());
        let vfs = VirtualFileSystem {
            mounts: Mounts::new(imports, devices.clone())?,
            devices,
            pipes: imports.get::<dyn Pipe>("pipe")?,
            apps: Sharded::new(),
            names: Cache::new(NAME_SETS, NAME_SETS),
            inodes: Cache::new(INODE_SETS, 1),
            failures: Failures::default(),
            notes,
        };
        vfs.take_over(found);
        Ok(vfs)
    }

    fn app(&self, caller: Caller) -> Arc<App> {
        self.apps.get_or_insert_with(caller.app.0.into(), App::default)
    }

    /// Who calls: the superuser, unless it said otherwise.
    fn who(&self, caller: Caller) -> Credentials {
        self.apps.get(caller.app.0.into()).map_or_else(Credentials::default, |app| app.credentials())
    }

    /// Puts a file behind the number that was reserved for it.
    fn install(&self, caller: Caller, reserved: Reserved<'_>, file: Arc<OpenFile>) -> Result<Fd> {
        let note = self.notes.descriptor(caller.app, reserved.fd(), &file);
        reserved.install(file, note)
    }

    fn file(&self, caller: Caller, fd: Fd) -> Result<Arc<OpenFile>> {
        self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?.descriptors.get(fd)
    }

    /// Changes the file behind a descriptor, by `bytes` bytes, and what that means for its mode.
    fn change<R>(
        &self,
        caller: Caller,
        fd: Fd,
        bytes: usize,
        change: impl FnOnce(&OpenFile) -> Result<R>,
    ) -> Result<R> {
        let app = self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?;
        let file = app.descriptors.get(fd)?;
        let changed = change(&file)?;
        if let Some(at) = file.changeable(bytes) {
            self.drop_identity(&app.credentials(), at)?;
        }
        Ok(changed)
    }

    /// A walk and what it is for; once more, with every name looked up, while the inode was gone when it came to that.
    fn walk<R>(&self, caller: Caller, mut then: impl FnMut(&mut Walk<'_>) -> Result<R>) -> Result<R> {
        let mut walk = Walk::new(self, self.who(caller));
        for _ in 0..RETRIES {
            let answer = then(&mut walk);
            if !walk.again() {
                return answer;
            }
        }
        Err(Errno::ENOENT)
    }

    /// The same for what a path leads to.
    fn at<R>(
        &self,
        caller: Caller,
        path: &str,
        follow: bool,
        mut then: impl FnMut(&Walk<'_>, &Node) -> Result<R>,
    ) -> Result<R> {
        let path = Path::parse(path)?;
        self.walk(caller, |walk| {
            let node = walk.node(&path, follow)?;
            then(walk, &node)
        })
    }
}

fn offset(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Errno::EINVAL)
}

/// A size as Linux takes it, which knows them signed.
fn size(size: u64) -> Result<u64> {
    if size > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(size) }
}

impl Vfs for VirtualFileSystem {
    fn open(&self, caller: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        if flags & open::CREAT != 0 && flags & open::DIRECTORY != 0 {
            return Err(Errno::EINVAL);
        }
        let path = Path::parse(path)?;
        let app = self.app(caller);
        let reserved = app.descriptors.reserve()?;
        let file = self.walk(caller, |walk| walk.open(&path, flags, mode))?;
        self.install(caller, reserved, Arc::new(file))
    }

    fn close(&self, caller: Caller, fd: Fd) -> Result<()> {
        let app = self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?;
        app.descriptors.close(fd).map(drop)
    }

    fn read(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.file(caller, fd)?.read(out)
    }

    fn write(&self, caller: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize> {
        self.change(caller, fd, data.remaining(), |file| file.write(data))
    }

    fn pread(&self, caller: Caller, fd: Fd, at: i64, out: &mut OutBuf<'_>) -> Result<usize> {
        let at = offset(at)?;
        self.file(caller, fd)?.pread(at, out)
    }

    fn pwrite(&self, caller: Caller, fd: Fd, at: i64, data: &mut InBuf<'_>) -> Result<usize> {
        let at = offset(at)?;
        self.change(caller, fd, data.remaining(), |file| file.pwrite(at, data))
    }

    fn pread_many(&self, caller: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() < blocks.bytes() {
            return Err(Errno::EINVAL);
        }
        // Where it would be is refused before the file is looked at, as for one block.
        offset(blocks.at()[0] as i64)?;
        self.file(caller, fd)?.pread_many(&blocks, out)
    }

    fn pwrite_many(&self, caller: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() < blocks.bytes() || blocks.overlap() {
            return Err(Errno::EINVAL);
        }
        offset(blocks.at()[0] as i64)?;
        self.change(caller, fd, blocks.bytes(), |file| file.pwrite_many(&blocks, data))
    }

    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        self.file(caller, fd)?.seek(offset, whence)
    }

    fn ftruncate(&self, caller: Caller, fd: Fd, to: u64) -> Result<()> {
        let to = size(to)?;
        self.change(caller, fd, 1, |file| file.truncate(to))
    }

    fn truncate(&self, caller: Caller, path: &str, to: u64) -> Result<()> {
        let to = size(to)?;
        self.at(caller, path, true, |walk, node| {
            match node.kind {
                Kind::File => walk.check(node.at, node.stat.as_ref(), WRITE)?,
                Kind::Directory => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            }
            walk.with(node, |fs, ino| fs.truncate(ino, to))?;
            self.drop_identity(&walk.who, node.at)
        })
    }

    fn fallocate(&self, caller: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        self.change(caller, fd, 1, |file| file.allocate(flags, offset, bytes))
    }

    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.file(caller, fd)?.sync(false, &self.failures)
    }

    fn fdatasync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.file(caller, fd)?.sync(true, &self.failures)
    }

    fn sync(&self, _: Caller) -> Result<()> {
        self.mounts.sync()
    }

    fn dup(&self, caller: Caller, fd: Fd) -> Result<Fd> {
        let app = self.apps.get(caller.app.0.into()).ok_or(Errno::EBADF)?;
        let file = app.descriptors.get(fd)?;
        self.install(caller, app.descriptors.reserve()?, file)
    }

    fn stat(&self, caller: Caller, path: &str) -> Result<Stat> {
        self.at(caller, path, true, |walk, node| walk.stat(node))
    }

    fn lstat(&self, caller: Caller, path: &str) -> Result<Stat> {
        self.at(caller, path, false, |walk, node| walk.stat(node))
    }

    fn fstat(&self, caller: Caller, fd: Fd) -> Result<Stat> {
        self.file(caller, fd)?.stat()
    }

    fn statfs(&self, caller: Caller, path: &str) -> Result<StatFs> {
        self.at(caller, path, true, |_, node| self.mounts.of(node.at).fs.statfs())
    }

    fn chmod(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        self.at(caller, path, true, |walk, node| walk.chmod(node, mode))
    }

    fn chown(&self, caller: Caller, path: &str, uid: u32, gid: u32) -> Result<()> {
        self.at(caller, path, true, |walk, node| walk.chown(node, uid, gid))
    }

    fn utimens(&self, caller: Caller, path: &str, atime: u64, mtime: u64) -> Result<()> {
        if (atime, mtime) == (time::OMIT, time::OMIT) {
            return Ok(());
        }
        self.at(caller, path, true, |walk, node| walk.utimens(node, atime, mtime))
    }

    fn umask(&self, caller: Caller, mask: u32) -> Result<u32> {
        let app = self.app(caller);
        let before = app.set_umask(mask);
        self.notes.app(caller.app, &app);
        Ok(before)
    }

    fn set_user(&self, caller: Caller, uid: u32, gid: u32) -> Result<()> {
        let app = self.app(caller);
        app.set_user(uid, gid)?;
        // A successor that does not know would take it for the superuser.
        if self.notes.app(caller.app, &app) { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    fn mkdir(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        let path = Path::parse(path)?;
        self.walk(caller, |walk| walk.mkdir(&path, mode))
    }

    fn rmdir(&self, caller: Caller, path: &str) -> Result<()> {
        let path = Path::parse(path)?;
        self.walk(caller, |walk| walk.rmdir(&path))
    }

    fn link(&self, caller: Caller, from: &str, to: &str) -> Result<()> {
        let from = Path::parse(from)?;
        self.walk(caller, |walk| walk.link(&from, to))
    }

    fn symlink(&self, caller: Caller, target: &str, path: &str) -> Result<()> {
        Path::parse(target)?;
        let path = Path::parse(path)?;
        self.walk(caller, |walk| walk.symlink(target, &path))
    }

    fn readlink(&self, caller: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() == 0 {
            return Err(Errno::EINVAL);
        }
        self.at(caller, path, false, |walk, node| match node.kind {
            Kind::Symlink => walk.with(node, |fs, ino| fs.readlink(ino, out)),
            _ => Err(Errno::EINVAL),
        })
    }

    fn unlink(&self, caller: Caller, path: &str) -> Result<()> {
        let path = Path::parse(path)?;
        self.walk(caller, |walk| walk.unlink(&path))
    }

    fn rename(&self, caller: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        if flags & !(rename::NOREPLACE | rename::EXCHANGE) != 0 || flags == rename::NOREPLACE | rename::EXCHANGE {
            return Err(Errno::EINVAL);
        }
        let from = Path::parse(from)?;
        self.walk(caller, |walk| walk.rename(&from, to, flags))
    }

    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.file(caller, fd)?.entries(out)
    }

    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)> {
        let app = self.app(caller);
        let (reading, writing) = (app.descriptors.reserve()?, app.descriptors.reserve()?);
        let pipe = self.pipes.create()?;
        let end = |writer, flags| {
            let end = PipeEnd { pipes: self.pipes.clone(), pipe, writer };
            Arc::new(OpenFile::new(Object::Pipe(end), flags, 0, self.notes.pipe(pipe, writer, flags)))
        };
        let (reader, writer) = (end(false, open::RDONLY), end(true, open::WRONLY));
        Ok((self.install(caller, reading, reader)?, self.install(caller, writing, writer)?))
    }

    fn app_exited(&self, app: AppId) {
        if let Some(app) = self.apps.remove(app.0.into()) {
            app.descriptors.exit().for_each(drop);
        }
    }

    fn file_system_restarted(&self) {
        self.names.forget();
        self.inodes.forget();
    }
}
