//! Every raw system call of this crate, and all of its `unsafe`.
//!
//! Calls are sorted by the kind of their arguments: the constant that names a call carries the kind as its type, so
//! a number that the host would take for an address can not be passed where it matters.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;

use kd_api::interfaces::vfs::PATH_MAX;
use kd_api::{Errno, InBuf, OutBuf, Result};
use libc::{c_int, c_long};

/// A call whose arguments are plain numbers.
#[derive(Clone, Copy)]
pub struct Plain(c_long);
/// A call that takes a path and up to three numbers, by way of the present directory.
#[derive(Clone, Copy)]
pub struct Pathed(c_long);
/// A call that takes a path and a number, and no directory.
#[derive(Clone, Copy)]
pub struct Absolute(c_long);
/// A call that takes two paths and flags, each path by way of the present directory.
#[derive(Clone, Copy)]
pub struct TwoPaths(c_long);
/// A call that takes a descriptor, bytes going in and an offset.
#[derive(Clone, Copy)]
pub struct Input(c_long);
/// A call that takes a descriptor, room for bytes coming out and an offset.
#[derive(Clone, Copy)]
pub struct Output(c_long);

pub const GETPPID: Plain = Plain(libc::SYS_getppid);
pub const GETPID: Plain = Plain(libc::SYS_getpid);
pub const CLOSE: Plain = Plain(libc::SYS_close);
pub const LSEEK: Plain = Plain(libc::SYS_lseek);
pub const FSYNC: Plain = Plain(libc::SYS_fsync);
pub const UMASK: Plain = Plain(libc::SYS_umask);
pub const FDATASYNC: Plain = Plain(libc::SYS_fdatasync);
pub const SYNCFS: Plain = Plain(libc::SYS_syncfs);
pub const DUP: Plain = Plain(libc::SYS_dup);
pub const FTRUNCATE: Plain = Plain(libc::SYS_ftruncate);
pub const FALLOCATE: Plain = Plain(libc::SYS_fallocate);
pub const SETRESUID: Plain = Plain(libc::SYS_setresuid);
pub const SETRESGID: Plain = Plain(libc::SYS_setresgid);
pub const FLOCK: Plain = Plain(libc::SYS_flock);
pub const UNSHARE: Plain = Plain(libc::SYS_unshare);
pub const OPENAT: Pathed = Pathed(libc::SYS_openat);
pub const MKDIRAT: Pathed = Pathed(libc::SYS_mkdirat);
pub const UNLINKAT: Pathed = Pathed(libc::SYS_unlinkat);
pub const FCHMODAT: Pathed = Pathed(libc::SYS_fchmodat);
pub const FCHOWNAT: Pathed = Pathed(libc::SYS_fchownat);
pub const TRUNCATE: Absolute = Absolute(libc::SYS_truncate);
pub const RENAMEAT2: TwoPaths = TwoPaths(libc::SYS_renameat2);
pub const LINKAT: TwoPaths = TwoPaths(libc::SYS_linkat);
pub const WRITE: Input = Input(libc::SYS_write);
pub const PWRITE: Input = Input(libc::SYS_pwrite64);
pub const READ: Output = Output(libc::SYS_read);
pub const PREAD: Output = Output(libc::SYS_pread64);
pub const GETDENTS: Output = Output(libc::SYS_getdents64);

/// The present directory.
const HERE: usize = libc::AT_FDCWD as usize;

/// An error that the API has no name for is `EIO`.
#[cold]
fn errno() -> Errno {
    let number = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    i16::try_from(number).ok().and_then(Errno::from_number).unwrap_or(Errno::EIO)
}

/// # Safety
/// The arguments are what the call wants; where it takes an address, the memory is valid for what it does with it.
#[inline]
unsafe fn call<const N: usize>(number: c_long, arguments: [usize; N]) -> Result<usize> {
    const { assert!(N <= 5) };
    let [a, b, c, d, e] = std::array::from_fn(|at| arguments.get(at).copied().unwrap_or(0));
    // SAFETY: passed on. A call ignores registers beyond its arguments.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result < 0 { Err(errno()) } else { Ok(result as usize) }
}

#[inline]
pub fn plain<const N: usize>(call_of: Plain, arguments: [i64; N]) -> Result<usize> {
    // SAFETY: none of the calls that a `Plain` can name takes an address.
    unsafe { call(call_of.0, arguments.map(|argument| argument as usize)) }
}

#[inline]
pub fn pathed(call_of: Pathed, path: &str, a: u32, b: u32, c: u32) -> Result<usize> {
    with_path(path, |path| {
        let numbers = [a, b, c].map(|number| number as usize);
        // SAFETY: these calls read a C string at their second argument and nothing else.
        unsafe { call(call_of.0, [HERE, path.as_ptr() as usize, numbers[0], numbers[1], numbers[2]]) }
    })
}

#[inline]
pub fn absolute(call_of: Absolute, path: &str, number: u64) -> Result<usize> {
    // SAFETY: these calls read a C string at their first argument and nothing else.
    with_path(path, |path| unsafe { call(call_of.0, [path.as_ptr() as usize, number as usize]) })
}

#[inline]
pub fn two_paths(call_of: TwoPaths, from: &str, to: &str, flags: u32) -> Result<()> {
    with_path(from, |from| {
        with_path(to, |to| {
            let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
            // SAFETY: these calls read two C strings.
            unsafe { call(call_of.0, [HERE, from, HERE, to, flags as usize]) }
        })
    })
    .map(drop)
}

