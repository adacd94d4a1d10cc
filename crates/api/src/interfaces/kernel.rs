//! What a kernel knows of itself.
//!
//! Every domain has an answer of its own: the nucleus behind it reads a page that the root keeps and everybody sees.
//! So whoever asks calls nobody, and no circle can come of it. A component is handed it as the import [`NAME`].

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::{OutBuf, Result, interface, wire_by_codec};

/// The import by which a component asks for it.
pub const NAME: &str = "kernel";

/// One component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// The interface it offers.
    pub interface: String,
    /// What stands between it and its callers.
    pub placement: String,
    /// The SHA-256 of its module's file; empty for one that is compiled in.
    pub module: String,
    /// The process of its domain; 0 when it does not run.
    pub domain: u32,
    /// How often it was started anew.
    pub restarts: u32,
    /// Messages that its server has taken up, as far as the kernel sees them: `None` where calls are direct.
    pub crossings: Option<u64>,
    /// Bytes of memory that its domain has.
    pub resident: u64,
}

wire_by_codec!(ComponentInfo);

/// A kernel, as its components may see it.
#[interface]
pub trait KernelInfo {
    /// The component of this number in the manifest; `ENOENT` beyond the last.
    #[idempotent]
    fn component(&self, number: u32) -> Result<ComponentInfo>;
    /// Nanoseconds since the boot.
    #[idempotent]
    fn uptime(&self) -> Result<u64>;
    /// How the kernel was started, as on a command line; bytes written.
    #[idempotent]
    fn command_line(&self, out: &mut OutBuf<'_>) -> Result<usize>;
    /// The kernel log, a line each with its time since the boot in seconds, as `dmesg` shows it; bytes written.
    #[idempotent]
    fn log(&self, out: &mut OutBuf<'_>) -> Result<usize>;
}
