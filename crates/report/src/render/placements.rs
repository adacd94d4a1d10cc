//! Placement as a dial, the first thing on the page: what each placement costs whole programs, against what a driver's
//! fault can reach in it.
//!
//! The cost is a mean over programs alone; single calls have a section of their own. The reach is from the fault matrix,
//! over the faults of drivers: a driver is what every placement but the monolithic one sets apart. A placement that was
//! measured but not tried stands below the scale, not at a share that nobody saw.

use super::facts::{Containment, driver_containment};
use super::html::{Cell, Group, Notes, table};
use super::ink::{Ink, Place, picture};
use super::number::{cores, show};
use super::pareto::{self, Dot};
use super::series::{Series, pick};
use crate::ReportError;
use crate::schema::{Experiment, Kernel, Record, Results};
use std::collections::BTreeSet;

/// The means, and what each is called.
const MEANS: [(&str, &str); 2] = [("mean_ratio", "Time"), ("mean_cpu_ratio", "CPU time")];

fn is_mean(r: &Record) -> bool {
    r.experiment == Experiment::Macro && MEANS.iter().any(|(metric, _)| r.metric == *metric)
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    is_mean(r)
}

/// One of the means of a placement on a core budget, with the wait that stands for it.
fn mean<'a>(means: &[&'a Record], placement: &str, cores: u32, metric: &str) -> Option<&'a Record> {
    let rank =
        |r: &&&Record| ["adaptive", "none", "yield", "block"].iter().position(|wait| *wait == r.wait).unwrap_or(9);
    let own = means.iter().filter(|r| r.placement == placement && r.cores == cores && r.metric == metric);
    own.min_by_key(rank).copied()
}

/// A placement in words: those of the records say what stands between components, where each has a domain of its own.
fn name(placement: &str) -> String {
    match placement {
        "direct" => "monolithic".into(),
        "thread" | "process" | "pkey" | "pkey-integrity" => format!("all-isolated ({placement})"),
        hybrid => hybrid.into(),
    }
}

fn tried<'a>(columns: &'a [Containment], placement: &str) -> Option<&'a Containment> {
    let own = columns.iter().filter(|c| c.series.placement == placement && c.activated > 0 && !c.unstable);
    own.min_by_key(|c| (c.series.wait != "adaptive", c.series.wait.clone()))
}

/// The section without its heading.
pub fn section(results: &Results) -> Result<String, ReportError> {
    let means = pick(results, Experiment::Macro, |r| is_mean(r) && r.kernel == Kernel::Microkernel);
    let measured: Vec<&Record> = means.iter().filter(|r| r.value.is_some()).copied().collect();
    if measured.is_empty() {
        return Ok("<p class=\"empty\">No placement was measured with whole programs in this run.</p>".into());
    }
    let placements: BTreeSet<&str> = means.iter().map(|r| r.placement.as_str()).collect();
    let budgets: BTreeSet<u32> = measured.iter().map(|r| r.cores).collect();
    let columns = driver_containment(results);
    let reach: Vec<f64> = measured.iter().flat_map(|r| [r.value, r.ci_low, r.ci_high]).flatten().collect();
    let mut out = String::from(
        "<p>Each dot is a placement of the same components. To the right it costs more: time of whole programs over the \
         monolithic kernel's, as geometric mean, with its interval. Higher up a driver's fault reaches less: the share of \
         activated faults that harmed nobody but the driver. The line joins the placements that no other one beats in \
         both.</p><div class=\"panels\" style=\"--columns:2\">",
    );
    let mut number = 0;
    for &budget in &budgets {
        for (metric, what) in MEANS {
            let dot = |placement: &&str, value: f64, ends: Option<(f64, f64)>| {
                let tried = tried(&columns, placement);
                let inside = tried.map(|c| {
                    let interval = c.interval();
                    (c.contained as f64 / c.activated as f64, (interval.low, interval.high))
                });
                let (kernel, wait) = (Kernel::Microkernel, String::new());
                let ink = match *placement {
                    "direct" => Ink::Mono,
                    placement => Series { kernel, placement: placement.into(), wait }.ink(),
                };
                Dot { name: name(placement), cost: value, cost_ends: ends, inside, ink }
            };
            let own = placements.iter().filter_map(|placement| {
                let r = mean(&means, placement, budget, metric)?;
                Some(dot(placement, r.value?, r.ci_low.zip(r.ci_high)))
            });
            let dots: Vec<Dot> = std::iter::once(dot(&"direct", 1.0, None)).chain(own).collect();
            let title = format!("{what} of programs, {}", cores(budget));
            let desc = "A dot for each placement: cost on a log scale to the right, share of driver faults that stayed inside \
                        upwards; the table below holds the same figures.";
            let id = format!("pareto-{number}");
            number += 1;
            out += &picture((&id, &title, desc), pareto::SIZE, Place::Page, |area| {
                pareto::draw(&title, &dots, &reach, area)
            })?;
        }
    }
    out += "</div>";
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for budget in budgets {
        let row = |placement: &&str| {
            let of = |metric| mean(&means, placement, budget, metric);
            let mut cells: Vec<Cell> = MEANS.iter().map(|(metric, _)| Cell::figure(of(metric), &mut notes)).collect();
            cells.push(inside(tried(&columns, placement)));
            (name(placement), cells)
        };
        let base = || Cell::text("1×");
        let monolithic = ("monolithic".to_owned(), vec![base(), base(), inside(tried(&columns, "direct"))]);
        let rows = std::iter::once(monolithic).chain(placements.iter().map(row)).collect();
        groups.push(Group { head: cores(budget), rows });
    }
    let heads = ["placement", "time", "CPU time", "driver faults that stayed inside"].map(str::to_owned);
    let caption =
        "Geometric mean over all programs, without user computation, over the monolithic kernel; 95 % interval";
    Ok(out + &table(caption, &heads, &groups, &notes))
}

fn inside(tried: Option<&Containment>) -> Cell {
    let Some(c) = tried else { return Cell { html: "not tried".into(), class: "none" } };
    let interval = c.interval();
    let (low, high) = (show(interval.low, "share"), show(interval.high, "share"));
    Cell { html: format!("{} of {}<small>{low} to {high}</small>", c.contained, c.activated), class: "" }
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Hybrids are shipped as data (<code>cargo debate list placements</code>); their crossings wait as \
    <code>adaptive</code> does. Means are over all programs, every block of boots resampled for \
    all of them together; a placement that lacks a program has none. Single calls are not in them. Faults are those of the \
    fault matrix in driver modules, on all cores of the run.";
