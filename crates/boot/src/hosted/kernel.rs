//! The kernel's own process.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::Vfs;
use kd_api::{AppId, Caller, Errno, Handle, Imports};
use kd_machine::memory::Memory;
use kd_nucleus::berth::Berth;
use kd_nucleus::channel::Pool;
use kd_nucleus::socket::Socket;
use kd_nucleus::{arena, process, threads};
use kd_workloads::Env;
use serde::{Deserialize, Serialize};

use super::page::KernelPage;
use super::ports::{Ports, SYSCALLS, exports};
use super::spare;
use super::upgrade::Holders;
use super::{Holder, Wiring};
use crate::app::{self, App};
use crate::board::Board;
use crate::control::AppRun;
use crate::info;
use crate::manifest::{Entry, Manifest};
use crate::order::start_order;
use crate::start::{BootError, Parts, Prepared, Started};
use crate::version::Upgrade;

/// How often the kernel looks after threads that left and components that died.
const LOOK: Duration = Duration::from_millis(5);

/// What the root asks of the kernel's process.
#[derive(Serialize, Deserialize)]
pub enum Command {
    /// Run an app as a thread; comes with its board and results.
    Start(AppRun),
    /// An app with a process of its own is gone.
    AppExited(u32),
    /// Put another version of a module in its place, and say what came of it.
    Upgrade(Upgrade),
}

/// From which version to which, or why not.
pub type Outcome = Result<String, String>;

/// The place of the kernel's arena in the direct map; the disks' frames follow it.
pub const ARENA: usize = 0;

/// Boots the kernel in this process and runs it; returns only when it could not boot, or the root is gone. With a berth it
/// waits there, when all is loaded.
#[allow(clippy::too_many_arguments)] // Each is the root's, and one kernel's alone.
pub fn run(
    manifest: &Manifest,
    prepared: &'static [Prepared],
    ports: &Ports,
    page: &'static KernelPage,
    wiring: &'static dyn Wiring,
    parts: Parts,
    commands: &Socket,
    berth: Option<&Berth>,
) -> Result<(), BootError> {
    arena::adopt(ARENA)?;
    wiring.install(page);
    berth.map_or(Ok(()), |berth| spare::wait(berth, prepared, page))?;
    let handles = prepared.iter().map(|_| None).collect();
    let mut kernel = Kernel { prepared, wiring, handles, parts, page, holders: Holders::default() };
    for number in start_order(manifest)? {
        let started = kernel.start(number)?;
        if let Some(patch) = started.patch {
            page.set_patch(number, patch);
        }
        kernel.handles[number] = Some(started.handle);
        if let Some(info) = info::get() {
            info.set_domain(number, std::process::id() as i32, 0);
        }
    }
    let mut pools = Vec::new();
    for app in 1..=manifest.apps {
        pools.extend(kernel.open_ports(app, ports)?);
    }
    page.set_ready(1);
    kernel.serve(commands, &pools);
    Ok(())
}

/// The components as they run.
pub struct Kernel {
    pub(super) prepared: &'static [Prepared],
    wiring: &'static dyn Wiring,
    pub(super) handles: Vec<Option<Handle>>,
    parts: Parts,
    pub(super) page: &'static KernelPage,
    pub(super) holders: Holders,
}

/// What one app holds: the table of system calls, and the components that apps may call.
type Held = (Arc<dyn Syscalls>, Imports);

impl Kernel {
    /// Starts a component over those that run.
    pub(super) fn start(&self, number: usize) -> Result<Started, BootError> {
        let mine = &self.prepared[number];
        let holder = Holder { component: Some(mine), ..Holder::KERNEL };
        let mut imports = self.clients(holder, |entry| mine.entry.imports.contains(&entry.name));
        imports.set_offers(self.holders.offers_of(number));
        self.wiring.start(mine, number, imports)
    }

    /// What `holder` holds of the components that `wanted` picks.
    fn clients(&self, holder: Holder, wanted: impl Fn(&Entry) -> bool) -> Imports {
        let mut imports = Imports::default();
        for (number, (prepared, handle)) in self.prepared.iter().zip(&self.handles).enumerate() {
            if let (true, Some(handle)) = (wanted(&prepared.entry), handle) {
                imports.insert(&prepared.entry.name, self.wiring.client(prepared, number, handle, holder));
            }
        }
        imports
    }

    fn held_by(&self, app: u32) -> Result<Held, BootError> {
        let holder = Holder { caller: Caller::app(app), component: None };
        let services = self.clients(holder, |entry| entry.apps);
        let sys = (self.parts.syscalls)(&services).map_err(|error| BootError::Start(SYSCALLS.into(), error))?;
        Ok((sys, services))
    }

    /// Starts an app's kernel-mode half: for every export a thread for each of the app's halves, and one to spare.
    fn open_ports(&self, app: u32, ports: &Ports) -> Result<Vec<&'static Pool>, BootError> {
        let (sys, services) = self.held_by(app)?;
        let handle = |name: &str| match name {
            SYSCALLS => Some(Handle::new(sys.clone())),
            _ => services.handle(name).cloned(),
        };
        let pool = |(export, (name, _)): (usize, &(String, _))| {
            let clients = ports.clients_of(app, export);
            let bell = clients.first()?.0.bell.clone();
            let pool = Pool::new(clients, bell, handle(name)?.serve(), ports.wait(), 3);
            pool.start();
            Some(pool)
        };
        Ok(exports(self.prepared).iter().enumerate().filter_map(pool).collect())
    }

    fn serve(&mut self, commands: &Socket, pools: &[&'static Pool]) {
        let kernel = self.clients(Holder::KERNEL, |entry| entry.apps);
        loop {
            let ready = process::poll(&[commands.fd().as_raw_fd()], Some(LOOK));
            pools.iter().for_each(|pool| pool.replenish());
            self.wiring.look_after(self.page);
            if ready != [true] {
                continue;
            }
            let Ok((command, fds)) = commands.receive::<Command>() else { return };
            match command {
                Command::AppExited(app) => {
                    kernel.all::<dyn Vfs>().for_each(|(_, vfs)| vfs.app_exited(AppId(app)));
                    self.page.note_released();
                }
                // An app that cannot start leaves its results empty, which is what its starter waits for.
                Command::Start(run) => drop(self.start_app(run, fds)),
                Command::Upgrade(upgrade) => {
                    let outcome: Outcome = self.upgrade(&upgrade).map_err(|error| error.to_string());
                    // A root that is gone asks for none.
                    let _ = commands.send(&outcome, &[]);
                }
            }
        }
    }

    fn start_app(&self, run: AppRun, mut fds: Vec<OwnedFd>) -> Result<(), BootError> {
        let (Some(results), Some(board)) = (fds.pop(), fds.pop()) else { return Ok(()) };
        let board = Board::map(&Memory::from_fd(board)?)?;
        let env = thread_env(run.app, self.held_by(run.app)?, Some(self.held_by(run.app)?));
        let root = std::os::unix::process::parent_id() as i32;
        let main = self.parts.app;
        let app = App { env, run, board, results: results.into(), root };
        Ok(threads::spawn(format!("app-{}", app.run.app), move || main(app))?)
    }
}

/// The environment of an app that is a thread of the kernel's process; its partner is another.
fn thread_env(app: u32, held: Held, partner: Option<Held>) -> Env {
    app::env(app, held.0, held.1, move |body| {
        let env = thread_env(app, partner.clone().ok_or(Errno::EAGAIN)?, None);
        threads::spawn(format!("app-{app}-partner"), move || body(&env)).map_err(|_| Errno::EAGAIN)
    })
}
