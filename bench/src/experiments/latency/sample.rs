//! Taking samples: boots in random order, cells in random order, one sample per cell and boot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_boot::Manifest;
use kd_boot::control::{Cell, Entry, Measured, Task};
use kd_report::stats::Random;
use kd_workloads::Workload;

use super::configuration::Configuration;
use crate::boot::{Boot, BootFailure};
use crate::experiments::{Plan, Progress, shuffle};

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What was measured.
    pub configuration: Configuration,
    /// What was done.
    pub workload: String,
    /// The share of user computation that it was given, in percent of the monolithic kernel's time.
    pub user: u32,
    /// How it entered.
    pub entry: Entry,
    /// Core budget.
    pub cores: usize,
}

/// A cell to measure, and the rounds of computation that its share comes to.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which.
    pub key: Key,
    /// Rounds of each operation.
    pub compute: u64,
}

/// What to measure.
pub struct Design<'a> {
    /// What each configuration boots from.
    pub manifest: &'a dyn Fn(Configuration) -> Manifest,
    /// For each configuration the cells of a boot.
    pub cells: Vec<(Configuration, Vec<Wanted>)>,
    /// Boots of each configuration.
    pub boots: usize,
    /// Boots that suffice when the time is over: as many as there are, but where nobody knows beforehand how slow they are.
    pub enough: usize,
    /// Time for all of it.
    pub time: Duration,
    /// Stream of random numbers, one for each experiment.
    pub stream: u64,
}

/// What the boots of one cell gave: one element per boot that gave a figure, in order of blocks.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Nanoseconds per operation of each batch; empty for a boot that failed.
    pub latency: Vec<Vec<f64>>,
    /// CPU nanoseconds per operation.
    pub cpu: Vec<Vec<f64>>,
    /// Context switches per operation.
    pub switches: Vec<Vec<f64>>,
    /// Why there is none, where there is none.
    pub reason: Option<String>,
}

/// A cell that answers nothing for this long has hung.
const SILENCE: Duration = Duration::from_secs(20);
/// What booting, binding and starting sessions takes of the budget.
const OVERHEAD: f64 = 0.25;
/// Nanoseconds that a cell gets at least.
const BUDGET_MIN: u64 = 3_000_000;

/// The samples of all cells; those that do not exist have a reason instead.
pub type Table = BTreeMap<Key, Samples>;

impl Design<'_> {
    /// Measures everything.
    pub fn take(&self, plan: &Plan, samples: &mut Table, progress: Progress<'_>) -> Result<(), BootFailure> {
        // What this machine cannot boot has reasons and no cells.
        let bootable: Vec<&(Configuration, Vec<Wanted>)> =
            self.cells.iter().filter(|(configuration, _)| configuration.unavailable().is_none()).collect();
        let per_block: usize = bootable.iter().map(|(_, cells)| cells.len()).sum();
        let begin = Instant::now();
        let mut random = Random::new(plan.seed, self.stream);
        for block in 0..self.boots {
            if block >= self.enough && begin.elapsed() >= self.time {
                break;
            }
            let mut order: Vec<usize> = (0..bootable.len()).collect();
            shuffle(&mut order, &mut random);
            let mut left_in_block = per_block;
            for (done, &number) in order.iter().enumerate() {
                let share = (block * order.len() + done) as f64 / (self.boots * order.len()) as f64;
                let (configuration, cells) = bootable[number];
                progress(share, &format!("boot {} of {}: {}", block + 1, self.boots, describe(*configuration)));
                // What is left of the time is shared among the cells that are left: slow boots do not overrun.
                let left = self.time.saturating_sub(begin.elapsed()).mul_f64(1.0 - OVERHEAD);
                let cells_left = (self.boots - 1 - block) * per_block + left_in_block;
                left_in_block -= cells.len();
                let budget = (left.as_nanos() as u64 / cells_left.max(1) as u64).max(BUDGET_MIN);
                let mut cells = cells.clone();
                shuffle(&mut cells, &mut random);
                // One core budget after the other, either first: to bind all processes of a boot takes longer than a cell.
                let first = cells.first().map_or(0, |cell| cell.key.cores);
                cells.sort_by_key(|cell| cell.key.cores != first);
                measure(&(self.manifest)(*configuration), *configuration, &cells, budget, plan, samples)?;
            }
        }
        Ok(())
    }
}

/// A configuration in words.
pub fn describe(configuration: Configuration) -> String {
    let words = [configuration.kernel.name(), configuration.placement_word(), configuration.wait_word()];
    words.into_iter().filter(|word| *word != "none").collect::<Vec<_>>().join(" ")
}

/// Adds a cell to those of a boot, or notes in the table why it does not exist.
pub fn want(cells: &mut Vec<Wanted>, wanted: Wanted, workload: &dyn Workload, plan: &Plan, table: &mut Table) {
    let Key { configuration, entry, cores, .. } = wanted.key;
    match configuration.excludes(workload, entry, cores, plan) {
        None => cells.push(wanted),
        Some(reason) => {
            table.insert(wanted.key, Samples { reason: Some(reason), ..Samples::default() });
        }
    }
}

fn measure(
    manifest: &Manifest,
    configuration: Configuration,
    wanted: &[Wanted],
    budget: u64,
    plan: &Plan,
    samples: &mut Table,
) -> Result<(), BootFailure> {
    let cell = |Wanted { key, compute }: &Wanted| Cell {
        workload: key.workload.clone(),
        entry: key.entry,
        cores: plan.cores[..key.cores].to_vec(),
        compute: *compute,
        budget,
    };
    let boot = Boot::new(manifest)?;
    let task = Task::Measure(wanted.iter().map(cell).collect());
    let mut app = boot.start(1, configuration.apps_apart(), task)?;
    let mut why = None;
    for Wanted { key, .. } in wanted {
        let measured = match &why {
            Some(_) => None,
            None => match app.line_within::<Measured>(SILENCE) {
                Ok(measured) => {
                    why = measured.is_none().then(|| ended_early(&boot));
                    measured
                }
                Err(error) => {
                    why = Some(error.to_string());
                    None
                }
            },
        };
        samples.entry(key.clone()).or_default().note(measured, why.as_deref());
    }
    Ok(())
}

/// Why an app gave no more results, as far as the kernel log tells.
fn ended_early(boot: &Boot) -> String {
    let log = boot.log().unwrap_or_default();
    let said = log.into_iter().rev().find(|(_, line)| line.starts_with("app "));
    said.map_or("the app ended early".into(), |(_, line)| format!("the app ended early: {line}"))
}

impl Samples {
    fn note(&mut self, measured: Option<Measured>, why: Option<&str>) {
        let failed = measured.as_ref().and_then(|measured| measured.failed.clone()).or(why.map(str::to_string));
        match measured {
            Some(measured) if failed.is_none() => {
                self.latency.push(measured.batches);
                self.cpu.push(vec![measured.cpu]);
                self.switches.push(vec![measured.switches]);
            }
            _ => {
                // An empty boot keeps the blocks of a ratio in step.
                self.latency.push(Vec::new());
                self.cpu.push(Vec::new());
                self.switches.push(Vec::new());
                self.reason = failed;
            }
        }
    }
}
