//! Crossings and bytes per call: counted, not estimated, in a boot with counting clients.

use std::collections::BTreeMap;
use std::time::Duration;

use kd_boot::Placement;
use kd_boot::board::Field;
use kd_boot::control::Task;
use kd_report::schema::{Entry, Experiment, Record};
use kd_workloads::Group;

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
    /// The same for each edge that was crossed: `caller>component`, messages, bytes.
    pub edges: Vec<(String, f64, f64)>,
    /// Why it was not counted.
    pub failed: Option<String>,
}

/// Messages and bytes so far, by the edge that they crossed.
type Totals = BTreeMap<String, (u64, u64)>;

fn totals(boot: &Boot) -> Result<Totals, BootFailure> {
    let mut totals = Totals::new();
    for (name, crossings, bytes) in boot.counts()? {
        let edge = name.split('/').next().unwrap_or_default();
        let sum = totals.entry(edge.into()).or_default();
        *sum = (sum.0 + crossings, sum.1 + bytes);
    }
    Ok(totals)
}

/// Counts every workload of these groups on one configuration.
pub fn count(configuration: Configuration, groups: &[Group]) -> Result<Vec<Count>, BootFailure> {
    count_these(configuration, workloads(groups).collect())
}

fn workloads(groups: &[Group]) -> impl Iterator<Item = String> {
    let workloads = kd_workloads::workloads().into_iter().filter(|workload| groups.contains(&workload.group()));
    workloads.map(|workload| workload.name().into())
}

/// Counts workloads by name.
pub fn count_these(configuration: Configuration, workloads: Vec<String>) -> Result<Vec<Count>, BootFailure> {
    let mut manifest = configuration.manifest();
    manifest.trace = true;
    let boot = Boot::new(&manifest)?;
    let mut app = boot.start(1, configuration.apps_apart(), Task::Count(workloads))?;
    let mut counts = Vec::new();
    let (mut step, mut before) = (0, Totals::new());
    while let Some(counted) = app.line_within::<Counted>(Duration::from_secs(20))? {
        let now = totals(&boot)?;
        if counted.done {
            let per = |now: u64, before: u64| (now - before) as f64 / OPERATIONS as f64;
            let edge = |(edge, now): (&String, &(u64, u64))| {
                let before = before.get(edge).copied().unwrap_or_default();
                (edge.clone(), per(now.0, before.0), per(now.1, before.1))
            };
            let edges: Vec<_> = now.iter().map(edge).filter(|(_, crossings, _)| *crossings > 0.0).collect();
            let sum = |of: fn(&(String, f64, f64)) -> f64| edges.iter().map(of).sum();
            let (crossings, bytes) = (sum(|edge| edge.1), sum(|edge| edge.2));
            counts.push(Count { workload: counted.workload, crossings, bytes, edges, failed: counted.failed });
        }
        before = now;
        step += 1;
        app.board.set(Field::Stop, step);
    }
    Ok(counts)
}

/// The kernels that are always counted: those that isolate every component, by processes and by keys, and the one that must
/// come out at none.
pub fn plain() -> Vec<Configuration> {
    let isolated = |c: &Configuration| c.wait == Some("adaptive") || c.placement == Placement::Pkey;
    Configuration::all().into_iter().filter(isolated).chain([Configuration::MONOLITHIC]).collect()
}

/// Records of the counts: in all, and for each edge.
pub fn records(
    experiment: Experiment,
    groups: &[Group],
    configurations: &[Configuration],
    plan: &Plan,
) -> Result<Vec<Record>, BootFailure> {
    let mut records = Vec::new();
    for &configuration in configurations {
        let subject = |workload| Subject {
            experiment,
            kernel: configuration.kernel_word(),
            placement: configuration.placement_word(),
            wait: "none",
            entry: Entry::Call,
            cores: plan.cores.len() as u32,
            workload,
        };
        if let Some(why) = configuration.unavailable() {
            let missing = |workload: String| subject(workload).unavailable("crossings", "mean", "count", &why);
            records.extend(workloads(groups).map(missing));
            continue;
        }
        for count in count(configuration, groups)? {
            let subject = subject(count.workload);
            if let Some(why) = count.failed {
                records.push(subject.unavailable("crossings", "mean", "count", &why));
                continue;
            }
            records.push(subject.value("crossings", "mean", "count", count.crossings, OPERATIONS));
            records.push(subject.value("copied_bytes", "mean", "bytes", count.bytes, OPERATIONS));
            for (edge, crossings, bytes) in count.edges {
                records.push(subject.value("edge_crossings", &edge, "count", crossings, OPERATIONS));
                records.push(subject.value("edge_bytes", &edge, "bytes", bytes, OPERATIONS));
            }
        }
    }
    Ok(records)
}
