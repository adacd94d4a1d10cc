//! A fault campaign as long as the budget allows: some hundreds of trials, or some thousands. Longer ones are made by
//! `debate campaign`.

use std::path::Path;
use std::time::{Duration, Instant};

use kd_campaign::Shard;
use kd_report::campaign::{Class, Summary, activated};
use kd_report::schema::{Entry, Experiment, Kernel, Record};

use super::records::Subject as Columns;
use super::{Plan, Progress};
use crate::budget;
use crate::campaign::choice::Choice;
use crate::campaign::session::{CampaignError, Options, Session, default_jobs};

/// More trials than any budget allows.
const TRIALS_MAX: u64 = 1_000_000;

/// Runs it; its log is put away, since the seed and a trial's number are all that it takes to make one again.
pub fn run(plan: &Plan, out: &Path, progress: Progress<'_>) -> Result<Summary, CampaignError> {
    let log = out.join(format!(".campaign-{}.log", std::process::id()));
    let session = Session::new(Options {
        trials: TRIALS_MAX,
        seed: plan.seed,
        jobs: default_jobs(),
        shard: Shard::WHOLE,
        choice: Choice::default(),
        log: log.clone(),
    })?;
    let budget = Duration::from_secs(budget::seconds("campaign", plan.quick));
    let (begin, mut made) = (Instant::now(), 0);
    let ran = session.run_until(
        || begin.elapsed() >= budget,
        |so_far| {
            made = so_far.made;
            let share = begin.elapsed().as_secs_f64() / budget.as_secs_f64();
            progress(share.min(1.0), &format!("{made} trials, {:.0} a second", so_far.rate()));
        },
    );
    // Best effort: what matters is what came of the trials.
    let _ = std::fs::remove_file(log);
    let (records, seconds) = ran?;
    session.summary(&records, (made, seconds))
}

/// What sums it up, among the run's records: each class as a share of activated faults, by kernel.
pub fn records(summary: &Summary, plan: &Plan) -> Vec<Record> {
    let mut records = Vec::new();
    for kernel in summary.kernels.iter().chain(summary.unavailable.keys()) {
        let monolithic = kernel == "monolithic";
        let columns = Columns {
            experiment: Experiment::Campaign,
            kernel: if monolithic { Kernel::Monolithic } else { Kernel::Microkernel },
            placement: "direct",
            wait: "none",
            entry: Entry::None,
            cores: plan.cores.len() as u32,
            workload: "all".into(),
        };
        let of_this = |record: Record| match monolithic {
            true => record,
            false => Record { placement: kernel.clone(), ..record },
        };
        if let Some(why) = summary.unavailable.get(kernel) {
            records.push(of_this(columns.unavailable(Class::Spread.name(), "rate", "share", why)));
            continue;
        }
        let classes = summary.count(|cell| cell.kernel == *kernel);
        let n = activated(&classes);
        for class in Class::ALL.into_iter().filter(|class| class.is_activated()) {
            let count = classes.get(&class).copied().unwrap_or(0);
            records.push(of_this(columns.share(class.name(), count, n)));
        }
    }
    records
}
