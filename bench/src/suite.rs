//! The main job: every experiment, one after the other, and a report of what they found.
//!
//! Everything that can be wrong with the request is checked before the first boot. The output folder changes at the
//! end alone: files are made whole in a folder inside it and then renamed, so that an interrupted or failed run leaves
//! an earlier report as it was. Nothing is written anywhere else, and no other file of that folder is touched; disks that are
//! files of the host lie in it without a name while they are used, and a folder `.kd-mnt-...` for the host's own kernel.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use kd_nucleus::module::ModuleError;
use kd_report::campaign::{FILE, Summary};
use kd_report::schema::{Experiment, Record};
use kd_report::{ReportError, Results};

use crate::boot::BootFailure;
use crate::campaign::session::CampaignError;
use crate::experiments::{Plan, Progress, campaign, crash, faults, ipc, latency, macros, primitives, restart, scaling};
use crate::progress::Display;
use crate::{host_disk, meta};

/// An experiment's entry.
type Run = fn(&Plan, Progress<'_>) -> Result<Vec<Record>, BootFailure>;

/// The experiments, in their order: a new one is a line here, and a budget.
const EXPERIMENTS: &[(Experiment, Run)] = &[
    (Experiment::Primitives, primitives::limits),
    (Experiment::Latency, latency::run),
    (Experiment::Macro, macros::run),
    (Experiment::Scaling, scaling::run),
    (Experiment::Faults, faults::run),
    (Experiment::Restart, restart::run),
    (Experiment::Crash, crash::run),
];

/// What to run, and where its report goes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Fewer boots and shorter budgets.
    pub quick: bool,
    /// At length: for an experiment that can.
    pub long: bool,
    /// This experiment alone.
    pub only: Option<Experiment>,
    /// From which every random choice follows; a fresh one unless given.
    pub seed: Option<u64>,
    /// The output folder, made where there is none; [`default_out`] unless given.
    pub out: Option<PathBuf>,
    /// Take in what the other benches of the same command measured just before.
    pub primitives: bool,
    /// The command that the user typed, for the report.
    pub command: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum SuiteError {
    /// The output folder cannot be written.
    #[error("cannot write to {path}: {source}; choose another output folder with `--out DIR`")]
    Out {
        /// The folder.
        path: PathBuf,
        /// What the host said.
        source: io::Error,
    },
    /// A driver module is missing or is none.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// At length is what two experiments can be, each alone.
    #[error(
        "`--long` is for one of the experiments `restart` and `primitives`: say `--only restart --long`, or leave `--long` out"
    )]
    Long,
    /// A kernel did not boot, or ended.
    #[error("the experiment `{experiment}` failed, no report was written: {source}")]
    Experiment {
        /// Which.
        experiment: Experiment,
        /// Why.
        source: BootFailure,
    },
    /// The fault campaign gave no summary.
    #[error("the experiment `campaign` failed, no report was written: {0}")]
    Campaign(#[from] CampaignError),
    /// Figures of one source would stand among those of another.
    #[error(
        "{path} holds results of commit {found}, and this is {ours}: check out that commit, or make results of this one \
         with `cargo bench`"
    )]
    Commit {
        /// The results.
        path: PathBuf,
        /// Their commit.
        found: String,
        /// The commit of this source.
        ours: String,
    },
    /// The figures contradict themselves, or could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// Where reports go: `reports/latest` of the workspace.
pub fn default_out() -> PathBuf {
    meta::workspace().join("reports/latest")
}

/// Where a long run's go: beside them, since it has one experiment alone.
pub fn long_out(experiment: Experiment) -> PathBuf {
    meta::workspace().join("reports/long").join(experiment.word())
}

/// Runs it; returns the path of the report and the table that sums it up.
///
/// # Errors
/// As [`SuiteError`] says; then the output folder is as it was.
pub fn run(options: &Options) -> Result<(PathBuf, String), SuiteError> {
    if options.long && !matches!(options.only, Some(Experiment::Restart | Experiment::Primitives)) {
        return Err(SuiteError::Long);
    }
    let seed = options.seed.unwrap_or_else(meta::fresh_seed);
    let out = options.out.clone().unwrap_or_else(default_out);
    // The modules are looked for before anything is written, the folder's file system once the folder is there.
    meta::modules()?;
    replace(&out, |_| Ok(()))?;
    let plan =
        Plan { quick: options.quick, long: options.long, seed, cores: meta::cores(), host_disk: host_disk::find(&out) };
    let begun = meta::begin(&plan, options.command.clone())?;

    let chosen = |(experiment, _): &&(Experiment, Run)| options.only.is_none_or(|only| only == *experiment);
    let chosen: Vec<&(Experiment, Run)> = EXPERIMENTS.iter().filter(chosen).collect();
    let with_campaign = options.only.is_none_or(|only| only == Experiment::Campaign);
    let names = chosen.iter().map(|(experiment, _)| experiment.word());
    let names = names.chain(with_campaign.then_some(Experiment::Campaign.word()));
    let mut display = Display::new(names, &plan);
    let mut records = Vec::new();
    for &&(experiment, run) in &chosen {
        display.start(experiment.word());
        let found = run(&plan, &mut |share, what| display.step(share, what));
        let found = found.map_err(|source| SuiteError::Experiment { experiment, source })?;
        display.end(found.len());
        records.extend(found);
    }
    let campaign = if with_campaign {
        display.start(Experiment::Campaign.word());
        let summary = campaign::run(&plan, &out, &mut |share, what| display.step(share, what))?;
        let found = campaign::records(&summary, &plan);
        display.end(found.len());
        records.extend(found);
        Some(summary)
    } else {
        campaign_of(&out)?
    };
    if options.primitives && options.only.is_none() {
        records.extend(primitives::records(options.quick));
        records.extend(ipc::records(options.quick));
    }
    let results = Results { meta: begun.end(), records };
    replace(&out, |folder| {
        results.write(&folder.join("results.json"))?;
        if let Some(summary) = &campaign {
            summary.write(&folder.join(FILE))?;
        }
        render(&results, campaign.as_ref(), folder, &out)
    })?;
    let out = out.canonicalize().unwrap_or(out);
    Ok((out.join("index.html"), kd_report::summary_table(&results)))
}

