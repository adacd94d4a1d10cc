//! Pipes: bytes between two ends, and waiting for them.
//!
//! Each pipe has its own lock; nothing is called with it held, so it has no place in any lock order. Changes happen
//! under it, wake-ups and deferred answers after it.
//!
//! With a store ([`kept`]), pipes outlive their server, with ends and bytes: where a call has changed one, that is noted
//! before anybody learns of it.

mod kept;
mod ring;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use kd_api::ids::PipeId;
use kd_api::interfaces::pipe::{PIPE_BUF, Pipe};
use kd_api::{Completion, Component, Errno, InBuf, OutBuf, Result, Store};
use kd_sync::{Mutex, WaitQueue, exact_now};

use crate::sharded::Sharded;
use kept::{Found, Kept};
use ring::{Heap, Ring};

/// The pipe subsystem.
pub struct Pipes {
    pipes: Sharded<Channel>,
    next: AtomicU64,
    kept: Option<Arc<Kept>>,
}

struct Channel {
    state: Mutex<State>,
    readable: WaitQueue,
    writable: WaitQueue,
}

struct State {
    ring: Ring,
    readers: u32,
    writers: u32,
    /// How often all who waited were sent away.
    interrupted: u64,
    /// Answered once a read would not wait.
    asked: Vec<Completion<()>>,
}

impl State {
    fn would_wait(&self) -> bool {
        self.ring.len() == 0 && self.writers > 0
    }

    /// What was done to it is done.
    fn note(&mut self) {
        self.ring.note(self.readers, self.writers);
    }
}

/// The component `pipe`.
pub fn component() -> Component {
    Component::new::<dyn Pipe, Pipes>("pipe", &[], |imports| Ok(Arc::new(Pipes::open(imports.store()))))
        .with_store(kept::STORE)
}

impl Pipes {
    /// No pipes, and nowhere to keep them.
    pub fn new() -> Pipes {
        Pipes::open(None)
    }

    /// The pipes in a store, if there is one. New ones are counted from the time of the start, so that what still names a pipe
    /// of one that died finds that or none.
    pub fn open(store: Option<Store>) -> Pipes {
        let (kept, found) = store.map(Kept::open).unzip();
        let pipes = Pipes { pipes: Sharded::new(), next: AtomicU64::new(exact_now().max(1)), kept };
        for Found { id, readers, writers, place } in found.into_iter().flatten() {
            pipes.pipes.insert(id, Arc::new(Channel::new(Ring::Kept(place), readers, writers)));
        }
        pipes
    }

    fn get(&self, pipe: PipeId) -> Result<Arc<Channel>> {
        self.pipes.get(pipe.0).ok_or(Errno::EBADF)
    }
}

impl Default for Pipes {
    fn default() -> Pipes {
        Pipes::new()
    }
}

impl Channel {
    fn new(ring: Ring, readers: u32, writers: u32) -> Channel {
        let state = Mutex::new(State { ring, readers, writers, interrupted: 0, asked: Vec::new() });
        Channel { state, readable: WaitQueue::new(), writable: WaitQueue::new() }
    }

    /// Tells everyone who waits for bytes, or for the end, to look.
    fn notify_readers(&self, asked: Vec<Completion<()>>) {
        self.readable.wake_all();
        for completion in asked {
            completion.complete(Ok(()));
        }
    }
}

impl Pipe for Pipes {
    fn create(&self) -> Result<PipeId> {
        let id = self.next.fetch_add(1, Relaxed);
        let place = self.kept.as_ref().and_then(|kept| kept.make(id));
        let ring = place.map_or_else(|| Ring::Heap(Heap::default()), Ring::Kept);
        self.pipes.insert(id, Arc::new(Channel::new(ring, 1, 1)));
        Ok(PipeId(id))
    }

    fn read(&self, pipe: PipeId, out: &mut OutBuf<'_>) -> Result<usize> {
        let channel = self.get(pipe)?;
        if out.remaining() == 0 {
            return Ok(0);
        }
        let state = channel.state.lock();
        let since = state.interrupted;
        let waits = |state: &mut State| state.would_wait() && state.interrupted == since;
        let mut state = channel.readable.wait_while(state, waits);
        if state.interrupted != since {
            return Err(Errno::ECANCELED);
        }
        let count = state.ring.drain(out);
        state.note();
        drop(state);
        channel.writable.wake_all();
        Ok(count)
    }

    fn write(&self, pipe: PipeId, data: &mut InBuf<'_>) -> Result<usize> {
        let channel = self.get(pipe)?;
        let total = data.remaining();
        // A short write goes in as one piece; a longer one goes in as room comes free.
        let piece = if total <= PIPE_BUF { total } else { 1 };
        let since = channel.state.lock().interrupted;
        while data.remaining() > 0 {
            let full = |state: &mut State| state.readers > 0 && state.ring.room() < piece && state.interrupted == since;
            let mut state = channel.writable.wait_while(channel.state.lock(), full);
            let moved = match &mut *state {
                state if state.interrupted != since => Err(Errno::ECANCELED),
                state if state.readers == 0 => Err(Errno::EPIPE),
                state => state.ring.fill(data).inspect(|_| state.note()),
            };
            let asked = core::mem::take(&mut state.asked);
            drop(state);
            channel.notify_readers(asked);
            match moved {
                Err(errno) if data.remaining() == total => return Err(errno),
                Err(_) => break,
                Ok(_) => {}
            }
        }
        Ok(total - data.remaining())
    }

    fn wait_readable(&self, pipe: PipeId, done: Completion<()>) {
        let channel = match self.get(pipe) {
            Ok(channel) => channel,
            Err(errno) => return done.complete(Err(errno)),
        };
        let mut state = channel.state.lock();
        if state.would_wait() {
            state.asked.push(done);
        } else {
            drop(state);
            done.complete(Ok(()));
        }
    }

    fn interrupt(&self, pipe: PipeId) -> Result<()> {
        let channel = self.get(pipe)?;
        let mut state = channel.state.lock();
        state.interrupted += 1;
        let asked = core::mem::take(&mut state.asked);
        drop(state);
        channel.notify_readers(asked);
        channel.writable.wake_all();
        Ok(())
    }

    fn close(&self, pipe: PipeId, writer: bool) -> Result<()> {
        let channel = self.get(pipe)?;
        let mut state = channel.state.lock();
        let end = if writer { &mut state.writers } else { &mut state.readers };
        *end = end.checked_sub(1).ok_or(Errno::EBADF)?;
        let gone = state.readers == 0 && state.writers == 0;
        state.note();
        // A reader that asks while there is neither byte nor writer learns of the end.
        let asked = if state.writers == 0 { core::mem::take(&mut state.asked) } else { Vec::new() };
        drop(state);
        channel.notify_readers(asked);
        channel.writable.wake_all();
        if gone {
            self.pipes.remove(pipe.0);
        }
        Ok(())
    }
}
