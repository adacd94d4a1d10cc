//! The supervisor: starts the domains, notices what fails, restarts it, and reconnects its clients.
//!
//! Restarting needs nothing from a client: the dead server's calls in hand are answered `DIED` (the client's stub
//! repeats them or reports an unknown outcome), those not begun stay where the successor will find them. The module
//! file was checked at boot and is loaded afresh; the disk is the machine's and was never the server's.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::vfs::Vfs;
use kd_api::{AppId, Imports};
use kd_boot::control::{AppRun, Event, Status, What};
use kd_boot::order::start_order;
use kd_boot::root::{Apps, Core, TICK};
use kd_boot::start::{BootError, Parts, Prepared, prepare};
use kd_boot::trace::Counts;
use kd_boot::{Manifest, log};
use kd_machine::clock;
use kd_machine::memory::Memory;
use kd_nucleus::{arena, channel};

use super::domain::{self, Domain};
use super::hang::Progress;
use super::wiring::{Client, Wiring};
use super::{apps, wiring};

/// More deaths than this ...
const DEATHS: usize = 20;
/// ... within this many nanoseconds, and the component stays dead: its fault is not a passing one.
const WITHIN: u64 = 1_000_000_000;

/// The core of the process placement.
pub struct Supervisor {
    parts: Parts,
    prepared: Vec<Prepared>,
    wiring: Wiring,
    servers: Vec<Server>,
    own: Imports,
    apps: Apps,
    last_look: u64,
}

/// A component under supervision.
struct Server {
    domain: Option<Domain>,
    restarts: u32,
    deaths: VecDeque<u64>,
    progress: Progress,
    violations: u32,
}

impl Supervisor {
    /// Boots a kernel.
    pub fn boot(manifest: Manifest, parts: Parts) -> Result<Supervisor, BootError> {
        let order = start_order(&manifest)?;
        let prepared = prepare(&manifest, &parts)?;
        let counts = manifest.trace.then(Counts::new).transpose()?;
        let mut wiring = Wiring::new(&manifest, counts)?;
        let server = || Server {
            domain: None,
            restarts: 0,
            deaths: VecDeque::new(),
            progress: Progress::default(),
            violations: 0,
        };
        let mut servers: Vec<Server> = prepared.iter().map(|_| server()).collect();
        for number in order {
            servers[number].domain = Some(domain::start(number, &prepared, &mut wiring)?);
        }
        let own = wiring.imports(Client::Supervisor, &prepared);
        Ok(Supervisor { parts, prepared, wiring, servers, own, apps: Apps::default(), last_look: 0 })
    }

    fn wires(&self, server: usize) -> impl Iterator<Item = &wiring::Wire> {
        self.wiring.wires.iter().filter(move |wire| wire.server == server)
    }

    fn violations(&self, server: usize) -> u32 {
        self.wires(server).map(|wire| wire.channel.counters().violations.load(Relaxed)).sum()
    }

    /// What is wrong with a server, if anything is; a server that must go is killed.
    fn diagnose(&mut self, number: usize, look: bool) -> Option<What> {
        let violations = self.violations(number);
        let interface = self.prepared[number].component.interface;
        let server = &mut self.servers[number];
        let domain = server.domain.as_mut()?;
        if let Some(exit) = domain.child.poll() {
            return Some(What::Died(exit.to_string()));
        }
        let wrong = if violations > server.violations {
            Some(What::Violated)
        } else if look {
            let pid = domain.child.pid();
            server.progress.look(number, pid, interface, &self.wiring).map(|why| What::Hung(why.into()))
        } else {
            None
        };
        if wrong.is_some() {
            domain.child.kill();
        }
        server.violations = violations;
        wrong
    }

