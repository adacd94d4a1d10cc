//! What still works in a kernel that went on after a fault: one row for each workload, tried by an app that starts then.

use super::html::{Cell, Group, Notes, table};
use super::number::cores;
use super::series::{Series, pick};
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// Whether a record says that a workload still worked, as a share of the times it was tried.
pub fn is_probe(r: &Record) -> bool {
    r.experiment == Experiment::Restart && r.metric == "still_works"
}

fn cell(r: Option<&Record>) -> Cell {
    let Some((share, tried)) = r.and_then(|r| Some((r.value?, r.n?))) else {
        return Cell { html: "–".into(), class: "neutral" };
    };
    let worked = (share * tried as f64).round() as u64;
    let (text, class) = match worked {
        0 => ("✗ <b>hangs or fails</b>", "bad"),
        _ if worked < tried => ("! <b>works at times</b>", "hurt"),
        _ => ("✓ <b>works</b>", "good"),
    };
    Cell { html: format!("{text} {worked}/{tried}"), class }
}

/// The table; nothing where nothing was tried.
pub fn table_of(results: &Results) -> String {
    let probes = pick(results, Experiment::Restart, is_probe);
    if probes.is_empty() {
        return String::new();
    }
    let columns: BTreeSet<(Series, &str)> = probes.iter().map(|r| (Series::of(r), r.workload.as_str())).collect();
    let label = |(series, cause): &(Series, &str)| format!("{}, {}", series.label(), cause.replace('_', " "));
    let heads: Vec<String> = std::iter::once("workload".into()).chain(columns.iter().map(label)).collect();
    let mut names: Vec<&str> = Vec::new();
    for probe in &probes {
        if !names.contains(&probe.statistic.as_str()) {
            names.push(&probe.statistic);
        }
    }
    let mut groups = Vec::new();
    for n in probes.iter().map(|r| r.cores).collect::<BTreeSet<_>>() {
        let row = |name: &&str| {
            let of = |(series, cause): &(Series, &str)| {
                let is_it = |r: &&&Record| {
                    r.statistic == *name && r.cores == n && r.workload == *cause && Series::of(r) == *series
                };
                cell(probes.iter().find(is_it).copied())
            };
            (name.replace('_', " "), columns.iter().map(of).collect())
        };
        groups.push(Group { head: cores(n), rows: names.iter().map(row).collect() });
    }
    let caption = "What still works after the oops, for an app that starts afterwards";
    table(caption, &heads, &groups, &Notes::default())
}
