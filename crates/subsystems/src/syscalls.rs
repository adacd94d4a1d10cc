//! The system-call table: each call goes to the subsystem that answers it. The same on every kernel.
//!
//! One message carries at most [`BULK`] bytes, so a longer read or write is cut into pieces here, in every kernel alike.
//! What an app sees is Linux's behaviour but for what `bench/DIFFERENCES.md` lists.

use alloc::sync::Arc;

use kd_api::interfaces::fs::{Stat, StatFs};
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{Vfs, seek};
use kd_api::window::BULK;
use kd_api::{Blocks, Caller, Errno, Fd, InBuf, OutBuf, Result};

use crate::transfer::transfer;

/// The table.
pub struct SyscallTable {
    vfs: Arc<dyn Vfs>,
    proc: Arc<dyn Proc>,
}

impl SyscallTable {
    /// A table over these subsystems.
    pub fn new(vfs: Arc<dyn Vfs>, proc: Arc<dyn Proc>) -> SyscallTable {
        SyscallTable { vfs, proc }
    }

    /// How much of a long read is done at all. A pipe never holds more than one piece, and asking for a second would
    /// wait for bytes that nobody may write.
    fn length_of_read(&self, caller: Caller, fd: Fd, wanted: usize) -> usize {
        match self.vfs.lseek(caller, fd, 0, seek::CUR) {
            Err(Errno::ESPIPE) => BULK,
            _ => wanted,
        }
    }
}

/// The offset of a piece; one that no signed number can say would have been refused for the whole.
fn plus(offset: i64, done: usize) -> Result<i64> {
    offset.checked_add_unsigned(done as u64).ok_or(Errno::EINVAL)
}

fn read_pieces(
    out: &mut OutBuf<'_>,
    total: usize,
    mut read: impl FnMut(usize, &mut OutBuf<'_>) -> Result<usize>,
) -> Result<usize> {
    transfer(total, |done| {
        let piece = (total - done).min(BULK);
        Ok((piece, out.with_part(piece, |part| read(done, part))?))
    })
}

fn write_pieces(data: &mut InBuf<'_>, mut write: impl FnMut(usize, &mut InBuf<'_>) -> Result<usize>) -> Result<usize> {
    let total = data.remaining();
    transfer(total, |done| {
        let piece = (total - done).min(BULK);
        Ok((piece, write(done, &mut data.split(piece))?))
    })
}

impl Syscalls for SyscallTable {
    #[inline]
    fn null(&self) -> Result<()> {
        Ok(())
    }

    fn getpid(&self, caller: Caller) -> Result<u32> {
        self.proc.getpid(caller)
    }

    fn open(&self, caller: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        self.vfs.open(caller, path, flags, mode)
    }

    fn close(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.vfs.close(caller, fd)
    }

    fn read(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() <= BULK {
            return self.vfs.read(caller, fd, out);
        }
        let total = self.length_of_read(caller, fd, out.remaining());
        read_pieces(out, total, |_, part| self.vfs.read(caller, fd, part))
    }

    fn write(&self, caller: Caller, fd: Fd, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() <= BULK {
            return self.vfs.write(caller, fd, data);
        }
        write_pieces(data, |_, part| self.vfs.write(caller, fd, part))
    }

    fn pread(&self, caller: Caller, fd: Fd, offset: i64, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() <= BULK {
            return self.vfs.pread(caller, fd, offset, out);
        }
        let total = out.remaining();
        read_pieces(out, total, |done, part| self.vfs.pread(caller, fd, plus(offset, done)?, part))
    }

    fn pwrite(&self, caller: Caller, fd: Fd, offset: i64, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() <= BULK {
            return self.vfs.pwrite(caller, fd, offset, data);
        }
        write_pieces(data, |done, part| self.vfs.pwrite(caller, fd, plus(offset, done)?, part))
    }

    fn pread_many(&self, caller: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        self.vfs.pread_many(caller, fd, blocks, out)
    }

    fn pwrite_many(&self, caller: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        self.vfs.pwrite_many(caller, fd, blocks, data)
    }

    fn lseek(&self, caller: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        self.vfs.lseek(caller, fd, offset, whence)
    }

    fn fsync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.vfs.fsync(caller, fd)
    }

    fn stat(&self, caller: Caller, path: &str) -> Result<Stat> {
        self.vfs.stat(caller, path)
    }

    fn mkdir(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        self.vfs.mkdir(caller, path, mode)
    }

    fn unlink(&self, caller: Caller, path: &str) -> Result<()> {
        self.vfs.unlink(caller, path)
    }

    fn rename(&self, caller: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        self.vfs.rename(caller, from, to, flags)
    }

    fn getdents64(&self, caller: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        self.vfs.getdents64(caller, fd, out)
    }

    fn pipe(&self, caller: Caller) -> Result<(Fd, Fd)> {
        self.vfs.pipe(caller)
    }

    fn ftruncate(&self, caller: Caller, fd: Fd, size: u64) -> Result<()> {
        self.vfs.ftruncate(caller, fd, size)
    }

    fn truncate(&self, caller: Caller, path: &str, size: u64) -> Result<()> {
        self.vfs.truncate(caller, path, size)
    }

    fn fallocate(&self, caller: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        self.vfs.fallocate(caller, fd, flags, offset, bytes)
    }

    fn fdatasync(&self, caller: Caller, fd: Fd) -> Result<()> {
        self.vfs.fdatasync(caller, fd)
    }

    fn sync(&self, caller: Caller) -> Result<()> {
        self.vfs.sync(caller)
    }

    fn dup(&self, caller: Caller, fd: Fd) -> Result<Fd> {
        self.vfs.dup(caller, fd)
    }

    fn lstat(&self, caller: Caller, path: &str) -> Result<Stat> {
        self.vfs.lstat(caller, path)
    }

    fn fstat(&self, caller: Caller, fd: Fd) -> Result<Stat> {
        self.vfs.fstat(caller, fd)
    }

    fn statfs(&self, caller: Caller, path: &str) -> Result<StatFs> {
        self.vfs.statfs(caller, path)
    }

    fn chmod(&self, caller: Caller, path: &str, mode: u32) -> Result<()> {
        self.vfs.chmod(caller, path, mode)
    }

    fn chown(&self, caller: Caller, path: &str, uid: u32, gid: u32) -> Result<()> {
        self.vfs.chown(caller, path, uid, gid)
    }

    fn utimens(&self, caller: Caller, path: &str, atime: u64, mtime: u64) -> Result<()> {
        self.vfs.utimens(caller, path, atime, mtime)
    }

    fn umask(&self, caller: Caller, mask: u32) -> Result<u32> {
        self.vfs.umask(caller, mask)
    }

    fn set_user(&self, caller: Caller, uid: u32, gid: u32) -> Result<()> {
        self.vfs.set_user(caller, uid, gid)
    }

    fn rmdir(&self, caller: Caller, path: &str) -> Result<()> {
        self.vfs.rmdir(caller, path)
    }

    fn link(&self, caller: Caller, from: &str, to: &str) -> Result<()> {
        self.vfs.link(caller, from, to)
    }

    fn symlink(&self, caller: Caller, target: &str, path: &str) -> Result<()> {
        self.vfs.symlink(caller, target, path)
    }

    fn readlink(&self, caller: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
        self.vfs.readlink(caller, path, out)
    }
}
