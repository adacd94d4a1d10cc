//! Fault campaigns: trials on real kernels, for the engine of `kd-campaign`.
//!
//! | module | what |
//! | --- | --- |
//! | [`session`] | a campaign from its options to its summary |
//! | [`leftovers`] | whether trials left something behind |

pub mod leftovers;
pub mod session;

use std::collections::BTreeMap;

use kd_campaign::{Plan, Record, Runner, Subject, Trial};
use kd_report::campaign::{Example, Wild};
use session::CampaignError;

/// The kernels that trials are made on, by their layouts' names, and those that this machine cannot run, with the reason.
pub fn kernels() -> (Vec<String>, BTreeMap<String, String>) {
    todo!()
}

/// The components that are made to fail, with the kinds of fault that each can have.
pub fn subjects() -> Vec<Subject> {
    todo!()
}

/// Runners for so many jobs.
///
/// # Errors
/// What they need is missing.
pub fn runners(_plan: &Plan, _jobs: usize) -> Result<Vec<Box<dyn Runner>>, CampaignError> {
    todo!()
}

/// Makes one trial, and tells it: the instruction before and after, registers, what it hit.
///
/// # Errors
/// It cannot be made.
pub fn replay(_plan: &Plan, _trial: &Trial) -> Result<(Record, Example), CampaignError> {
    todo!()
}

/// Where the addresses went that faults spoiled, by kernel.
pub fn wild(_plan: &Plan, _records: &[Record]) -> Vec<Wild> {
    todo!()
}
