//! When the calls of a round were answered: the first good answer after a death is that of a call, and a round has several.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use kd_api::Operation;
use kd_api::around::{Observed, Observer};
use kd_api::interfaces::syscalls::{Syscalls, SyscallsAround};
use kd_boot::board::Board;
use kd_machine::clock;
use kd_workloads::Env;

/// Calls of a round that are noted, from its first on.
const NOTED: usize = 16;

/// Those of the present round.
#[derive(Debug, Default)]
pub struct Answers {
    count: AtomicUsize,
    at: [AtomicU64; NOTED],
}

impl Observer for Answers {
    fn enter(&self, _: &'static Operation, _: usize) {}

    fn leave(&self, _: &'static Operation) {
        if let Some(at) = self.at.get(self.count.fetch_add(1, Relaxed)) {
            at.store(clock::now(), Relaxed);
        }
    }
}

impl Answers {
    /// The same environment, with every answer noted.
    pub fn of(env: &Env) -> (Arc<Answers>, Env) {
        let answers = Arc::new(Answers::default());
        let observer: Arc<dyn Observer> = answers.clone();
        let sys: Arc<dyn Syscalls> =
            Arc::new(SyscallsAround { around: Observed::new(observer.clone()), inner: env.sys.clone() });
        (answers, Env { sys, services: env.services.observed(&observer), ..env.clone() })
    }

    /// Another round begins.
    pub fn begin(&self) {
        self.count.store(0, Relaxed);
    }

    /// The round was good, so its answers were.
    pub fn show(&self, board: &Board) {
        let count = self.count.load(Relaxed).min(NOTED);
        self.at[..count].iter().for_each(|at| board.answered(at.load(Relaxed)));
    }
}
