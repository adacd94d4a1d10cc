//! The short table at the end of a run: plain text, a dozen or two lines.

use super::answer::answer;
use super::campaign;
use super::crash::Crash;
use super::facts::{Unrest, containment, latency, overhead, ratios, returned, spoilt, unrest};
use super::number::{line, show};
use super::series::setting_label;
use crate::schema::{Entry, Kernel, Record, Results, Status};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Workloads of the ratio table, at most: the least, the greatest and those in between, evenly.
const MOST_ROWS: usize = 5;

/// The table, with a line break after each line.
pub fn summary_table(results: &Results) -> String {
    // Writing to a string can't fail.
    let mut out = String::new();
    let (series, records) = ratios(results);
    let name = series.map_or("microkernel".into(), |s| s.label());
    let _ = writeln!(out, "Latency: {name} over monolithic (95 % interval)");
    for l in latency(results) {
        let mean = l.mean.map_or("none".into(), |m| show(m, "ratio"));
        let setting = setting_label((l.cores, l.entry));
        let _ = writeln!(
            out,
            "  {setting:<46} mean {mean:>10}   slower {:>2} faster {:>2} same {:>2} unstable {:>2}",
            l.slower, l.faster, l.same, l.unstable
        );
    }
    // One core and the trap if they were measured: the setting that favours neither a second core nor a free entry.
    let here = |r: &&&Record| (r.cores, r.entry) == (1, Entry::Trap) && r.value.is_some();
    let mut rows: Vec<&Record> = records.iter().filter(here).copied().collect();
    rows.sort_by(|a, b| a.value.partial_cmp(&b.value).unwrap_or(std::cmp::Ordering::Equal));
    let last = rows.len().saturating_sub(1);
    let mut picked: Vec<usize> = (0..MOST_ROWS).map(|i| i * last / (MOST_ROWS - 1)).collect();
    picked.dedup();
    let spoilt = spoilt(results, &records);
    for r in picked.into_iter().filter_map(|i| rows.get(i)) {
        // `line` says so itself where the record does.
        let flag = if spoilt.contains(r) && r.status == Status::Ok { " unstable" } else { "" };
        let _ = writeln!(out, "    {:<44} {}{flag}", format!("{}, 1 core, trap", r.workload), line(r));
    }
    let overhead = overhead(results);
    if let Some(name) = overhead.first().map(|o| o.series.label()) {
        let _ = writeln!(out, "Programs: {name} over monolithic, by share of user computation (geometric mean)");
    }
    for n in overhead.iter().map(|o| o.cores).collect::<BTreeSet<_>>() {
        let own = overhead.iter().filter(|o| o.cores == n);
        let parts: Vec<String> = own.map(|o| format!("{} %: {}", o.user, show(o.mean, "ratio"))).collect();
        let _ = writeln!(out, "  {:<46} {}", super::number::cores(n), parts.join("   "));
    }
    let _ = writeln!(out, "Faults that stayed inside the component (95 % interval)");
    for c in containment(results) {
        let i = c.interval();
        let label = format!("{}, {}", c.series.label(), super::number::cores(c.cores));
        let (low, high) = (i.low * 100.0, i.high * 100.0);
        let _ = writeln!(out, "  {label:<46} {:>4} of {:<4} [{low:.0} to {high:.0} %]", c.contained, c.activated);
    }
    let _ = writeln!(out, "Restart: first good answer");
    for kernel in [Kernel::Monolithic, Kernel::Microkernel] {
        if let Some(r) = returned(results, kernel) {
            let label = format!("{}, {}", r.series.label(), r.workload.replace('_', " "));
            let _ = writeln!(out, "  {label:<46} {}", line(r.answer));
        }
    }
    let words = answer(results);
    for (head, sentence) in [("Isolation", words.isolation), ("Restart", words.restart)] {
        let verdict = sentence.split(':').next().unwrap_or_default();
        let _ = writeln!(out, "{head}: {}", verdict.trim_end_matches('.'));
    }
    if let Some(line) = campaign::brief(results) {
        let _ = writeln!(out, "Campaign: {line}");
    }
    if let Some(line) = Crash::of(results).line() {
        let _ = writeln!(out, "Power failures: {line}");
    }
    if let Some(Unrest { is_real, count, reason, .. }) = unrest(results) {
        let _ = match is_real {
            true => writeln!(out, "Unstable run: {count}; first: {reason}"),
            false => writeln!(out, "No verdict on a few cells: {count}; first: {reason}"),
        };
    }
    out
}
