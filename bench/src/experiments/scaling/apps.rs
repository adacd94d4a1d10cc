//! Several apps at once, each doing the same on files of its own: does a kernel do more with two cores and more apps, or do
//! they wait for each other's locks and for free threads of its servers?
//!
//! Every boot has as many apps as its point says. In each turn all of them begin and end together; what an app did is
//! counted by itself, and the CPU time of all processes of the boot by the harness.

use std::time::{Duration, Instant};

use kd_boot::app::{bind_family, family};
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_nucleus::process;
use kd_report::schema::{Experiment, Record};
use kd_report::stats::{self, Random};

use super::growth::{self, RESAMPLES, Values};
use super::{boots, configurations};
use crate::app::together::{Part, STEPS};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::latency::sample::{Key, Samples, Table, Wanted, describe, want};
use crate::experiments::latency::{Configuration, analyse};
use crate::experiments::{Plan, Progress, shuffle};

/// Numbers of apps.
const APPS: [u32; 3] = [1, 2, 4];
/// What they do.
const WORKLOADS: [&str; 4] = ["read_4k", "write_4k", "open_close", "mail_server"];
/// What a quick run keeps of both.
const QUICK_APPS: [u32; 2] = [1, 2];
const QUICK_WORKLOADS: [&str; 2] = ["read_4k", "mail_server"];
/// Cores that all of them share.
const CORES: usize = 2;
/// What booting and making ready takes of the time.
const OVERHEAD: f64 = 0.5;
/// A turn's length at least and at most.
const TURN: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];
/// An app that is not ready, or not done, after so long has hung.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures it, and makes records of it.
pub fn records(plan: &Plan, time: Duration, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let (apps, workloads): (&[u32], &[&str]) =
        if plan.quick { (&QUICK_APPS, &QUICK_WORKLOADS) } else { (&APPS, &WORKLOADS) };
    // Operations a second of all apps together, for each boot.
    let (mut samples, mut throughput) = (Table::new(), Values::new());
    let mut kinds = kinds(apps, workloads, plan, &mut samples)?;
    let mut random = Random::new(plan.seed, 8);
    let (begin, boots) = (Instant::now(), boots(plan.quick));
    for block in 0..boots {
        shuffle(&mut kinds, &mut random);
        for (done, &(configuration, apps)) in kinds.iter().enumerate() {
            let share = (block * kinds.len() + done) as f64 / (boots * kinds.len()) as f64;
            progress(share, &format!("boot {} of {boots}: {}, {apps} app(s)", block + 1, describe(configuration)));
            let left = time.saturating_sub(begin.elapsed()).mul_f64(1.0 - OVERHEAD);
            let turns = ((boots - block) * kinds.len() - done) * workloads.len();
            let turn = (left / turns as u32).clamp(TURN[0], TURN[1]);
            let mut order = workloads.to_vec();
            shuffle(&mut order, &mut random);
            let mut boot = Turns::start(configuration, apps, &order, plan)?;
            for workload in order {
                let key = key(configuration, workload, apps);
                let found = boot.turn(turn);
                throughput.entry(key.clone()).or_default().push(found.iter().map(Found::throughput).collect());
                note(samples.entry(key).or_default(), found);
            }
        }
    }
    let mut records = analyse::records(Experiment::Scaling, &samples, plan);
    records.extend(in_all(&throughput, plan));
    records.extend(growth::records("speedup", &throughput, plan));
    Ok(records)
}

/// Which boots there are: a configuration and its number of apps. What does not exist is noted with its reason.
fn kinds(
    apps: &[u32],
    workloads: &[&str],
    plan: &Plan,
    samples: &mut Table,
) -> Result<Vec<(Configuration, u32)>, BootFailure> {
    let mut kinds = Vec::new();
    for (configuration, &apps) in configurations(plan.quick).flat_map(|one| apps.iter().map(move |apps| (one, apps))) {
        let mut cells = Vec::new();
        for workload in workloads {
            let found = kd_workloads::find(workload).map_err(|error| BootFailure::App(error.to_string()))?;
            want(&mut cells, Wanted { key: key(configuration, workload, apps), compute: 0 }, &*found, plan, samples);
        }
        if !cells.is_empty() {
            kinds.push((configuration, apps));
        }
    }
    Ok(kinds)
}

/// The name of a cell.
fn key(configuration: Configuration, workload: &str, apps: u32) -> Key {
    let workload = format!("{workload}/apps_{apps}");
    Key { configuration, workload, user: 0, entry: Entry::Trap, cores: CORES }
}

/// A boot whose apps take their turns.
struct Turns {
    /// Held, since all of it ends with it.
    _boot: Boot,
    apps: Vec<RunningApp>,
    family: Vec<i32>,
    turn: u64,
    /// Why there is no turn any more.
    over: Option<String>,
}

/// What all apps of a boot did in one turn.
struct Found {
    parts: Vec<Part>,
    /// CPU nanoseconds and context switches of all processes for each operation.
    cpu: f64,
    switches: f64,
}

