//! Imports that go and come while their holder runs: drivers that are unloaded and loaded again.
//!
//! Where everything is called directly, who holds a component holds it itself, so it can only be unloaded when nobody does.
//! A component whose imports are used for a while only, as a VFS uses a block device while a file is open on it, or a file
//! system its disk while it is mounted, says so at
//! its start ([`Imports::offer`](crate::Imports::offer)); a kernel core that unloads something asks it to let go.

use alloc::sync::Arc;

use crate::{Handle, Result};

/// Somebody who can let go of an import.
pub trait Hotplug: Send + Sync {
    /// Lets go of the import of this name, if it holds it: nothing of it is called any more until it is plugged again. `EBUSY`
    /// while it is in use.
    fn unplug(&self, name: &str) -> Result<()>;
    /// The import of this name is there, in whichever version.
    fn plug(&self, name: &str, handle: &Handle);
}

/// Where those who can are noted.
pub type Offers = Arc<dyn Fn(Arc<dyn Hotplug>) + Send + Sync>;
