//! Working together: several apps run the same loop at once, from a common beginning to a common end.
//!
//! The harness says when, on their boards; each app counts what it did and how long it was at it. What one of them begins
//! before the end it also finishes, so an app's time is its own.

use std::fs::File;
use std::time::{Duration, Instant};

use kd_boot::board::{Board, Field};
use kd_boot::control::Entry;
use kd_workloads::{Env, Session};
use serde::{Deserialize, Serialize};

use super::{emit, start};

/// Between two looks at the board, operations are run for about so long.
const BATCH: Duration = Duration::from_micros(200);
/// How often an app that waits looks at its board.
const LOOK: Duration = Duration::from_micros(100);

/// What one app did in one turn.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// Operations.
    pub operations: u64,
    /// Nanoseconds that it was at it.
    pub nanos: u64,
    /// Why it did nothing, or nothing that counts.
    pub failed: Option<String>,
}

/// Steps of a turn, counted on from the last turn's: an app says by them on its board that it is ready and that it is done
/// ([`Field::Running`]), and is told to begin, to end and to go on ([`Field::Stop`]).
pub const STEPS: u64 = 3;

/// Takes part in a turn for each workload.
pub fn run(env: &Env, workloads: &[String], entry: Entry, board: &Board, mut results: File) {
    for (turn, workload) in (0..).zip(workloads) {
        let begin = STEPS * turn + 1;
        let part = start(env, workload, entry).and_then(|session| work(session, begin, board));
        // Who failed keeps to the steps as well, or the others would wait for it.
        if part.is_err() {
            board.set(Field::Running, begin);
            wait(board, begin + 1);
            done(board, begin);
        }
        let failed = |why| Part { failed: Some(format!("{workload}: {why}")), ..Part::default() };
        emit(&mut results, &part.unwrap_or_else(failed));
    }
}

/// Says that this app is done, and stays as it is until the CPU time of all has been read.
fn done(board: &Board, begin: u64) {
    board.set(Field::Running, begin + 1);
    wait(board, begin + 2);
}

/// Waits until the board's stop is as far.
fn wait(board: &Board, stop: u64) {
    while board.get(Field::Stop) < stop {
        std::thread::sleep(LOOK);
    }
}

fn work(mut session: Box<dyn Session>, begin: u64, board: &Board) -> Result<Part, String> {
    if session.batch().is_some() {
        return Err("n/a: what has to be prepared for each batch cannot go on for long".into());
    }
    session.check().map_err(|wrong| wrong.to_string())?;
    let mut run = |operations| session.run(operations).map_err(|errno| errno.to_string());
    let mut batch = 1u64;
    // Warm-up, and how many operations a batch has.
    loop {
        let one = Instant::now();
        run(batch)?;
        if one.elapsed() >= BATCH {
            break;
        }
        batch *= 2;
    }
    board.set(Field::Running, begin);
    wait(board, begin);
    let (mut operations, at) = (0, Instant::now());
    // At least one batch: on a busy host an app may see the beginning only when the end has come.
    loop {
        run(batch)?;
        operations += batch;
        if board.get(Field::Stop) > begin {
            break;
        }
    }
    let nanos = at.elapsed().as_nanos() as u64;
    done(board, begin);
    session.check().map_err(|wrong| wrong.to_string())?;
    Ok(Part { operations, nanos, failed: None })
}
