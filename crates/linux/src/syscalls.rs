//! The system calls of the API, each one call of the host.

use kd_api::interfaces::fs::{Kind, Stat, StatFs};
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::{open, time};
use kd_api::{Blocks, Caller, Errno, Fd, InBuf, OutBuf, Result};

use crate::host;

/// The host's kernel, as a process sees it that has entered its private tmpfs: there is no other way to get a value.
#[derive(Clone, Copy, Debug)]
pub struct Linux(pub(crate) ());

/// A `struct stat` of the host in the API's words.
fn translate(stat: &libc::stat) -> Result<Stat> {
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

/// A time of the API as the host wants it.
fn timespec(time: u64) -> libc::timespec {
    match time {
        time::NOW => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        time::OMIT => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        nanos => libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 },
    }
}

fn nanos(seconds: i64, nanos: i64) -> u64 {
    (seconds as u64).wrapping_mul(1_000_000_000).wrapping_add(nanos as u64)
}

impl Syscalls for Linux {
    fn null(&self) -> Result<()> {
        host::plain(host::GETPPID, []).map(drop)
    }

    fn getpid(&self, _: Caller) -> Result<u32> {
        host::plain(host::GETPID, []).map(|pid| pid as u32)
    }

    fn open(&self, _: Caller, path: &str, flags: u32, mode: u32) -> Result<Fd> {
        host::pathed(host::OPENAT, path, flags, mode, 0).map(|fd| Fd(fd as i32))
    }

