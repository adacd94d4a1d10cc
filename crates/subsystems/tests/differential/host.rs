//! The host's kernel by raw calls: absolute paths lead into a private directory in memory that goes with the value.
//!
//! Descriptors are the host's own; who compares keeps a map.

use std::ffi::CString;
use std::io::Error;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use kd_api::interfaces::vfs::time;

/// Errno values as Linux numbers them.
pub type Answer<T> = Result<T, i32>;

pub struct Host {
    outermost: PathBuf,
    root: PathBuf,
}

/// Directories around the one that is compared, for symbolic links that lead out of it.
pub const AROUND: &str = "/w/w/w/w/w/w";

/// What both kernels' `stat` can be compared by.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub kind: u32,
    pub mode: u32,
    pub links: u64,
    pub user: (u32, u32),
    pub size: u64,
    pub blocks: u64,
    pub times: [Time; 2],
}

/// A time of reading or of change: one that was set, or some present one, which no two kernels share.
#[derive(Debug, PartialEq, Eq)]
pub enum Time {
    Set(u64),
    Present,
}

impl Time {
    /// Tests set times within the first days of 1970.
    pub fn of(nanos: u64) -> Time {
        if nanos < 1_000_000_000_000_000 { Time::Set(nanos) } else { Time::Present }
    }
}

fn seen(stat: &libc::stat) -> Seen {
    let time = |seconds: i64, nanos: i64| Time::of(seconds as u64 * 1_000_000_000 + nanos as u64);
    Seen {
        kind: stat.st_mode & libc::S_IFMT,
        mode: stat.st_mode & 0o7777,
        links: stat.st_nlink,
        user: (stat.st_uid, stat.st_gid),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        times: [time(stat.st_atime, stat.st_atime_nsec), time(stat.st_mtime, stat.st_mtime_nsec)],
    }
}

fn timespec(time: u64) -> libc::timespec {
    match time {
        time::NOW => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        time::OMIT => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        nanos => libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 },
    }
}

fn answer(value: i64) -> Answer<i64> {
    if value < 0 { Err(Error::last_os_error().raw_os_error().expect("libc set it")) } else { Ok(value) }
}

impl Host {
    /// A new directory; `None` where there is no `/dev/shm`.
    pub fn new(name: &str) -> Option<Host> {
        let outermost = PathBuf::from(format!("/dev/shm/kd-differential-{}-{name}", std::process::id()));
        let root = PathBuf::from(format!("{}{AROUND}", outermost.display()));
        // SAFETY: no memory is passed. An earlier host's mask may be left.
        unsafe { libc::umask(0) };
        let made = std::fs::DirBuilder::new().mode(0o755).recursive(true).create(&root);
        made.ok().map(|()| Host { outermost, root })
    }

    /// The calling thread is this user from now on; it stays able to become another.
    pub fn become_user(&self, uid: u32, gid: u32) {
        let keep = u32::MAX;
        // SAFETY: no memory is passed. Raw calls change the thread alone.
        let became = unsafe {
            libc::syscall(libc::SYS_setresuid, keep, 0, keep) == 0
                && libc::syscall(libc::SYS_setresgid, keep, gid, keep) == 0
                && libc::syscall(libc::SYS_setresuid, keep, uid, keep) == 0
        };
        assert!(became, "the superuser may become anyone");
    }

    pub fn umask(&self, mask: u32) -> u32 {
        // SAFETY: no memory is passed.
        unsafe { libc::umask(mask) }
    }

    /// `path`, which starts with a slash or is empty, below the directory.
    fn path(&self, path: &str) -> CString {
        let text = if path.is_empty() { String::new() } else { format!("{}{path}", self.root.display()) };
        CString::new(text).expect("no NUL in a test's path")
    }

    pub fn open(&self, path: &str, flags: u32, mode: u32) -> Answer<i32> {
        let path = self.path(path);
        // SAFETY: a NUL-terminated path that lives through the call.
        answer(unsafe { libc::open(path.as_ptr(), flags as i32, mode) }.into()).map(|fd| fd as i32)
    }

    pub fn close(&self, fd: i32) -> Answer<()> {
        // SAFETY: the test closes only descriptors that this value opened, or numbers that are none.
        answer(unsafe { libc::close(fd) }.into()).map(drop)
    }

