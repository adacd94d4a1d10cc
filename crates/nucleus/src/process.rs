//! Processes of the host: fork, death notices, CPU time, affinity.
//!
//! Only single-threaded processes fork here (the zygote and each boot's root), so a child may use everything it finds.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A child process: killed when dropped, and waited for.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    exit: Option<Exit>,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By `exit` with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit {code}"),
            Exit::Signal(signal) => f.write_str(signal_name(*signal)),
        }
    }
}

/// A signal's name.
pub fn signal_name(signal: i32) -> &'static str {
    match signal {
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGBUS => "SIGBUS",
        libc::SIGILL => "SIGILL",
        libc::SIGFPE => "SIGFPE",
        libc::SIGABRT => "SIGABRT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS",
        _ => "another signal",
    }
}

/// Forks; the child runs `body` and exits with its result, and is killed when this process ends.
///
/// # Errors
/// The host's, for want of processes or descriptors.
pub fn fork(body: impl FnOnce() -> i32) -> io::Result<Child> {
    let parent = std::process::id();
    // SAFETY: this process has one thread (the module's rule), so the child finds no lock held by a vanished one.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            die_with_parent(parent);
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            exit_now(code)
        }
        pid => {
            // SAFETY: plain system call; the child is ours and not yet waited for, so the number is its own.
            let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: a fresh descriptor.
            let pidfd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
            Ok(Child { pid, pidfd, exit: None })
        }
    }
}

/// Lets the program that this process is about to execute have a descriptor.
pub fn bequeath(fd: RawFd) {
    // SAFETY: clears close-on-exec of a descriptor; nothing else is changed.
    unsafe { libc::fcntl(fd, libc::F_SETFD, 0) };
}

/// Takes a descriptor over that [`bequeath`] left to this program: each once, and before it opens any itself.
pub fn inherit(fd: RawFd) -> OwnedFd {
    // SAFETY: whoever executed this program left the descriptor open for it, and nobody else here knows of it.
    unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        OwnedFd::from_raw_fd(fd)
    }
}

/// Ends the process at once: no destructor, no buffer, no handler runs.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Asks the host to kill this process when its parent ends; ends it now if that has happened already.
pub fn die_with_parent(parent: u32) {
    // SAFETY: plain system calls.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid() as u32 != parent {
            libc::_exit(1);
        }
    }
}

/// From now on neither its parent's end nor what a terminal sends to all that it started ends this process: for one that
/// has something to put away at the end, and notices that by other means.
pub fn outlive_parent() {
    // SAFETY: plain system calls; SIG_IGN runs no code of ours.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, 0);
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
            libc::signal(signal, libc::SIG_IGN);
        }
    }
}

