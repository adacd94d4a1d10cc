//! The supervisor: starts the domains, notices what fails, restarts it, and reconnects its clients.
//!
//! Here it looks; what it does about what it finds is in [`restart`](super::restart).

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kd_api::interfaces::vfs::Vfs;
use kd_api::{AppId, Imports};
use kd_boot::control::{AppRun, Event, Status, What};
use kd_boot::devices::Devices;
use kd_boot::order::{Together, groups};
use kd_boot::policy::{Policy, Way};
use kd_boot::root::{Apps, Core, TICK};
use kd_boot::start::{BootError, Parts, Prepared, prepare};
use kd_boot::trace::Counts;
use kd_boot::version::{Upgrade, UpgradeError};
use kd_boot::{Manifest, info};
use kd_machine::clock;
use kd_machine::memory::Memory;
use kd_nucleus::berth::Berth;
use kd_nucleus::process::{self, signal_name};
use kd_nucleus::ring::Ring;
use kd_nucleus::{arena, channel};

use super::domain::{self, Begin, Domain, Shared};
use super::dying::Dying;
use super::server::{Life, Server};
use super::wiring::{Client, Wiring};
use super::{apps, exec, wiring};

/// The core of the process placement.
pub struct Supervisor {
    parts: Parts,
    pub(super) prepared: Vec<Prepared>,
    pub(super) wiring: Wiring,
    /// Imports first.
    pub(super) servers: Vec<Server>,
    /// By which domains call for attention.
    ring: &'static Ring,
    /// Processes that are dead and that the host has not buried yet.
    pub(super) dying: Dying,
    devices: Devices,
    pub(super) own: Imports,
    apps: Apps,
    last_look: u64,
    patience: u32,
}

/// The policy that all members of a domain have.
fn policy_of(of: &Together, manifest: &Manifest) -> Result<Policy, BootError> {
    let entries = || of.members.iter().map(|&member| &manifest.entries[member]);
    for entry in entries() {
        entry.policy.check().map_err(|error| BootError::Policy(entry.name.clone(), error))?;
    }
    let Some(first) = entries().next() else { return Ok(Policy::default()) };
    if let Some(other) = entries().find(|entry| entry.policy != first.policy) {
        return Err(BootError::Policies(first.name.clone(), other.name.clone()));
    }
    // A device without an IOMMU makes every arena a part of one memory, where two processes cannot have the same.
    let shared = manifest.entries.iter().any(|entry| entry.ring.as_ref().is_some_and(|ring| !ring.iommu));
    let way = if shared && first.policy.way == Way::Standby { Way::Warm } else { first.policy.way };
    Ok(Policy { way, ..first.policy })
}

