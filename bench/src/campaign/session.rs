//! A campaign from its options to its summary: which kernels and components, the log, the jobs, examples, leftovers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use kd_campaign::engine::{EngineError, Progress};
use kd_campaign::{Class, Identity, Log, LogError, Plan, Record, Shard, again, run, summarise};
use kd_nucleus::module::ModuleError;
use kd_report::ReportError;
use kd_report::campaign::{Example, Otherwise, Recheck, SUMMARY_VERSION, Summary};
use kd_report::stats::Random;
use thiserror::Error;

use super::choice::{Choice, ChoiceError};
use super::leftovers::{Held, Leftover};
use super::subject::SubjectError;
use super::{replay, runners, wild};
use crate::boot::BootFailure;
use crate::meta;

/// How often a trial that came out otherwise is made again: an outcome that one boot in ten has is then seen.
const AGAIN: usize = 100;

/// Replays of a class at most, until one shows it again.
const TRIES: usize = 3;

/// Trials at once, unless said otherwise: trials that hang mostly sleep until that is certain.
pub fn default_jobs() -> usize {
    meta::cores().len() * 3
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Trials, of all shards together.
    pub trials: u64,
    /// From which faults are drawn.
    pub seed: u64,
    /// Trials at once.
    pub jobs: usize,
    /// Which part.
    pub shard: Shard,
    /// On what.
    pub choice: Choice,
    /// The log: begun, or gone on with.
    pub log: PathBuf,
}

