//! Workloads one after the other, each recorded once and crashed in all its states.

use std::sync::Arc;

use kd_api::Errno;
use kd_api::interfaces::block::BlockDevice;
use kd_subsystems::jfs::{Jfs, MkfsOptions, MountOptions, mkfs};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::check::{Expected, Fault, Totals, check};
use crate::disk::{Disk, Image};
use crate::model::Model;
use crate::plant::Plant;
use crate::recorder::{Recorder, Request};
use crate::states::{Crashes, State};
use crate::workload::{Op, Runner, generate};

/// Blocks of the disk: small, so that room is used again and again.
pub const BLOCKS: usize = 256;
/// Blocks of its journal: small, so that it wraps around.
const JOURNAL: u32 = 40;
const INODES: u32 = 48;
/// Failures that a summary holds; all are counted.
const KEPT: usize = 10;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// How the file system is mounted, before the crash and after.
    pub options: MountOptions,
    /// What is wrong with it.
    pub plant: Option<Plant>,
}

impl Default for Subject {
    fn default() -> Subject {
        // Without threads the same number is the same workload each time.
        Subject { options: MountOptions { threads: false, ..MountOptions::default() }, plant: None }
    }
}

/// A state that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The workload.
    pub seed: u64,
    /// The state of it.
    pub state: usize,
    /// What was amiss.
    pub what: String,
}

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The first workload.
    pub seed: u64,
    /// How many workloads there were.
    pub workloads: u64,
    /// Operations in them.
    pub operations: u64,
    /// Writes and flushes that they asked of the disk.
    pub requests: u64,
    /// Crash states checked.
    pub states: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The first of these.
    pub failures: Vec<Failure>,
}

/// A workload that was run and noted.
pub struct Recording {
    /// Its number.
    pub seed: u64,
    subject: Subject,
    model: Model,
    crashes: Crashes,
    /// Of each operation, how many requests there were before it and after.
    spans: Vec<(usize, usize)>,
    totals: Totals,
}

/// Makes an empty file system on a disk with stale contents.
pub fn empty(blocks: usize) -> Result<Arc<Image>, Errno> {
    let disk = Disk::new(&Image::stale(blocks));
    mkfs(&disk, &MkfsOptions { journal_blocks: JOURNAL, inodes: INODES })?;
    Ok(disk.image())
}

/// Blocks and inodes of an image, free and used.
pub fn totals(image: &Arc<Image>, options: MountOptions) -> Result<Totals, Errno> {
    let fs = Jfs::mount(Arc::new(Disk::new(image)), options)?;
    Totals::of(&*fs, &crate::tree::Tree::walk(&*fs)?)
}

impl Recording {
    /// Runs the workload of this number; an error is that of an operation, with its number.
    pub fn new(seed: u64, subject: Subject) -> Result<Recording, (usize, Errno)> {
        let outside = |errno| (0, errno);
        let image = empty(BLOCKS).map_err(outside)?;
        let totals = totals(&image, subject.options).map_err(outside)?;
        let recorder = Arc::new(Recorder::new(&image));
        let device: Arc<dyn BlockDevice> = recorder.clone();
        let fs = Jfs::mount(device, subject.options).map_err(outside)?;
        let mut runner = Runner::new(fs.clone());
        let mut spans = Vec::new();
        for (number, op) in generate(seed).into_iter().enumerate() {
            let before = recorder.position();
            let done = match &op {
                Op::Rename { .. } if subject.plant == Some(Plant::SplitRename) => runner.split_rename(&op),
                op => runner.step(op),
            };
            done.map_err(|errno| (number, errno))?;
            spans.push((before, recorder.position()));
        }
        let mut log = recorder.take();
        if let Some(plant) = subject.plant {
            plant.distort(&mut log);
        }
        let crashes = Crashes::new(&image, log, seed);
        Ok(Recording { seed, subject, model: runner.model, crashes, spans, totals })
    }

    /// The states to try.
    pub fn states(&self) -> &[State] {
        self.crashes.states()
    }

