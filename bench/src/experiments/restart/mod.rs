//! Driver restart: a component dies under steady load, and what its apps see of it.
//!
//! The load is open: rounds are due at a fixed rate whether or not the kernel answers, and delays count from when a
//! round was due. In the microkernel the component's process is killed (or its code made to fault) again and again, and comes
//! back in each of the ways that a policy can say, beside a bare kill and fork of a process as large; in the monolithic kernel the same fault is an oops, after which everything is probed, or the end of the kernel and a
//! reboot. The reboot is a lower bound: kernel initialisation alone, no firmware, no devices to probe, no user space.
//!
//! | file | what |
//! | --- | --- |
//! | [`killing`] | kills and faults in the microkernel |
//! | [`cause`] | what the deaths by one cause gave |
//! | [`in_turn`] | every component in turn, two at once, and a kill during recovery |
//! | [`each_second`] | a kill each second: drift, leaks, and throughput |
//! | [`random_kills`] | kills at random moments: what is lost, and what happens twice |
//! | [`idle`] | a server that is stuck though nobody calls it |
//! | [`misbehaving`] | a server that answers noise, or takes all memory |
//! | [`keyed`] | faults behind protection keys |
//! | [`oopsing`] | the same fault in the monolithic kernel: what still works, and the way back |
//! | [`upgrade`] | another version of a driver, in both |
//! | [`timeline`] | completed rounds around the kill |

mod cause;
pub mod each_second;
mod idle;
pub mod in_turn;
pub mod keyed;
mod killing;
pub mod misbehaving;
mod oopsing;
pub mod random_kills;
mod timeline;
mod upgrade;

use std::time::{Duration, Instant};

use kd_boot::policy::Way;
use kd_report::schema::{Entry, Experiment, Record};
use kd_report::stats::{self, Random};

use self::each_second::{EachSecond, Pace};
use self::in_turn::InTurn;
use self::random_kills::RandomKills;
use super::faults::subjects;
use super::latency::Configuration;
use super::records::Subject as Columns;
use super::{Plan, Progress};
use crate::boot::BootFailure;
use crate::budget;

/// Rounds a second.
const RATE: u32 = 2_000;
/// Resamples of each bootstrap.
const RESAMPLES: usize = 2_000;
/// Boots of each configuration at most.
const BOOTS_MAX: usize = 40;

/// Boots of a quick run in which everything is tried after an oops: each try is an app of its own.
const PROBED_QUICK: usize = 2;
/// Boots of a quick run in which drivers are upgraded and a kernel waits.
const UPGRADED_QUICK: usize = 3;
/// What part of the budget each part has, beside [`each_second`], whose length is its pace.
const DEATHS: f64 = 0.6;
const IN_TURN: f64 = 0.15;
const RANDOM_KILLS: f64 = 0.08;
/// Kills at random moments of a long run, and how long they may take.
const KILLS: u64 = 10_000;
const KILLING: Duration = Duration::from_secs(180);

/// How a kill each second is gone about.
const fn pace(plan: &Plan) -> Pace {
    match (plan.long, plan.quick) {
        (true, _) => Pace { cycles: 60, kills: 10 },
        (false, false) => Pace { cycles: 4, kills: 2 },
        (false, true) => Pace { cycles: 2, kills: 1 },
    }
}

/// Runs the experiment.
///
/// # Errors
/// A kernel that did not boot, or that went away.
pub fn run(plan: &Plan, progress: Progress<'_>) -> Result<Vec<Record>, BootFailure> {
    let budget = Duration::from_secs(budget::of(plan, "restart"));
    let begin = Instant::now();
    let mut tell = |what: &str| progress((begin.elapsed().as_secs_f64() / budget.as_secs_f64()).min(1.0), what);
    let mut random = Random::new(plan.seed, 3);
    let mut records = deaths(plan, &mut random, &mut tell)?;
    let mut in_turn = InTurn::new(plan.quick);
    let (begun, time) = (Instant::now(), share(plan, IN_TURN));
    for round in 0..BOOTS_MAX {
        if round > 0 && begun.elapsed() >= time {
            break;
        }
        for number in in_turn.numbers() {
            tell(&format!("{}, boot {}", in_turn.name(number), round + 1));
            in_turn.boot(number, &mut random)?;
        }
    }
    records.extend(in_turn.records(plan));
    records.extend(idle::run(plan)?);
    tell("servers that misbehave");
    records.extend(misbehaving::run(plan)?);
    let mut random_kills = RandomKills::default();
    let time = if plan.long { KILLING } else { share(plan, RANDOM_KILLS) };
    random_kills.run(KILLS, time, &mut random, &mut |kill| tell(&format!("kill {kill} at a random moment")))?;
    records.extend(random_kills.records(plan));
    let mut each_second = EachSecond::default();
    let pace = pace(plan);
    let seconds = pace.seconds();
    each_second.run(pace, &mut random, &mut |second| tell(&format!("a kill each second: {second} of {seconds} s")))?;
    records.extend(each_second.records(plan));
    Ok(records)
}