/// Why a campaign gave no summary.
#[derive(Debug, Error)]
pub enum CampaignError {
    /// The log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A trial could not be made.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A driver module is missing or is none.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A kernel did not boot.
    #[error(transparent)]
    Boot(#[from] BootFailure),
    /// The faults of a component cannot be drawn.
    #[error(transparent)]
    Inject(#[from] kd_faults::InjectError),
    /// The program cannot be read.
    #[error("cannot read this program: {0}")]
    Program(std::io::Error),
    /// There is no such trial.
    #[error("there is no trial {0} in this campaign: give the campaign's --seed and --log")]
    NoTrial(u64),
    /// A component cannot be made to fail.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A kernel or a component cannot be chosen.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// No memory for what trials share.
    #[error("the host has no memory to share: {0}")]
    Host(#[from] std::io::Error),
    /// A trial could not be made again.
    #[error("trial {0} could not be made: {1}")]
    Trial(u64, String),
    /// Trials left something behind.
    #[error("{0}; this is a defect of the suite, the trials on file are good")]
    Leftover(#[from] Leftover),
    /// A log and a summary that do not belong together.
    #[error(
        "the log is of build {log:.12}, the summary in that folder of {summary:.12}, or of another seed: name the folder of its own"
    )]
    Another {
        /// The log's build.
        log: String,
        /// The summary's.
        summary: String,
    },
    /// The summary cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
}

/// A campaign that is ready to run.
pub struct Session {
    options: Options,
    identity: Identity,
    unavailable: BTreeMap<String, String>,
}

impl Session {
    /// Looks for kernels, components and modules.
    ///
    /// # Errors
    /// One that is missing.
    pub fn new(options: Options) -> Result<Session, CampaignError> {
        let (available, unavailable) = options.choice.kernels()?;
        let plan = Plan { seed: options.seed, kernels: available, subjects: options.choice.subjects()? };
        let modules =
            meta::modules()?.into_iter().map(|module| (module.info().name.clone(), module.sha256())).collect();
        let program = meta::program().map_err(CampaignError::Program)?;
        let identity = Identity::new(program, meta::commit(), modules, plan, options.shard);
        Ok(Session { options, identity, unavailable })
    }

    /// Which trials there are.
    pub fn plan(&self) -> &Plan {
        &self.identity.plan
    }

    /// Makes the trials that the log does not have yet; gives all of them, and the seconds that this took.
    ///
    /// # Errors
    /// See [`CampaignError`]. The log is good all the same.
    pub fn run(&self, progress: impl FnMut(Progress<'_>)) -> Result<(Vec<Record>, f64), CampaignError> {
        self.run_until(|| false, progress)
    }

    /// The same until told to stop.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_until(
        &self,
        until: impl Fn() -> bool,
        progress: impl FnMut(Progress<'_>),
    ) -> Result<(Vec<Record>, f64), CampaignError> {
        let log = Log::open(&self.options.log, &self.identity)?;
        let before = Held::now();
        let runners = runners(self.plan(), self.options.jobs)?;
        let (begin, trials) = (Instant::now(), (self.options.trials, self.options.shard));
        let records = run(self.plan(), trials, log, runners, until, progress)?;
        let seconds = begin.elapsed().as_secs_f64();
        before.compare()?;
        Ok((records, seconds))
    }

    /// What the records come to, with a worked example for each outcome.
    ///
    /// # Errors
    /// An example cannot be told.
    pub fn summary(&self, records: &[Record], (made, seconds): (u64, f64)) -> Result<Summary, CampaignError> {
        let counts = summarise(self.plan(), records);
        let identity = &self.identity;
        Ok(Summary {
            version: SUMMARY_VERSION,
            seed: identity.plan.seed,
            commit: identity.commit.clone(),
            build: identity.build.clone(),
            modules: identity.modules.clone(),
            machine: meta::machine(),
            date: meta::now(),
            kernels: identity.plan.kernels.clone(),
            unavailable: self.unavailable.clone(),
            trials: records.len() as u64,
            seconds,
            trials_in_seconds: made,
            cells: counts.cells,
            inapplicable: counts.inapplicable,
            reach: counts.reach,
            notice: counts.notice,
            wild: wild::count(self.plan(), records),
            examples: self.examples(records)?,
            recheck: None,
        })
    }

    /// One trial of each class, made again: the first that shows its class a second time.
    fn examples(&self, records: &[Record]) -> Result<Vec<Example>, CampaignError> {
        let classes: BTreeSet<Class> = records.iter().map(|record| record.class).collect();
        let mut examples = Vec::new();
        for class in classes.into_iter().filter(|class| class.is_activated()) {
            let of = records.iter().filter(|record| record.class == class && !record.timed);
            for record in of.take(TRIES) {
                let (again, example) = self.replay(record.trial)?;
                if again.class == class {
                    examples.push(example);
                    break;
                }
            }
        }
        Ok(examples)
    }

    /// Makes one trial again, and tells it.
    ///
    /// # Errors
    /// There is no such trial, or it cannot be made.
    pub fn replay(&self, id: u64) -> Result<(Record, Example), CampaignError> {
        let trial = self.plan().trial(id).ok_or(CampaignError::NoTrial(id))?;
        replay(self.plan(), &trial)
    }

    /// Makes so many of the log's trials again, chosen from the seed, as many at once as a campaign does; then those that
    /// came out otherwise [`AGAIN`] times more. `progress` is told how many of how many are made.
    ///
    /// # Errors
    /// The log cannot be read, or a trial not be made.
    pub fn recheck(&self, count: usize, mut progress: impl FnMut(usize, usize)) -> Result<Recheck, CampaignError> {
        let (_, mut records) = Log::open(&self.options.log, &self.identity)?;
        records.sort_by_key(|record| record.trial);
        let mut random = Random::new(self.options.seed, 5);
        let mut chosen = BTreeMap::new();
        for _ in 0..count.min(records.len()) {
            let record = records.swap_remove(random.below(records.len()));
            chosen.insert(record.trial, record);
        }
        let mut make = |trials: Vec<u64>| {
            let of = trials.len();
            again(self.plan(), trials, runners(self.plan(), self.options.jobs)?, |done| progress(done, of))
                .map_err(CampaignError::from)
        };
        let otherwise = make(chosen.keys().copied().collect())?.into_iter().filter_map(|after| {
            let before = chosen.get(&after.trial).filter(|before| before.class != after.class)?;
            let timed = before.timed || after.timed;
            Some(Otherwise {
                trial: after.trial,
                before: before.class,
                after: after.class,
                timed,
                again: BTreeMap::new(),
            })
        });
        let mut otherwise: Vec<Otherwise> = otherwise.collect();
        let often = otherwise.iter().flat_map(|other| std::iter::repeat_n(other.trial, AGAIN)).collect();
        for record in make(often)? {
            let other = otherwise.iter_mut().find(|other| other.trial == record.trial);
            other.into_iter().for_each(|other| *other.again.entry(record.class).or_default() += 1);
        }
        Ok(Recheck { trials: chosen.len() as u64, otherwise })
    }

    /// Whether a summary is of this campaign, of the same faults and the same program.
    pub fn made(&self, summary: &Summary) -> bool {
        summary.seed == self.plan().seed && summary.build == self.identity.build
    }

    /// The log's path.
    pub fn log(&self) -> &Path {
        &self.options.log
    }
}

/// A campaign's summary with the counts of its log, which may have grown since; what the log does not say stays.
///
/// # Errors
/// The summary of another campaign.
pub fn recounted(identity: &Identity, records: &[Record], old: Summary) -> Result<Summary, CampaignError> {
    if old.seed != identity.plan.seed || old.build != identity.build {
        return Err(CampaignError::Another { log: identity.build.clone(), summary: old.build });
    }
    let counts = summarise(&identity.plan, records);
    Ok(Summary {
        trials: records.len() as u64,
        cells: counts.cells,
        reach: counts.reach,
        notice: counts.notice,
        wild: wild::count(&identity.plan, records),
        ..old
    })
}
