//! How late answers are while a component is killed each second, beside seconds without a kill: the share of requests that
//! were answered later than so much after they were due, on log axes, so that the rare and long ones show.

use super::html::{Cell, Group, Notes, table};
use super::ink::{Area, Ink, Place, Shape, legend, picture};
use super::number::show;
use super::series::pick;
use crate::ReportError;
use crate::schema::{Experiment, Record, Results};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeMap;

const SIZE: (u32, u32) = (880, 400);
const LEFT: i32 = 110;
const RIGHT: i32 = 815;
const TOP: i32 = 60;
const FLOOR: i32 = 330;

/// What a run of kills each second is judged by.
const FIGURES: [(&str, &str); 6] = [
    ("throughput_ratio", "throughput over undisturbed seconds"),
    ("restart_drift", "way back, second half over first"),
    ("leaked_processes", "processes left"),
    ("leaked_threads", "threads left"),
    ("leaked_descriptors", "descriptors left"),
    ("leaked_memory_objects", "memory objects left"),
];

/// Nanoseconds that a record's share of requests was later than.
fn moment(r: &Record) -> Option<f64> {
    r.statistic.strip_prefix("over_")?.parse().ok().filter(|ns: &f64| ns.is_finite() && *ns > 0.0)
}

fn is_point(r: &Record) -> bool {
    r.metric == "delayed" && moment(r).is_some()
}

/// Whether it shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Restart && (is_point(r) || FIGURES.iter().any(|(metric, _)| *metric == r.metric))
}

/// Chart and table; nothing where nobody was killed each second.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let mut lines: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for r in pick(results, Experiment::Restart, is_point) {
        if let (Some(at), Some(share)) = (moment(r), r.value.filter(|share| *share > 0.0)) {
            lines.entry(&r.workload).or_default().push((at, share));
        }
    }
    let mut out = String::new();
    if !lines.is_empty() {
        let entries: Vec<_> = lines.keys().map(|name| (label(name), look(name).0, look(name).1)).collect();
        out += &legend(&entries)?;
        let title = "Requests that were late by more than so much";
        let desc = "Left to right: delay from when a request was due to its good answer; upwards: the share of all requests \
                    that were later than that. Both axes are logarithmic.";
        let draw = |area: &Area<'_>| paint(title, &lines, area).map_err(|e| e.to_string());
        out += "<div class=\"panels\">";
        out += &picture(("delays", title, desc), SIZE, Place::Page, draw)?;
        out += "</div>";
    }
    Ok(out + &figures(results))
}

fn is_quiet(workload: &str) -> bool {
    workload.ends_with("/undisturbed")
}

fn label(workload: &str) -> String {
    let who = workload.split('/').next().unwrap_or_default();
    match is_quiet(workload) {
        true => "seconds without a kill".into(),
        false => format!("seconds in which {who} is killed ({})", workload.rsplit('/').next().unwrap_or_default()),
    }
}

fn look(workload: &str) -> (Ink, Shape) {
    if is_quiet(workload) { (Ink::Muted, Shape::Disc) } else { (Ink::Process, Shape::Diamond) }
}

fn paint(
    title: &str,
    lines: &BTreeMap<&str, Vec<(f64, f64)>>,
    area: &Area<'_>,
) -> Result<(), Box<dyn std::error::Error>> {
    let points = || lines.values().flatten();
    let ends = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) = points().map(of).fold((f64::MAX, f64::MIN), |(low, high), x| (low.min(x), high.max(x)));
        (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0))
    };
    let ((first, last), (least, most)) = (ends(|p| p.0), ends(|p| p.1));
    let place = |value: f64, (low, high): (f64, f64), from: i32, to: i32| {
        from + ((value.log10() - low) / (high - low) * f64::from(to - from)).round() as i32
    };
    let x = |ns: f64| place(ns, (first, last), LEFT, RIGHT);
    let y = |share: f64| place(share, (least, most), FLOOR, TOP);
    area.draw(&Text::new(title.to_owned(), (0, 8), Ink::Fg.text(28, HPos::Left, VPos::Top)))?;
    for power in least as i32..=most as i32 {
        let share = 10f64.powi(power);
        area.draw(&PathElement::new(vec![(LEFT, y(share)), (RIGHT, y(share))], Ink::Grid.line(2)))?;
        let style = Ink::Muted.text(24, HPos::Right, VPos::Center);
        area.draw(&Text::new(show(share, "share"), (LEFT - 12, y(share)), style))?;
    }
    for power in first as i32..=last as i32 {
        let ns = 10f64.powi(power);
        area.draw(&PathElement::new(vec![(x(ns), TOP), (x(ns), FLOOR)], Ink::Grid.line(2)))?;
        let style = Ink::Muted.text(24, HPos::Center, VPos::Top);
        area.draw(&Text::new(show(ns, "ns"), (x(ns), FLOOR + 10), style))?;
    }
    for (name, points) in lines {
        let (ink, shape) = look(name);
        let mut points = points.clone();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        area.draw(&PathElement::new(points.iter().map(|p| (x(p.0), y(p.1))).collect::<Vec<_>>(), ink.line(4)))?;
        // The longest delay of all, and a few on the way.
        let every = (points.len() / 6).max(1);
        for p in points.iter().rev().step_by(every) {
            shape.draw(area, (x(p.0), y(p.1)), ink)?;
        }
    }
    let style = Ink::Muted.text(24, HPos::Right, VPos::Top);
    area.draw(&Text::new("delay from when a request was due", (RIGHT, FLOOR + 40), style))?;
    Ok(())
}

fn figures(results: &Results) -> String {
    let records = pick(results, Experiment::Restart, |r| FIGURES.iter().any(|(metric, _)| *metric == r.metric));
    let mut notes = Notes::default();
    let row = |(metric, name): &(&str, &str)| {
        let r = records.iter().find(|r| r.metric == *metric).copied()?;
        let deaths = r.n.map_or("–".into(), |n| show(n as f64, "count"));
        Some(((*name).to_owned(), vec![Cell::figure(Some(r), &mut notes), Cell::text(&deaths)]))
    };
    let rows: Vec<_> = FIGURES.iter().filter_map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = ["a kill each second", "figure", "kills"].map(str::to_owned);
    table(
        "What a kill each second costs, and what it leaves behind",
        &heads,
        &[Group { head: String::new(), rows }],
        &notes,
    )
}