/// A part of what a run that is not long has.
fn share(plan: &Plan, part: f64) -> Duration {
    Duration::from_secs(budget::seconds("restart", plan.quick)).mul_f64(part)
}

/// Deaths of drivers and of a service, by every cause and in every way: every boot once in each round, as many rounds as the
/// budget allows, at least the plan's boots.
fn deaths(plan: &Plan, random: &mut Random, tell: &mut dyn FnMut(&str)) -> Result<Vec<Record>, BootFailure> {
    let subjects = subjects(plan.quick);
    let (begin, budget) = (Instant::now(), share(plan, DEATHS));
    // What the ways differ by shows in drivers; a quick run shows it in one.
    let all_ways = |subject: usize| if plan.quick { subject == 0 } else { subjects[subject].is_driver() };
    let ways = |subject: usize| Way::ALL.into_iter().filter(move |way| all_ways(subject) || *way == Way::Warm);
    let mut killed: Vec<Vec<killing::Samples>> =
        (0..subjects.len()).map(|subject| ways(subject).map(killing::Samples::new).collect()).collect();
    let mut keyed: Vec<keyed::Keyed> = subjects.iter().map(|_| keyed::Keyed::default()).collect();
    let mut oopsed: Vec<oopsing::Samples> = subjects.iter().map(|_| oopsing::Samples::default()).collect();
    let mut upgraded: Vec<Vec<upgrade::Samples>> = subjects.iter().map(upgrade::samples).collect();
    for boot in 0..BOOTS_MAX {
        if boot >= budget::boots(plan.quick) && begin.elapsed() >= budget {
            break;
        }
        for (number, subject) in subjects.iter().enumerate() {
            tell(&format!("boot {}: {}", boot + 1, subject.name));
            for way in &mut killed[number] {
                way.boot(subject, plan.quick, random)?;
            }
            keyed[number].boots(subject, 1, random)?;
            let probed = !plan.quick || boot < PROBED_QUICK;
            let more = !plan.quick || boot < UPGRADED_QUICK;
            oopsed[number].boot(subject, oopsing::Asked { probed, kexec: more && number == 0 }, random)?;
            for kernel in upgraded[number].iter_mut().filter(|_| more) {
                kernel.boot(subject, random)?;
            }
        }
    }
    let mut records = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        records.extend(killed[number].iter().flat_map(|way| way.records(subject, plan)));
        records.extend(keyed[number].records(subject, plan));
        records.extend(killing::unkillable(subject, plan));
        records.extend(oopsed[number].records(subject, plan));
        records.extend(upgraded[number].iter().flat_map(|kernel| kernel.records(subject, plan)));
    }
    Ok(records)
}

fn columns(configuration: Configuration, component: &str, cause: &str, plan: &Plan) -> Columns {
    Columns {
        experiment: Experiment::Restart,
        kernel: configuration.kernel_word(),
        placement: configuration.placement_word(),
        wait: configuration.wait_word(),
        entry: Entry::Call,
        cores: plan.cores.len() as u32,
        workload: format!("{component}/{cause}"),
    }
}

/// Times of one kind, by boot: their median with interval, and the worst.
#[derive(Debug, Default)]
struct Times(Vec<Vec<f64>>);

impl Times {
    fn new_boot(&mut self) {
        self.0.push(Vec::new());
    }

    fn push(&mut self, nanoseconds: u64) {
        if let Some(boot) = self.0.last_mut() {
            boot.push(nanoseconds as f64 / 1e3);
        }
    }

    fn records(&self, columns: &Columns, metric: &str, seed: u64) -> Vec<Record> {
        let mut all: Vec<f64> = self.0.concat();
        if all.is_empty() {
            return vec![columns.unavailable(metric, "median", "us", "it never happened")];
        }
        let n = all.len();
        let median = match stats::estimate(&self.0, stats::median, RESAMPLES, seed) {
            Some(estimate) => columns.estimate(metric, "median", "us", Some(estimate), n),
            None => columns.value(metric, "median", "us", stats::median(&mut all), n as u64),
        };
        let p99 = columns.value(metric, "p99", "us", stats::p99(&mut all), n as u64);
        let max = columns.value(metric, "max", "us", all.iter().copied().fold(0.0, f64::max), n as u64);
        vec![median, p99, max]
    }
}
