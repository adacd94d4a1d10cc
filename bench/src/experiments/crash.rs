//! Crash consistency: what the journalling file system is worth after a power failure at any moment.
//!
//! The only experiment without a kernel: jfs by itself on a disk that notes what is asked of it, and whose states after a
//! crash are tried (`crates/crash`). No figure is a time. How many states fit into the budget is the machine's; which
//! ones they are, and what comes of them, follows from the seed. A share of the budget goes to mistakes made on purpose:
//! a checker that never fails shows nothing.

use std::time::{Duration, Instant};

use kd_crash::{PLANTS, Subject as Tried, Summary, first_failure, run_while};
use kd_report::schema::{Entry, Experiment, Kernel, Record};

use super::records::Subject;
use super::{Plan, Progress};
use crate::boot::BootFailure;
use crate::budget;

/// What a run checks within its budget.
pub const SAMPLE: &str = "sample";
/// What `debate crashcheck` checks, however long that takes.
pub const FULL_RUN: &str = "full_run";
/// States within which a planted mistake must show.
const PLANTED: u64 = 20_000;

/// Runs the experiment.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let (begin, time) = (Instant::now(), Duration::from_secs(budget::seconds("crash", plan.quick)));
    let cores = plan.cores.len() as u32;
    let mut records = Vec::new();
    for (name, about, tried) in PLANTS {
        progress(share(begin, time), about);
        records.push(plant(name, first_failure(tried(), plan.seed, PLANTED), cores));
    }
    let summary = run_while(Tried::default(), plan.seed, u64::MAX, |summary| {
        let so_far = format!("{} crash states, {} failed", summary.states, summary.failed);
        progress(share(begin, time), &so_far);
        begin.elapsed() < time
    });
    records.extend(self::records(SAMPLE, &summary, cores));
    Ok(records)
}

/// How much of the time has passed.
fn share(begin: Instant, time: Duration) -> f64 {
    (begin.elapsed().as_secs_f64() / time.as_secs_f64()).min(1.0)
}

fn subject(workload: String, cores: u32) -> Subject {
    Subject {
        experiment: Experiment::Crash,
        kernel: Kernel::None,
        placement: "direct",
        wait: "none",
        entry: Entry::None,
        cores,
        workload,
    }
}

/// After how many states a planted mistake showed.
fn plant(name: &str, found: Result<u64, u64>, cores: u32) -> Record {
    let subject = subject(format!("plant/{name}"), cores);
    match found {
        Ok(states) => subject.value("found_after", "first", "count", states as f64, states),
        Err(states) => subject.unavailable("found_after", "first", "count", &format!("not found in {states} states")),
    }
}

/// The figures of one run of the checker: totals, and one record for each failure that it kept, by which it can be
/// repeated: the workload's number in the name, the state's as the value.
pub fn records(workload: &str, summary: &Summary, cores: u32) -> Vec<Record> {
    let totals = [
        ("states", summary.states),
        ("workloads", summary.workloads),
        ("operations", summary.operations),
        ("requests", summary.requests),
        ("states_failed", summary.failed),
    ];
    let own = subject(workload.into(), cores);
    let totals = totals.map(|(metric, value)| own.value(metric, "total", "count", value as f64, summary.states));
    let failure = |failure: &kd_crash::Failure| {
        let subject = subject(format!("{workload}/seed_{}", failure.seed), cores);
        subject.value("failed_state", "first", "count", failure.state as f64, 1)
    };
    totals.into_iter().chain(summary.failures.iter().map(failure)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_crash::Failure;

    #[test]
    fn a_failure_is_a_figure_that_names_how_to_repeat_it() {
        let failure = Failure { seed: 12, state: 345, what: "torn".into() };
        let summary = Summary { states: 9_000, failed: 1, failures: vec![failure], ..Summary::default() };
        let records = records(SAMPLE, &summary, 2);
        let of = |metric: &str| records.iter().find(|r| r.metric == metric).expect("it is there");
        assert_eq!((of("states").value, of("states_failed").value), (Some(9_000.0), Some(1.0)));
        assert_eq!((of("failed_state").workload.as_str(), of("failed_state").value), ("sample/seed_12", Some(345.0)));
    }

    #[test]
    fn a_mistake_that_is_not_found_is_said() {
        let (found, missed) = (plant("x", Ok(7), 1), plant("x", Err(20_000), 1));
        assert_eq!((found.value, found.n), (Some(7.0), Some(7)));
        assert_eq!((missed.value, missed.reason.as_deref()), (None, Some("not found in 20000 states")));
    }

    #[test]
    fn a_quick_run_finds_every_planted_mistake_and_nothing_else() {
        let plan = Plan { seed: 5, ..Plan::for_test(true, &[0]) };
        let records = run(&plan, &mut |_, _| ()).expect("no kernel is booted");
        let found = records.iter().filter(|r| r.metric == "found_after" && r.value.is_some()).count();
        assert_eq!(found, PLANTS.len(), "{records:#?}");
        let failed = records.iter().find(|r| r.metric == "states_failed").expect("it is there");
        assert!(failed.value == Some(0.0) && failed.n > Some(0), "{failed:?}");
    }
}
