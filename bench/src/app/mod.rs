//! What apps do, inside the boot: the same on every kernel.

mod answers;
mod canary;
pub mod count;
pub mod interrupts;
mod measure;
pub mod probe;
mod rounds;
mod script;
pub mod steps;
mod text;
pub mod together;
mod trap;

use std::fs::File;
use std::io::Write;

use kd_api::Errno;
use kd_boot::app::App;
use kd_boot::control::{Entry, Task};
use kd_workloads::{Env, Session};

/// An app, from start to end.
pub fn main(app: App) {
    let App { env, run, board, results, root } = app;
    match run.task {
        Task::Measure(cells) => measure::run(&env, &cells, results, root),
        Task::Rounds { workload, rate, entry } => rounds::run(&env, &workload, rate, entry, &board),
        Task::Canary(seed) => canary::run(&env, seed, &board),
        Task::Loop { workload, milliseconds } => rounds::repeat(&env, &workload, milliseconds, &board),
        Task::Together { workloads, entry } => together::run(&env, &workloads, entry, &board, results),
        Task::Probe(workloads) => probe::run(&env, &workloads, results),
        Task::Steps { load, probes } => steps::run(&env, &load, &probes, &board),
        Task::Text(paths) => text::run(&env, &paths, results),
        Task::Script { under, calls } => script::run(&env, &under, &calls, &board, results),
        Task::Interrupts { workload, budgets, operations } => {
            interrupts::run(&env, &workload, &budgets, operations, results, root);
        }
        Task::Count(workloads) => count::run(&env, &workloads, results, |step| {
            while board.get(kd_boot::board::Field::Stop) < step {
                std::thread::sleep(std::time::Duration::from_micros(100));
            }
        }),
    }
}

/// A workload started with an entry; the error is for people.
fn start(env: &Env, workload: &str, entry: Entry) -> Result<Box<dyn Session>, String> {
    let found = kd_workloads::find(workload).map_err(|error| error.to_string())?;
    let env = match entry {
        Entry::Call => env.clone(),
        Entry::Trap => trap::around(env),
    };
    found.start(&env).map_err(|errno| match (errno, found.needs()) {
        (Errno::ENOENT, Some(needs)) => format!("n/a: no {needs} here"),
        _ => format!("{workload} did not start: {errno}"),
    })
}

/// Writes one result; a harness that is gone needs none.
fn emit<T: serde::Serialize>(to: &mut File, value: &T) {
    if let Ok(mut line) = serde_json::to_vec(value) {
        line.push(b'\n');
        let _ = to.write_all(&line);
    }
}
