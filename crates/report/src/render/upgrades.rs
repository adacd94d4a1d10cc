//! What apps wait while another version of a driver takes its place: a row for each kernel, driver and outcome.

use super::html::{Cell, Group, Notes, table};
use super::number::cores;
use super::series::{Series, all_workloads, pick};
use crate::schema::{Experiment, Record, Results};
use std::collections::BTreeSet;

/// Times, shown as median and maximum, and totals.
const TIMES: [(&str, &str); 2] =
    [("interruption", "longest an app waited"), ("upgrade_time", "from asking to the end of it")];
const TOTALS: [(&str, &str); 3] =
    [("upgrades", "upgrades"), ("upgrade_calls_failed", "calls failed"), ("upgrade_calls_repeated", "calls repeated")];

/// Whether a record is of this table.
pub fn is_upgrade(r: &Record) -> bool {
    let time = TIMES.iter().any(|(m, _)| *m == r.metric) && ["median", "p99", "max"].contains(&r.statistic.as_str());
    time || TOTALS.iter().any(|(m, _)| *m == r.metric) && r.statistic == "total"
}

/// The table; nothing where nothing was upgraded.
pub fn table_of(results: &Results) -> String {
    let records = pick(results, Experiment::Restart, is_upgrade);
    if records.is_empty() {
        return String::new();
    }
    let columns = TIMES.iter().map(|(_, name)| *name).chain(TOTALS.iter().map(|(_, name)| *name));
    let heads: Vec<String> = std::iter::once("kernel").chain(columns).map(String::from).collect();
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for workload in all_workloads(&records) {
        let here: Vec<&Record> = records.iter().filter(|r| r.workload == workload).copied().collect();
        let mut rows = Vec::new();
        for (series, n) in here.iter().map(|r| (Series::of(r), r.cores)).collect::<BTreeSet<_>>() {
            let of = |metric: &str, statistic: &str| {
                let own = |r: &&&Record| (r.metric.as_str(), r.statistic.as_str(), r.cores) == (metric, statistic, n);
                here.iter().filter(own).find(|r| Series::of(r) == series).copied()
            };
            let mut cells = Vec::new();
            for (metric, _) in TIMES {
                let mut cell = Cell::figure(of(metric, "median"), &mut notes);
                if let Some(most) = of(metric, "max").filter(|r| r.value.is_some()) {
                    cell.html += &format!("<small>max {}</small>", Cell::figure(Some(most), &mut notes).html);
                }
                cells.push(cell);
            }
            cells.extend(TOTALS.iter().map(|(metric, _)| Cell::figure(of(metric, "total"), &mut notes)));
            rows.push((format!("{}, {}", series.label(), cores(n)), cells));
        }
        groups.push(Group { head: workload.replace('_', " "), rows });
    }
    let caption = "Another version of a driver under load. The microkernel drains the old one and promotes the new one, and \
                   asks no app; in the monolith the app closes its files, the module is unloaded and loaded, and the app opens \
                   them again. Rolled back: the new one failed its health check";
    table(caption, &heads, &groups, &notes)
}
