//! The thread placement: each component behind a few threads of its own, crossbeam channels between domains.
//!
//! A panic ends one server's thread; the components of its domain are started anew and their other callers never know.
//! Memory is not protected: a wild write reaches everything, and a fault of the processor ends the process and with it
//! the kernel.

mod port;
mod server;

use std::sync::{Arc, Mutex};

use kd_api::client::Port;
use kd_api::component::Interface;
use kd_api::interfaces::fs::FileSystem;
use kd_api::interfaces::vfs::Vfs;
use kd_api::module::HostTable;
use kd_api::server::Dispatch;
use kd_api::{Caller, Handle, Imports};
use kd_boot::Placement;
use kd_boot::hosted::{Holder, KernelPage, Wiring};
use kd_boot::start::{BootError, Prepared, Started, host_table};
use kd_boot::{info, log};
use kd_nucleus::threads;

pub use port::ThreadPort;
pub use server::Server;

/// The core of the thread placement.
pub struct Threads {
    servers: Mutex<Vec<Restartable>>,
}

/// A server, and what it takes to start its component again.
struct Restartable {
    server: Arc<Server>,
    prepared: &'static Prepared,
    imports: Imports,
    number: usize,
}

static HOST: HostTable = host_table(panicked);

impl Threads {
    /// A kernel without components.
    pub const fn new() -> Threads {
        Threads { servers: Mutex::new(Vec::new()) }
    }
}

impl Default for Threads {
    fn default() -> Self {
        Threads::new()
    }
}

/// A port to a server with threads of its own, outside any kernel: one crossing of this transport, to test or to time.
pub fn connect(dispatch: Arc<dyn Dispatch>, name: &str, threads: u32, caller: Caller) -> Arc<dyn Port> {
    Arc::new(port::ThreadPort::new(&Server::start(dispatch, name, threads), caller))
}

/// The place of a component's disk in the direct map: right behind the kernel's arena.
const fn disk_place(number: usize) -> usize {
    1 + number
}

impl Wiring for Threads {
    fn install(&'static self, _: &'static KernelPage) {
        // The thread that panics is unwound to its server's loop, which replaces it.
        log::panics("kernel thread".into(), || ());
        threads::prepare_with(|| ());
    }

    fn start(
        &'static self,
        prepared: &'static Prepared,
        number: usize,
        imports: Imports,
    ) -> Result<Started, BootError> {
        let started = prepared.start(&imports, disk_place(number), &HOST)?;
        let server = Server::start(started.handle.serve(), &prepared.entry.name, prepared.entry.threads);
        let mut servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        servers.push(Restartable { server, prepared, imports, number });
        Ok(started)
    }

    fn client(&self, prepared: &'static Prepared, number: usize, started: &Handle, holder: Holder) -> Handle {
        let neighbours = holder.component.is_some_and(|holder| holder.domain == prepared.domain);
        if neighbours || prepared.placement == Placement::Direct {
            return started.clone();
        }
        let servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = servers.iter().find(|started| started.number == number).expect("started before anybody calls it");
        (prepared.component.client)(Arc::new(port::ThreadPort::new(&server.server, holder.caller)))
    }

    fn look_after(&self, page: &KernelPage) {
        let servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut broken: Vec<&str> = Vec::new();
        for Restartable { server, prepared, .. } in servers.iter() {
            if server.died() {
                page.note_fenced();
                broken.push(&prepared.domain);
            }
        }
        broken.sort_unstable();
        broken.dedup();
        for domain in broken {
            if restart(&servers, domain) {
                page.note_restart();
            }
        }
    }
}

/// Starts all components of a domain anew, imports first: they hold each other. Whether all of them started.
fn restart(servers: &[Restartable], domain: &str) -> bool {
    let mut fresh: Vec<(&str, Handle)> = Vec::new();
    let members: Vec<&Restartable> = servers.iter().filter(|one| one.prepared.domain == domain).collect();
    for Restartable { prepared, imports, number, server } in &members {
        let mut imports = imports.clone();
        for (name, handle) in
            fresh.iter().filter(|(name, _)| prepared.entry.imports.iter().any(|import| import == name))
        {
            imports.insert(name, handle.clone());
        }
        // A driver of the old instance may still be inside on another thread; both use the one mapping of the disk.
        let Ok(started) = prepared.start(&imports, disk_place(*number), &HOST) else { return false };
        server.replace(started.handle.serve());
        fresh.push((&prepared.entry.name, started.handle));
        if let Some(info) = info::get() {
            info.set_domain(*number, std::process::id() as i32, info.restarts(*number) + 1);
        }
    }
    if members.iter().any(|one| one.prepared.component.interface.name == <dyn FileSystem>::info().name) {
        forget_names(servers);
    }
    true
}

/// A file system was started anew: whoever mounts it is told.
fn forget_names(servers: &[Restartable]) {
    for Restartable { server, prepared, .. } in servers {
        let client = (prepared.component.client)(Arc::new(port::ThreadPort::new(server, Caller::KERNEL)));
        if let Ok(vfs) = client.get::<dyn Vfs>() {
            vfs.file_system_restarted();
        }
    }
}

/// A panic that a module's fence stopped: its thread is not unwound through the module, it ends here.
extern "C" fn panicked(text: *const u8, len: usize) -> ! {
    log::module_line(text, len);
    server::abandon_thread()
}
