//! Protected domains in one process, by memory protection keys.
//!
//! | module | what |
//! | --- | --- |
//! | [`keys`] | keys and rights |
//! | [`gate`] | how a thread enters a domain and comes back |
//! | [`space`] | where stacks, windows and arenas lie |
//! | [`thread`] | threads and the calls that they are inside |
//! | [`domain`] | domains and their deaths |
//! | [`fault`] | from a signal to the end of a call |
//! | [`port`], [`server`] | calls of an interface through the gates |
//! | [`alone`] | a few domains without a kernel, for rigs |
//! | [`scan`] | who else could change rights |
//!
//! A domain is a number from [`FIRST`] to [`DOMAINS`]. Number 0 is everything outside domains (the core, apps); number 1
//! is the core's *services*, which domains enter for what they cannot do themselves ([`thread::outside`]).
//!
//! Everything without a key of its own, such as the program's data, constants, relocated pointers, the C library and
//! thread-local storage, is read by domains and not written.
//!
//! # What keys do not stop
//!
//! Rights are changed by an unprivileged instruction, and the host's kernel does not know of domains. So keys stop
//! *faults*, and no code that means harm:
//!
//! - it may execute a WRPKRU or XRSTOR of its own making; [`scan`] refuses those that code executes when a kernel boots.
//!   The exceptions in the C library stay reachable, and so do bytes within other instructions, which it only tells;
//! - it may ask the host: `pkey_mprotect`, `mmap`, `/proc/self/mem`, `process_vm_writev`, signal returns with a frame of
//!   its making. Connor, McDaniel, Smith and Schuchard, "PKU Pitfalls: Attacks on PKU-based Memory Isolation Systems"
//!   (USENIX Security 2020) use these against ERIM and Hodor; Voulimeneas, Vinck, Mechelinck and Volckaert, "You Shall
//!   Not (by)Pass! Practical, Secure, and Fast PKU-based Sandboxing" (EuroSys 2022), and Schrammel and others, "Jenny:
//!   Securing Syscalls for PKU-based Memory Isolation Systems" (USENIX Security 2022), filter system calls for that
//!   reason. Nothing here does;
//! - it may jump to a gate with arguments of its own: a gate checks rights, not who calls.
//!
//! Nor do they stop what a fault does within its rights: a domain reads all memory without a key, and executes all code.
//! Its stack for signals is written by every domain.

pub mod alone;
pub mod domain;
pub mod fault;
pub mod gate;
pub mod keys;
pub mod port;
pub mod scan;
pub mod server;
pub mod space;
pub mod thread;

pub use alone::Alone;
pub use gate::Entry;
pub use keys::{Key, KeyError, Rights, available};
pub use port::GatePort;

/// Domains, counting the two that are the core's: as many as there are keys.
pub const DOMAINS: usize = 16;
/// Components that may share a domain.
pub const MEMBERS: usize = 32;
/// Threads that may enter domains at the same time.
pub const THREADS: usize = 128;
/// Outside all domains.
pub const COMMON: usize = 0;
/// The core's services.
pub const SERVICES: usize = 1;
/// The first domain of a component.
pub const FIRST: usize = 2;
