//! `debate campaign`: thousands of faults in real code, each tried on every kernel.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use kd_campaign::engine::Progress;
use kd_campaign::{Log, Record, Shard, merge, summarise};
use kd_report::campaign::{Class, FILE, Summary, activated};

use super::CommandError;
use crate::campaign::session::{Options, Session, default_jobs};
use crate::suite;

const EXAMPLES: &str = "\
Examples:
  cargo debate campaign --trials 20000              some minutes; stopped at any moment, the same command goes on
  cargo debate campaign --trials 100000 --results reports/latest
                                                    the summary in that report too
  cargo debate campaign --replay 1234               one trial again, with the instruction before and after
  cargo debate campaign --recheck 1000              so many trials of the log again: do they come out the same?
  cargo debate campaign --trials 100000 --shard 0/4 --log shard-0.log
  cargo debate campaign merge shard-*.log --log campaign.log";

/// Its arguments.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// Trials; those that the log has already are not made again
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    trials: u64,
    /// From which faults are drawn
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Trials at once; three for each core unless given, since those that hang mostly sleep
    #[arg(long, value_name = "J", value_parser = clap::value_parser!(u32).range(1..=256))]
    jobs: Option<u32>,
    /// The log, begun or gone on with; reports/latest/campaign.log unless given
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// This part of the campaign alone: I/N, for one of N machines
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    shard: Shard,
    /// Take the summary into this folder, and render its report again
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Make this trial alone, again, and tell all of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["results", "recheck"])]
    replay: Option<u64>,
    /// Make so many trials of the log again and compare
    #[arg(long, value_name = "N", conflicts_with = "results")]
    recheck: Option<usize>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
    /// Put the logs of all shards together
    Merge {
        /// The logs
        #[arg(required = true, value_name = "LOG")]
        logs: Vec<PathBuf>,
        /// The log of the whole campaign, made anew
        #[arg(long, value_name = "FILE")]
        log: PathBuf,
    },
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(2);

/// Runs it.
///
/// # Errors
/// A log that cannot be used, a trial that cannot be made, results that the summary cannot be taken into.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    if let Some(Command::Merge { logs, log }) = &arguments.command {
        return together(logs, log, out);
    }
    let session = Session::new(Options {
        trials: arguments.trials,
        seed: arguments.seed,
        jobs: arguments.jobs.map_or_else(default_jobs, |jobs| jobs as usize),
        shard: arguments.shard,
        log: arguments.log.clone().unwrap_or_else(|| suite::default_out().join("campaign.log")),
    })?;
    match (arguments.replay, arguments.recheck) {
        (Some(trial), _) => replay(&session, trial, out),
        (_, Some(count)) => recheck(&session, count, out),
        _ => many(&session, arguments, out),
    }
}

fn many(session: &Session, arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut told = Instant::now();
    let mut tally = std::collections::BTreeMap::<Class, u64>::new();
    let (mut written, mut made) = (Ok(()), 0);
    let (records, seconds) = session.run(|progress| {
        made = progress.made;
        *tally.entry(progress.record.class).or_default() += 1;
        if (told.elapsed() >= PROGRESS || progress.done == progress.of) && written.is_ok() {
            told = Instant::now();
            written = line(out, &progress, &tally);
        }
    })?;
    written?;
    writeln!(out, "\n{} trials on file in {}", records.len(), session.log().display())?;
    table(session, &records, out)?;
    if arguments.shard != Shard::WHOLE {
        return Ok(());
    }
    let summary = session.summary(&records, (made, seconds))?;
    let folder = arguments.results.as_deref();
    let path = folder.unwrap_or(session.log().parent().unwrap_or(Path::new("."))).join(FILE);
    summary.write(&path).map_err(crate::campaign::session::CampaignError::from)?;
    writeln!(out, "Summary: {}", path.display())?;
    if let Some(folder) = folder {
        writeln!(out, "Report: {}", suite::report(folder)?.display())?;
    }
    Ok(())
}

fn line(
    out: &mut dyn Write,
    progress: &Progress<'_>,
    tally: &std::collections::BTreeMap<Class, u64>,
) -> std::io::Result<()> {
    let counts: Vec<String> = tally.iter().map(|(class, n)| format!("{} {n}", class.title())).collect();
    writeln!(
        out,
        "{} of {} trials, {:.0} /s, {:.0} s left: {}",
        progress.done,
        progress.of,
        progress.rate(),
        progress.left().as_secs_f64(),
        counts.join(", ")
    )
}

/// Classes by kernel.
fn table(session: &Session, records: &[Record], out: &mut dyn Write) -> Result<(), CommandError> {
    let cells = summarise(session.plan(), records).cells;
    let kernels = &session.plan().kernels;
    let of = |kernel: &String| Summary::total(&cells, |cell| cell.kernel == *kernel);
    write!(out, "{:<28}", "")?;
    kernels.iter().try_for_each(|kernel| write!(out, "{kernel:>16}"))?;
    writeln!(out)?;
    for class in Class::ALL {
        let counts: Vec<u64> = kernels.iter().map(|kernel| of(kernel).get(&class).copied().unwrap_or(0)).collect();
        if counts.iter().any(|&count| count > 0) {
            write!(out, "{:<28}", class.title())?;
            counts.iter().try_for_each(|count| write!(out, "{count:>16}"))?;
            writeln!(out)?;
        }
    }
    write!(out, "{:<28}", "activated")?;
    kernels.iter().try_for_each(|kernel| write!(out, "{:>16}", activated(&of(kernel))))?;
    Ok(writeln!(out)?)
}

fn replay(session: &Session, trial: u64, out: &mut dyn Write) -> Result<(), CommandError> {
    let (record, example) = session.replay(trial)?;
    writeln!(out, "trial {trial}: {} in {} on {}", example.kind, example.subject, example.kernel)?;
    if !example.function.is_empty() {
        writeln!(out, "  in {}", example.function)?;
    }
    writeln!(out, "  - {}\n  + {}", example.before, example.after)?;
    writeln!(out, "{}", example.story)?;
    writeln!(out, "{}", record.class.title())?;
    if !record.hit.is_empty() {
        writeln!(out, "hit: {}", record.hit.join(", "))?;
    }
    Ok(())
}

fn recheck(session: &Session, count: usize, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut told = Instant::now();
    let mut written = Ok(());
    let others = session.recheck(count, |done| {
        if told.elapsed() >= PROGRESS && written.is_ok() {
            told = Instant::now();
            written = writeln!(out, "{done} of {count} trials");
        }
    })?;
    written?;
    for (before, after) in &others {
        let timed = if before.timed || after.timed { ", by time" } else { "" };
        writeln!(out, "trial {}: {}, now {}{timed}", before.trial, before.class.title(), after.class.title())?;
    }
    let unexplained = others.iter().filter(|(before, after)| !before.timed && !after.timed).count();
    writeln!(out, "{} of {count} trials came out otherwise, {unexplained} of them not by time", others.len())?;
    Ok(())
}

fn together(logs: &[PathBuf], to: &Path, out: &mut dyn Write) -> Result<(), CommandError> {
    let (_, records) = merge(logs, to)?;
    writeln!(out, "{} trials of {} logs in {}", records.len(), logs.len(), to.display())?;
    // Nothing is made again: the same campaign with this log tells what came out.
    let (identity, _) = Log::read(to)?;
    let seed = identity.plan.seed;
    writeln!(out, "Summary: cargo debate campaign --seed {seed} --trials {} --log {}", records.len(), to.display())?;
    Ok(())
}
