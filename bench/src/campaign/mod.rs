//! Trials of a fault campaign: one fault in one component of one kernel, and what came of it.
//!
//! A trial is a fresh boot of no more components than the faulty one needs. Two apps act in turn, one step each: the
//! *caller* uses the component that fails, the *other* app does not. When both have worked for a while the
//! component's code is made a mutant ([`kd_boot::sabotage`]); then they work on. From here, outside, an oracle looks at
//! everything, and gives what it saw one name.
//!
//! | file | what |
//! | --- | --- |
//! | [`subject`] | the components that fail, their faults, and the kernels that they fail in |
//! | [`trial`] | one trial |
//! | [`hang`] | when a step counts as hung |
//! | [`seen`] | what was seen, and how it is called |

pub mod hang;
pub mod seen;
pub mod subject;
pub mod trial;

pub use seen::Seen;
pub use subject::{Subject, Subjects};
pub use trial::TrialRunner;
