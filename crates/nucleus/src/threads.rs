//! Threads that run kernel code: each prepares itself as the core of this process wants it, then runs.
//!
//! A process that waits to take another's place starts threads [ahead](reserve): making one takes longer than all else
//! that it has to do then.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::pkey::{self, domain, thread};
use crate::process;

static PREPARE: OnceLock<fn()> = OnceLock::new();

/// A name, and what to run.
type Task = (String, Box<dyn FnOnce() + Send>);

/// Threads that wait for something to run.
static RESERVE: Mutex<Vec<Sender<Task>>> = Mutex::new(Vec::new());

/// Says, once, what every kernel thread of this process does first; the calling thread does it now.
pub fn prepare_with(prepare: fn()) {
    // A second core in one process is not a thing; the first one's wish stands.
    let _ = PREPARE.set(prepare);
    prepare();
}

/// Starts a kernel thread. One that a protected domain starts runs in that domain, and ends when it does.
pub fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    match thread::here() {
        domain if domain >= pkey::FIRST => spawn_within(domain, &name, body),
        _ => spawn_outside(name, body),
    }
}

/// Starts so many threads ahead: the next that [`spawn`] is asked for are these.
pub fn reserve(count: usize) -> io::Result<()> {
    let mut all = Vec::new();
    for _ in 0..count {
        let (give, take): (Sender<Task>, Receiver<Task>) = channel();
        spawn_outside("reserve".into(), move || {
            process::let_others_finish(true);
            if let Ok((name, body)) = take.recv() {
                process::let_others_finish(false);
                process::set_name(&name);
                body();
            }
        })?;
        all.push(give);
    }
    RESERVE.lock().unwrap_or_else(PoisonError::into_inner).extend(all);
    Ok(())
}

fn spawn_outside(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let reserved = RESERVE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(reserved) = reserved {
        // It waits for exactly this.
        let given = reserved.send((name, Box::new(body)));
        return given.map_err(|_| io::Error::other("a thread in reserve is gone"));
    }
    let thread = std::thread::Builder::new().name(name).spawn(|| {
        if let Some(prepare) = PREPARE.get() {
            prepare();
        }
        body();
    });
    thread.map(drop)
}

fn spawn_within<F: FnOnce() + Send + 'static>(domain: usize, name: &str, body: F) -> io::Result<()> {
    extern "C" fn run<F: FnOnce()>(body: usize, born: usize, _: usize) -> u64 {
        // If the domain died meanwhile, the body went with its arena.
        if domain::get(thread::here()).faults().0 as usize == born {
            // SAFETY: `spawn_within` made it of a box of the same type, in this domain's arena, and passes it on once.
            let body = unsafe { Box::from_raw(body as *mut F) };
            body();
        }
        0
    }
    let body = Box::into_raw(Box::new(body)) as usize;
    let born = domain::get(domain).faults().0 as usize;
    thread::outside(|| {
        spawn_outside(name.to_owned(), move || {
            // A thread that cannot enter, or whose domain dies, ends.
            let _ = thread::call(domain, run::<F>, body, born, true);
        })
    })
}
