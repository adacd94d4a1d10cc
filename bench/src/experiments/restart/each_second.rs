//! A kill each second for as long as one likes: whether restarts grow slower, what they leave behind, and what throughput
//! they cost.
//!
//! One boot, in which the driver of the disk is killed again and again, at any moment of a second. It stands by. Three apps
//! are at work: one appends to a log and syncs, as fast as it goes, which is the throughput; one writes blocks at a steady
//! rate, whose delays count from when they were due; and one that never uses the disk. In each cycle one second, at a place
//! drawn by lot, has no kill: so what it is compared with ran on the same boot, a moment before or after.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::policy::{Policy, Way};
use kd_machine::clock;
use kd_report::schema::Record;
use kd_report::stats::{self, Random};

use super::cause::{By, Cause};
use super::killing::{PATIENCE, ROUNDS_AFTER, SIGKILL, configuration, counts, stood_by, until_restarted, wait_for};
use super::{RESAMPLES, columns};
use crate::boot::{Boot, BootFailure, RunningApp};
use crate::experiments::Plan;
use crate::holdings::Holdings;

/// Who is killed.
const VICTIM: &str = "vdisk";
/// Rounds a second of the app with a steady rate.
const RATE: u32 = 500;
/// The length of a second.
const SECOND: Duration = Duration::from_secs(1);
/// A kill comes within this part of its second, so that all of its consequences do.
const KILLED_WITHIN: Duration = Duration::from_millis(500);

/// How many cycles, and how many kills in each: a cycle lasts a second more than that.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Cycles.
    pub cycles: usize,
    /// Kills of a cycle.
    pub kills: usize,
}

impl Pace {
    /// The whole length in seconds.
    pub const fn seconds(self) -> u64 {
        (self.cycles * (self.kills + 1)) as u64
    }
}

/// What it gave.
#[derive(Default)]
pub struct EachSecond {
    cause: Cause,
    /// Rounds a second of the log, by cycle: in seconds with a kill, and without.
    disturbed: Vec<Vec<f64>>,
    undisturbed: Vec<Vec<f64>>,
    /// How many rounds had which delay.
    delays: [BTreeMap<u64, u64>; 2],
    holdings: Option<[Holdings; 2]>,
    obstacle: Option<String>,
}

/// The apps.
struct Apps {
    log: RunningApp,
    steady: RunningApp,
    other: RunningApp,
}

impl EachSecond {
    /// Runs it.
    ///
    /// # Errors
    /// A kernel that did not boot, or that went away.
    pub fn run(&mut self, pace: Pace, random: &mut Random, step: &mut dyn FnMut(usize)) -> Result<(), BootFailure> {
        match self.cycles(pace, random, step) {
            Err(BootFailure::App(why)) => self.obstacle = Some(why),
            other => other?,
        }
        Ok(())
    }

    fn cycles(&mut self, pace: Pace, random: &mut Random, step: &mut dyn FnMut(usize)) -> Result<(), BootFailure> {
        let mut manifest = configuration().manifest();
        manifest.apps = 3;
        for entry in manifest.entries.iter_mut().filter(|entry| entry.name == VICTIM) {
            entry.policy = Policy { way: Way::Standby, deaths: u32::MAX, ..Policy::default() };
        }
        let boot = Boot::new(&manifest)?;
        let rounds = |workload: &str, rate| Task::Rounds { workload: workload.into(), rate, entry: Entry::Call };
        let apps = Apps {
            log: boot.start(1, true, rounds("disk_append_fsync", 0))?,
            steady: boot.start(2, true, rounds("vda_write_4k", RATE))?,
            other: boot.start(3, true, Task::Canary(0))?,
        };
        [&apps.log, &apps.steady, &apps.other].into_iter().try_for_each(|app| wait_for(app, ROUNDS_AFTER))?;
        stood_by(&boot, VICTIM)?;
        // What all of them hold who came after the first: that one was there before the apps were.
        for _ in 0..2 {
            boot.events()?;
            boot.signal(VICTIM, SIGKILL)?;
            until_restarted(&boot, VICTIM)?;
            stood_by(&boot, VICTIM)?;
        }
        wait_for(&apps.steady, ROUNDS_AFTER)?;
        let before = Holdings::at_rest(apps.log.pid);
        let (log, steady) = (counts(&apps.log), counts(&apps.steady));
        let repeated = boot.component(VICTIM)?.counters[1];
        for cycle in 0..pace.cycles {
            self.cause.new_boot();
            self.disturbed.push(Vec::new());
            self.undisturbed.push(Vec::new());
            let quiet = random.below(pace.kills + 1);
            for second in 0..=pace.kills {
                step(cycle * (pace.kills + 1) + second);
                self.second(&boot, &apps, second != quiet, random)?;
            }
        }
        for (app, before) in [(&apps.log, log), (&apps.steady, steady)] {
            self.cause.count(before, counts(app));
        }
        self.cause.repeated = boot.component(VICTIM)?.counters[1].saturating_sub(repeated);
        stood_by(&boot, VICTIM)?;
        self.holdings = before.map(|before| [before, settled(apps.log.pid, before)]);
        let good = apps.other.board.get(Field::Good);
        let goes_on = apps.other.wait_until(PATIENCE, |board| board.get(Field::Good) > good);
        self.cause.others_interrupted = Some(u64::from(!goes_on || counts(&apps.other)[0] > 0));
        for app in [&apps.log, &apps.steady] {
            app.stop();
            app.wait_until(PATIENCE, |board| board.get(Field::Audited) != 0);
            self.cause.audit(&app.board);
        }
        Ok(())
    }

