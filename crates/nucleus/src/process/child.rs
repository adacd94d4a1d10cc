//! Processes: fork, their end, and what becomes of them with their parent.
//!
//! Only single-threaded processes fork here (the zygote and each boot's root), so a child may use everything it finds.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::cpu_time;

/// The name of a boot's root process.
pub const ROOT: &str = "kd-root";

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

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
        }
    }
}

/// Sends a signal to the process behind a pidfd, if it is still there.
pub fn signal(pidfd: RawFd, signal: i32) {
    // SAFETY: plain system call; the host knows whom a pidfd stands for.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, signal, 0, 0) };
}

/// Ends the process at once: no destructor, no buffer, no handler runs.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Ends the calling thread where it stands: no destructor runs, its stack stays.
pub fn exit_thread() -> ! {
    loop {
        // SAFETY: ends the calling thread alone; what it held stays held, which is what callers want.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
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

/// Names this process for `ps`.
pub fn set_name(name: &str) {
    if let Ok(name) = std::ffi::CString::new(name) {
        // SAFETY: a valid C string; the host copies at most 16 bytes.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    }
}
