//! The host's futex: the one way anything here waits in the host's kernel.
//!
//! Words may lie in memory shared with other processes, so the `PRIVATE` flag is never used.

//! Nor is the C library's way of asking: it notes errors in memory that a protected domain cannot write.

use std::sync::atomic::AtomicU32;

use crate::pkey::thread;

/// Sleeps while `word` holds `expected`, until woken; may return early.
pub fn wait(word: &AtomicU32, expected: u32) {
    // SAFETY: the word is a live reference; a null timeout waits for ever.
    unsafe { futex(word, libc::FUTEX_WAIT, expected, std::ptr::null()) };
}

/// Sleeps while `word` holds `expected`, at most so many nanoseconds; may return early.
pub fn wait_for(word: &AtomicU32, expected: u32, nanos: u64) {
    let time = libc::timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as i64 };
    // SAFETY: the word and the time are live references.
    unsafe { futex(word, libc::FUTEX_WAIT, expected, &raw const time) };
}

/// Wakes up to `count` sleepers on `word`.
pub fn wake(word: &AtomicU32, count: u32) {
    // The host's count is signed; "all" must not become a negative number.
    let count = count.min(i32::MAX as u32);
    // SAFETY: the word is a live reference.
    unsafe { futex(word, libc::FUTEX_WAKE, count, std::ptr::null()) };
}

/// The hook by which `kd_sync`'s locks wait; `long` marks waits that may last, which a server's pool must know of.
pub fn park(word: &AtomicU32, expected: u32, long: bool) {
    if !long {
        return wait(word, expected);
    }
    thread::outside(crate::watch::about_to_wait);
    thread::parked(|| wait(word, expected));
    thread::outside(crate::watch::done_waiting);
}

/// # Safety
/// The time is null, or lives as long as the call.
unsafe fn futex(word: &AtomicU32, operation: i32, value: u32, time: *const libc::timespec) {
    // SAFETY: the host reads the word and the time and writes nothing; of our registers it changes these three.
    unsafe {
        std::arch::asm!(
            "syscall",
            inout("rax") libc::SYS_futex => _,
            in("rdi") word.as_ptr(),
            in("rsi") operation,
            in("rdx") value,
            in("r10") time,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
}
