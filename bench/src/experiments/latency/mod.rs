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

pub(super) mod analyse;
mod configuration;
pub mod crossings;
pub(super) mod sample;

use std::time::Duration;

pub use configuration::Configuration;
use kd_boot::control::Entry;
use kd_report::schema::{Experiment, Record};
use kd_workloads::Group;
use sample::{Design, Key, Table, Wanted, want};

use super::{Plan, Progress};
use crate::boot::BootFailure;
use crate::budget;

/// What is measured: single operations. Those on a disk are the experiment `macro`'s.
const GROUPS: [Group; 2] = [Group::Syscall, Group::File];

/// Runs the experiment.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let mut samples = Table::new();
    let cells = |configuration| {
        let mut cells = Vec::new();
        for workload in kd_workloads::workloads().iter().filter(|workload| GROUPS.contains(&workload.group())) {
            for (entry, cores) in [(Entry::Call, 1), (Entry::Call, 2), (Entry::Trap, 1), (Entry::Trap, 2)] {
                // A quick run has single calls on two cores, and operations on files on one.
                if plan.quick && cores > 1 && workload.group() == Group::File {
                    continue;
                }
                let key = Key { configuration, workload: workload.name().into(), user: 0, entry, cores };
                want(&mut cells, Wanted { key, compute: 0 }, &**workload, plan, &mut samples);
            }
        }
        (configuration, cells)
    };
    let design = Design {
        manifest: &|configuration| configuration.manifest(),
        cells: Configuration::all().into_iter().filter(|one| !plan.quick || one.is_quick()).map(cells).collect(),
        boots: budget::boots(plan.quick),
        enough: budget::boots(plan.quick),
        time: Duration::from_secs(budget::seconds("latency", plan.quick)),
        stream: 1,
    };
    design.take(plan, &mut samples, progress)?;
    let mut records = analyse::records(Experiment::Latency, &samples, plan);
    records.push(analyse::timer_cost());
    records.extend(crossings::records(Experiment::Latency, &GROUPS, &crossings::plain(), plan)?);
    Ok(records)
}
