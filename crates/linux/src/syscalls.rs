//! The system calls of the API, each one call of the host.

use kd_api::interfaces::fs::{Kind, Stat};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{Caller, Errno, Fd, InBuf, OutBuf, Result};

use crate::host;

/// The host's kernel, as a process sees it that has entered its private tmpfs: there is no other way to get a value.
#[derive(Clone, Copy, Debug)]
pub struct Linux(pub(crate) ());

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
            // Nothing that the API can make in an empty tmpfs is anything else.
            _ => return Err(Errno::EOPNOTSUPP),
        };
        Ok(Stat {
            ino: stat.st_ino,
            kind,
            mode: (stat.st_mode & 0o7777) as u16,
            links: stat.st_nlink as u32,
            size: stat.st_size as u64,
        })
    }

    fn mkdir(&self, _: Caller, path: &str, mode: u32) -> Result<()> {
        host::pathed(host::MKDIRAT, path, mode, 0).map(drop)
    }

    fn unlink(&self, _: Caller, path: &str) -> Result<()> {
        host::pathed(host::UNLINKAT, path, 0, 0).map(drop)
    }

    fn rename(&self, _: Caller, from: &str, to: &str) -> Result<()> {
        host::rename(from, to)
    }

    fn getdents64(&self, _: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        host::output(host::GETDENTS, fd.0, out, 0)
    }

    fn pipe(&self, _: Caller) -> Result<(Fd, Fd)> {
        host::pipe().map(|[reader, writer]| (Fd(reader), Fd(writer)))
    }
}
