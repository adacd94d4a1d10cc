//! Fault isolation: real faults in shipped code, under load, and what they reach.
//!
//! Each trial is a fresh boot. Two apps run: one uses the component that will fail and checks every byte, the other, a
//! canary, never uses it. The injector lets the n-th execution of one of the component's functions fail, and the
//! oracle looks from here, outside: who still lives, what each app saw, which bytes are right, who noticed, how soon.
//!
//! | file | what |
//! | --- | --- |
//! | [`trial`] | one trial |
//! | [`outcome`] | what was seen, and how it is called |
//! | [`subject`] | the components that are made to fail |

mod outcome;
mod subject;
mod trial;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_boot::Placement;
use kd_boot::manifest::Kernel;
use kd_faults::Fault;
use kd_nucleus::channel::Wait;
use kd_report::schema::{self, Experiment, Record};
use kd_report::stats::{self, Random};

use super::latency::Configuration;
use super::records::Subject as Columns;
use super::{Plan, Progress, shuffle};
use crate::boot::BootFailure;
use crate::budget;

pub use outcome::{Outcome, Seen};
pub use subject::{Subject, subjects};
pub use trial::run as run_trial;

/// The kernels whose isolation is tried.
pub fn configurations() -> [Configuration; 4] {
    let monolithic = Configuration::MONOLITHIC;
    let thread = Configuration { kernel: Kernel::Microkernel, placement: Placement::Thread, ..monolithic };
    let process = Configuration { placement: Placement::Process, wait: Some(Wait::Adaptive.name()), ..thread };
    let keys = Configuration { placement: Placement::Pkey, ..thread };
    [monolithic, thread, process, keys]
}

/// A column of the matrix: subject, fault, configuration.
type Cell = (usize, Fault, usize);

/// Trials of one cell at most.
const TRIALS_MAX: usize = 40;

/// Runs the experiment: every cell once, then every cell again, as long as the budget lasts.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let subjects = subjects(plan.quick);
    let mut configurations = configurations().to_vec();
    let plain = configurations.len();
    configurations.extend(Configuration::hybrids(plan.quick));
    let mut seen: BTreeMap<Cell, Vec<Seen>> = BTreeMap::new();
    let mut cells: Vec<Cell> = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        // Of hybrids it is asked what a driver's fault reaches: the rest of them is as in the plain placements.
        let tried = if subject.is_driver() { configurations.len() } else { plain };
        for fault in Fault::ALL {
            cells.extend((0..tried).map(|configuration| (number, fault, configuration)));
        }
    }
    let budget = Duration::from_secs(budget::seconds("faults", plan.quick));
    let begin = Instant::now();
    let mut random = Random::new(plan.seed, 2);
    'rounds: for round in 0..TRIALS_MAX {
        let mut order = cells.clone();
        shuffle(&mut order, &mut random);
        for (done, &cell) in order.iter().enumerate() {
            // Every cell gets its first trial, whatever it takes; after that the clock decides.
            if round > 0 && begin.elapsed() >= budget {
                break 'rounds;
            }
            let spent = begin.elapsed().as_secs_f64() / budget.as_secs_f64();
            let share = if round == 0 { (done as f64 / order.len() as f64 * 0.9).min(spent.max(0.01)) } else { spent };
            let (subject, fault, configuration) = (&subjects[cell.0], cell.1, configurations[cell.2]);
            progress(share.min(1.0), &format!("round {}: {} {}", round + 1, subject.name, fault.name()));
            let (execution, seed) = moment(plan.seed, round, cell.0, fault);
            seen.entry(cell).or_default().push(trial::run(configuration, subject, fault, execution, seed));
        }
    }
    Ok(seen.iter().flat_map(|(&cell, seen)| records(cell, seen, &subjects, &configurations, plan)).collect())
}

/// At which execution a trial's fault happens, and the seed of its canary: the same for every kernel.
fn moment(seed: u64, round: usize, subject: usize, fault: Fault) -> (u64, u64) {
    let mut choice = Random::new(seed ^ (round as u64) << 32, subject as u64 * 100 + fault as u64);
    (20 + choice.below(200) as u64, choice.next_u64())
}

fn records(
    (subject, fault, configuration): Cell,
    seen: &[Seen],
    subjects: &[Subject],
    configurations: &[Configuration],
    plan: &Plan,
) -> Vec<Record> {
    let configuration = configurations[configuration];
    let columns = Columns {
        experiment: Experiment::Faults,
        kernel: configuration.kernel_word(),
        placement: configuration.placement_word(),
        wait: configuration.wait_word(),
        entry: schema::Entry::None,
        cores: plan.cores.len() as u32,
        workload: format!("{}/{}", subjects[subject].name, fault.name()),
    };
    let tried: Vec<&Seen> = seen.iter().filter(|seen| seen.obstacle.is_none()).collect();
    if tried.is_empty() {
        let why = seen.iter().find_map(|seen| seen.obstacle.as_deref()).unwrap_or("no trial");
        return vec![columns.unavailable(Outcome::Contained.name(), "rate", "share", why)];
    }
    let n = tried.len() as u64;
    let count = |of: &dyn Fn(&Seen) -> bool| tried.iter().filter(|seen| of(seen)).count() as u64;
    let mut records = Vec::new();
    for outcome in Outcome::ALL {
        records.push(columns.share(outcome.name(), count(&|seen| seen.outcome() == outcome), n));
    }
    let activated = count(&|seen| seen.activated);
    records.push(columns.share("kernel_alive", count(&|seen| seen.activated && seen.kernel_alive), activated));
    records.push(columns.share("calling_app_alive", count(&|seen| seen.activated && seen.caller_alive()), activated));
    records.push(columns.share("other_app_alive", count(&|seen| seen.activated && seen.other_alive()), activated));
    records.push(columns.share("bytes_right", count(&|seen| seen.activated && seen.bytes_right()), activated));
    let mut noticers: BTreeMap<&str, u64> = BTreeMap::new();
    for seen in tried.iter().filter(|seen| seen.activated) {
        *noticers.entry(seen.noticed_by).or_default() += 1;
    }
    for (noticer, times) in noticers {
        records.push(columns.value("noticed_by", noticer, "count", times as f64, activated));
    }
    let mut times: Vec<f64> = tried.iter().filter_map(|seen| seen.notice_us).collect();
    if !times.is_empty() {
        let n = times.len() as u64;
        records.push(columns.value("notice_time", "median", "us", stats::median(&mut times), n));
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_the_same_sequence_of_faults() {
        let sequence = |seed| -> Vec<(u64, u64)> {
            let cells = (0..3).flat_map(|round| Fault::ALL.map(|fault| (round, fault)));
            cells.map(|(round, fault)| moment(seed, round, 0, fault)).collect()
        };
        assert_eq!(sequence(7), sequence(7));
        assert_ne!(sequence(7), sequence(8));
        let executions: std::collections::BTreeSet<u64> =
            sequence(7).into_iter().map(|(execution, _)| execution).collect();
        assert!(executions.len() > 10, "trials fail at different moments: {executions:?}");
    }
}
