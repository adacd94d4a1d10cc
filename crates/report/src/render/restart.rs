//! The restart section: what an app sees when a driver dies under load, as a timeline and as numbers.

use super::html::{Cell, Group, Notes, table};
use super::ink::{Area, Drawn, Ink, Place, legend, picture};
use super::number::cores;
use super::series::{Series, all_workloads, pick};
use super::{availability, components, delays, targets, timeline, upgrades, works};
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeSet;

/// Times, shown as median with p99 and maximum; a column only where somebody measured it, as with all others.
const TIMES: [(&str, &str); 6] = [
    ("notice_time", "noticed after"),
    ("restart_time", "restarted after"),
    ("back_time", "answers again after"),
    ("first_call_time", "first call answered after"),
    ("first_answer_time", "first good round after"),
    ("longest_gap", "longest gap for the app"),
];

/// What a restart is held against.
const LIMITS: [(&str, &str); 2] = [("bare_time", "bare kill and fork"), ("over_bare", "over bare")];

/// Totals over all trials.
const TOTALS: [(&str, &str); 9] = [
    ("misdeeds", "done"),
    ("noticed", "of these noticed"),
    ("deaths", "deaths"),
    ("calls_failed", "calls failed"),
    ("calls_repeated", "calls repeated"),
    ("calls_unknown", "outcome unknown"),
    ("executed_twice", "executed twice"),
    ("acknowledged_bytes_lost", "acknowledged bytes lost"),
    ("other_apps_interrupted", "other apps interrupted"),
];

/// Whether the table of causes has a record.
fn is_number(r: &Record) -> bool {
    if components::shows(r) {
        return false;
    }
    let time = TIMES.iter().any(|(m, _)| *m == r.metric) && ["median", "p99", "max"].contains(&r.statistic.as_str());
    let total = TOTALS.iter().any(|(m, _)| *m == r.metric) && r.statistic == "total";
    let limit = LIMITS.iter().any(|(m, _)| *m == r.metric);
    time || total || limit
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    let elsewhere = [components::shows, delays::shows, availability::shows, works::is_probe, upgrades::is_upgrade];
    let own = is_number(r) || timeline::is_point(r);
    r.experiment == Experiment::Restart && (own || elsewhere.iter().any(|shows| shows(r)))
}

/// Component and cause of a death, and the way back if several were tried: `ramdisk/kill` and `warm`.
fn parts(workload: &str) -> (&str, &str) {
    match workload.match_indices('/').nth(1) {
        Some((at, _)) => (&workload[..at], &workload[at + 1..]),
        None => (workload, ""),
    }
}

