//! A kernel that can be told to lie, to fail, or to forget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

use kd_api::interfaces::fs::{Stat, StatFs};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{Blocks, Caller, Errno, Fd, InBuf, OutBuf, Result};

/// What it does to the calls of the kernel below.
#[derive(Clone, Copy)]
pub enum Mode {
    /// Nothing.
    Honest,
    /// Every answer is altered a little.
    Lie,
    /// Every fifth call that opens or moves data fails: by turns without and after having happened.
    Fail,
    /// Writes are acknowledged and not made.
    DropWrites,
}

pub struct Meddler {
    kernel: Arc<dyn Syscalls>,
    mode: AtomicU8,
    calls: AtomicU64,
}

impl Meddler {
    pub fn around(kernel: Arc<dyn Syscalls>) -> Arc<Meddler> {
        Arc::new(Meddler { kernel, mode: AtomicU8::new(Mode::Honest as u8), calls: AtomicU64::new(0) })
    }

    pub fn set(&self, mode: Mode) {
        self.mode.store(mode as u8, Relaxed);
    }

    fn is(&self, mode: Mode) -> bool {
        self.mode.load(Relaxed) == mode as u8
    }

    fn lies(&self) -> u8 {
        self.is(Mode::Lie).into()
    }

    fn failing<T>(&self, call: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.is(Mode::Fail) {
            return call();
        }
        match self.calls.fetch_add(1, Relaxed) % 10 {
            4 => Err(Errno::EUNKNOWN),
            9 => call().and(Err(Errno::EUNKNOWN)),
            _ => call(),
        }
    }

    /// Bytes coming out, one of them altered if this is the time to lie.
    fn altered(
        &self,
        at: usize,
        out: &mut OutBuf<'_>,
        fetch: impl FnOnce(&mut OutBuf<'_>) -> Result<usize>,
    ) -> Result<usize> {
        let mut bytes = vec![0; out.remaining()];
        let count = fetch(&mut OutBuf::new(&mut bytes))?;
        if let Some(byte) = bytes[..count].get_mut(at) {
            // Not a flipped bit: two lies, one to each app of a pair, must not make a truth.
            *byte = byte.wrapping_add(self.lies());
        }
        Ok(out.write(&bytes[..count]))
    }
}

impl Syscalls for Meddler {
    fn null(&self) -> Result<()> {
        if self.is(Mode::Lie) { Err(Errno::EIO) } else { self.kernel.null() }
    }

    fn getpid(&self, caller: Caller) -> Result<u32> {
        self.failing(|| Ok(self.kernel.getpid(caller)? + u32::from(self.lies())))
    }

    fn open(&self, caller: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        // Open but unknown would be a descriptor that nobody closes.
        let fd = self.kernel.open(caller, path, flags, mode)?;
        self.failing(|| Ok(fd)).inspect_err(|_| self.kernel.close(caller, fd).expect("just opened"))
    }

    fn close(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.kernel.close(caller, fd)
    }

    fn read(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.failing(|| self.altered(0, out, |out| self.kernel.read(caller, fd, out)))
    }

    fn write(&self, caller: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize> {
        if self.is(Mode::DropWrites) {
            return Ok(data.remaining());
        }
        self.failing(|| self.kernel.write(caller, fd, data))
    }

    fn pread(&self, caller: Caller, fd: Fd, offset: i64, out: &mut OutBuf<'_>) -> Result<usize> {
        self.failing(|| self.altered(0, out, |out| self.kernel.pread(caller, fd, offset, out)))
    }

    fn pwrite(&self, caller: Caller, fd: Fd, offset: i64, data: &mut InBuf<'_>) -> Result<usize> {
        if self.is(Mode::DropWrites) {
            return Ok(data.remaining());
        }
        self.failing(|| self.kernel.pwrite(caller, fd, offset, data))
    }

    fn pread_many(&self, caller: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        self.failing(|| self.altered(0, out, |out| self.kernel.pread_many(caller, fd, blocks, out)))
    }

    fn pwrite_many(&self, caller: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        if self.is(Mode::DropWrites) {
            return Ok(blocks.bytes());
        }
        self.failing(|| self.kernel.pwrite_many(caller, fd, blocks, data))
    }

    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        self.kernel.lseek(caller, fd, offset, whence)
    }

    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.kernel.fsync(caller, fd)
    }

    fn stat(&self, caller: Caller, path: &str) -> Result<Stat> {
        let stat = self.kernel.stat(caller, path)?;
        Ok(Stat { size: stat.size + u64::from(self.lies()), links: stat.links + u32::from(self.lies()), ..stat })
    }

    fn mkdir(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        self.kernel.mkdir(caller, path, mode)
    }

    fn unlink(&self, caller: Caller, path: &str) -> Result<()> {
        self.kernel.unlink(caller, path)
    }

    fn rename(&self, caller: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        self.kernel.rename(caller, from, to, flags)
    }

    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        // The first letter of the first name.
        self.altered(19, out, |out| self.kernel.getdents64(caller, fd, out))
    }

    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)> {
        self.kernel.pipe(caller)
    }

    fn ftruncate(&self, caller: Caller, fd: Fd, size: u64) -> Result<()> {
        self.kernel.ftruncate(caller, fd, size)
    }

    fn truncate(&self, caller: Caller, path: &str, size: u64) -> Result<()> {
        self.kernel.truncate(caller, path, size)
    }

    fn fallocate(&self, caller: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        self.kernel.fallocate(caller, fd, flags, offset, bytes)
    }

    fn fdatasync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.kernel.fdatasync(caller, fd)
    }

    fn sync(&self, caller: Caller) -> Result<()> {
        self.kernel.sync(caller)
    }

    fn dup(&self, caller: Caller, fd: Fd) -> Result<Fd> {
        self.kernel.dup(caller, fd)
    }

    fn lstat(&self, caller: Caller, path: &str) -> Result<Stat> {
        self.kernel.lstat(caller, path)
    }

    fn fstat(&self, caller: Caller, fd: Fd) -> Result<Stat> {
        let stat = self.kernel.fstat(caller, fd)?;
        Ok(Stat { size: stat.size + u64::from(self.lies()), ..stat })
    }

    fn statfs(&self, caller: Caller, path: &str) -> Result<StatFs> {
        self.kernel.statfs(caller, path)
    }

    fn chmod(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        self.kernel.chmod(caller, path, mode)
    }

    fn chown(&self, caller: Caller, path: &str, uid: u32, gid: u32) -> Result<()> {
        self.kernel.chown(caller, path, uid, gid)
    }

    fn utimens(&self, caller: Caller, path: &str, atime: u64, mtime: u64) -> Result<()> {
        self.kernel.utimens(caller, path, atime, mtime)
    }

    fn umask(&self, caller: Caller, mask: u32) -> Result<u32> {
        self.kernel.umask(caller, mask)
    }

    fn set_user(&self, caller: Caller, uid: u32, gid: u32) -> Result<()> {
        self.kernel.set_user(caller, uid, gid)
    }

    fn rmdir(&self, caller: Caller, path: &str) -> Result<()> {
        self.kernel.rmdir(caller, path)
    }

    fn link(&self, caller: Caller, from: &str, to: &str) -> Result<()> {
        self.kernel.link(caller, from, to)
    }

    fn symlink(&self, caller: Caller, target: &str, path: &str) -> Result<()> {
        self.kernel.symlink(caller, target, path)
    }

    fn readlink(&self, caller: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
        self.kernel.readlink(caller, path, out)
    }
}
