//! A domain: a process with one component, or with several that share it.

use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use kd_api::module::HostTable;
use kd_api::{Caller, Handle};
use kd_boot::control::Patch;
use kd_boot::manifest::Entry;
use kd_boot::order::Together;
use kd_boot::start::{BootError, Prepared, host_table};
use kd_boot::{Placement, log};
use kd_machine::memory::{Memory, Words};
use kd_nucleus::arena;
use kd_nucleus::channel::Pool;
use kd_nucleus::process::{self, Child};

use super::wiring::{Client, Result, Wiring};
use crate::thread;

/// Words of a domain's page: state, and where each member's code can be patched.
const STATE: usize = 0;
const PATCH: usize = 1;
const STARTING: u64 = 0;
const READY: u64 = 1;
const FAILED: u64 = 2;

/// A domain's process, as the supervisor knows it.
pub struct Domain {
    /// The process.
    pub child: Child,
    /// Where the code of each member can be patched.
    pub patches: Vec<Option<Patch>>,
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

/// Forks a domain of so many components and waits until it answers.
pub fn start(of: &Together, prepared: &[Prepared], wiring: &mut Wiring) -> Result<Domain> {
    let Together { name, members } = of;
    let page = Words::new(Memory::new("kd-domain", 4096)?.map()?);
    let mut child = process::fork(|| {
        process::set_name(&format!("kd-{name}"));
        match run(name, members, prepared, wiring, &page) {
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
    let patch = |member: usize| {
        let word = |i: usize| page.get(PATCH + 3 * member + i).load(Acquire) as usize;
        (word(0) != 0).then(|| Patch { base: word(0), code: word(1), data: word(2) })
    };
    Ok(Domain { child, patches: (0..members.len()).map(patch).collect() })
}

/// The domain's own half: takes what is its own, forgets the rest, starts its components, answers for ever.
fn run(name: &str, members: &[usize], prepared: &[Prepared], wiring: &mut Wiring, page: &Words) -> Result<i32> {
    let ours = |client| members.iter().any(|&member| client == Client::Component(member));
    wiring.keep(|wire| members.contains(&wire.server) || ours(wire.client));
    // A panic ends the domain, as every other fault does: its caller must not wait for a thread that is gone.
    log::panics(name.into(), || std::process::abort());
    arena::adopt(places(members[0]).0)?;
    let mut started: Vec<(usize, Handle)> = Vec::new();
    for (i, &number) in members.iter().enumerate() {
        let mine = &prepared[number];
        let mut imports = wiring.imports(Client::Component(number), prepared);
        for (other, handle) in &started {
            if mine.entry.imports.contains(&prepared[*other].entry.name) {
                imports.insert(&prepared[*other].entry.name, neighbour(mine, &prepared[*other], handle));
            }
        }
        let component = mine.start(&imports, places(number).1, &HOST)?;
        if let Some(patch) = component.patch {
            for (word, address) in [patch.base, patch.code, patch.data].into_iter().enumerate() {
                page.get(PATCH + 3 * i + word).store(address as u64, Release);
            }
        }
        started.push((number, component.handle));
    }
    process::close_descriptors();
    for (number, handle) in started {
        // Without a bell there is no channel: nobody outside may call it.
        let Some(bell) = wiring.bell(number) else { continue };
        let threads = prepared[number].entry.threads;
        Pool::new(wiring.clients_of(number), bell, handle.serve(), wiring.wait(), threads).start();
    }
    page.get(STATE).store(READY, Release);
    loop {
        std::thread::park();
    }
}

/// What a component holds of another in its own process: the other itself, unless threads stand between their domains.
fn neighbour(mine: &Prepared, prepared: &Prepared, handle: &Handle) -> Handle {
    if mine.domain == prepared.domain || prepared.placement == Placement::Direct {
        return handle.clone();
    }
    let Entry { name, threads, .. } = &prepared.entry;
    (prepared.component.client)(thread::connect(handle.serve(), name, *threads, Caller::KERNEL))
}
