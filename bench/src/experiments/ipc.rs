//! The same exchange by other means: our crossings beside those that others have built, in one run.
//!
//! What is compared and what becomes of the samples is here; how each means goes about it is in the bench `ipc`, the
//! only place that knows the peers' crates. Like `primitives`, it takes fresh processes for every round and a random
//! order within one; ratios pair rounds.

use kd_report::schema::{Entry, Experiment, Kernel, Record};
use kd_report::stats::{self, Random};

use super::records::Subject;
use super::{no_keys, shuffle};
use crate::handover;

/// What the bench is called.
pub const BENCH: &str = "ipc";
/// Resamples of the bootstrap.
const RESAMPLES: usize = 2_000;
/// What every ratio is to, with the same way to wait where there is one.
const REFERENCE: &str = "process";

/// A word asked, so many bytes answered, through a chain of so many servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its name in the results.
    pub workload: &'static str,
    /// Servers, one behind the other.
    pub servers: u32,
    /// Bytes of an answer.
    pub bytes: usize,
}

/// All of them; a quick run makes the first alone.
pub const EXCHANGES: [Exchange; 3] = [
    Exchange { workload: "ipc_64", servers: 1, bytes: 64 },
    Exchange { workload: "ipc_4k", servers: 1, bytes: 4096 },
    Exchange { workload: "ipc_chain3", servers: 3, bytes: 64 },
];

/// One way from an actor to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Its name: the placement of its records.
    pub name: &'static str,
    /// Whose it is.
    pub kernel: Kernel,
    /// How an actor waits for another one; `none` where that is the means' own affair.
    pub wait: &'static str,
    /// The core budgets for which it exists.
    pub cores: &'static [usize],
}

const fn means(name: &'static str, kernel: Kernel, wait: &'static str, cores: &'static [usize]) -> Means {
    Means { name, kernel, wait, cores }
}

/// All of them. A new one is a row here and a file of the bench.
pub const MEANS: [Means; 15] = [
    means("direct", Kernel::Monolithic, "none", &[1]),
    means("thread", Kernel::Microkernel, "none", &[1, 2]),
    means(REFERENCE, Kernel::Microkernel, "spin", &[2]),
    means(REFERENCE, Kernel::Microkernel, "yield", &[1, 2]),
    means(REFERENCE, Kernel::Microkernel, "block", &[1, 2]),
    means(REFERENCE, Kernel::Microkernel, "adaptive", &[1, 2]),
    means("pkey", Kernel::Microkernel, "none", &[1]),
    means("two-lines", Kernel::Limit, "spin", &[2]),
    means("futex", Kernel::Limit, "block", &[1, 2]),
    means("pipe", Kernel::Linux, "block", &[1, 2]),
    means("unix-socket", Kernel::Linux, "block", &[1, 2]),
    means("crossbeam-channel", Kernel::Linux, "none", &[1, 2]),
    means("ipc-channel", Kernel::Linux, "block", &[1, 2]),
    means("iceoryx2", Kernel::Linux, "spin", &[2]),
    means("iceoryx2", Kernel::Linux, "yield", &[1]),
];

/// One exchange by one means on so many cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What goes to and fro.
    pub exchange: Exchange,
    /// By which means.
    pub means: Means,
    /// On how many cores.
    pub cores: usize,
}

/// What one rig gave, in nanoseconds for one exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The time of each batch.
    pub latency: Vec<f64>,
    /// CPU time of all its processes, over all batches: the host counts another process's time by the tick, which is
    /// longer than a batch.
    pub cpu_time: f64,
}

impl Cell {
    /// Why it cannot be measured where so many cores are there; nothing if it can.
    pub fn missing(&self, cores: usize) -> Option<String> {
        let actors = self.exchange.servers as usize + 1;
        if self.means.name == "pkey"
            && let Some(why) = no_keys()
        {
            return Some(why);
        }
        if self.cores > cores {
            return Some("needs two cores, and this run has one".into());
        }
        (self.means.wait == "spin" && actors > self.cores).then(|| format!("{actors} actors on {} cores", self.cores))
    }

    fn subject(&self) -> Subject {
        Subject {
            experiment: Experiment::Primitives,
            kernel: self.means.kernel,
            placement: self.means.name,
            wait: self.means.wait,
            entry: Entry::None,
            cores: self.cores as u32,
            workload: self.exchange.workload.into(),
        }
    }

    /// The cell of our process transport that it is compared with: polling with polling, sleeping with sleeping, and
    /// what is not ours to choose with the default.
    fn reference(&self) -> Option<Cell> {
        let wait = if self.means.wait == "none" { "adaptive" } else { self.means.wait };
        let means = MEANS.into_iter().find(|means| means.name == REFERENCE && means.wait == wait)?;
        Some(Cell { means, ..*self }).filter(|_| self.means.name != REFERENCE)
    }
}

/// All cells of a run.
pub fn cells(quick: bool) -> Vec<Cell> {
    let exchanges = &EXCHANGES[..if quick { 1 } else { EXCHANGES.len() }];
    let by = |exchange: &Exchange, means: Means| {
        let exchange = *exchange;
        means.cores.iter().map(move |&cores| Cell { exchange, means, cores })
    };
    exchanges.iter().flat_map(|exchange| MEANS.into_iter().flat_map(move |means| by(exchange, means))).collect()
}

