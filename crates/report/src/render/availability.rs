//! What failures come to in a year, for each kernel and each way back, with the inputs beside the sum.

use super::html::{Cell, Group, Notes, table};
use super::number::show;
use super::series::{Series, pick};
use crate::availability::{Outage, Platform, RATES, platforms};
use crate::schema::{Experiment, Kernel, Record, Results};
use std::collections::BTreeSet;

/// One way of a kernel to go on after a component's fault.
struct Row {
    label: String,
    outage: Outage,
}

/// Whether a record is an input that nothing else shows.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Restart && r.metric == "rate_due"
}

fn find<'a>(
    records: &[&'a Record],
    workload: &str,
    series: &Series,
    metric: &str,
    statistic: &str,
) -> Option<&'a Record> {
    let wanted = |r: &&&Record| {
        r.workload == workload && Series::of(r) == *series && r.metric == metric && r.statistic == statistic
    };
    records.iter().find(wanted).copied()
}

/// Seconds until the first good answer, and calls that each fault failed.
fn outage(records: &[&Record], workload: &str, series: &Series) -> Option<Outage> {
    let seconds = find(records, workload, series, "first_answer_time", "median")?.value? / 1e6;
    let per_death =
        |metric| find(records, workload, series, metric, "total").and_then(|r| Some(r.value? / r.n? as f64));
    Some(Outage { seconds, calls_failed: per_death("calls_failed").unwrap_or(0.0) })
}

fn rows(component: &str, records: &[&Record], rate: f64, platforms: &[Platform]) -> Vec<Row> {
    let own: BTreeSet<(Series, &str)> = records
        .iter()
        .filter(|r| r.workload.split('/').next() == Some(component) && r.metric == "first_answer_time")
        .map(|r| (Series::of(r), r.workload.as_str()))
        .collect();
    let mut rows = Vec::new();
    for (series, workload) in own {
        let Some(outage) = outage(records, workload, &series) else { continue };
        match (series.kernel, workload.split('/').nth(1)) {
            (Kernel::Microkernel, Some("null_dereference")) => {
                let way = workload.split('/').nth(2).map(|way| format!(", {way}")).unwrap_or_default();
                rows.push(Row { label: format!("{}{way}", series.label()), outage });
            }
            (Kernel::Monolithic, Some("panic_reboot")) => {
                // The call that met the fault fails on every platform.
                let kernel = Outage { calls_failed: 1.0, ..outage };
                let hosted = (String::from("hosted, the lower bound"), 0.0);
                let others = platforms.iter().map(|p| (format!("{}, {}", p.name, show(p.seconds, "s")), p.seconds));
                rows.extend(std::iter::once(hosted).chain(others).map(|(name, seconds)| Row {
                    label: format!("{}, reboot ({name})", series.label()),
                    outage: Outage::of_reboot(kernel, seconds, rate),
                }));
            }
            // No firmware in between, but devices and user space are missing here as well.
            (Kernel::Monolithic, Some("panic_kexec")) => {
                let outage = Outage::of_reboot(Outage { calls_failed: 1.0, ..outage }, 0.0, rate);
                rows.push(Row { label: format!("{}, kexec (hosted, the lower bound)", series.label()), outage });
            }
            _ => {}
        }
    }
    rows
}

/// A number of minutes in a unit that suits it.
fn time(minutes: f64) -> String {
    match minutes {
        m if m < 1.0 => show(m * 60.0, "s"),
        m if m < 600.0 => format!("{} min", show(m, "")),
        m => format!("{} h", show(m / 60.0, "")),
    }
}

/// The table and where its inputs come from; nothing without measured times of both kernels.
pub fn section(results: &Results) -> String {
    let records = pick(results, Experiment::Restart, |r| r.value.is_some());
    let rates: Vec<(&str, f64)> = records
        .iter()
        .filter(|r| r.metric == "rate_due")
        .filter_map(|r| Some((r.workload.split('/').next()?, r.value?)))
        .collect();
    let platforms = platforms();
    let mut groups = Vec::new();
    for (component, rate) in &rates {
        let rows = rows(component, &records, *rate, &platforms).into_iter().map(|Row { label, outage }| {
            let mut cells =
                vec![Cell::text(&show(outage.seconds, "s")), Cell::text(&show(outage.calls_failed, "count"))];
            for (_, work) in RATES {
                let year = outage.yearly(work);
                let html = format!(
                    "{}<small>{} calls</small>",
                    Cell::text(&time(year.minutes)).html,
                    calls(year.calls_failed)
                );
                cells.push(Cell { html, class: "" });
            }
            (label, cells)
        });
        let head = format!("{component}, under {}", show(*rate, "1/s"));
        groups.push(Group { head, rows: rows.collect() });
    }
    if groups.iter().all(|group| group.rows.is_empty()) {
        return String::new();
    }
    let often = RATES.iter().map(|(name, _)| format!("once {name}"));
    let heads: Vec<String> =
        ["after a fault", "down for", "calls failed each time"].map(str::to_owned).into_iter().chain(often).collect();
    let caption = "If a driver fails so often: time without an answer, and calls failed, in a year";
    let item = |p: &Platform| {
        let text = format!("{}: {}, {} ({})", p.name, show(p.seconds, "s"), p.measures, p.source);
        format!("<li>{}</li>", Cell::text(&text).html)
    };
    let sources: String = platforms.iter().map(item).collect();
    table(caption, &heads, &groups, &Notes::default())
        + "<p class=\"method\">Down for: the median time from fault to first good answer in this run. Calls failed each time: \
           measured where the component comes back, since calls then wait; after a reboot, the one that met the fault and all \
           that fall due until the machine is up, at the rate of the load. The hosted reboot is the kernel's own work alone; \
           what a platform takes before it is added, as others published it:</p><ul class=\"method\">"
        + &sources
        + "</ul>"
}

/// A count, in words where it is large.
fn calls(count: f64) -> String {
    match count {
        c if c >= 1e9 => format!("{} thousand million", show(c / 1e9, "")),
        c if c >= 1e6 => format!("{} million", show(c / 1e6, "")),
        c => show(c.round(), "count"),
    }
}