#[inline]
pub fn symlink(target: &str, path: &str) -> Result<()> {
    with_path(target, |target| {
        // SAFETY: symlinkat reads two C strings.
        with_path(path, |path| unsafe {
            call(libc::SYS_symlinkat, [target.as_ptr() as usize, HERE, path.as_ptr() as usize])
        })
    })
    .map(drop)
}

#[inline]
pub fn readlink(path: &str, out: &mut OutBuf<'_>) -> Result<usize> {
    let (at, len) = out.as_raw();
    let count = with_path(path, |path| {
        // SAFETY: readlinkat reads a C string and writes at most `len` bytes; an `OutBuf` is writable for what is left.
        unsafe { call(libc::SYS_readlinkat, [HERE, path.as_ptr() as usize, at as usize, len]) }
    })?;
    // SAFETY: the host has just written that many bytes there.
    unsafe { out.assume_written(count) };
    Ok(count)
}

/// `stat` or, with `AT_SYMLINK_NOFOLLOW`, `lstat`.
#[inline]
pub fn stat(path: &str, flags: c_int) -> Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    with_path(path, |path| {
        let room = stat.as_mut_ptr() as usize;
        // SAFETY: newfstatat reads a C string and fills a `struct stat`.
        unsafe { call(libc::SYS_newfstatat, [HERE, path.as_ptr() as usize, room, flags as usize]) }
    })?;
    // SAFETY: the call succeeded, so it has filled all of it.
    Ok(unsafe { stat.assume_init() })
}

#[inline]
pub fn fstat(fd: i32) -> Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills a `struct stat`.
    unsafe { call(libc::SYS_fstat, [fd as usize, stat.as_mut_ptr() as usize]) }?;
    // SAFETY: the call succeeded, so it has filled all of it.
    Ok(unsafe { stat.assume_init() })
}

#[inline]
pub fn statfs(path: &str) -> Result<libc::statfs> {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: statfs reads a C string and fills a `struct statfs`.
    with_path(path, |path| unsafe { call(libc::SYS_statfs, [path.as_ptr() as usize, stat.as_mut_ptr() as usize]) })?;
    // SAFETY: the call succeeded, so it has filled all of it.
    Ok(unsafe { stat.assume_init() })
}

/// The two times as utimensat wants them.
#[inline]
pub fn utimens(path: &str, times: [libc::timespec; 2]) -> Result<()> {
    with_path(path, |path| {
        // SAFETY: utimensat reads a C string and two `struct timespec`.
        unsafe { call(libc::SYS_utimensat, [HERE, path.as_ptr() as usize, times.as_ptr() as usize, 0]) }
    })
    .map(drop)
}

/// The calling thread leaves every group but its own.
pub fn leave_groups() -> Result<()> {
    // SAFETY: setgroups of none reads nothing.
    unsafe { call(libc::SYS_setgroups, [0, 0]) }.map(drop)
}

#[inline]
pub fn pipe() -> Result<[c_int; 2]> {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills two ints.
    unsafe { call(libc::SYS_pipe2, [ends.as_mut_ptr() as usize, 0]) }?;
    Ok(ends)
}

#[inline]
pub fn input(call_of: Input, fd: i32, data: &mut InBuf<'_>, offset: i64) -> Result<usize> {
    let (at, len) = data.as_raw();
    // SAFETY: an `InBuf` is readable for what remains of it.
    let count = unsafe { call(call_of.0, [fd as usize, at as usize, len, offset as usize]) }?;
    data.skip(count);
    Ok(count)
}

#[inline]
pub fn output(call_of: Output, fd: i32, out: &mut OutBuf<'_>, offset: i64) -> Result<usize> {
    let (at, len) = out.as_raw();
    // SAFETY: an `OutBuf` is writable for what is left of it.
    let count = unsafe { call(call_of.0, [fd as usize, at as usize, len, offset as usize]) }?;
    // SAFETY: the host has just written that many bytes there.
    unsafe { out.assume_written(count) };
    Ok(count)
}

/// Hands `path` over with a zero behind it; it is put together on the stack, where only its own bytes are touched.
#[inline]
fn with_path<R>(path: &str, then: impl FnOnce(&CStr) -> Result<R>) -> Result<R> {
    let mut room = [const { MaybeUninit::<u8>::uninit() }; PATH_MAX + 2];
    // One byte too many is enough for the host to refuse it by itself, and in its own order of errors.
    let length = path.len().min(PATH_MAX + 1);
    let room = room.as_mut_ptr().cast::<u8>();
    // SAFETY: `length` bytes and a zero fit; all are initialised before the slice is made of them.
    let bytes = unsafe {
        room.copy_from_nonoverlapping(path.as_ptr(), length);
        room.add(length).write(0);
        std::slice::from_raw_parts(room, length + 1)
    };
    // A zero inside would cut the path short without a word.
    then(CStr::from_bytes_with_nul(bytes).map_err(|_| Errno::EINVAL)?)
}

/// `mount(2)`.
pub fn mount(source: &CStr, target: &CStr, kind: Option<&CStr>, flags: u64, data: Option<&CStr>) -> io::Result<()> {
    let optional = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: C strings or null, all of which mount accepts; a tmpfs reads its data as a C string.
    match unsafe { libc::mount(source.as_ptr(), target.as_ptr(), optional(kind), flags, optional(data).cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// From now on a write to a pipe without readers is `EPIPE` and no signal, as on the other kernels.
pub fn ignore_sigpipe() {
    // SAFETY: SIG_IGN runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}