/// Measures every cell that can be had with `cores`, in so many rounds, or fewer on a machine that is too busy: `go_on`
/// is asked before each. `sample` measures one cell with fresh processes.
///
/// # Errors
/// The first one of `sample`.
pub fn measure<E>(
    cells: &[Cell],
    (cores, rounds, seed): (usize, usize, u64),
    go_on: impl Fn(usize) -> bool,
    mut sample: impl FnMut(&Cell) -> Result<Sample, E>,
) -> Result<Vec<Record>, E> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); cells.len()];
    let mut random = Random::new(seed, 0);
    for _ in (0..rounds).take_while(|round| go_on(*round)) {
        let mut order: Vec<usize> = (0..cells.len()).filter(|&at| cells[at].missing(cores).is_none()).collect();
        shuffle(&mut order, &mut random);
        for at in order {
            samples[at].push(sample(&cells[at])?);
        }
    }
    Ok(analyse(cells, cores, &samples, seed))
}

fn analyse(cells: &[Cell], cores: usize, samples: &[Vec<Sample>], seed: u64) -> Vec<Record> {
    let latency = |at: usize| samples[at].iter().map(|sample| sample.latency.clone()).collect::<Vec<_>>();
    let mut records = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        if let Some(reason) = cell.missing(cores) {
            records.extend(unavailable(cell, &reason));
            continue;
        }
        let (subject, rounds) = (cell.subject(), samples[at].len());
        let cpu_time: Vec<_> = samples[at].iter().map(|sample| vec![sample.cpu_time]).collect();
        for (metric, figures) in [("latency", latency(at)), ("cpu_time", cpu_time)] {
            let estimate = stats::estimate(&figures, stats::median, RESAMPLES, seed);
            records.push(subject.estimate(metric, "median", "ns", estimate, rounds));
        }
        if let Some(reference) = cell.reference().and_then(|of| cells.iter().position(|cell| *cell == of)) {
            let ratio = stats::ratio(&latency(at), &latency(reference), stats::median, RESAMPLES, seed);
            records.push(subject.estimate("latency_ratio", "median", "ratio", ratio, rounds));
        }
    }
    records
}

fn unavailable(cell: &Cell, reason: &str) -> [Record; 2] {
    ["latency", "cpu_time"].map(|metric| cell.subject().unavailable(metric, "median", "ns", reason))
}

/// What the bench of this `cargo bench` has measured; unavailable if it did not run.
pub fn records(quick: bool) -> Vec<Record> {
    let reason = "the bench `ipc` did not measure it in this run";
    handover::take(BENCH).unwrap_or_else(|| cells(quick).iter().flat_map(|cell| unavailable(cell, reason)).collect())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use kd_report::schema::Status;

    use super::*;

    /// As measured by a machine on which the means alone decides: the n-th row takes n hundred nanoseconds.
    fn run(cores: usize) -> (Vec<Record>, usize) {
        let mut calls = 0;
        let found = measure(
            &cells(false),
            (cores, 9, 1),
            |round| round < 4,
            |cell| {
                calls += 1;
                let row = MEANS.iter().position(|means| *means == cell.means).expect("it is a row");
                Ok::<_, Infallible>(Sample { latency: vec![100.0 * (row + 1) as f64; 3], cpu_time: 7.0 })
            },
        );
        (found.unwrap_or_else(|never| match never {}), calls)
    }

    fn ratio(records: &[Record], placement: &str, cores: u32) -> Option<f64> {
        let here = |r: &&Record| {
            (r.workload.as_str(), r.placement.as_str(), r.cores) == ("ipc_4k", placement, cores)
                && r.metric == "latency_ratio"
        };
        records.iter().find(here).and_then(|record| record.value)
    }

    #[test]
    fn ratios_are_to_our_process_that_waits_alike() {
        let (records, _) = run(2);
        assert_eq!(ratio(&records, "iceoryx2", 2), Some(14.0 / 3.0), "spin with spin");
        assert_eq!(ratio(&records, "iceoryx2", 1), Some(15.0 / 4.0), "yield with yield");
        assert_eq!(ratio(&records, "pipe", 1), Some(10.0 / 5.0), "block with block");
        assert_eq!(ratio(&records, "thread", 2), Some(2.0 / 6.0), "its own way with the default");
        assert_eq!(ratio(&records, REFERENCE, 1), None, "and nothing with itself");
    }

    #[test]
    fn what_cannot_be_had_is_said_and_not_measured() {
        let (two, calls) = run(2);
        let missing = |records: &[Record]| {
            let missing =
                records.iter().filter(|record| record.status == Status::Unavailable && record.metric == "latency");
            missing.map(|record| (record.placement.clone(), record.workload.clone(), record.cores)).collect::<Vec<_>>()
        };
        // Where there are no protection keys, those three times; and three rows that would poll with four actors on two
        // cores.
        let keys = if no_keys().is_some() { 3 } else { 0 };
        assert_eq!(missing(&two).len(), keys + 3);
        assert_eq!(calls, 4 * (cells(false).len() - keys - 3));
        let (one, _) = run(1);
        assert_eq!(missing(&one).iter().filter(|(.., cores)| *cores == 1).count(), keys);
        assert!(one.iter().all(|record| record.cores == 1 || record.value.is_none()));
    }

    #[test]
    fn no_two_cells_are_one() {
        let cells = cells(false);
        assert!(cells.iter().enumerate().all(|(at, cell)| cells[..at].iter().all(|other| other != cell)));
        assert!(cells.iter().filter(|cell| cell.means.name != REFERENCE).all(|cell| cell.reference().is_some()));
    }
}
