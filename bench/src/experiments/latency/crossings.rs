//! Crossings and bytes per call: counted, not estimated, in a boot with counting clients.

use std::time::Duration;

use kd_boot::board::Field;
use kd_boot::control::Task;
use kd_report::schema::{Entry, Experiment, Record};

use super::configuration::Configuration;
use crate::app::count::{Counted, OPERATIONS};
use crate::boot::{Boot, BootFailure};
use crate::experiments::Plan;
use crate::experiments::records::Subject;

/// What one workload's operations cost in messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Count {
    /// The workload.
    pub workload: String,
    /// Messages per operation.
    pub crossings: f64,
    /// Bytes copied into and out of windows per operation.
    pub bytes: f64,
    /// Why it was not counted.
    pub failed: Option<String>,
}

/// Counts every workload on one configuration.
pub fn count(configuration: Configuration) -> Result<Vec<Count>, BootFailure> {
    let mut manifest = configuration.manifest();
    manifest.trace = true;
    let boot = Boot::new(&manifest)?;
    let workloads: Vec<String> = kd_workloads::workloads().iter().map(|workload| workload.name().into()).collect();
    let mut app = boot.start(1, configuration.apps_apart(), Task::Count(workloads))?;
    let totals = |boot: &Boot| -> Result<(u64, u64), BootFailure> {
        Ok(boot.counts()?.iter().fold((0, 0), |sum, (_, crossings, bytes)| (sum.0 + crossings, sum.1 + bytes)))
    };
    let mut counts = Vec::new();
    let (mut step, mut before) = (0, (0, 0));
    while let Some(counted) = app.line_within::<Counted>(Duration::from_secs(20))? {
        let now = totals(&boot)?;
        if counted.done {
            let per = |now: u64, before: u64| (now - before) as f64 / OPERATIONS as f64;
            let (crossings, bytes) = (per(now.0, before.0), per(now.1, before.1));
            counts.push(Count { workload: counted.workload, crossings, bytes, failed: counted.failed });
        }
        before = now;
        step += 1;
        app.board.set(Field::Stop, step);
    }
    Ok(counts)
}

/// Records of the counts.
pub fn records(plan: &Plan) -> Result<Vec<Record>, BootFailure> {
    let process = Configuration::all().into_iter().filter(|c| c.wait == Some("adaptive"));
    let mut records = Vec::new();
    for configuration in process.chain([Configuration::MONOLITHIC]) {
        for count in count(configuration)? {
            let subject = Subject {
                experiment: Experiment::Latency,
                kernel: configuration.kernel_word(),
                placement: configuration.placement_word(),
                wait: "none",
                entry: Entry::Call,
                cores: plan.cores.len() as u32,
                workload: count.workload,
            };
            match count.failed {
                Some(why) => records.push(subject.unavailable("crossings", "mean", "count", &why)),
                None => {
                    records.push(subject.value("crossings", "mean", "count", count.crossings, OPERATIONS));
                    records.push(subject.value("copied_bytes", "mean", "bytes", count.bytes, OPERATIONS));
                }
            }
        }
    }
    Ok(records)
}
