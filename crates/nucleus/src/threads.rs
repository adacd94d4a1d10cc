//! Threads that run kernel code: each prepares itself as the core of this process wants it, then runs.

use std::io;
use std::sync::OnceLock;

use crate::pkey::{self, domain, thread};

static PREPARE: OnceLock<fn()> = OnceLock::new();

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

fn spawn_outside(name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
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