    pub fn read(&self, fd: i32, room: &mut [u8]) -> Answer<i64> {
        // SAFETY: the room is exclusively ours for its whole length.
        answer(unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) } as i64)
    }

    pub fn write(&self, fd: i32, data: &[u8]) -> Answer<i64> {
        // SAFETY: the data is readable for its whole length.
        answer(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) } as i64)
    }

    pub fn pread(&self, fd: i32, offset: i64, room: &mut [u8]) -> Answer<i64> {
        // SAFETY: as for `read`.
        answer(unsafe { libc::pread(fd, room.as_mut_ptr().cast(), room.len(), offset) } as i64)
    }

    pub fn pwrite(&self, fd: i32, offset: i64, data: &[u8]) -> Answer<i64> {
        // SAFETY: as for `write`.
        answer(unsafe { libc::pwrite(fd, data.as_ptr().cast(), data.len(), offset) } as i64)
    }

    pub fn lseek(&self, fd: i32, offset: i64, whence: u32) -> Answer<i64> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::lseek(fd, offset, whence as i32) })
    }

    pub fn fsync(&self, fd: i32) -> Answer<()> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::fsync(fd) }.into()).map(drop)
    }

    pub fn stat(&self, path: &str, flags: i32) -> Answer<Seen> {
        let path = self.path(path);
        // SAFETY: all zeros is a valid `stat`, a plain structure of integers.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a NUL-terminated path and a structure that both live through the call.
        answer(unsafe { libc::fstatat(libc::AT_FDCWD, path.as_ptr(), &mut stat, flags) }.into())?;
        Ok(seen(&stat))
    }

    pub fn fstat(&self, fd: i32) -> Answer<Seen> {
        // SAFETY: as for `stat`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as for `stat`.
        answer(unsafe { libc::fstat(fd, &mut stat) }.into())?;
        Ok(seen(&stat))
    }

    pub fn ftruncate(&self, fd: i32, size: i64) -> Answer<()> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::ftruncate(fd, size) }.into()).map(drop)
    }

    pub fn truncate(&self, path: &str, size: i64) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::truncate(path.as_ptr(), size) }.into()).map(drop)
    }

    pub fn fallocate(&self, fd: i32, flags: u32, offset: i64, bytes: i64) -> Answer<()> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::fallocate(fd, flags as i32, offset, bytes) }.into()).map(drop)
    }

    pub fn fdatasync(&self, fd: i32) -> Answer<()> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::fdatasync(fd) }.into()).map(drop)
    }

    pub fn dup(&self, fd: i32) -> Answer<i32> {
        // SAFETY: no memory is passed.
        answer(unsafe { libc::dup(fd) }.into()).map(|fd| fd as i32)
    }

    pub fn chmod(&self, path: &str, mode: u32) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::chmod(path.as_ptr(), mode) }.into()).map(drop)
    }

    pub fn chown(&self, path: &str, uid: u32, gid: u32) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::chown(path.as_ptr(), uid, gid) }.into()).map(drop)
    }

    pub fn utimens(&self, path: &str, atime: u64, mtime: u64) -> Answer<()> {
        let (path, times) = (self.path(path), [timespec(atime), timespec(mtime)]);
        // SAFETY: a NUL-terminated path and two times that live through the call.
        answer(unsafe { libc::utimensat(libc::AT_FDCWD, path.as_ptr(), times.as_ptr(), 0) }.into()).map(drop)
    }

    pub fn rmdir(&self, path: &str) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::rmdir(path.as_ptr()) }.into()).map(drop)
    }

    pub fn link(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (self.path(from), self.path(to));
        // SAFETY: two NUL-terminated paths that live through the call.
        answer(unsafe { libc::link(from.as_ptr(), to.as_ptr()) }.into()).map(drop)
    }

    pub fn symlink(&self, target: &str, path: &str) -> Answer<()> {
        let (target, path) = (CString::new(target).expect("no NUL in a test's path"), self.path(path));
        // SAFETY: as for `link`.
        answer(unsafe { libc::symlink(target.as_ptr(), path.as_ptr()) }.into()).map(drop)
    }

    pub fn readlink(&self, path: &str, room: &mut [u8]) -> Answer<i64> {
        let path = self.path(path);
        // SAFETY: as for `open`, and the room is exclusively ours for its whole length.
        answer(unsafe { libc::readlink(path.as_ptr(), room.as_mut_ptr().cast(), room.len()) } as i64)
    }

    pub fn mkdir(&self, path: &str, mode: u32) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::mkdir(path.as_ptr(), mode) }.into()).map(drop)
    }

    pub fn unlink(&self, path: &str) -> Answer<()> {
        let path = self.path(path);
        // SAFETY: as for `open`.
        answer(unsafe { libc::unlink(path.as_ptr()) }.into()).map(drop)
    }

    pub fn rename(&self, from: &str, to: &str, flags: u32) -> Answer<()> {
        let (from, to, here) = (self.path(from), self.path(to), libc::AT_FDCWD);
        // SAFETY: as for `link`.
        answer(unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags) }).map(drop)
    }

    pub fn getdents64(&self, fd: i32, room: &mut [u8]) -> Answer<i64> {
        // SAFETY: the room is exclusively ours for its whole length.
        answer(unsafe { libc::syscall(libc::SYS_getdents64, fd, room.as_mut_ptr(), room.len()) })
    }

    pub fn pipe(&self) -> Answer<(i32, i32)> {
        let mut ends = [0; 2];
        // SAFETY: room for two integers.
        answer(unsafe { libc::pipe(ends.as_mut_ptr()) }.into())?;
        Ok((ends[0], ends[1]))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.become_user(0, 0);
        let _ = std::fs::remove_dir_all(&self.outermost);
    }
}
