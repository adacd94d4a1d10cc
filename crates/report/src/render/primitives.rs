//! The primitives section: what one part costs on its own, beside the bare mechanism that it can't beat.

use super::figures::{matrix, panels};
use super::series::pick;
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

const TIMES: [&str; 2] = ["round_trip", "cost"];

fn is_time(r: &Record) -> bool {
    TIMES.contains(&r.metric.as_str()) && r.statistic == "median"
}

fn is_ratio(r: &Record) -> bool {
    r.metric == "limit_ratio" && r.statistic == "median"
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Primitives && (is_time(r) || is_ratio(r))
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let times = pick(results, Experiment::Primitives, is_time);
    let ratios = pick(results, Experiment::Primitives, is_ratio);
    let mut out = panels("prim", "Cost of one part", &times, None)?;
    out += &matrix("Cost of one part: median and 95 % interval", true, &times);
    out += &matrix("A crossing over the bare limit of its mechanism, in the same run", true, &ratios);
    Ok(out)
}

/// What was done, in a paragraph.
pub const METHOD: &str = "A part runs alone in a loop: one call through a trait object, one crossing of each transport, \
    one mode switch, encoding and decoding of one message. The limit is the same mechanism without any kernel: two \
    processes that do nothing but exchange a word of shared memory, or wake each other through a futex.";
