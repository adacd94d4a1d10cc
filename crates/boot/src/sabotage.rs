//! A boot that is told to fail: a mutant in one of its components, and a page on which the boot shows the harness what
//! came of it. Every kernel does this by the same code, and none in a boot that was not told to.
//!
//! When a component starts, a *canary* is planted before and after whatever it takes from its heap: bytes that nobody has
//! a pointer to, so that whoever changes them wrote where nothing of his is. Before that its process is
//! [confined](confine): what broken code asks of the host reaches no other process. A component that is to fail notes where
//! its code begins, after it has started; the harness lays the breakpoint there when it has seen the component work
//! ([`Witness::begin`]), and successors of the first instance lay their own, if the fault is to outlive a restart.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::*};
use std::sync::{Arc, Once, OnceLock};

use kd_api::interfaces::block::BlockDevice;
use kd_machine::clock;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::mutant::{self, Mutant};
use kd_nucleus::pkey::thread;
use kd_nucleus::{confine, process};
use serde::{Deserialize, Serialize};

use crate::control::canary;
use crate::misdeed::{Misbehaving, Misbehaviour};
use crate::{Manifest, log};

/// What is to fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sabotage {
    /// The component.
    pub component: String,
    /// Whether its successors have the fault too.
    pub permanent: bool,
    /// How it fails.
    pub how: How,
}

/// How a component fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// One of its instructions is another one.
    Mutant(Mutant),
    /// It answers wrongly: a driver alone.
    Misbehaviour(Misbehaviour),
}

const INSTANCES: usize = mutant::WORDS;
const BEGUN: usize = INSTANCES + 1;
const SUBJECT: usize = BEGUN + 1;
const BASE: usize = SUBJECT + 1;
const CANARIES: usize = 32;
const CANARIES_EACH: usize = 2;
const WORDS_EACH: usize = 1 + CANARIES_EACH;
const SIZE: usize = 4096;

/// The page.
pub struct Witness(Words);

/// A canary, as its planter noted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The process it is in.
    pub pid: i32,
    /// Where.
    pub address: usize,
}

impl Witness {
    /// A fresh page, and its memory object to hand on.
    pub fn new() -> io::Result<(Memory, Witness)> {
        let memory = Memory::new("kd-witness", SIZE)?;
        let witness = Witness::map(&memory)?;
        Ok((memory, witness))
    }

    fn map(memory: &Memory) -> io::Result<Witness> {
        Ok(Witness(Words::new(memory.map()?)))
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        self.0.get(index)
    }

    /// Forgets a boot.
    pub fn clear(&self) {
        (0..self.0.len()).for_each(|index| self.word(index).store(0, Release));
    }

    /// How many instances executed the fault.
    pub fn activations(&self) -> u64 {
        self.word(mutant::ACTIVATIONS).load(Acquire)
    }

    /// When the first did.
    pub fn activated_at(&self) -> u64 {
        self.word(mutant::WHEN).load(Acquire)
    }

    /// The registers then.
    pub fn registers(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let value = |number| self.word(mutant::FIRST_REGISTER + number).load(Acquire);
        mutant::REGISTERS.into_iter().enumerate().map(move |(number, name)| (name, value(number)))
    }

    /// Instances of the component that fails, so far.
    pub fn instances(&self) -> u64 {
        self.word(INSTANCES).load(Acquire)
    }

    /// The process of the first of them, and where its code begins there.
    pub fn subject(&self) -> Option<(i32, usize)> {
        let base = self.word(BASE).load(Acquire) as usize;
        (base != 0).then(|| (self.word(SUBJECT).load(Acquire) as i32, base))
    }

    /// From now on instances that start are mutants: to be said when the first one is made one.
    pub fn begin(&self) {
        self.word(BEGUN).store(1, Release);
    }

    /// The canaries of a component, by its number in the manifest; those of its present instance.
    pub fn canaries(&self, component: usize) -> Vec<Canary> {
        let word = |i| self.word(CANARIES + WORDS_EACH * component + i).load(Acquire);
        let canary = |i| Canary { pid: word(0) as i32, address: word(1 + i) as usize };
        (0..CANARIES_EACH).map(canary).filter(|canary| canary.address != 0).collect()
    }
}

