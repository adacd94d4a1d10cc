//! The root's half of a kernel in one process.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use kd_machine::clock;
use kd_machine::memory::Memory;
use kd_nucleus::berth::Berth;
use kd_nucleus::process::{self, Child, signal_name};
use kd_nucleus::socket::Socket;
use kd_nucleus::{arena, channel};

use super::Wiring;
use super::kernel::{self, Command, Outcome};
use super::page::{Fate, KernelPage, News, Oops};
use super::ports::{Ports, SYSCALLS, exports};
use super::spare::Spare;
use crate::Manifest;
use crate::app::env;
use crate::control::{AppRun, Event, Status, What};
use crate::devices::Devices;
use crate::root::{Apps, Core};
use crate::start::{BootError, Parts, Prepared, prepare};
use crate::version::{Upgrade, UpgradeError};
use crate::{info, log};

/// How long a module may take to load.
const LOADING: Duration = Duration::from_secs(5);
/// How long an app's end may keep the next app from starting: a kernel that is stuck releases nothing, and answers neither.
const RELEASING: Duration = Duration::from_secs(1);

/// The core of a kernel in one process.
pub struct Hosted {
    manifest: Manifest,
    parts: Parts,
    wiring: &'static dyn Wiring,
    prepared: &'static [Prepared],
    ports: Ports,
    page: &'static KernelPage,
    kernel: Option<(Child, Socket)>,
    spare: Option<Spare>,
    devices: Devices,
    apps: Apps,
    reboots: u32,
    oopses: u64,
    fenced: u64,
    news: u64,
    /// Apps of whose end this kernel has been told.
    exits: u64,
}

impl Hosted {
    /// Boots a kernel.
    pub fn boot(manifest: Manifest, parts: Parts, wiring: &'static dyn Wiring) -> Result<Hosted, BootError> {
        let prepared: &'static [Prepared] = prepare(&manifest, &parts)?.leak();
        let devices = Devices::start(prepared.iter().filter_map(|prepared| prepared.link.as_ref()))?;
        let page: &'static KernelPage = Box::leak(Box::new(KernelPage::new()?));
        page.set_panic_on_oops(manifest.panic_on_oops);
        let ports = Ports::new(&manifest, exports(prepared).len())?;
        let apps = Apps::default();
        let mut hosted = Hosted {
            manifest,
            parts,
            wiring,
            prepared,
            ports,
            page,
            kernel: None,
            spare: None,
            devices,
            apps,
            reboots: 0,
            oopses: 0,
            fenced: 0,
            news: 0,
            exits: 0,
        };
        hosted.start()?;
        Ok(hosted)
    }

    /// Starts a kernel, the spare one if there is one, and waits until it runs. Disks are as the last kernel left them.
    fn start(&mut self) -> Result<(), BootError> {
        self.page.clear();
        (self.oopses, self.fenced, self.news, self.exits) = (0, 0, 0, 0);
        let spare = self.spare.take().and_then(Spare::if_fit);
        let (mut child, ours) = match spare {
            Some(Spare { child, commands, berth }) => {
                berth.clear();
                (child, commands)
            }
            None => self.fork(None)?,
        };
        while self.page.ready() == 0 {
            if let Some(exit) = child.poll() {
                return Err(BootError::Ended("kernel".into(), exit.to_string()));
            }
            std::thread::sleep(Duration::from_micros(5));
        }
        if self.page.ready() != 1 {
            let exit = child.wait().to_string();
            return Err(ours
                .receive()
                .map_or_else(|_| BootError::Ended("kernel".into(), exit), |(why, _)| BootError::Within(why)));
        }
        self.kernel = Some((child, ours));
        Ok(())
    }

