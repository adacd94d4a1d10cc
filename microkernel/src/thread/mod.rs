//! The thread placement: each component behind a few threads of its own, crossbeam channels between them.
//!
//! A panic ends one server's thread; the component is started anew and its other callers never know. Memory is not
//! protected: a wild write reaches everything, and a fault of the processor ends the process and with it the kernel.

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
use kd_boot::hosted::{KernelPage, Wiring};
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

    fn client(&self, prepared: &'static Prepared, number: usize, started: &Handle, caller: Caller) -> Handle {
        if prepared.placement == Placement::Direct {
            return started.clone();
        }
        let servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let server = servers.iter().find(|started| started.number == number).expect("started before anybody calls it");
        (prepared.component.client)(Arc::new(port::ThreadPort::new(&server.server, caller)))
    }

    fn look_after(&self, page: &KernelPage) {
        let servers = self.servers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for Restartable { server, prepared, imports, number } in servers.iter() {
            if !server.died() {
                continue;
            }
            page.note_fenced();
            // A driver of the old instance may still be inside on another thread; both use the one mapping of the disk.
            if let Ok(started) = prepared.start(imports, disk_place(*number), &HOST) {
                let handle: Handle = started.handle;
                server.replace(handle.serve());
                page.note_restart();
                if prepared.component.interface.name == <dyn FileSystem>::info().name {
                    forget_names(&servers);
                }
                if let Some(info) = info::get() {
                    info.set_domain(*number, std::process::id() as i32, info.restarts(*number) + 1);
                }
            }
        }
    }
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
