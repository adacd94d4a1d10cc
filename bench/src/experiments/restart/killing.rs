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
use kd_report::stats::{self, Random};

use super::timeline::Timeline;
use super::{RATE, RESAMPLES, Times, columns};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::experiments::faults::{Subject, configurations};
use crate::experiments::latency::Configuration;

/// The signals that cannot be caught: to end, and to stop.
const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
/// Good rounds before a kill, which the timeline shows, and before a fault.
const ROUNDS: u64 = 60;
const ROUNDS_BEFORE_FAULT: u64 = 20;
/// Good rounds after either.
const ROUNDS_AFTER: u64 = 20;
/// How long anything may take before the boot is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the deaths of one subject gave that comes back in one way.
#[derive(Debug)]
pub struct Samples {
    way: Way,
    causes: Vec<(By, Cause)>,
    obstacle: Option<String>,
}

/// One cause of death.
#[derive(Debug, Default)]
pub(super) struct Cause {
    /// From the death to when somebody knew; from there to when the successor answers; both together.
    notice: Times,
    restart: Times,
    back: Times,
    /// From the death to the end of the first good round.
    first_answer: Times,
    gap: Times,
    /// A kill and a fork without a kernel.
    bare: Times,
    failed: u64,
    repeated: u64,
    unknown: u64,
    lost: u64,
    pub deaths: u64,
    timeline: Timeline,
}

/// The configuration with processes.
fn configuration() -> Configuration {
    configurations()[2]
}

/// What a component dies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// A kill from outside, which the host tells of.
    Kill,
    /// A null dereference in its code, which it tells of itself.
    Fault,
    /// A loop without end, which burns CPU time.
    Loop,
    /// Being stopped from outside: it does nothing any more.
    Stop,
}

