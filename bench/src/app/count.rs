//! Counting: a fixed number of operations between two readings of what the kernel counts.

use std::fs::File;

use kd_boot::control::Entry;
use kd_nucleus::arena;
use kd_workloads::Env;
use serde::{Deserialize, Serialize};

use super::{emit, start};

/// Operations between two readings.
pub const OPERATIONS: u64 = 64;

/// One reading: the app stands still until the harness has read the kernel's counts and set its board's stop to `step`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// The workload.
    pub workload: String,
    /// Whether the counted operations are done, or about to begin.
    pub done: bool,
    /// Allocations from this process's arena during the counted operations, by whichever of its threads.
    pub allocations: u64,
    /// Why the workload did not run, if it did not.
    pub failed: Option<String>,
}

/// Counts each workload; between two lines of results exactly [`OPERATIONS`] operations happen.
pub fn run(env: &Env, workloads: &[String], mut results: File, wait: impl Fn(u64)) {
    let mut step = 0;
    for workload in workloads {
        let mut read = |done: bool, allocations: u64, failed: Option<String>, step: &mut u64| {
            emit(&mut results, &Counted { workload: workload.clone(), done, allocations, failed });
            *step += 1;
            wait(*step);
        };
        let mut session = match start(env, workload, Entry::Call) {
            Ok(session) => session,
            Err(error) => {
                read(true, 0, Some(error), &mut step);
                continue;
            }
        };
        // Warm: whatever is allocated once has been.
        let prepared = |session: &mut dyn kd_workloads::Session| session.prepare(OPERATIONS);
        let warm = prepared(&mut *session).and_then(|()| session.run(OPERATIONS)).and(prepared(&mut *session));
        read(false, 0, None, &mut step);
        let before = arena::allocations();
        let counted = session.run(OPERATIONS);
        let allocations = arena::allocations() - before;
        let failed = warm.and(counted).err().map(|errno| errno.to_string());
        read(true, allocations, failed, &mut step);
    }
}
