//! The primitives section: what one part costs on its own, beside the bare mechanism that it can't beat.

use super::figures::{matrix, panels};
use super::html::{Cell, Group, Notes, table};
use super::number::cores;
use super::series::{Series, pick};
use super::{payload, peers};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

const TIMES: [&str; 2] = ["round_trip", "cost"];

fn is_time(r: &Record) -> bool {
    TIMES.contains(&r.metric.as_str()) && r.statistic == "median"
}

/// Ratios within one run, and what they set against what.
const RATIOS: [(&str, &str); 4] = [
    ("limit_ratio", "over the bare limit: for spin two cache lines, one written by each side; for block a futex"),
    ("one_line_ratio", "over a bare exchange through one cache line that both sides write"),
    ("adaptive_ratio", "the adaptive wait over the better of yield and block"),
    ("loaded_adaptive_ratio", "the same beside a process on each core that computes all the while"),
];

fn is_ratio(r: &Record) -> bool {
    RATIOS.iter().any(|(metric, _)| r.metric == *metric) && r.statistic == "median"
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Primitives && (is_time(r) || is_ratio(r)) || peers::shows(r) || payload::shows(r)
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let times = pick(results, Experiment::Primitives, is_time);
    let chart = panels("prim", "Cost of one part", &times, None)?;
    let parts = matrix("Cost of one part: median and 95 % interval", true, &times);
    Ok(chart + &ratios(results) + &parts + &payload::part(results) + &peers::part(results))
}

/// The table of ratios, a group for each metric; nothing where there are none.
fn ratios(results: &Results) -> String {
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for (metric, meaning) in RATIOS {
        let row = |r: &Record| {
            let head = format!("{}, {}, {}", r.workload, Series::of(r).label(), cores(r.cores));
            (head, vec![Cell::figure(Some(r), &mut notes)])
        };
        let own = pick(results, Experiment::Primitives, |r| is_ratio(r) && r.metric == metric);
        groups.push(Group { head: format!("{metric}: {meaning}"), rows: own.into_iter().map(row).collect() });
    }
    if groups.iter().all(|g| g.rows.is_empty()) {
        return String::new();
    }
    let heads = ["crossing", "ratio"].map(str::to_owned);
    table("Ratios of crossings, both sides measured in the same run", &heads, &groups, &notes)
}

/// What was done, in a paragraph.
pub const METHOD: &str = "A part runs alone in a loop: one call through a trait object, one crossing of each transport, \
    one mode switch, encoding and decoding of one message. The limit is the same mechanism without any kernel. \
    <code>limit_ratio</code> compares with two bare processes that exchange a word through two cache lines, one written by \
    each side, or that wake each other through a futex; <code>one_line_ratio</code> compares with an exchange through one \
    shared line, which is faster when the cores are close. Ratios pair rounds, in random order and with fresh processes \
    in each.";
