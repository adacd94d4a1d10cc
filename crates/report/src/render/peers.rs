//! The same exchange by other means: our crossings beside those that others have built.
//!
//! Workloads whose names begin with `ipc_`; the placement of a record is the name of its means.

use super::html::{Cell, Group, Notes, fold, table};
use super::number::cores;
use super::series::{Series, all_series, all_settings, all_workloads, pick};
use crate::schema::{Experiment, Record, Results};

/// What each row tells of a means.
const COLUMNS: [(&str, &str); 3] =
    [("latency", "latency"), ("cpu_time", "CPU time"), ("latency_ratio", "over our process")];

fn is_exchange(r: &Record) -> bool {
    r.workload.starts_with("ipc_") && r.statistic == "median" && COLUMNS.iter().any(|(metric, _)| r.metric == *metric)
}

/// Whether this part shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Primitives && is_exchange(r)
}

/// The heading and the table; nothing where no exchange is among the results.
pub fn part(results: &Results) -> String {
    let records = pick(results, Experiment::Primitives, is_exchange);
    if records.is_empty() {
        return String::new();
    }
    let caption = "One exchange: median and 95 % interval";
    let mut notes = Notes::default();
    let mut groups = Vec::new();
    for workload in all_workloads(&records) {
        for setting in all_settings(&records) {
            let here = |r: &&&Record| r.workload == workload && (r.cores, r.entry) == setting;
            let here: Vec<&Record> = records.iter().filter(here).copied().collect();
            let mut row = |series: &Series| {
                let of = |metric| here.iter().find(|r| r.metric == metric && Series::of(r) == *series).copied();
                (series.label(), COLUMNS.map(|(metric, _)| Cell::figure(of(metric), &mut notes)).into())
            };
            let rows = all_series(&here).iter().map(&mut row).collect();
            groups.push(Group { head: format!("{workload}, {}", cores(setting.0)), rows });
        }
    }
    let heads: Vec<String> = [("", "means")].iter().chain(&COLUMNS).map(|(_, head)| (*head).to_owned()).collect();
    format!(
        "<h3>The same exchange by other means</h3><p>{ABOUT}</p>{}",
        fold(caption, true, &table(caption, &heads, &groups, &notes))
    )
}

/// What an exchange is.
const ABOUT: &str = "A word is asked and bytes are answered, as <code>read()</code> does: 64 bytes \
    (<code>ipc_64</code>), 4 KiB (<code>ipc_4k</code>), and 64 bytes through three servers \
    (<code>ipc_chain3</code>). The last column is to the microkernel's <code>process</code> in the same round that waits \
    alike; below 1, the other means is faster. CPU time is that of all its processes: a second core that polls counts. \
    What each means does more or less than ours is in <a href=\"../../bench/BIAS.md\">bench/BIAS.md</a>.";
