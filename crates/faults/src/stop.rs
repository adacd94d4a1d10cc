//! All threads of a process stopped for a moment, by `ptrace(2)`: code is not rewritten under a running thread.
//!
//! Threads are seized, which sends them no signal and needs no parenthood, and released when this is dropped. A system
//! call that a thread waits in starts again by itself.

use std::io;

/// A stopped process; it runs again when this is dropped. To be dropped by the thread that made it.
pub struct Stopped {
    pid: i32,
    threads: Vec<Thread>,
}

struct Thread {
    id: i32,
    /// A signal that was on its way to it, handed on when it is released.
    signal: i32,
    instruction: usize,
}

impl Stopped {
    /// Stops all threads.
    pub fn all(pid: i32) -> io::Result<Stopped> {
        let mut stopped = Stopped { pid, threads: Vec::new() };
        // A running thread may start others, so until there is none that is not stopped yet.
        loop {
            let mut found = false;
            for task in std::fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
                if stopped.threads.iter().all(|thread| thread.id != id)
                    && let Some(thread) = seize(id)?
                {
                    stopped.threads.push(thread);
                    found = true;
                }
            }
            if !found {
                return Ok(stopped);
            }
        }
    }

    /// The address of each thread's next instruction.
    pub fn instructions(&self) -> impl Iterator<Item = usize> {
        self.threads.iter().map(|thread| thread.instruction)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // The first thread of a process cannot be reaped before the others, so it comes last.
        self.threads.sort_by_key(|thread| thread.id == self.pid);
        for thread in &self.threads {
            let released = request(libc::PTRACE_DETACH, thread.id, 0, thread.signal as usize);
            // A thread that was released may have met the fault and ended the process. The rest then die while we still
            // trace them, and stay until we have taken note.
            if released.is_err() {
                reap(thread.id);
            }
        }
    }
}

/// Stops one thread; nothing if it has just ended.
fn seize(id: i32) -> io::Result<Option<Thread>> {
    let gone = |error: &io::Error| error.raw_os_error() == Some(libc::ESRCH);
    match request(libc::PTRACE_SEIZE, id, 0, 0) {
        Err(error) if gone(&error) => return Ok(None),
        other => other?,
    }
    match request(libc::PTRACE_INTERRUPT, id, 0, 0) {
        Err(error) if gone(&error) => {
            reap(id);
            return Ok(None);
        }
        other => other?,
    }
    let mut status = 0;
    // SAFETY: `status` is live and writable.
    if unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) } != id {
        return Err(io::Error::last_os_error());
    }
    if !libc::WIFSTOPPED(status) {
        return Ok(None);
    }
    let by_us = status >> 16 == libc::PTRACE_EVENT_STOP;
    let signal = if by_us { 0 } else { libc::WSTOPSIG(status) };
    Ok(Some(Thread { id, signal, instruction: instruction(id)? }))
}

/// Takes note of the end of a thread that we trace and that is dying.
fn reap(id: i32) {
    let mut status = 0;
    // SAFETY: `status` is live and writable; a thread that we do not trace any more is an error that nobody needs.
    unsafe { libc::waitpid(id, &raw mut status, libc::__WALL) };
}

/// A request without a result.
fn request(what: libc::c_uint, id: i32, address: usize, data: usize) -> io::Result<()> {
    // SAFETY: the requests of this module hand no memory of ours over, but for the registers, whose address `instruction`
    // vouches for.
    match unsafe { libc::ptrace(what, id, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(target_arch = "x86_64")]
fn instruction(id: i32) -> io::Result<usize> {
    // SAFETY: all-zero is a valid value of this plain structure.
    let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
    request(libc::PTRACE_GETREGS, id, 0, &raw mut registers as usize)?;
    Ok(registers.rip as usize)
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction(_: i32) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
