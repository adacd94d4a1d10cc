//! A pipeline: `produce | filter | consume`, 4 KiB at a time.
//!
//! Three programs in two apps: the first and the last are this app, the one between is its partner, because an app has
//! one partner on every kernel. One operation is [`CHUNKS`] chunks; up to [`AHEAD`] are under way at any time, so the
//! filter works while this app fills and drains its pipes, and none is left when the operation ends. The share of
//! computation is the filter's.
//!
//! Who owns which end, and how the partner ends, is as in `pipe`.

use kd_api::{Errno, Fd, OutBuf};

use crate::calls::write;
use crate::compute::Compute;
use crate::{Env, Group, Session, Workload, Wrong};

/// Bytes of a chunk: no more than a pipe takes at once.
const CHUNK: usize = 4096;
/// Chunks of an operation.
const CHUNKS: u64 = 16;
/// Chunks under way at most.
const AHEAD: u64 = 4;
/// The number of no chunk: it ends the filter.
const STOP: u64 = u64::MAX;

/// Three programs connected by pipes.
pub struct Pipeline;

impl Workload for Pipeline {
    fn name(&self) -> &'static str {
        "pipeline"
    }

    fn about(&self) -> &'static str {
        "One operation sends 64 KiB through three programs connected by pipes, 4 KiB at a time and up to four of them under \
         way: at least 32 writes and 32 reads. First and last program share an app, the filter is its partner."
    }

    fn group(&self) -> Group {
        Group::Macro
    }

    fn subject(&self) -> &'static str {
        "pipe"
    }

    fn actors(&self) -> u32 {
        2
    }

    fn hops(&self) -> u32 {
        2
    }

    fn verifies(&self) -> bool {
        false
    }

    fn start(&self, env: &Env) -> Result<Box<dyn Session>, Errno> {
        let mut session = PipelineSession { env: env.clone(), ends: None, next: 0, chunk: vec![b'c'; CHUNK] };
        session.ends()?;
        Ok(Box::new(session))
    }
}

struct PipelineSession {
    env: Env,
    /// Where chunks go in, and where they come out.
    ends: Option<(Fd, Fd)>,
    /// The number of the chunk that goes in next.
    next: u64,
    chunk: Vec<u8>,
}

impl PipelineSession {
    /// The pipes in use; makes them and starts the filter if need be.
    fn ends(&mut self) -> Result<(Fd, Fd), Errno> {
        if let Some(ends) = self.ends {
            return Ok(ends);
        }
        let (source, into) = self.env.sys.pipe(self.env.caller)?;
        let (out, sink) = match self.env.sys.pipe(self.env.caller) {
            Ok(ends) => ends,
            Err(errno) => {
                close(&self.env, &[source, into]);
                return Err(errno);
            }
        };
        let rounds = self.env.compute;
        if let Err(errno) = (self.env.partner)(Box::new(move |env| filter(env, rounds, source, sink))) {
            close(&self.env, &[source, into, out, sink]);
            return Err(errno);
        }
        Ok(*self.ends.insert((into, out)))
    }

    fn send(&mut self, into: Fd) -> Result<(), Errno> {
        self.chunk[..8].copy_from_slice(&self.next.to_le_bytes());
        write(&self.env, into, &self.chunk)?;
        self.next += 1;
        Ok(())
    }

    /// Receives the chunk of this number, which the filter has trebled.
    fn receive(&mut self, out: Fd, number: u64) -> Result<(), Errno> {
        receive(&self.env, out, &mut self.chunk)?;
        if self.chunk[..8] == number.wrapping_mul(3).to_le_bytes() { Ok(()) } else { Err(Errno::EIO) }
    }

    fn step(&mut self) -> Result<(), Errno> {
        let (into, out) = self.ends()?;
        let first = self.next;
        let mut work = || {
            for turn in 0..CHUNKS + AHEAD {
                if turn < CHUNKS {
                    self.send(into)?;
                }
                if turn >= AHEAD {
                    self.receive(out, first + turn - AHEAD)?;
                }
            }
            Ok(())
        };
        work().inspect_err(|_| self.leave())
    }

    /// Ends the filter, if it can be reached, and forgets the pipes.
    fn leave(&mut self) {
        if let Some((into, out)) = self.ends.take() {
            self.chunk[..8].copy_from_slice(&STOP.to_le_bytes());
            // Whoever can't be reached has failed as well, and ends by that.
            let _ = write(&self.env, into, &self.chunk);
            close(&self.env, &[into, out]);
        }
    }
}

impl Session for PipelineSession {
    fn run(&mut self, operations: u64) -> Result<(), Errno> {
        (0..operations).try_for_each(|_| self.step())
    }

    /// One operation, in chunks of a content that they did not have before: it comes out unchanged.
    fn check(&mut self) -> Result<(), Wrong> {
        let mark = (self.next % 251) as u8;
        self.chunk[8..].fill(mark);
        self.step()?;
        match self.chunk[8..].iter().find(|byte| **byte != mark) {
            None => Ok(()),
            Some(byte) => Err(Wrong::Answer(format!("a chunk of {mark:#04x} came out with {byte:#04x}"))),
        }
    }
}

impl Drop for PipelineSession {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The program between: trebles each chunk's number, and computes.
fn filter(env: &Env, rounds: u64, source: Fd, sink: Fd) {
    let mut compute = Compute::new(&Env { compute: rounds, ..env.clone() });
    let mut chunk = vec![0; CHUNK];
    while receive(env, source, &mut chunk).is_ok() {
        let number = u64::from_le_bytes(std::array::from_fn(|index| chunk[index]));
        if number == STOP {
            break;
        }
        compute.on(&chunk);
        chunk[..8].copy_from_slice(&number.wrapping_mul(3).to_le_bytes());
        if write(env, sink, &chunk).is_err() {
            break;
        }
    }
    close(env, &[source, sink]);
}

/// Reads a whole chunk, in as many pieces as it comes in. The end of the pipe is `EPIPE`.
fn receive(env: &Env, from: Fd, chunk: &mut [u8]) -> Result<(), Errno> {
    let mut done = 0;
    while done < chunk.len() {
        match env.sys.read(env.caller, from, &mut OutBuf::new(&mut chunk[done..]))? {
            0 => return Err(Errno::EPIPE),
            count => done += count,
        }
    }
    Ok(())
}

fn close(env: &Env, ends: &[Fd]) {
    for end in ends {
        // An end that the kernel has forgotten is closed.
        let _ = env.sys.close(env.caller, *end);
    }
}
