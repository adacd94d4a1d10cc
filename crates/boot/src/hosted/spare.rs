//! A kernel that is loaded and waits, to boot when the one at work has ended itself: what Linux's kexec does with a crash kernel.
//!
//! It has its heap, its modules mapped and its memory brought in, and has run nothing of any component: the devices are
//! another's until it is told.

use kd_nucleus::berth::Berth;
use kd_nucleus::process::{self, Child};
use kd_nucleus::socket::Socket;

use super::page::KernelPage;
use crate::start::{BootError, Prepared};

/// Bytes of each piece of its private memory that it brings in: more than a kernel uses until it runs.
const BROUGHT_IN: usize = 1 << 20;

/// One.
pub struct Spare {
    /// Its process.
    pub child: Child,
    /// The root's end of its commands.
    pub commands: Socket,
    /// The word that it waits for.
    pub berth: Berth,
}

impl Spare {
    /// It, unless it died as it waited.
    pub fn if_fit(mut self) -> Option<Spare> {
        self.child.poll().is_none().then_some(self)
    }
}

/// The waiting kernel's own half: loads what it can and waits for the word.
///
/// # Errors
/// A module that cannot be mapped.
pub fn wait(berth: &Berth, prepared: &[Prepared], page: &KernelPage) -> Result<(), BootError> {
    prepared.iter().try_for_each(Prepared::warm_up)?;
    process::bring_in(BROUGHT_IN);
    page.set_spare();
    berth.wait();
    process::set_name("kd-kernel");
    Ok(())
}
