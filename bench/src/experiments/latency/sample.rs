//! Taking samples: boots in random order, cells in random order, one sample per cell and boot.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_boot::control::{Cell, Entry, Measured, Task};
use kd_report::stats::Random;

use super::configuration::Configuration;
use crate::boot::{Boot, BootFailure};
use crate::budget;
use crate::experiments::{Plan, Progress, shuffle};

/// One cell of the table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What was measured.
    pub configuration: Configuration,
    /// What was done.
    pub workload: String,
    /// How it entered.
    pub entry: Entry,
    /// Core budget.
    pub cores: usize,
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

/// Measures everything.
pub fn take(plan: &Plan, progress: Progress<'_>) -> Result<BTreeMap<Key, Samples>, BootFailure> {
    let mut samples = BTreeMap::new();
    let configurations = Configuration::all();
    let cells: Vec<Vec<Cell>> = configurations.iter().map(|&c| cells(c, plan, &mut samples)).collect();
    let boots = budget::boots(plan.quick);
    let per_block: usize = cells.iter().map(Vec::len).sum();
    let seconds = budget::seconds("latency", plan.quick);
    let begin = Instant::now();
    let mut random = Random::new(plan.seed, 1);
    for block in 0..boots {
        let mut order: Vec<usize> = (0..configurations.len()).collect();
        shuffle(&mut order, &mut random);
        let mut left_in_block = per_block;
        for (done, &number) in order.iter().enumerate() {
            let share = (block * order.len() + done) as f64 / (boots * order.len()) as f64;
            let configuration = configurations[number];
            progress(share, &format!("boot {} of {boots}: {}", block + 1, describe(configuration)));
            // What is left of the time is shared among the cells that are left: slow boots do not overrun.
            let left = Duration::from_secs(seconds).saturating_sub(begin.elapsed()).mul_f64(1.0 - OVERHEAD);
            let cells_left = (boots - 1 - block) * per_block + left_in_block;
            let mut cells = cells[number].clone();
            left_in_block -= cells.len();
            let budget = (left.as_nanos() as u64 / cells_left.max(1) as u64).max(4_000_000);
            cells.iter_mut().for_each(|cell| cell.budget = budget);
            shuffle(&mut cells, &mut random);
            measure(configuration, cells, &mut samples)?;
        }
    }
    Ok(samples)
}

/// A configuration in words.
pub fn describe(configuration: Configuration) -> String {
    let words = [configuration.kernel.name(), configuration.placement_word(), configuration.wait_word()];
    words.into_iter().filter(|word| *word != "none").collect::<Vec<_>>().join(" ")
}

/// The cells of a configuration; those that do not exist are noted with their reason.
fn cells(configuration: Configuration, plan: &Plan, samples: &mut BTreeMap<Key, Samples>) -> Vec<Cell> {
    let mut cells = Vec::new();
    for workload in kd_workloads::workloads() {
        for (entry, cores) in [(Entry::Call, 1), (Entry::Call, 2), (Entry::Trap, 1), (Entry::Trap, 2)] {
            match configuration.excludes(&*workload, entry, cores, plan) {
                None => cells.push(Cell {
                    workload: workload.name().into(),
                    entry,
                    cores: plan.cores[..cores].to_vec(),
                    budget: 0,
                }),
                Some(reason) => {
                    let key = Key { configuration, workload: workload.name().into(), entry, cores };
                    samples.insert(key, Samples { reason: Some(reason), ..Samples::default() });
                }
            }
        }
    }
    cells
}

fn measure(
    configuration: Configuration,
    cells: Vec<Cell>,
    samples: &mut BTreeMap<Key, Samples>,
) -> Result<(), BootFailure> {
    let boot = Boot::new(&configuration.manifest())?;
    let mut expected = cells.clone().into_iter();
    let mut app = boot.start(1, configuration.apps_apart(), Task::Measure(cells))?;
    let mut why = None;
    while let Some(cell) = expected.next() {
        let measured = match app.line_within::<Measured>(SILENCE) {
            Ok(Some(measured)) => Some(measured),
            Ok(None) => {
                why = Some("the app ended early".to_string());
                None
            }
            Err(error) => {
                why = Some(error.to_string());
                None
            }
        };
        note(configuration, &cell, measured, why.as_deref(), samples);
        if why.is_some() {
            expected.by_ref().for_each(|cell| note(configuration, &cell, None, why.as_deref(), samples));
        }
    }
    Ok(())
}

fn note(
    configuration: Configuration,
    cell: &Cell,
    measured: Option<Measured>,
    why: Option<&str>,
    samples: &mut BTreeMap<Key, Samples>,
) {
    let key = Key { configuration, workload: cell.workload.clone(), entry: cell.entry, cores: cell.cores.len() };
    let samples = samples.entry(key).or_default();
    let failed = measured.as_ref().and_then(|measured| measured.failed.clone()).or(why.map(str::to_string));
    match measured {
        Some(measured) if failed.is_none() => {
            samples.latency.push(measured.batches);
            samples.cpu.push(vec![measured.cpu]);
            samples.switches.push(vec![measured.switches]);
        }
        _ => {
            // An empty boot keeps the blocks of a ratio in step.
            samples.latency.push(Vec::new());
            samples.cpu.push(Vec::new());
            samples.switches.push(Vec::new());
            samples.reason = failed;
        }
    }
}