/// A boot that is told to fail.
struct Told {
    sabotage: Sabotage,
    names: Vec<String>,
    witness: Witness,
}

static TOLD: OnceLock<Told> = OnceLock::new();

/// Whether this process is confined: its first component is about to start.
static CONFINED: Once = Once::new();

fn confine() {
    if let Err(error) = confine::confine() {
        log::say(&format!("not confined, so that no fault is made: {error}"));
        std::process::abort();
    }
}

/// Notes, in the root and before it forks anything, what this boot is told.
///
/// # Errors
/// The host's, if it cannot map the page.
pub fn open(manifest: &Manifest, page: &Memory) -> io::Result<()> {
    let Some(sabotage) = manifest.sabotage.clone() else { return Ok(()) };
    process::silence()?;
    let names = manifest.entries.iter().map(|entry| entry.name.clone()).collect();
    // A root has one boot; a second one would find the first.
    let _ = TOLD.set(Told { sabotage, names, witness: Witness::map(page)? });
    Ok(())
}

/// Around a component's start, in its domain, with where its code begins.
pub fn around<R>(name: &str, base: Option<usize>, start: impl FnOnce() -> R) -> R {
    let Some(told) = TOLD.get() else { return start() };
    thread::outside(|| CONFINED.call_once(confine));
    told.plant(name, 0);
    let started = start();
    told.plant(name, 1);
    if let Some(base) = base.filter(|_| name == told.sabotage.component) {
        // A domain in this process cannot change code itself.
        thread::outside(|| told.prepare(base));
    }
    started
}

/// A driver as the kernel is to have it: one that misbehaves, if it is told to.
pub fn driver(name: &str, device: Arc<dyn BlockDevice>) -> Arc<dyn BlockDevice> {
    let Some(told) = TOLD.get().filter(|told| told.sabotage.component == name) else { return device };
    let successor = told.witness.instances() > 0;
    match told.sabotage.how {
        How::Misbehaviour(what) if !successor || told.sabotage.permanent => Arc::new(Misbehaving {
            inner: device,
            what,
            permanent: told.sabotage.permanent,
            good: || TOLD.get().is_none_or(|told| told.witness.word(BEGUN).load(Acquire) == 0),
            done: || thread::outside(|| TOLD.get().into_iter().for_each(Told::note_misdeed)),
            calls: AtomicU64::new(0),
        }),
        _ => device,
    }
}

impl Told {
    /// A misdeed, as a mutant's activation is noted.
    fn note_misdeed(&self) {
        if self.witness.word(mutant::ACTIVATIONS).fetch_add(1, AcqRel) == 0 {
            self.witness.word(mutant::PROCESS).store(std::process::id().into(), Relaxed);
            self.witness.word(mutant::WHEN).store(clock::now(), Release);
        }
    }

    fn plant(&self, name: &str, which: usize) {
        let Some(number) = self.names.iter().position(|known| known == name) else { return };
        let at = CANARIES + WORDS_EACH * number;
        if at + WORDS_EACH > self.witness.0.len() {
            return;
        }
        let bytes: &'static mut [u8] = canary(number as u64).leak();
        thread::outside(|| {
            self.witness.word(at).store(std::process::id().into(), Relaxed);
            self.witness.word(at + 1 + which).store(bytes.as_ptr() as u64, Release);
        });
    }

    /// An instance that has started: the first is the harness's to make a mutant.
    fn prepare(&'static self, base: usize) {
        let first = self.witness.word(INSTANCES).fetch_add(1, AcqRel) == 0;
        let begun = self.witness.word(BEGUN).load(Acquire) != 0;
        let done = match &self.sabotage.how {
            How::Mutant(mutant) if first || self.sabotage.permanent => {
                mutant::prepare(base, mutant, &self.witness.0, begun)
            }
            How::Mutant(_) => mutant::restore(),
            How::Misbehaviour(_) => Ok(()),
        };
        if let Err(error) = done {
            return log::say(&format!("no mutant of {}: {error}", self.sabotage.component));
        }
        if first {
            self.witness.word(SUBJECT).store(std::process::id().into(), Relaxed);
            self.witness.word(BASE).store(base as u64, Release);
        }
    }
}
