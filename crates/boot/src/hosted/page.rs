//! The page that a kernel process shares with its root: what it shows of itself, even from a fault handler.

use std::io;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use kd_machine::memory::{Memory, Words};

use crate::control::Patch;

const READY: usize = 0;
const OOPS_ON_PANIC: usize = 1;
const OOPSES: usize = 2;
const PANICKED: usize = 3;
const FENCED: usize = 4;
const RESTARTS: usize = 5;
const SPARE: usize = 6;
const RELEASED: usize = 7;
const OOPS: usize = 8;
const OOPS_WORDS: usize = 4;
const OOPSES_KEPT: usize = 16;
const PATCHES: usize = OOPS + OOPSES_KEPT * OOPS_WORDS;
const NEWS: usize = 256;
const NEWS_HEAD: usize = 255;
const NEWS_WORDS: usize = 6;
const NEWS_KEPT: usize = 32;

/// A fault in kernel code, as its handler noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oops {
    /// When, in nanoseconds of the monotonic clock.
    pub at: u64,
    /// The signal by which the host reported it; 0 for a panic of Rust code.
    pub signal: u64,
    /// The address that was accessed.
    pub address: u64,
    /// The instruction.
    pub instruction: u64,
}

/// What became of a component inside the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A fault ended it.
    Died,
    /// It made no progress and was ended.
    Hung,
    /// It runs again.
    Restarted,
    /// It died too often and stays dead.
    GivenUp,
}

/// News of a component, as the kernel noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News {
    /// The component, by its number in the manifest.
    pub component: usize,
    /// What became of it.
    pub fate: Fate,
    /// When, and by what fault.
    pub fault: Oops,
}

/// The page.
#[derive(Debug)]
pub struct KernelPage(Words);

impl KernelPage {
    /// A fresh one in shared memory.
    pub fn new() -> io::Result<KernelPage> {
        let mapping = Memory::new("kd-kernel", 4096)?.map()?;
        mapping.keep_from_children()?;
        Ok(KernelPage(Words::new(mapping)))
    }

    /// Whether processes that are forked from now on have it: kernels do, apps do not.
    pub fn share_with_children(&self, share: bool) -> io::Result<()> {
        self.0.share_with_children(share)
    }

    /// Forgets a kernel that died; `panic_on_oops` stays.
    pub fn clear(&self) {
        for index in (0..self.0.len()).filter(|&index| index != OOPS_ON_PANIC) {
            self.0.get(index).store(0, Release);
        }
    }

    /// The kernel runs (1) or failed to boot (2).
    pub fn ready(&self) -> u64 {
        self.0.get(READY).load(Acquire)
    }

    /// Says so.
    pub fn set_ready(&self, state: u64) {
        self.0.get(READY).store(state, Release);
    }

    /// The process of the kernel that waits to follow, once it is loaded.
    pub fn spare(&self) -> Option<i32> {
        Some(self.0.get(SPARE).load(Acquire) as i32).filter(|&pid| pid != 0)
    }

    /// Says that this process is it.
    pub fn set_spare(&self) {
        self.0.get(SPARE).store(std::process::id().into(), Release);
    }

    /// Whether an oops ends the machine.
    pub fn panic_on_oops(&self) -> bool {
        self.0.get(OOPS_ON_PANIC).load(Acquire) != 0
    }

    /// Says so.
    pub fn set_panic_on_oops(&self, on: bool) {
        self.0.get(OOPS_ON_PANIC).store(u64::from(on), Release);
    }

    /// Counts an app whose end the kernel has dealt with.
    pub fn note_released(&self) {
        self.0.get(RELEASED).fetch_add(1, AcqRel);
    }

    /// How many so far.
    pub fn released(&self) -> u64 {
        self.0.get(RELEASED).load(Acquire)
    }

    /// Notes an oops. Safe to call from a signal handler.
    pub fn note(&self, oops: Oops) {
        let number = self.0.get(OOPSES).fetch_add(1, AcqRel) as usize;
        let at = OOPS + number % OOPSES_KEPT * OOPS_WORDS;
        for (i, word) in [oops.at, oops.signal, oops.address, oops.instruction].into_iter().enumerate() {
            self.0.get(at + i).store(word, Release);
        }
    }

    /// The oopses from number `from` on, as far as they are kept, and the number of the next.
    pub fn oopses(&self, from: u64) -> (Vec<Oops>, u64) {
        let next = self.0.get(OOPSES).load(Acquire);
        let oops = |number: u64| {
            let word = |i| self.0.get(OOPS + number as usize % OOPSES_KEPT * OOPS_WORDS + i).load(Relaxed);
            Oops { at: word(0), signal: word(1), address: word(2), instruction: word(3) }
        };
        ((from.max(next.saturating_sub(OOPSES_KEPT as u64))..next).map(oops).collect(), next)
    }

    /// Notes news of a component. One thread of the kernel alone does.
    pub fn tell(&self, news: News) {
        let number = self.0.get(NEWS_HEAD).load(Relaxed) as usize;
        let at = NEWS + number % NEWS_KEPT * NEWS_WORDS;
        let Oops { at: when, signal, address, instruction } = news.fault;
        let words = [news.component as u64, news.fate as u64, when, signal, address, instruction];
        words.into_iter().enumerate().for_each(|(i, word)| self.0.get(at + i).store(word, Relaxed));
        self.0.get(NEWS_HEAD).store(number as u64 + 1, Release);
    }

    /// The news from number `from` on, as far as they are kept, and the number of the next.
    pub fn news(&self, from: u64) -> (Vec<News>, u64) {
        let next = self.0.get(NEWS_HEAD).load(Acquire);
        let news = |number: u64| {
            let word = |i| self.0.get(NEWS + number as usize % NEWS_KEPT * NEWS_WORDS + i).load(Relaxed);
            let fate = [Fate::Died, Fate::Hung, Fate::Restarted, Fate::GivenUp][word(1) as usize & 3];
            let fault = Oops { at: word(2), signal: word(3), address: word(4), instruction: word(5) };
            News { component: word(0) as usize, fate, fault }
        };
        ((from.max(next.saturating_sub(NEWS_KEPT as u64))..next).map(news).collect(), next)
    }

    /// Notes that the kernel ends itself. Safe to call from a signal handler.
    pub fn set_panicked(&self) {
        self.0.get(PANICKED).store(1, Release);
    }

    /// Whether it did.
    pub fn panicked(&self) -> bool {
        self.0.get(PANICKED).load(Acquire) != 0
    }

    /// Counts a panic that a fence stopped.
    pub fn note_fenced(&self) {
        self.0.get(FENCED).fetch_add(1, AcqRel);
    }

    /// Counts a component restarted inside the kernel.
    pub fn note_restart(&self) {
        self.0.get(RESTARTS).fetch_add(1, AcqRel);
    }

    /// Fences and restarts so far.
    pub fn fenced_and_restarted(&self) -> (u64, u64) {
        (self.0.get(FENCED).load(Acquire), self.0.get(RESTARTS).load(Acquire))
    }

    /// Says where a component's module can be patched.
    pub fn set_patch(&self, component: usize, patch: Patch) {
        for (i, address) in [patch.base, patch.code, patch.data].into_iter().enumerate() {
            self.0.get(PATCHES + component * 3 + i).store(address as u64, Release);
        }
    }

    /// Where it can be.
    pub fn patch(&self, component: usize) -> Option<Patch> {
        let word = |i| self.0.get(PATCHES + component * 3 + i).load(Acquire) as usize;
        (word(0) != 0).then(|| Patch { base: word(0), code: word(1), data: word(2) })
    }
}
