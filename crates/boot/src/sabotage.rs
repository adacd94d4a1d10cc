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

use kd_api::Handle;
use kd_api::device::Device;
use kd_api::interfaces::block::BlockDevice;
use kd_api::server::Dispatch;
use kd_machine::clock;
use kd_machine::memory::{Memory, Words};
use kd_nucleus::mutant::{self, Mutant};
use kd_nucleus::pkey::thread;
use kd_nucleus::{confine, process};
use serde::{Deserialize, Serialize};

use crate::control::canary;
use crate::misdeed::{Astray, Forger, Misbehaving, Misbehaviour, Misdeed, Place, Trespasser, Trigger, World};
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
    /// It does wrong at one of its calls.
    Misbehaviour(Misbehaviour),
}

const INSTANCES: usize = mutant::WORDS;
const BEGUN: usize = INSTANCES + 1;
const SUBJECT: usize = BEGUN + 1;
const BASE: usize = SUBJECT + 1;
const CANARIES: usize = 32;
const CANARIES_EACH: usize = 2;
const WORDS_EACH: usize = 1 + CANARIES_EACH;
/// Where the harness says where the other app's data lie, and what was read of others' memory begins with its length.
const TARGET: usize = 511;
const LOOT: usize = 512;
const LOOT_MAX: usize = 4096;
const SIZE: usize = 3 * 4096;

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

    /// Says where the other app's data lie, in the process that holds them.
    pub fn point(&self, address: usize) {
        self.word(TARGET).store(address as u64, Release);
    }

    /// What the component that fails read last of what is not its own.
    pub fn loot(&self) -> Vec<u8> {
        let len = (self.word(LOOT).load(Acquire) as usize).min(LOOT_MAX);
        (0..len / 8).flat_map(|word| self.word(LOOT + 1 + word).load(Acquire).to_ne_bytes()).collect()
    }

    fn take(&self, bytes: &[u8]) {
        for (number, word) in bytes.chunks_exact(8).take(LOOT_MAX / 8).enumerate() {
            let word = word.try_into().map_or(0, u64::from_ne_bytes);
            self.word(LOOT + 1 + number).store(word, Relaxed);
        }
        self.word(LOOT).store(bytes.len().min(LOOT_MAX) as u64, Release);
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

/// A component as the kernel is to have it: one that misbehaves, if it is told to.
pub fn handle(name: &str, handle: Handle) -> Handle {
    let Some((what, permanent)) = told_to(name) else { return handle };
    let trigger = || Trigger::new(what, permanent, WORLD);
    match (what.misdeed.place(), handle.get::<dyn BlockDevice>()) {
        (Place::Device(_), _) => handle,
        (Place::Message, _) => handle.with_server(forge),
        // A driver has sectors where others have handles.
        (Place::Answer, Ok(driver)) => Handle::new::<dyn BlockDevice>(Arc::new(Misbehaving::new(driver, trigger()))),
        (_, Ok(driver)) if what.misdeed == Misdeed::Foreign => {
            Handle::new::<dyn BlockDevice>(Arc::new(Misbehaving::new(driver, trigger())))
        }
        (Place::Answer, Err(_)) => handle,
        (Place::Call(_), _) => handle.observed(Arc::new(Trespasser::new(trigger()))),
    }
}

/// A device as its driver is to see it: led astray, if the driver is told to misaddress it.
pub fn device(name: &str, device: &'static dyn Device) -> &'static dyn Device {
    match told_to(name) {
        Some((what, permanent)) if matches!(what.misdeed.place(), Place::Device(_)) => {
            Box::leak(Box::new(Astray::new(device, Trigger::new(what, permanent, WORLD))))
        }
        _ => device,
    }
}

/// How an instance that starts now is to misbehave, and whether its successors do.
fn told_to(name: &str) -> Option<(Misbehaviour, bool)> {
    let told = TOLD.get().filter(|told| told.sabotage.component == name)?;
    let successor = told.witness.instances() > 0;
    match told.sabotage.how {
        How::Misbehaviour(what) if !successor || told.sabotage.permanent => Some((what, told.sabotage.permanent)),
        _ => None,
    }
}

/// A server's messages, forged. Successors in the same process begin to count anew, as those in others do.
fn forge(server: Arc<dyn Dispatch>) -> Arc<dyn Dispatch> {
    let Some(Told { sabotage: Sabotage { how: How::Misbehaviour(what), permanent, .. }, .. }) = TOLD.get() else {
        return server;
    };
    Arc::new(Forger::new(server, Box::leak(Box::new(Trigger::new(*what, *permanent, WORLD)))))
}

/// What misdeeds need of a boot. What a domain behind a key cannot do itself is done outside it.
const WORLD: World = World {
    good: || TOLD.get().is_none_or(|told| told.witness.word(BEGUN).load(Acquire) == 0),
    done: || thread::outside(|| TOLD.get().into_iter().for_each(Told::note_misdeed)),
    loot: |bytes| thread::outside(|| TOLD.get().into_iter().for_each(|told| told.witness.take(bytes))),
    target: |what| TOLD.get()?.target(what),
};

impl Told {
    /// Where a misdeed goes at what is not the component's own: at the other app's data, or at a canary of another component,
    /// whichever it is by name.
    fn target(&self, what: Misbehaviour) -> Option<usize> {
        if what.misdeed == Misdeed::Cached {
            return Some(self.witness.word(TARGET).load(Acquire) as usize).filter(|address| *address != 0);
        }
        let mut others: Vec<&String> = self.names.iter().filter(|name| **name != self.sabotage.component).collect();
        others.sort();
        let name = others.get((what.salt % others.len().max(1) as u64) as usize)?;
        let number = self.names.iter().position(|known| known == *name)?;
        let canaries = self.witness.canaries(number);
        canaries.get((what.salt >> 32) as usize % canaries.len().max(1)).map(|canary| canary.address)
    }

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
