//! A process's descriptors.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Lets the program that this process is about to execute have a descriptor.
pub fn bequeath(fd: RawFd) {
    // SAFETY: clears close-on-exec of a descriptor; nothing else is changed.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Takes a descriptor over that [`bequeath`] left to this program: each once, and before it opens any itself.
pub fn inherit(fd: RawFd) -> OwnedFd {
    // SAFETY: whoever executed this program left the descriptor open for it, and nobody else here knows of it.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        OwnedFd::from_raw_fd(fd)
    }
}

/// From now on what this process, and those forked from it, write to the standard streams goes nowhere: a program that is
/// broken on purpose has nothing to say.
pub fn silence() -> io::Result<()> {
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        // SAFETY: plain system call; the standard streams are nobody's property.
        if unsafe { libc::dup2(nowhere.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Waits until one of the descriptors is readable, at most `limit`; returns which are. Allocates nothing.
pub fn poll<const N: usize>(fds: &[RawFd; N], limit: Option<Duration>) -> [bool; N] {
    let mut entries = fds.map(entry);
    wait(&mut entries, limit);
    entries.map(|entry| entry.revents != 0)
}

/// The same for as many as there are.
pub fn poll_all(fds: &[RawFd], limit: Option<Duration>) -> Vec<bool> {
    let mut entries: Vec<_> = fds.iter().copied().map(entry).collect();
    wait(&mut entries, limit);
    entries.iter().map(|entry| entry.revents != 0).collect()
}

fn entry(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn wait(entries: &mut [libc::pollfd], limit: Option<Duration>) {
    let limit = limit.map(|limit| libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ });
    let limit = limit.as_ref().map_or(std::ptr::null(), |limit| limit as *const _);
    // SAFETY: the entries and the limit are live.
    unsafe { libc::ppoll(entries.as_mut_ptr(), entries.len() as _, limit, std::ptr::null()) };
}

/// Closes every descriptor but the standard three: a domain needs none, its memory is mapped.
pub fn close_descriptors() {
    close_range(3, u32::MAX);
}

/// The same, but for some above the standard three.
pub fn close_descriptors_but(kept: impl IntoIterator<Item = RawFd>) {
    let mut kept: Vec<u32> = kept.into_iter().map(|fd| fd as u32).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        close_range(first, fd - 1);
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: whatever owned a descriptor in this forked process is never dropped, since it ends without unwinding.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}
