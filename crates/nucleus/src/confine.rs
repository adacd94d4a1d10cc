//! Confinement of a process whose code is broken on purpose: what its threads may ask of the host from now on.
//!
//! A wild jump may end at any system call of the C library with any arguments, and two flipped bits may make one. What a
//! kernel needs of the host goes through a filter (`seccomp(2)`): its own memory, its own threads, its own descriptors,
//! files to read. Everything else, such as a signal to another process, a file opened to be written, a name removed, a
//! program started, is not done: the thread gets `SIGSYS` at that instruction, a fault as any other. Every kernel is
//! confined by the same table.
//!
//! Left to others: how much of each it takes ([`crate::process::limit`]), and what it writes to descriptors that it has.

use std::io;

/// On which condition a system call is made.
enum If {
    /// None.
    Always,
    /// An argument, by its number, is this.
    Is(u32, u32),
    /// It has this bit.
    Has(u32, u32),
    /// It has none of these.
    Lacks(u32, u32),
    /// Never; its caller is told this errno and knows another way.
    Refused(u32),
}
use If::*;

/// What opening a file for more than reading takes.
const CHANGES: i32 = libc::O_WRONLY | libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_APPEND;

/// `ARCH_SET_GS`
#[cfg(target_arch = "x86_64")]
const SET_GS: u32 = 0x1001;

/// The table, what is asked most first. `me` is this process.
fn table(me: u32) -> Vec<(i64, If)> {
    let free = [
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_ppoll,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_set_robust_list,
        libc::SYS_rseq,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_close,
        libc::SYS_close_range,
        libc::SYS_getpid,
        libc::SYS_getppid,
        libc::SYS_gettid,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_getrandom,
        libc::SYS_sched_getaffinity,
        libc::SYS_membarrier,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_lseek,
        libc::SYS_newfstatat,
        libc::SYS_fstat,
        libc::SYS_statx,
        libc::SYS_getdents64,
        libc::SYS_memfd_create,
        libc::SYS_ftruncate,
        libc::SYS_fallocate,
        libc::SYS_pkey_alloc,
        libc::SYS_pkey_free,
        libc::SYS_pkey_mprotect,
    ];
    let mut all: Vec<(i64, If)> = free.into_iter().map(|call| (call, Always)).collect();
    all.extend([
        (libc::SYS_openat, Lacks(2, CHANGES as u32)),
        (libc::SYS_fcntl, Is(1, libc::F_DUPFD_CLOEXEC as u32)),
        (libc::SYS_fcntl, Is(1, libc::F_GETFD as u32)),
        (libc::SYS_prctl, Is(0, libc::PR_SET_NAME as u32)),
        // Threads, no processes. What the filter cannot look into is done the old way.
        (libc::SYS_clone, Has(0, libc::CLONE_THREAD as u32)),
        (libc::SYS_clone3, Refused(libc::ENOSYS as u32)),
        // It ends itself.
        (libc::SYS_kill, Is(0, me)),
        (libc::SYS_tgkill, Is(0, me)),
    ]);
    #[cfg(target_arch = "x86_64")]
    all.extend([
        (libc::SYS_pause, Always),
        // Where a thread that enters domains by protection keys has its record.
        (libc::SYS_arch_prctl, Is(0, SET_GS)),
    ]);
    all
}

/// Confines this process, all its threads, for good.
///
/// # Errors
/// The host's, if it knows no such filter.
pub fn confine() -> io::Result<()> {
    let mut program = program(&table(std::process::id()));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain system calls; the program is live, and the host copies it.
    let done = unsafe {
        match libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) {
            0 => libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const filter,
            ),
            _ => -1,
        }
    };
    match done {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => Err(io::Error::other(format!("thread {thread} has a filter of its own"))),
    }
}

/// Where `struct seccomp_data` has a call's number, its architecture, and the lower half of an argument.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const fn argument(number: u32) -> u32 {
    16 + 8 * number
}
/// `AUDIT_ARCH_X86_64` or `AUDIT_ARCH_AARCH64`.
const OURS: u32 = if cfg!(target_arch = "x86_64") { 0xC000_003E } else { 0xC000_00B7 };

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ANY_BIT: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const ANSWER: u32 = libc::BPF_RET | libc::BPF_K;

/// The table as the host wants it: an entry after the other, each left by a yes, or passed by; behind the last is a no.
fn program(table: &[(i64, If)]) -> Vec<libc::sock_filter> {
    let step = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let branch = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let (yes, no) = (step(ANSWER, libc::SECCOMP_RET_ALLOW), step(ANSWER, libc::SECCOMP_RET_TRAP));
    let mut all = vec![step(LOAD, ARCHITECTURE), branch(EQUAL, OURS, 1, 0), no, step(LOAD, NUMBER)];
    for (call, condition) in table {
        let asked = |of: u32, test| vec![step(LOAD, argument(of)), test, yes, step(LOAD, NUMBER)];
        let body = match *condition {
            Always => vec![yes],
            Is(of, value) => asked(of, branch(EQUAL, value, 0, 1)),
            Has(of, bit) => asked(of, branch(ANY_BIT, bit, 0, 1)),
            Lacks(of, bits) => asked(of, branch(ANY_BIT, bits, 1, 0)),
            Refused(errno) => vec![step(ANSWER, libc::SECCOMP_RET_ERRNO | errno)],
        };
        all.push(branch(EQUAL, *call as u32, 0, body.len() as u8));
        all.extend(body);
    }
    all.push(no);
    all
}
