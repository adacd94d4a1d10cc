//! The kernels: what runs in each boot's root process, and which core a manifest asks for.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use kd_api::Imports;
use kd_api::component::StartError;
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::syscalls::Syscalls;
use kd_api::interfaces::vfs::Vfs;
use kd_boot::Manifest;
use kd_boot::control::{AppRun, Event, Status};
use kd_boot::hosted::Hosted;
use kd_boot::manifest::Kernel;
use kd_boot::root::{self, Apps, Core};
use kd_boot::start::{BootError, Parts};
use kd_linux::{HostFolder, Linux, enter_private_tmpfs, enter_with_folder};
use kd_machine::memory::Memory;
use kd_microkernel::pkey::Domains;
use kd_microkernel::process::Supervisor;
use kd_microkernel::thread::Threads;
use kd_monolithic::Direct;
use kd_nucleus::process;
use kd_nucleus::socket::Socket;
use kd_subsystems::syscalls::SyscallTable;

use crate::experiments::primitives::rig;

kd_nucleus::zygote_entry!(root_main);

static PARK: kd_sync::Park = kd_sync::Park { wait: kd_nucleus::futex::park, wake: kd_nucleus::futex::wake };
static HOST: kd_sync::Host = kd_sync::Host {
    spawn: |name, body| kd_nucleus::threads::spawn(name.into(), body).is_ok(),
    now: kd_machine::clock::today,
    exact_now: kd_machine::clock::today_exactly,
    wait_for: kd_nucleus::futex::wait_for,
    log: kd_boot::log::say,
};
static MONOLITHIC: Direct = Direct;
static THREADS: Threads = Threads::new();

/// What every kernel here is made of.
pub const PARTS: Parts = Parts { components: kd_subsystems::components, syscalls, app: crate::app::main };

fn syscalls(services: &Imports) -> Result<Arc<dyn Syscalls>, StartError> {
    Ok(Arc::new(SyscallTable::new(services.get::<dyn Vfs>("vfs")?, services.get::<dyn Proc>("proc")?)))
}

/// What [`Zygote::boot`](kd_nucleus::zygote::Zygote::boot) is told so that the root boots a kernel.
pub const PURPOSE: &str = "kernel";

/// A root process, or one that is executed for something else, from its first to its last instruction.
fn root_main(purpose: &str, control: Socket) {
    kd_sync::install(&PARK);
    kd_sync::install_host(&HOST);
    match purpose {
        // A harness that is gone needs no answer.
        rig::PURPOSE => drop(rig::serve(&control)),
        kd_microkernel::process::PURPOSE => kd_microkernel::process::run(&control, &PARTS),
        _ => root::serve(&control, boot),
    }
}

fn boot(manifest: Manifest) -> Result<Box<dyn Core>, BootError> {
    Ok(match manifest.kernel {
        Kernel::Linux => Box::new(Host::boot(manifest.host_folder())?),
        Kernel::Monolithic => Box::new(Hosted::boot(manifest, PARTS, &MONOLITHIC)?),
        Kernel::Microkernel if manifest.has_keys() => {
            // A root has one boot.
            let domains: &'static Domains = Box::leak(Box::new(Domains::new(&manifest)?));
            Box::new(Hosted::boot(manifest, PARTS, domains)?)
        }
        Kernel::Microkernel if manifest.has_processes() => Box::new(Supervisor::boot(manifest, PARTS)?),
        Kernel::Microkernel => Box::new(Hosted::boot(manifest, PARTS, &THREADS)?),
    })
}

/// The host's own kernel: apps in a private tmpfs, with a folder of the host at `/mnt` if the manifest wants a disk there.
struct Host {
    /// Ended before the folder goes.
    apps: Apps,
    folder: Option<HostFolder>,
}

impl Host {
    fn boot(parent: Option<&Path>) -> Result<Host, BootError> {
        let refused = |parent: &Path, source| BootError::HostDisk { folder: parent.into(), source };
        let make = |parent| HostFolder::new(parent).map_err(|source| refused(parent, source));
        let folder = parent.map(make).transpose()?;
        if folder.is_some() {
            // A harness that is killed closes the control socket, and this root puts the folder away.
            process::outlive_parent();
        }
        Ok(Host { apps: Apps::default(), folder })
    }
}

impl Core for Host {
    fn start_app(&mut self, run: AppRun, board: Memory, results: OwnedFd) -> Result<i32, BootError> {
        let app = run.app;
        let folder = self.folder.as_ref().map(HostFolder::path);
        self.apps.fork(run, &board, results, PARTS.app, || {
            let linux: Arc<dyn Syscalls> = Arc::new(enter(folder)?);
            Ok(kd_boot::app::env(app, linux.clone(), Imports::default(), move |body| {
                let env = kd_boot::app::env(app, linux.clone(), Imports::default(), |_| Err(kd_api::Errno::EAGAIN));
                // Descriptors are copied by fork, which is all that a pipe's two ends need.
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
        Vec::new()
    }

    fn watched(&self) -> Vec<i32> {
        self.apps.watched().collect()
    }

    fn tick(&mut self, events: &mut Vec<Event>) {
        self.apps.reap(events, |_| ());
    }

    fn signal(&mut self, _: &str, _: i32) -> bool {
        false
    }

    fn apps(&self) -> &Apps {
        &self.apps
    }

    fn counts(&self) -> Vec<(String, u64, u64)> {
        Vec::new()
    }
}

fn enter(folder: Option<&Path>) -> Result<Linux, BootError> {
    folder
        .map_or_else(enter_private_tmpfs, enter_with_folder)
        .map_err(|error| BootError::Ended("linux".into(), error.to_string()))
}
