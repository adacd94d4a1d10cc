//! The host's futex: the one way anything here waits in the host's kernel.
//!
//! Words may lie in memory shared with other processes, so the `PRIVATE` flag is never used.

use std::sync::atomic::AtomicU32;

/// Sleeps while `word` holds `expected`, until woken; may return early.
pub fn wait(word: &AtomicU32, expected: u32) {
    // SAFETY: the word is a live reference; a null timeout waits for ever.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, std::ptr::null::<libc::timespec>())
    };
}

/// Sleeps while `word` holds `expected`, at most so many nanoseconds; may return early.
pub fn wait_for(word: &AtomicU32, expected: u32, nanos: u64) {
    let time = libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 };
    // SAFETY: the word and the time are live references.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, &raw const time) };
}

/// Wakes up to `count` sleepers on `word`.
pub fn wake(word: &AtomicU32, count: u32) {
    // The host's count is signed; "all" must not become a negative number.
    let count = count.min(i32::MAX as u32);
    // SAFETY: the word is a live reference.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) };
}

/// The hook by which `kd_sync`'s locks wait; `long` marks waits that may last, which a server's pool must know of.
pub fn park(word: &AtomicU32, expected: u32, long: bool) {
    if long {
        crate::watch::about_to_wait();
    }
    wait(word, expected);
    if long {
        crate::watch::done_waiting();
    }
}
