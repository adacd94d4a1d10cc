//! A dying process's last words, and the moment from which it is dead.
//!
//! The host tells of a death when it has taken the address space down, which takes it a while. A process whose
//! code faults can say so itself: a handler, on a stack of its own, notes when and why on a page that its supervisor maps
//! too, rings, and stops the process. What it says needs no trust: a page that was scribbled on gets the process killed,
//! which is what it deserves.
//!
//! One that is killed says nothing. Its place, if it may be taken at once, the host hands over in its stead ([`Berth`]), which it
//! was asked for here.
//!
//! **Dead** is a process that executes no instruction of its own any more. [`silence`] makes sure of that at once: the host lets a
//! thread that was told to stop run no further instruction of its program, and an interrupt on every core that ran one
//! (`membarrier`) has it look at what is pending. So nothing that a dead process shares, neither window nor device, changes behind its
//! successor's back. It is stopped and not killed because its end takes the host a millisecond, on a core where the successor or
//! who waits for it wants to run: [`bury`] it when they do.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use kd_machine::clock;
use kd_machine::memory::Words;

use crate::berth::Berth;
use crate::ring::Ring;
use crate::{process, threads, watch};

/// Words of the page that are used here: when, by which signal, and the host's numbers of the threads, as far as there is room.
pub const WORDS: usize = THREADS + 64;
const THREADS: usize = 2;
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
    /// What is rung otherwise.
    pub ring: &'static Ring,
}

static TESTAMENT: OnceLock<Testament> = OnceLock::new();

/// What the host looks at when a thread ends (`struct robust_list_head` of `linux/futex.h`): the words that it holds, as a circle
/// of entries, and one more that it was about to take.
#[repr(C)]
struct Held {
    circle: *const Held,
    offset: isize,
    pending: *const AtomicU32,
}

/// From now on a fault of this process is noted, and its place handed over or its supervisor rung; when the calling thread, the
/// process's first, ends by anything else, the place is handed over as well. To be called before there are threads; each one
/// started by [`threads::spawn`] is given a stack for it.
///
/// # Errors
/// The host's, if it cannot be told of this process's cores by `membarrier`: then [`silence`] waits for its end instead.
pub fn install(testament: Testament) -> io::Result<()> {
    // A process is a domain once.
    let testament = TESTAMENT.get_or_init(|| testament);
    hold(testament.berth.word());
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
    watch::complain_with(ring);
    membarrier(libc::MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED)
}

/// What a process said before it died: when, and by which signal; nothing if it lives, or died without a word.
pub fn said(page: &Words, first: usize) -> Option<(u64, i32)> {
    let at = page.get(first).load(Acquire);
    (at != 0).then(|| (at, page.get(first + 1).load(Acquire) as i32))
}

/// Makes sure that a process executes no instruction of its own any more: by stopping its threads if these are all of them, and
/// by a kill if not. A stop of the process would have one thread stop the others, when it gets to it. To be buried later.
pub fn silence(pid: i32, pidfd: i32, threads: &[i32]) {
    let mut threads = threads.to_vec();
    threads.sort_unstable();
    threads.dedup();
    let stopped = threads.iter().filter(|&&thread| tell(thread, pid, libc::SIGSTOP)).count();
    // Who is stopped starts no further thread, so that they can be counted now.
    let barrier = membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED);
    if barrier.is_ok() && process::thread_count(pid) == Some(stopped) {
        return;
    }
    process::signal(pidfd, libc::SIGKILL);
    if membarrier(libc::MEMBARRIER_CMD_GLOBAL_EXPEDITED).is_err() {
        process::poll(&[pidfd], None);
    }
}

/// Has a process with these threads end, behind whoever else wants the cores.
pub fn bury(pid: i32, pidfd: i32, threads: &[i32]) {
    give_way(pid, threads);
    process::signal(pidfd, libc::SIGKILL);
}

/// Leaves the threads of a process less time than others: of one that may be ending already. A tenth and not next to nothing,
/// since others wait for this end: the supervisor, and by profiles of `wait4` the host itself, which seems to poll there until each
/// thread has put away what was looked at of it under `/proc`.
pub fn give_way(pid: i32, threads: &[i32]) {
    const NICE: i32 = 10;
    let living = threads.iter().filter(|&&thread| tell(thread, pid, 0));
    living.for_each(|&thread| process::be_nice(thread, NICE));
}

/// The threads that a process has noted, whoever wrote there.
pub fn threads(page: &Words, first: usize) -> Vec<i32> {
    let noted = (THREADS..WORDS).map(|word| page.get(first + word).load(Relaxed) as i32);
    noted.take_while(|&thread| thread != 0).collect()
}

/// Sends a signal to a thread, or none with 0; whether it is that process's.
fn tell(thread: i32, pid: i32, signal: i32) -> bool {
    // SAFETY: plain system call.
    thread > 0 && unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, signal) } == 0
}

/// Has the host take the word from the calling thread when that ends, if it bears its number by then.
fn hold(word: &'static AtomicU32) {
    // With an empty circle, whose end is where it begins.
    let held: &'static mut Held = Box::leak(Box::new(Held { circle: std::ptr::null(), offset: 0, pending: word }));
    held.circle = held;
    // SAFETY: what the host is to read is leaked, and so is the word, behind the testament. The C library's own list for this
    // thread goes unread: it is for locks of threads that share nothing with others here.
    unsafe { libc::syscall(libc::SYS_set_robust_list, std::ptr::from_ref(held), size_of::<Held>()) };
}

/// Rings.
fn ring() {
    TESTAMENT.get().into_iter().for_each(|testament| testament.ring.ring());
}

extern "C" fn handler(signal: i32) {
    if let Some(Testament { page, first, berth, ring }) = TESTAMENT.get() {
        page.get(*first + 1).store(signal as u64, Release);
        page.get(*first).store(clock::now().max(1), Release);
        // A successor that was woken rings itself when it answers; before that the supervisor would only be in its way.
        if !berth.hand_over() {
            ring.ring();
        }
    }
    // SAFETY: plain system calls.
    unsafe {
        // All threads, before any of them does more harm. Whoever was told buries it.
        let end = if TESTAMENT.get().is_some() { libc::SIGSTOP } else { libc::SIGKILL };
        libc::kill(libc::getpid(), end);
        loop {
            libc::pause();
        }
    }
}

/// Gives the calling thread a stack to handle faults on, which lives as long as the process, and notes its number.
fn give_stack() {
    // SAFETY: plain system call.
    let me = unsafe { libc::gettid() };
    if let Some(Testament { page, first, .. }) = TESTAMENT.get() {
        let mut words = (THREADS..WORDS).map(|word| page.get(first + word));
        words.find(|word| word.compare_exchange(0, me as u64, AcqRel, Relaxed).is_ok());
    }
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
