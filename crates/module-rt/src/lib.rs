//! What a driver module links: its entry, panic fence and allocator.
//!
//! A driver is `no_std` code without `unsafe`; [`driver!`] makes a loadable module of it. The module brings its own copy
//! of the standard library, which owns nothing here: memory comes from the host's arena, threads park by the host's
//! hook, and a panic ends at the fence. Nothing in a module has a thread-local destructor, which would pin it.
//!
//! `unsafe` stands in `allocator` and in what [`driver!`] expands to.

mod allocator;
mod driver;
mod fence;
mod info;

pub use driver::start;

/// What [`driver!`] expands to refers to these.
#[doc(hidden)]
pub mod generated {
    pub use crate::info::info;
    pub use kd_api::module::{Driver, DriverEnv, Entry, HostTable, VERMAGIC};
}
