//! The supervisor: a thread outside all domains that starts the components of dead ones anew and ends those that hang.
//!
//! It sleeps until a domain dies. The handler of the fault wakes it; who called waits for the domain to live again. It
//! looks by itself some hundred times a second for threads that burn CPU time in a domain and make no call: the gates
//! count calls, so looking costs those who cross nothing.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use kd_api::Caller;
use kd_api::component::Interface;
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::vfs::Vfs;
use kd_boot::hosted::{Fate, KernelPage, News, Oops};
use kd_boot::{info, log};
use kd_machine::clock;
use kd_nucleus::pkey::domain::{self, Fault, Progress, State};
use kd_nucleus::pkey::{DOMAINS, thread};
use kd_nucleus::process;

use super::{Domains, Running};

/// Between two looks at threads.
const LOOK: Duration = Duration::from_millis(10);
/// CPU time of a thread in one domain without making a call: some thousand times what the longest honest one takes.
const CPU_LIMIT: Duration = Duration::from_millis(50);
/// The same on an emulated processor, which is slower, and whose host takes time from it that it counts as its own.
const EMULATED_LIMIT: Duration = Duration::from_secs(20);
/// More deaths than these within [`WITHIN`], and a domain stays dead.
const DEATHS: usize = 20;
const WITHIN: u64 = 1_000_000_000;

/// Where a thread was at the last look, since when, by its own CPU time.
struct Seen(Progress, Duration);

/// Restarts what dies, for ever.
pub fn supervise(domains: &'static Domains, page: &'static KernelPage) {
    thread::restart_domains();
    let mut deaths: [VecDeque<u64>; DOMAINS] = Default::default();
    let mut seen: Vec<Seen> = Vec::new();
    let limit = if is_emulated() { EMULATED_LIMIT } else { CPU_LIMIT };
    loop {
        let before = domain::deaths();
        let running = domains.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Imports first: components are in the order in which they were started.
        for component in &running {
            if domain::get(component.at.domain).state() == State::Dead {
                restart(component.at.domain, &mut deaths[component.at.domain], &running, page);
            }
        }
        if !running.is_empty() {
            seen = look(seen, limit);
            domain::expel_stragglers();
        }
        domain::wait_for_deaths(before, LOOK.as_nanos() as u64);
    }
}

/// Empties a dead domain and starts all its components, which hold each other, anew.
fn restart(number: usize, deaths: &mut VecDeque<u64>, all: &[Arc<Running>], page: &KernelPage) {
    let members: Vec<&Arc<Running>> = all.iter().filter(|one| one.at.domain == number).collect();
    let name = &members[0].prepared.domain;
    let domain = domain::get(number);
    let Fault { signal, address, instruction } = domain.faults().1;
    log::say(&format!("{name}: {}", describe(domain.faults().1)));
    let now = clock::now();
    let fault = Oops { at: now, signal: signal as u64, address: address as u64, instruction: instruction as u64 };
    let tell = |fate, fault| page.tell(News { component: members[0].at.number, fate, fault });
    tell(if signal == 0 { Fate::Hung } else { Fate::Died }, fault);
    deaths.push_back(now);
    deaths.retain(|at| now - at < WITHIN);
    let modules: Vec<_> = members.iter().filter_map(|one| one.loaded.module().zip(one.statics.as_ref())).collect();
    let emptied = domain::evacuate(number, &modules);
    if deaths.len() > DEATHS {
        log::say(&format!("{name}: died more than {DEATHS} times in a second, and stays dead"));
        tell(Fate::GivenUp, Oops { at: clock::now(), ..fault });
        return domain.set(State::Gone);
    }
    domain.set(State::Absent);
    let started = emptied.map_err(Into::into).and_then(|()| members.iter().try_for_each(|one| one.start()));
    if let Err(error) = started {
        // It is tried again at the next look.
        log::say(&format!("{name}: {error}"));
        return domain.set(State::Dead);
    }
    if members.iter().any(|one| one.prepared.component.interface.name == <dyn FileSystem>::info().name) {
        // Before its successor answers anybody.
        let told = all.iter().filter(|other| other.at.domain != number);
        told.filter_map(|other| other.client(Caller::KERNEL).get::<dyn Vfs>().ok())
            .for_each(|vfs| vfs.file_system_restarted());
    }
    domain.set(State::Alive);
    tell(Fate::Restarted, Oops { at: clock::now(), ..fault });
    for one in &members {
        if let Some(info) = info::get() {
            info.set_domain(one.at.number, std::process::id() as i32, info.restarts(one.at.number) + 1);
        }
    }
}

/// A fault in words.
pub fn describe(fault: Fault) -> String {
    match fault.signal {
        0 => "burns CPU time and finishes nothing".into(),
        signal => {
            format!("{} at {:#x}, accessing {:#x}", process::signal_name(signal), fault.instruction, fault.address)
        }
    }
}

/// Whether QEMU interprets this processor's instructions.
fn is_emulated() -> bool {
    std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| text.contains("QEMU TCG"))
}

/// Condemns domains in which a thread makes no progress but uses CPU time.
fn look(before: Vec<Seen>, limit: Duration) -> Vec<Seen> {
    let mut now = Vec::new();
    for progress in domain::progress() {
        let used = process::thread_cpu_time(progress.thread);
        let since = before.iter().find(|seen| seen.0 == progress && !progress.parked).map_or(used, |seen| seen.1);
        if used.saturating_sub(since) > limit {
            domain::condemn(progress.domain);
        }
        now.push(Seen(progress, since));
    }
    now
}
