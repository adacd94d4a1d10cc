//! The cost model's section: what it predicts for each placement, and how far that is off.

use super::html::{Cell, Group, Notes, fold, table};
use super::number::{cores, show};
use super::series::Series;
use crate::model::judge::{Case, GOAL, Judgement, error, judge};
use crate::schema::{Kernel, Record, Results};
use std::collections::BTreeSet;

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.metric == "byte_cost"
}

fn label(j: &Judgement) -> String {
    Series { kernel: Kernel::Microkernel, placement: j.placement.clone(), wait: j.wait.clone() }.label()
}

/// A median error over so many programs, coloured by whether it is as small as it should be.
fn error_cell(found: Option<(f64, usize)>) -> Cell {
    let Some((wrong, programs)) = found else { return Cell { html: "–".into(), class: "none" } };
    let (symbol, class) = if wrong <= GOAL { ("✓", "good") } else { ("!", "hurt") };
    let html = format!("<b>{symbol} {}</b><small>{programs} programs</small>", show(wrong, "share"));
    Cell { html, class }
}

/// What came of the goal, in a sentence.
fn sentence(judgements: &[Judgement]) -> String {
    let goal = show(GOAL, "share");
    let count = |of: fn(&Judgement) -> Option<(f64, usize)>| {
        let errors: Vec<f64> = judgements.iter().filter_map(|j| Some(of(j)?.0)).collect();
        let good = errors.iter().filter(|wrong| **wrong <= GOAL).count();
        match errors.is_empty() {
            true => "could not be judged".to_owned(),
            false => format!("is within {goal} for {good} of {} placements, waits and core budgets", errors.len()),
        }
    };
    format!(
        "The prediction from the parts, with nothing fitted, {}. With both costs fitted on one half of the workloads, that of \
         the other half {}. Each counts the median error of its programs.",
        count(Judgement::error_from_parts),
        count(Judgement::error_from_fit)
    )
}

/// The section without its heading.
pub fn section(results: &Results) -> String {
    let judgements = judge(results);
    if judgements.is_empty() {
        return String::from("<p class=\"empty\">No placement was both measured and counted in this run.</p>");
    }
    let budgets: BTreeSet<u32> = judgements.iter().map(|j| j.cores).collect();
    let of_budget = |budget: u32| judgements.iter().filter(move |j| j.cores == budget);
    let row = |j: &Judgement| {
        let cost = |of: Option<f64>, unit: &str| Cell::text(&of.map_or("–".into(), |cost| show(cost, unit)));
        let cells = vec![
            error_cell(j.error_from_parts()),
            error_cell(j.error_from_fit()),
            cost(j.fitted.map(|fitted| fitted.0), "ns"),
            cost(j.fitted.map(|fitted| fitted.1), "ns/B"),
        ];
        (label(j), cells)
    };
    let groups: Vec<Group> = budgets
        .iter()
        .map(|&budget| Group { head: cores(budget), rows: of_budget(budget).map(row).collect() })
        .collect();
    let heads = ["placement", "error from the parts", "error of the fit", "fitted crossing", "fitted byte"];
    let caption = "How far predictions are off: median over programs, as a share of the measured time";
    let mut out = format!("<p>{}</p>", sentence(&judgements));
    out += "<p class=\"method\"><code>time = monolithic time + crossings × cost of a crossing + bytes × cost of a byte</code></p>";
    out += &table(caption, &heads.map(str::to_owned), &groups, &Notes::default());
    for budget in budgets {
        let group = |j: &Judgement| Group { head: label(j), rows: j.cases.iter().map(case).collect() };
        let caption = format!("Every workload, {}", cores(budget));
        let heads = ["workload", "crossings", "bytes", "measured", "from the parts", "from the fit"].map(str::to_owned);
        let groups: Vec<Group> = of_budget(budget).map(group).collect();
        out += &fold(&caption, false, &table(&caption, &heads, &groups, &Notes::default()));
    }
    out + &bytes(results)
}

fn case(c: &Case) -> (String, Vec<Cell>) {
    let predicted = |of: Option<f64>, note: &str| match of {
        Some(time) => {
            let wrong = show(error(time, c.measured), "share");
            Cell { html: format!("{}<small>{wrong} off{note}</small>", show(time, "ns")), class: "" }
        }
        None => Cell { html: "–".into(), class: "none" },
    };
    let cells = vec![
        Cell::text(&show(c.load.crossings, "count")),
        Cell::text(&show(c.load.bytes, "bytes")),
        Cell::text(&show(c.measured, "ns")),
        predicted(c.from_parts, ""),
        predicted(c.from_fit, if c.fitted_on { ", fitted on" } else { "" }),
    ];
    (c.load.workload.clone(), cells)
}

/// What a byte costs alone.
fn bytes(results: &Results) -> String {
    let mut notes = Notes::default();
    let own: Vec<&Record> = results.records.iter().filter(|r| shows(r)).collect();
    if own.is_empty() {
        return String::new();
    }
    let mut row = |r: &&Record| {
        (format!("{}, {}", Series::of(r).label(), cores(r.cores)), vec![Cell::figure(Some(r), &mut notes)])
    };
    let rows = own.iter().map(&mut row).collect();
    let heads = ["transport", "cost"].map(str::to_owned);
    table(
        "What a byte costs that is copied into a window or out of it",
        &heads,
        &[Group { head: String::new(), rows }],
        &notes,
    )
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Crossings and bytes are counted in boots of their own. What a crossing costs alone is from chains of \
    one to three servers, by how deep the calls of a workload go; what a byte costs alone is what 64 KiB take longer than \
    512 B over a transport, less what they take longer in a direct call. The halves are chosen by the run's seed, and no \
    workload judges costs that were fitted on it.";
