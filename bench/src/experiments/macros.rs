//! Whole workloads, and what a disk adds: what a boundary costs a program, and how that shrinks as the program computes.
//!
//! The method is latency's (boots, interleaving, intervals, A/A pair), with the entry `trap` alone. Besides, each macro
//! workload runs with a growing share of user computation: real rounds over the data that it moves. How many rounds make a
//! share is found once per run, on the monolithic kernel with one core; every kernel then makes the same number. So the
//! share is that of the monolithic kernel's time: on a slower kernel the same program spends less of its time computing.
//! What is done on the disk is done a last time on a disk of the host's ([`on_host`]).

pub mod on_host;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_boot::control::Entry;
use kd_nucleus::channel::Wait;
use kd_report::schema::{Experiment, Record};
use kd_report::stats;
use kd_workloads::{Group, Workload};

use super::latency::sample::{Design, Key, Table, Wanted, want};
use super::latency::{Configuration, analyse, crossings};
use super::records::Subject;
use super::{Plan, Progress, interrupts, placements};
use crate::boot::BootFailure;
use crate::budget;

/// What is measured.
const GROUPS: [Group; 2] = [Group::Storage, Group::Macro];
/// Shares of user computation in percent, besides none.
const SHARES: [u32; 3] = [50, 80, 95];
/// Rounds of the calibration: enough to outweigh what the calls take by far.
const ROUNDS: u64 = 5_000;
/// The share of the budget that calibration takes, its boots included.
const CALIBRATION: f64 = 0.06;
/// The share of the budget that the disk of the host takes.
const ON_HOST: f64 = 0.25;
/// What a quick run leaves out: single calls that a cache answers, which on a disk are what they are on the root but for the
/// file system.
const CACHED: [&str; 6] =
    ["disk_stat", "disk_fstat", "disk_open_close", "disk_read_4k", "disk_write_4k", "disk_copy_64k"];
/// Boots of the calibration.
const CALIBRATION_BOOTS: usize = 3;

/// Runs the experiment.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let time = Duration::from_secs(budget::seconds("macro", plan.quick));
    let begun = Instant::now();
    let interrupts = interrupts::records(plan, &mut |_, what| progress(0.0, what))?;
    // What these took is the others' loss: a run keeps its time.
    let time = time.saturating_sub(begun.elapsed());
    let scale = Scale::calibrate(plan, time.mul_f64(CALIBRATION))?;
    let mut samples = Table::new();
    // With programs of many calls, waits that burn a core say nothing that latency does not.
    // A quick run has one wait, `adaptive`.
    let burns = |wait: &str| {
        let plain = if plan.quick { Wait::Block } else { Wait::Spin };
        [Wait::Spin, Wait::Yield, plain].iter().any(|without| wait == without.name())
    };
    let configurations =
        Configuration::all().into_iter().filter(|c| !c.wait.is_some_and(burns) && (!plan.quick || c.is_quick()));
    let hybrids = Configuration::hybrids(plan.quick);
    let hybrid_groups = if plan.quick { &GROUPS[1..] } else { &GROUPS };
    let cells = |configuration: Configuration| {
        let mut cells = Vec::new();
        for workload in workloads().filter(|workload| !plan.quick || !CACHED.contains(&workload.name())) {
            if configuration.layout.is_some() && !hybrid_groups.contains(&workload.group()) {
                continue;
            }
            // A quick run is one on one core.
            for cores in if plan.quick { 1..=1 } else { 1..=2 } {
                for (user, compute) in scale.shares(&*workload) {
                    // The A/A pair watches the machine, for which it need not compute; a quick run draws no curve on the
                    // disk, where it is the root's over again with smaller ratios.
                    // Hybrids lie between the others, whose curves are drawn.
                    let flat = configuration.twin || configuration.layout.is_some();
                    if user > 0 && (flat || plan.quick && workload.needs().is_some()) {
                        continue;
                    }
                    let workload_name = workload.name().into();
                    let key = Key { configuration, workload: workload_name, user, entry: Entry::Trap, cores };
                    want(&mut cells, Wanted { key, compute }, &*workload, plan, &mut samples);
                }
            }
        }
        (configuration, cells)
    };
    let design = Design {
        manifest: &|configuration| configuration.manifest(),
        cells: configurations.chain(hybrids.iter().copied()).map(cells).collect(),
        boots: budget::boots(plan.quick),
        enough: budget::boots(plan.quick),
        time: time.mul_f64(1.0 - CALIBRATION - ON_HOST),
        stream: 4,
    };
    design.take(plan, &mut samples, &mut |share, what| progress(share * (1.0 - ON_HOST), what))?;
    let mut records = analyse::records(Experiment::Macro, &samples, plan);
    let then = &mut |share, what: &str| progress(1.0 - ON_HOST * (1.0 - share), what);
    records.extend(on_host::records(plan, time.mul_f64(ON_HOST), then));
    records.extend(scale.records());
    records.extend(interrupts);
    records.extend(crossings::records(Experiment::Macro, &GROUPS, &crossings::plain(), plan)?);
    records.extend(crossings::records(Experiment::Macro, hybrid_groups, &hybrids, plan)?);
    records.extend(placements::means(&samples, plan));
    records.push(placements::tsc_frequency());
    Ok(records)
}

