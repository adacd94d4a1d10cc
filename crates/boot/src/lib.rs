//! From a manifest to a running kernel: what every core does alike.
//!
//! | module | what |
//! | --- | --- |
//! | [`manifest`] | components, parameters and placement, as data |
//! | [`layout`] | placement files: which components share a domain, what stands between domains |
//! | [`order`] | the order in which components and domains start; circles and missing imports |
//! | [`version`] | a driver module in one of its versions, and what a newcomer must answer |
//! | [`start`] | one component started from its manifest entry, built in or loaded |
//! | [`devices`] | the processes of devices with rings, and the way to them |
//! | [`control`] | what the harness asks of a root process, and what it answers |
//! | [`root`] | the loop of a root process: one boot's machine, its kernel and its apps |
//! | [`script`] | system calls as data, to compare kernels by |
//! | [`app`] | what a core hands to an app |
//! | [`trace`] | counting crossings |
//! | [`stamps`] | when interrupts were raised and drivers answered |
//! | [`hosted`] | a kernel in one process |
//! | [`log`] | the kernel log |
//! | [`sabotage`] | a boot that is told to fail, and what it shows of that |
//! | [`misdeed`] | a driver that answers wrongly |
//! | [`info`] | what a kernel knows of itself, for its components |
//! | [`inherit`] | what a process is left that executes the program anew |
//! | [`board`] | what an app shows of itself while it runs |

#![forbid(unsafe_code)]

pub mod app;
pub mod bare;
pub mod board;
pub mod control;
pub mod devices;
pub mod hosted;
pub mod info;
pub mod inherit;
pub mod layout;
pub mod log;
pub mod manifest;
pub mod misdeed;
pub mod order;
pub mod policy;
pub mod root;
pub mod sabotage;
pub mod script;
pub mod stamps;
pub mod start;
pub mod trace;
pub mod version;

pub use manifest::{Manifest, Placement};
