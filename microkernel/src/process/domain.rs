//! A domain: one component in a process of its own.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use kd_api::module::HostTable;
use kd_boot::control::Patch;
use kd_boot::log;
use kd_boot::start::{BootError, Prepared, host_table};
use kd_machine::memory::{Memory, Words};
use kd_nucleus::arena;
use kd_nucleus::channel::Pool;
use kd_nucleus::process::{self, Child};

use super::wiring::{Client, Result, Wiring};

/// Words of a domain's page: state, and where its module can be patched.
const STATE: usize = 0;
const PATCH: usize = 1;
const STARTING: u64 = 0;
const READY: u64 = 1;
const FAILED: u64 = 2;

/// A component's process, as the supervisor knows it.
pub struct Domain {
    /// The process.
    pub child: Child,
    /// Where its module can be patched, if it is one.
    pub patch: Option<Patch>,
}

/// The places of a domain in the direct map: its arena, and its disk's frames right after.
pub const fn places(number: usize) -> (usize, usize) {
    (2 * number, 2 * number + 1)
}

static HOST: HostTable = host_table(panicked);

/// A panic that the module's fence stopped ends the domain: what it was doing cannot be trusted any more.
extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    log::module_line(text, len);
    std::process::abort()
}

/// Forks a domain and waits until it answers.
pub fn start(number: usize, prepared: &[Prepared], wiring: &mut Wiring) -> Result<Domain> {
    let name = &prepared[number].entry.name;
    let page = Words::new(Memory::new("kd-domain", 4096)?.map()?);
    let mut child = process::fork(|| {
        process::set_name(&format!("kd-{name}"));
        match run(number, prepared, wiring, &page) {
            Ok(never) => never,
            Err(error) => {
                log::say(&format!("{name}: {error}"));
                page.get(STATE).store(FAILED, Release);
                1
            }
        }
    })?;
    // The newcomer needs this core if it is the only one; a futex would cost it a system call more.
    while page.get(STATE).load(Acquire) == STARTING {
        if let Some(exit) = child.poll() {
            return Err(BootError::Ended(name.clone(), exit.to_string()));
        }
        std::thread::sleep(Duration::from_micros(5));
    }
    if page.get(STATE).load(Acquire) == FAILED {
        return Err(BootError::Ended(name.clone(), child.wait().to_string()));
    }
    let word = |i: usize| page.get(PATCH + i).load(Acquire) as usize;
    let patch = Patch { base: word(0), code: word(1), data: word(2) };
    Ok(Domain { child, patch: (patch.base != 0).then_some(patch) })
}

/// The domain's own half: takes what is its own, forgets the rest, starts the component, answers for ever.
fn run(number: usize, prepared: &[Prepared], wiring: &mut Wiring, page: &Words) -> Result<i32> {
    wiring.keep(|wire| wire.server == number || wire.client == Client::Component(number));
    // A panic ends the domain, as every other fault does: its caller must not wait for a thread that is gone.
    log::panics(prepared[number].entry.name.clone(), || std::process::abort());
    let (heap, disk) = places(number);
    arena::adopt(heap)?;
    let mine = &prepared[number];
    let imports = wiring.imports(Client::Component(number), prepared);
    let started = mine.start(&imports, disk, &HOST)?;
    process::close_descriptors();
    if let Some(patch) = started.patch {
        for (i, address) in [patch.base, patch.code, patch.data].into_iter().enumerate() {
            page.get(PATCH + i).store(address as u64, Release);
        }
    }
    let Some(bell) = wiring.bell(number) else { return idle(page) };
    let pool = Pool::new(wiring.clients_of(number), bell, started.handle.serve(), wiring.wait(), mine.entry.threads);
    page.get(STATE).store(READY, Release);
    pool.run()
}

/// A component that nobody may call waits to be killed.
fn idle(page: &Words) -> Result<i32> {
    page.get(STATE).store(READY, Release);
    loop {
        std::thread::park();
    }
}
