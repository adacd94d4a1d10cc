//! What still works in a kernel that went on after an oops: a row for each workload, tried by an app that starts then.
//!
//! A cell says it by a symbol, in words and as a count, so that it reads without colour.

use super::faults::count;
use super::html::{Cell, Group, Notes, table};
use super::number::cores;
use super::series::{Series, pick};
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// Whether a record says that a workload still worked, as a share of the times it was tried.
pub fn is_probe(r: &Record) -> bool {
    r.experiment == Experiment::Restart && r.metric == "still_works"
}

fn cell(probe: Option<&Record>, notes: &mut Notes) -> Cell {
    let Some((r, share)) = probe.and_then(|r| Some((r, r.value?))) else {
        return Cell::figure(probe, notes);
    };
    let (words, class) = match share {
        s if s >= 1.0 => ("✓ works", "good"),
        s if s > 0.0 => ("! works at times", "hurt"),
        _ => ("✗ hangs or fails", "bad"),
    };
    Cell { html: format!("<b>{words}</b> {}/{}", count(r), r.n.unwrap_or(0)), class }
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
    let mut seen = BTreeSet::new();
    let names: Vec<&str> = probes.iter().map(|r| r.statistic.as_str()).filter(|name| seen.insert(*name)).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for n in probes.iter().map(|r| r.cores).collect::<BTreeSet<_>>() {
        let row = |name: &&str| {
            let of = |(series, cause): &(Series, &str)| {
                let here = |r: &&&Record| (r.statistic.as_str(), r.cores, r.workload.as_str()) == (*name, n, *cause);
                cell(probes.iter().find(|r| here(r) && Series::of(r) == *series).copied(), &mut notes)
            };
            ((*name).to_owned(), columns.iter().map(of).collect())
        };
        groups.push(Group { head: cores(n), rows: names.iter().map(row).collect() });
    }
    table("What still works after the oops, for an app that starts afterwards", &heads, &groups, &notes)
}
