//! Probing what still works: each workload once, each answer as it comes. A probe that hangs is the harness's to end.

use std::fs::File;

use kd_boot::control::Entry;
use kd_workloads::Env;
use serde::{Deserialize, Serialize};

use super::{emit, start};

/// How one probe ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Probed {
    /// The workload.
    pub workload: String,
    /// What was wrong, if anything was.
    pub wrong: Option<String>,
}

/// Probes.
pub fn run(env: &Env, workloads: &[String], mut results: File) {
    for workload in workloads {
        let probed = start(env, workload, Entry::Call).and_then(|mut session| {
            let checked = session.check().map_err(|wrong| wrong.to_string());
            // Ending a session takes calls too, which may hang just as well; what counts has been seen.
            std::mem::forget(session);
            checked
        });
        emit(&mut results, &Probed { workload: workload.clone(), wrong: probed.err() });
    }
}
