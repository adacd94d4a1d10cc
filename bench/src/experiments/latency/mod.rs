//! Latency: what each system call costs on each kernel, with either entry, on one core and on two.
//!
//! Replication is by boot. In each block every configuration boots once, in random order, and measures its cells in
//! random order; the monolithic kernel takes part twice, so that the run can say whether it held still (A/A).
//!
//! | file | what |
//! | --- | --- |
//! | [`configuration`] | what is compared, and which cells exist |
//! | [`sample`] | boots, and what their apps measured |
//! | [`analyse`] | estimates and ratios as records |
//! | [`crossings`] | crossings and bytes per call, counted in a boot of their own |

mod analyse;
mod configuration;
mod crossings;
mod sample;

pub use configuration::Configuration;
use kd_report::schema::Record;

use super::{Plan, Progress};
use crate::boot::BootFailure;

/// Runs the experiment.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let samples = sample::take(plan, progress)?;
    let mut records = analyse::records(&samples, plan);
    records.extend(crossings::records(plan)?);
    Ok(records)
}
