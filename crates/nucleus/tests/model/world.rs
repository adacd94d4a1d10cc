//! What the host is to a channel, in the model: atomics whose every use is a step, a futex, threads, and processes that
//! can be killed before any of their steps.
//!
//! Loom runs all threads of a model on one thread of the host and changes between them at steps alone; whatever happens
//! between two steps is one. So lists kept here need no lock of loom's.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use loom::thread::{self, JoinHandle, Thread, ThreadId};

/// How a thread whose process was killed leaves.
struct Killed;

/// A process: its threads end at their next step once it is dead.
#[derive(Default)]
pub struct Process {
    dead: Cell<bool>,
    steps: Cell<u32>,
    dies_before: Option<u32>,
    single: bool,
    threads: RefCell<Vec<JoinHandle<()>>>,
}

/// A thread that sleeps on a word.
struct Sleeper {
    word: usize,
    process: Option<Rc<Process>>,
    thread: Thread,
    woken: Rc<Cell<bool>>,
}

std::thread_local! {
    static SLEEPERS: RefCell<Vec<Sleeper>> = const { RefCell::new(Vec::new()) };
    static HERE: RefCell<HashMap<ThreadId, Rc<Process>>> = RefCell::default();
}

/// To be called first in every execution.
pub fn begin() {
    SLEEPERS.with_borrow_mut(Vec::clear);
    HERE.with_borrow_mut(HashMap::clear);
}

fn here() -> Option<Rc<Process>> {
    HERE.with_borrow(|here| here.get(&thread::current().id()).cloned())
}

impl Process {
    /// One that is killed before a step, if so; `single`: it may have no second thread, since a model can have few.
    pub fn new(single: bool, dies_before: Option<u32>) -> Rc<Process> {
        Rc::new(Process { single, dies_before, ..Process::default() })
    }

    /// Starts a thread in it.
    pub fn start(self: &Rc<Process>, body: impl FnOnce() + 'static) {
        let process = self.clone();
        let handle = thread::spawn(move || {
            HERE.with_borrow_mut(|here| here.insert(thread::current().id(), process));
            match catch_unwind(AssertUnwindSafe(body)) {
                Err(why) if !why.is::<Killed>() => resume_unwind(why),
                _ => {}
            }
        });
        self.threads.borrow_mut().push(handle);
    }

    /// Kills it.
    pub fn kill(&self) {
        self.dead.set(true);
        SLEEPERS.with_borrow(|sleepers| {
            let of_it = |sleeper: &&Sleeper| sleeper.process.as_ref().is_some_and(|other| std::ptr::eq(&**other, self));
            sleepers.iter().filter(of_it).for_each(|sleeper| sleeper.thread.unpark());
        });
    }

    /// Returns when all its threads have ended; whether it was killed.
    pub fn wait(&self) -> bool {
        loop {
            let Some(handle) = self.threads.borrow_mut().pop() else { return self.dead.get() };
            handle.join().unwrap_or_else(|why: Box<dyn Any + Send>| resume_unwind(why));
        }
    }

    /// Steps that it has made.
    pub fn steps(&self) -> u32 {
        self.steps.get()
    }

    /// One more step, or the end; `false` for one that a dead thread would make on its way out.
    fn step(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        if !self.dead.get() && self.dies_before == Some(self.steps.get()) {
            self.kill();
        }
        if self.dead.get() && !std::thread::panicking() {
            resume_unwind(Box::new(Killed));
        }
        !self.dead.get()
    }
}

fn step() -> bool {
    here().is_none_or(|process| process.step())
}

/// `crate::sync`, as the channel's sources import it.
pub mod sync {
    pub use crate::model_thread_local as thread_local;

    /// Atomics.
    pub mod atomic {
        pub use loom::sync::atomic::Ordering;

        use super::super::step;

        /// A full barrier.
        pub fn fence(ordering: Ordering) {
            if step() {
                loom::sync::atomic::fence(ordering);
            }
        }

