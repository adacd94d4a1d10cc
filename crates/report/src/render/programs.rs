//! Whole programs and storage: the ratio to the monolith, how it shrinks as a program computes, and where messages go.

use super::curve::{self, Lines};
use super::edges;
use super::figures::{grouped, matrix};
use super::ink::{Place, legend, picture};
use super::latency::{TABLES, fits};
use super::series::{Series, all_series, all_settings, pick, setting_label, share};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    let known = TABLES.iter().any(|row| fits(r, *row)) || edges::is_edge(r) || r.metric == "user_rounds";
    r.experiment == Experiment::Macro && known
}

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
    out += &grouped(results, "macro", "Ratio to the monolithic kernel", &bare, Some(1.0))?;
    out += "<h3>The same with a growing share of user computation</h3><p>The share is that of the monolith's time; every \
            kernel computes the same number of rounds. A line that is near 1 at the right is a boundary that such a \
            program does not notice.</p>";
    out += &curves(results)?;
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
                let point = (share(r).1, r.value.unwrap_or(1.0), r.ci_low.zip(r.ci_high));
                lines.entry(Series::of(r)).or_default().push(point);
            }
            let title = format!("{workload}, {}", setting_label(setting));
            let desc = "Ratio to the monolith on a log scale over the share of user computation, a line for each kernel, \
                        intervals as bars; the table below holds the same figures.";
            let what = format!("Ratio over user share, {title}");
            let id = format!("curve-{number}");
            number += 1;
            out += &picture((&id, &what, desc), curve::SIZE, Place::Page, |area| curve::draw(&title, &lines, area))?;
        }
    }
    Ok(out + "</div>")
}

/// What was done, in a paragraph.
pub const METHOD: &str = "As for single calls, with the entry trap alone. One operation of a program is a fixed mix of \
    calls whose answers are checked. Computation is real (a checksum over the data that the program moves); how many rounds \
    make 50, 80 and 95 % of the time is calibrated once per run, on the monolith with one core, and every kernel then makes \
    that number. Messages are counted in boots of their own.";