    fn close(&self, _: Caller, fd: Fd) -> Result<()> {
        host::plain(host::CLOSE, [fd.0.into()]).map(drop)
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

    /// One call of the host for each block: on its tmpfs nothing is waited for that a queue could hold.
    fn pread_many(&self, _: Caller, fd: Fd, blocks: Blocks, out: &mut OutBuf<'_>) -> Result<usize> {
        if out.remaining() < blocks.bytes() {
            return Err(Errno::EINVAL);
        }
        let one = |at: u64| out.with_part(blocks.size(), |part| host::output(host::PREAD, fd.0, part, at as i64));
        blocks.in_turn(one)
    }

    fn pwrite_many(&self, _: Caller, fd: Fd, blocks: Blocks, data: &mut InBuf<'_>) -> Result<usize> {
        if data.remaining() < blocks.bytes() || blocks.overlap() {
            return Err(Errno::EINVAL);
        }
        let one = |at: u64| host::input(host::PWRITE, fd.0, &mut data.split(blocks.size()), at as i64);
        blocks.in_turn(one)
    }

    fn lseek(&self, _: Caller, fd: Fd, offset: i64, whence: u32) -> Result<u64> {
        host::plain(host::LSEEK, [fd.0.into(), offset, whence.into()]).map(|position| position as u64)
    }

    fn fsync(&self, _: Caller, fd: Fd) -> Result<()> {
        host::plain(host::FSYNC, [fd.0.into()]).map(drop)
    }

    fn ftruncate(&self, _: Caller, fd: Fd, size: u64) -> Result<()> {
        host::plain(host::FTRUNCATE, [fd.0.into(), size as i64]).map(drop)
    }

    fn truncate(&self, _: Caller, path: &str, size: u64) -> Result<()> {
        host::absolute(host::TRUNCATE, path, size).map(drop)
    }

    fn fallocate(&self, _: Caller, fd: Fd, flags: u32, offset: u64, bytes: u64) -> Result<()> {
        host::plain(host::FALLOCATE, [fd.0.into(), flags.into(), offset as i64, bytes as i64]).map(drop)
    }

    fn fdatasync(&self, _: Caller, fd: Fd) -> Result<()> {
        host::plain(host::FDATASYNC, [fd.0.into()]).map(drop)
    }

    fn sync(&self, caller: Caller) -> Result<()> {
        let root = self.open(caller, "/", open::DIRECTORY, 0)?;
        let synced = host::plain(host::SYNCFS, [root.0.into()]);
        self.close(caller, root)?;
        synced.map(drop)
    }

    fn dup(&self, _: Caller, fd: Fd) -> Result<Fd> {
        host::plain(host::DUP, [fd.0.into()]).map(|fd| Fd(fd as i32))
    }

    fn stat(&self, _: Caller, path: &str) -> Result<Stat> {
        translate(&host::stat(path, 0)?)
    }

    fn lstat(&self, _: Caller, path: &str) -> Result<Stat> {
        translate(&host::stat(path, libc::AT_SYMLINK_NOFOLLOW)?)
    }

    fn fstat(&self, _: Caller, fd: Fd) -> Result<Stat> {
        translate(&host::fstat(fd.0)?)
    }

    fn statfs(&self, _: Caller, path: &str) -> Result<StatFs> {
        let stat = host::statfs(path)?;
        Ok(StatFs {
            block_size: stat.f_bsize as u32,
            blocks: stat.f_blocks,
            free: stat.f_bfree,
            files: stat.f_files,
            free_files: stat.f_ffree,
        })
    }

    fn chmod(&self, _: Caller, path: &str, mode: u32) -> Result<()> {
        host::pathed(host::FCHMODAT, path, mode, 0, 0).map(drop)
    }

    fn chown(&self, _: Caller, path: &str, uid: u32, gid: u32) -> Result<()> {
        host::pathed(host::FCHOWNAT, path, uid, gid, 0).map(drop)
    }

    fn utimens(&self, _: Caller, path: &str, atime: u64, mtime: u64) -> Result<()> {
        host::utimens(path, [timespec(atime), timespec(mtime)])
    }

    fn umask(&self, _: Caller, mask: u32) -> Result<u32> {
        host::plain(host::UMASK, [mask.into()]).map(|mask| mask as u32)
    }

    fn set_user(&self, _: Caller, uid: u32, gid: u32) -> Result<()> {
        // A kernel of ours knows one group of an app; where the host refuses to leave the others, there are none.
        let _ = host::leave_groups();
        // The group first: who is no superuser any more may not change it.
        let set =
            host::plain(host::SETRESGID, [gid.into(); 3]).and_then(|_| host::plain(host::SETRESUID, [uid.into(); 3]));
        match set {
            // No such user in this user namespace: nobody here can become one.
            Err(Errno::EINVAL) if uid != u32::MAX && gid != u32::MAX => Err(Errno::EPERM),
            set => set.map(drop),
        }
    }

    fn mkdir(&self, _: Caller, path: &str, mode: u32) -> Result<()> {
        host::pathed(host::MKDIRAT, path, mode, 0, 0).map(drop)
    }

    fn rmdir(&self, _: Caller, path: &str) -> Result<()> {
        host::pathed(host::UNLINKAT, path, libc::AT_REMOVEDIR as u32, 0, 0).map(drop)
    }

    fn link(&self, _: Caller, from: &str, to: &str) -> Result<()> {
        host::two_paths(host::LINKAT, from, to, 0)
    }

    fn symlink(&self, _: Caller, target: &str, path: &str) -> Result<()> {
        host::symlink(target, path)
    }

    fn readlink(&self, _: Caller, path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
        host::readlink(path, out)
    }

    fn unlink(&self, _: Caller, path: &str) -> Result<()> {
        host::pathed(host::UNLINKAT, path, 0, 0, 0).map(drop)
    }

    fn rename(&self, _: Caller, from: &str, to: &str, flags: u32) -> Result<()> {
        host::two_paths(host::RENAMEAT2, from, to, flags)
    }

    fn getdents64(&self, _: Caller, fd: Fd, out: &mut OutBuf<'_>) -> Result<usize> {
        host::output(host::GETDENTS, fd.0, out, 0)
    }

    fn pipe(&self, _: Caller) -> Result<(Fd, Fd)> {
        host::pipe().map(|[reader, writer]| (Fd(reader), Fd(writer)))
    }
}