    fn second(&mut self, boot: &Boot, apps: &Apps, kill: bool, random: &mut Random) -> Result<(), BootFailure> {
        let (begin, good, delays) = (Instant::now(), apps.log.board.get(Field::Good), apps.steady.board.delays());
        std::thread::sleep(Duration::from_nanos(random.below(KILLED_WITHIN.as_nanos() as usize) as u64));
        // A second without a kill is looked at as often, since looks take time of the cores as well.
        stood_by(boot, VICTIM)?;
        boot.events()?;
        let killed = clock::now();
        let events = match kill {
            true => {
                boot.signal(VICTIM, SIGKILL)?;
                until_restarted(boot, VICTIM)?
            }
            false => Vec::new(),
        };
        wait_for(&apps.steady, ROUNDS_AFTER)?;
        if kill {
            self.cause.note(&apps.steady, By::Kill, killed, &events);
        }
        std::thread::sleep(SECOND.saturating_sub(begin.elapsed()));
        let rate = (apps.log.board.get(Field::Good) - good) as f64 / begin.elapsed().as_secs_f64();
        let rates = if kill { &mut self.disturbed } else { &mut self.undisturbed };
        rates.last_mut().into_iter().for_each(|cycle| cycle.push(rate));
        for (delay, count) in apps.steady.board.delays() {
            let new = count - delays.get(&delay).copied().unwrap_or(0);
            *self.delays[usize::from(kill)].entry(delay).or_default() += new;
        }
        Ok(())
    }

    /// All records.
    pub fn records(&self, plan: &Plan) -> Vec<Record> {
        let columns = |cause| columns(configuration(), VICTIM, cause, plan);
        let own = columns("each_second/standby");
        if self.cause.deaths == 0 {
            let why = self.obstacle.as_deref().unwrap_or("it was not run");
            return vec![own.unavailable("throughput_ratio", "ratio", "ratio", why)];
        }
        let (seed, deaths) = (plan.seed, self.cause.deaths as usize);
        let mut records = self.cause.records(&own, seed);
        let ratio = stats::ratio(&self.disturbed, &self.undisturbed, stats::median, RESAMPLES, seed);
        records.push(own.estimate("throughput_ratio", "ratio", "ratio", ratio, deaths));
        let (first, second) = self.cause.halves();
        let drift = stats::ratio(second, first, stats::median, RESAMPLES, seed);
        records.push(match drift {
            Some(_) => own.estimate("restart_drift", "ratio", "ratio", drift, deaths),
            None => own.unavailable("restart_drift", "ratio", "ratio", "fewer than two cycles in each half of the run"),
        });
        if let Some([before, after]) = &self.holdings {
            for ((what, before), (_, after)) in before.counts().into_iter().zip(after.counts()) {
                let leaked = after as f64 - before as f64;
                records.push(own.value(&format!("leaked_{what}"), "total", "count", leaked, self.cause.deaths));
            }
        }
        for (delays, cause) in self.delays.iter().zip(["each_second/undisturbed", "each_second/standby"]) {
            let columns = columns(cause);
            let all: u64 = delays.values().sum();
            let mut above = all;
            for (delay, count) in delays {
                let share = above as f64 / all as f64;
                records.push(columns.value("delayed", &format!("over_{delay}"), "share", share, all));
                above -= count;
            }
        }
        records
    }
}

/// What is held when what the dead held is given back, or after a while.
fn settled(app: i32, before: Holdings) -> Holdings {
    let begin = Instant::now();
    loop {
        let now = Holdings::of_boot(app).unwrap_or_default();
        if now.is_within(&before) || begin.elapsed() > PATIENCE {
            return now;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
