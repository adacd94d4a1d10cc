//! `debate crashcheck`: what the journalling file system is worth after power failures at any moment.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use kd_crash::disk::{Disk, Image};
use kd_crash::{Recording, Subject, Summary, campaign};
use kd_report::schema::{Experiment, Record};

use super::CommandError;
use crate::experiments::crash;
use crate::{meta, suite};

const EXAMPLES: &str = "\
Examples:
  cargo debate crashcheck                           100,000 states
  cargo debate crashcheck --states 1000000
  cargo debate crashcheck --states 1000000 --results reports/latest
                                                    the count in that report too
  cargo debate crashcheck --seed 7 --state 1234     one state again, with all that led to it";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Crash states to check
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    states: u64,
    /// The first workload; the next ones follow
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Take the count into this folder's `results.json`, which must be of this commit, and render its report again
    #[arg(long, value_name = "DIR", conflicts_with = "state")]
    results: Option<PathBuf>,
    /// Check only this state of the first workload, and tell its story
    #[arg(long, value_name = "K", conflicts_with = "states")]
    state: Option<usize>,
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(2);

/// Runs it.
///
/// # Errors
/// A state that failed; a state that there isn't; results that the count cannot be taken into.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    match arguments.state {
        Some(state) => one(arguments.seed, state, out),
        None => many(arguments, out),
    }
}

fn many(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    // Before minutes have passed.
    arguments.results.as_deref().map(suite::results_of_this_source).transpose()?;
    let (begin, mut told) = (Instant::now(), Instant::now());
    let mut written = Ok(());
    let summary = kd_crash::run(Subject::default(), arguments.seed, arguments.states, |so_far| {
        if told.elapsed() >= PROGRESS && written.is_ok() {
            told = Instant::now();
            let (states, of, failed) = (so_far.states, arguments.states, so_far.failed);
            written =
                writeln!(out, "{:>7.1} s  {states} of {of} states, {failed} failed", begin.elapsed().as_secs_f64());
        }
    });
    written?;
    writeln!(
        out,
        "{} crash states of {} workloads ({} operations, {} requests to the disk) in {:.1} s: {} failed",
        summary.states,
        summary.workloads,
        summary.operations,
        summary.requests,
        begin.elapsed().as_secs_f64(),
        summary.failed,
    )?;
    for failure in &summary.failures {
        writeln!(out, "\n{}", failure.what)?;
        writeln!(out, "  again: cargo debate crashcheck --seed {} --state {}", failure.seed, failure.state)?;
    }
    if let Some(folder) = &arguments.results {
        let report = take_in(folder, &summary)?;
        writeln!(out, "Report: {}", report.display())?;
    }
    match summary.failed {
        0 => Ok(()),
        failed => Err(CommandError::Ended(format!("{failed} of {} crash states failed", summary.states))),
    }
}

/// Puts what was found among a folder's results, in place of an earlier run's.
fn take_in(folder: &Path, summary: &Summary) -> Result<PathBuf, CommandError> {
    let is_full = |record: &Record| {
        let name = record.workload.split('/').next();
        record.experiment == Experiment::Crash && name == Some(crash::FULL_RUN)
    };
    let figures = crash::records(crash::FULL_RUN, summary, meta::cores().len() as u32);
    Ok(suite::amend(folder, is_full, figures)?)
}

fn one(seed: u64, number: usize, out: &mut dyn Write) -> Result<(), CommandError> {
    let recording = Recording::new(seed, Subject::default()).map_err(|(op, errno)| {
        CommandError::Ended(format!("operation {op} of workload {seed} failed without a crash: {errno:?}"))
    })?;
    let states = recording.states();
    let state = states.get(number).ok_or_else(|| {
        CommandError::Options(format!("workload {seed} has states 0 to {}: choose one of them", states.len() - 1))
    })?;
    for line in recording.story(state) {
        writeln!(out, "{line}")?;
    }
    let disk = Arc::new(Disk::new(&Image::stale(campaign::BLOCKS)));
    match recording.check(state, &disk) {
        Ok(()) => Ok(writeln!(out, "\nAll that was promised is there.")?),
        Err(fault) => Err(CommandError::Ended(fault.to_string())),
    }
}
