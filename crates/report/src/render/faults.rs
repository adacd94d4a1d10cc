//! The faults section: a matrix of real faults against kernels, who noticed, and what was still alive.
//!
//! A cell names each outcome in words with its count and its Wilson interval; a symbol and a colour repeat the worst of
//! them, so that the grid reads without colour. An outcome class that isn't known here is shown like any other.

use super::html::{Cell, Group, Notes, escape, table};
use super::number::{cores, show, show_interval};
use super::series::{Series, all_series, all_workloads, pick};
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// What the oracle found alive or right; every other rate is an outcome class.
const STATES: [(&str, &str); 4] = [
    ("kernel_alive", "kernel alive"),
    ("calling_app_alive", "calling app alive"),
    ("other_app_alive", "other app alive"),
    ("bytes_right", "every acknowledged byte right"),
];

/// How bad an outcome is: colour and symbol of a cell.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grade {
    Neutral,
    Good,
    Hurt,
    Bad,
}

fn grade(outcome: &str) -> Grade {
    match outcome {
        "contained" | "app_saw_error" => Grade::Good,
        "app_killed" | "data_lost" => Grade::Hurt,
        "spread" | "silent_wrong_data" | "kernel_dead" | "hang_unnoticed" => Grade::Bad,
        _ => Grade::Neutral,
    }
}

impl Grade {
    const fn look(self) -> (&'static str, &'static str) {
        match self {
            Self::Neutral => ("–", "neutral"),
            Self::Good => ("✓", "good"),
            Self::Hurt => ("!", "hurt"),
            Self::Bad => ("✗", "bad"),
        }
    }
}

fn is_rate(r: &Record) -> bool {
    r.statistic == "rate"
}

fn is_state(r: &Record) -> bool {
    is_rate(r) && STATES.iter().any(|(m, _)| *m == r.metric)
}

/// Whether a record is the share of trials that ended in one outcome.
pub fn is_outcome(r: &Record) -> bool {
    r.experiment == Experiment::Faults && is_rate(r) && !is_state(r)
}

fn is_notice(r: &Record) -> bool {
    r.metric == "noticed_by" || r.metric == "notice_time" && r.statistic == "median"
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Faults && (is_rate(r) || is_notice(r))
}

/// How many trials a rate counts; 0 where it is unavailable.
pub fn count(r: &Record) -> u64 {
    (r.value.unwrap_or(0.0) * r.n.unwrap_or(0) as f64).round() as u64
}

/// A table over the records: faults down, kernels across, each cell made from the records that meet there.
fn grid(caption: &str, records: &[&Record], mut cell: impl FnMut(&[&Record], &mut Notes) -> Cell) -> String {
    let series = all_series(records);
    let heads: Vec<String> = std::iter::once("fault".into()).chain(series.iter().map(Series::label)).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for n in records.iter().map(|r| r.cores).collect::<BTreeSet<_>>() {
        let mut rows = Vec::new();
        for workload in all_workloads(records) {
            let here = |s: &Series| -> Vec<&Record> {
                records
                    .iter()
                    .filter(|r| r.cores == n && r.workload == workload && Series::of(r) == *s)
                    .copied()
                    .collect()
            };
            let cells = series.iter().map(|s| cell(&here(s), &mut notes)).collect();
            rows.push((workload.replace('_', " "), cells));
        }
        groups.push(Group { head: cores(n), rows });
    }
    table(caption, &heads, &groups, &notes)
}

/// The cell of the matrix.
fn outcome_cell(records: &[&Record], notes: &mut Notes) -> Cell {
    let mut happened: Vec<&Record> = records.iter().filter(|r| count(r) > 0).copied().collect();
    if happened.is_empty() {
        return Cell::figure(records.first().copied(), notes);
    }
    happened.sort_by_key(|r| std::cmp::Reverse(count(r)));
    let worst = happened.iter().map(|r| grade(&r.metric)).max().unwrap_or(Grade::Neutral);
    let line = |r: &&Record| {
        let interval = show_interval(r).map(|i| format!("<small>{i} %</small>")).unwrap_or_default();
        let name = r.metric.replace('_', " ");
        let symbol = grade(&r.metric).look().0;
        format!("<div><b>{symbol} {}</b> {}/{}{interval}</div>", escape(&name), count(r), r.n.unwrap_or(0))
    };
    Cell { html: happened.iter().map(line).collect(), class: worst.look().1 }
}

/// Who noticed, how often, and how long it took.
fn notice_cell(records: &[&Record], notes: &mut Notes) -> Cell {
    let by: Vec<&&Record> = records.iter().filter(|r| r.metric == "noticed_by" && r.value > Some(0.0)).collect();
    let mut html: String = by
        .iter()
        .map(|r| {
            format!("<div>{} {}</div>", escape(&r.statistic.replace('_', " ")), show(r.value.unwrap_or(0.0), "count"))
        })
        .collect();
    let time = records.iter().find(|r| r.metric == "notice_time");
    if time.is_some() || html.is_empty() {
        html += &Cell::figure(time.copied(), notes).html;
    }
    Cell { html, class: "" }
}

/// What the oracle found, one line for each state.
fn state_cell(records: &[&Record], _: &mut Notes) -> Cell {
    let line = |(metric, name): &(&str, &str)| {
        let r = records.iter().find(|r| r.metric == *metric)?;
        Some(match r.value {
            Some(_) => format!("<div>{name} {}/{}</div>", count(r), r.n.unwrap_or(0)),
            None => format!("<div>{name} n/a: {}</div>", escape(r.reason.as_deref().unwrap_or(""))),
        })
    };
    let html: String = STATES.iter().filter_map(line).collect();
    Cell { html: if html.is_empty() { "–".into() } else { html }, class: "" }
}

/// The section without its heading.
pub fn section(results: &Results) -> String {
    let of = |test: fn(&Record) -> bool| pick(results, Experiment::Faults, test);
    let outcomes = of(is_outcome);
    if outcomes.is_empty() {
        return String::from("<p class=\"empty\">No faults were injected in this run.</p>");
    }
    let key = "<p class=\"key\"><span class=\"good\">✓ nobody else was harmed</span> <span class=\"hurt\">! the calling app \
               was killed, or data is gone and it was told</span> <span class=\"bad\">✗ it spread, or nobody \
               noticed</span> <span class=\"neutral\">– no effect to judge</span></p>";
    let mut out = String::from(key);
    out += &grid("Outcome of each fault: trials, and 95 % interval of their share", &outcomes, outcome_cell);
    for (caption, test, cell) in [
        (
            "Who noticed, in how many trials, and how soon",
            is_notice as fn(&Record) -> bool,
            notice_cell as fn(&[&Record], &mut Notes) -> Cell,
        ),
        ("What was alive and right afterwards, in how many trials", is_state, state_cell),
    ] {
        let records = of(test);
        if !records.is_empty() {
            out += &super::html::fold(caption, false, &grid(caption, &records, cell));
        }
    }
    out
}

/// What was done, in a paragraph.
pub const METHOD: &str = "A jump to the fault is written over a function of the unmodified component, in its own \
    domain, and is taken under load. Each trial has a fresh boot. The judge sits in a process of its own: it asks whether \
    the kernel and both apps live, compares every acknowledged byte, and notes who noticed first. Intervals are \
    Wilson's. The mix of faults is ours: shares over all of them are no forecast for a real driver.";
