//! Mutants: code that is changed at the moment when it is first executed.
//!
//! A place in the private text of a process gets a breakpoint, by this process or from outside. The first thread that comes there traps; the handler
//! does the [`Deed`], writes the bytes that belong there, notes the moment in memory that somebody outside reads, and lets
//! the thread go on at that very instruction. From then on nothing is in the way of the code but its fault. So
//! whether a fault was executed is known exactly, and alike in every kernel; until then the text is the shipped one.
//!
//! A breakpoint that is none of ours is a fault like any other: whoever handles faults here asks [`meet`] first.
//! Nothing of this happens in a process that was not asked for it.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::*};

use kd_machine::{clock, memory::Words};
use serde::{Deserialize, Serialize};

use crate::arena;

/// Longest instruction of the processor.
pub const LONGEST: usize = 15;
/// The instruction `int3`.
pub const BREAKPOINT: u8 = 0xCC;
/// Instances of one piece of code in one process: a component that is started anew there is loaded anew.
const PLACES: usize = 64;
const PAGE: usize = 4096;

/// A change of code, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mutant {
    /// Where, counted from where its file begins in memory.
    pub at: usize,
    /// What is there.
    pub original: Vec<u8>,
    /// What comes there: as many bytes.
    pub new: Vec<u8>,
    /// What happens besides, once.
    pub deed: Deed,
}

/// What the first execution does besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Inverts a bit of the object that the function works on, which its first argument points to: one on the heap, or
    /// nothing happens.
    Object(u32),
    /// Inverts a bit of the stack, counted from its top.
    Stack(u32),
    /// Inverts a bit of a variable: its place, counted as the mutant's is, and the bit.
    Variable(usize, u32),
    /// Takes memory from the heap until none is left, and keeps it. At a function's entry alone.
    Leak,
}

/// What the witness's words hold, in this order: activations, when the first one was, its process, then registers.
pub const ACTIVATIONS: usize = 0;
/// Nanoseconds of the machine's clock.
pub const WHEN: usize = 1;
/// The process it was in.
pub const PROCESS: usize = 2;
/// The registers then: [`REGISTERS`] in the order of their names.
pub const FIRST_REGISTER: usize = 3;
/// Names of registers, as many as are noted.
pub const REGISTERS: [&str; 18] = [
    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax", "rcx", "rsp",
    "rip", "eflags",
];
/// Words that are used here.
pub const WORDS: usize = FIRST_REGISTER + REGISTERS.len();

/// One mutant in this process.
struct Plan {
    original: Vec<u8>,
    new: Vec<u8>,
    deed: Deed,
    /// Where a place's variable lies, seen from it.
    distance: isize,
    witness: &'static Words,
}

/// Where it lies, and what became of it.
struct Place {
    at: AtomicUsize,
    state: AtomicU32,
}

const ARMED: u32 = 0;
const CHANGING: u32 = 1;
const CHANGED: u32 = 2;
const RESTORED: u32 = 3;

static PLAN: OnceLock<Plan> = OnceLock::new();
static PLACE: [Place; PLACES] = [const { Place { at: AtomicUsize::new(0), state: AtomicU32::new(ARMED) } }; PLACES];

