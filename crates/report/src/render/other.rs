//! Whatever no section has a place for: metrics and statistics that this crate doesn't know, in one plain table.

use super::html::{Cell, Group, Notes, fold, table};
use super::series::{Series, setting_label};
use super::{campaign, crash, faults, latency, placements, prediction, primitives, programs, restart, scaling, whatif};
use crate::schema::{Experiment, Record, Results};

/// The table, or nothing when every record has its place.
pub fn section(results: &Results) -> String {
    let sections = [
        primitives::shows,
        latency::shows,
        placements::shows,
        programs::shows,
        scaling::shows,
        prediction::shows,
        whatif::shows,
        faults::shows,
        campaign::shows,
        restart::shows,
        crash::shows,
    ];
    let shown = |r: &&Record| sections.iter().any(|shows| shows(r));
    let rest: Vec<&Record> = results.records.iter().filter(|r| !shown(r)).collect();
    if rest.is_empty() {
        return String::new();
    }
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for experiment in Experiment::ALL {
        let mut row = |r: &&Record| {
            let texts = [&r.metric, &r.statistic, &Series::of(r).label(), &setting_label((r.cores, r.entry))];
            let mut cells: Vec<Cell> = texts.map(|t| Cell::text(t)).into();
            cells.push(Cell::figure(Some(r), &mut notes));
            (r.workload.clone(), cells)
        };
        let rows = rest.iter().filter(|r| r.experiment == *experiment).map(&mut row).collect();
        groups.push(Group { head: experiment.to_string(), rows });
    }
    let heads = ["workload", "metric", "statistic", "kernel", "cores, entry", "value"].map(str::to_owned);
    let body = table("Other figures", &heads, &groups, &notes);
    format!(
        "<section id=\"other\"><h2>Other figures</h2>{}</section>",
        fold("Figures without a place above", true, &body)
    )
}
