//! The subsystems wired together as a monolithic kernel wires them.

use std::sync::Arc;

use kd_api::Imports;
use kd_api::interfaces::proc::Proc;
use kd_api::interfaces::vfs::Vfs;
use kd_subsystems::components;
use kd_subsystems::syscalls::SyscallTable;

/// A table over every registered component whose imports are there, each handed those before it: no disks, no core.
pub fn boot() -> (SyscallTable, Arc<dyn Vfs>) {
    let mut started = Imports::default();
    for component in components() {
        if !component.imports.iter().all(|import| started.handle(import).is_some()) {
            continue;
        }
        let handle = (component.start)(&started).unwrap_or_else(|why| panic!("{}: {why}", component.name));
        assert_eq!(handle.info(), component.interface);
        started.insert(&component.name, handle);
    }
    let vfs = started.get::<dyn Vfs>("vfs").expect("registered");
    let proc = started.get::<dyn Proc>("proc").expect("registered");
    (SyscallTable::new(vfs.clone(), proc), vfs)
}
