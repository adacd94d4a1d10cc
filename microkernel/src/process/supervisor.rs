//! The supervisor: starts the domains, notices what fails, restarts it, and reconnects its clients.
//!
//! Restarting needs nothing from a client: the dead server's calls in hand are answered `DIED` (the client's stub
//! repeats them or reports an unknown outcome), those not begun stay where the successor will find them. The module
//! file was checked at boot and is loaded afresh; the disk is the machine's and was never the server's.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

use kd_api::component::Interface;
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::vfs::Vfs;
use kd_api::{AppId, Imports};
use kd_boot::control::{AppRun, Event, Status, What};
use kd_boot::devices::Devices;
use kd_boot::order::{Together, groups};
use kd_boot::root::{Apps, Core, TICK};
use kd_boot::start::{BootError, Parts, Prepared, prepare};
use kd_boot::trace::Counts;
use kd_boot::{Manifest, info, log};
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
    devices: Devices,
    own: Imports,
    apps: Apps,
    last_look: u64,
    patience: u32,
}

/// A domain under supervision.
struct Server {
    /// Its name and its components.
    of: Together,
    domain: Option<Domain>,
    restarts: u32,
    deaths: VecDeque<u64>,
    /// Of each member.
    progress: Vec<Progress>,
    violations: u32,
}

impl Server {
    fn new(of: Together) -> Server {
        let progress = of.members.iter().map(|_| Progress::default()).collect();
        Server { of, domain: None, restarts: 0, deaths: VecDeque::new(), progress, violations: 0 }
    }

    /// Tells the kernel's components where this server runs.
    fn show(&self) {
        let pid = self.domain.as_ref().map_or(0, |domain| domain.child.pid());
        if let Some(info) = info::get() {
            self.of.members.iter().for_each(|&member| info.set_domain(member, pid, self.restarts));
        }
    }
}

impl Supervisor {
    /// Boots a kernel.
    pub fn boot(manifest: Manifest, parts: Parts) -> Result<Supervisor, BootError> {
        let order = groups(&manifest, |entry| manifest.process_of(entry))?;
        let prepared = prepare(&manifest, &parts)?;
        let devices = Devices::start(prepared.iter().filter_map(|prepared| prepared.link.as_ref()))?;
        let counts = manifest.trace.then(Counts::new).transpose()?;
        let mut wiring = Wiring::new(&manifest, counts)?;
        let mut servers: Vec<Server> = order.into_iter().map(Server::new).collect();
        for server in &mut servers {
            server.domain = Some(domain::start(&server.of, &prepared, &mut wiring)?);
        }
        let own = wiring.imports(Client::Supervisor, &prepared);
        servers.iter().for_each(Server::show);
        Ok(Supervisor {
            parts,
            prepared,
            wiring,
            servers,
            devices,
            own,
            apps: Apps::default(),
            last_look: 0,
            patience: manifest.patience,
        })
    }

    fn wires(&self, component: usize) -> impl Iterator<Item = &wiring::Wire> {
        self.wiring.wires.iter().filter(move |wire| wire.server == component)
    }

    /// The channels that a server answers.
    fn served(&self, server: usize) -> impl Iterator<Item = &wiring::Wire> {
        self.servers[server].of.members.iter().flat_map(|&member| self.wires(member))
    }

    /// Tells the kernel's components how many messages each server has taken up: the numbers in its channels say so.
    fn show_crossings(&self) {
        let Some(info) = info::get() else { return };
        for member in 0..self.prepared.len() {
            info.set_crossings(member, self.wires(member).map(|wire| wire.exchanges.count(&wire.channel)).sum());
        }
    }

    /// What is wrong with a server, if anything is; a server that must go is killed.
    fn diagnose(&mut self, server: usize, look: bool) -> Option<What> {
        let violations = self.served(server).map(|wire| wire.channel.counters().violations.load(Relaxed)).sum();
        let Server { of: Together { members, .. }, domain, progress, violations: before, .. } =
            &mut self.servers[server];
        let domain = domain.as_mut()?;
        if let Some(exit) = domain.child.poll() {
            return Some(What::Died(exit.to_string()));
        }
        let pid = domain.child.pid();
        let hung = || {
            // As one that waits for another server, a driver that waits for its device is excused, and who calls it directly.
            let busy = members.iter().any(|&member| self.devices.busy(&self.prepared[member].entry.name));
            let mut looks = members.iter().zip(progress);
            looks.find_map(|(&member, progress)| {
                let interface = self.prepared[member].component.interface;
                progress.look(member, (pid, members), interface, &self.wiring, (self.patience, busy))
            })
        };
        let wrong = match (violations > *before, look) {
            (true, _) => Some(What::Violated),
            (_, true) => hung().map(|why| What::Hung(why.into())),
            _ => None,
        };
        if wrong.is_some() {
            domain.child.kill();
        }
        *before = violations;
        wrong
    }

