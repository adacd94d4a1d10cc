//! The system calls of the API, each one call of the host.

use kd_api::interfaces::fs::{Kind, Stat, StatFs};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{Caller, Errno, Fd, InBuf, OutBuf, Result};

use crate::host;

/// The host's kernel, as a process sees it that has entered its private tmpfs: there is no other way to get a value.
#[derive(Clone, Copy, Debug)]
pub struct Linux(pub(crate) ());

fn nanos(seconds: i64, nanos: i64) -> u64 {
    (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(nanos as u64)
}

impl Syscalls for Linux {
    fn null(&self) -> Result<()> {
        host::plain(host::GETPPID, 0, 0, 0).map(drop)
    }

    fn getpid(&self, _: Caller) -> Result<u32> {
        host::plain(host::GETPID, 0, 0, 0).map(|pid| pid as u32)
    }

    fn open(&self, _: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        host::pathed(host::OPENAT, path, flags, mode).map(|fd| Fd(fd as i32))
    }

    fn close(&self, _: Caller, fd: Fd) -> Result<()> {
        host::plain(host::CLOSE, fd.0.into(), 0, 0).map(drop)
    }

    fn read(&self, _: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        host::output(host::READ, fd.0, out, 0)
    }

    fn write(&self, _: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize> {
        host::input(host::WRITE, fd.0, data, 0)
    }

    fn pread(&self, _: Caller, fd: Fd, offset: i64, out: &mut OutBuf<'_>) -> Result<usize> {
        host::output(host::PREAD, fd.0, out, offset)
    }

    fn pwrite(&self, _: Caller, fd: Fd, offset: i64, data: &mut InBuf<'_>) -> Result<usize> {
        host::input(host::PWRITE, fd.0, data, offset)
    }

    fn lseek(&self, _: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        host::plain(host::LSEEK, fd.0.into(), offset, whence.into()).map(|position| position as u64)
    }

    fn fsync(&self, _: Caller, fd: Fd) -> Result<()> {
        host::plain(host::FSYNC, fd.0.into(), 0, 0).map(drop)
    }

    fn stat(&self, _: Caller, path: &str) -> Result<Stat> {
        let stat = host::stat(path)?;
        let kind = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFBLK => Kind::Block,
            libc::S_IFIFO => Kind::Fifo,
            libc::S_IFLNK => Kind::Symlink,
            // Nothing that the API can make in an empty tmpfs is anything else.
            _ => return Err(Errno::EOPNOTSUPP),
        };
        Ok(Stat {
            ino: stat.st_ino,
            kind,
            mode: (stat.st_mode & 0o7777) as u16,
            links: stat.st_nlink as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: nanos(stat.st_atime, stat.st_atime_nsec),
            mtime: nanos(stat.st_mtime, stat.st_mtime_nsec),
            ctime: nanos(stat.st_ctime, stat.st_ctime_nsec),
        })
    }

    fn mkdir(&self, _: Caller, path: &str, mode: u32) -> Result<()> {
        host::pathed(host::MKDIRAT, path, mode, 0).map(drop)
    }

    fn unlink(&self, _: Caller, path: &str) -> Result<()> {
        host::pathed(host::UNLINKAT, path, 0, 0).map(drop)
    }

    fn rename(&self, _: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        if flags != 0 {
            return Err(Errno::EINVAL);
        }
        host::rename(from, to)
    }

    fn getdents64(&self, _: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        host::output(host::GETDENTS, fd.0, out, 0)
    }

    fn pipe(&self, _: Caller) -> Result<(Fd, Fd)> {
        host::pipe().map(|[reader, writer]| (Fd(reader), Fd(writer)))
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
