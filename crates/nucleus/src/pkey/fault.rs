//! Faults in domains: the host's signal becomes the end of the call.
//!
//! The handler runs on a stack of its own. It asks the thread's slots which domain it is in, condemns that domain, and
//! has the thread go on in the gate's way back to the caller, with the news in its register. Nothing of the domain is
//! unwound, no destructor runs. A fault outside domains is the core's, and ends the process as ever.
//!
//! A panic in a domain comes here as well: the first thing that the standard library does is to count it, in memory that
//! no domain writes.

use std::io;
use std::sync::atomic::Ordering::*;

use super::domain::{self, Fault, State};
use super::thread::{self, Chain, DIED, Thread};
use super::{FIRST, gate, space};
use crate::mutant;

/// The faults of the processor, and `abort`.
const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];

/// Asks a thread to leave domains that are dead.
fn leave_signal() -> i32 {
    libc::SIGRTMIN() + 5
}

/// Installs the handler for all threads of this process.
pub(super) fn install() -> io::Result<()> {
    for signal in FAULTS.into_iter().chain([leave_signal()]) {
        // SAFETY: the handler has the type that SA_SIGINFO asks for and calls only what is safe in a handler; nothing
        // interrupts it, since it blocks every signal.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = gate::signal_entry as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigfillset(&raw mut action.sa_mask);
            if libc::sigaction(signal, &raw const action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The handler proper, with all rights.
pub(super) extern "C" fn handle(signal: i32, info: *const libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes valid pointers to a handler installed with SA_SIGINFO.
    let (registers, address) =
        unsafe { (&mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs, (*info).si_addr() as usize) };
    if signal == libc::SIGTRAP && mutant::meet(registers) {
        return;
    }
    let Some(thread) = Thread::current() else { return give_up(signal) };
    let instruction = registers[libc::REG_RIP as usize] as usize;
    // Within a gate the slots are ahead of the stack, or behind.
    let on = space::domain_of_stack(registers[libc::REG_RSP as usize] as usize);
    let chain = if on < FIRST { thread.chain() } else { thread.chain().up_to(on) };
    let left = if signal == leave_signal() {
        let dead = |number: &usize| {
            *number >= FIRST && (domain::get(*number).state() != State::Alive || thread.is_diverted(*number))
        };
        let Some(dead) = chain.iter().find(dead) else { return };
        if !may_leave(thread, &chain, dead) {
            if chain.innermost() != dead {
                thread.divert(dead);
            }
            return;
        }
        dead
    } else {
        let innermost = chain.innermost();
        if innermost < FIRST {
            return give_up(signal);
        }
        if instruction != gate::bail as *const () as usize {
            domain::get(innermost).condemn(Fault { signal, address, instruction });
        }
        innermost
    };
    thread.forget(&chain, left);
    registers[libc::REG_RIP as usize] = gate::RESUME[chain.caller_of(left)] as *const () as i64;
    registers[libc::REG_RAX as usize] = DIED as i64;
}

/// Whether a thread may leave a dead domain at once: if it is there itself, or if all that it waits for is an event.
fn may_leave(thread: &Thread, chain: &Chain, dead: usize) -> bool {
    let innermost = chain.innermost();
    if innermost == dead {
        return true;
    }
    let mut calls = chain.iter().skip_while(|domain| *domain != dead).filter(|domain| *domain != innermost);
    innermost >= FIRST
        && thread.slot(innermost).parked.load(Acquire)
        && calls.all(|domain| thread.slot(domain).blocking.load(Acquire))
}

/// Signals every thread that is in a dead domain; returns how many have neither left nor will by themselves.
pub(super) fn expel(domain: usize) -> usize {
    let within = |thread: &&Thread| {
        let chain = thread.chain();
        let comes_back = chain.innermost() != domain && thread.is_diverted(domain);
        chain.contains(domain) && !comes_back
    };
    thread::all().filter(within).map(ask_to_leave).count()
}

/// Signals threads that wait for an event on behalf of a domain which is no more.
pub(super) fn expel_stragglers() {
    let waits_in_vain = |thread: &&Thread| {
        let chain = thread.chain();
        let parked = thread.slot(chain.innermost()).parked.load(Acquire);
        parked && chain.iter().any(|domain| domain >= FIRST && thread.is_diverted(domain))
    };
    thread::all().filter(waits_in_vain).for_each(ask_to_leave);
}

fn ask_to_leave(thread: &Thread) {
    // SAFETY: plain system call; a thread that is gone meanwhile is an error nobody needs.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread.id(), leave_signal()) };
}

/// Lets the host do what it does to processes without a handler: the instruction, or the call of `raise`, is repeated.
fn give_up(signal: i32) {
    if FAULTS.contains(&signal) {
        // SAFETY: plain call.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}
