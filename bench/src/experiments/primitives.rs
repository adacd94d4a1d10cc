//! Primitives: what one part costs on its own, beside the bare mechanism that it can't beat.
//!
//! Two sources. Criterion's bench `primitives` times each part; [`records`] are its figures. [`limits`] is our own:
//! each crossing and its bare limit in turn, in random order within a round, so that both sides of a ratio saw the
//! same machine, and fresh processes in every round, because two pairs of processes differ by more than two batches of
//! one pair do. Ratios pair rounds.

pub mod parts;
pub mod rig;

pub mod copying;

mod batching;
mod gates;
mod granting;
mod handover;

use std::time::{Duration, Instant};

use kd_nucleus::channel::Wait;
use kd_report::schema::{Entry, Experiment, Kernel, Record};
use kd_report::stats::{self, Random};

use super::records::Subject;
use super::{Plan, Progress, shuffle};
use crate::boot::BootFailure;
use crate::budget;

pub use handover::{criterion_home, publish, records};
use rig::{Part, Rig};

/// Longest chain of servers.
const CHAIN: u32 = 3;
/// A batch lasts about this long.
const BATCH: Duration = Duration::from_millis(2);
/// Batches of a rig at least, whatever its time.
const BATCHES_MIN: usize = 3;
/// Rounds of payloads at least, however long they take.
const ROUNDS_MIN: usize = 3;
/// A rig's only batch beside load lasts at least so long, ten slices of the host's scheduler, and so many rounds: a yielded
/// core comes back after a slice.
const LOADED_BATCH: Duration = Duration::from_millis(40);
const LOADED_ROUNDS: u64 = 4;
/// Rounds of the experiment of which one has the cells beside load, which take long; at length all have.
const LOADED_EVERY: usize = 2;
/// A run at length has so many times the rounds.
const LONG: usize = 4;
/// The share of the experiment's budget that is left to criterion's bench, with room for starting processes.
const CRITERION_SHARE: f64 = 0.6;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;

/// What `adaptive_ratio` is called beside load.
const LOADED: &str = "loaded_adaptive_ratio";

/// A part on so many cores, and its batches (ns a round) of each round.
struct Cell {
    part: Part,
    cores: usize,
    /// Beside a process on each core that computes all the while.
    load: bool,
    samples: Vec<Vec<f64>>,
}

/// Crossings over their limits (`limit_ratio`: spinning on two cores, blocking on one; `one_line_ratio`: spinning over
/// the bare exchange that shares one line, where that is the harder limit), and adaptive waiting over the
/// better of yielding and blocking (for chains of one to three servers: `adaptive_ratio` alone, `loaded_adaptive_ratio`
/// beside a process on each core that computes).
///
/// # Errors
/// A rig that did not start or ended before its time.
pub fn limits(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let mut cells = cells(plan.cores.len(), plan.quick);
    let length = if plan.long { LONG } else { 1 };
    let rounds = 2 * budget::boots(plan.quick) * length;
    let time = (budget::seconds("primitives", plan.quick) * length as u64) as f64 * (1.0 - CRITERION_SHARE);
    let alone = cells.iter().filter(|cell| !cell.load).count();
    let each = Duration::from_secs_f64(time / (rounds * alone) as f64);
    let mut random = Random::new(plan.seed, 0);
    for round in 0..rounds {
        progress(round as f64 / rounds as f64, "crossings beside their bare limits");
        let beside = plan.long || round.is_multiple_of(LOADED_EVERY);
        measure(&mut cells, beside, &plan.cores, each, &mut random)?;
    }
    let mut records = analyse(&cells, plan.seed);
    records.extend(payloads(plan, progress)?);
    Ok(records)
}

/// Several calls under way, and granted buffers, beside calls and copies: in rounds of their own, fewer where the machine is
/// too busy for their budget.
fn payloads(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let parts = batching::parts(plan.quick).chain(granting::parts(plan.quick));
    let there = parts.filter(|(_, needed)| *needed <= plan.cores.len());
    let mut cells: Vec<Cell> =
        there.map(|(part, cores)| Cell { part, cores, load: false, samples: Vec::new() }).collect();
    let rounds = budget::boots(plan.quick);
    let time = Duration::from_secs(budget::seconds("payload", plan.quick));
    let (begin, each) = (Instant::now(), time / (rounds * cells.len()) as u32);
    let mut random = Random::new(plan.seed, 1);
    for round in (0..rounds).take_while(|round| *round < ROUNDS_MIN || begin.elapsed() < time) {
        progress(round as f64 / rounds as f64, "calls under way, and granted buffers");
        measure(&mut cells, false, &plan.cores, each, &mut random)?;
    }
    let mut records = Vec::new();
    for cores in 1..=plan.cores.len().min(2) {
        records.extend(batching::records(&cells, cores, plan.seed));
    }
    records.extend(granting::records(&cells, plan.quick, plan.cores.len(), plan.seed));
    Ok(records)
}

/// A round: each cell once, in random order, with a fresh rig; those beside load if `beside` says so.
fn measure(
    cells: &mut [Cell],
    beside: bool,
    cores: &[usize],
    each: Duration,
    random: &mut Random,
) -> Result<(), BootFailure> {
    let mut order: Vec<usize> = (0..cells.len()).collect();
    shuffle(&mut order, random);
    for index in order {
        let cell = &mut cells[index];
        if cell.load && !beside {
            continue;
        }
        let cores = &cores[..cell.cores];
        cell.samples.push(if cell.load { beside_load(cell.part, cores)? } else { batches(cell.part, cores, each)? });
    }
    Ok(())
}

