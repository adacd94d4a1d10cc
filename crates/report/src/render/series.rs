//! What is compared: a series is a kernel with its placement and its way to wait.
//!
//! Colour tells the kernel and the placement, shape tells the wait; both also stand in words in every legend and table.

use super::ink::{Ink, Shape};
use super::number::cores;
use crate::schema::{Entry, Experiment, Kernel, Record, Results};
use std::collections::BTreeSet;

/// One line of a comparison, in the order in which it is shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Kernel.
    pub kernel: Kernel,
    /// Placement of its components.
    pub placement: String,
    /// How its crossings wait.
    pub wait: String,
}

impl Series {
    /// The series that a record belongs to.
    pub fn of(record: &Record) -> Self {
        Self { kernel: record.kernel, placement: record.placement.clone(), wait: record.wait.clone() }
    }

    /// Whether several components share a domain in it: its placement is called by its layout.
    pub fn is_hybrid(&self) -> bool {
        !matches!(
            self.placement.as_str(),
            "direct" | "thread" | "process" | "pkey" | "pkey-integrity" | "host" | "none" | ""
        )
    }

    /// Its name, without what goes without saying (`direct`, `host`, `none`).
    pub fn label(&self) -> String {
        let said = |w: &&str| !matches!(*w, "direct" | "host" | "none" | "");
        let parts: Vec<&str> = [self.placement.as_str(), self.wait.as_str()].into_iter().filter(said).collect();
        match parts.is_empty() {
            true => self.kernel.to_string(),
            false => format!("{} ({})", self.kernel, parts.join(", ")),
        }
    }

    /// Its colour.
    pub fn ink(&self) -> Ink {
        match (self.kernel, self.placement.as_str()) {
            (Kernel::Monolithic, _) => Ink::Mono,
            (Kernel::Linux, _) => Ink::Linux,
            (Kernel::Limit, _) => Ink::Limit,
            (Kernel::Microkernel, "thread") => Ink::Thread,
            (Kernel::Microkernel, "process") => Ink::Process,
            (Kernel::Microkernel | Kernel::None, _) => Ink::Other,
        }
    }

    /// Its shape.
    pub fn shape(&self) -> Shape {
        match self.wait.as_str() {
            "spin" => Shape::Triangle,
            "yield" => Shape::Square,
            "block" => Shape::Cross,
            "adaptive" => Shape::Diamond,
            _ => Shape::Disc,
        }
    }
}

/// A panel of a chart and a group of a table: a core budget and an entry.
pub type Setting = (u32, Entry);

/// The name of a setting.
pub fn setting_label((n, entry): Setting) -> String {
    match entry {
        Entry::Trap => format!("{}, entry by trap", cores(n)),
        Entry::Call => format!("{}, entry by call", cores(n)),
        Entry::Once => format!("{}, message counted as the trap", cores(n)),
        Entry::None => cores(n),
    }
}

/// The records of one experiment that a test picks.
pub fn pick(results: &Results, experiment: Experiment, test: impl Fn(&Record) -> bool) -> Vec<&Record> {
    results.records.iter().filter(|r| r.experiment == experiment && test(r)).collect()
}

/// Every series among the records, in order.
pub fn all_series(records: &[&Record]) -> Vec<Series> {
    records.iter().map(|r| Series::of(r)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Every setting among the records, in order.
pub fn all_settings(records: &[&Record]) -> Vec<Setting> {
    records.iter().map(|r| (r.cores, r.entry)).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Every workload among the records, in the order of measurement.
pub fn all_workloads(records: &[&Record]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    records.iter().filter(|r| seen.insert(&r.workload)).map(|r| r.workload.clone()).collect()
}

/// A group of workloads: the word that results have for it, and its heading.
pub const GROUPS: [(&str, &str); 5] = [
    ("syscall", "Single calls"),
    ("file", "Operations on files"),
    ("storage", "Storage: the same on a disk, and the disk itself"),
    ("macro", "Whole programs"),
    ("filedisk", "On a disk of the host: the same with real flushes"),
];

/// The group of a record's workload; what none is stated for is a single call.
pub fn group<'a>(results: &'a Results, r: &Record) -> &'a str {
    let (workload, _) = share(r);
    results.meta.groups.get(workload).map_or(GROUPS[0].0, |group| group)
}

/// A record's workload without its share of user computation, and that share in percent: `source_tree/user_80`.
pub fn share(r: &Record) -> (&str, u32) {
    let split = r.workload.split_once("/user_").and_then(|(workload, share)| Some((workload, share.parse().ok()?)));
    split.unwrap_or((&r.workload, 0))
}

/// The record of one cell.
pub fn cell<'a>(records: &[&'a Record], setting: Setting, workload: &str, series: &Series) -> Option<&'a Record> {
    let here = |r: &&&Record| (r.cores, r.entry) == setting && r.workload == workload && Series::of(r) == *series;
    records.iter().find(here).copied()
}

/// The series that stands for the microkernel in sentences: isolated by `process`, its waits `adaptive`, or the
/// closest to that which was measured. The choice is fixed here so that no run can pick its most flattering line.
pub fn representative(records: &[&Record]) -> Option<Series> {
    let rank = |list: &[&str], word: &str| list.iter().position(|w| *w == word).unwrap_or(list.len());
    let score = |s: &Series| {
        let placement = rank(&["process", "pkey", "thread"], &s.placement);
        (placement, rank(&["adaptive", "yield", "block", "spin"], &s.wait))
    };
    all_series(records).into_iter().filter(|s| s.kernel == Kernel::Microkernel).min_by_key(score)
}