impl By {
    /// Its name in results.
    pub const fn name(self) -> &'static str {
        match self {
            By::Kill => "kill",
            By::Fault => Fault::NullDereference.name(),
            By::Loop => Fault::EndlessLoop.name(),
            By::Stop => "stopped",
        }
    }

    /// How often in one boot.
    const fn times(self, quick: bool) -> usize {
        match (self, quick) {
            (By::Kill, false) => 4,
            (By::Fault, false) => 3,
            (By::Kill | By::Fault, true) => 2,
            (By::Loop | By::Stop, _) => 1,
        }
    }
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
        let mut kills = Vec::new();
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
                cause.note(&app, by, killed, &events);
                let now = boot.component(&subject.name)?.counters[1];
                cause.repeated += now.saturating_sub(repeated);
                repeated = now;
                kills.extend(Some(killed).filter(|_| by == By::Kill));
            }
            cause.count(before, counts(&app));
        }
        app.stop();
        app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0);
        if let Some((_, kill)) = self.causes.iter_mut().find(|(by, _)| *by == By::Kill) {
            kill.lost += app.board.get(Field::Lost) + app.board.get(Field::Corrupted);
            kills.iter().for_each(|&killed| kill.timeline.add(&app.board, killed));
        }
        Ok(())
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let process = configuration();
        let of = |(by, cause): &(By, Cause)| {
            let named = format!("{}/{}", by.name(), self.way.name());
            if cause.deaths > 0 {
                return cause.records(process, subject, *by, &named, plan);
            }
            let why = self.obstacle.as_deref().unwrap_or("no boot of it succeeded");
            vec![columns(process, subject, &named, plan).unavailable("restart_time", "median", "us", why)]
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
        columns(configuration, subject, "kill", plan).unavailable("restart_time", "median", "us", why)
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
        false => Err(BootFailure::App("the load does not get on".into())),
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
    wait_for(app, if by == By::Kill { ROUNDS } else { ROUNDS_BEFORE_FAULT })?;
    let begin = Instant::now();
    while way == Way::Standby && boot.component(&subject.name)?.standby.is_none() {
        if begin.elapsed() > PATIENCE {
            return Err(BootFailure::App("nobody stands by".into()));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
    boot.events()?;
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

impl Cause {
    pub fn new_boot(&mut self) {
        let Cause { notice, restart, back, first_answer, gap, bare, .. } = self;
        [notice, restart, back, first_answer, gap, bare].into_iter().for_each(Times::new_boot);
    }

    /// What failed, or has an unknown outcome, between two counts.
    pub fn count(&mut self, before: [u64; 2], after: [u64; 2]) {
        self.failed += after[0] - before[0];
        self.unknown += after[1] - before[1];
    }

    /// How many ways back were timed.
    pub fn timed(&self) -> usize {
        self.back.0.iter().map(Vec::len).sum()
    }

    pub fn note(&mut self, app: &RunningApp, by: By, killed: u64, events: &[Event]) {
        self.deaths += 1;
        let at = |of: fn(&What) -> bool| events.iter().find(|event| of(&event.what)).map(|event| event.at);
        let death = match by {
            By::Kill | By::Stop => killed,
            // A process that faulted has said when.
            By::Fault => at(|what| matches!(what, What::Faulted(_))).unwrap_or(killed),
            // Who loops says nothing; the round that met the loop is the longest.
            By::Loop => app.board.get(Field::LongestRoundAt),
        };
        let (Some(noticed), Some(back)) = (
            at(|what| matches!(what, What::Died(_) | What::Hung(_) | What::Violated)),
            at(|what| *what == What::Restarted),
        ) else {
            return;
        };
        self.notice.push(noticed.saturating_sub(death));
        self.restart.push(back.saturating_sub(noticed));
        self.back.push(back.saturating_sub(death));
        let rounds = app.board.recent();
        let after = || rounds.iter().filter(|(_, end)| *end > death);
        if let Some(first) = after().map(|(_, end)| end - death).min() {
            self.first_answer.push(first);
        }
        // Those that were due before all was well again: their delay counts from when they were due, but for what preparing a
        // fault has held up.
        let since = if death == killed { 0 } else { death };
        let held_up = after().filter(|(due, _)| *due < back.max(death + 1));
        if let Some(gap) = held_up.map(|(due, end)| end.saturating_sub(since.max(*due))).max() {
            self.gap.push(gap);
        }
    }

    pub fn records(
        &self,
        configuration: Configuration,
        subject: &Subject,
        by: By,
        named: &str,
        plan: &Plan,
    ) -> Vec<Record> {
        let columns = columns(configuration, subject, named, plan);
        let seed = plan.seed;
        let times = [
            ("notice_time", &self.notice),
            ("restart_time", &self.restart),
            ("back_time", &self.back),
            ("first_answer_time", &self.first_answer),
            ("longest_gap", &self.gap),
        ];
        let mut records: Vec<Record> =
            times.into_iter().flat_map(|(metric, times)| times.records(&columns, metric, seed)).collect();
        if by == By::Kill {
            records.extend(self.bare.records(&columns, "bare_time", seed));
            let ratio = stats::ratio(&self.back.0, &self.bare.0, stats::median, RESAMPLES, seed);
            records.push(columns.estimate("over_bare", "ratio", "ratio", ratio, self.deaths as usize));
        }
        let counts = [("deaths", self.deaths), ("calls_failed", self.failed), ("calls_unknown", self.unknown)];
        let total = |(metric, count): (&str, u64)| columns.value(metric, "total", "count", count as f64, self.deaths);
        records.extend(counts.into_iter().map(total));
        // Channels count what they repeat; gates have no memory to count in that a caller's domain could write.
        records.push(match configuration.placement.is_pkey() {
            false => total(("calls_repeated", self.repeated)),
            true => columns.unavailable("calls_repeated", "total", "count", "gates do not count what they repeat"),
        });
        if by == By::Kill {
            // The audit comes at the end of a boot, after kills and faults alike.
            records.push(columns.value("acknowledged_bytes_lost", "total", "bytes", self.lost as f64, self.deaths));
            records.extend(self.timeline.records(&columns));
        }
        records
    }
}
