//! Which edge costs most: for each workload the messages to each component, and the bytes that they carried.
//!
//! Edges are put together by the component at their far end, in the kernel that isolates every component. Counts say how often a boundary is crossed, not how long that takes:
//! a crossing's time is among the parts on their own.

use super::html::{Cell, Group, Notes, table};
use super::number::show;
use super::series::{GROUPS, group};
use crate::schema::{Record, Results};
use std::collections::BTreeMap;

/// Whether a record counts messages over an edge, or their bytes.
pub fn is_edge(r: &Record) -> bool {
    r.metric == "edge_crossings" || r.metric == "edge_bytes"
}

/// Messages and bytes, by component.
type Edges<'a> = BTreeMap<&'a str, (f64, f64)>;

/// Messages and bytes to each component, for each workload in the order of measurement.
fn edges(results: &Results) -> Vec<(&Record, Edges<'_>)> {
    let mut rows: Vec<(&Record, Edges<'_>)> = Vec::new();
    for r in results.records.iter().filter(|r| is_edge(r) && r.placement == "process") {
        let Some(value) = r.value else { continue };
        let at = rows.iter().position(|(first, _)| first.workload == r.workload).unwrap_or_else(|| {
            rows.push((r, BTreeMap::new()));
            rows.len() - 1
        });
        let far_end = r.statistic.rsplit('>').next().unwrap_or_default();
        let edge = rows[at].1.entry(far_end).or_default();
        *(if r.metric == "edge_bytes" { &mut edge.1 } else { &mut edge.0 }) += value;
    }
    rows
}

/// The component that most of the messages of all workloads of a group went to: its name, its share, and how many
/// messages there were on average.
pub fn busiest<'a>(results: &'a Results, of: &str) -> Option<(&'a str, f64)> {
    let mut shares: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let rows: Vec<_> = edges(results).into_iter().filter(|(r, _)| group(results, r) == of).collect();
    for (_, row) in &rows {
        let all: f64 = row.values().map(|edge| edge.0).sum();
        for (component, edge) in row {
            shares.entry(component).or_default().push(edge.0 / all);
        }
    }
    // Each workload counts the same, however many calls its operation makes.
    let mean = |shares: Vec<f64>| shares.iter().sum::<f64>() / rows.len() as f64;
    let shares = shares.into_iter().map(|(component, shares)| (component, mean(shares)));
    shares.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, share)| share.is_finite())
}

/// The table; nothing where nothing was counted.
pub fn table_of(results: &Results) -> String {
    let rows = edges(results);
    let mut components: Vec<&str> = Vec::new();
    for (_, row) in &rows {
        components.extend(row.keys().filter(|name| !components.contains(name)).copied().collect::<Vec<_>>());
    }
    // Those that most workloads call come first.
    components.sort_by_key(|name| std::cmp::Reverse(rows.iter().filter(|(_, row)| row.contains_key(name)).count()));
    if components.is_empty() {
        return String::new();
    }
    let cells = |row: &Edges<'_>| {
        let most = row.values().map(|edge| edge.0).fold(0.0, f64::max);
        let cell = |component: &&str| match row.get(component) {
            Some(&(crossings, bytes)) => {
                let count = show(crossings, "count");
                let count = if crossings == most { format!("<b>{count}</b>") } else { count };
                Cell { html: format!("{count}<small>{}</small>", show(bytes, "bytes")), class: "" }
            }
            None => Cell { html: "–".into(), class: "none" },
        };
        components.iter().map(cell).collect()
    };
    let of_group = |(word, heading): (&str, &str)| {
        let own = rows.iter().filter(|(r, _)| group(results, r) == word);
        Group { head: heading.into(), rows: own.map(|(r, row)| (r.workload.clone(), cells(row))).collect() }
    };
    let heads: Vec<String> =
        std::iter::once("workload".into()).chain(components.iter().map(|name| format!("to {name}"))).collect();
    table(CAPTION, &heads, &GROUPS.map(of_group), &Notes::default())
}

const CAPTION: &str =
    "Messages for each operation, and bytes copied with them, by the component that they went to; most in bold";