/// Makes this process ready for a breakpoint in code whose file begins at `base`, and lays it if `now`; else that is for
/// somebody outside to do. Once more for every further instance of the code; the first mutant of a process stays its only one.
///
/// # Errors
/// `InvalidInput` if there is other code, or too many instances; the host's, if it keeps the text from being changed.
pub fn prepare(base: usize, mutant: &Mutant, witness: &'static Words, now: bool) -> io::Result<()> {
    let wrong = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    let Mutant { at, original, new, deed } = mutant;
    if original.is_empty() || original.len() > LONGEST || original.len() != new.len() {
        return wrong("a mutant is one instruction, and as long as what it takes the place of");
    }
    let variable = if let Deed::Variable(variable, _) = *deed { variable } else { *at };
    PLAN.get_or_init(|| Plan {
        original: original.clone(),
        new: new.clone(),
        deed: *deed,
        distance: variable as isize - *at as isize,
        witness,
    });
    let at = base + at;
    // Code that is not loaded anew keeps what it has, and a place that was cleaned stays clean.
    if places().any(|place| place.at.load(Acquire) == at) {
        return Ok(());
    }
    // SAFETY: the caller says that a file's code begins at `base`, in which `at` lies; reading text harms nobody.
    let there = unsafe { std::slice::from_raw_parts(at as *const u8, original.len()) };
    if there != original {
        return wrong("the code there is not what the mutant is for: wrong file, or changed already");
    }
    let Some(place) = PLACE.iter().find(|place| place.at.compare_exchange(0, at, AcqRel, Acquire).is_ok()) else {
        return wrong("too many instances of one component in one process");
    };
    place.state.store(ARMED, Release);
    install()?;
    if now { rewrite(at, &[BREAKPOINT]) } else { Ok(()) }
}

/// Puts the shipped code back, at every place: a fault that passes.
///
/// # Errors
/// The host's, if it keeps the text from being changed.
pub fn restore() -> io::Result<()> {
    let Some(plan) = PLAN.get() else { return Ok(()) };
    for place in places() {
        if place.state.swap(RESTORED, AcqRel) == RESTORED {
            continue;
        }
        rewrite(place.at.load(Acquire), &plan.original)?;
    }
    Ok(())
}

/// A thread's registers, as a signal handler is shown them.
#[cfg(target_arch = "x86_64")]
pub type Registers = [libc::greg_t; 23];

/// Whether a trap is a mutant's first execution: then it is one now, and the thread whose registers these are goes on
/// with it. To be called by handlers of `SIGTRAP`, with the right to write text.
#[cfg(target_arch = "x86_64")]
pub fn meet(registers: &mut Registers) -> bool {
    let rip = libc::REG_RIP as usize;
    let at = (registers[rip] as usize).wrapping_sub(1);
    let Some(plan) = PLAN.get() else { return false };
    let Some(place) = places().find(|place| place.at.load(Acquire) == at) else { return false };
    match place.state.compare_exchange(ARMED, CHANGING, AcqRel, Acquire) {
        Ok(_) => {}
        // A mutant may itself begin with the byte of a breakpoint.
        Err(CHANGED) if plan.new[0] == BREAKPOINT => return false,
        // Another thread was here first, and this one comes late.
        Err(_) => {
            while place.state.load(Acquire) == CHANGING {
                std::hint::spin_loop();
            }
            registers[rip] = at as i64;
            return true;
        }
    }
    note(plan.witness, registers);
    let changed = rewrite(at, &plan.new);
    place.state.store(CHANGED, Release);
    registers[rip] = at as i64;
    if changed.is_err() {
        // Text that cannot be written keeps its breakpoint, and the next trap here is a fault.
        return false;
    }
    commit(plan, at, registers);
    true
}

/// Notes the first activation and counts all.
#[cfg(target_arch = "x86_64")]
fn note(witness: &Words, registers: &Registers) {
    if witness.get(ACTIVATIONS).fetch_add(1, AcqRel) > 0 {
        return;
    }
    witness.get(PROCESS).store(std::process::id().into(), Relaxed);
    for (number, register) in registers.iter().take(REGISTERS.len()).enumerate() {
        witness.get(FIRST_REGISTER + number).store(*register as u64, Relaxed);
    }
    witness.get(WHEN).store(clock::now(), Release);
}

