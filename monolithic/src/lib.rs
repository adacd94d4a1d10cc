//! The direct-call kernel core.
//!
//! Every component lives in one domain; what a caller holds of a component is the component itself, so a call is one
//! indirect call, as Linux calls through `file_operations`. There is no lock around the kernel: apps enter on their own
//! threads and meet only at the locks of what they share. A fault in kernel code takes Linux's way, see [`oops`].

pub mod oops;

use kd_api::{Handle, Imports};
use kd_boot::hosted::{Holder, KernelPage, Wiring};
use kd_boot::start::{BootError, Prepared, Started};

/// The core.
pub struct Direct;

impl Wiring for Direct {
    fn install(&'static self, page: &'static KernelPage) {
        oops::install(page);
    }

    fn start(
        &'static self,
        prepared: &'static Prepared,
        number: usize,
        imports: Imports,
    ) -> Result<Started, BootError> {
        // The kernel's arena is at place 0; disks' frames follow it, as everything does in a direct map.
        prepared.start(&imports, 1 + number, &oops::HOST)
    }

    fn client(&self, _: &'static Prepared, _: usize, started: &Handle, _: Holder) -> Handle {
        started.clone()
    }
}
