//! Where a domain's memory lies: stacks, windows, arena, at addresses that follow from its number and the thread's.
//!
//! | region | holds, for each domain and thread | key |
//! | --- | --- | --- |
//! | [`STACKS`] | a guard page, a stack, its slot, scratch memory | the domain's |
//! | [`WINDOWS`] | a message and a window, for the one call that a thread of the domain can have under way | the domain's window key |
//! | [`SIGNALS`] | (thread alone) the stack on which faults are handled | one that every domain writes |
//! | the direct map | (domain alone) the arena, two places apart | the domain's |
//!
//! Everything is reserved address space until it is touched.

use std::io;
use std::ptr::NonNull;

use kd_api::Message;
use kd_api::server::SCRATCH;
use kd_api::window::{WINDOW, Window};
use kd_machine::memory::anonymous_at;

use super::keys::Key;
use super::{DOMAINS, THREADS};

const PAGE: usize = 4096;
/// Stacks of domains.
pub const STACKS: usize = 0x2010_0000_0000;
/// Bytes of one, with all that is beside it.
pub const STACK: usize = 512 << 10;
/// Windows of calls.
pub const WINDOWS: usize = 0x2018_0000_0000;
/// Bytes of one with its message.
const WINDOW_ROOM: usize = PAGE + WINDOW.next_multiple_of(PAGE);
/// Stacks for signals.
pub const SIGNALS: usize = 0x201C_0000_0000;
/// Bytes of one: more than the largest set of registers that a processor saves.
pub const SIGNAL_STACK: usize = 64 << 10;

/// Where the stack of a thread in a domain begins: its slot lies there, above it its scratch memory.
pub const fn top(domain: usize, thread: usize) -> usize {
    STACKS + (domain * THREADS + thread + 1) * STACK - PAGE - SCRATCH
}

/// The scratch memory beside that.
pub const fn scratch(domain: usize, thread: usize) -> usize {
    top(domain, thread) + PAGE
}

/// Which domain's stacks an address belongs to; 0 for memory that is none of theirs.
#[inline]
pub const fn domain_of_stack(address: usize) -> usize {
    let number = address.wrapping_sub(STACKS) / (THREADS * STACK);
    if number < DOMAINS { number } else { 0 }
}

/// The message of the call that a thread of a domain has under way; its window is the page behind.
pub const fn message(domain: usize, thread: usize) -> usize {
    WINDOWS + (domain * THREADS + thread) * WINDOW_ROOM
}

/// That window.
pub const fn window(domain: usize, thread: usize) -> usize {
    message(domain, thread) + PAGE
}

/// The window of the call that a thread of a domain has under way. Caller and callee reach it; see who else in
/// [`super::port`].
pub fn window_of(domain: usize, thread: usize) -> Window<'static> {
    let at = NonNull::new(window(domain, thread) as *mut u8).expect("an address of ours");
    // SAFETY: `map_windows` mapped it for good before anybody could be in the domain to call out of it, and no reference
    // into it is ever made.
    unsafe { Window::new(at) }
}

/// The message beside it, copied.
pub fn load_message(domain: usize, thread: usize) -> Message {
    // SAFETY: mapped as the window is, aligned to a page, valid for any bits. It is read as a volatile copy because a
    // fault elsewhere may write it meanwhile; what is read is checked as any message is.
    unsafe { (message(domain, thread) as *const Message).read_volatile() }
}

/// Leaves a message there.
pub fn store_message(domain: usize, thread: usize, with: &Message) {
    // SAFETY: as above; the thread has one call under way in a domain, so nobody else is meant to write it now.
    unsafe { (message(domain, thread) as *mut Message).write_volatile(*with) };
}

/// Maps a domain's stacks, each with a guard page below.
pub fn map_stacks(domain: usize, key: Key) -> io::Result<()> {
    let start = STACKS + domain * THREADS * STACK;
    map(start, THREADS * STACK, key)?;
    (0..THREADS).try_for_each(|thread| {
        let guard = start + thread * STACK;
        // SAFETY: the page was just mapped and nobody uses it.
        match unsafe { libc::mprotect(guard as *mut _, PAGE, libc::PROT_NONE) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    })
}

/// Maps the windows of the calls that a domain makes.
pub fn map_windows(domain: usize, key: Key) -> io::Result<()> {
    map(message(domain, 0), THREADS * WINDOW_ROOM, key)
}

/// Maps the stacks on which signals are handled.
pub fn map_signal_stacks(key: Key) -> io::Result<()> {
    map(SIGNALS, THREADS * SIGNAL_STACK, key)
}

fn map(start: usize, size: usize, key: Key) -> io::Result<()> {
    anonymous_at(start, size)?.leak();
    key.protect(start, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_on_a_stack_tells_its_domain() {
        for (domain, thread) in [(1, 0), (2, 0), (2, THREADS - 1), (DOMAINS - 1, THREADS - 1)] {
            assert_eq!(domain_of_stack(top(domain, thread) - 8), domain);
            assert_eq!(domain_of_stack(top(domain, thread) + PAGE + SCRATCH - 1), domain);
        }
        assert_eq!(domain_of_stack(0), 0);
        assert_eq!(domain_of_stack(STACKS - 1), 0);
        assert_eq!(domain_of_stack(STACKS + DOMAINS * THREADS * STACK), 0);
        const { assert!(STACKS + DOMAINS * THREADS * STACK <= WINDOWS && message(DOMAINS, 0) <= SIGNALS) };
    }
}
