//! Working together: several apps run the same loop at once, from a common beginning to a common end.
//!
//! The harness says when on their boards; each app counts what it did and how long it was at it. What one of them begins
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

/// Takes part in a turn for each workload: works from when the board's stop is `2 * turn + 1` until it is one more, and
/// says by the same numbers on the board that it is ready, and that it is done.
pub fn run(env: &Env, workloads: &[String], entry: Entry, board: &Board, mut results: File) {
    for (turn, workload) in (0..).zip(workloads) {
        let begin = 2 * turn + 1;
        let part = start(env, workload, entry).and_then(|session| work(session, begin, board));
        // Who failed keeps to the turns as well, or the others would wait for it.
        if part.is_err() {
            board.set(Field::Running, begin);
            wait(board, begin + 1);
            board.set(Field::Running, begin + 1);
        }
        emit(
            &mut results,
            &part.unwrap_or_else(|why| Part { failed: Some(format!("{workload}: {why}")), ..Part::default() }),
        );
    }
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
    board.set(Field::Running, begin + 1);
    session.check().map_err(|wrong| wrong.to_string())?;
    Ok(Part { operations, nanos, failed: None })
}