fn workloads() -> impl Iterator<Item = Box<dyn Workload>> {
    kd_workloads::workloads().into_iter().filter(|workload| GROUPS.contains(&workload.group()))
}

/// What an operation takes without computation, and what a round of computation takes, by workload, in nanoseconds.
struct Scale(BTreeMap<String, (f64, f64)>);

impl Scale {
    /// Measures both on the monolithic kernel. A workload that does not run there has no scale, and no curve.
    fn calibrate(plan: &Plan, time: Duration) -> Result<Scale, BootFailure> {
        let configuration = Configuration::MONOLITHIC;
        let key = |workload: &str, user| {
            let workload = workload.into();
            Key { configuration, workload, user, entry: Entry::Trap, cores: 1 }
        };
        let own = workloads().filter(|workload| workload.group() == Group::Macro);
        let names: Vec<&'static str> = own.map(|workload| workload.name()).collect();
        // Here the share is only told apart from none.
        let wanted = |name: &&'static str| [(0, 0), (1, ROUNDS)].map(|(user, compute)| (key(name, user), compute));
        let cells = names.iter().flat_map(wanted).map(|(key, compute)| Wanted { key, compute }).collect();
        let mut samples = Table::new();
        let cells = vec![(configuration, cells)];
        let manifest = &|configuration: Configuration| configuration.manifest();
        let design = Design { manifest, cells, boots: CALIBRATION_BOOTS, enough: CALIBRATION_BOOTS, time, stream: 5 };
        design.take(plan, &mut samples, &mut |_, _| ())?;
        let median = |name: &str, user| positive(stats::median(&mut samples.get(&key(name, user))?.latency.concat()));
        let scale = |name: &&'static str| {
            let (bare, computing) = (median(name, 0)?, median(name, 1)?);
            let round = positive((computing - bare) / ROUNDS as f64)?;
            Some((name.to_string(), (bare, round)))
        };
        Ok(Scale(names.iter().filter_map(scale).collect()))
    }

    /// The shares of a workload, each with its rounds: none at least.
    fn shares(&self, workload: &dyn Workload) -> Vec<(u32, u64)> {
        let scaled = self
            .0
            .get(workload.name())
            .into_iter()
            .flat_map(|&(bare, round)| SHARES.map(|user| (user, rounds(bare, round, user))));
        [(0, 0)].into_iter().chain(scaled).collect()
    }

    /// How many rounds each share came to.
    fn records(&self) -> Vec<Record> {
        let of = |(workload, &(bare, round)): (&String, &(f64, f64))| {
            SHARES.map(|user| {
                let subject = Subject {
                    experiment: Experiment::Macro,
                    kernel: Configuration::MONOLITHIC.kernel_word(),
                    placement: Configuration::MONOLITHIC.placement_word(),
                    wait: Configuration::MONOLITHIC.wait_word(),
                    entry: kd_report::schema::Entry::Trap,
                    cores: 1,
                    workload: format!("{workload}/user_{user}"),
                };
                let boots = CALIBRATION_BOOTS as u64;
                subject.value("user_rounds", "total", "count", rounds(bare, round, user) as f64, boots)
            })
        };
        self.0.iter().flat_map(of).collect()
    }
}

/// Rounds that make so many percent of an operation's time computation, where it takes `bare` without any.
fn rounds(bare: f64, round: f64, user: u32) -> u64 {
    let share = f64::from(user) / 100.0;
    (bare * share / (1.0 - share) / round).round() as u64
}

/// A figure that makes sense as a time.
fn positive(nanos: f64) -> Option<f64> {
    (nanos.is_finite() && nanos > 0.0).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use super::rounds;

    #[test]
    fn rounds_make_the_share_that_they_are_asked_for() {
        for (user, expected) in [(50, 100), (80, 400), (95, 1_900)] {
            assert_eq!(rounds(1_000.0, 10.0, user), expected);
        }
    }
}
