//! Driver restart: a component dies under steady load, and what its apps see of it.
//!
//! The load is open: rounds are due at a fixed rate whether or not the kernel answers, and delays count from when a
//! round was due. In the microkernel the component's process is killed (or its code made to fault) again and again, and comes
//! back in each of the ways that a policy can say, beside a bare kill and fork of a process as large; in the monolithic kernel the same fault is an oops, after which everything is probed, or the end of the kernel and a
//! reboot. The reboot is a lower bound: kernel initialisation alone, no firmware, no devices to probe, no user space.
//!
//! | file | what |
//! | --- | --- |
//! | [`killing`] | kills and faults in the microkernel |
//! | [`keyed`] | faults behind protection keys |
//! | [`oopsing`] | the same fault in the monolithic kernel: what still works, and the way back |
//! | [`upgrade`] | another version of a driver, in both |
//! | [`timeline`] | completed rounds around the kill |

pub mod keyed;
mod killing;
mod oopsing;
mod timeline;
mod upgrade;

use std::time::{Duration, Instant};

use kd_boot::policy::Way;
use kd_report::schema::{Entry, Experiment, Record};
use kd_report::stats::{self, Random};

use super::faults::{Subject, subjects};
use super::latency::Configuration;
use super::records::Subject as Columns;
use super::{Plan, Progress};
use crate::boot::BootFailure;
use crate::budget;

/// Rounds a second.
const RATE: u32 = 2_000;
/// Resamples of each bootstrap.
const RESAMPLES: usize = 2_000;
/// Boots of each configuration at most.
const BOOTS_MAX: usize = 40;

/// Runs the experiment: every boot once in each round, as many rounds as the budget allows, at least the plan's boots.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let subjects = subjects(plan.quick);
    let budget = Duration::from_secs(budget::seconds("restart", plan.quick));
    let begin = Instant::now();
    let mut random = Random::new(plan.seed, 3);
    let ways =
        |subject: usize| Way::ALL.into_iter().filter(move |way| !plan.quick || subject == 0 || *way == Way::Warm);
    let mut killed: Vec<Vec<killing::Samples>> =
        (0..subjects.len()).map(|subject| ways(subject).map(killing::Samples::new).collect()).collect();
    let mut keyed: Vec<keyed::Keyed> = subjects.iter().map(|_| keyed::Keyed::default()).collect();
    let mut oopsed: Vec<oopsing::Samples> = subjects.iter().map(|_| oopsing::Samples::default()).collect();
    let mut upgraded: Vec<Vec<upgrade::Samples>> = subjects.iter().map(upgrade::samples).collect();
    for boot in 0..BOOTS_MAX {
        if boot >= budget::boots(plan.quick) && begin.elapsed() >= budget {
            break;
        }
        for (number, subject) in subjects.iter().enumerate() {
            let share = begin.elapsed().as_secs_f64() / budget.as_secs_f64();
            progress(share.min(1.0), &format!("boot {}: {}", boot + 1, subject.name));
            for way in &mut killed[number] {
                way.boot(subject, plan.quick, &mut random)?;
            }
            keyed[number].boots(subject, 1, &mut random)?;
            oopsed[number].boot(subject, number == 0, &mut random)?;
            for kernel in &mut upgraded[number] {
                kernel.boot(subject, &mut random)?;
            }
        }
    }
    let mut records = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        records.extend(killed[number].iter().flat_map(|way| way.records(subject, plan)));
        records.extend(keyed[number].records(subject, plan));
        records.extend(killing::unkillable(subject, plan));
        records.extend(oopsed[number].records(subject, plan));
        records.extend(upgraded[number].iter().flat_map(|kernel| kernel.records(subject, plan)));
    }
    Ok(records)
}

fn columns(configuration: Configuration, subject: &Subject, cause: &str, plan: &Plan) -> Columns {
    Columns {
        experiment: Experiment::Restart,
        kernel: configuration.kernel_word(),
        placement: configuration.placement_word(),
        wait: configuration.wait_word(),
        entry: Entry::Call,
        cores: plan.cores.len() as u32,
        workload: format!("{}/{cause}", subject.name),
    }
}

/// Times of one kind, by boot: their median with interval, and the worst.
#[derive(Debug, Default)]
struct Times(Vec<Vec<f64>>);

impl Times {
    fn new_boot(&mut self) {
        self.0.push(Vec::new());
    }

    fn push(&mut self, nanoseconds: u64) {
        if let Some(boot) = self.0.last_mut() {
            boot.push(nanoseconds as f64 / 1e3);
        }
    }

    fn records(&self, columns: &Columns, metric: &str, seed: u64) -> Vec<Record> {
        let mut all: Vec<f64> = self.0.concat();
        if all.is_empty() {
            return vec![columns.unavailable(metric, "median", "us", "it never happened")];
        }
        let n = all.len();
        let median = match stats::estimate(&self.0, stats::median, RESAMPLES, seed) {
            Some(estimate) => columns.estimate(metric, "median", "us", Some(estimate), n),
            None => columns.value(metric, "median", "us", stats::median(&mut all), n as u64),
        };
        let p99 = columns.value(metric, "p99", "us", stats::p99(&mut all), n as u64);
        let max = columns.value(metric, "max", "us", all.iter().copied().fold(0.0, f64::max), n as u64);
        vec![median, p99, max]
    }
}
