//! The process placement: a process for each domain, most often of one component.
//!
//! The boot's root process is the supervisor. It makes every channel before it forks the domains, hands each domain the
//! channels that are its own, and keeps a mapping of all: that is how it answers the calls of a dead server and how a
//! restarted one finds its clients again without their help.

mod apps;
mod domain;
mod dying;
mod exec;
mod hang;
mod pulse;
mod restart;
mod server;
mod supervisor;
mod upgrade;
mod wiring;

pub use exec::{PURPOSE, run};
pub use supervisor::Supervisor;
