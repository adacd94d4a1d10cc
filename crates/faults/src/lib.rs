//! Fault models, and the injector that makes them happen in a running victim.
//!
//! The code under test is the shipped one, unmodified: the injector overwrites the entry of one of its functions, in the
//! victim's memory, with a jump to a payload in its patch room. The payload counts executions; at the n-th it does the
//! fault, for real, in the victim, on the victim's thread. Before and after, the function does what it always did.
//!
//! | module | what |
//! | --- | --- |
//! | [`fault`] | the faults |
//! | [`site`] | a function of a victim, as its file has it |
//! | [`mod@inject`] | the injector |
//! | [`mutation`] | faults at the level of machine code |
//! | [`victim`] | a victim's memory, from outside |
//!
//! Injecting needs x86-64 and the right to trace the victim; elsewhere it is an error that says so. `unsafe` stands in
//! `stop` alone.

pub mod fault;
pub mod inject;
pub mod mutation;
pub mod site;
pub mod victim;

mod displace;
mod error;
mod payload;
mod stop;

pub use error::InjectError;
pub use fault::Fault;
pub use inject::{Armed, Room, inject};
pub use site::Site;
pub use victim::{find_pattern, lay_breakpoint, peek};
