//! What apps run: one workload for each question asked of a kernel.
//!
//! A workload knows nothing but the system calls (and, where it wants them, the services) that its [`Env`] hands it,
//! so it cannot tell which kernel it runs on. It serves both kinds of experiment: [`Session::run`] is a timed loop of
//! nothing but calls, [`Session::verify`] a round of load whose data is known and checked, byte by byte, and
//! [`Session::audit`] reads back at the end everything that was ever acknowledged.
//!
//! A new workload is one file here and one line in [`registry`], or comes with its interface and component as an
//! [extension](kd_api::extensions); the harness needs no change.

#![forbid(unsafe_code)]

mod blocks;
mod env;
mod getdents;
mod ledger;
mod names;
mod null;
mod pattern;
mod pipe;
pub mod registry;
mod workload;

macro_rules! modules {
    ($($name:ident)*) => { $(mod $name;)* };
}
kd_api::extensions!(modules);

pub use env::{Env, PartnerBody};
pub use registry::{UnknownWorkload, find, workloads};
pub use workload::{Audit, Session, Verdict, Workload, Wrong};
