//! Kernel threads, time and the log: a hook beside the one for parking, since neither can be had without the host.
//!
//! A domain without the hook has no threads: [`Kthread::run`] refuses, and its caller does the work in line. So a test
//! that wants every step in a known order installs nothing.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{
    AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

use once_cell::race::OnceRef;

use crate::park::{wait, wake};

/// What a kernel core provides.
pub struct Host {
    /// Runs a body on a thread of its own, named for people who look; `false` if there is none to be had.
    pub spawn: fn(name: &str, body: Box<dyn FnOnce() + Send>) -> bool,
    /// Nanoseconds since 1970, as files are dated: some milliseconds may have the same.
    pub now: fn() -> u64,
    /// The same exactly.
    pub exact_now: fn() -> u64,
    /// Sleeps while the word holds `expected`, at most so many nanoseconds; may return early.
    pub wait_for: fn(word: &AtomicU32, expected: u32, nanos: u64),
    /// Appends a line to the kernel's log.
    pub log: fn(line: &str),
}

static HOOK: OnceRef<'static, Host> = OnceRef::new();

/// Installs the hook for this copy of the crate. The first one stays.
pub fn install_host(host: &'static Host) {
    let _ = HOOK.set(host);
}

/// Nanoseconds since 1970, as files are dated; 0 without a host.
pub fn now() -> u64 {
    HOOK.get().map_or(0, |host| (host.now)())
}

/// The same by a clock that says nothing twice: a number that nobody had who was started before. 0 without a host.
pub fn exact_now() -> u64 {
    HOOK.get().map_or(0, |host| (host.exact_now)())
}

/// Appends a line to the kernel's log; nothing without a host.
pub fn log(line: &str) {
    HOOK.get().into_iter().for_each(|host| (host.log)(line));
}

#[derive(Default)]
struct State {
    stopping: AtomicBool,
    /// Counts wakes, so that one between looking and sleeping is not lost.
    woken: AtomicU32,
    ended: AtomicU32,
}

/// A kernel thread, as its owner holds it; it is told to stop, and waited for, when this is dropped.
pub struct Kthread(Arc<State>);

/// A kernel thread, as its own body sees it.
pub struct Context(Arc<State>);

impl Kthread {
    /// Starts one; `None` where there are no threads.
    pub fn run(name: &str, body: impl FnOnce(&Context) + Send + 'static) -> Option<Kthread> {
        let host = HOOK.get()?;
        let state = Arc::new(State::default());
        let context = Context(state.clone());
        let body = Box::new(move || {
            body(&context);
            context.0.ended.store(1, Release);
            wake(&context.0.ended, u32::MAX);
        });
        (host.spawn)(name, body).then_some(Kthread(state))
    }

    /// Ends its present sleep, or the next one.
    pub fn wake(&self) {
        self.0.wake();
    }
}

impl Drop for Kthread {
    fn drop(&mut self) {
        self.0.stopping.store(true, SeqCst);
        self.0.wake();
        while self.0.ended.load(Acquire) == 0 {
            wait(&self.0.ended, 0, true);
        }
    }
}

impl State {
    fn wake(&self) {
        self.woken.fetch_add(1, SeqCst);
        wake(&self.woken, u32::MAX);
    }
}

impl Context {
    /// Whether it is to end.
    pub fn should_stop(&self) -> bool {
        self.0.stopping.load(SeqCst)
    }

    /// Wakes so far: to be read before looking for work, and handed to [`Context::sleep`].
    pub fn woken(&self) -> u32 {
        self.0.woken.load(SeqCst)
    }

    /// Sleeps until somebody wakes it that had not when `woken` was read, it is to stop, or the time is over.
    pub fn sleep(&self, woken: u32, nanos: u64) {
        if let Some(host) = HOOK.get()
            && !self.should_stop()
            && self.0.woken.load(Relaxed) == woken
        {
            (host.wait_for)(&self.0.woken, woken, nanos);
        }
    }
}