    /// Answers a dead server's clients and starts its successor, unless it died too often.
    fn restart(&mut self, number: usize, events: &mut Vec<Event>) {
        let now = clock::now();
        let name = self.prepared[number].entry.name.clone();
        self.servers[number].domain = None;
        for wire in self.wires(number) {
            channel::scrub(&wire.channel);
        }
        for wire in self.wiring.wires.iter().filter(|wire| wire.client == Client::Component(number)) {
            channel::reset(&wire.channel);
        }
        let server = &mut self.servers[number];
        server.progress = Progress::default();
        server.deaths.push_back(now);
        server.deaths.retain(|&at| now - at < WITHIN);
        let hopeless = server.deaths.len() > DEATHS;
        let started = if hopeless { None } else { domain::start(number, &self.prepared, &mut self.wiring).ok() };
        let what = if started.is_some() { What::Restarted } else { What::GivenUp };
        if started.is_none() {
            for wire in self.wires(number) {
                channel::abandon(&wire.channel);
            }
        }
        let server = &mut self.servers[number];
        server.restarts += u32::from(started.is_some());
        server.domain = started;
        events.push(Event { at: clock::now(), who: name, what });
    }

    /// Releases what a dead app held.
    fn release(wiring: &Wiring, own: &Imports, app: u32) {
        for wire in &wiring.wires {
            if matches!(wire.client, Client::App(number, _) if number == app) {
                channel::reset(&wire.channel);
            }
        }
        for (_, vfs) in own.all::<dyn Vfs>() {
            vfs.app_exited(AppId(app));
        }
    }
}

impl Core for Supervisor {
    fn start_app(&mut self, run: AppRun, board: Memory, results: OwnedFd) -> Result<i32, BootError> {
        apps::start(&mut self.apps, run, (&board, results), (&self.prepared, &mut self.wiring, self.parts))
    }

    fn status(&self) -> Vec<Status> {
        let status = |(number, server): (usize, &Server)| {
            let domain = server.domain.as_ref()?;
            let mut counters = [0; 3];
            for wire in self.wires(number) {
                let of = wire.channel.counters();
                counters[0] += u64::from(of.violations.load(Relaxed));
                counters[1] += u64::from(of.repeated.load(Relaxed));
                counters[2] += u64::from(of.unknown.load(Relaxed));
            }
            Some(Status {
                name: self.prepared[number].entry.name.clone(),
                pid: domain.child.pid(),
                restarts: server.restarts,
                patch: domain.patch,
                arena: (arena::place(domain::places(number).0), arena::PLACE),
                counters,
            })
        };
        self.servers.iter().enumerate().filter_map(status).collect()
    }

    fn watched(&self) -> Vec<i32> {
        let domains = self.servers.iter().filter_map(|server| Some(server.domain.as_ref()?.child.pidfd()));
        domains.chain(self.apps.watched()).collect()
    }

    fn tick(&mut self, events: &mut Vec<Event>) {
        // Looks are counted, so a busy control socket must not multiply them.
        let look = clock::now() - self.last_look >= TICK.as_nanos() as u64;
        if look {
            self.last_look = clock::now();
        }
        for number in 0..self.servers.len() {
            if let Some(what) = self.diagnose(number, look) {
                let event = Event { at: clock::now(), who: self.prepared[number].entry.name.clone(), what };
                log::say(&format!("{}: {:?}", event.who, event.what));
                events.push(event);
                self.restart(number, events);
            }
        }
        let (wiring, own) = (&self.wiring, &self.own);
        self.apps.reap(events, |app| Supervisor::release(wiring, own, app));
    }

    fn signal(&mut self, component: &str, signal: i32) -> bool {
        let number = self.prepared.iter().position(|prepared| prepared.entry.name == component);
        let domain = number.and_then(|number| self.servers[number].domain.as_ref());
        domain.inspect(|domain| domain.child.signal(signal)).is_some()
    }

    fn kill_app(&mut self, app: u32) -> bool {
        self.apps.kill(app)
    }

    fn counts(&self) -> Vec<(String, u64, u64)> {
        let Some(counts) = self.wiring.counts() else { return Vec::new() };
        let components = self.prepared.iter().enumerate();
        components.flat_map(|(number, prepared)| counts.of(number, prepared.component.interface)).collect()
    }
}