/// Reads a folder's `results.json` and makes the rest of it anew; returns the path of the report.
///
/// # Errors
/// A results file that cannot be used, or a folder that cannot be written; then the folder is as it was.
pub fn report(folder: &Path) -> Result<PathBuf, SuiteError> {
    let results = Results::read(&folder.join("results.json"))?;
    let campaign = campaign_of(folder)?;
    replace(folder, |staging| render(&results, campaign.as_ref(), staging, folder))?;
    Ok(folder.canonicalize().unwrap_or_else(|_| folder.into()).join("index.html"))
}

/// A folder's results, if they are of this source: further figures of it may stand among them.
///
/// # Errors
/// A results file that cannot be used, or that of another commit.
pub fn results_of_this_source(folder: &Path) -> Result<Results, SuiteError> {
    let path = folder.join("results.json");
    let results = Results::read(&path)?;
    let ours = meta::commit();
    match results.meta.commit == ours {
        true => Ok(results),
        false => Err(SuiteError::Commit { path, found: results.meta.commit, ours }),
    }
}

/// Puts figures into a folder's results in place of those that `replaces` names, and makes the report anew; returns its
/// path.
///
/// # Errors
/// As [`results_of_this_source`], and a folder that cannot be written; then it is as it was.
pub fn amend(folder: &Path, replaces: impl Fn(&Record) -> bool, figures: Vec<Record>) -> Result<PathBuf, SuiteError> {
    let mut results = results_of_this_source(folder)?;
    let campaign = campaign_of(folder)?;
    results.records.retain(|record| !replaces(record));
    results.records.extend(figures);
    replace(folder, |staging| {
        results.write(&staging.join("results.json"))?;
        render(&results, campaign.as_ref(), staging, folder)
    })?;
    Ok(folder.canonicalize().unwrap_or_else(|_| folder.into()).join("index.html"))
}

/// The fault campaign whose summary lies in a folder, if there is one. It may be of another commit, and says of which.
fn campaign_of(folder: &Path) -> Result<Option<Summary>, SuiteError> {
    let path = folder.join(FILE);
    Ok(if path.exists() { Some(Summary::read(&path)?) } else { None })
}

/// The page, and the pictures of it that other pages show.
fn render(results: &Results, campaign: Option<&Summary>, folder: &Path, home: &Path) -> Result<(), SuiteError> {
    let pictures =
        [("headline.svg", kd_report::headline_svg(results)), ("restart.svg", kd_report::restart_svg(results))];
    for (name, picture) in pictures {
        let path = folder.join(name);
        fs::write(&path, picture).map_err(|source| SuiteError::Out { path, source })?;
    }
    kd_report::write_report(results, campaign, folder, home)?;
    Ok(())
}

/// Lets `make` write files into a folder inside `out`, then moves them to their places, `results.json` before the page
/// that links it.
fn replace(out: &Path, make: impl FnOnce(&Path) -> Result<(), SuiteError>) -> Result<(), SuiteError> {
    let refused = |source| SuiteError::Out { path: out.into(), source };
    let staging = out.join(format!(".unfinished-{}", std::process::id()));
    fs::create_dir_all(out).and_then(|()| fs::create_dir(&staging)).map_err(refused)?;
    let made = make(&staging).and_then(|()| move_all(&staging, out).map_err(refused));
    // Best effort: what matters is the result so far.
    let _ = fs::remove_dir_all(&staging);
    made
}

fn move_all(from: &Path, to: &Path) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(from)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
    names.sort();
    names.iter().rev().try_for_each(|name| fs::rename(from.join(name), to.join(name)))
}

/// Runs it for a person: the table and the path of the report on `out`.
///
/// # Errors
/// As [`run`]'s, and those of `out`.
pub fn run_and_tell(options: &Options, out: &mut dyn Write) -> Result<(), crate::cmd::CommandError> {
    let (path, table) = run(options)?;
    write!(out, "\n{table}\nReport: {}\n", path.display())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_folder_as_it_was() {
        let folder = std::env::temp_dir().join(format!("kd-suite-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder can be made");
        fs::write(folder.join("index.html"), "old").expect("and written");
        let broken = |folder: &Path| {
            fs::write(folder.join("index.html"), "half").expect("it is writable");
            Err(SuiteError::Out { path: folder.into(), source: io::ErrorKind::StorageFull.into() })
        };
        assert!(replace(&folder, broken).is_err());
        let names = || fs::read_dir(&folder).expect("it is there").count();
        assert_eq!((fs::read_to_string(folder.join("index.html")).expect("kept"), names()), ("old".into(), 1));
        replace(&folder, |folder| {
            fs::write(folder.join("index.html"), "new").expect("it is writable");
            Ok(())
        })
        .expect("nothing is in its way");
        assert_eq!((fs::read_to_string(folder.join("index.html")).expect("new"), names()), ("new".into(), 1));
        fs::remove_dir_all(&folder).expect("it is ours");
    }
}