/// A median with its interval, and the worst below.
pub fn time_cell(records: &[&Record], metric: &str, notes: &mut Notes) -> Cell {
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
    let times: Vec<_> = TIMES.iter().filter(counted).collect();
    let columns = times.iter().copied().chain(limits.iter().copied()).chain(totals.iter().copied());
    let columns = columns.map(|(_, name)| (*name).to_owned());
    let heads: Vec<String> = std::iter::once("kernel".into()).chain(columns).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    let mut deaths: Vec<String> = all_workloads(records).iter().map(|workload| parts(workload).0.to_owned()).collect();
    let mut seen = BTreeSet::new();
    deaths.retain(|death| seen.insert(death.clone()));
    for death in deaths {
        let here: Vec<&Record> = records.iter().filter(|r| parts(&r.workload).0 == death).copied().collect();
        let mut rows = Vec::new();
        let row = |r: &&Record| (Series::of(r), r.cores, parts(&r.workload).1.to_owned());
        for (series, n, way) in here.iter().map(row).collect::<BTreeSet<_>>() {
            let is_own = |r: &&&Record| row(r) == (series.clone(), n, way.clone());
            let own: Vec<&Record> = here.iter().filter(is_own).copied().collect();
            let total = |m: &str| own.iter().find(|r| r.metric == m && r.statistic == "total").copied();
            let mut cells: Vec<Cell> = times.iter().map(|(m, _)| time_cell(&own, m, &mut notes)).collect();
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
    let mut out = String::new();
    let panels = panels(&points);
    let mut entries: Vec<(String, Ink, super::ink::Shape)> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if entries.iter().all(|(label, ..)| *label != line.label) {
            entries.push((line.label.clone(), line.ink, line.shape));
        }
    }
    if !panels.is_empty() {
        out += &legend(&entries)?;
        out += "<div class=\"panels\">";
        for (i, Panel { title, lines }) in panels.iter().enumerate() {
            let draw = |area: &Area<'_>| timeline::draw(title, lines, area);
            out += &picture((&format!("time-{i}"), title, DESCRIPTION), timeline::SIZE, Place::Page, draw)?;
        }
        out += "</div>";
    }
    out += &targets::table_of(results);
    out += &numbers(&records);
    out += &delays::section(results)?;
    out += &[components::table_of(results), availability::section(results), works].concat();
    Ok(if out.is_empty() { "<p class=\"empty\">No restart was measured in this run.</p>".into() } else { out })
}

/// What a timeline shows, for those who cannot see it.
const DESCRIPTION: &str = "Requests completed in each millisecond around the fault, which is the vertical line at 0.";

/// The timeline of one component on one core budget.
struct Panel {
    title: String,
    lines: Vec<timeline::Line>,
}

fn panels(points: &[&Record]) -> Vec<Panel> {
    let mut seen = BTreeSet::new();
    let of = points.iter().map(|r| (timeline::component(r), r.cores)).filter(|of| seen.insert(*of));
    let panel = |(component, n): (&str, u32)| {
        let own = points.iter().filter(|r| (timeline::component(r), r.cores) == (component, n)).copied();
        let lines = timeline::lines(&own.collect::<Vec<_>>());
        Panel { title: format!("{}, {}", component.replace('_', " "), cores(n)), lines }
    };
    of.map(panel).filter(|panel| !panel.lines.is_empty()).collect()
}

/// The timeline of the first component as a picture for the README, with its legend. A run without one gives a picture that
/// says so.
pub fn restart_svg(results: &Results) -> String {
    const PAD: i32 = 40;
    const ROW: i32 = 34;
    let points = pick(results, Experiment::Restart, |r| timeline::is_point(r) && r.value.is_some());
    let panel = panels(&points).into_iter().next();
    let lines = panel.as_ref().map_or(&[][..], |panel| &panel.lines);
    let (width, top) = (timeline::SIZE.0 as i32 + 2 * PAD, 100);
    let legend_at = top + timeline::SIZE.1 as i32 + 20;
    let height = legend_at + lines.len().max(1) as i32 * ROW + PAD;
    let draw = |area: &Area<'_>| -> Drawn {
        let text = |words: &str, at: (i32, i32), ink: Ink, size: u32| {
            let style = ink.text(size, HPos::Left, VPos::Center);
            area.draw(&Text::new(words.to_owned(), at, style)).map_err(|e| e.to_string())
        };
        area.draw(&Rectangle::new([(0, 0), (width, height)], Ink::Bg.fill())).map_err(|e| e.to_string())?;
        text("A driver faults under load: requests completed in each millisecond", (PAD, 44), Ink::Fg, 30)?;
        let Some(panel) = &panel else { return text("no figures in this run", (PAD, top), Ink::Muted, 26) };
        let own = area.clone().shrink((PAD, top), timeline::SIZE);
        timeline::draw(&panel.title, lines, &own)?;
        for (i, line) in lines.iter().enumerate() {
            let y = legend_at + i as i32 * ROW;
            line.shape.draw(area, (PAD + 12, y), line.ink)?;
            text(&line.label, (PAD + 36, y), Ink::Fg, 24)?;
        }
        Ok(())
    };
    let size = (width as u32, height as u32);
    picture(("restart", "A driver's restart", DESCRIPTION), size, Place::Alone, draw)
        .expect("drawing into a string can't fail: there is neither a file nor a font behind it")
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Requests fall due at a steady rate whatever the kernel does (open loop); a gap is counted from \
    when a request was due, not from when it could be sent. Targets are judged by intervals. The monolith suffers the same fault; what still works after \
    its oops is tried call by call. Its reboot is a lower bound: kernel initialisation, mount and replay, without \
    firmware, device probing and user space.";
