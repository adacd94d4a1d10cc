//! A boot with its two apps, one step after the other, and the look at both.

use std::time::Duration;

use kd_boot::board::{Field, Step};
use kd_boot::control::{Event, Status, What, canary};
use kd_boot::sabotage::{Canary, Witness};
use kd_faults::peek;
use kd_nucleus::process;

use super::hang::Watch;
use super::notes::Notes;
use super::secrets;
use super::seen::{AppSeen, Seen};
use super::subject::Subject;
use super::trial::Obstacle;
use crate::boot::{Boot, RunningApp};

/// Rounds of each app before the fault, so that everything is warm and bytes have been acknowledged.
const BEFORE: u64 = 3;
/// Rounds of each afterwards.
const AFTER: u64 = 6;
/// Rounds in a row that are not good, after which an app gets no more: it has seen what it will ever see.
const BAD: u32 = 3;

/// Looks in a row that find a kernel quiet, looks at most until then, and the time between two: so that a kernel that looks
/// after its own threads every few milliseconds has done so.
const QUIET: u32 = 3;
const SETTLE: u32 = 25;
const BETWEEN: Duration = Duration::from_millis(4);
/// CPU time between two such looks that is no work.
const REST: Duration = Duration::from_micros(200);
/// Looks at most until a supervisor has answered a broken message: many of its own.
const LOOKS: u32 = 50;

/// How a round may end.
const ROUNDS: [Field; 3] = [Field::Good, Field::Failed, Field::Wrong];

/// An app that takes steps.
pub struct Actor {
    app: RunningApp,
    /// What events call it.
    name: String,
    turn: u32,
    /// Which of [`ROUNDS`] the last round added to.
    at_last: Field,
    /// Rounds in a row, up to the last one, that were not good.
    bad: u32,
    seen: AppSeen,
}

impl Actor {
    /// An app of this number, which has not taken a step yet.
    pub fn new(app: RunningApp, number: u32) -> Actor {
        let name = format!("app {number}");
        Actor { app, name, turn: 0, at_last: Field::Good, bad: 0, seen: AppSeen::default() }
    }

    fn is_gone(&self) -> bool {
        self.seen.killed || self.seen.hung
    }

    /// Notes which count its last round added to, of those that there were.
    fn note(&mut self, before: [u64; 3]) {
        let added = ROUNDS.into_iter().zip(before).find(|(field, count)| self.field(*field) != *count);
        self.at_last = added.map_or(self.at_last, |(field, _)| field);
        self.bad = if self.at_last == Field::Good { 0 } else { self.bad + 1 };
    }

    fn field(&self, field: Field) -> u64 {
        self.app.board.get(field)
    }
}

/// A boot with its two apps.
pub struct Stage<'a> {
    boot: &'a Boot,
    /// The components, by number.
    names: Vec<String>,
    /// What events call the domain that fails, and those in it.
    domain: Vec<String>,
    witness: &'a Witness,
    events: Vec<Event>,
    /// Whether a supervisor may have to answer broken messages.
    pub forged: bool,
    /// Broken messages of the failing domain that its clients have counted and its supervisor has answered.
    violations: u64,
    caller: Actor,
    other: Actor,
}

