//! A kernel in one process: what the monolithic kernel and the thread placement of the microkernel share.
//!
//! The root process forks the kernel's process, keeps the disks, and reboots the kernel when it ends itself. Apps are
//! threads of the kernel's process where latency is measured, and processes of their own elsewhere: then they enter by
//! a system-call port, a channel whose server threads are the apps' kernel-mode halves. When the kernel dies, so do
//! the apps, as on any machine.

mod kernel;
mod page;
mod ports;
mod root;
mod spare;
mod upgrade;

pub use kernel::ARENA;
pub use page::{Fate, KernelPage, News, Oops};
pub use root::Hosted;

use kd_api::{Caller, Handle, Imports};

use crate::start::{BootError, Prepared, Started};

/// Who calls.
#[derive(Clone, Copy)]
pub struct Holder {
    /// Whom its calls are from.
    pub caller: Caller,
    /// The component that it is; `None` for an app's kernel half, and for the kernel itself.
    pub component: Option<&'static Prepared>,
}

impl Holder {
    /// The kernel itself.
    pub const KERNEL: Holder = Holder { caller: Caller::KERNEL, component: None };
}

/// What a core decides for a kernel in one process.
pub trait Wiring: Sync {
    /// Prepares the process: fault handling, the module's host table.
    fn install(&'static self, page: &'static KernelPage);
    /// Starts a component.
    fn start(&'static self, prepared: &'static Prepared, number: usize, imports: Imports)
    -> Result<Started, BootError>;
    /// What `holder` holds of a component: the component itself, or a client of it.
    fn client(&self, prepared: &'static Prepared, number: usize, started: &Handle, holder: Holder) -> Handle;
    /// The place of the arena that a component's memory comes from.
    fn arena(&self, _component: usize) -> usize {
        kernel::ARENA
    }
    /// Where a component's store is, as address and bytes, if it has one.
    fn store(&self, _prepared: &Prepared, _component: usize) -> Option<(usize, usize)> {
        None
    }
    /// What a counting boot counted of these components, as [`Core::counts`](crate::root::Core::counts) tells it.
    fn counts(&self, _prepared: &[Prepared]) -> Vec<(String, u64, u64)> {
        Vec::new()
    }
    /// Looks after what may have failed; called some hundred times a second.
    fn look_after(&self, _page: &KernelPage) {}
}
