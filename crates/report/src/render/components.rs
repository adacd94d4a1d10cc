//! Every component in turn, two at once, and a kill amid a recovery: what an app saw of it, and what was lost.

use super::html::{Cell, Group, Notes, table};
use super::restart::time_cell;
use super::series::{Series, pick};
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// How components died, as it stands in a workload between their names and the way back, and its heading.
const HOW: [(&str, &str); 4] = [
    ("in_turn", "Each alone"),
    ("at_once", "Two at once"),
    ("in_recovery", "Again, while the successor starts"),
    ("random_kills", "Any of them, at random moments"),
];

const TIMES: [(&str, &str); 3] = [
    ("back_time", "answers again after"),
    ("first_answer_time", "first good answer after"),
    ("longest_gap", "longest gap for the app"),
];

const TOTALS: [(&str, &str); 9] = [
    ("deaths", "deaths"),
    ("killed_in_recovery", "met amid a start"),
    ("calls_failed", "calls failed"),
    ("calls_repeated", "calls repeated"),
    ("calls_unknown", "outcome unknown"),
    ("executed_twice", "executed twice"),
    ("acknowledged_bytes_lost", "acknowledged bytes lost"),
    ("loads_lost", "loads that never went on"),
    ("other_apps_interrupted", "other apps interrupted"),
];

/// Components, how they died, and the way back.
fn parts(r: &Record) -> Option<(&str, &str, &str)> {
    let mut parts = r.workload.splitn(3, '/');
    let (who, how, way) = (parts.next()?, parts.next()?, parts.next()?);
    HOW.iter().any(|(name, _)| *name == how).then_some((who, how, way))
}

/// Whether the table has a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Restart && parts(r).is_some()
}

/// The table; nothing where nothing was tried.
pub fn table_of(results: &Results) -> String {
    let records = pick(results, Experiment::Restart, shows);
    if records.is_empty() {
        return String::new();
    }
    let counted = |(m, _): &&(&str, &str)| records.iter().any(|r| r.metric == *m);
    let totals: Vec<_> = TOTALS.iter().filter(counted).collect();
    let names = TIMES.iter().chain(totals.iter().copied()).map(|(_, name)| (*name).to_owned());
    let heads: Vec<String> = std::iter::once("component".into()).chain(names).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for (how, head) in HOW {
        let mut seen = BTreeSet::new();
        let here = records.iter().filter_map(|r| parts(r).filter(|(_, of, _)| *of == how).map(|p| (p, Series::of(r))));
        let mut rows = Vec::new();
        for ((who, _, way), series) in here.filter(|row| seen.insert(row.clone())) {
            let is_own = |r: &&&Record| parts(r) == Some((who, how, way)) && Series::of(r) == series;
            let own: Vec<&Record> = records.iter().filter(is_own).copied().collect();
            let total = |m: &str| own.iter().find(|r| r.metric == m && r.statistic == "total").copied();
            let mut cells: Vec<Cell> = TIMES.iter().map(|(m, _)| time_cell(&own, m, &mut notes)).collect();
            cells.extend(totals.iter().map(|(m, _)| Cell::figure(total(m), &mut notes)));
            rows.push((format!("{}, {way}", who.replace('+', " and ")), cells));
        }
        groups.push(Group { head: head.into(), rows });
    }
    table("What the death of each component took with it: medians, and totals over all deaths", &heads, &groups, &notes)
}
