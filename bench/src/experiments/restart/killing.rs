//! Deaths in the microkernel, by kills, faults and hangs, where a component has a process of its own: each way of coming
//! back in boots of its own.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_boot::policy::{Policy, Way};
use kd_faults::{Fault, inject};
use kd_machine::clock;
use kd_nucleus::process;
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::cause::{By, Cause};
use super::{RATE, columns};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::experiments::faults::{Subject, configurations};
use crate::experiments::latency::Configuration;

/// The signals that cannot be caught: to end, and to stop.
pub(super) const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
/// Good rounds before a fault, which the timeline shows, and before another death.
const ROUNDS: u64 = 60;
const ROUNDS_BEFORE_OTHERS: u64 = 20;
/// Good rounds after either.
pub(super) const ROUNDS_AFTER: u64 = 20;
/// How long anything may take before the boot is given up.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What the deaths of one subject gave that comes back in one way.
#[derive(Debug)]
pub struct Samples {
    way: Way,
    causes: Vec<(By, Cause)>,
    obstacle: Option<String>,
}

/// The configuration with processes.
pub(super) fn configuration() -> Configuration {
    configurations()[2]
}

impl Samples {
    /// None yet.
    pub fn new(way: Way) -> Samples {
        // How a hang is noticed has nothing to do with the way back.
        let causes = match way {
            Way::Warm => &[By::Kill, By::Fault, By::Loop, By::Stop][..],
            Way::Cold | Way::Standby => &[By::Kill, By::Fault],
        };
        Samples { way, causes: causes.iter().map(|&by| (by, Cause::default())).collect(), obstacle: None }
    }

    /// One boot: so many deaths by each cause.
    pub fn boot(&mut self, subject: &Subject, quick: bool, random: &mut Random) -> Result<(), BootFailure> {
        match self.deaths(subject, quick, random) {
            // A load that does not recover, or a host that does not let us inject, takes the subject's figures away,
            // not the run.
            Err(BootFailure::App(why)) => self.obstacle = Some(why),
            other => other?,
        }
        Ok(())
    }

    fn deaths(&mut self, subject: &Subject, quick: bool, random: &mut Random) -> Result<(), BootFailure> {
        let mut manifest = configuration().manifest();
        for entry in manifest.entries.iter_mut().filter(|entry| entry.name == subject.name) {
            // Deaths are what is measured here: none is one too many.
            entry.policy = Policy { way: self.way, deaths: u32::MAX, ..Policy::default() };
        }
        let boot = Boot::new(&manifest)?;
        let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
        let app = boot.start(1, true, rounds)?;
        let mut faults = Vec::new();
        for (by, cause) in &mut self.causes {
            let by = *by;
            cause.new_boot();
            let before = counts(&app);
            let mut repeated = boot.component(&subject.name)?.counters[1];
            for _ in 0..by.times(quick) {
                ready(&boot, &app, subject, self.way, by, random)?;
                if by == By::Kill {
                    let bytes = process::own_bytes(boot.component(&subject.name)?.pid);
                    cause.bare.push(boot.bare_restart(bytes)?);
                    wait_for(&app, ROUNDS_AFTER)?;
                }
                let killed = kill(&boot, &app, subject, by)?;
                let events = until_restarted(&boot, &subject.name)?;
                wait_for(&app, ROUNDS_AFTER)?;
                let death = cause.note(&app, by, killed, &events);
                let now = boot.component(&subject.name)?.counters[1];
                cause.repeated += now.saturating_sub(repeated);
                repeated = now;
                faults.extend(Some(death).filter(|_| by == By::Fault));
            }
            cause.count(before, counts(&app));
        }
        app.stop();
        app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0);
        for (by, cause) in &mut self.causes {
            match by {
                // The audit comes at the end of a boot, after deaths of all causes.
                By::Kill => cause.audit(&app.board),
                // What every kernel can suffer is what is shown on one axis.
                By::Fault => faults.iter().for_each(|&fault| cause.timeline.add(&[&app.board], fault)),
                By::Loop | By::Stop => {}
            }
        }
        Ok(())
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let process = configuration();
        let of = |(by, cause): &(By, Cause)| {
            let named = format!("{}/{}", by.name(), self.way.name());
            if cause.deaths > 0 {
                return cause.records(&columns(process, &subject.name, &named, plan), plan.seed);
            }
            let why = self.obstacle.as_deref().unwrap_or("no boot of it succeeded");
            vec![columns(process, &subject.name, &named, plan).unavailable("restart_time", "median", "us", why)]
        };
        self.causes.iter().flat_map(of).collect()
    }
}

