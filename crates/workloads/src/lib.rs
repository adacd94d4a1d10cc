//! What apps run: one workload for each question asked of a kernel.
//!
//! A workload knows nothing but the system calls (and, where it wants them, the services) that its [`Env`] hands it,
//! so it cannot tell which kernel it runs on. It serves both kinds of experiment: [`Session::run`] is a timed loop of
//! nothing but calls, [`Session::verify`] a round of load whose data is known and checked, byte by byte, and
//! [`Session::audit`] reads back at the end everything that was ever acknowledged.
//!
//! | group | what | files |
//! | --- | --- | --- |
//! | syscall | one call | `null`, `names`, `blocks`, `getdents`, `pipe` |
//! | file | one operation on a file | `files` |
//! | storage | the same on the disk's file system, and the disk itself | `files`, `blocks` |
//! | macro | a program: calls in the mix that it makes, with a settable share of computation | `source_tree`, `mail_server`, `kv_log`, `pipeline` |
//! | scaling | one operation at a point of a scale: so many files, so large a file | `many_files`, `sized_file` |
//!
//! A new workload is one file here and one line in [`registry`], or comes with its interface and component as an
//! [extension](kd_api::extensions); the harness needs no change.

#![forbid(unsafe_code)]

mod blocks;
mod calls;
mod compute;
mod copy;
mod env;
mod files;
mod getdents;
mod kv_log;
mod ledger;
mod mail_server;
mod many_files;
mod names;
mod null;
mod pattern;
mod pipe;
mod pipeline;
mod place;
mod record_log;
pub mod registry;
mod sized_file;
mod source_tree;
mod turn;
mod workload;

macro_rules! modules {
    ($($name:ident)*) => { $(mod $name;)* };
}
kd_api::extensions!(modules);

pub use env::{Env, PartnerBody};
pub use registry::{UnknownWorkload, find, workloads};
pub use workload::{Audit, Group, Session, Verdict, Workload, Wrong};
