//! Measuring cells: batches of operations, timed as wholes, with the CPU time of the whole boot beside them.

use std::fs::File;
use std::time::{Duration, Instant};

use kd_boot::app::{bind_family, family};
use kd_boot::control::{Cell, Measured};
use kd_nucleus::process;
use kd_workloads::{Env, Session};

use super::{emit, start};

/// A batch lasts at least this long, ten thousand times what reading the clock costs.
const BATCH: Duration = Duration::from_micros(400);
/// Batches of a cell at most: more say nothing new about one boot.
const BATCHES_MAX: usize = 64;
/// Batches of a cell at least, whatever its budget.
const BATCHES_MIN: usize = 5;

/// Measures the cells one after the other.
pub fn run(env: &Env, cells: &[Cell], mut results: File, root: i32) {
    let mut bound: &[usize] = &[];
    for cell in cells {
        if bound != cell.cores {
            bind_family(root, &cell.cores);
            bound = &cell.cores;
        }
        emit(&mut results, &measure(env, cell, root));
    }
}

fn measure(env: &Env, cell: &Cell, root: i32) -> Measured {
    let mut measured = Measured {
        workload: cell.workload.clone(),
        entry: cell.entry,
        cores: cell.cores.len(),
        batches: Vec::with_capacity(BATCHES_MAX),
        operations: 0,
        cpu: 0.0,
        switches: 0.0,
        failed: None,
    };
    let env = &Env { compute: cell.compute, ..env.clone() };
    let done = start(env, &cell.workload, cell.entry).and_then(|session| batches(session, cell, root, &mut measured));
    measured.failed = done.err();
    measured
}

fn batches(mut session: Box<dyn Session>, cell: &Cell, root: i32, measured: &mut Measured) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", cell.workload);
    session.check().map_err(|wrong| failed(&wrong))?;
    let begin = Instant::now();
    let budget = Duration::from_nanos(cell.budget);
    // Warm-up: double the batch until it is long enough, for a quarter of the budget at most.
    let (most, together) = (session.batch(), session.together());
    let mut operations = together;
    loop {
        session.prepare(operations).map_err(|errno| failed(&errno))?;
        let batch = Instant::now();
        session.run(operations).map_err(|errno| failed(&errno))?;
        let took = batch.elapsed();
        if took >= BATCH || begin.elapsed() > budget / 4 || most == Some(operations) {
            break;
        }
        let wanted = BATCH.as_nanos() as u64 * operations / (took.as_nanos() as u64).max(1);
        operations = wanted.clamp(operations + 1, operations * 8).min(most.unwrap_or(u64::MAX));
        operations = operations.next_multiple_of(together);
    }
    // The partner, if any, has been forked by now: the family is complete.
    let mut meter = Meter::new(root);
    meter.go_on();
    while measured.batches.len() < BATCHES_MAX && (begin.elapsed() < budget || measured.batches.len() < BATCHES_MIN) {
        if most.is_some() {
            meter.pause();
            session.prepare(operations).map_err(|errno| failed(&errno))?;
            meter.go_on();
        }
        let batch = Instant::now();
        session.run(operations).map_err(|errno| failed(&errno))?;
        measured.batches.push(batch.elapsed().as_nanos() as f64 / operations as f64);
        measured.operations += operations;
    }
    meter.pause();
    measured.cpu = meter.cpu.as_nanos() as f64 / measured.operations as f64;
    measured.switches = meter.switches as f64 / measured.operations as f64;
    session.check().map_err(|wrong| failed(&wrong))
}

/// CPU time and context switches of all processes of the boot, while the meter runs.
struct Meter {
    family: Vec<i32>,
    cpu: Duration,
    switches: u64,
    since: (Duration, u64),
}

impl Meter {
    fn new(root: i32) -> Meter {
        let (mut family, own) = (family(root), std::process::id() as i32);
        // On the host's kernel an app sees no other process, and does all the work itself.
        if !family.contains(&own) {
            family.push(own);
        }
        Meter { family, cpu: Duration::ZERO, switches: 0, since: (Duration::ZERO, 0) }
    }

    fn cpu(&self) -> Duration {
        self.family.iter().map(|&pid| process::cpu_time(pid)).sum()
    }

    fn switches(&self) -> u64 {
        self.family.iter().map(|&pid| process::context_switches(pid)).sum()
    }

    /// Reads the CPU time last, and [`Meter::pause`] first, so that reading the rest, which takes longer, is not in it.
    fn go_on(&mut self) {
        let switches = self.switches();
        self.since = (self.cpu(), switches);
    }

    fn pause(&mut self) {
        self.cpu += self.cpu().saturating_sub(self.since.0);
        self.switches += self.switches().saturating_sub(self.since.1);
    }
}
