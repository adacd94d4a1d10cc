//! What an app has to work with, whatever kernel is below it.

use std::sync::Arc;

use kd_api::interfaces::syscalls::Syscalls;
use kd_api::{Caller, Errno, Imports};

/// What a partner does: it is handed an environment of its own, with the same descriptors.
pub type PartnerBody = Box<dyn FnOnce(&Env) + Send>;

/// What an app has: the system calls, who it is, services beyond them, and a way to start a partner.
#[derive(Clone)]
pub struct Env {
    /// The system calls.
    pub sys: Arc<dyn Syscalls>,
    /// Who this app is.
    pub caller: Caller,
    /// Rounds of computation on its own data that each operation of a [macro](crate::Group::Macro) workload makes.
    pub compute: u64,
    /// Components that offer something beyond the system calls, by name.
    pub services: Imports,
    /// Runs a body as a second app that shares this one's descriptors, as a thread or as a process; returns at once.
    ///
    /// Whether its memory is shared is not said, so a body talks to its session through the kernel alone.
    pub partner: Arc<dyn Fn(PartnerBody) -> Result<(), Errno> + Send + Sync>,
}
