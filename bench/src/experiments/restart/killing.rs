//! Kills and faults in the microkernel: of a component's process, and faults of a component behind a protection key, which
//! has no process to kill.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_faults::{Fault, inject};
use kd_machine::clock;
use kd_report::schema::Record;
use kd_report::stats::Random;

use super::timeline::Timeline;
use super::{RATE, Times, columns};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::experiments::faults::{Subject, configurations};
use crate::experiments::latency::Configuration;

/// The signal that cannot be caught.
const SIGKILL: i32 = 9;
/// Kills of one boot.
const KILLS: (usize, usize) = (5, 12);
/// Good rounds between two kills.
const ROUNDS: u64 = 60;
/// How long anything may take before the boot is given up.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the kills of one subject gave.
#[derive(Debug, Default)]
pub struct Samples {
    kill: Cause,
    fault: Cause,
    keys: Cause,
    obstacle: Option<String>,
    /// Why there is nothing behind keys.
    no_keys: Option<String>,
}

/// One cause of death.
#[derive(Debug, Default)]
struct Cause {
    notice: Times,
    restart: Times,
    first_answer: Times,
    gap: Times,
    failed: u64,
    repeated: u64,
    unknown: u64,
    lost: u64,
    deaths: u64,
    boots: u64,
    timeline: Timeline,
}

impl Samples {
    /// One boot: kills, then faults.
    pub fn boot(&mut self, subject: &Subject, quick: bool, random: &mut Random) -> Result<(), BootFailure> {
        let kills = if quick { KILLS.0 } else { KILLS.1 };
        let kill = |boot: &Boot, _: &RunningApp| boot.signal(&subject.name, SIGKILL).map_err(|error| error.to_string());
        let process = configurations()[2];
        let killed = self.kill.boot(process, subject, kills, random, kill);
        let fault = |boot: &Boot, app: &RunningApp| fault(subject, boot, app);
        let faulted = self.fault.boot(process, subject, kills / 2 + 1, random, fault);
        for result in [killed, faulted] {
            match result {
                // A load that does not recover, or a host that does not let us inject, takes the subject's figures away,
                // not the run.
                Err(BootFailure::App(why)) => self.obstacle = Some(why),
                other => other?,
            }
        }
        self.boot_behind_keys(subject, kills / 2 + 1, random)
    }

    /// Boots of the placement behind keys, where the machine has them, with a fault in each: the process lives on, and so
    /// does the patch in the component's code.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn boot_behind_keys(
        &mut self,
        subject: &Subject,
        faults: usize,
        random: &mut Random,
    ) -> Result<(), BootFailure> {
        let [.., keys] = configurations();
        self.no_keys = keys.unavailable();
        if self.no_keys.is_some() {
            return Ok(());
        }
        for _ in 0..faults {
            match self.keys.boot(keys, subject, 1, random, |boot, app| fault(subject, boot, app)) {
                Err(BootFailure::App(why)) => self.no_keys = Some(why),
                other => other?,
            }
        }
        Ok(())
    }

    /// How many restarts behind keys were timed.
    ///
    /// # Errors
    /// Why none was.
    pub fn behind_keys(&self) -> Result<usize, &str> {
        self.no_keys.as_deref().map_or_else(|| Ok(self.keys.restart.0.concat().len()), Err)
    }

    /// All records.
    pub fn records(&self, subject: &Subject, plan: &Plan) -> Vec<Record> {
        let [monolithic, thread, process, keys] = configurations();
        let obstacle = |cause| {
            let why = self.obstacle.as_deref().unwrap_or("no boot of it succeeded");
            vec![columns(process, subject, cause, plan).unavailable("restart_time", "median", "us", why)]
        };
        if self.kill.deaths == 0 {
            return [obstacle("kill"), obstacle("null_dereference")].concat();
        }
        let mut records = self.kill.records(process, subject, "kill", plan);
        records.extend(self.fault.records(process, subject, "null_dereference", plan));
        records.extend(match &self.no_keys {
            None => self.keys.records(keys, subject, "null_dereference", plan),
            Some(why) => {
                vec![columns(keys, subject, "null_dereference", plan).unavailable("restart_time", "median", "us", why)]
            }
        });
        let no_keys = keys.unavailable();
        let unavailable = [
            (thread, "a thread cannot be killed without its process"),
            (monolithic, "the component has no process of its own"),
            (keys, no_keys.as_deref().unwrap_or("a domain behind a protection key has no process of its own")),
        ];
        for (configuration, why) in unavailable {
            records.push(columns(configuration, subject, "kill", plan).unavailable(
                "restart_time",
                "median",
                "us",
                why,
            ));
        }
        records
    }
}

