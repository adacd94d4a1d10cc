//! What latency and primitives share: panels and tables over (core budget, entry) × workload × series.

use super::dots::{Dot, Panel, WIDTH};
use super::html::{Cell, Group, Notes, fold, table};
use super::ink::{Ink, Place, legend, picture};
use super::series::{GROUPS, Series, all_series, all_settings, all_workloads, cell, group, setting_label};
use crate::ReportError;
use crate::schema::{Record, Results};
use std::collections::BTreeSet;

/// One panel for each core budget and entry among the records, with the legend above.
pub fn panels(id: &str, what: &str, records: &[&Record], baseline: Option<f64>) -> Result<String, ReportError> {
    let shown: Vec<&Record> = records.iter().filter(|r| r.value.is_some()).copied().collect();
    if shown.is_empty() {
        return Ok(String::from("<p class=\"empty\">No figures for this chart in this run.</p>"));
    }
    let all = all_series(&shown);
    let entries: Vec<_> = all.iter().map(|s| (s.label(), s.ink(), s.shape())).collect();
    let budgets = shown.iter().map(|r| r.cores).collect::<BTreeSet<_>>().len();
    let columns = all_settings(&shown).len().div_ceil(budgets);
    let reach: Vec<f64> = shown.iter().flat_map(|r| [r.value, r.ci_low, r.ci_high]).flatten().collect();
    let lanes: Vec<Ink> = all.iter().map(Series::ink).collect::<BTreeSet<_>>().into_iter().collect();
    // A row of panels for each core budget, where the page is wide enough.
    let mut out = legend(&entries)? + &format!("<div class=\"panels\" style=\"--columns:{}\">", columns.max(2));
    for (i, setting) in all_settings(&shown).into_iter().enumerate() {
        let here: Vec<&Record> = shown.iter().filter(|r| (r.cores, r.entry) == setting).copied().collect();
        let mut panel = panel(setting_label(setting), &here, baseline);
        (panel.reach, panel.lanes) = (reach.clone(), lanes.clone());
        let title = format!("{what}, {}", panel.title);
        let desc = format!(
            "Dots on a log scale, a line through each is its 95 % interval. {} workloads, {} figures; the table below \
             holds the same figures.",
            panel.rows.len(),
            panel.dots.len()
        );
        let size = (WIDTH, panel.height());
        out += &picture((&format!("{id}-{i}"), &title, &desc), size, Place::Page, |area| panel.draw(area))?;
    }
    Ok(out + "</div>")
}

/// The same for each group of workloads, under its heading.
pub fn grouped(
    results: &Results,
    id: &str,
    what: &str,
    records: &[&Record],
    baseline: Option<f64>,
) -> Result<String, ReportError> {
    if records.is_empty() {
        return panels(id, what, records, baseline);
    }
    let mut out = String::new();
    for (word, heading) in GROUPS {
        let here: Vec<&Record> = records.iter().filter(|r| group(results, r) == word).copied().collect();
        if !here.is_empty() {
            out += &format!("<h4>{heading}</h4>");
            out += &panels(&format!("{id}-{word}"), what, &here, baseline)?;
        }
    }
    Ok(out)
}

/// The panel of records that share a setting.
pub fn panel(title: String, records: &[&Record], baseline: Option<f64>) -> Panel {
    let rows = all_workloads(records);
    let dot = |r: &&Record| {
        let series = Series::of(r);
        Some(Dot {
            row: rows.iter().position(|w| *w == r.workload)?,
            value: r.value?,
            interval: r.ci_low.zip(r.ci_high),
            ink: series.ink(),
            shape: series.shape(),
        })
    };
    let dots: Vec<Dot> = records.iter().filter_map(dot).collect();
    let lanes = dots.iter().map(|d| d.ink).collect::<BTreeSet<_>>().into_iter().collect();
    let unit = records.first().map_or(String::new(), |r| r.unit.clone());
    Panel { title, dots, unit, baseline, rows, lanes, reach: Vec::new() }
}

/// A folded table of one metric: workloads down, series across, a group for each core budget and entry.
pub fn matrix(caption: &str, open: bool, records: &[&Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let series = all_series(records);
    let heads: Vec<String> = std::iter::once("workload".into()).chain(series.iter().map(Series::label)).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for setting in all_settings(records) {
        let here: Vec<&Record> = records.iter().filter(|r| (r.cores, r.entry) == setting).copied().collect();
        let row = |workload: String| {
            let cells = series.iter().map(|s| Cell::figure(cell(&here, setting, &workload, s), &mut notes)).collect();
            (workload, cells)
        };
        groups.push(Group { head: setting_label(setting), rows: all_workloads(&here).into_iter().map(row).collect() });
    }
    fold(caption, open, &table(caption, &heads, &groups, &notes))
}