    /// Forks a kernel's process; with a berth it waits there before it starts anything.
    fn fork(&self, berth: Option<&Berth>) -> Result<(Child, Socket), BootError> {
        let (ours, theirs) = Socket::pair()?;
        let (manifest, prepared, ports, page) = (&self.manifest, self.prepared, &self.ports, self.page);
        let (wiring, parts) = (self.wiring, self.parts);
        // An app that is forked later has neither.
        let lend = |share| {
            berth.map_or(Ok(()), |berth| berth.share_with_children(share))?;
            page.share_with_children(share)
        };
        lend(true)?;
        let child = process::fork(|| {
            process::set_name(if berth.is_some() { "kd-spare" } else { "kd-kernel" });
            match kernel::run(manifest, prepared, ports, page, wiring, parts, &theirs, berth) {
                Ok(()) => 0,
                Err(error) => {
                    log::say(&format!("kernel: {error}"));
                    // A root that is gone asks for no reason.
                    let _ = theirs.send(&error.to_string(), &[]);
                    page.set_ready(2);
                    1
                }
            }
        });
        lend(false)?;
        Ok((child?, ours))
    }

    /// Waits until the kernel has dealt with every app that ended: one of the same number would else lose what it opens to the
    /// end of the last.
    fn let_go_of_the_dead(&mut self) {
        let Some((kernel, _)) = &mut self.kernel else { return };
        let begin = Instant::now();
        while self.page.released() < self.exits && kernel.poll().is_none() && begin.elapsed() < RELEASING {
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    /// Has a kernel wait to follow this one, if that is wanted. Without one, a reboot is a fork; so it is with a device that
    /// reaches all memory, since then two kernels would have one arena.
    fn load_spare(&mut self) {
        let shared = self.manifest.entries.iter().any(|entry| entry.ring.as_ref().is_some_and(|ring| !ring.iommu));
        if !self.manifest.kexec || shared || self.kernel.is_none() || self.spare.is_some() {
            return;
        }
        let Ok(berth) = Berth::new() else { return };
        self.spare = self.fork(Some(&berth)).ok().map(|(child, commands)| Spare { child, commands, berth });
    }

    fn note_oopses(&mut self, events: &mut Vec<Event>) {
        let (oopses, next) = self.page.oopses(self.oopses);
        self.oopses = next;
        let event = |oops: Oops| Event { at: oops.at, who: "kernel".into(), what: What::Oops(describe(&oops)) };
        for event in oopses.into_iter().map(event) {
            log::say(&format!("{}: {:?}", event.who, event.what));
            events.push(event);
        }
        let (news, next) = self.page.news(self.news);
        self.news = next;
        events.extend(news.into_iter().map(|News { component, fate, fault }| {
            let what = match fate {
                Fate::Died => What::Died(describe(&fault)),
                Fate::Hung => What::Hung("burns CPU time and finishes nothing".into()),
                Fate::Restarted => What::Restarted,
                Fate::GivenUp => What::GivenUp,
            };
            let name = self.prepared.get(component).map(|prepared| prepared.domain.clone());
            Event { at: fault.at, who: name.unwrap_or_default(), what }
        }));
        let (fenced, restarts) = self.page.fenced_and_restarted();
        for number in self.fenced..fenced.min(restarts) {
            let text = format!("panic number {} stopped at its server's thread, which was replaced", number + 1);
            events.push(Event { at: clock::now(), who: "kernel".into(), what: What::Fenced(text) });
            self.fenced = number + 1;
        }
    }
}

fn describe(oops: &Oops) -> String {
    let what = match oops.signal {
        0 => "panic",
        signal => signal_name(signal as i32),
    };
    format!("{what} at {:#x}, accessing {:#x}", oops.instruction, oops.address)
}

impl Core for Hosted {
    fn start_app(&mut self, run: AppRun, board: Memory, results: OwnedFd) -> Result<i32, BootError> {
        self.let_go_of_the_dead();
        let (kernel, commands) =
            self.kernel.as_ref().ok_or_else(|| BootError::Ended("kernel".into(), "panic".into()))?;
        if !run.own_process {
            commands.send(&Command::Start(run), &[board.as_fd(), results.as_fd()])?;
            return Ok(kernel.pid());
        }
        let (ports, prepared) = (&mut self.ports, self.prepared);
        let app = run.app;
        self.apps.fork(run, &board, results, self.parts.app, || {
            ports.keep(app);
            let imports = |partner| {
                let imports = ports.imports(app, partner, &exports(prepared));
                let wrong = |error| BootError::Start(SYSCALLS.into(), error);
                imports.get(SYSCALLS).map(|sys| (sys, imports.clone())).map_err(wrong)
            };
            let (main, partner) = (imports(false)?, imports(true)?);
            Ok(env(app, main.0, main.1, move |body| {
                let env = env(app, partner.0.clone(), partner.1.clone(), |_| Err(kd_api::Errno::EAGAIN));
                let child = process::fork(|| {
                    body(&env);
                    0
                });
                std::mem::forget(child.map_err(|_| kd_api::Errno::EAGAIN)?);
                Ok(())
            }))
        })
    }

    fn status(&self) -> Vec<Status> {
        let Some((kernel, _)) = &self.kernel else { return Vec::new() };
        let restarts = |number| info::get().map_or(0, |info| info.restarts(number));
        let of = |(number, prepared): (usize, &Prepared)| Status {
            name: prepared.entry.name.clone(),
            pid: kernel.pid(),
            standby: self.page.spare(),
            restarts: self.reboots + restarts(number),
            patch: self.page.patch(number),
            arena: (arena::place(self.wiring.arena(number)), arena::PLACE),
            store: self.wiring.store(prepared, number),
            counters: [0; 3],
        };
        self.prepared.iter().enumerate().map(of).collect()
    }

    fn watched(&self) -> Vec<i32> {
        let kernel = self.kernel.iter().map(|(kernel, _)| kernel.pidfd());
        kernel.chain(self.devices.watched()).chain(self.apps.watched()).collect()
    }

    fn tick(&mut self, events: &mut Vec<Event>) {
        self.note_oopses(events);
        self.load_spare();
        self.devices.tick(events);
        let exit = self.kernel.as_mut().and_then(|(kernel, _)| kernel.poll());
        if let Some(exit) = exit {
            let at = clock::now();
            let how = if self.page.panicked() { "it ended itself".into() } else { exit.to_string() };
            self.note_oopses(events);
            events.push(Event { at, who: "kernel".into(), what: What::Panic(how) });
            self.kernel = None;
            // The machine goes down with its kernel, and every app with it.
            self.apps = Apps::default();
            for channel in self.ports.channels(None) {
                channel::withdraw(channel);
                channel::scrub(channel);
            }
            if self.page.panic_on_oops() && self.start().is_ok() {
                self.reboots += 1;
                events.push(Event { at: clock::now(), who: "kernel".into(), what: What::Restarted });
            }
        }
        let (ports, kernel, exits) = (&self.ports, &self.kernel, &mut self.exits);
        self.apps.reap(events, |app| {
            ports.channels(Some(app)).for_each(channel::reset);
            if let Some((_, commands)) = kernel {
                // A kernel that is just dying takes the app's descriptors with it.
                *exits += u64::from(commands.send(&Command::AppExited(app), &[]).is_ok());
            }
        });
    }

    fn signal(&mut self, component: &str, signal: i32) -> bool {
        let known = component == "kernel" || self.prepared.iter().any(|prepared| prepared.entry.name == component);
        let kernel = self.kernel.as_ref().filter(|_| known);
        kernel.inspect(|(kernel, _)| kernel.signal(signal)).is_some()
    }

    fn apps(&self) -> &Apps {
        &self.apps
    }

    fn upgrade(&mut self, upgrade: Upgrade, events: &mut Vec<Event>) -> Result<(), UpgradeError> {
        let Some((_, commands)) = &self.kernel else { return Err(UpgradeError::NotUp(upgrade.component)) };
        let who = upgrade.component.clone();
        commands.send(&Command::Upgrade(upgrade), &[])?;
        // As on Linux, it is the loading thread that a module's start keeps; nothing says how long.
        if process::poll(&[commands.fd().as_raw_fd()], Some(LOADING)) != [true] {
            return Err(UpgradeError::Within(format!("the kernel has been loading `{who}` for {LOADING:?}")));
        }
        let what = commands.receive::<Outcome>()?.0.map_err(UpgradeError::Within)?;
        events.push(Event { at: clock::now(), who, what: What::Upgraded(what) });
        Ok(())
    }

    fn devices(&self) -> Option<&Devices> {
        Some(&self.devices)
    }

    fn counts(&self) -> Vec<(String, u64, u64)> {
        self.wiring.counts(self.prepared)
    }

    fn panic_on_oops(&mut self) {
        self.page.set_panic_on_oops(true);
    }
}
