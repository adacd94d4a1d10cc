//! A process made to go instruction by instruction, by `ptrace(2)`, and killed after so many.

use std::io;

/// A process whose threads all stand still.
pub struct Traced {
    pid: i32,
}

/// How a traced process ended its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It had made so many.
    Killed,
    /// The other process ended first, and it was killed then; or it ended itself.
    Done,
}

impl Traced {
    /// Stops all its threads, wherever they are; a system call that one waits in starts again by itself.
    pub fn attach(pid: i32) -> io::Result<Traced> {
        for thread in threads(pid) {
            request(libc::PTRACE_SEIZE, thread)?;
            request(libc::PTRACE_INTERRUPT, thread)?;
            let (_, status) = wait_for(thread)?;
            assert!(libc::WIFSTOPPED(status), "it lives");
        }
        Ok(Traced { pid })
    }

    /// Lets all threads go, one instruction after the other, and kills the process after `steps` of them, counted over all
    /// threads. `other` is a child whose end comes first if it does.
    pub fn run(self, steps: u32, other: i32) -> io::Result<End> {
        for thread in threads(self.pid) {
            request(libc::PTRACE_SINGLESTEP, thread)?;
        }
        let mut made = 0;
        loop {
            let (who, status) = wait_for(-1)?;
            if libc::WIFSTOPPED(status) {
                made += u32::from(libc::WSTOPSIG(status) == libc::SIGTRAP);
                if made == steps {
                    return self.end().map(|()| End::Killed);
                }
                request(libc::PTRACE_SINGLESTEP, who)?;
            } else if who == self.pid {
                return Ok(End::Done);
            } else if who == other {
                return self.end().map(|()| End::Done);
            }
        }
    }

    /// Kills it, and takes note of the end of all its threads, the first one's last, and of nobody else's: the other
    /// process may end at the same moment, and its end belongs to whoever waits for that.
    fn end(self) -> io::Result<()> {
        let threads = threads(self.pid);
        // SAFETY: a plain system call, on a child of ours that was not waited for yet.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        for thread in threads.into_iter().filter(|thread| *thread != self.pid) {
            wait_for_end(thread)?;
        }
        wait_for_end(self.pid)
    }
}

/// The core that the caller runs on.
pub fn core() -> usize {
    // SAFETY: a plain system call.
    usize::try_from(unsafe { libc::sched_getcpu() }).unwrap_or(0)
}

/// The threads of a process.
pub fn threads(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

/// Waits for news of a child or of a thread that we trace; of any with -1.
pub fn wait_for(pid: i32) -> io::Result<(i32, i32)> {
    let mut status = 0;
    // SAFETY: `status` is live and writable.
    match unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL) } {
        -1 => Err(io::Error::last_os_error()),
        who => Ok((who, status)),
    }
}

/// Waits for the end of a thread that we trace, past all stops that come before.
fn wait_for_end(thread: i32) -> io::Result<()> {
    while libc::WIFSTOPPED(wait_for(thread)?.1) {}
    Ok(())
}

/// Ends this test, and its children with it, unless called again in time.
pub fn give_up_after(seconds: u32) {
    // SAFETY: a plain system call; the signal ends the process.
    unsafe { libc::alarm(seconds) };
}

fn request(what: libc::c_uint, thread: i32) -> io::Result<()> {
    // SAFETY: none of the requests made here hands over memory of ours.
    match unsafe { libc::ptrace(what, thread, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
