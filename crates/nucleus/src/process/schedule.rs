//! Which cores a thread may use, and who goes first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Makes one thread alone, 0 the calling one, give way to others, 19 the most. No privilege is needed for that, but for
/// taking it back. One that is gone, or another's, is left as it is.
pub fn be_nice(thread: i32, niceness: i32) {
    // SAFETY: takes numbers alone, and changes when a thread runs, not what it does; a refusal leaves it as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread as libc::id_t, niceness) };
}

/// Whether the calling thread, when it is woken, takes a core from nobody who is at work.
pub fn let_others_finish(yes: bool) {
    let policy = if yes { libc::SCHED_BATCH } else { libc::SCHED_OTHER };
    // SAFETY: plain system call, on live parameters; these policies take all zeros.
    unsafe {
        let none: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(0, policy, &raw const none);
    }
}

/// Binds a whole process (0: this one), all its threads, to the given cores; what it forks later inherits them.
pub fn bind(pid: i32, cores: &[usize]) {
    // SAFETY: an all-zero set is empty.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores {
        // SAFETY: `CPU_SET` ignores cores beyond the set.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    let pid = if pid == 0 { std::process::id() as i32 } else { pid };
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        if let Some(tid) = task.file_name().to_str().and_then(|tid| tid.parse().ok()) {
            // SAFETY: the set is live; a thread that is gone meanwhile is an error nobody needs.
            unsafe { libc::sched_setaffinity(tid, size_of::<libc::cpu_set_t>(), &raw const set) };
        }
    }
}

/// Binds the calling thread alone to the given cores; threads that it starts later inherit them.
pub fn bind_thread(cores: &[usize]) {
    // SAFETY: an all-zero set is empty; `CPU_SET` ignores cores beyond the set; the set is live.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        cores.iter().for_each(|&core| libc::CPU_SET(core, &mut set));
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set);
    }
}

/// Whether this process may use one core only. Asked again every few thousand calls: whoever binds it may change that.
pub fn has_one_core() -> bool {
    const ASK_EVERY: u32 = 4096;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static ONE: AtomicBool = AtomicBool::new(false);
    // Counted without an atomic addition: a lost count only delays the question.
    let calls = CALLS.load(Relaxed);
    CALLS.store(calls.wrapping_add(1), Relaxed);
    if calls.is_multiple_of(ASK_EVERY) {
        // SAFETY: an all-zero set is empty; the host fills it.
        let cores = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set);
            libc::CPU_COUNT(&set)
        };
        ONE.store(cores == 1, Relaxed);
    }
    ONE.load(Relaxed)
}
