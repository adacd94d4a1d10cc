//! The scaling section: a curve for each workload over the number of files, the size of a file or the number of apps.

use super::curve::{self, Axis, Curve, Lines};
use super::figures::matrix;
use super::ink::{Place, legend, picture};
use super::latency::{Row, fits};
use super::series::{Series, all_series, all_settings, pick, setting_label};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

const MEDIAN: &[&str] = &["median"];

/// Every table of the section.
const TABLES: [Row; 11] = [
    ("throughput", MEDIAN, "Operations a second of all apps together"),
    ("speedup", MEDIAN, "Throughput of all apps, as a multiple of one app's on the same kernel"),
    ("latency", MEDIAN, "Time of an operation, as one app sees it: median and 95 % interval"),
    ("growth", MEDIAN, "Time of an operation, as a multiple of the first point's on the same kernel"),
    ("latency_ratio", MEDIAN, "Ratio of the time to the monolithic kernel's at the same point"),
    ("latency", &["p10"], "Time of an operation: tenth percentile"),
    ("latency", &["p90"], "Time of an operation: ninetieth percentile"),
    ("cpu_time", MEDIAN, "CPU time of all processes for each operation"),
    ("cpu_ratio", MEDIAN, "Ratio of the CPU time to the monolithic kernel's"),
    ("context_switches", MEDIAN, "Context switches for each operation"),
    ("aa_ratio", MEDIAN, "A/A pair: the monolithic kernel against itself"),
];

/// What a scale is: the unit in a workload's name, the metric that is drawn over it, heading, what to look for, the words
/// along the bottom.
const SCALES: [(&str, &str, &str, &str, &str); 3] = [
    (
        "files",
        "latency",
        "Number of files",
        "Time of <code>stat</code> of one file among so many, in random order, in one directory and in a tree with 100 files in \
         each. A level line is a kernel that \
         finds a name among many as fast as among few. A name that no cache holds has to be asked for, which between domains \
         is a message.",
        "files",
    ),
    (
        "mib",
        "latency",
        "Size of a file",
        "Time of 64 KiB at a random place of a file on the disk. A page that the \
         page cache holds is memory on every kernel; for any other the device is waited for.",
        "MiB",
    ),
    (
        "apps",
        "throughput",
        "Apps at once",
        "Operations a second of all apps together, each on files of its own, on two cores. A line that rises makes use of the \
         second core; a level one has its apps wait: for a core, a lock or a thread of a server.",
        "apps",
    ),
];

/// A record's workload at its point: the workload, the unit, the point.
fn point(r: &Record) -> Option<(&str, &str, u64)> {
    let (workload, point) = r.workload.split_once('/')?;
    let (unit, at) = point.rsplit_once('_')?;
    Some((workload, unit, at.parse().ok()?))
}

/// The records that a test picks, points in their order.
fn sorted(results: &Results, test: impl Fn(&Record) -> bool) -> Vec<&Record> {
    let mut records = pick(results, Experiment::Scaling, test);
    records.sort_by(|a, b| point(a).cmp(&point(b)));
    records
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Scaling && TABLES.iter().any(|row| fits(r, *row))
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let mut out = String::new();
    for (unit, metric, heading, about, caption) in SCALES {
        let own = |r: &Record| r.metric == metric && r.statistic == "median" && point(r).is_some_and(|of| of.1 == unit);
        out += &format!("<h3>{heading}</h3><p>{about}</p>");
        out += &curves(unit, heading, caption, &sorted(results, own))?;
    }
    out += "<h3>Tables</h3>";
    for row in TABLES {
        out += &matrix(row.2, false, &sorted(results, |r| fits(r, row)));
    }
    Ok(out)
}

/// A picture for each workload and setting.
fn curves(unit: &str, what: &str, caption: &'static str, records: &[&Record]) -> Result<String, ReportError> {
    let shown: Vec<&Record> = records.iter().filter(|r| r.value.is_some()).copied().collect();
    if shown.is_empty() {
        return Ok(String::from("<p class=\"empty\">No figures for this chart in this run.</p>"));
    }
    let entries: Vec<_> = all_series(&shown).iter().map(|s| (s.label(), s.ink(), s.shape())).collect();
    let mut out = legend(&entries)? + "<div class=\"panels\" style=\"--columns:2\">";
    let mut number = 0;
    // All of one setting beside each other, then the next.
    for setting in all_settings(&shown) {
        let here: Vec<&Record> = shown.iter().filter(|r| (r.cores, r.entry) == setting).copied().collect();
        let workloads: BTreeSet<&str> = here.iter().filter_map(|r| point(r)).map(|(workload, ..)| workload).collect();
        for workload in workloads {
            let mut lines = Lines::new();
            for r in &here {
                if let (Some((own, _, at)), Some(value)) = (point(r), r.value)
                    && own == workload
                {
                    lines.entry(Series::of(r)).or_default().push((at, value, r.ci_low.zip(r.ci_high)));
                }
            }
            let title = format!("{workload}, {}", setting_label(setting));
            let name = format!("{what}: {title}");
            let desc = "Both scales are logarithmic; a line for each kernel, intervals as bars; the tables below hold the same \
                        figures.";
            let axis = Axis::Scale(caption);
            let curve = Curve { title: &title, unit: &here[0].unit, baseline: None, axis, lines: &lines };
            let id = format!("scale-{unit}-{number}");
            number += 1;
            out += &picture((&id, &name, desc), curve::SIZE, Place::Page, |area| curve.draw(area))?;
        }
    }
    Ok(out + "</div>")
}

/// What was done, in a paragraph.
pub const METHOD: &str = "As for single calls, with the entry trap alone and the waits adaptive, in fewer boots. Files are made \
    before the timed part; those on the disk once for the run, by the monolith, and every boot of every kernel begins with \
    a copy of that disk. Several apps begin and end together; each counts its own operations, and CPU time is that of all \
    processes of the boot.";