/// A process's parent: of an app's process, or of the kernel's that the app is a thread of, the boot's root.
fn parent(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

impl Turns {
    fn start(configuration: Configuration, apps: u32, order: &[&str], plan: &Plan) -> Result<Turns, BootFailure> {
        let mut manifest = configuration.manifest();
        manifest.apps = apps;
        // A server refuses the blocking call that would take its last thread, and here each app may have one.
        manifest.entries.iter_mut().for_each(|entry| entry.threads = entry.threads.max(apps + 1));
        let boot = Boot::new(&manifest)?;
        let workloads: Vec<String> = order.iter().map(|workload| (*workload).into()).collect();
        let task = || Task::Together { workloads: workloads.clone(), entry: Entry::Trap };
        let start = |app| boot.start(app, configuration.apps_apart(), task());
        let apps = (1..=apps).map(start).collect::<Result<Vec<_>, _>>()?;
        let ended = || BootFailure::App("it was gone at once".into());
        let root = apps.first().and_then(|app: &RunningApp| parent(app.pid)).ok_or_else(ended)?;
        bind_family(root, &plan.cores[..CORES]);
        let family = family(root);
        Ok(Turns { _boot: boot, apps, family, turn: 0, over: None })
    }

    /// The next turn, of such a length. After one that an app did not end there is none any more.
    fn turn(&mut self, length: Duration) -> Result<Found, String> {
        if let Some(why) = &self.over {
            return Err(why.clone());
        }
        let begin = STEPS * self.turn + 1;
        self.turn += 1;
        let found = self.ready(begin).and_then(|()| self.work(begin, length));
        if let Err(why) = &found {
            self.over = Some(why.clone());
        }
        let found = found?;
        match found.parts.iter().find_map(|part| part.failed.clone()) {
            Some(why) => Err(why),
            None => Ok(found),
        }
    }

    /// Waits until every app is as far.
    fn ready(&self, step: u64) -> Result<(), String> {
        let is = |app: &RunningApp| app.wait_until(PATIENCE, |board| board.get(Field::Running) >= step);
        if self.apps.iter().all(is) { Ok(()) } else { Err(format!("an app was silent for {PATIENCE:?}")) }
    }

    fn work(&mut self, begin: u64, length: Duration) -> Result<Found, String> {
        let used = |family: &[i32]| -> (Duration, u64) {
            let switches = family.iter().map(|&pid| process::context_switches(pid)).sum();
            (family.iter().map(|&pid| process::cpu_time(pid)).sum(), switches)
        };
        let tell = |step| self.apps.iter().for_each(|app| app.board.set(Field::Stop, step));
        let before = used(&self.family);
        tell(begin);
        std::thread::sleep(length);
        tell(begin + 1);
        self.ready(begin + 1)?;
        let after = used(&self.family);
        tell(begin + 2);
        let part = |app: &mut RunningApp| match app.line_within::<Part>(PATIENCE) {
            Ok(Some(part)) => Ok(part),
            Ok(None) => Err("an app ended early".to_string()),
            Err(error) => Err(error.to_string()),
        };
        let parts = self.apps.iter_mut().map(part).collect::<Result<Vec<_>, _>>()?;
        let operations = parts.iter().map(|part| part.operations).sum::<u64>() as f64;
        let cpu = after.0.saturating_sub(before.0).as_nanos() as f64 / operations;
        Ok(Found { parts, cpu, switches: after.1.saturating_sub(before.1) as f64 / operations })
    }
}

impl Found {
    /// Operations a second of all apps.
    fn throughput(&self) -> f64 {
        self.parts.iter().map(|part| part.operations as f64 / part.nanos as f64 * 1e9).sum()
    }
}

/// Adds what one boot gave to a cell: how long an operation took each app.
fn note(samples: &mut Samples, found: Result<Found, String>) {
    let (latency, cpu, switches) = match found {
        Ok(found) => {
            let latency = found.parts.iter().map(|part| part.nanos as f64 / part.operations as f64).collect();
            (latency, vec![found.cpu], vec![found.switches])
        }
        Err(why) => {
            // An empty boot keeps the blocks of a ratio in step.
            samples.reason = Some(why);
            (Vec::new(), Vec::new(), Vec::new())
        }
    };
    samples.latency.push(latency);
    samples.cpu.push(cpu);
    samples.switches.push(switches);
}

/// Records of what all apps do together.
fn in_all(throughput: &Values, plan: &Plan) -> Vec<Record> {
    let own = throughput.iter().enumerate().filter(|(_, (key, _))| !key.configuration.twin);
    let record = |(number, (key, boots)): (usize, (&Key, &Vec<Vec<f64>>))| {
        let n = boots.iter().filter(|boot| !boot.is_empty()).count();
        let all = stats::estimate(boots, stats::median, RESAMPLES, plan.seed.wrapping_add(number as u64));
        (n > 0).then(|| analyse::subject(Experiment::Scaling, key).estimate("throughput", "median", "1/s", all, n))
    };
    own.filter_map(record).collect()
}
