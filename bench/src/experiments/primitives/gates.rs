//! Crossings by protection keys beside what no gate can beat: two bare instructions that change rights.
//!
//! Three things in turn: the bare pair; a gate to a domain that returns at once; a call through the generated client and
//! server, as kernels make it. Times are also given in ticks of the time-stamp counter, as others publish theirs, by the
//! counter's rate in this run.

use kd_report::schema::{Entry, Experiment, Kernel, Record};
use kd_report::stats::{self, Estimate};

use super::rig::Part;
use super::{CHAIN, Cell, RESAMPLES};
use crate::experiments::records::Subject;
use crate::experiments::{no_keys, placements};

/// What is measured, where there are keys.
pub(super) fn parts() -> impl Iterator<Item = (Part, usize)> {
    let chains = (1..=CHAIN).map(Part::Keys);
    let all = [Part::LimitKeys, Part::Gate].into_iter().chain(chains).map(|part| (part, 1));
    all.filter(|_| no_keys().is_none())
}

fn subject(kernel: Kernel, workload: &str) -> Subject {
    let (experiment, workload) = (Experiment::Primitives, workload.into());
    Subject { experiment, kernel, placement: "pkey", wait: "none", entry: Entry::None, cores: 1, workload }
}

/// Times, ticks, and the ratios to the bare pair; unavailable where there are no keys.
pub(super) fn records(cells: &[Cell], seed: u64) -> Vec<Record> {
    let frequency = placements::tsc_frequency();
    let mut records = vec![Record { experiment: Experiment::Primitives, ..frequency.clone() }];
    let why = no_keys().unwrap_or_else(|| "it was not measured in this run".into());
    let find = |part| cells.iter().find(|cell| cell.part == part).map(|cell| &cell.samples);
    let chain = |servers: u32| (Part::Keys(servers), Kernel::Microkernel, format!("pkey_chain_{servers}"));
    let alone = [
        (Part::LimitKeys, Kernel::Limit, "limit_wrpkru_pair".into()),
        (Part::Gate, Kernel::Microkernel, "pkey_gate".into()),
    ];
    for (part, kernel, workload) in alone.into_iter().chain((1..=CHAIN).map(chain)) {
        let subject = subject(kernel, &workload);
        let Some(samples) = find(part) else {
            records.push(subject.unavailable("round_trip", "median", "ns", &why));
            records.push(subject.unavailable("round_trip_ticks", "median", "cycles", &why));
            continue;
        };
        let nanos = stats::estimate(samples, stats::median, RESAMPLES, seed);
        records.push(subject.estimate("round_trip", "median", "ns", nanos, samples.len()));
        records.push(match frequency.value {
            Some(megahertz) => {
                let ticks = nanos.map(|nanos| scaled(nanos, megahertz / 1e3));
                subject.estimate("round_trip_ticks", "median", "cycles", ticks, samples.len())
            }
            None => subject.unavailable("round_trip_ticks", "median", "cycles", "there is no time-stamp counter"),
        });
    }
    for (part, workload) in [(Part::Gate, "pkey_gate"), (Part::Keys(1), "pkey_chain_1")] {
        let subject = subject(Kernel::Microkernel, workload);
        records.push(match find(part).zip(find(Part::LimitKeys)) {
            Some((ours, bare)) => {
                let ratio = stats::ratio(ours, bare, stats::median, RESAMPLES, seed);
                subject.estimate("limit_ratio", "median", "ratio", ratio, ours.len())
            }
            None => subject.unavailable("limit_ratio", "median", "ratio", &why),
        });
    }
    records
}

fn scaled(estimate: Estimate, by: f64) -> Estimate {
    let mut scaled = estimate;
    scaled.value *= by;
    scaled.interval.low *= by;
    scaled.interval.high *= by;
    scaled
}
