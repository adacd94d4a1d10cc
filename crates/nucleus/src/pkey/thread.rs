//! Threads as the gates know them: each has a number, a slot in every domain, and a chain of calls that it is inside.
//!
//! A slot lies in its domain's memory, where the domain itself can spoil it, and nobody else: it says where the domain
//! goes on. The table of slots, and the slot of a thread outside any domain, lie in the core's.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::*};

use super::keys::Rights;
use super::{COMMON, DOMAINS, Entry, FIRST, SERVICES, THREADS, gate, space};

/// What a domain remembers of a thread that calls out of it. The gates know the first three fields by their offsets.
#[repr(C, align(64))]
pub struct Slot {
    /// Where the stack is.
    pub(super) stack: AtomicUsize,
    /// Whom it calls; 0: nobody.
    pub(super) callee: AtomicUsize,
    /// Calls so far.
    pub(super) calls: AtomicUsize,
    /// The present call may wait for another app as long as it likes.
    pub(super) blocking: AtomicBool,
    /// The thread sleeps here until something happens, holding no lock of this domain that others wait for.
    pub(super) parked: AtomicBool,
    /// What [`gate::bail`] is reached by: six registers, and its address.
    bail: [AtomicUsize; 7],
}

/// A thread's record.
#[repr(C, align(64))]
pub struct Thread {
    /// Where its slot in each domain is; GS points here.
    slots: [AtomicUsize; DOMAINS],
    outside: Slot,
    taken: AtomicBool,
    /// The host's number of it; 0: the thread is not ready, or there is none.
    id: AtomicI32,
}

static RECORDS: [Thread; THREADS] = [const {
    Thread {
        slots: [const { AtomicUsize::new(0) }; DOMAINS],
        outside: Slot::new(),
        taken: AtomicBool::new(false),
        id: AtomicI32::new(0),
    }
}; THREADS];

impl Slot {
    const fn new() -> Slot {
        Slot {
            stack: AtomicUsize::new(0),
            callee: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            blocking: AtomicBool::new(false),
            parked: AtomicBool::new(false),
            bail: [const { AtomicUsize::new(0) }; 7],
        }
    }
}

