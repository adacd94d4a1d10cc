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
/// A call that takes a path and up to two numbers, by way of the present directory.
#[derive(Clone, Copy)]
pub struct Pathed(c_long);
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
pub const UNSHARE: Plain = Plain(libc::SYS_unshare);
pub const OPENAT: Pathed = Pathed(libc::SYS_openat);
pub const MKDIRAT: Pathed = Pathed(libc::SYS_mkdirat);
pub const UNLINKAT: Pathed = Pathed(libc::SYS_unlinkat);
pub const WRITE: Input = Input(libc::SYS_write);
pub const PWRITE: Input = Input(libc::SYS_pwrite64);
pub const READ: Output = Output(libc::SYS_read);
pub const PREAD: Output = Output(libc::SYS_pread64);
pub const GETDENTS: Output = Output(libc::SYS_getdents64);

/// An error that the API has no name for is `EIO`.
#[cold]
fn errno() -> Errno {
    let number = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    i16::try_from(number).ok().and_then(Errno::from_number).unwrap_or(Errno::EIO)
}

/// # Safety
/// The arguments are what the call wants; where it takes an address, the memory is valid for what it does with it.
#[inline]
unsafe fn call(number: c_long, arguments: [usize; 4]) -> Result<usize> {
    let [a, b, c, d] = arguments;
    // SAFETY: passed on. A call ignores registers beyond its arguments.
    let result = unsafe { libc::syscall(number, a, b, c, d) };
    if result < 0 { Err(errno()) } else { Ok(result as usize) }
}

#[inline]
pub fn plain(call_of: Plain, a: i64, b: i64, c: i64) -> Result<usize> {
    // SAFETY: none of the calls that a `Plain` can name takes an address.
    unsafe { call(call_of.0, [a as usize, b as usize, c as usize, 0]) }
}

#[inline]
pub fn pathed(call_of: Pathed, path: &str, flags: u32, mode: u32) -> Result<usize> {
    with_path(path, |path| {
        // SAFETY: these calls read a C string at their second argument and nothing else.
        unsafe { call(call_of.0, [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, mode as usize]) }
    })
}

#[inline]
pub fn rename(from: &str, to: &str) -> Result<()> {
    let here = libc::AT_FDCWD as usize;
    with_path(from, |from| {
        with_path(to, |to| {
            // SAFETY: renameat reads two C strings.
            unsafe { call(libc::SYS_renameat, [here, from.as_ptr() as usize, here, to.as_ptr() as usize]) }
        })
    })
    .map(drop)
}

#[inline]
pub fn stat(path: &str) -> Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    with_path(path, |path| {
        let room = stat.as_mut_ptr() as usize;
        // SAFETY: newfstatat reads a C string and fills a `struct stat`.
        unsafe { call(libc::SYS_newfstatat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, room, 0]) }
    })?;
    // SAFETY: the call succeeded, so it has filled all of it.
    Ok(unsafe { stat.assume_init() })
}

#[inline]
pub fn pipe() -> Result<[c_int; 2]> {
    let mut ends = [0; 2];
    // SAFETY: pipe2 fills two ints.
    unsafe { call(libc::SYS_pipe2, [ends.as_mut_ptr() as usize, 0, 0, 0]) }?;
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