        macro_rules! atomic {
            ($name:ident, $value:ty) => {
                /// One whose every use is a step of its process.
                #[derive(Debug)]
                pub struct $name(pub loom::sync::atomic::$name);

                #[allow(dead_code, clippy::missing_errors_doc, reason = "as the standard library's")]
                impl $name {
                    pub fn new(value: $value) -> $name {
                        $name(loom::sync::atomic::$name::new(value))
                    }
                    pub fn load(&self, ordering: Ordering) -> $value {
                        if step() { self.0.load(ordering) } else { <$value>::default() }
                    }
                    pub fn store(&self, value: $value, ordering: Ordering) {
                        if step() {
                            self.0.store(value, ordering);
                        }
                    }
                    pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                        if step() { self.0.swap(value, ordering) } else { <$value>::default() }
                    }
                    pub fn compare_exchange(
                        &self,
                        from: $value,
                        to: $value,
                        won: Ordering,
                        lost: Ordering,
                    ) -> Result<$value, $value> {
                        if step() { self.0.compare_exchange(from, to, won, lost) } else { Err(from) }
                    }
                    pub fn fetch_update(
                        &self,
                        won: Ordering,
                        lost: Ordering,
                        with: impl FnMut($value) -> Option<$value>,
                    ) -> Result<$value, $value> {
                        if step() { self.0.fetch_update(won, lost, with) } else { Err(<$value>::default()) }
                    }
                }
            };
        }
        atomic!(AtomicU32, u32);
        atomic!(AtomicBool, bool);

        impl AtomicU32 {
            pub fn fetch_add(&self, by: u32, ordering: Ordering) -> u32 {
                if step() { self.0.fetch_add(by, ordering) } else { 0 }
            }
            pub fn fetch_sub(&self, by: u32, ordering: Ordering) -> u32 {
                if step() { self.0.fetch_sub(by, ordering) } else { 0 }
            }
        }
    }
}

/// `crate::futex`: exact, with no wake-up but those that somebody made.
pub mod futex {
    use super::sync::atomic::{AtomicU32, Ordering};
    use super::{Cell, Rc, SLEEPERS, Sleeper, here, step, thread};

    fn name(word: &AtomicU32) -> usize {
        std::ptr::from_ref(word) as usize
    }

    pub fn wait(word: &AtomicU32, expected: u32) {
        step();
        // The host reads under a lock that who wakes takes as well: never an old value.
        if word.0.fetch_add(0, Ordering::Acquire) != expected {
            return;
        }
        let woken = Rc::new(Cell::new(false));
        let is_dead = || here().is_some_and(|process| process.dead.get());
        let sleeper = Sleeper { word: name(word), process: here(), thread: thread::current(), woken: woken.clone() };
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.push(sleeper));
        while !woken.get() && !is_dead() {
            thread::park();
        }
        step();
    }

    pub fn wake(word: &AtomicU32, count: u32) {
        if !step() {
            return;
        }
        for _ in 0..count {
            let found = SLEEPERS.with_borrow_mut(|sleepers| {
                let alive = |sleeper: &Sleeper| !sleeper.process.as_ref().is_some_and(|process| process.dead.get());
                sleepers.retain(alive);
                let at = sleepers.iter().position(|sleeper| sleeper.word == name(word))?;
                Some(sleepers.remove(at))
            });
            let Some(sleeper) = found else { return };
            sleeper.woken.set(true);
            sleeper.thread.unpark();
        }
    }
}

/// `crate::threads`.
pub mod threads {
    use std::io;

    pub fn spawn(_: String, body: impl FnOnce() + 'static) -> io::Result<()> {
        match super::here() {
            Some(process) if !process.single => {
                process.start(body);
                Ok(())
            }
            _ => Err(io::ErrorKind::OutOfMemory.into()),
        }
    }
}

/// A thread-local cell.
pub struct Key<T: 'static>(pub &'static thread::LocalKey<Cell<T>>);

impl<T: Copy + Default> Key<T> {
    pub fn get(&'static self) -> T {
        self.0.with(Cell::get)
    }
    pub fn set(&'static self, value: T) {
        self.0.with(|cell| cell.set(value));
    }
    pub fn take(&'static self) -> T {
        self.0.with(Cell::take)
    }
}

/// The standard library's, for cells.
#[macro_export]
macro_rules! model_thread_local {
    ($($(#[$about:meta])* static $name:ident: Cell<$value:ty> = const { $init:expr };)*) => {$(
        $(#[$about])*
        static $name: $crate::world::Key<$value> = {
            loom::thread_local! { static INNER: std::cell::Cell<$value> = $init; }
            $crate::world::Key(&INNER)
        };
    )*};
}
