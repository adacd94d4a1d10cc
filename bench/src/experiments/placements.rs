//! What the page says of placements as wholes: the mean over all programs, and how cycles of others become time here.

use std::time::{Duration, Instant};

use kd_boot::control::Entry;
use kd_machine::clock;
use kd_report::schema::{self, Experiment, Kernel, Record};
use kd_report::stats::{self, Pair};
use kd_workloads::Group;

use super::Plan;
use super::latency::Configuration;
use super::latency::sample::{Key, Samples, Table};
use super::records::Subject;

/// Resamples of the bootstrap: each goes through all programs.
const RESAMPLES: usize = 1_000;

/// For each configuration and core budget the geometric mean of its times, and of its CPU times, over the monolithic
/// kernel's: over all programs without user computation, whose blocks are resampled together. A configuration that lacks a
/// program has none, since means over different programs could not be compared.
pub fn means(samples: &Table, plan: &Plan) -> Vec<Record> {
    let all = kd_workloads::workloads();
    let programs: Vec<&str> =
        all.iter().filter(|workload| workload.group() == Group::Macro).map(|workload| workload.name()).collect();
    let mut columns: Vec<(Configuration, usize)> = samples.keys().map(|key| (key.configuration, key.cores)).collect();
    columns.sort_unstable();
    columns.dedup();
    let others = columns.into_iter().filter(|(of, _)| !of.twin && *of != Configuration::MONOLITHIC);
    others.flat_map(|(configuration, cores)| mean(samples, &programs, configuration, cores, plan)).collect()
}

fn mean(samples: &Table, programs: &[&str], configuration: Configuration, cores: usize, plan: &Plan) -> Vec<Record> {
    let subject = Subject {
        experiment: Experiment::Macro,
        kernel: configuration.kernel_word(),
        placement: configuration.placement_word(),
        wait: configuration.wait_word(),
        entry: schema::Entry::Trap,
        cores: cores as u32,
        workload: "all_programs".into(),
    };
    let cell = |configuration, program: &str| {
        let key = Key { configuration, workload: program.into(), user: 0, entry: Entry::Trap, cores };
        samples.get(&key).filter(|cell| cell.latency.iter().any(|boot| !boot.is_empty()))
    };
    let mut cells: Vec<(&Samples, &Samples)> = Vec::new();
    for program in programs {
        // What the monolithic kernel cannot run here is no program of this run.
        let Some(base) = cell(Configuration::MONOLITHIC, program) else { continue };
        let Some(own) = cell(configuration, program) else {
            let why = configuration.unavailable().unwrap_or_else(|| {
                format!("there is no figure for `{program}`, and a mean over other programs could not be compared")
            });
            return ["mean_ratio", "mean_cpu_ratio"]
                .map(|metric| subject.unavailable(metric, "geometric", "ratio", &why))
                .into();
        };
        cells.push((own, base));
    }
    let estimate = |metric: &str, of: fn(&Samples) -> &Vec<Vec<f64>>| {
        let pairs: Vec<Pair<'_>> = cells.iter().map(|(own, base)| (&of(own)[..], &of(base)[..])).collect();
        let mean = stats::mean_ratio(&pairs, stats::median, RESAMPLES, plan.seed);
        subject.estimate(metric, "geometric", "ratio", mean, mean.map_or(0, |mean| mean.boots))
    };
    vec![estimate("mean_ratio", |cell| &cell.latency), estimate("mean_cpu_ratio", |cell| &cell.cpu)]
}

/// How fast the time-stamp counter ticks, against the clock that everything is timed by.
pub fn tsc_frequency() -> Record {
    const TIME: Duration = Duration::from_millis(50);
    let subject = Subject {
        experiment: Experiment::Macro,
        kernel: Kernel::Limit,
        placement: "host",
        wait: "none",
        entry: schema::Entry::None,
        cores: 1,
        workload: "clock".into(),
    };
    let (begin, from) = (Instant::now(), clock::ticks());
    std::thread::sleep(TIME);
    let (to, took) = (clock::ticks(), begin.elapsed());
    match from.zip(to) {
        Some((from, to)) => {
            let megahertz = to.wrapping_sub(from) as f64 / took.as_secs_f64() / 1e6;
            subject.value("tsc_frequency", "mean", "MHz", megahertz, 1)
        }
        None => subject.unavailable("tsc_frequency", "mean", "MHz", "this processor has no time-stamp counter"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two blocks in which every program took so many nanoseconds.
    fn cell(table: &mut Table, configuration: Configuration, program: &str, nanos: f64) {
        let key = Key { configuration, workload: program.into(), user: 0, entry: Entry::Trap, cores: 1 };
        let boots = vec![vec![nanos], vec![nanos]];
        table.insert(key, Samples { latency: boots.clone(), cpu: boots, ..Samples::default() });
    }

    #[test]
    fn means_are_over_all_programs_or_none() {
        let plan = Plan::for_test(true, &[0]);
        let coarse = Configuration::hybrid("coarse");
        let mut table = Table::new();
        for (program, factor) in [("source_tree", 2.0), ("mail_server", 8.0)] {
            cell(&mut table, Configuration::MONOLITHIC, program, 100.0);
            cell(&mut table, coarse, program, 100.0 * factor);
        }
        cell(&mut table, coarse, "read_4k", 1e9);
        let records = means(&table, &plan);
        let values: Vec<(&str, Option<f64>)> = records
            .iter()
            .map(|record| (&*record.placement, record.value.map(|value| (value * 1e6).round() / 1e6)))
            .collect();
        assert_eq!(values, [("coarse", Some(4.0)); 2]);
        cell(&mut table, Configuration::MONOLITHIC, "pipeline", 100.0);
        let records = means(&table, &plan);
        assert!(records.iter().all(|record| record.value.is_none()), "{records:?}");
        assert!(records[0].reason.as_deref().is_some_and(|why| why.contains("`pipeline`")), "{records:?}");
    }

    #[test]
    fn the_counter_ticks_some_hundred_million_times_a_second() {
        if let Some(megahertz) = tsc_frequency().value {
            assert!((100.0..20_000.0).contains(&megahertz), "{megahertz}");
        }
    }
}
