//! The crash-consistency checker: what a journalling file system is worth after a power failure at any moment.
//!
//! After CrashMonkey (Mohan et al., *Finding Crash-Consistency Bugs with Bounded Black-Box Crash Testing*, OSDI 2018) and
//! ALICE (Pillai et al., *All File Systems Are Not Created Equal*, OSDI 2014). A [`workload`] runs on jfs over a disk that
//! notes every write and flush ([`recorder`]). From the log follow the states that the disk may be in after a crash
//! ([`states`]); each is mounted and compared with what the file system had promised by then ([`model`], [`check`]).
//! [`campaign`] does so for one workload after the other,
//! and [`plant`] makes mistakes on purpose, which must be found. Everything has a number: a state that failed once fails again.

#![forbid(unsafe_code)]

pub mod campaign;
pub mod check;
pub mod disk;
pub mod model;
pub mod plant;
pub mod recorder;
pub mod rng;
pub mod states;
pub mod tree;
pub mod workload;

pub use campaign::{Failure, Recording, Subject, Summary, first_failure, run, run_while};
pub use plant::{PLANTS, Plant};
