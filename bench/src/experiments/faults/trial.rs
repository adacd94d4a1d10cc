//! One trial: a fresh boot, two apps, one fault, and a look at everything from outside.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::{Board, Field};
use kd_boot::control::{Entry, Event, Task, What, canary};
use kd_faults::{Fault, inject, peek};

use super::outcome::{AppSeen, Seen};
use super::subject::Subject;
use crate::boot::{Boot, BootFailure, RunningApp, find_held};
use crate::experiments::latency::Configuration;

/// An app that does not get going within this time has an obstacle of its own.
const START: Duration = Duration::from_secs(5);
/// Good rounds before the fault is armed, so that everything is warm and bytes have been acknowledged.
const ROUNDS_BEFORE: u64 = 10;
/// Good rounds afterwards that count as going on.
const ROUNDS_AFTER: u64 = 10;
/// How long the fault may take to happen, under load that executes the function thousands of times a second.
const ACTIVATION: Duration = Duration::from_secs(2);
/// How long an app may stand still before it counts as hung: longer than a supervisor takes to notice any hang.
const PATIENCE: Duration = Duration::from_millis(900);
/// How long the final audit may take.
const AUDIT: Duration = Duration::from_millis(500);
/// Bytes of the canary looked for in the kernel's memory.
const MARK: usize = 64;

/// Runs one trial: the fault happens at the `execution`-th execution of the subject's function.
pub fn run(configuration: Configuration, subject: &Subject, fault: Fault, execution: u64, seed: u64) -> Seen {
    if let Some(why) = configuration.unavailable() {
        return Seen::obstacle(why);
    }
    attempt(configuration, subject, fault, execution, seed).unwrap_or_else(|why| Seen::obstacle(why.to_string()))
}

type Obstacle = Box<dyn std::error::Error>;

fn attempt(
    configuration: Configuration,
    subject: &Subject,
    fault: Fault,
    execution: u64,
    seed: u64,
) -> Result<Seen, Obstacle> {
    let mut manifest = configuration.manifest();
    manifest.apps = 2;
    let boot = Boot::new(&manifest)?;
    let other = boot.start(2, true, Task::Canary(seed))?;
    let rounds = Task::Rounds { workload: subject.workload.clone(), rate: 0, entry: Entry::Call };
    let caller = boot.start(1, true, rounds)?;
    for app in [&other, &caller] {
        if !app.wait_until(START, |board| board.get(Field::Good) >= ROUNDS_BEFORE) {
            return Err("an app did not get going before any fault".into());
        }
    }
    let victim = Victim::find(&boot, seed)?;
    let target = subject.target(&boot)?;
    let execution = NonZeroU64::new(execution).ok_or("executions count from one")?;
    // What came before is not this fault's; it may happen as soon as it is armed.
    boot.events()?;
    let armed = inject(target.pid, &target.site, target.room, fault, execution, Some(victim.address))?;
    // Arming stopped the component for a moment; the longest round is counted from here on.
    caller.board.set(Field::LongestRound, 0);

    let activated = wait(ACTIVATION, || {
        // A victim that is gone cannot be asked: then it happened.
        armed.fired().unwrap_or(true)
    });
    let mut watch = Watch { boot: &boot, caller: &caller, other: &other, events: Vec::new() };
    watch.until_settled(ROUNDS_AFTER);
    Ok(watch.judge(activated, &victim))
}

/// Bytes of an app that has nothing to do with the failing component, in the kernel's memory.
struct Victim {
    pid: i32,
    address: usize,
    content: Vec<u8>,
}

impl Victim {
    /// The canary's file, where ramfs holds it.
    fn find(boot: &Boot, seed: u64) -> Result<Victim, Obstacle> {
        let holder = boot.component("ramfs")?;
        let content = canary(seed)[..MARK].to_vec();
        let address = find_held(&holder, &content)?;
        Ok(Victim { pid: holder.pid, address: address.ok_or("the canary is not in ramfs's memory")?, content })
    }

    /// Whether they are as they were; memory of a kernel that is gone holds nothing to compare.
    fn intact(&self) -> bool {
        peek(self.pid, self.address, self.content.len()).map_or(true, |now| now == self.content)
    }
}

/// The look at everything after a fault.
struct Watch<'a> {
    boot: &'a Boot,
    caller: &'a RunningApp,
    other: &'a RunningApp,
    events: Vec<Event>,
}

