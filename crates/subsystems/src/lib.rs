//! The subsystems that both kernels run from the same source, and the system-call table above them.
//!
//! A subsystem implements one interface of `kd_api`, calls others through the `Arc<dyn X>` it was handed at start, and
//! cannot tell whether that is the object itself or a client that sends messages. There is no lock around all of it:
//! every table is sharded, every object has its own lock, and each module says in which order they are taken.
//!
//! Semantics and errors are Linux's on x86-64, found by trial against the host where the manual is silent; a
//! differential test in `tests/` keeps them so. `bench/DIFFERENCES.md` lists what differs on purpose.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
pub mod block;
mod dirent;
mod hash;
pub mod jfs;
pub mod page_cache;
pub mod pipe;
pub mod proc;
pub mod procfs;
pub mod ramfs;
mod records;
mod registry;
mod sharded;
mod sum;
pub mod syscalls;
mod transfer;
mod values;
pub mod vfs;

macro_rules! modules {
    ($($name:ident)*) => { $(pub mod $name;)* };
}
kd_api::extensions!(modules);

pub use registry::components;
