//! The bench `ipc`: a word asked and bytes answered, by our crossings and by those that others have built.
//!
//! This program is two things. Run by cargo it is the harness, which starts a *rig* for each cell of each round, in
//! random order, and hands the figures over to the suite. Run by itself, with an order on its command line, it is that
//! rig (`rig.rs`): the client of the exchange, which starts the servers and goes as many rounds as it is asked for.
//! `cargo test` lets every rig go a few rounds, looks at every answer, and at what is left behind.

mod peers;
mod rig;
mod test;

use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use kernel_debate::cmd::bench::Arguments;
use kernel_debate::cmd::target::{Asked, asked};
use kernel_debate::experiments::ipc::{self, BENCH, Cell, Sample};
use kernel_debate::{budget, handover, meta};

use rig::Rig;

/// A batch lasts about this long, ...
const BATCH: Duration = Duration::from_millis(2);
/// ... and each rig gives so many at least.
const BATCHES_MIN: usize = 3;
/// Rounds at least, however long they take.
const ROUNDS_MIN: usize = 3;
/// What goes round before anything counts: pages are touched, connections made.
const TRIAL: u64 = 8;
/// Time before the first batch that counts.
const WARM_UP: Duration = Duration::from_millis(3);

fn main() -> ExitCode {
    if let Some(order) = rig::ordered() {
        return rig::serve(&order);
    }
    let about =
        "Measures one exchange by our crossings and by those of others; the suite's report takes the figures in";
    let done = match asked(BENCH, about, std::env::args_os()).unwrap_or_else(|error| error.exit()) {
        Asked::Nothing => return ExitCode::SUCCESS,
        Asked::Name => {
            println!("{BENCH}: benchmark");
            return ExitCode::SUCCESS;
        }
        Asked::Test => test::run(),
        Asked::Measure(arguments) => measure(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> io::Result<()> {
    let cores = meta::cores();
    let seed = arguments.seed.unwrap_or_else(meta::fresh_seed);
    let cells = ipc::cells(arguments.quick);
    let rounds = budget::boots(arguments.quick);
    let there = cells.iter().filter(|cell| cell.missing(cores.len()).is_none()).count();
    let time = Duration::from_secs(budget::seconds(BENCH, arguments.quick));
    let (begin, mut started) = (Instant::now(), 0);
    println!("{BENCH}: {there} exchanges, {rounds} rounds");
    let go_on = |round| round < ROUNDS_MIN || begin.elapsed() < time;
    let records = ipc::measure(&cells, (cores.len(), rounds, seed), go_on, |cell| {
        // What is left, shared among those that are still to come: a slow start is made up for by the others.
        let left = time.saturating_sub(begin.elapsed()) / (rounds * there - started) as u32;
        started += 1;
        sample(cell, &cores[..cell.cores], left).map_err(|error| named(cell, &error))
    })?;
    println!("{BENCH}: {} figures in {:.1} s", records.len(), begin.elapsed().as_secs_f64());
    handover::publish(BENCH, &records)
}

fn named(cell: &Cell, error: &io::Error) -> io::Error {
    let Cell { exchange, means, cores } = cell;
    io::Error::other(format!("{} by {} ({}) on {cores} cores: {error}", exchange.workload, means.name, means.wait))
}

/// What one rig gives, in about so much time with its start.
fn sample(cell: &Cell, cores: &[usize], time: Duration) -> io::Result<Sample> {
    let begin = Instant::now();
    let mut rig = Rig::new(cell, cores)?;
    let warm = Instant::now();
    let mut trial = rig.run(TRIAL)?;
    while warm.elapsed() < WARM_UP {
        trial = rig.run(TRIAL)?;
    }
    let each = BATCH.as_nanos() * u128::from(TRIAL) / trial.time.as_nanos().max(1);
    let rounds = (each as u64).max(TRIAL);
    let (mut latency, mut cpu_time) = (Vec::new(), Duration::ZERO);
    while latency.len() < BATCHES_MIN || begin.elapsed() < time {
        let batch = rig.run(rounds)?;
        latency.push(batch.time.as_nanos() as f64 / rounds as f64);
        cpu_time += batch.cpu_time;
    }
    let cpu_time = cpu_time.as_nanos() as f64 / (rounds * latency.len() as u64) as f64;
    Ok(Sample { latency, cpu_time })
}