/// Gives a thread's record back when the thread ends.
struct Registration(&'static Thread);

thread_local! {
    // Without destructors: domains read them, and must not be the first to touch them.
    static RESTARTS: Cell<bool> = const { Cell::new(false) };
    static CURRENT: Cell<Option<&'static Thread>> = const { Cell::new(None) };
    static REGISTRATION: Cell<Option<Registration>> = const { Cell::new(None) };
}

impl Drop for Registration {
    fn drop(&mut self) {
        CURRENT.set(None);
        self.0.id.store(0, Release);
        self.0.taken.store(false, Release);
    }
}

impl Thread {
    /// The calling thread, if it may enter domains.
    #[inline]
    pub fn current() -> Option<&'static Thread> {
        CURRENT.get()
    }

    /// The calling thread; it is given a record, a stack for signals and the core's rights if it has none yet.
    ///
    /// # Errors
    /// The host's; `EAGAIN`-like when as many threads as there is room for have one.
    pub fn enlist() -> io::Result<&'static Thread> {
        if let Some(thread) = Thread::current() {
            return Ok(thread);
        }
        let free = RECORDS.iter().find(|record| !record.taken.swap(true, AcqRel));
        let thread = free.ok_or_else(|| io::Error::new(io::ErrorKind::WouldBlock, "too many threads in one kernel"))?;
        let registration = Registration(thread);
        thread.prepare()?;
        REGISTRATION.set(Some(registration));
        CURRENT.set(Some(thread));
        Ok(thread)
    }

    fn prepare(&'static self) -> io::Result<()> {
        let number = self.number();
        for (domain, slot) in self.slots.iter().enumerate() {
            let outside = (&raw const self.outside) as usize;
            slot.store(if domain == COMMON { outside } else { space::top(domain, number) }, Relaxed);
        }
        let stack = libc::stack_t {
            ss_sp: (space::SIGNALS + number * space::SIGNAL_STACK) as *mut _,
            ss_flags: 0,
            ss_size: space::SIGNAL_STACK,
        };
        // SAFETY: the stack is this record's alone and stays mapped; GS is used by nobody else on x86-64, and points at
        // a static; the rights given are those of the core, which reach all that a thread outside domains uses.
        unsafe {
            const SET_GS: i32 = 0x1001;
            if libc::sigaltstack(&raw const stack, std::ptr::null_mut()) != 0
                || libc::syscall(libc::SYS_arch_prctl, SET_GS, self.slots.as_ptr()) != 0
            {
                return Err(io::Error::last_os_error());
            }
            leave_rseq();
            gate::set_rights(gate::PKRU[COMMON].load(Relaxed));
            // Now others may look at its slots.
            self.id.store(libc::syscall(libc::SYS_gettid) as i32, Release);
        }
        Ok(())
    }

    /// Its number.
    pub fn number(&self) -> usize {
        (std::ptr::from_ref(self) as usize - RECORDS.as_ptr() as usize) / size_of::<Thread>()
    }

    /// The host's number of it.
    pub fn id(&self) -> i32 {
        self.id.load(Acquire)
    }

    /// Its slot in a domain. To be used in that domain, or with all rights.
    #[inline]
    pub fn slot(&self, domain: usize) -> &Slot {
        // SAFETY: the address of a slot that stays mapped, valid for any bits, and accessed atomically alone.
        unsafe { &*(self.slots[domain].load(Relaxed) as *const Slot) }
    }

    /// The domains that the thread is in, outermost first and without the core, as its slots say. A spoilt slot ends it.
    pub fn chain(&self) -> Chain {
        let mut chain = Chain { domains: [COMMON; DOMAINS], len: 1 };
        loop {
            let callee = self.slot(chain.innermost()).callee.load(Acquire);
            if callee == COMMON || callee >= DOMAINS || chain.contains(callee) {
                return chain;
            }
            chain.domains[chain.len] = callee;
            chain.len += 1;
        }
    }

    /// Forgets that a domain, and whom it called in turn, called anybody.
    pub(super) fn forget(&self, chain: &Chain, from: usize) {
        for &domain in chain.domains[..chain.len].iter().skip_while(|domain| **domain != from) {
            self.slot(domain).callee.store(COMMON, Release);
            self.slot(domain).parked.store(false, Release);
            self.slot(domain).stack.store(0, Release);
        }
    }

    /// Has the thread end up in [`gate::bail`] when it comes back to a domain.
    pub(super) fn divert(&self, domain: usize) {
        let slot = self.slot(domain);
        slot.bail[6].store(gate::bail as *const () as usize, Relaxed);
        slot.stack.store(slot.bail.as_ptr() as usize, Release);
    }

    /// Whether it will.
    pub(super) fn is_diverted(&self, domain: usize) -> bool {
        let slot = self.slot(domain);
        slot.stack.load(Acquire) == slot.bail.as_ptr() as usize
    }
}

/// The domains that a thread is in.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    domains: [usize; DOMAINS],
    len: usize,
}

impl Chain {
    /// The one that it is in now; 0 outside.
    pub fn innermost(&self) -> usize {
        self.domains[self.len - 1]
    }

    /// Whether it is in a domain, now or when it comes back.
    pub fn contains(&self, domain: usize) -> bool {
        self.domains[..self.len].contains(&domain)
    }

    /// The one from which it entered a domain that it is in.
    pub fn caller_of(&self, domain: usize) -> usize {
        let at = self.domains[..self.len].iter().position(|other| *other == domain);
        at.and_then(|at| self.domains.get(at.wrapping_sub(1))).copied().unwrap_or(COMMON)
    }

    /// All of them, outermost first, the core included.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.domains[..self.len].iter().copied()
    }

    /// Without those that it called from a domain it is in.
    pub(super) fn up_to(mut self, domain: usize) -> Chain {
        if let Some(at) = self.domains[..self.len].iter().position(|other| *other == domain) {
            self.len = at + 1;
        }
        self
    }
}

/// All threads that may enter domains.
pub fn all() -> impl Iterator<Item = &'static Thread> {
    RECORDS.iter().filter(|thread| thread.id() != 0)
}

/// The domain that the calling thread is in, as its stack says; 0 outside.
#[inline]
pub fn here() -> usize {
    let stack: usize;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mov {}, rsp", out(reg) stack, options(nomem, nostack, preserves_flags)) };
    space::domain_of_stack(stack)
}

/// Makes the calling thread the one that restarts domains.
pub fn restart_domains() {
    RESTARTS.set(true);
}

/// Whether it is.
pub fn restarts_domains() -> bool {
    RESTARTS.get()
}

/// What a call through a gate returns when the callee died over it.
pub const DIED: u64 = u64::MAX;