/// Does the deed.
#[cfg(target_arch = "x86_64")]
fn commit(plan: &Plan, at: usize, registers: &mut Registers) {
    let invert = |base: usize, bit: u32| {
        let byte = base + bit as usize / 8;
        // SAFETY: none: this is the fault. Whatever lies there is changed behind the back of whoever it belongs to; the
        // addresses are of the victim's own stack, statics or heap, so that the store itself happens.
        unsafe { AtomicU8::from_ptr(byte as *mut u8) }.fetch_xor(1 << (bit % 8), Relaxed);
    };
    let (rsp, rdi) = (libc::REG_RSP as usize, libc::REG_RDI as usize);
    match plan.deed {
        Deed::Nothing => {}
        Deed::Object(bit) => {
            let object = registers[rdi] as usize;
            if (arena::DIRECT_MAP..arena::place(arena::PLACES / 2)).contains(&object) {
                invert(object, bit);
            } else {
                plan.witness.get(ACTIVATIONS).store(0, Release);
            }
        }
        Deed::Stack(bit) => invert(registers[rsp] as usize, bit),
        Deed::Variable(_, bit) => invert(at.wrapping_add_signed(plan.distance), bit),
        Deed::Leak => {
            registers[rsp] -= 8;
            // SAFETY: at a function's entry what is below the stack pointer holds nothing; there lies room, or the
            // function itself would overflow the stack.
            unsafe { (registers[rsp] as *mut usize).write(at) };
            registers[libc::REG_RIP as usize] = leak_and_go_on as *const () as i64;
        }
    }
}

/// Takes memory until there is none, then goes on where the stack says, with every register as it was.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
extern "C" fn leak_and_go_on() {
    std::arch::naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rax",
        "push rcx",
        "push rdx",
        "push rsi",
        "push rdi",
        "push r8",
        "push r9",
        "push r10",
        "push r11",
        "and rsp, -16",
        "call {leak}",
        "lea rsp, [rbp - 72]",
        "pop r11",
        "pop r10",
        "pop r9",
        "pop r8",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop rcx",
        "pop rax",
        "pop rbp",
        "ret",
        leak = sym leak,
    )
}

/// Takes large pieces first, then small ones.
extern "C" fn leak() {
    for size in [1 << 20, 64 << 10, 4 << 10, 256, 16] {
        while !arena::module_allocate(size, 16).is_null() {}
    }
}

fn places() -> impl Iterator<Item = &'static Place> {
    PLACE.iter().take_while(|place| place.at.load(Acquire) != 0)
}

/// Writes code: the first byte last, so that until then whoever comes finds the breakpoint.
fn rewrite(at: usize, code: &[u8]) -> io::Result<()> {
    protect(at, code.len(), libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC)?;
    for (offset, &byte) in code.iter().enumerate().rev() {
        // SAFETY: private text of this process that was made writable; see the module's page on who executes it.
        unsafe { AtomicU8::from_ptr((at + offset) as *mut u8) }.store(byte, Release);
    }
    protect(at, code.len(), libc::PROT_READ | libc::PROT_EXEC)
}

/// Sets what may be done with the pages of an instruction.
fn protect(at: usize, len: usize, access: i32) -> io::Result<()> {
    let begin = at / PAGE * PAGE;
    let end = (at + len).next_multiple_of(PAGE);
    // SAFETY: pages of text, which stay readable and executable.
    match unsafe { libc::mprotect(begin as *mut _, end - begin, access) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Installs a handler of its own where there is none for traps.
fn install() -> io::Result<()> {
    // SAFETY: all-zero actions are valid; the handler has the type that SA_SIGINFO asks for and calls only what is safe
    // in a handler.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGTRAP, std::ptr::null(), &raw mut action) != 0 {
            return Err(io::Error::last_os_error());
        }
        if action.sa_sigaction == libc::SIG_DFL {
            action.sa_sigaction = trapped as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
            if libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
    }
    Ok(())
}

/// The handler of a process that handles no faults: what is not ours ends it, as ever.
extern "C" fn trapped(signal: i32, _: *const libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the host passes a valid context to a handler installed with SA_SIGINFO.
    let met = unsafe { meet_in(context) };
    if !met {
        // SAFETY: plain calls; the signal is delivered when the handler returns.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
    }
}

/// [`meet`], by the context of a handler.
///
/// # Safety
/// `context` is the third argument of a signal handler.
pub unsafe fn meet_in(context: *mut libc::c_void) -> bool {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: by this function's contract it points to a `ucontext_t` that nobody else uses.
    unsafe {
        meet(&mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = context;
        false
    }
}
