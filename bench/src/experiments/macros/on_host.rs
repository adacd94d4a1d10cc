//! Storage on a disk of the host: the workloads of `/mnt` where a flush is a real one.
//!
//! Each boot has its disk in a fresh file of the host (driver `filedisk`) with our file system on it; the host's own kernel
//! works in a folder of the same file system of the host. A result is named `filedisk_create` where the same on the disk in
//! memory is `disk_create`. One core, no user computation. A host that has no disk for it, or refuses one, makes the figures
//! unavailable and nothing else.

use std::time::Duration;

use kd_boot::control::Entry;
use kd_nucleus::channel::Wait;
use kd_report::schema::{Experiment, Record};
use kd_workloads::Workload;

use super::super::latency::sample::{Design, Key, Table, Wanted, want};
use super::super::latency::{Configuration, analyse};
use super::super::{Plan, Progress};
use super::CACHED;
use crate::budget;

/// The group of these results.
pub const GROUP: &str = "filedisk";
/// What names of workloads on the disk begin with, and what is put before that for a disk of the host.
const ON_DISK: &str = "disk_";
const PREFIX: &str = "file";
/// Boots at least, however slow the disk: fewer than so many say little.
const BOOTS_MIN: usize = 3;
/// What a quick run has of them: the one that does nothing but wait for the disk.
const QUICK: &str = "disk_append_fsync";

/// Those of the disk that reach it: what a cache answers is the same here as on a disk in memory.
fn workloads() -> impl Iterator<Item = Box<dyn Workload>> {
    super::workloads().filter(|workload| workload.name().starts_with(ON_DISK) && !CACHED.contains(&workload.name()))
}

/// The names of all results.
pub fn names() -> impl Iterator<Item = String> {
    workloads().map(|workload| format!("{PREFIX}{}", workload.name()))
}

/// Measures for so long.
pub fn records(plan: &Plan, time: Duration, progress: Progress<'_>) -> Vec<Record> {
    let mut samples = Table::new();
    let cells = |configuration: Configuration| {
        let mut cells = Vec::new();
        for workload in workloads().filter(|workload| !plan.quick || workload.name() == QUICK) {
            let key = Key { configuration, workload: workload.name().into(), user: 0, entry: Entry::Trap, cores: 1 };
            want(&mut cells, Wanted { key, compute: 0 }, &*workload, plan, &mut samples);
        }
        (configuration, cells)
    };
    // Beside a disk, how a crossing waits is nothing to be told apart.
    let compared = |one: &Configuration| {
        one.wait.is_none_or(|wait| wait == Wait::Adaptive.name()) && (!plan.quick || one.is_quick())
    };
    let cells = Configuration::all().into_iter().filter(compared).map(cells).collect();
    let manifest = &|configuration: Configuration| {
        let mut manifest = configuration.manifest();
        if let Ok(disk) = &plan.host_disk {
            manifest.put_disk_in(&disk.folder);
        }
        manifest
    };
    let design = Design { manifest, cells, boots: budget::boots(plan.quick), enough: BOOTS_MIN, time, stream: 10 };
    let why = match &plan.host_disk {
        Ok(_) => design.take(plan, &mut samples, progress).err().map(|why| why.to_string()),
        Err(why) => Some(why.to_string()),
    };
    if let Some(why) = why {
        for Wanted { key, .. } in design.cells.into_iter().flat_map(|(_, cells)| cells) {
            samples.entry(key).or_default().reason.get_or_insert_with(|| why.clone());
        }
    }
    let mut records = analyse::records(Experiment::Macro, &samples, plan);
    records.iter_mut().for_each(|record| record.workload.insert_str(0, PREFIX));
    records
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use kd_report::schema::{Kernel, Status};

    use super::*;

    fn plan(quick: bool) -> Plan {
        Plan::for_test(quick, &[0, 1])
    }

    #[test]
    fn a_host_without_a_disk_makes_every_figure_unavailable_and_says_why() {
        let records = records(&plan(false), Duration::ZERO, &mut |_, _| ());
        assert!(records.iter().all(|record| record.status == Status::Unavailable && record.cores == 1));
        let of = |kernel| {
            let latency = records.iter().filter(|record| record.kernel == kernel && record.metric == "latency");
            let says = |record: &Record, what| record.reason.as_ref().is_some_and(|why| why.contains(what));
            assert!(latency.clone().all(|record| says(record, "tmpfs") || says(record, "no protection keys")));
            assert!(latency.clone().any(|record| says(record, "tmpfs")));
            latency.map(|record| record.workload.clone()).collect::<BTreeSet<_>>()
        };
        for kernel in [Kernel::Monolithic, Kernel::Microkernel, Kernel::Linux] {
            assert_eq!(of(kernel), names().collect(), "{kernel}");
        }
        assert!(names().any(|name| name == "filedisk_mail_server"));
    }

    #[test]
    fn a_quick_run_has_one_of_them() {
        let records = records(&plan(true), Duration::ZERO, &mut |_, _| ());
        assert!(!records.is_empty() && records.iter().all(|record| record.workload == "filedisk_append_fsync"));
    }
}