/// Lets the subject's code fail soon.
fn fault(subject: &Subject, boot: &Boot, app: &RunningApp) -> Result<(), String> {
    let target = subject.target(boot).map_err(|error| error.to_string())?;
    let soon = NonZeroU64::new(10).ok_or("ten is not zero")?;
    let armed = inject(target.pid, &target.site, target.room, Fault::NullDereference, soon, None);
    // Arming stops the component for a moment, which is not what is measured.
    app.board.set(Field::LongestGap, 0);
    armed.map(drop).map_err(|error| error.to_string())
}

impl Cause {
    /// Boots, lets the component die `times` times under load, audits.
    fn boot(
        &mut self,
        configuration: Configuration,
        subject: &Subject,
        times: usize,
        random: &mut Random,
        kill: impl Fn(&Boot, &RunningApp) -> Result<(), String>,
    ) -> Result<(), BootFailure> {
        let boot = Boot::new(&configuration.manifest())?;
        let rounds = Task::Rounds { workload: subject.workload.clone(), rate: RATE, entry: Entry::Call };
        let app = boot.start(1, true, rounds)?;
        for times in [&mut self.notice, &mut self.restart, &mut self.first_answer, &mut self.gap] {
            times.new_boot();
        }
        self.boots += 1;
        let mut kills = Vec::new();
        let mut repeated = 0;
        for _ in 0..times {
            let goal = app.board.get(Field::Good) + ROUNDS;
            if !app.wait_until(PATIENCE, |board| board.get(Field::Good) >= goal) {
                return Err(BootFailure::App("the load did not get going".into()));
            }
            // At any moment of a round, not always at its end.
            std::thread::sleep(Duration::from_nanos(random.below(2_000_000) as u64));
            boot.events()?;
            app.board.set(Field::LongestGap, 0);
            let killed = clock::now();
            kill(&boot, &app).map_err(BootFailure::App)?;
            let events = until_restarted(&boot, &subject.name)?;
            let goal = app.board.get(Field::Good) + ROUNDS / 2;
            let back = app.wait_until(PATIENCE, |board| board.get(Field::Good) >= goal);
            self.note(&app, killed, &events, back);
            repeated += boot.component(&subject.name)?.counters[1].saturating_sub(repeated);
            kills.push(killed);
        }
        app.stop();
        app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0);
        let field = |field| app.board.get(field);
        self.failed += field(Field::Failed) + field(Field::Wrong);
        self.unknown += field(Field::Unknown);
        self.lost += field(Field::Lost) + field(Field::Corrupted);
        self.repeated += repeated;
        kills.iter().for_each(|&killed| self.timeline.add(&app.board, killed));
        Ok(())
    }

    fn note(&mut self, app: &RunningApp, killed: u64, events: &[Event], back: bool) {
        self.deaths += 1;
        let at = |of: fn(&What) -> bool| events.iter().find(|event| of(&event.what)).map(|event| event.at);
        let died = at(|what| matches!(what, What::Died(_) | What::Hung(_) | What::Violated));
        let restarted = at(|what| *what == What::Restarted);
        if let Some(died) = died {
            self.notice.push(died.saturating_sub(killed));
            if let Some(restarted) = restarted {
                self.restart.push(restarted.saturating_sub(died));
            }
        }
        if back {
            let gap = app.board.get(Field::LongestGap);
            self.gap.push(gap);
            // The longest round is the one that the death held up; it ended with the first good answer.
            self.first_answer.push((app.board.get(Field::LongestGapAt) + gap).saturating_sub(killed));
        }
    }

    fn records(&self, configuration: Configuration, subject: &Subject, cause: &str, plan: &Plan) -> Vec<Record> {
        let columns = columns(configuration, subject, cause, plan);
        let seed = plan.seed;
        let mut records = Vec::new();
        // A fault's own moment is not known from outside; a kill's is.
        if cause == "kill" {
            records.extend(self.notice.records(&columns, "notice_time", seed));
            records.extend(self.first_answer.records(&columns, "first_answer_time", seed));
        }
        records.extend(self.restart.records(&columns, "restart_time", seed));
        records.extend(self.gap.records(&columns, "longest_gap", seed));
        let counts = [("deaths", self.deaths), ("calls_failed", self.failed), ("calls_unknown", self.unknown)];
        let total = |(metric, count): (&str, u64)| columns.value(metric, "total", "count", count as f64, self.deaths);
        records.extend(counts.into_iter().map(total));
        // Channels count what they repeat; gates have no memory to count in that a caller's domain could write.
        records.push(match configuration.placement.is_pkey() {
            false => total(("calls_repeated", self.repeated)),
            true => columns.unavailable("calls_repeated", "total", "count", "gates do not count what they repeat"),
        });
        records.push(columns.value("acknowledged_bytes_lost", "total", "bytes", self.lost as f64, self.deaths));
        if cause == "kill" {
            records.extend(self.timeline.records(&columns));
        }
        records
    }
}

/// Waits for the component's restart; returns what happened until then.
fn until_restarted(boot: &Boot, component: &str) -> Result<Vec<Event>, BootFailure> {
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
