//! One request after the other on a device with a ring: when its interrupt came, when the driver answered, when the app had
//! its answer.
//!
//! The device notes the first moment and a wrapper around the driver the second (`kd_boot::stamps`); the app reads the
//! clock as soon as its call returns. A driver that finds its completion before the interrupt is raised, because it looks
//! just then, has waited for none: such a request is counted and gives no time.

use std::fs::File;

use kd_boot::app::bind_family;
use kd_boot::control::Entry;
use kd_boot::stamps::{Moment, last};
use kd_machine::clock;
use kd_workloads::{Env, Session};
use serde::{Deserialize, Serialize};

use super::{emit, start};

/// Operations before the counted ones.
const WARM: u64 = 50;

/// What came of one budget of cores, in nanoseconds for each request that an interrupt ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Interrupts {
    /// Cores that there were.
    pub cores: usize,
    /// From before the interrupt was raised until the driver returned from its call.
    pub to_driver: Vec<f64>,
    /// From there until the app had its answer.
    pub to_app: Vec<f64>,
    /// Requests whose driver had waited for no interrupt.
    pub unneeded: u64,
    /// Why there is no figure, if there is none.
    pub failed: Option<String>,
}

/// Writes a line for each budget.
pub fn run(env: &Env, workload: &str, budgets: &[Vec<usize>], operations: u64, mut results: File, root: i32) {
    for cores in budgets {
        bind_family(root, cores);
        let mut found = Interrupts { cores: cores.len(), ..Interrupts::default() };
        let done = start(env, workload, Entry::Call).and_then(|session| measure(session, operations, &mut found));
        found.failed = done.err();
        emit(&mut results, &found);
    }
}

fn measure(mut session: Box<dyn Session>, operations: u64, found: &mut Interrupts) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| error.to_string();
    session.check().map_err(|wrong| failed(&wrong))?;
    session.run(WARM).map_err(|errno| failed(&errno))?;
    for _ in 0..operations {
        let begun = clock::now();
        session.run(1).map_err(|errno| failed(&errno))?;
        let ended = clock::now();
        let (raised, answered) = (last(Moment::Raised), last(Moment::Answered));
        if raised < begun || answered < raised {
            found.unneeded += 1;
            continue;
        }
        found.to_driver.push((answered - raised) as f64);
        found.to_app.push(ended.saturating_sub(answered) as f64);
    }
    session.check().map_err(|wrong| failed(&wrong))
}
