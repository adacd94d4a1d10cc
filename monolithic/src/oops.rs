//! Oops: what becomes of a fault in kernel code.
//!
//! As in Linux, the faulting thread is left for good: a handler on another stack notes where and what, tells the app on
//! whose behalf the thread ran that it was killed, and ends the thread. Nothing is unwound, no destructor runs, locks
//! stay held. The kernel goes on, tainted. With `panic_on_oops`, or when no app can be blamed, the machine ends.
//!
//! A panic of Rust code takes the same way, from the panic hook, before unwinding begins: Linux's `BUG()` does not
//! unwind either.

use std::sync::OnceLock;

use kd_api::Errno;
use kd_api::module::HostTable;
use kd_boot::hosted::{KernelPage, Oops};
use kd_boot::log;
use kd_boot::start::host_table;
use kd_machine::clock;
use kd_nucleus::{channel, mutant, process, threads};

static PAGE: OnceLock<&'static KernelPage> = OnceLock::new();

/// Bytes of the stack that a fault is handled on: it must work when the other one has overflowed.
const FAULT_STACK: usize = 64 * 1024;
/// The faults of the processor, `abort`, and what a process may not ask of the host.
const FAULTS: [i32; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGSYS];
/// Exit code of a kernel process that ended itself.
const PANIC_EXIT: i32 = 86;

/// What driver modules are given.
pub static HOST: HostTable = host_table(panicked);

/// Makes faults of this process oopses.
pub fn install(page: &'static KernelPage) {
    let _ = PAGE.set(page);
    for signal in FAULTS {
        // SAFETY: the handler has the type that SA_SIGINFO asks for and calls only what is safe in a handler; an
        // all-zero action with an empty mask is valid.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
    log::panics("kernel".into(), || die(Oops { at: clock::now(), signal: 0, address: 0, instruction: 0 }));
    threads::prepare_with(give_fault_stack);
}

/// Gives the calling thread a stack to handle faults on; it lives as long as the process.
fn give_fault_stack() {
    let stack: &'static mut [u8] = vec![0; FAULT_STACK].leak();
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: FAULT_STACK };
    // SAFETY: the memory is leaked, so it outlives the thread, and nobody else uses it.
    unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
}

extern "C" fn handler(signal: i32, info: *const libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes a valid context to a handler installed with SA_SIGINFO.
    if signal == libc::SIGTRAP && unsafe { mutant::meet_in(context) } {
        return;
    }
    // SAFETY: the host passes valid pointers to a handler installed with SA_SIGINFO.
    let (address, instruction) = unsafe { ((*info).si_addr() as u64, instruction(context)) };
    die(Oops { at: clock::now(), signal: signal as u64, address, instruction })
}

/// # Safety
/// `context` is the third argument of a signal handler.
unsafe fn instruction(context: *const libc::c_void) -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by this function's contract it points to a `ucontext_t`.
    unsafe {
        (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs[libc::REG_RIP as usize] as u64
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = context;
        0
    }
}

/// Leaves the faulting thread for good. Takes no lock, allocates nothing.
fn die(oops: Oops) -> ! {
    let Some(page) = PAGE.get() else { process::exit_now(PANIC_EXIT) };
    page.note(oops);
    if page.panic_on_oops() || !channel::abandon_current(Errno::EKILLED) {
        page.set_panicked();
        process::exit_now(PANIC_EXIT)
    }
    process::exit_thread()
}

/// A panic that a module's fence stopped.
extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    log::module_line(text, len);
    die(Oops { at: clock::now(), signal: 0, address: 0, instruction: 0 })
}