/// Calls `entry` in a domain, from wherever the thread is; [`DIED`] if the domain died over it.
///
/// # Errors
/// The host's, at the first call of a thread.
pub fn call(domain: usize, entry: Entry, first: usize, second: usize, blocking: bool) -> io::Result<u64> {
    let thread = Thread::enlist()?;
    let own = here();
    thread.slot(own).blocking.store(blocking, Relaxed);
    debug_assert!(domain != own && (SERVICES..DOMAINS).contains(&domain));
    // SAFETY: the stack says which domain this is, and so which gate is right; `enlist` set GS. The import graph has no
    // circle and services call no domain, so the thread is not in the callee already.
    Ok(unsafe { gate::GATES[own](domain, entry, first, second) })
}

/// Does something outside the domain that the calling thread is in: with the core's stack, arena and rights to
/// everything. Outside any domain it just does it.
pub fn outside<R>(work: impl FnOnce() -> R) -> R {
    extern "C" fn run<F: FnOnce() -> R, R>(job: usize, _: usize, _: usize) -> u64 {
        // SAFETY: `outside` passes its own job, which lives until this returns, and looks at it only then.
        let job = unsafe { &mut *(job as *mut (Option<F>, Option<R>)) };
        // A panic must not unwind into the gate.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.0.take().map(|work| work())));
        job.1 = done.unwrap_or_else(|_| std::process::abort());
        0
    }
    fn entry<F: FnOnce() -> R, R>(_: &F) -> Entry {
        run::<F, R>
    }
    if here() < FIRST {
        return work();
    }
    let entry = entry(&work);
    let mut job = (Some(work), None);
    // A domain's thread is enlisted: the host is not asked for anything.
    let _ = call(SERVICES, entry, (&raw mut job) as usize, 0, false);
    job.1.unwrap_or_else(|| std::process::abort())
}

/// Does something in a domain; `false` if the domain died over it.
///
/// The work lies in the core's memory, where the domain reads it and cannot write: what is to come back comes back by
/// way of [`outside`].
///
/// # Errors
/// As [`call`].
pub fn within<F: Fn() + Sync>(domain: usize, work: &F) -> io::Result<bool> {
    extern "C" fn run<F: Fn()>(work: usize, _: usize, _: usize) -> u64 {
        // SAFETY: `within` passes its own work, which outlives the call.
        (unsafe { &*(work as *const F) })();
        0
    }
    Ok(call(domain, run::<F>, std::ptr::from_ref(work) as usize, 0, false)? != DIED)
}

/// Waits for an event, with the domain that the thread is in knowing of it: if a domain dies that waits for this one,
/// the thread need not wait any longer.
pub fn parked(wait: impl FnOnce()) {
    match (here(), Thread::current()) {
        (domain, Some(thread)) if domain >= FIRST => {
            thread.slot(domain).parked.store(true, Release);
            wait();
            thread.slot(domain).parked.store(false, Release);
        }
        _ => wait(),
    }
}

/// Does something with rights to everything, outside any domain and without entering one meanwhile.
pub fn raised<R>(work: impl FnOnce() -> R) -> R {
    assert_eq!(here(), COMMON, "a domain raises no rights: it asks outside");
    // SAFETY: this is the core's own code; all rights reach its stack and everything else.
    unsafe { gate::set_rights(Rights::ALL.0) };
    let result = work();
    // SAFETY: the core's own rights, which reach its stack.
    unsafe { gate::set_rights(gate::PKRU[COMMON].load(Relaxed)) };
    result
}

/// The host writes to a thread's area for restartable sequences whenever it moves the thread, with the thread's rights:
/// inside a domain it must not.
///
/// # Safety
/// From now on nobody may use such sequences on this thread; the C library then asks the host for its core's number.
unsafe fn leave_rseq() {
    const UNREGISTER: i32 = 1;
    const SIGNATURE: u32 = 0x5305_3053;
    // SAFETY: names of the C library's, if it is new enough to have them; offset and size are plain numbers there, and
    // the area lies at that offset from the thread pointer, which the first word of the thread's block holds.
    unsafe {
        let offset = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()).cast::<isize>();
        let size = libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_size".as_ptr()).cast::<u32>();
        if offset.is_null() || size.is_null() || *size == 0 {
            return;
        }
        let pointer: *mut u8;
        std::arch::asm!("mov {}, fs:[0]", out(reg) pointer, options(nostack, preserves_flags, readonly));
        let area = pointer.offset(*offset);
        // The size that was registered is at least that of the first version.
        libc::syscall(libc::SYS_rseq, area, (*size).max(32), UNREGISTER, SIGNATURE);
    }
}
