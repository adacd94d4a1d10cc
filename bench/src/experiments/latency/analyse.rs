//! From samples to records: medians with intervals, and ratios to the monolithic kernel block by block.

use std::time::Instant;

use kd_boot::control::Entry;
use kd_boot::manifest::Kernel;
use kd_report::schema::{self, Experiment, Record};
use kd_report::stats::{self, Estimate, Statistic};
use kd_workloads::Group;
use rayon::prelude::*;

use super::configuration::{Configuration, entry_word};
use super::sample::{Key, Samples, Table};
use crate::experiments::Plan;
use crate::experiments::records::{Subject, unstable};

/// Bytes of the unit of throughput.
const MIB: f64 = 1_048_576.0;
/// Resamples of each bootstrap.
const RESAMPLES: usize = 2_000;

/// All records of an experiment's samples.
pub fn records(experiment: Experiment, samples: &Table, plan: &Plan) -> Vec<Record> {
    let cells: Vec<(usize, (&Key, &Samples))> = samples.iter().enumerate().collect();
    let of_cell = |(number, (key, cell)): (usize, (&Key, &Samples))| {
        let seed = plan.seed.wrapping_add(number as u64);
        let subject = subject(experiment, key);
        if key.configuration.twin {
            twin(subject, samples, key, cell, seed)
        } else {
            one(subject, samples, key, cell, seed)
        }
    };
    cells.into_par_iter().flat_map_iter(of_cell).collect()
}

/// What a cell measured, as the columns of its records.
pub fn subject(experiment: Experiment, key: &Key) -> Subject {
    Subject {
        experiment,
        kernel: key.configuration.kernel_word(),
        placement: key.configuration.placement_word(),
        wait: key.configuration.wait_word(),
        entry: entry_word(key.entry),
        cores: key.cores as u32,
        workload: match key.user {
            0 => key.workload.clone(),
            user => format!("{}/user_{user}", key.workload),
        },
    }
}

/// The figures of one cell.
fn one(subject: Subject, samples: &Table, key: &Key, cell: &Samples, seed: u64) -> Vec<Record> {
    if cell.latency.iter().all(Vec::is_empty) {
        let reason = cell.reason.as_deref().unwrap_or("no boot gave a figure");
        return vec![
            subject.unavailable("latency", "median", "ns", reason),
            subject.unavailable("latency_ratio", "median", "ratio", reason),
        ];
    }
    let boots = cell.latency.iter().filter(|boot| !boot.is_empty()).count();
    let estimate = |of: &[Vec<f64>], statistic: Statistic| stats::estimate(of, statistic, RESAMPLES, seed);
    let mut records = vec![
        subject.estimate("latency", "median", "ns", estimate(&cell.latency, stats::median), boots),
        subject.estimate("latency", "p10", "ns", estimate(&cell.latency, stats::p10), boots),
        subject.estimate("latency", "p90", "ns", estimate(&cell.latency, stats::p90), boots),
        subject.estimate("context_switches", "median", "count", estimate(&cell.switches, stats::median), boots),
    ];
    // Of one app with one call at a time, so that it follows from the latency, batch by batch.
    if let Some(bytes) =
        kd_workloads::find(&key.workload).ok().filter(|w| w.group() == Group::Storage).and_then(|w| w.bytes())
    {
        let of_batch = |nanos: &f64| bytes as f64 / nanos * 1e9 / MIB;
        let rates: Vec<Vec<f64>> = cell.latency.iter().map(|boot| boot.iter().map(of_batch).collect()).collect();
        records.push(subject.estimate("throughput", "median", "MiB/s", estimate(&rates, stats::median), boots));
    }
    // The host's kernel does its work inside the app's process, whose time its boot's root cannot be told apart from.
    records.push(subject.estimate("cpu_time", "median", "ns", estimate(&cell.cpu, stats::median), boots));
    if key.configuration != Configuration::MONOLITHIC {
        let ratio = |entry: Entry| {
            let base = samples.get(&Key { configuration: Configuration::MONOLITHIC, entry, ..key.clone() })?;
            Some((
                stats::ratio(&cell.latency, &base.latency, stats::median, RESAMPLES, seed),
                stats::ratio(&cell.cpu, &base.cpu, stats::median, RESAMPLES, seed),
            ))
        };
        if let Some((latency, cpu)) = ratio(key.entry) {
            records.push(subject.estimate("latency_ratio", "median", "ratio", latency, boots));
            records.push(subject.estimate("cpu_ratio", "median", "ratio", cpu, boots));
        }
        // The message to the first server is the microkernel's trap: counted once, against a monolith that traps. A call
        // that no server answers sends none, and cannot do without its trap.
        let sends = kd_workloads::find(&key.workload).is_ok_and(|workload| workload.hops() > 0);
        if let (Kernel::Microkernel, Entry::Call, true, Some((latency, cpu))) =
            (key.configuration.kernel, key.entry, sends, ratio(Entry::Trap))
        {
            let once = Subject { entry: schema::Entry::Once, ..subject };
            records.push(once.estimate("latency_ratio", "median", "ratio", latency, boots));
            records.push(once.estimate("cpu_ratio", "median", "ratio", cpu, boots));
        }
    }
    records
}

/// The A/A pair: the monolithic kernel over itself.
fn twin(subject: Subject, samples: &Table, key: &Key, cell: &Samples, seed: u64) -> Vec<Record> {
    let Some(base) = samples.get(&Key { configuration: Configuration::MONOLITHIC, ..key.clone() }) else {
        return Vec::new();
    };
    let ratio: Option<Estimate> = stats::ratio(&cell.latency, &base.latency, stats::median, RESAMPLES, seed);
    let boots = cell.latency.len();
    let record = subject.estimate("aa_ratio", "median", "ratio", ratio, boots);
    match ratio.map(|ratio| stats::stability(ratio.interval)) {
        Some(Err(why)) => vec![unstable(record, why)],
        _ => vec![record],
    }
}

/// What reading the clock costs: a batch of at least 400 us is timed by two readings.
pub fn timer_cost() -> Record {
    const READINGS: u32 = 100_000;
    let begin = Instant::now();
    for _ in 0..READINGS {
        std::hint::black_box(Instant::now());
    }
    let cost = begin.elapsed().as_nanos() as f64 / f64::from(READINGS);
    let subject = Subject {
        experiment: Experiment::Latency,
        kernel: schema::Kernel::Limit,
        placement: "host",
        wait: "none",
        entry: schema::Entry::None,
        cores: 1,
        workload: "clock".into(),
    };
    subject.value("timer_cost", "mean", "ns", cost, u64::from(READINGS))
}