impl<'a> Stage<'a> {
    /// A boot of these components, whose failing domain events call by one of these names, and its two apps, the caller
    /// first.
    pub fn new(
        boot: &'a Boot,
        witness: &'a Witness,
        (names, domain): (Vec<String>, Vec<String>),
        (caller, other): (Actor, Actor),
    ) -> Stage<'a> {
        Stage { boot, names, domain, witness, events: Vec::new(), forged: false, violations: 0, caller, other }
    }

    /// Both apps work, and all must be well.
    ///
    /// # Errors
    /// It is not.
    pub fn warm_up(&mut self) -> Result<(), Obstacle> {
        for caller in [false, true] {
            self.wait(caller, 0);
            if self.actor(caller).field(Field::Running) == 0 {
                let errno = self.actor(caller).field(Field::LastErrno);
                return Err(format!("an app did not start before any fault: errno {errno}").into());
            }
        }
        for _ in 0..BEFORE {
            self.step(true, Step::Round);
            self.step(false, Step::Round);
        }
        match [&self.caller, &self.other].iter().all(|actor| actor.field(Field::Good) == BEFORE) {
            true => Ok(()),
            false => Err("an app saw something wrong before any fault".into()),
        }
    }

    /// Both go on with the fault, then look at all that was acknowledged, and ask around.
    pub fn work_on(&mut self) {
        for _ in 0..AFTER {
            self.step(true, Step::Round);
            self.step(false, Step::Round);
        }
        for (caller, step) in [(true, Step::Audit), (false, Step::Audit), (false, Step::Probe)] {
            self.step(caller, step);
        }
    }

    fn actor(&mut self, caller: bool) -> &mut Actor {
        if caller { &mut self.caller } else { &mut self.other }
    }

    /// Has an app take a step, if it can, and waits until it is taken or will never be.
    fn step(&mut self, caller: bool, step: Step) {
        let actor = self.actor(caller);
        if actor.is_gone() || step == Step::Round && actor.bad >= BAD {
            return;
        }
        actor.turn += 1;
        let turn = actor.turn;
        let counts = ROUNDS.map(|field| actor.field(field));
        actor.app.board.give_turn(turn, step);
        self.wait(caller, turn);
        if step == Step::Round {
            self.actor(caller).note(counts);
        }
        if self.forged {
            self.wait_for_the_supervisor();
        }
    }

    /// Waits until the supervisor has answered what clients have counted: else a trial's outcome hung on when it looks.
    fn wait_for_the_supervisor(&mut self) {
        let status = self.boot.status().unwrap_or_default();
        let counted = |status: &Status| if self.domain.contains(&status.name) { status.counters[0] } else { 0 };
        let now = status.iter().map(counted).max().unwrap_or(0);
        if now <= self.violations {
            return;
        }
        self.violations = now;
        let seen = self.events.len();
        for _ in 0..LOOKS {
            if self.collect().is_err() || self.events[seen..].iter().any(|event| event.what == What::Violated) {
                return;
            }
            std::thread::sleep(BETWEEN);
        }
    }

    /// Waits for the end of a step.
    fn wait(&mut self, caller: bool, turn: u32) {
        let mut watch = Watch::default();
        while !self.actor(caller).app.board.wait_for_end(turn, watch.pause().as_nanos() as u64) {
            let gone = self.collect().is_err() || self.kernel_died();
            let name = self.actor(caller).name.clone();
            if gone || self.events.iter().any(|event| event.who == name) {
                self.actor(caller).seen.killed = true;
                return;
            }
            if watch.is_hung(self.kernel(), self.actor(caller).app.pid) {
                self.actor(caller).seen.hung = true;
                return;
            }
        }
        if self.actor(caller).field(Field::Killed) != 0 {
            self.actor(caller).seen.killed = true;
        }
    }

    /// The kernel's processes.
    fn kernel(&self) -> Vec<i32> {
        let mut pids: Vec<i32> = self.boot.status().unwrap_or_default().iter().map(|status| status.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Where somebody died, others may still be putting things away, and what comes of that belongs to the trial: waits
    /// until nobody in the kernel wants a core any more. Where somebody loops that would never be.
    fn rest(&mut self) {
        let (mut quiet, mut used) = (0, Duration::ZERO);
        for _ in 0..SETTLE {
            let gone = self.collect().is_err() || self.kernel_died();
            if gone || self.events.is_empty() || self.caller.seen.hung || self.other.seen.hung || quiet == QUIET {
                return;
            }
            std::thread::sleep(BETWEEN);
            let kernel = self.kernel();
            let now: Duration = kernel.iter().map(|&pid| process::cpu_time(pid)).sum();
            quiet = if now.abs_diff(used) <= REST { quiet + 1 } else { 0 };
            used = now;
            // Who gets no core on a busy machine wants one all the same. Clocks are cheap to look at, this is not.
            if quiet == QUIET && kernel.into_iter().any(process::is_runnable) {
                quiet = 0;
            }
        }
    }

    fn collect(&mut self) -> Result<(), Obstacle> {
        self.events.extend(self.boot.events()?);
        Ok(())
    }

    fn kernel_died(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Panic(_)))
    }

    /// What was seen.
    pub fn judge(&mut self, subject: &Subject) -> Seen {
        self.rest();
        let gone = self.collect().is_err();
        let kernel_dead = gone || self.kernel_died();
        let canaries = if kernel_dead { Vec::new() } else { self.canaries_hit(subject) };
        let mut seen = Seen {
            activated: self.witness.activations() > 0,
            kernel_dead,
            caller: self.look_at(true),
            other: self.look_at(false),
            canaries,
            leaked: secrets::owners(&self.witness.loot(), &self.names, subject),
            ..Seen::default()
        };
        for event in &self.events {
            let own = self.domain.contains(&event.who);
            match &event.what {
                What::Died(_) | What::Violated if event.who.starts_with("app") => {}
                What::Died(_) | What::Violated if own => {}
                What::Hung(_) if own => seen.hang_noticed = true,
                What::Restarted if own => seen.restarts += 1,
                What::Fenced(_) => seen.restarts += 1,
                What::Died(_) | What::Hung(_) | What::Violated => seen.died.push(event.who.clone()),
                _ => {}
            }
        }
        let (answered, bad) = (self.other.field(Field::Probed), self.other.field(Field::Unhealthy));
        for (number, name) in subject.probes.iter().enumerate() {
            // One that was not asked because the app had gone before is the app's affair.
            let hung = self.other.seen.hung && answered == number as u64;
            if bad >> number & 1 == 1 || hung {
                seen.unhealthy.push(name.clone());
            }
        }
        seen
    }

    fn look_at(&mut self, caller: bool) -> AppSeen {
        let kernel_dead = self.kernel_died();
        let actor = self.actor(caller);
        AppSeen {
            killed: actor.seen.killed && !kernel_dead,
            failed: actor.field(Field::Failed),
            good_at_last: actor.at_last == Field::Good,
            wrong: actor.field(Field::Wrong),
            lost: actor.field(Field::Lost),
            corrupted: actor.field(Field::Corrupted),
            ..actor.seen
        }
    }

    /// The components but the faulty one whose canaries have changed.
    fn canaries_hit(&self, subject: &Subject) -> Vec<String> {
        let mut hit = Vec::new();
        for (number, name) in self.names.iter().enumerate().filter(|(_, name)| *name != subject.name) {
            let expected = canary(number as u64);
            let changed = |planted: Canary| {
                // One whose process is gone cannot be looked at.
                peek(planted.pid, planted.address, expected.len()).is_ok_and(|now| now != expected)
            };
            if self.witness.canaries(number).into_iter().any(changed) {
                hit.push(name.clone());
            }
        }
        hit
    }

    /// Which of the caller's files are acknowledged as stable, by the rounds that wrote them.
    pub fn stable(&self) -> [Option<u64>; 4] {
        self.caller.app.board.stable()
    }

    /// What goes with that.
    pub fn notes(&self) -> Notes {
        let noticed = self.events.iter().filter(|event| match event.what {
            What::Oops(_) | What::Fenced(_) | What::Hung(_) | What::Violated => true,
            What::Died(_) => !event.who.starts_with("app"),
            _ => false,
        });
        let bad = Some(self.caller.field(Field::FirstBad)).filter(|at| *at != 0);
        let at = noticed.map(|event| event.at).chain(bad).min();
        let activated = Some(self.witness.activated_at()).filter(|at| *at != 0);
        Notes {
            notice_ns: at.zip(activated).and_then(|(at, since)| at.checked_sub(since)),
            timed: self.caller.seen.hung
                || self.other.seen.hung
                || self.events.iter().any(|event| matches!(event.what, What::Hung(_))),
            events: self.events.clone(),
            registers: self.witness.registers().collect(),
            activated_at: self.witness.activated_at(),
            mark: "",
        }
    }
}