/// Everything that `limits` looks at, as far as there are cores for it.
fn cells(cores: usize, quick: bool) -> Vec<Cell> {
    let chains = || {
        (1..=CHAIN).flat_map(|servers| {
            let waits = [Wait::Yield, Wait::Block, Wait::Adaptive].map(|wait| Part::chain(wait, servers));
            waits.into_iter().flat_map(|part| [(part, 1), (part, 2)])
        })
    };
    let bare = [(Part::LimitSpin, 2), (Part::LimitOneLine, 2), (Part::chain(Wait::Spin, 1), 2), (Part::LimitFutex, 1)];
    let alone = bare.into_iter().chain(chains()).chain(copying::parts(quick)).chain(gates::parts());
    // A quick run has no time for both numbers of cores.
    let loaded = chains().filter(|(_, cores)| !quick || *cores == 1).map(|cell| (cell, true));
    let there = alone.map(|cell| (cell, false)).chain(loaded).filter(|((_, needed), _)| *needed <= cores);
    there.map(|((part, cores), load)| Cell { part, cores, load, samples: Vec::new() }).collect()
}

/// One rig's batches.
fn batches(part: Part, cores: &[usize], time: Duration) -> Result<Vec<f64>, BootFailure> {
    const TRIAL: u64 = 32;
    let begin = Instant::now();
    let rig = Rig::new(part, cores)?;
    let trial = rig.run(TRIAL)?.as_nanos().max(1) as u64;
    let rounds = (BATCH.as_nanos() as u64 * TRIAL / trial).max(TRIAL);
    let mut batches = Vec::new();
    while batches.len() < BATCHES_MIN || begin.elapsed() < time {
        batches.push(rig.run(rounds)?.as_nanos() as f64 / rounds as f64);
    }
    Ok(batches)
}

/// One rig's batch beside load: pairs of processes differ by more than batches of one pair, so each round has another pair.
fn beside_load(part: Part, cores: &[usize]) -> Result<Vec<f64>, BootFailure> {
    let rig = Rig::beside_load(part, cores)?;
    let (mut time, mut rounds) = (Duration::ZERO, 0);
    while time < LOADED_BATCH {
        let more = LOADED_ROUNDS.max(rounds);
        time += rig.run(more)?;
        rounds += more;
    }
    Ok(vec![time.as_nanos() as f64 / rounds as f64])
}

/// A crossing's columns; a chain of several servers is a workload of its own.
fn subject(wait: Wait, servers: u32, cores: usize) -> Subject {
    let workload = if servers == 1 { "process_crossing".into() } else { format!("process_chain_{servers}") };
    Subject {
        experiment: Experiment::Primitives,
        kernel: Kernel::Microkernel,
        placement: "process",
        wait: wait.name(),
        entry: Entry::None,
        cores: cores as u32,
        workload,
    }
}

fn analyse(cells: &[Cell], seed: u64) -> Vec<Record> {
    let find = |part, cores, load| {
        let found = cells.iter().find(|cell| (cell.part, cell.cores, cell.load) == (part, cores, load));
        found.map(|cell| &cell.samples)
    };
    let mut records = Vec::new();
    let mut ratio = |metric, wait, servers, cores, base: Option<Part>| {
        let subject = subject(wait, servers, cores);
        let load = metric == LOADED;
        let ours = find(Part::chain(wait, servers), cores, load);
        records.push(match (ours, base.and_then(|base| find(base, cores, load))) {
            (Some(ours), Some(base)) => {
                let ratio = stats::ratio(ours, base, stats::median, RESAMPLES, seed);
                subject.estimate(metric, "median", "ratio", ratio, ours.len())
            }
            _ => subject.unavailable(
                metric,
                "median",
                "ratio",
                "not measured: there is one core, or the run was a quick one",
            ),
        });
    };
    ratio("limit_ratio", Wait::Spin, 1, 2, Some(Part::LimitSpin));
    ratio("one_line_ratio", Wait::Spin, 1, 2, Some(Part::LimitOneLine));
    ratio("limit_ratio", Wait::Block, 1, 1, Some(Part::LimitFutex));
    for servers in 1..=CHAIN {
        for (cores, metric) in [(1, "adaptive_ratio"), (2, "adaptive_ratio"), (1, LOADED), (2, LOADED)] {
            let median = |part: &Part| {
                let found = find(*part, cores, metric == LOADED);
                found.map_or(f64::INFINITY, |found| stats::median(&mut found.concat()))
            };
            let others = [Wait::Yield, Wait::Block].map(|wait| Part::chain(wait, servers));
            let better = others.into_iter().min_by(|a, b| median(a).total_cmp(&median(b)));
            ratio(metric, Wait::Adaptive, servers, cores, better);
        }
    }
    // What criterion times as well is here a chain of one: how time grows with a chain is to be read off one source.
    for cell in cells {
        if let Part::Process(wait, servers) = cell.part {
            let estimate = stats::estimate(&cell.samples, stats::median, RESAMPLES, seed);
            let subject =
                Subject { workload: format!("process_chain_{servers}"), ..subject(wait.0, servers, cell.cores) };
            let metric = if cell.load { "loaded_round_trip" } else { "round_trip" };
            records.push(subject.estimate(metric, "median", "ns", estimate, cell.samples.len()));
        }
    }
    records.extend(copying::records(cells, seed));
    records.extend(gates::records(cells, seed));
    records
}

#[cfg(test)]
mod tests;
