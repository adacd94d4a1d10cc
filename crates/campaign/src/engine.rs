//! Jobs: trials made by several runners at once, each record on file as soon as it is there.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crossbeam::channel;
use thiserror::Error;

use crate::log::{Log, LogError};
use crate::plan::{Plan, Shard};
use crate::trial::{Record, Runner};

/// Characters of a record's detail: a log of 100,000 trials is to stay small.
const DETAIL: usize = 160;

/// How a campaign stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// The record that has just come in.
    pub record: &'a Record,
    /// Trials on file, those of earlier runs included.
    pub done: u64,
    /// Trials in all.
    pub of: u64,
    /// Trials of this run.
    pub made: u64,
    /// Time since it began.
    pub elapsed: Duration,
}

impl Progress<'_> {
    /// Trials in a second.
    pub fn rate(&self) -> f64 {
        self.made as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Time left at this rate.
    pub fn left(&self) -> Duration {
        Duration::from_secs_f64((self.of - self.done) as f64 / self.rate().max(1e-9))
    }
}

/// Why a campaign stopped. What is on file stays good.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The log cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A trial could not be made, twice.
    #[error("trial {trial} could not be made: {why}; the trials before it are on file, the same command goes on")]
    Trial {
        /// Its number.
        trial: u64,
        /// What its runner said.
        why: String,
    },
}

/// Makes the first `trials` trials of a shard that `records` does not have yet, with one runner for each job, until
/// they are made or `until` says stop. Gives all records, in the order of trials.
///
/// # Errors
/// See [`EngineError`].
pub fn run(
    plan: &Plan,
    (trials, shard): (u64, Shard),
    (mut log, mut records): (Log, Vec<Record>),
    runners: Vec<Box<dyn Runner>>,
    until: impl Fn() -> bool,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Vec<Record>, EngineError> {
    let on_file: BTreeSet<u64> = records.iter().map(|record| record.trial).collect();
    let wanted: Vec<u64> = plan.ids(trials, shard).collect();
    let of = wanted.len() as u64;
    let mut done = wanted.iter().filter(|id| on_file.contains(id)).count() as u64;
    let (begin, mut made) = (Instant::now(), 0);
    make(plan, wanted.into_iter().filter(|id| !on_file.contains(id)), runners, |record| {
        log.append(&record)?;
        (done, made) = (done + 1, made + 1);
        progress(Progress { record: &record, done, of, made, elapsed: begin.elapsed() });
        records.push(record);
        Ok(!until())
    })?;
    records.sort_by_key(|record| record.trial);
    Ok(records)
}

/// Makes trials again that are on file, whose records stay as they are; `progress` is told how many are made. Gives the
/// records of now, in the order of trials.
///
/// # Errors
/// See [`EngineError`].
pub fn again(
    plan: &Plan,
    trials: Vec<u64>,
    runners: Vec<Box<dyn Runner>>,
    mut progress: impl FnMut(usize),
) -> Result<Vec<Record>, EngineError> {
    let mut records = Vec::new();
    make(plan, trials.into_iter(), runners, |record| {
        records.push(record);
        progress(records.len());
        Ok(true)
    })?;
    records.sort_by_key(|record| record.trial);
    Ok(records)
}

/// Has trials made; each record is taken as soon as it is there, until `take` says that it is enough. After an error the
/// trials in flight are still taken.
fn make(
    plan: &Plan,
    pending: impl Iterator<Item = u64> + Send,
    runners: Vec<Box<dyn Runner>>,
    mut take: impl FnMut(Record) -> Result<bool, EngineError>,
) -> Result<(), EngineError> {
    let pending = Mutex::new(pending);
    let stop = AtomicBool::new(false);
    let (results, made) = channel::bounded::<Result<Record, EngineError>>(runners.len().max(1));
    std::thread::scope(|scope| {
        for mut runner in runners {
            let (results, pending, stop) = (results.clone(), &pending, &stop);
            scope.spawn(move || {
                let next = || pending.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
                while !stop.load(Relaxed)
                    && let Some(trial) = next().and_then(|id| plan.trial(id))
                {
                    let once = runner.run(&trial).or_else(|_| runner.run(&trial));
                    let result = once.map_err(|why| EngineError::Trial { trial: trial.id, why });
                    if results.send(result).is_err() {
                        return;
                    }
                }
            });
        }
        drop(results);
        let mut ended = Ok(());
        for result in made {
            match result.and_then(|record| take(shortened(record))) {
                Ok(true) => {}
                Ok(false) => stop.store(true, Relaxed),
                Err(error) => {
                    stop.store(true, Relaxed);
                    ended = ended.and(Err(error));
                }
            }
        }
        ended
    })
}

fn shortened(mut record: Record) -> Record {
    if let Some((end, _)) = record.detail.char_indices().nth(DETAIL) {
        record.detail.truncate(end);
    }
    record
}
