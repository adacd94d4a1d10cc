//! The engine of fault campaigns: thousands of faults, each tried on every kernel, and what came of each.
//!
//! A [`Plan`] says from a seed which trials there are; [`run`] has them made by as many [`Runner`]s as asked for and
//! puts one line for each into a [`Log`] that survives being killed; [`merge()`] puts the logs of several machines
//! together; [`summarise`] turns records into the counts, rates and curves of `campaign.json`. Nothing here knows a
//! kernel or a fault: what a trial does is its runner's affair, so that the engine is tested without either.
//!
//! | module | what |
//! | --- | --- |
//! | [`plan`] | which trial has which kernel, component and fault; shards |
//! | [`trial`] | a trial, its record, who makes it |
//! | [`log`] | the append-only file |
//! | [`mod@pack`] | the same, compressed |
//! | [`engine`] | jobs |
//! | [`mod@merge`] | many logs into one |
//! | [`summary`] | from records to counts |
#![forbid(unsafe_code)]

pub mod engine;
pub mod log;
pub mod merge;
pub mod pack;
pub mod plan;
pub mod summary;
pub mod trial;

pub use engine::{Progress, again, run};
pub use kd_report::campaign::Class;
pub use log::{Identity, Log, LogError};
pub use merge::merge;
pub use pack::pack;
pub use plan::{Plan, Shard, Subject};
pub use summary::summarise;
pub use trial::{Record, Runner, Trial};