/// Kernels whose components cannot be killed, and why.
pub fn unkillable(subject: &Subject, plan: &Plan) -> Vec<Record> {
    let [monolithic, thread, _, keys] = configurations();
    let no_keys = keys.unavailable();
    let why = [
        (thread, "a thread cannot be killed without its process"),
        (monolithic, "the component has no process of its own"),
        (keys, no_keys.as_deref().unwrap_or("a domain behind a protection key has no process of its own")),
    ];
    let record = |(configuration, why)| {
        columns(configuration, &subject.name, "kill", plan).unavailable("restart_time", "median", "us", why)
    };
    why.map(record).into()
}

/// Rounds failed or wrong, and of unknown outcome, until now.
pub(super) fn counts(app: &RunningApp) -> [u64; 2] {
    let field = |field| app.board.get(field);
    [field(Field::Failed) + field(Field::Wrong), field(Field::Unknown)]
}

pub(super) fn wait_for(app: &RunningApp, rounds: u64) -> Result<(), BootFailure> {
    let goal = app.board.get(Field::Good) + rounds;
    match app.wait_until(PATIENCE, |board| board.get(Field::Good) >= goal) {
        true => Ok(()),
        false => {
            let [good, failed, errno] =
                [Field::Good, Field::Failed, Field::LastErrno].map(|field| app.board.get(field));
            let why =
                format!("the load does not get on: {good} rounds were good, {failed} failed, last with errno {errno}");
            Err(BootFailure::App(why))
        }
    }
}

/// Waits until the load runs, and who is to take the place is there; then for any moment of a round, not always its end.
pub(super) fn ready(
    boot: &Boot,
    app: &RunningApp,
    subject: &Subject,
    way: Way,
    by: By,
    random: &mut Random,
) -> Result<(), BootFailure> {
    wait_for(app, if by == By::Fault { ROUNDS } else { ROUNDS_BEFORE_OTHERS })?;
    if way == Way::Standby {
        stood_by(boot, &subject.name)?;
    }
    std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
    boot.events()?;
    Ok(())
}

/// Waits until somebody stands by for a component.
pub(super) fn stood_by(boot: &Boot, component: &str) -> Result<(), BootFailure> {
    let begin = Instant::now();
    while boot.component(component)?.standby.is_none() {
        if begin.elapsed() > PATIENCE {
            return Err(BootFailure::App(format!("nobody stands by for `{component}`")));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Has the component die; returns when, or when its end was prepared.
pub(super) fn kill(boot: &Boot, app: &RunningApp, subject: &Subject, by: By) -> Result<u64, BootFailure> {
    let failed = |error: &dyn std::fmt::Display| BootFailure::App(error.to_string());
    let fault = match by {
        By::Kill | By::Stop => {
            let now = clock::now();
            let signal = if by == By::Kill { SIGKILL } else { SIGSTOP };
            boot.signal(&subject.name, signal).map_err(|error| failed(&error))?;
            return Ok(now);
        }
        By::Fault => Fault::NullDereference,
        By::Loop => Fault::EndlessLoop,
    };
    let target = subject.target(boot).map_err(|error| failed(&error))?;
    let soon = NonZeroU64::MIN.saturating_add(9);
    let armed = inject(target.pid, &target.site, target.room, fault, soon, None);
    // Arming stops the component for a moment, which is not what is looked for.
    app.board.set(Field::LongestRound, 0);
    armed.map(|_| clock::now()).map_err(|error| failed(&error))
}

/// Waits for the component's restart; returns what happened until then.
pub(super) fn until_restarted(boot: &Boot, component: &str) -> Result<Vec<Event>, BootFailure> {
    let begin = Instant::now();
    let mut events = Vec::new();
    while begin.elapsed() < PATIENCE {
        events.extend(boot.events()?.into_iter().filter(|event| event.who == component));
        if events.iter().any(|event| matches!(event.what, What::Restarted | What::GivenUp)) {
            return Ok(events);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(BootFailure::App(format!("`{component}` was not restarted")))
}
