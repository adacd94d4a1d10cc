//! The interfaces, one file each. A new one is a file here, a line below, and `#[interface]` on its trait.

pub mod block;
pub mod fs;
pub mod pipe;
pub mod proc;
pub mod syscalls;
pub mod vfs;
