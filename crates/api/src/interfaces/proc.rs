//! Processes, in their smallest form.

use crate::{Caller, Result, interface};

/// What the kernel knows of processes.
#[interface]
pub trait Proc {
    /// The process number of the calling app: the null call that ends in a server.
    #[idempotent]
    fn getpid(&self, caller: Caller) -> Result<u32>;
}