    /// Checks one on a disk that may have been used for others.
    pub fn check(&self, state: &State, disk: &Arc<Disk>) -> Result<(), Fault> {
        self.crashes.apply(state, disk);
        let returned = self.spans.iter().take_while(|(_, after)| *after <= state.point).count();
        let is_sync = |op: &usize| matches!(self.model.ops[*op], Op::Sync | Op::Fsync { .. });
        let acknowledged: Vec<usize> = (0..returned).filter(is_sync).collect();
        let begun = self.spans.iter().take_while(|(before, _)| *before <= state.point).count();
        let expected = Expected {
            model: &self.model,
            acknowledged: &acknowledged,
            until: begun + 1,
            totals: self.totals,
            contents: self.subject.plant != Some(Plant::AsyncCommit),
        };
        check(disk, self.subject.options, &expected)
    }

    /// Checks up to `most` states, on all processors.
    fn check_all(&self, most: usize, summary: &mut Summary) {
        let states = &self.states()[..most.min(self.states().len())];
        let scratch = || Arc::new(Disk::new(&Image::stale(BLOCKS)));
        let checked = states.par_iter().enumerate().map_init(scratch, |disk, (number, state)| {
            let what = self.check(state, disk).err()?.to_string();
            Some(Failure { seed: self.seed, state: number, what })
        });
        let failures: Vec<Failure> = checked.flatten_iter().collect();
        summary.operations += self.model.ops.len() as u64;
        summary.requests += self.crashes.log().len() as u64;
        summary.states += states.len() as u64;
        summary.failed += failures.len() as u64;
        let room = KEPT.saturating_sub(summary.failures.len());
        summary.failures.extend(failures.into_iter().take(room));
    }

    /// What the workload did and asked of the disk, line by line, up to a crash.
    pub fn story(&self, state: &State) -> Vec<String> {
        let mut lines = Vec::new();
        let log = self.crashes.log();
        for (op, (before, after)) in self.model.ops.iter().zip(&self.spans) {
            if *before > state.point {
                break;
            }
            lines.push(format!("{op:?}"));
            for (at, request) in log.iter().enumerate().take(*after).skip(*before) {
                let what = match request {
                    Request::Flush => "flush".into(),
                    Request::Write { sector, data, fua } => {
                        let forced = if *fua { ", FUA" } else { "" };
                        format!("write {} sectors at {sector}{forced}", data.len() / kd_api::interfaces::block::SECTOR)
                    }
                };
                if at == state.point {
                    lines.push(format!("    {at}: {what} is in hand when power fails: {:?}", state.choice));
                    return lines;
                }
                lines.push(format!("    {at}: {what}"));
            }
        }
        lines.push(format!("    power fails: {:?}", state.choice));
        lines
    }
}

/// Checks `states` crash states of the workloads from number `seed` on; `progress` hears of each workload.
pub fn run(subject: Subject, seed: u64, states: u64, mut progress: impl FnMut(&Summary)) -> Summary {
    run_while(subject, seed, states, |summary| {
        progress(summary);
        true
    })
}

/// The same, but ends early when `go_on`, which is asked after each workload, says no.
pub fn run_while(subject: Subject, seed: u64, states: u64, mut go_on: impl FnMut(&Summary) -> bool) -> Summary {
    let mut summary = Summary { seed, ..Summary::default() };
    let mut number = seed;
    while summary.states < states {
        match Recording::new(number, subject) {
            Ok(recording) => {
                let left = usize::try_from(states - summary.states).unwrap_or(usize::MAX);
                recording.check_all(left, &mut summary);
            }
            Err((op, errno)) => {
                // Counted as one state, so that a file system that does nothing ends too.
                summary.states += 1;
                summary.failed += 1;
                let what = format!("operation {op} of the workload failed without a crash: {errno:?}");
                if summary.failures.len() < KEPT {
                    summary.failures.push(Failure { seed: number, state: 0, what });
                }
            }
        }
        summary.workloads += 1;
        number = number.wrapping_add(1);
        if !go_on(&summary) {
            break;
        }
    }
    summary
}

/// After how many states, of at most `states`, the first one failed; `Err` says how many there were if none did.
pub fn first_failure(subject: Subject, seed: u64, states: u64) -> Result<u64, u64> {
    let mut before = 0;
    let summary = run_while(subject, seed, states, |summary| {
        if summary.failed == 0 {
            before = summary.states;
        }
        summary.failed == 0
    });
    summary.failures.first().map(|failure| before + failure.state as u64 + 1).ok_or(summary.states)
}
