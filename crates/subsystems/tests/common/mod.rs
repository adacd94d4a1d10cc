//! The subsystems wired together as a monolithic kernel wires them.

use std::sync::Arc;

use kd_api::Imports;
use kd_api::component::StartError;
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::vfs::Vfs;
use kd_subsystems::components;
use kd_subsystems::syscalls::SyscallTable;

/// A table over every registered component whose imports are there, each handed those before it.
pub fn boot() -> (SyscallTable, Arc<dyn Vfs>) {
    let mut started = Imports::default();
    for component in components() {
        let handle = match (component.start)(&started) {
            Ok(handle) => handle,
            // There are no drivers here.
            Err(StartError::Missing(_)) => continue,
            Err(why) => panic!("{}: {why}", component.name),
        };
        assert_eq!(handle.info(), component.interface);
        started.insert(&component.name, handle);
    }
    let vfs = started.get::<dyn Vfs>("vfs").expect("registered");
    let proc = started.get::<dyn Proc>("proc").expect("registered");
    (SyscallTable::new(vfs.clone(), proc), vfs)
}
