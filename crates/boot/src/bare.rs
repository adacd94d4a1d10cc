//! The least that a restart takes: a process that does nothing is killed, the host tells of its death, and another one is
//! forked from the same root, up to its first instruction. What a restart takes beyond that is the kernel's own doing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};

use kd_machine::clock;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::process::{self, Child};

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;
/// Sizes are rounded to so many bytes: a server's own changes a little from one look to the next.
const GRAIN: usize = 1 << 20;
/// States of a process: it was born; it holds its bytes.
const BORN: u64 = 1;
const READY: u64 = 2;

/// The process that is killed next.
#[derive(Default)]
pub struct Bare(Option<Idle>);

struct Idle {
    child: Child,
    bytes: usize,
    state: Arc<Words>,
}

impl Idle {
    fn new(bytes: usize) -> io::Result<Idle> {
        let state = Arc::new(Words::new(Memory::new("kd-bare", 4096)?.map()?));
        let child = process::fork(|| {
            state.get(0).store(BORN, Release);
            // As much as a server holds, so that its end takes the host as long.
            let held = vec![1u8; bytes];
            state.get(0).store(READY, Release);
            loop {
                std::thread::park();
                std::hint::black_box(&held);
            }
        })?;
        Ok(Idle { child, bytes, state })
    }

    fn wait(&mut self, state: u64) -> io::Result<()> {
        while self.state.get(0).load(Acquire) < state {
            if self.child.poll().is_some() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            // As a supervisor waits for a domain: the newcomer may need this core.
            std::thread::yield_now();
        }
        Ok(())
    }
}

impl Bare {
    /// One restart, in nanoseconds, of a process that has so many bytes of its own, those that it was forked with included.
    ///
    /// # Errors
    /// The host's, for want of processes or memory.
    pub fn restart(&mut self, bytes: usize) -> io::Result<u64> {
        let bytes = bytes.saturating_sub(process::own_bytes(std::process::id() as i32)).next_multiple_of(GRAIN);
        let mut idle = match self.0.take() {
            Some(idle) if idle.bytes == bytes => idle,
            _ => Idle::new(bytes)?,
        };
        idle.wait(READY)?;
        let begin = clock::now();
        idle.child.signal(SIGKILL);
        process::poll(&[idle.child.pidfd()], None);
        idle.child.wait();
        let mut next = Idle::new(bytes)?;
        next.wait(BORN)?;
        let nanos = clock::now() - begin;
        // It is at rest before anything else is measured.
        next.wait(READY)?;
        self.0 = Some(next);
        Ok(nanos)
    }
}
