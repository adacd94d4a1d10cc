//! What the host tells of a process.

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// CPU time a process has used so far, over all its threads; zero if there is no such process.
pub fn cpu_time(pid: i32) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both pointers are to live values; failures leave zeros.
    unsafe {
        if libc::clock_getcpuclockid(pid, &raw mut clock) == 0 {
            libc::clock_gettime(clock, &raw mut time);
        }
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time that a thread of this process has used so far; zero if there is no such thread.
pub fn thread_cpu_time(thread: i32) -> Duration {
    // The host's number of a clock: its kind in the lowest three bits, here "of a thread" and "as scheduled".
    let clock = !thread << 3 | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value; a failure leaves zeros.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How many times the CPU time of a real processor things may take on this one: an emulated one is slower, and its host
/// takes time from it that it counts as its own.
pub fn slowness() -> u32 {
    static EMULATED: OnceLock<bool> = OnceLock::new();
    let ask = || std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU TCG"));
    if *EMULATED.get_or_init(ask) { 400 } else { 1 }
}

/// Bytes that a process has for itself alone, as the host counts them; 0 if it is gone.
pub fn own_bytes(pid: i32) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages = |word: usize| statm.split(' ').nth(word).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0);
    const PAGE: usize = 4096;
    pages(1).saturating_sub(pages(2)) * PAGE
}

/// Context switches of a process so far (voluntary and not), over its living threads.
pub fn context_switches(pid: i32) -> u64 {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    let count = |status: String| -> u64 {
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        switches.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum()
    };
    tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok()).map(count).sum()
}

/// The host's one-letter state of a process (`R`, `S`, `T`, ...), if there is one.
pub fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().next()?.chars().next()
}

/// How many threads a process has, if there is one.
pub fn thread_count(pid: i32) -> Option<usize> {
    let tasks = std::fs::metadata(format!("/proc/{pid}/task")).ok()?;
    // A folder has two names of its own, and each thread is a folder in this one.
    usize::try_from(std::os::unix::fs::MetadataExt::nlink(&tasks)).ok()?.checked_sub(2)
}

/// Whether any thread of a process runs or waits for a core.
pub fn is_runnable(pid: i32) -> bool {
    any_runnable(pid, |_| true)
}

/// The same of all threads but the first, which in a kernel of one process looks after the others and does no work itself.
pub fn has_work(pid: i32) -> bool {
    let first = pid.to_string();
    any_runnable(pid, |thread| thread.as_encoded_bytes() != first.as_bytes())
}

fn any_runnable(pid: i32, wanted: impl Fn(&std::ffi::OsStr) -> bool) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| wanted(&task.file_name()) && is_running(&task.path()))
}

/// Whether a thread runs or waits for a core, by its folder.
fn is_running(task: &Path) -> bool {
    let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('R'))
}

/// Copies bytes of another process's memory that it may read itself; the host is asked for nothing in `/proc`, whose
/// entries take it long to put away when a process ends.
///
/// # Errors
/// The host's, if not all of them are mapped, or the process is gone or may not be looked at.
pub fn copy_from(pid: i32, address: usize, bytes: &mut [u8]) -> io::Result<()> {
    let ours = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let theirs = libc::iovec { iov_base: address as *mut _, iov_len: bytes.len() };
    // SAFETY: `ours` is live and writable for as long as the call; the host checks what is theirs.
    match unsafe { libc::process_vm_readv(pid, &raw const ours, 1, &raw const theirs, 1, 0) } {
        -1 => Err(io::Error::last_os_error()),
        count if count as usize == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
