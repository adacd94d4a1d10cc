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
use kd_boot::policy::Policy;
use kd_boot::{info, log};
use kd_machine::clock;
use kd_nucleus::pkey::domain::{self, Fault, Progress, State};
use kd_nucleus::pkey::{DOMAINS, thread};
use kd_nucleus::process;

use super::{Domains, Running};

/// Nanoseconds.
const MS: u64 = 1_000_000;
/// Between two looks at threads.
const LOOK: Duration = Duration::from_millis(10);

/// Where a thread was at the last look, since when, by its own CPU time.
struct Seen(Progress, Duration);

/// Restarts what dies, for ever. A thread may burn as much CPU time in one domain without making a call as the manifest
/// has patience.
pub fn supervise(domains: &'static Domains, page: &'static KernelPage) {
    thread::restart_domains();
    let mut deaths: [VecDeque<u64>; DOMAINS] = Default::default();
    let mut seen: Vec<Seen> = Vec::new();
    let limit = Duration::from_millis(domains.patience.into()) * process::slowness();
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
    // All of a domain have the same.
    let Policy { deaths: most, within_ms, .. } = members[0].prepared.entry.policy;
    deaths.push_back(now);
    deaths.retain(|at| now - at < within_ms * MS);
    let modules: Vec<_> = members.iter().filter_map(|one| one.loaded.module().zip(one.statics.as_ref())).collect();
    let emptied = domain::evacuate(number, &modules);
    if deaths.len() > most as usize {
        log::say(&format!("{name}: died more than {most} times in {within_ms} ms, and stays dead"));
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
