//! `debate campaign`: thousands of faults in real code, each tried on every kernel.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use kd_campaign::engine::Progress;
use kd_campaign::{Log, Plan, Record, Shard, merge, pack, summarise};
use kd_report::campaign::{Class, FILE, Summary, activated};

use super::CommandError;
use crate::campaign::choice::Choice;
use crate::campaign::session::{CampaignError, Options, Session, default_jobs, recounted};
use crate::suite;

const EXAMPLES: &str = "\
Examples:
  cargo debate campaign --trials 20000              some minutes; stopped at any moment, the same command goes on
  cargo debate campaign --trials 100000 --results reports/latest
                                                    the summary in that report too
  cargo debate campaign --kernels monolithic,process --components jfs,vfs --log some.log
                                                    these alone; a log is of one such choice
  cargo debate campaign --replay 1234               one trial again, with the instruction before and after
  cargo debate campaign --recheck 1000              so many trials of the log again: do they come out the same?
  cargo debate campaign --trials 100000 --shard 0/4 --log shard-0.log
  cargo debate campaign merge shard-*.log --log campaign.log
  cargo debate campaign pack campaign.log           compressed, to be kept beside its summary";

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
    /// Kernels, separated by commas; all that this machine can run unless given
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    kernels: Vec<String>,
    /// Components that are made to fail, separated by commas; all unless given
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    components: Vec<String>,
    /// Take the summary into this folder, and render its report again
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Make this trial alone, again, and tell all of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["results", "recheck"])]
    replay: Option<u64>,
    /// Make so many trials of the log again, compare, and note in the summary what came of it
    #[arg(long, value_name = "N")]
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
    /// Compress a log that is complete, to keep it
    Pack {
        /// The log
        #[arg(value_name = "LOG")]
        log: PathBuf,
        /// The file, made anew; LOG.gz unless given
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Count a log, packed or not, of whatever build: nothing is made again
    Count {
        /// The log
        #[arg(value_name = "LOG")]
        log: PathBuf,
        /// Take the counts into the summary in this folder, and render its report again
        #[arg(long, value_name = "DIR")]
        results: Option<PathBuf>,
    },
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(2);

/// Runs it.
///
/// # Errors
/// A log that cannot be used, a trial that cannot be made, results that the summary cannot be taken into.
pub fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    match &arguments.command {
        Some(Command::Merge { logs, log }) => return together(logs, log, out),
        Some(Command::Pack { log, to }) => return packed(log, to.as_deref(), out),
        Some(Command::Count { log, results }) => return counted(log, results.as_deref(), out),
        None => {}
    }
    let session = Session::new(Options {
        trials: arguments.trials,
        seed: arguments.seed,
        jobs: arguments.jobs.map_or_else(default_jobs, |jobs| jobs as usize),
        shard: arguments.shard,
        choice: Choice { kernels: arguments.kernels.clone(), components: arguments.components.clone() },
        log: arguments.log.clone().unwrap_or_else(|| suite::default_out().join("campaign.log")),
    })?;
    match (arguments.replay, arguments.recheck) {
        (Some(trial), _) => replay(&session, trial, out),
        (_, Some(count)) => recheck(&session, count, arguments, out),
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
    table(session.plan(), &records, out)?;
    if arguments.shard != Shard::WHOLE {
        return Ok(());
    }
    let mut summary = session.summary(&records, (made, seconds))?;
    let path = summary_of(session.log(), arguments.results.as_deref());
    // What was rechecked of it stays rechecked.
    summary.recheck = Summary::read(&path).ok().filter(|old| session.made(old)).and_then(|old| old.recheck);
    keep(&summary, &path, arguments.results.as_deref(), out)
}

/// Where the summary of a log lies: in the folder of a report, or beside the log.
fn summary_of(log: &Path, results: Option<&Path>) -> PathBuf {
    results.unwrap_or(log.parent().unwrap_or(Path::new("."))).join(FILE)
}

/// Writes a summary, and renders the report of the folder that it was taken into.
fn keep(summary: &Summary, path: &Path, results: Option<&Path>, out: &mut dyn Write) -> Result<(), CommandError> {
    summary.write(path).map_err(CampaignError::from)?;
    writeln!(out, "Summary: {}", path.display())?;
    if let Some(folder) = results {
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
fn table(plan: &Plan, records: &[Record], out: &mut dyn Write) -> Result<(), CommandError> {
    let cells = summarise(plan, records).cells;
    let kernels = &plan.kernels;
    let of = |kernel: &String| Summary::total(&cells, |cell| cell.kernel == *kernel);
    write!(out, "{:<28}", "")?;
    kernels.iter().try_for_each(|kernel| write!(out, "{kernel:>17}"))?;
    writeln!(out)?;
    for class in Class::ALL {
        let counts: Vec<u64> = kernels.iter().map(|kernel| of(kernel).get(&class).copied().unwrap_or(0)).collect();
        if counts.iter().any(|&count| count > 0) {
            write!(out, "{:<28}", class.title())?;
            counts.iter().try_for_each(|count| write!(out, "{count:>17}"))?;
            writeln!(out)?;
        }
    }
    write!(out, "{:<28}", "activated")?;
    kernels.iter().try_for_each(|kernel| write!(out, "{:>17}", activated(&of(kernel))))?;
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

fn recheck(session: &Session, count: usize, arguments: &Arguments, out: &mut dyn Write) -> Result<(), CommandError> {
    let mut told = Instant::now();
    let mut written = Ok(());
    let recheck = session.recheck(count, |done, of| {
        if told.elapsed() >= PROGRESS && written.is_ok() {
            told = Instant::now();
            written = writeln!(out, "{done} of {of} trials");
        }
    })?;
    written?;
    for other in &recheck.otherwise {
        writeln!(out, "{other}")?;
    }
    let (trials, otherwise) = (recheck.trials, recheck.otherwise.len());
    let unexplained = recheck.otherwise.iter().filter(|other| !other.timed && !other.varies()).count();
    writeln!(out, "{otherwise} of {trials} trials came out otherwise, {unexplained} of them unexplained")?;
    let results = arguments.results.as_deref();
    let path = summary_of(session.log(), results);
    match Summary::read(&path) {
        Ok(summary) if session.made(&summary) => {
            keep(&Summary { recheck: Some(recheck), ..summary }, &path, results, out)
        }
        _ => Ok(writeln!(out, "Not noted: {} is no summary of this campaign", path.display())?),
    }
}

fn packed(log: &Path, to: Option<&Path>, out: &mut dyn Write) -> Result<(), CommandError> {
    let to = to.map_or_else(|| PathBuf::from(format!("{}.gz", log.display())), Path::to_path_buf);
    let (records, bytes) = pack(log, &to).map_err(CampaignError::from)?;
    writeln!(out, "{records} trials in {}, {:.1} MiB", to.display(), bytes as f64 / f64::from(1 << 20))?;
    Ok(())
}

fn counted(log: &Path, results: Option<&Path>, out: &mut dyn Write) -> Result<(), CommandError> {
    let (identity, records) = Log::read(log).map_err(CampaignError::from)?;
    writeln!(out, "{} trials on file, seed {}, commit {}", records.len(), identity.plan.seed, identity.commit)?;
    table(&identity.plan, &records, out)?;
    let Some(folder) = results else { return Ok(()) };
    let path = folder.join(FILE);
    let old = Summary::read(&path).map_err(CampaignError::from)?;
    keep(&recounted(&identity, &records, old)?, &path, results, out)
}

fn together(logs: &[PathBuf], to: &Path, out: &mut dyn Write) -> Result<(), CommandError> {
    let (_, records) = merge(logs, to)?;
    writeln!(out, "{} trials of {} logs in {}", records.len(), logs.len(), to.display())?;
    // Nothing is made again: the same campaign with this log tells what came out.
    let (identity, _) = Log::read(to)?;
    let (seed, choice) = (identity.plan.seed, Choice::of(&identity.plan)?);
    let trials = records.len();
    writeln!(out, "Summary: cargo debate campaign --seed {seed} --trials {trials}{choice} --log {}", to.display())?;
    Ok(())
}