impl Supervisor {
    /// Boots a kernel.
    pub fn boot(manifest: Manifest, parts: Parts) -> Result<Supervisor, BootError> {
        let order = groups(&manifest, |entry| manifest.process_of(entry))?;
        let policies = order.iter().map(|of| policy_of(of, &manifest)).collect::<Result<Vec<_>, _>>()?;
        let mut prepared = prepare(&manifest, &parts)?;
        for (number, prepared) in prepared.iter_mut().enumerate() {
            prepared.keep_store(domain::places(number).1)?;
        }
        let devices = Devices::start(prepared.iter().filter_map(|prepared| prepared.link.as_ref()))?;
        let counts = manifest.trace.then(Counts::new).transpose()?;
        let mut wiring = Wiring::new(&manifest, counts)?;
        process::measure()?;
        // A root has one boot.
        let ring: &'static Ring = Box::leak(Box::new(Ring::new()?));
        let image = exec::is_possible(&manifest).then(|| Arc::new(manifest.clone()));
        let mut servers = Vec::new();
        for (of, policy) in order.into_iter().zip(policies) {
            servers.push(Server::new(of, policy, Shared { ring, berth: Berth::new()?, image: image.clone() }));
        }
        for Server { of, .. } in servers.iter().filter(|server| server.policy.way != Way::Cold) {
            of.members.iter().try_for_each(|&member| prepared[member].warm_up())?;
        }
        for server in &mut servers {
            let mut domain = Domain::begin(Begin::AtOnce, &server.of, &prepared, &mut wiring, &server.shared)?;
            let (start, members) = (&mut server.start, &server.of.members);
            domain.wait(&server.of.name, ring, |pid| start.look(pid, members, &wiring, manifest.patience))?;
            server.life = Life::Up(domain);
        }
        let own = wiring.imports(Client::Supervisor, &prepared);
        servers.iter().for_each(Server::show);
        Ok(Supervisor {
            parts,
            prepared,
            wiring,
            servers,
            ring,
            dying: Dying::default(),
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
    pub(super) fn served(&self, server: usize) -> impl Iterator<Item = &wiring::Wire> {
        self.servers[server].of.members.iter().flat_map(|&member| self.wires(member))
    }

    /// Tells the kernel's components how many messages each server has taken up: the numbers in its channels say so.
    fn show_crossings(&self) {
        let Some(info) = info::get() else { return };
        for member in 0..self.prepared.len() {
            info.set_crossings(member, self.wires(member).map(|wire| wire.exchanges.count(&wire.channel)).sum());
        }
    }

    /// What is wrong with a server that answers or starts, if anything is.
    fn diagnose(&mut self, server: usize, look: bool, events: &mut Vec<Event>) -> Option<What> {
        let violations = self.served(server).map(|wire| wire.channel.counters().violations.load(Relaxed)).sum();
        let server = &mut self.servers[server];
        let broken = violations > std::mem::replace(&mut server.violations, violations);
        let members = &server.of.members;
        let (domain, up) = match &mut server.life {
            Life::Up(domain) => (domain, true),
            Life::Starting(domain) => (domain, false),
            Life::Due(_) | Life::Down => return None,
        };
        if let Some((at, signal)) = domain.last_words() {
            let why = signal_name(signal).to_owned();
            events.push(Event { at, who: server.of.name.clone(), what: What::Faulted(why.clone()) });
            return Some(What::Died(why));
        }
        if let Some(exit) = domain.child.poll() {
            return Some(What::Died(exit.to_string()));
        }
        if broken {
            return Some(What::Violated);
        }
        let pid = domain.child.pid();
        if !up && look && domain.ready_at().is_none() {
            return server.start.look(pid, members, &self.wiring, self.patience).map(|why| What::Hung(why.into()));
        }
        // One that is being replaced keeps calls waiting on purpose.
        if !up || !look || server.upgrading.is_some() {
            return None;
        }
        // As one that waits for another server, a driver that waits for its device is excused, and who calls it directly.
        let busy = members.iter().any(|&member| self.devices.busy(&self.prepared[member].entry.name));
        let mut looks = members.iter().zip(&mut server.progress);
        let hung = looks.find_map(|(&member, progress)| {
            let interface = self.prepared[member].component.interface;
            progress.look(member, (pid, members), interface, &self.wiring, (self.patience, busy))
        });
        let called = members.iter().any(|&member| self.wiring.is_called(member));
        let bell = members.iter().find_map(|&member| self.wiring.bell(member));
        let still = || server.pulse.look(pid, called, &bell?);
        hung.or_else(still).map(|why| What::Hung(why.into()))
    }

    /// Looks after one server, whatever it is doing.
    fn attend(&mut self, number: usize, look: bool, events: &mut Vec<Event>) {
        if let Some(what) = self.diagnose(number, look, events) {
            self.bury(number, what, events);
        }
        self.look_after_upgrade(number, events);
        let server = &mut self.servers[number];
        if let Life::Starting(domain) = &server.life
            && let Some(at) = domain.ready_at()
        {
            if let Some(domain) = server.take_domain() {
                server.life = Life::Up(domain);
            }
            server.restarts += 1;
            server.hung_starts = 0;
            server.show();
            events.push(Event { at, who: server.of.name.clone(), what: What::Restarted });
            self.call_followers(number, events);
        }
        if let Life::Due(at) = self.servers[number].life
            && clock::now() >= at
            && self.imports_are_settled(number)
        {
            self.start(number, events);
        }
        if look {
            self.look_after_standby(number);
        }
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
            let Some(domain) = server.domain() else { continue };
            for (&member, patch) in server.of.members.iter().zip(domain.patches()) {
                let mut counters = [0; 3];
                for of in self.wires(member).map(|wire| wire.channel.counters()) {
                    counters[0] += u64::from(of.violations.load(Relaxed));
                    counters[1] += u64::from(of.repeated.load(Relaxed));
                    counters[2] += u64::from(of.unknown.load(Relaxed));
                }
                all.push(Status {
                    name: self.prepared[member].entry.name.clone(),
                    pid: domain.child.pid(),
                    standby: server.standby.as_ref().filter(|one| one.is_prepared()).map(|one| one.child.pid()),
                    restarts: server.restarts,
                    patch,
                    arena: (arena::place(domain::places(server.of.members[0]).0), arena::PLACE),
                    store: self.prepared[member].store_at(domain::places(member).1),
                    counters,
                });
            }
        }
        all
    }

    fn watched(&self) -> Vec<i32> {
        let servers = self.servers.iter().flat_map(Server::watched);
        let ours = std::iter::once(self.ring.fd()).chain(servers).chain(self.dying.watched());
        ours.chain(self.devices.watched()).chain(self.apps.watched()).collect()
    }

    fn tick(&mut self, events: &mut Vec<Event>) {
        // Before looking: who rings while we look is looked at again.
        self.ring.clear();
        // Looks are counted, so a busy control socket must not multiply them.
        let look = clock::now() - self.last_look >= TICK.as_nanos() as u64;
        if look {
            self.last_look = clock::now();
            self.show_crossings();
        }
        for number in 0..self.servers.len() {
            self.attend(number, look, events);
        }
        self.devices.tick(events);
        // One of its threads that was just going to sleep on the bell may have been rung in the stead of a successor's.
        let buried = self.dying.look();
        buried.into_iter().for_each(|server| self.ring(server));
        let (wiring, own) = (&self.wiring, &self.own);
        self.apps.reap(events, |app| Supervisor::release(wiring, own, app));
    }

    fn signal(&mut self, component: &str, signal: i32) -> bool {
        let named = |member: &usize| self.prepared[*member].entry.name == component;
        let server = self.servers.iter().find(|server| server.of.members.iter().any(named));
        let domain = server.and_then(Server::domain);
        domain.inspect(|domain| domain.child.signal(signal)).is_some()
    }

    fn apps(&self) -> &Apps {
        &self.apps
    }

    fn upgrade(&mut self, upgrade: Upgrade, _: &mut Vec<Event>) -> std::result::Result<(), UpgradeError> {
        self.begin_upgrade(&upgrade)
    }

    fn devices(&self) -> Option<&Devices> {
        Some(&self.devices)
    }

    fn counts(&self) -> Vec<(String, u64, u64)> {
        self.wiring.counts().map_or_else(Vec::new, |counts| counts.named(&self.prepared))
    }
}
