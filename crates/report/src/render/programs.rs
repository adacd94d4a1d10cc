//! Whole programs and storage: the ratio to the monolith, how it shrinks as a program computes, and where messages go.

use super::curve::{self, Axis, Curve, Lines};
use super::edges;
use super::figures::{grouped, matrix};
use super::html::escape;
use super::ink::{Place, legend, picture};
use super::latency::{Row, TABLES, fits};
use super::series::{Series, all_series, all_settings, pick, setting_label, share};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    let known =
        TABLES.iter().chain(&STORAGE).any(|row| fits(r, *row)) || edges::is_edge(r) || r.metric == "user_rounds";
    r.experiment == Experiment::Macro && known
}

/// Tables of the disk alone.
const STORAGE: [Row; 4] = [
    ("throughput", &["median"], "Throughput, one call at a time: median and 95 % interval"),
    ("interrupt_to_driver", &["median", "p99"], "From the device's interrupt to the driver's answer"),
    ("driver_to_app", &["median", "p99"], "From the driver's answer to the app's"),
    ("interrupt_unneeded", &["rate"], "Requests whose driver waited for no interrupt"),
];

fn is_ratio(r: &Record) -> bool {
    r.metric == "latency_ratio" && r.statistic == "median"
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    // Hybrids, which have one colour, stand in the tables and in the section on placements.
    let bare = pick(results, Experiment::Macro, |r| is_ratio(r) && share(r).1 == 0 && !Series::of(r).is_hybrid());
    let mut out = String::from(
        "<h3>Ratio to the monolithic kernel, without user computation</h3><p>Right of the line at 1 is slower than the \
         monolith with the same entry, cores and workload.</p>",
    );
    out += ON_LINUX;
    let host = results.meta.host_file_system.as_deref().map_or("none was used".into(), escape);
    out += &format!("<p>The file system of the host's disk: {host}.</p>");
    out += &grouped(results, "macro", "Ratio to the monolithic kernel", &bare, Some(1.0))?;
    out += "<h3>The same with a growing share of user computation</h3><p>The share is that of the monolith's time; every \
            kernel computes the same number of rounds. A line that is near 1 at the right is a boundary that such a \
            program does not notice.</p>";
    out += &curves(results)?;
    out += &disk(results);
    out += "<h3>Which edge costs most</h3>";
    out += &edges::table_of(results);
    out += "<h3>Tables</h3>";
    for row in TABLES {
        let caption = row.2.replace("a system call", "an operation");
        out += &matrix(&caption, false, &pick(results, Experiment::Macro, |r| fits(r, row)));
    }
    let rounds = pick(results, Experiment::Macro, |r| r.metric == "user_rounds");
    out += &matrix("Rounds of user computation for each operation, as calibrated", false, &rounds);
    Ok(out)
}

/// What stands for a disk where the kernel is the host's own.
const ON_LINUX: &str = "<p>What linux has on <code>/mnt</code> and <code>/dev/vda</code> is tmpfs, memory without a device: \
    there it waits for nothing when it flushes. On a disk of the host all kernels do: ours with their file system in a file \
    of the host's, linux in a folder beside it.</p>";

/// What the disk alone has: throughput, and the way back of a request. A table for each statistic.
fn disk(results: &Results) -> String {
    let mut out = String::new();
    for row in STORAGE {
        for statistic in row.1 {
            let own =
                pick(results, Experiment::Macro, |r| (r.metric.as_str(), &r.statistic.as_str()) == (row.0, statistic));
            let caption = if *statistic == "p99" { format!("{}: 99th percentile", row.2) } else { row.2.into() };
            out += &matrix(&caption, row.0 != "throughput", &own);
        }
    }
    match out.is_empty() {
        true => out,
        false => format!("<h3>The disk: throughput, and from interrupt to app</h3>{out}"),
    }
}

/// A picture for each program and setting that has more than one share.
fn curves(results: &Results) -> Result<String, ReportError> {
    let ratios = pick(results, Experiment::Macro, |r| is_ratio(r) && r.value.is_some() && !Series::of(r).is_hybrid());
    let of = |r: &Record| (share(r).0.to_owned(), r.cores, r.entry);
    let mut curves: Vec<_> = ratios.iter().filter(|r| share(r).1 > 0).map(|r| of(r)).collect();
    curves.sort();
    curves.dedup();
    let shown: Vec<&Record> = ratios.into_iter().filter(|r| curves.contains(&of(r))).collect();
    if shown.is_empty() {
        return Ok(String::from("<p class=\"empty\">No figures for this chart in this run.</p>"));
    }
    let entries: Vec<_> = all_series(&shown).iter().map(|s| (s.label(), s.ink(), s.shape())).collect();
    let mut out = legend(&entries)? + "<div class=\"panels\" style=\"--columns:2\">";
    let mut number = 0;
    // All of one setting beside each other, then the next.
    for setting in all_settings(&shown) {
        for (workload, ..) in curves.iter().filter(|(_, cores, entry)| (*cores, *entry) == setting) {
            let mut lines = Lines::new();
            let own = |r: &&&Record| share(r).0 == workload && (r.cores, r.entry) == setting;
            for r in shown.iter().filter(own) {
                let point = (share(r).1.into(), r.value.unwrap_or(1.0), r.ci_low.zip(r.ci_high));
                lines.entry(Series::of(r)).or_default().push(point);
            }
            let title = format!("{workload}, {}", setting_label(setting));
            let desc = "Ratio to the monolith on a log scale over the share of user computation, a line for each kernel, \
                        intervals as bars; the table below holds the same figures.";
            let what = format!("Ratio over user share, {title}");
            let id = format!("curve-{number}");
            number += 1;
            let axis = Axis::Share("user computation, share of the monolith's time");
            let curve = Curve { title: &title, unit: "ratio", baseline: Some(1.0), axis, lines: &lines };
            out += &picture((&id, &what, desc), curve::SIZE, Place::Page, |area| curve.draw(area))?;
        }
    }
    Ok(out + "</div>")
}

/// What was done, in a paragraph.
pub const METHOD: &str = "As for single calls, with the entry trap alone. One operation of a program is a fixed mix of \
    calls whose answers are checked. Computation is real (a checksum over the data that the program moves); how many rounds \
    make 50, 80 and 95 % of the time is calibrated once per run, on the monolith with one core, and every kernel then makes \
    that number. Messages are counted in boots of their own.";
