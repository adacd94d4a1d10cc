//! The entry `trap`: each system call pays one real mode switch, an empty system call of the host.

use std::sync::Arc;

use kd_api::Operation;
use kd_api::around::{Around, Observer};
use kd_api::interfaces::syscalls::{Syscalls, SyscallsAround};
use kd_workloads::Env;

/// One mode switch before each operation.
struct Trap;

impl Around for Trap {
    #[inline]
    fn around<R>(&self, _: &'static Operation, _: usize, operation: impl FnOnce() -> R) -> R {
        kd_linux::empty_system_call();
        operation()
    }
}

impl Observer for Trap {
    fn enter(&self, _: &'static Operation, _: usize) {
        kd_linux::empty_system_call();
    }
    fn leave(&self, _: &'static Operation) {}
}

/// The same environment, entered by traps.
pub fn around(env: &Env) -> Env {
    let sys: Arc<dyn Syscalls> = Arc::new(SyscallsAround { around: Trap, inner: env.sys.clone() });
    let services = env.services.observed(&(Arc::new(Trap) as Arc<dyn Observer>));
    let partner = env.partner.clone();
    let partner =
        Arc::new(move |body: kd_workloads::PartnerBody| partner(Box::new(move |env: &Env| body(&around(env)))));
    Env { sys, caller: env.caller, compute: env.compute, services, partner }
}
