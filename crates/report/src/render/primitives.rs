//! The primitives section: what one part costs on its own, beside the bare mechanism that it can't beat.

use super::figures::{matrix, panels};
use super::series::pick;
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

const TIMES: [&str; 2] = ["round_trip", "cost"];

fn is_time(r: &Record) -> bool {
    TIMES.contains(&r.metric.as_str()) && r.statistic == "median"
}

/// Ratios within one run, each with the caption of its table.
const RATIOS: [(&str, &str); 3] = [
    ("limit_ratio", "A crossing over the bare limit of its mechanism: two cache lines, or two futexes"),
    ("one_line_ratio", "A crossing over a bare exchange through one shared cache line"),
    (
        "adaptive_ratio",
        "The adaptive wait over the better of yield and block, for chains of one, two and three servers",
    ),
];

fn is_ratio(r: &Record) -> bool {
    RATIOS.iter().any(|(metric, _)| r.metric == *metric) && r.statistic == "median"
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Primitives && (is_time(r) || is_ratio(r))
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let times = pick(results, Experiment::Primitives, is_time);
    let mut out = panels("prim", "Cost of one part", &times, None)?;
    out += &matrix("Cost of one part: median and 95 % interval", true, &times);
    for (metric, caption) in RATIOS {
        let ratios = pick(results, Experiment::Primitives, |r| is_ratio(r) && r.metric == metric);
        out += &matrix(caption, true, &ratios);
    }
    Ok(out)
}

/// What was done, in a paragraph.
pub const METHOD: &str = "A part runs alone in a loop: one call through a trait object, one crossing of each transport, \
    one mode switch, encoding and decoding of one message. The limit is the same mechanism without any kernel: two \
    processes that do nothing but poll one cache line each, written by the other, or wake each other through a futex. Two \
    processes that share a single line are faster while their cores are close; that ratio stands beside. Ratios pair \
    rounds in random order, with fresh processes in each.";