/// From now on what this process, and those forked from it, write to the standard streams goes nowhere: a program that is
/// broken on purpose has nothing to say.
pub fn silence() -> io::Result<()> {
    let nowhere = std::fs::File::options().read(true).write(true).open("/dev/null")?;
    for stream in 0..3 {
        // SAFETY: plain system call; the standard streams are nobody's property.
        if unsafe { libc::dup2(nowhere.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The name of a boot's root process.
pub const ROOT: &str = "kd-root";

/// Names this process for `ps`.
pub fn set_name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        // SAFETY: a valid C string; the host copies at most 16 bytes.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}

impl Child {
    /// Its process number.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Readable once it has ended.
    pub fn pidfd(&self) -> i32 {
        self.pidfd.as_raw_fd()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        self::signal(self.pidfd(), signal);
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> Option<Exit> {
        self.reap(libc::WNOHANG)
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Exit {
        self.reap(0).unwrap_or(Exit::Code(-1))
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) -> Exit {
        self.signal(libc::SIGKILL);
        self.wait()
    }

    fn reap(&mut self, flags: i32) -> Option<Exit> {
        if self.exit.is_none() {
            let mut status = 0;
            // SAFETY: our own child, not yet waited for; `status` is live.
            let pid = unsafe { libc::waitpid(self.pid, &raw mut status, flags) };
            if pid == self.pid {
                let by_signal = libc::WIFSIGNALED(status);
                let (signal, code) = (libc::WTERMSIG(status), libc::WEXITSTATUS(status));
                self.exit = Some(if by_signal { Exit::Signal(signal) } else { Exit::Code(code) });
            }
        }
        self.exit
    }

    /// CPU time it has used so far, over all its threads, living and dead.
    pub fn cpu_time(&self) -> Duration {
        cpu_time(self.pid)
    }
}

/// Sends a signal to the process behind a pidfd, if it is still there.
pub fn signal(pidfd: RawFd, signal: i32) {
    // SAFETY: plain system call; the host knows whom a pidfd stands for.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, 0, 0) };
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
        }
    }
}

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
    let state = |stat: String| stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    let mut tasks = tasks.flatten().filter(|task| wanted(&task.file_name()));
    tasks.any(|task| std::fs::read_to_string(task.path().join("stat")).ok().and_then(state) == Some('R'))
}

/// Gives the threads of a process that run now no more of any core than nobody else wants: one that loops without end is
/// not to slow down those that do not. To be undone before the process is to end, for which it takes a core as well.
pub fn set_aside(pid: i32) {
    schedule(pid, libc::SCHED_IDLE, |state| state == 'R');
}

/// Undoes [`set_aside`].
pub fn bring_back(pid: i32) {
    schedule(pid, libc::SCHED_OTHER, |_| true);
}

/// The same for one thread, 0 for the calling one, that the host knows by this number.
pub fn bring_back_thread(thread: i32) {
    schedule_thread(thread, libc::SCHED_OTHER);
}

/// Sets how those threads of a process are scheduled that are in some state.
fn schedule(pid: i32, policy: i32, wanted: impl Fn(char) -> bool) {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return };
    for task in tasks.flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
        let thread = task.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(thread) = thread.filter(|_| state.is_some_and(&wanted)) else { continue };
        schedule_thread(thread, policy);
    }
}

fn schedule_thread(thread: i32, policy: i32) {
    // SAFETY: plain system call, on live parameters; these policies take all zeros. A thread that is gone is an error nobody needs.
    unsafe {
        let none: libc::sched_param = std::mem::zeroed();
        libc::sched_setscheduler(thread, policy, &raw const none);
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

/// Brings in the pages that this process is going to run and write, so that none of them is missing when time is short:
/// all code and constants, and private memory in pieces of up to `most` bytes, copied now instead of at the first write.
pub fn bring_in(most: usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines() {
        let mut words = line.split(' ');
        let range = words.next().and_then(|range| range.split_once('-'));
        let ends = range
            .and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
        let (Some((from, to)), Some(access)) = (ends, words.next()) else { continue };
        let advice = match access {
            "r-xp" | "r--p" => libc::MADV_POPULATE_READ,
            "rw-p" => libc::MADV_POPULATE_WRITE,
            // What is shared begins with what is used first.
            "rw-s" => libc::MADV_POPULATE_WRITE,
            _ => continue,
        };
        let len = match access {
            "r-xp" | "r--p" => to - from,
            "rw-p" => (to - from).min(most),
            _ => (to - from).min(4096),
        };
        // SAFETY: populating changes no byte; a host that does not know how leaves the pages to be brought in when used.
        unsafe { libc::madvise(from as *mut _, len, advice) };
    }
}

/// Bytes of addresses that this process has, or that the one had from which it was forked, if that asked before.
///
/// # Errors
/// The host does not tell.
pub fn measure() -> io::Result<u64> {
    const PAGE: u64 = 4096;
    static BYTES: OnceLock<u64> = OnceLock::new();
    if let Some(&bytes) = BYTES.get() {
        return Ok(bytes);
    }
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').next().and_then(|pages| pages.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(*BYTES.get_or_init(|| pages * PAGE))
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

/// Limits what this process may take of the host from now on: so many bytes of addresses more than [`measure`] says, so
/// many descriptors, no core file. Threads count by their stacks.
///
/// # Errors
/// The host's; the limits set before stay.
pub fn limit(more_bytes: usize, descriptors: u64) -> io::Result<()> {
    let limits =
        [(libc::RLIMIT_AS, measure()? + more_bytes as u64), (libc::RLIMIT_NOFILE, descriptors), (libc::RLIMIT_CORE, 0)];
    for (resource, most) in limits {
        let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: the limit is live.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes the calling thread alone give way to others, 19 the most. A thread of no privilege cannot take that back.
pub fn be_nice(niceness: i32) {
    // SAFETY: plain system calls; a host that refuses leaves the thread as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, libc::gettid() as libc::id_t, niceness) };
}

/// Whether the calling thread, when it is woken, takes a core from nobody who is at work.
pub fn let_others_finish(yes: bool) {
    schedule_thread(0, if yes { libc::SCHED_BATCH } else { libc::SCHED_OTHER });
}

/// Waits until one of the descriptors is readable, at most `limit`; returns which are.
pub fn poll(fds: &[i32], limit: Option<Duration>) -> Vec<bool> {
    let entry = |&fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    let mut entries: Vec<_> = fds.iter().map(entry).collect();
    let limit = limit.map(|limit| libc::timespec { tv_sec: limit.as_secs() as _, tv_nsec: limit.subsec_nanos() as _ });
    let limit = limit.as_ref().map_or(std::ptr::null(), |limit| limit as *const _);
    // SAFETY: the vector and the limit are live.
    unsafe { libc::ppoll(entries.as_mut_ptr(), entries.len() as _, limit, std::ptr::null()) };
    entries.iter().map(|entry| entry.revents != 0).collect()
}

/// Closes every descriptor but the standard three: a domain needs none, its memory is mapped.
pub fn close_descriptors() {
    close_range(3, u32::MAX);
}

/// The same, but for some above the standard three.
pub fn close_descriptors_but(kept: impl IntoIterator<Item = RawFd>) {
    let mut kept: Vec<u32> = kept.into_iter().map(|fd| fd as u32).collect();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        close_range(first, fd - 1);
        first = fd + 1;
    }
    close_range(first, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    if first <= last {
        // SAFETY: whatever owned a descriptor in this forked process is never dropped, since it ends without unwinding.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Ends the calling thread where it stands: no destructor runs, its stack stays.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: ends the calling thread alone; what it held stays held, which is what callers want.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
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
