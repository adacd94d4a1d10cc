//! Another version of a driver module under load: how long apps wait for it, in the microkernel by draining and promoting, in
//! the monolithic kernel by closing, unloading, loading and opening again; and how long a newcomer keeps them that is not well.

use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_boot::manifest::{Manifest, Source};
use kd_boot::version::Upgrade;
use kd_machine::clock;
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::killing::{counts, wait_for};
use super::{RATE, Times, columns};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::experiments::faults::{Subject, configurations};
use crate::experiments::latency::Configuration;

/// Good rounds before and after each.
const ROUNDS: u64 = 20;
/// How long anything may take before the boot is given up.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the newcomer is: as well as the old one, or one that refuses requests of a page and so fails its health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newcomer {
    Well,
    Unwell,
}

impl Newcomer {
    /// What happens to it, as results call it.
    const fn name(self) -> &'static str {
        match self {
            Newcomer::Well => "upgrade",
            Newcomer::Unwell => "upgrade_rolled_back",
        }
    }

    /// What says that it is over. A device with a ring has been reset by then, and the old version starts anew.
    const fn end(self, ring: bool) -> fn(&What) -> bool {
        match (self, ring) {
            (Newcomer::Well, _) => |what| matches!(what, What::Upgraded(_)),
            (Newcomer::Unwell, false) => |what| matches!(what, What::NotUpgraded(_)),
            (Newcomer::Unwell, true) => |what| matches!(what, What::Restarted),
        }
    }

    /// Every driver has this parameter: its longest request, in KiB.
    fn of(self, component: &str) -> Upgrade {
        let kib = if self == Newcomer::Well { 1024 } else { 1 };
        Upgrade { component: component.into(), file: None, parameters: vec![("max_kb".into(), kib)] }
    }
}

/// What the upgrades of one subject gave on one kernel.
#[derive(Debug)]
pub struct Samples {
    configuration: Configuration,
    newcomers: Vec<(Newcomer, Measured)>,
    obstacle: Option<String>,
}

#[derive(Debug, Default)]
struct Measured {
    /// From asking to the newcomer's being in service, or being gone.
    time: Times,
    /// The longest delay of a round that was due before all was well again.
    interruption: Times,
    times: u64,
    failed: u64,
    repeated: u64,
}

/// Whether a subject is a module, and has the parameter that makes one unwell.
fn is_module(manifest: &Manifest, subject: &Subject) -> bool {
    let mut entries = manifest.entries.iter().filter(|entry| entry.name == subject.name);
    entries.any(|entry| matches!(entry.source, Source::Module(_)) && entry.disk > 0)
}

/// Of both kernels, for a subject that is a module with a disk; nothing for any other.
pub fn samples(subject: &Subject) -> Vec<Samples> {
    let newcomers = || [Newcomer::Well, Newcomer::Unwell].map(|one| (one, Measured::default())).into();
    let configurations = [configurations()[2], Configuration::MONOLITHIC];
    let kernels = configurations.into_iter().filter(|of| is_module(&of.manifest(), subject));
    kernels.map(|configuration| Samples { configuration, newcomers: newcomers(), obstacle: None }).collect()
}

impl Samples {
    /// One boot with one upgrade of each kind.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn boot(&mut self, subject: &Subject, random: &mut Random) -> Result<(), BootFailure> {
        match self.upgrades(subject, random) {
            // What is refused, or does not recover, takes these figures away, not the run.
            Err(BootFailure::App(why) | BootFailure::Refused(why)) => self.obstacle = Some(why),
            other => other?,
        }
        Ok(())
    }

    fn upgrades(&mut self, subject: &Subject, random: &mut Random) -> Result<(), BootFailure> {
        let manifest = self.configuration.manifest();
        let boot = Boot::new(&manifest)?;
        let ring = manifest.entries.iter().any(|entry| entry.name == subject.name && entry.ring.is_some());
        let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
        let app = boot.start(1, true, rounds)?;
        for (newcomer, measured) in &mut self.newcomers {
            wait_for(&app, ROUNDS)?;
            std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
            boot.events()?;
            let (before, repeated) = (counts(&app)[0], boot.component(&subject.name)?.counters[1]);
            let wanted = newcomer.of(&subject.name);
            let asked = clock::now();
            let done = match manifest.has_processes() {
                true => replace(&boot, &wanted, newcomer.end(ring))?,
                false => exchange(&boot, &app, &wanted, *newcomer)?,
            };
            wait_for(&app, ROUNDS)?;
            measured.time.new_boot();
            measured.time.push(done.saturating_sub(asked));
            let rounds = app.board.recent();
            let held_up = rounds.iter().filter(|(due, end)| *end > asked && *due < done.max(asked + 1));
            measured.interruption.new_boot();
            measured.interruption.push(held_up.map(|(due, end)| end.saturating_sub(*due)).max().unwrap_or(0));
            measured.times += 1;
            measured.failed += counts(&app)[0] - before;
            measured.repeated += boot.component(&subject.name)?.counters[1] - repeated;
        }
        app.stop();
        Ok(())
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let of = |(newcomer, measured): &(Newcomer, Measured)| {
            let columns = columns(self.configuration, &subject.name, newcomer.name(), plan);
            if measured.times == 0 {
                let why = self.obstacle.as_deref().unwrap_or("no boot of it succeeded");
                return vec![columns.unavailable("interruption", "median", "us", why)];
            }
            let total = |metric, count: u64| columns.value(metric, "total", "count", count as f64, measured.times);
            let mut records = measured.interruption.records(&columns, "interruption", plan.seed);
            records.extend(measured.time.records(&columns, "upgrade_time", plan.seed));
            records.push(total("upgrades", measured.times));
            records.push(total("upgrade_calls_failed", measured.failed));
            records.push(total("upgrade_calls_repeated", measured.repeated));
            records
        };
        self.newcomers.iter().flat_map(of).collect()
    }
}

/// Replaces it and asks nobody; returns when what is expected had happened.
fn replace(boot: &Boot, wanted: &Upgrade, expected: fn(&What) -> bool) -> Result<u64, BootFailure> {
    boot.upgrade(wanted)?;
    let begin = Instant::now();
    let mut events: Vec<Event> = Vec::new();
    while begin.elapsed() < PATIENCE {
        events.extend(boot.events()?);
        if let Some(event) = events.iter().find(|event| expected(&event.what)) {
            return Ok(event.at);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(BootFailure::App(format!("the upgrade did not end as expected: {events:?}")))
}

/// Has the app close its files, exchanges the module, and has the app go on; returns when it was called back.
fn exchange(boot: &Boot, app: &RunningApp, wanted: &Upgrade, newcomer: Newcomer) -> Result<u64, BootFailure> {
    if !app.send_away(PATIENCE) {
        return Err(BootFailure::App("the load did not close its files".into()));
    }
    let exchanged = boot.upgrade(wanted);
    app.call_back();
    let done = clock::now();
    if !app.wait_until(PATIENCE, |board| board.get(Field::IsAway) == 0) {
        return Err(BootFailure::App("the load did not find its files again".into()));
    }
    match exchanged {
        // The old version is loaded again by then.
        Err(BootFailure::Refused(_)) if newcomer == Newcomer::Unwell => Ok(done),
        other => other.map(|()| done),
    }
}
