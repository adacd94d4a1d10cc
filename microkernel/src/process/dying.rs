//! Processes that are of no more use: until the host has buried them, and told so.
//!
//! Taking an address space down keeps a core busy for a millisecond, at the very moment at which a successor and those who call
//! it want both. So a process that is silent is left as it is for a while, and ends then, at a lower priority.

use kd_boot::root::TICK;
use kd_machine::clock;
use kd_nucleus::last_words;
use kd_nucleus::process::Child;

use super::domain::Domain;

/// All of them.
#[derive(Default)]
pub struct Dying(Vec<Dead>);

struct Dead {
    /// Whose it was.
    server: usize,
    child: Child,
    threads: Vec<i32>,
    /// When it is to end; nothing once it was told.
    ends_at: Option<u64>,
}

impl Dying {
    /// One that was silenced: it ends when the others have what they want.
    pub fn add(&mut self, server: usize, domain: Domain) {
        let (child, threads) = domain.remains();
        self.0.push(Dead { server, child, threads, ends_at: Some(clock::now() + TICK.as_nanos() as u64) });
    }

    /// One that is to be gone as soon as possible, for it could still be taken for another.
    pub fn end(&mut self, server: usize, domain: Domain) {
        let (child, threads) = domain.remains();
        last_words::bury(child.pid(), child.pidfd(), &threads);
        self.0.push(Dead { server, child, threads, ends_at: None });
    }

    /// Ends those whose time has come, and returns the servers of those that the host has buried.
    pub fn look(&mut self) -> Vec<usize> {
        let (now, mut buried) = (clock::now(), Vec::new());
        self.0.retain_mut(|Dead { server, child, threads, ends_at }| {
            if ends_at.is_some_and(|at| at <= now) {
                last_words::bury(child.pid(), child.pidfd(), threads);
                *ends_at = None;
            }
            let lives = child.poll().is_none();
            buried.extend((!lives).then_some(*server));
            lives
        });
        buried
    }

    /// Descriptors that are readable when one of them has ended.
    pub fn watched(&self) -> impl Iterator<Item = i32> + '_ {
        self.0.iter().map(|dead| dead.child.pidfd())
    }
}
