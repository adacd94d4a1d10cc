//! A dying process's last words, and the moment from which it is dead.
//!
//! The host tells of a death when it has taken the address space down, which takes it a while. A process whose
//! code faults can say so itself: a handler, on a stack of its own, notes when and why on a page that its supervisor maps
//! too, rings, and ends the process. What it says needs no trust: a page that was scribbled on gets the process killed,
//! which is what it deserves.
//!
//! **Dead** is a process that executes no instruction of its own any more. [`silence`] makes sure of that long before the
//! host has buried it: the host lets a thread with a kill pending run no further instruction of its program, and an
//! interrupt on every core that ran one (`membarrier`) has it look at what is pending. So nothing that a dead process
//! shares, neither window nor device, changes behind its successor's back.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use kd_machine::clock;
use kd_machine::memory::Words;

use crate::berth::Berth;
use crate::ring::Ring;
use crate::{process, threads};

/// Words of the page that are used here: when, and by which signal.
pub const WORDS: usize = 2;
/// Bytes of the stack that a fault is handled on: it must work when the other one has overflowed.
const STACK: usize = 32 * 1024;
/// The faults of the processor, `abort`, and what a process may not ask of the host.
const FAULTS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT, libc::SIGSYS];

/// Where this process's last words go.
#[derive(Debug)]
pub struct Testament {
    /// The page that they are noted on.
    pub page: &'static Words,
    /// The first of the [`WORDS`] words there.
    pub first: usize,
    /// The place that is handed over, if that may be.
    pub berth: Berth,
    /// What is rung then.
    pub ring: &'static Ring,
}

static TESTAMENT: OnceLock<Testament> = OnceLock::new();

/// The threads that [`give_stack`] knows, by the host's numbers, as far as there is room; 0 where there is none.
static THREADS: [AtomicI32; 64] = [const { AtomicI32::new(0) }; 64];

/// From now on a fault of this process is noted, its place handed over, and its supervisor rung. To be called before there
/// are threads; each one started by [`threads::spawn`] is given a stack for it.
///
/// # Errors
/// The host's, if it cannot be told of this process's cores by `membarrier`: then [`silence`] waits for its end instead.
pub fn install(testament: Testament) -> io::Result<()> {
    // A process is a domain once.
    let _ = TESTAMENT.set(testament);
    for signal in FAULTS {
        // SAFETY: the handler has the type of one without SA_SIGINFO and calls only what is safe in a handler; an
        // all-zero action with an empty mask is valid.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_ONSTACK;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    threads::prepare_with(give_stack);
    membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED)
}

/// What a process said before it died: when, and by which signal; nothing if it lives, or died without a word.
pub fn said(page: &Words, first: usize) -> Option<(u64, i32)> {
    let at = page.get(first).load(Acquire);
    (at != 0).then(|| (at, page.get(first + 1).load(Acquire) as i32))
}

/// Kills the process behind a pidfd; when this returns, it executes no instruction of its own any more. It may be buried
/// later.
pub fn silence(pidfd: i32) {
    process::signal(pidfd, libc::SIGKILL);
    if membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED).is_err() {
        process::poll(&[pidfd], None);
    }
}

extern "C" fn handler(signal: i32) {
    if let Some(Testament { page, first, berth, ring }) = TESTAMENT.get() {
        page.get(*first + 1).store(signal as u64, Release);
        page.get(*first).store(clock::now().max(1), Release);
        berth.hand_over();
        ring.ring();
    }
    // SAFETY: plain system calls, on a live parameter.
    unsafe {
        // The host takes the address space down on a core that the successor needs more.
        let idle: libc::sched_param = std::mem::zeroed();
        for thread in THREADS.iter().map(|thread| thread.load(Relaxed)).take_while(|&thread| thread != 0) {
            libc::sched_setscheduler(thread, libc::SCHED_IDLE, &raw const idle);
        }
        // All threads, before any of them does more harm.
        libc::kill(libc::getpid(), libc::SIGKILL);
        loop {
            libc::pause();
        }
    }
}

/// Gives the calling thread a stack to handle faults on, which lives as long as the process, and notes its number.
fn give_stack() {
    // SAFETY: plain system call.
    let me = unsafe { libc::gettid() };
    let _ = THREADS.iter().find(|thread| thread.compare_exchange(0, me, AcqRel, Relaxed).is_ok());
    let stack = Vec::<u8>::with_capacity(STACK).leak().as_mut_ptr();
    let stack = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the memory is leaked, so it outlives the thread, and nobody else uses it; the host writes before it reads.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
}

fn membarrier(command: i32) -> io::Result<()> {
    // SAFETY: plain system call.
    match unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
