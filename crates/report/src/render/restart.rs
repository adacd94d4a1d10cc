//! The restart section: what an app sees when a driver dies under load, as a timeline and as numbers.

use super::html::{Cell, Group, Notes, table};
use super::ink::{Place, legend, picture};
use super::number::cores;
use super::series::{Series, all_workloads, pick};
use super::{timeline, upgrades, works};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// Times, shown as median with p99 and maximum.
const TIMES: [(&str, &str); 5] = [
    ("notice_time", "noticed after"),
    ("restart_time", "restarted after"),
    ("back_time", "answers again after"),
    ("first_answer_time", "first good answer after"),
    ("longest_gap", "longest gap for the app"),
];

/// What a restart is held against; a column only where somebody measured it.
const LIMITS: [(&str, &str); 2] = [("bare_time", "bare kill and fork"), ("over_bare", "over bare")];

/// Totals over all trials; a column only where somebody counted it.
const TOTALS: [(&str, &str); 6] = [
    ("deaths", "deaths"),
    ("calls_failed", "calls failed"),
    ("calls_repeated", "calls repeated"),
    ("calls_unknown", "outcome unknown"),
    ("acknowledged_bytes_lost", "acknowledged bytes lost"),
    ("other_apps_interrupted", "other apps interrupted"),
];

fn is_number(r: &Record) -> bool {
    let time = TIMES.iter().any(|(m, _)| *m == r.metric) && ["median", "p99", "max"].contains(&r.statistic.as_str());
    let total = TOTALS.iter().any(|(m, _)| *m == r.metric) && r.statistic == "total";
    let limit = LIMITS.iter().any(|(m, _)| *m == r.metric);
    time || total || limit
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    let ours = is_number(r) || works::is_probe(r) || timeline::is_point(r) || upgrades::is_upgrade(r);
    r.experiment == Experiment::Restart && ours
}

/// Component and cause of a death, and the way back if several were tried: `ramdisk/kill` and `warm`.
fn parts(workload: &str) -> (&str, &str) {
    match workload.match_indices('/').nth(1) {
        Some((at, _)) => (&workload[..at], &workload[at + 1..]),
        None => (workload, ""),
    }
}

fn time_cell(records: &[&Record], metric: &str, notes: &mut Notes) -> Cell {
    let of = |statistic: &str| records.iter().find(|r| r.metric == metric && r.statistic == statistic).copied();
    let mut cell = Cell::figure(of("median").or(of("ratio")), notes);
    for name in ["p99", "max"] {
        if let Some(r) = of(name).filter(|r| r.value.is_some()) {
            cell.html += &format!("<small>{name} {}</small>", Cell::figure(Some(r), notes).html);
        }
    }
    cell
}

fn numbers(records: &[&Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let counted = |(m, _): &&(&str, &str)| records.iter().any(|r| r.metric == *m);
    let totals: Vec<_> = TOTALS.iter().filter(counted).collect();
    let limits: Vec<_> = LIMITS.iter().filter(counted).collect();
    let columns = TIMES.iter().chain(limits.iter().copied()).chain(totals.iter().copied());
    let columns = columns.map(|(_, name)| (*name).to_owned());
    let heads: Vec<String> = std::iter::once("kernel".into()).chain(columns).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    let mut deaths: Vec<String> = all_workloads(records).iter().map(|workload| parts(workload).0.to_owned()).collect();
    deaths.dedup();
    for death in deaths {
        let here: Vec<&Record> = records.iter().filter(|r| parts(&r.workload).0 == death).copied().collect();
        let mut rows = Vec::new();
        let row = |r: &&Record| (Series::of(r), r.cores, parts(&r.workload).1.to_owned());
        for (series, n, way) in here.iter().map(row).collect::<BTreeSet<_>>() {
            let is_own = |r: &&&Record| row(r) == (series.clone(), n, way.clone());
            let own: Vec<&Record> = here.iter().filter(is_own).copied().collect();
            let total = |m: &str| own.iter().find(|r| r.metric == m && r.statistic == "total").copied();
            let mut cells: Vec<Cell> = TIMES.iter().map(|(m, _)| time_cell(&own, m, &mut notes)).collect();
            cells.extend(limits.iter().map(|(m, _)| time_cell(&own, m, &mut notes)));
            cells.extend(totals.iter().map(|(m, _)| Cell::figure(total(m), &mut notes)));
            let way = if way.is_empty() { way } else { format!(", {way}") };
            rows.push((format!("{}{way}, {}", series.label(), cores(n)), cells));
        }
        groups.push(Group { head: death.replace('_', " "), rows });
    }
    table("What the app saw: median with 95 % interval, and totals over all trials", &heads, &groups, &notes)
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let points = pick(results, Experiment::Restart, |r| timeline::is_point(r) && r.value.is_some());
    let records = pick(results, Experiment::Restart, is_number);
    let works = works::table_of(results) + &upgrades::table_of(results);
    if points.is_empty() && records.is_empty() && works.is_empty() {
        return Ok(String::from("<p class=\"empty\">No restart was measured in this run.</p>"));
    }
    let mut out = String::new();
    if !points.is_empty() {
        let entries: Vec<_> = timeline::lines(&points).keys().map(|s| (s.label(), s.ink(), s.shape())).collect();
        out += &legend(&entries)?;
        out += "<div class=\"panels\">";
        let budgets: BTreeSet<u32> = points.iter().map(|r| r.cores).collect();
        let panels = all_workloads(&points).into_iter().flat_map(|w| budgets.iter().map(move |n| (w.clone(), *n)));
        for (i, (workload, n)) in panels.enumerate() {
            let own = points.iter().filter(|r| r.workload == workload && r.cores == n).copied();
            let lines = timeline::lines(&own.collect::<Vec<_>>());
            if lines.is_empty() {
                continue;
            }
            let title = format!("{}, {}", workload.replace('_', " "), cores(n));
            let desc = "Requests completed in each millisecond around the fault, which is the vertical line at 0.";
            let id = format!("time-{i}");
            let draw = |area: &super::ink::Area<'_>| timeline::draw(&title, &lines, area);
            out += &picture((&id, &title, desc), timeline::SIZE, Place::Page, draw)?;
        }
        out += "</div>";
    }
    Ok(out + &numbers(&records) + &works)
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Requests fall due at a steady rate whatever the kernel does (open loop); a gap is counted from \
    when a request was due, not from when it could be sent. The monolith suffers the same fault; what still works after \
    its oops is tried call by call. Its reboot is a lower bound: kernel initialisation, mount and replay, without \
    firmware, device probing and user space.";
