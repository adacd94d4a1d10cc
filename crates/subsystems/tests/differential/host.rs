//! The host's kernel by raw calls: absolute paths lead into a private directory in memory that goes with the value.
//!
//! Descriptors are the host's own; who compares keeps a map.

use std::ffi::CString;
use std::io::Error;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Errno values as Linux numbers them.
pub type Answer<T> = Result<T, i32>;

pub struct Host {
    root: PathBuf,
}

/// What both kernels' `stat` can be compared by.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    pub directory: bool,
    pub mode: u32,
    pub links: u64,
    pub size: u64,
}

fn answer(value: i64) -> Answer<i64> {
    if value < 0 { Err(Error::last_os_error().raw_os_error().expect("libc set it")) } else { Ok(value) }
}

impl Host {
    /// A new directory; `None` where there is no `/dev/shm`.
    pub fn new(name: &str) -> Option<Host> {
        let root = PathBuf::from(format!("/dev/shm/kd-differential-{}-{name}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o755).create(&root).ok()?;
        Some(Host { root })
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

    pub fn stat(&self, path: &str) -> Answer<Seen> {
        let path = self.path(path);
        // SAFETY: all zeros is a valid `stat`, a plain structure of integers.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: a NUL-terminated path and a structure that both live through the call.
        answer(unsafe { libc::stat(path.as_ptr(), &mut stat) }.into())?;
        Ok(Seen {
            directory: stat.st_mode & libc::S_IFMT == libc::S_IFDIR,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink,
            size: stat.st_size as u64,
        })
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

    pub fn rename(&self, from: &str, to: &str) -> Answer<()> {
        let (from, to) = (self.path(from), self.path(to));
        // SAFETY: two NUL-terminated paths that live through the call.
        answer(unsafe { libc::rename(from.as_ptr(), to.as_ptr()) }.into()).map(drop)
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
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