    /// Answers a dead server's clients and starts its successor, unless it died too often.
    fn restart(&mut self, number: usize, events: &mut Vec<Event>) {
        let now = clock::now();
        self.servers[number].domain = None;
        for wire in self.served(number) {
            channel::scrub(&wire.channel);
        }
        let of = self.servers[number].of.clone();
        for &member in &of.members {
            for wire in self.wiring.wires.iter().filter(|wire| wire.client == Client::Component(member)) {
                channel::reset(&wire.channel);
            }
        }
        let interface = |&member: &usize| self.prepared[member].component.interface.name;
        if of.members.iter().any(|member| interface(member) == <dyn FileSystem>::info().name) {
            // Before its successor answers anybody.
            self.own.all::<dyn Vfs>().for_each(|(_, vfs)| vfs.file_system_restarted());
        }
        let server = &mut self.servers[number];
        server.progress.fill_with(Progress::default);
        server.deaths.push_back(now);
        server.deaths.retain(|&at| now - at < WITHIN);
        let hopeless = server.deaths.len() > DEATHS;
        let started = if hopeless { None } else { domain::start(&of, &self.prepared, &mut self.wiring).ok() };
        let what = if started.is_some() { What::Restarted } else { What::GivenUp };
        if started.is_none() {
            for wire in self.served(number) {
                channel::abandon(&wire.channel);
            }
        }
        let server = &mut self.servers[number];
        server.restarts += u32::from(started.is_some());
        server.domain = started;
        server.show();
        events.push(Event { at: clock::now(), who: of.name, what });
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
        let mut all = Vec::new();
        for server in &self.servers {
            let Some(domain) = &server.domain else { continue };
            for (&member, patch) in server.of.members.iter().zip(&domain.patches) {
                let mut counters = [0; 3];
                for of in self.wires(member).map(|wire| wire.channel.counters()) {
                    counters[0] += u64::from(of.violations.load(Relaxed));
                    counters[1] += u64::from(of.repeated.load(Relaxed));
                    counters[2] += u64::from(of.unknown.load(Relaxed));
                }
                all.push(Status {
                    name: self.prepared[member].entry.name.clone(),
                    pid: domain.child.pid(),
                    restarts: server.restarts,
                    patch: *patch,
                    arena: (arena::place(domain::places(server.of.members[0]).0), arena::PLACE),
                    counters,
                });
            }
        }
        all
    }

    fn watched(&self) -> Vec<i32> {
        let domains = self.servers.iter().filter_map(|server| Some(server.domain.as_ref()?.child.pidfd()));
        domains.chain(self.devices.watched()).chain(self.apps.watched()).collect()
    }

    fn tick(&mut self, events: &mut Vec<Event>) {
        // Looks are counted, so a busy control socket must not multiply them.
        let look = clock::now() - self.last_look >= TICK.as_nanos() as u64;
        if look {
            self.last_look = clock::now();
            self.show_crossings();
        }
        self.devices.tick(events);
        for number in 0..self.servers.len() {
            if let Some(what) = self.diagnose(number, look) {
                let event = Event { at: clock::now(), who: self.servers[number].of.name.clone(), what };
                log::say(&format!("{}: {:?}", event.who, event.what));
                events.push(event);
                self.restart(number, events);
            }
        }
        let (wiring, own) = (&self.wiring, &self.own);
        self.apps.reap(events, |app| Supervisor::release(wiring, own, app));
    }

    fn signal(&mut self, component: &str, signal: i32) -> bool {
        let named = |member: &usize| self.prepared[*member].entry.name == component;
        let server = self.servers.iter().find(|server| server.of.members.iter().any(named));
        let domain = server.and_then(|server| server.domain.as_ref());
        domain.inspect(|domain| domain.child.signal(signal)).is_some()
    }

    fn kill_app(&mut self, app: u32) -> bool {
        self.apps.kill(app)
    }

    fn devices(&self) -> Option<&Devices> {
        Some(&self.devices)
    }

    fn counts(&self) -> Vec<(String, u64, u64)> {
        self.wiring.counts().map_or_else(Vec::new, |counts| counts.named(&self.prepared))
    }
}