impl Watch<'_> {
    /// Waits until both apps go on, or are dead, or have stood still for [`PATIENCE`].
    fn until_settled(&mut self, rounds: u64) {
        let good = |app: &RunningApp| app.board.get(Field::Good);
        let goal = (good(self.caller) + rounds, good(self.other) + rounds);
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let caller_done = good(self.caller) >= goal.0 || self.is_dead(1, &self.caller.board);
            let other_done = good(self.other) >= goal.1 || self.is_dead(2, &self.other.board);
            if caller_done && other_done {
                return;
            }
            if self.collect().is_err() || self.kernel_died() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn collect(&mut self) -> Result<(), BootFailure> {
        self.events.extend(self.boot.events()?);
        Ok(())
    }

    fn kernel_died(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Panic(_)))
    }

    fn is_dead(&self, number: u32, board: &Board) -> bool {
        let name = format!("app {number}");
        board.get(Field::Killed) != 0 || self.events.iter().any(|event| event.who == name)
    }

    fn judge(mut self, activated: bool, victim: &Victim) -> Seen {
        if self.kernel_died() {
            return self.judge_dead(activated);
        }
        // The rounds that both apps do from here on are after the fault, whatever came before.
        let before = [self.caller, self.other].map(|app| app.board.get(Field::Good));
        let apps = [(1, self.caller), (2, self.other)];
        wait(Duration::from_millis(200), || {
            let done = |((number, app), before): ((u32, &RunningApp), u64)| {
                app.board.get(Field::Good) > before + 1 || self.is_dead(number, &app.board)
            };
            apps.into_iter().zip(before).all(done)
        });
        let went_on = [0, 1].map(|i| apps[i].1.board.get(Field::Good) > before[i]);
        let victim_intact = victim.intact();
        let fault_at = self.fault_at(went_on[0]);
        for app in [self.caller, self.other] {
            app.stop();
        }
        // One that has stood still for so long already audits nothing.
        for (number, app) in apps.into_iter().zip(went_on).filter_map(|(app, went_on)| went_on.then_some(app)) {
            wait(AUDIT, || {
                let gone = self.collect().is_err() || self.is_dead(number, &app.board);
                gone || app.board.get(Field::Audited) != 0
            });
        }
        let kernel_alive = !self.kernel_died() && self.collect().is_ok();
        let caller = self.app(1, self.caller, went_on[0]);
        let other = self.app(2, self.other, went_on[1]);
        let (noticed_by, at) = self.noticed(&caller);
        let notice_us = at.zip(fault_at).filter(|(at, fault)| at >= fault).map(|(at, fault)| (at - fault) as f64 / 1e3);
        let notice_us = notice_us.filter(|_| activated);
        Seen { obstacle: None, activated, kernel_alive, caller, other, victim_intact, noticed_by, notice_us }
    }

    /// The kernel is gone, and every app with it: there is nobody left to ask.
    fn judge_dead(&self, activated: bool) -> Seen {
        let gone = AppSeen { killed: true, ..AppSeen::default() };
        let (noticed_by, _) = self.noticed(&gone);
        Seen { activated, kernel_alive: false, caller: gone, other: gone, noticed_by, ..Seen::nothing() }
    }

    fn app(&self, number: u32, app: &RunningApp, went_on: bool) -> AppSeen {
        let field = |field| app.board.get(field);
        // An app that ended after its audit did what it was asked to; one that ended before did not.
        let ended = self.is_dead(number, &app.board) && field(Field::Audited) == 0;
        AppSeen {
            killed: field(Field::Killed) != 0 || ended,
            went_on: went_on && !ended,
            failed: field(Field::Failed),
            wrong: field(Field::Wrong) + field(Field::Corrupted),
            lost: field(Field::Lost),
        }
    }

    /// When the round began that met the fault: the last one of an app that did not go on, the longest of one that did.
    fn fault_at(&self, went_on: bool) -> Option<u64> {
        let board = &self.caller.board;
        let at = if went_on { board.get(Field::LongestRoundAt) } else { board.get(Field::LastStart) };
        (at != 0).then_some(at)
    }

    /// Who noticed first, and when.
    fn noticed(&self, caller: &AppSeen) -> (&'static str, Option<u64>) {
        let noticed = self.events.iter().find_map(|event| match event.what {
            What::Oops(_) => Some(("oops", event.at)),
            What::Fenced(_) => Some(("panic_fence", event.at)),
            What::Hung(_) | What::Violated => Some(("supervisor", event.at)),
            What::Died(_) if !event.who.starts_with("app") => Some(("supervisor", event.at)),
            What::Panic(_) => Some(("nobody", event.at)),
            _ => None,
        });
        match noticed {
            Some(("nobody", _)) => ("nobody", None),
            Some((who, at)) => (who, Some(at)),
            None if caller.failed + caller.wrong > 0 => ("app", Some(self.caller.board.get(Field::FirstBad))),
            None => ("nobody", None),
        }
    }
}

fn wait(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while !done() {
        if begin.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    true
}
