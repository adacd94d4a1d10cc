//! The gates: the only instructions that change a thread's rights.
//!
//! A thread enters a domain through the gate of the domain it is in, and comes back the same way: registers saved on its
//! stack, its stack pointer in its *slot* there, the callee's rights, the callee's stack, a call, and back. Two changes
//! of PKRU for a round trip, no system call, no allocation, nothing shared written.
//!
//! Each domain has a gate of its own, in which its number is a constant. So what a thread finds when it comes back does
//! not depend on anything the callee could write: the rights come from [`PKRU`], which no domain writes, and the stack
//! pointer from the caller's own slot, found by the segment register GS, which points at the thread's table of slots.
//! The way back ([`resume`]) is also how a call is abandoned: whoever lets a thread go on there, whatever it did until
//! then, has it return from the gate with the result it finds in its register.
//!
//! Floating-point control is not saved: no component changes it. Registers that hold nothing for the callee are cleared.

use std::arch::naked_asm;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::DOMAINS;
use super::keys::{Key, Rights};

/// What a domain runs for a call: two words, and the number of the domain that the thread comes from.
pub type Entry = extern "C" fn(first: usize, second: usize, caller: usize) -> u64;

/// The rights of each domain.
pub(super) static PKRU: [AtomicU32; DOMAINS] = [const { AtomicU32::new(0) }; DOMAINS];

type Gate = unsafe extern "C" fn(callee: usize, entry: Entry, first: usize, second: usize) -> u64;
type Resume = unsafe extern "C" fn() -> !;

macro_rules! each_domain {
    ($of:ident) => {
        [
            $of::<0>, $of::<1>, $of::<2>, $of::<3>, $of::<4>, $of::<5>, $of::<6>, $of::<7>, $of::<8>, $of::<9>,
            $of::<10>, $of::<11>, $of::<12>, $of::<13>, $of::<14>, $of::<15>,
        ]
    };
}

/// Each domain's gate, for threads that are in it.
pub(super) static GATES: [Gate; DOMAINS] = each_domain!(gate);
/// Each domain's way back.
pub(super) static RESUME: [Resume; DOMAINS] = each_domain!(resume);

/// Calls `entry` in the domain `callee`.
///
/// # Safety
/// The thread is in domain `OWN`, on its stack there (any stack for domain 0), its GS points at its own slots, and
/// `callee` is a domain that it is not in already, not even further up.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
unsafe extern "C" fn gate<const OWN: usize>(callee: usize, entry: Entry, first: usize, second: usize) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rbx, rdx",
        "mov r12, rcx",
        // The own slot: where the stack is, one call more, and, last, whom it calls.
        "mov r8, gs:[8 * {own}]",
        "mov [r8], rsp",
        "inc qword ptr [r8 + 16]",
        "mov [r8 + 8], rdi",
        "mov r9, gs:[8 * rdi]",
        "lea r10, [rip + {pkru}]",
        "xor ecx, ecx",
        "xor edx, edx",
        "mov eax, [r10 + 4 * rdi]",
        "wrpkru",
        // Whoever jumped to the instruction above with rights of his own choice is not let through.
        "cmp eax, [r10 + 4 * rdi]",
        "jne 2f",
        "mov rsp, r9",
        "mov r11, rsi",
        "mov rdi, rbx",
        "mov rsi, r12",
        "mov edx, {own}",
        "xor eax, eax",
        "xor ebx, ebx",
        "xor ebp, ebp",
        "xor r8d, r8d",
        "xor r9d, r9d",
        "xor r10d, r10d",
        "xor r12d, r12d",
        "xor r13d, r13d",
        "xor r14d, r14d",
        "xor r15d, r15d",
        "call r11",
        "jmp {resume}",
        "2: ud2",
        own = const OWN,
        pkru = sym PKRU,
        resume = sym resume::<OWN>,
    )
}

/// Returns from this domain's gate with the result in RAX, wherever the thread was.
///
/// # Safety
/// The thread is inside a call through this domain's gate.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
unsafe extern "C" fn resume<const OWN: usize>() -> ! {
    naked_asm!(
        "mov r11, rax",
        "lea r10, [rip + {pkru}]",
        "xor ecx, ecx",
        "xor edx, edx",
        "mov eax, [r10 + 4 * {own}]",
        "wrpkru",
        "cmp eax, [r10 + 4 * {own}]",
        "jne 2f",
        "mov r8, gs:[8 * {own}]",
        "mov rsp, [r8]",
        "mov qword ptr [r8 + 8], 0",
        "mov rax, r11",
        "cld",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        "2: ud2",
        own = const OWN,
        pkru = sym PKRU,
    )
}

/// Where a thread ends up that comes back to a domain which is no more; see [`super::fault`].
///
/// # Safety
/// Reached by a return alone, in a domain.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
pub(super) unsafe extern "C" fn bail() -> ! {
    naked_asm!("ud2")
}

/// Where the host enters a signal handler: with the rights of a fresh thread, which reach neither the signal stack nor
/// what the handler looks at. So it takes all rights before it touches any memory.
///
/// # Safety
/// Entered by the host alone.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
pub(super) unsafe extern "C" fn signal_entry() -> ! {
    naked_asm!(
        "mov r8, rdx",
        "xor eax, eax",
        "xor ecx, ecx",
        "xor edx, edx",
        "wrpkru",
        "mov rdx, r8",
        "jmp {handler}",
        handler = sym super::fault::handle,
    )
}

/// Sets the calling thread's rights.
///
/// # Safety
/// For the core's own code outside any domain: what it does with more rights than it should have is its own concern, and
/// with fewer it may lose its stack.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
pub(super) unsafe extern "C" fn set_rights(rights: u32) {
    naked_asm!("mov eax, edi", "xor ecx, ecx", "xor edx, edx", "wrpkru", "ret")
}

/// Changes the calling thread's rights to and fro so many times and does nothing else: what no gate can beat. It begins
/// and ends with those of the core.
pub fn change_rights(times: u64) {
    // SAFETY: outside domains these are the rights that the thread has, and it is in none, since they reach its stack; a
    // thread within one lacks its stack afterwards, and faults there as it may at any instruction.
    unsafe { change_and_back(times.max(1), PKRU[super::COMMON].load(Relaxed)) };
}

/// # Safety
/// As for [`set_rights`]; at least once.
#[unsafe(naked)]
#[unsafe(link_section = "kd_gate")]
unsafe extern "C" fn change_and_back(times: u64, rights: u32) {
    naked_asm!(
        "xor ecx, ecx",
        "xor edx, edx",
        "2: mov eax, {other}",
        "wrpkru",
        "mov eax, esi",
        "wrpkru",
        "dec rdi",
        "jnz 2b",
        "ret",
        // They still reach the stack.
        other = const Rights::NONE.writing(Key::COMMON).0,
    )
}

unsafe extern "C" {
    #[link_name = "__start_kd_gate"]
    static START: u8;
    #[link_name = "__stop_kd_gate"]
    static STOP: u8;
}

/// Where all of this lies: the addresses that may hold instructions which change rights.
pub fn extent() -> std::ops::Range<usize> {
    // The linker defines both ends of a section with such a name; only their addresses are taken.
    (&raw const START) as usize..(&raw const STOP) as usize
}
