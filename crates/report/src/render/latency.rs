//! The latency section: system calls from end to end, on every kernel, by both entries and core budgets.
//!
//! The time comes first, the ratio to the monolith second, then what the time hides: CPU burnt on all cores, context
//! switches, crossings and bytes copied.

use super::edges;
use super::figures::{grouped, matrix};
use super::series::pick;
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

/// A metric, the statistics under which it is shown, the caption of its table.
pub type Row = (&'static str, &'static [&'static str], &'static str);

const MEDIAN: &[&str] = &["median"];
/// What is counted may come as either: a count for each operation doesn't vary.
const COUNTED: &[&str] = &["median", "mean"];

const LATENCY: Row = ("latency", MEDIAN, "Time of a system call: median and 95 % interval");
const RATIO: Row = ("latency_ratio", MEDIAN, "Ratio of the time to the monolithic kernel's");

/// Every table of the section; the last two are the ruler.
pub const TABLES: [Row; 11] = [
    LATENCY,
    ("latency", &["p10"], "Time of a system call: tenth percentile of the batches"),
    ("latency", &["p90"], "Time of a system call: ninetieth percentile of the batches"),
    RATIO,
    ("cpu_time", MEDIAN, "CPU time of all processes for each operation"),
    ("cpu_ratio", MEDIAN, "Ratio of the CPU time to the monolithic kernel's"),
    ("context_switches", COUNTED, "Context switches for each operation"),
    ("crossings", COUNTED, "Crossings between domains for each operation (counted)"),
    ("copied_bytes", COUNTED, "Bytes copied for each operation (counted)"),
    ("aa_ratio", MEDIAN, "A/A pair: the monolithic kernel against itself"),
    ("timer_cost", &["mean"], "Cost of reading the clock, not subtracted"),
];

/// Whether a record belongs into such a table.
pub fn fits(r: &Record, (metric, statistics, _): Row) -> bool {
    r.metric == metric && statistics.contains(&r.statistic.as_str())
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Latency && (TABLES.iter().any(|row| fits(r, *row)) || edges::is_edge(r))
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let of = |row: Row| pick(results, Experiment::Latency, |r| fits(r, row));
    let mut out = String::from("<h3>Time of a system call</h3>");
    out += &grouped(results, "lat", "Time of a system call", &of(LATENCY), None)?;
    out += "<h3>Ratio to the monolithic kernel</h3><p>Right of the line at 1 is slower than the monolith with the same \
            entry, cores and workload. Where the message counts as the trap, the microkernel's call entry stands over \
            the monolith's trap.</p>";
    out += &grouped(results, "ratio", "Ratio to the monolithic kernel", &of(RATIO), Some(1.0))?;
    out += "<h3>Tables</h3>";
    for row in TABLES {
        out += &matrix(row.2, false, &of(row));
    }
    Ok(out)
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Each kernel is booted in fresh processes, the kernels in random order within each block of \
    boots. A figure is the median over batches; its interval comes from a hierarchical bootstrap over boots, then \
    batches. A batch lasts at least 0.4 ms and is timed by two readings of the clock; their cost is shown and not \
    subtracted. The monolith runs twice in each block: where that A/A pair differs from itself, the cell is called \
    unstable and no verdict is given.";
