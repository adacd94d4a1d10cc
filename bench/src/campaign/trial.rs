//! One trial: a fresh boot, two apps in turn, one fault, and a look at everything from outside.

use std::error::Error;
use std::fmt::Write;

use kd_boot::board::{Board, Field, Step};
use kd_boot::control::{Event, Load, Task, What, canary};
use kd_boot::manifest::{MediumName, RingDevice};
use kd_boot::sabotage::{Sabotage, Witness};
use kd_campaign::{Class, Record, Runner, Trial};
use kd_faults::mutation::{Kind, Mutation};
use kd_faults::victim::{Region, regions};
use kd_faults::{lay_breakpoint, peek};
use kd_machine::memory::Memory;
use kd_nucleus::mutant::Mutant;
use kd_nucleus::process;
use kd_nucleus::zygote::Zygote;
use kd_report::campaign::Example;

use super::disk::{self, TrialDisk};
use super::hang::{LOOK, Watch};
use super::seen::{AppSeen, Seen};
use super::session::CampaignError;
use super::subject::{Subject, Subjects};
use super::wild;
use crate::boot::{Boot, RunningApp};

/// Rounds of each app before the fault, so that everything is warm and bytes have been acknowledged.
const BEFORE: u64 = 3;
/// Rounds of each afterwards.
const AFTER: u64 = 6;
/// Rounds in a row that are not good, after which an app gets no more: it has seen what it will ever see.
const BAD: u32 = 2;

/// Why a trial could not be made.
pub type Obstacle = Box<dyn Error>;

/// Makes trials. Each job has one, which keeps its pages from trial to trial.
pub struct TrialRunner {
    seed: u64,
    cores: Vec<usize>,
    subjects: &'static Subjects,
    page: Memory,
    witness: Witness,
    boards: [Memory; 2],
    disk: TrialDisk,
}

impl TrialRunner {
    /// One that draws its faults from a seed; its boots are bound to these cores, or to none.
    ///
    /// # Errors
    /// No code to change, or no memory.
    pub fn new(seed: u64, cores: Vec<usize>) -> Result<TrialRunner, CampaignError> {
        let (page, witness) = Witness::new()?;
        let boards = [Board::new()?.0, Board::new()?.0];
        let (subjects, disk) = (Subjects::get()?, TrialDisk::new()?);
        let zygote = Zygote::get()?;
        for subject in subjects.iter().filter(|subject| subject.module.is_some()) {
            zygote.keep(subject.name)?;
        }
        Ok(TrialRunner { seed, cores, subjects, page, witness, boards, disk })
    }

    /// The fault of a trial, if its component can have it.
    pub fn mutation(&self, trial: &Trial) -> Result<Option<Mutation>, Obstacle> {
        Ok(self.subjects.find(&trial.subject)?.mutation(&trial.kind, self.seed, trial.number))
    }

    /// Makes one, and tells all that was seen; none if the component cannot have this fault.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn observe(&mut self, trial: &Trial) -> Result<Option<Made>, Obstacle> {
        let subject = self.subjects.find(&trial.subject)?;
        let Some(mutation) = self.mutation(trial)? else { return Ok(None) };
        let mutant = mutation.mutant.clone();
        let (mut base, mut mapped): (usize, Vec<Region>) = (0, Vec::new());
        let (seen, mut notes) = self.attempt(trial, subject, mutant, |_, _, (pid, at)| {
            base = at;
            if mutation.kind == Kind::Address {
                mapped = regions(pid)?;
            }
            Ok(lay_breakpoint(pid, base + mutation.mutant.at, &mutation.mutant.original)?)
        })?;
        notes.mark = wild::mark(&mutation, base, &notes.registers, &mapped);
        Ok(Some((mutation, seen, notes)))
    }

    /// Makes one, and tells it in full.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn tell(&mut self, trial: &Trial) -> Result<(Record, Example), Obstacle> {
        let made = self.observe(trial)?;
        let record = record(trial, made.as_ref());
        let mut example = Example {
            trial: trial.id,
            kernel: trial.kernel.clone(),
            subject: trial.subject.clone(),
            kind: trial.kind.clone(),
            class: record.class,
            function: String::new(),
            before: String::new(),
            after: String::new(),
            story: String::new(),
        };
        if let Some((mutation, _, notes)) = made {
            example.story = notes.story();
            (example.function, example.before, example.after) = (mutation.function, mutation.before, mutation.after);
        }
        Ok((record, example))
    }

    /// Makes a trial of any mutant. `strike` makes the first instance one, in this boot and this process, whose code begins
    /// there.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn attempt(
        &mut self,
        trial: &Trial,
        subject: &Subject,
        mutant: Mutant,
        strike: impl FnOnce(&Boot, &Witness, (i32, usize)) -> Result<(), Obstacle>,
    ) -> Result<(Seen, Notes), Obstacle> {
        let mut manifest = subject.manifest(&trial.kernel)?;
        manifest.cores = self.cores.clone();
        manifest.sabotage = Some(Sabotage { component: subject.name.into(), permanent: trial.permanent, mutant });
        self.witness.clear();
        let disk = manifest.entries.iter_mut().find(|entry| entry.ring.is_some());
        let has_disk = disk.is_some();
        if let Some(entry) = disk {
            self.disk.clear()?;
            entry.disk = disk::BYTES;
            entry.ring = Some(RingDevice { medium: MediumName::Named(self.disk.path()), ..RingDevice::memory() });
        }
        let boot = Boot::sabotaged(&manifest, &self.page)?;
        let start = |number: u32, load: &Load, probes: &[String]| -> Result<Actor, Obstacle> {
            let memory = &self.boards[number as usize - 1];
            let board = Board::map(memory)?;
            board.clear();
            let task = Task::Steps { load: load.clone(), probes: probes.into() };
            let app = boot.start_on(number, true, task, memory, board)?;
            Ok(Actor {
                app,
                name: format!("app {number}"),
                turn: 0,
                at_last: Field::Good,
                bad: 0,
                seen: AppSeen::default(),
            })
        };
        let other = start(2, &subject.other, &subject.probes)?;
        let caller = start(1, &subject.caller, &[])?;
        let names = manifest.entries.iter().map(|entry| entry.name.clone()).collect();
        let domain = subject.domain(&manifest);
        let mut stage = Stage { boot: &boot, names, domain, witness: &self.witness, events: Vec::new(), caller, other };
        stage.warm_up()?;
        let at = self.witness.subject().ok_or("the component did not say where its code is")?;
        self.witness.begin();
        strike(&boot, &self.witness, at)?;
        stage.work_on();
        let mut seen = stage.judge(subject);
        let notes = stage.notes();
        let stable = stage.caller.app.board.stable();
        boot.end()?;
        if has_disk && subject.caller == Load::Files("/mnt".into()) {
            seen.disk = self.disk.check(1, stable)?;
        }
        Ok((seen, notes))
    }
}

impl Runner for TrialRunner {
    fn run(&mut self, trial: &Trial) -> Result<Record, String> {
        let made = self.observe(trial).map_err(|error| error.to_string())?;
        Ok(record(trial, made.as_ref()))
    }
}

/// A fault, what was seen of it, and what goes with that.
pub type Made = (Mutation, Seen, Notes);

fn record(trial: &Trial, made: Option<&Made>) -> Record {
    let Some((Mutation { function, before, after, .. }, seen, notes)) = made else {
        let class = Class::NotApplicable;
        return Record {
            trial: trial.id,
            class,
            notice_ns: None,
            timed: false,
            hit: Vec::new(),
            detail: String::new(),
        };
    };
    Record {
        trial: trial.id,
        class: seen.class(),
        notice_ns: notes.notice_ns.filter(|_| seen.activated),
        timed: notes.timed,
        hit: seen.hit(),
        detail: format!("{}{before} -> {after} in {function}", notes.mark),
    }
}

/// What goes with what was seen, but decides nothing.
#[derive(Clone, Debug)]
pub struct Notes {
    /// Nanoseconds from the first execution to the first notice.
    pub notice_ns: Option<u64>,
    /// Whether a hang limit was reached.
    pub timed: bool,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The registers at the first execution; none of them if there was none.
    pub registers: Vec<(&'static str, u64)>,
    /// When that was.
    activated_at: u64,
    /// Where the spoiled address pointed.
    mark: &'static str,
}

impl Notes {
    /// All of it, for people.
    fn story(&self) -> String {
        let mut story = String::new();
        if self.activated_at == 0 {
            return "the instruction was never executed".into();
        }
        story.push_str("registers at its first execution:");
        for (number, (name, value)) in self.registers.iter().enumerate() {
            let between = if number % 6 == 0 { "\n  " } else { " " };
            // A text never refuses.
            let _ = write!(story, "{between}{name}={value:#x}");
        }
        for Event { at, who, what } in &self.events {
            let after = at.saturating_sub(self.activated_at) as f64 / 1e3;
            let _ = write!(story, "\n{after:.0} us later: {who}: {what:?}");
        }
        story
    }
}

/// How a round may end.
const ROUNDS: [Field; 3] = [Field::Good, Field::Failed, Field::Wrong];

/// An app that takes steps.
struct Actor {
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
struct Stage<'a> {
    boot: &'a Boot,
    /// The components, by number.
    names: Vec<String>,
    /// What events call the domain that fails, and those in it.
    domain: Vec<String>,
    witness: &'a Witness,
    events: Vec<Event>,
    caller: Actor,
    other: Actor,
}

impl Stage<'_> {
    fn warm_up(&mut self) -> Result<(), Obstacle> {
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

    fn work_on(&mut self) {
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
    }

    /// Waits for the end of a step.
    fn wait(&mut self, caller: bool, turn: u32) {
        let mut watch = Watch::default();
        while !self.actor(caller).app.board.wait_for_end(turn, LOOK.as_nanos() as u64) {
            let gone = self.collect().is_err() || self.kernel_died();
            let name = self.actor(caller).name.clone();
            if gone || self.events.iter().any(|event| event.who == name) {
                self.actor(caller).seen.killed = true;
                return;
            }
            let mut pids: Vec<i32> = self.boot.status().unwrap_or_default().iter().map(|status| status.pid).collect();
            pids.push(self.actor(caller).app.pid);
            pids.sort_unstable();
            pids.dedup();
            if watch.is_hung(&pids) {
                self.actor(caller).seen.hung = true;
                pids.into_iter().for_each(process::set_aside);
                return;
            }
        }
        if self.actor(caller).field(Field::Killed) != 0 {
            self.actor(caller).seen.killed = true;
        }
    }

    fn collect(&mut self) -> Result<(), Obstacle> {
        self.events.extend(self.boot.events()?);
        Ok(())
    }

    fn kernel_died(&self) -> bool {
        self.events.iter().any(|event| matches!(event.what, What::Panic(_)))
    }

    fn judge(&mut self, subject: &Subject) -> Seen {
        let gone = self.collect().is_err();
        let kernel_dead = gone || self.kernel_died();
        let canaries = if kernel_dead { Vec::new() } else { self.canaries_hit(subject) };
        let mut seen = Seen {
            activated: self.witness.activations() > 0,
            kernel_dead,
            caller: self.look_at(true),
            other: self.look_at(false),
            canaries,
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
            let changed = |planted: kd_boot::sabotage::Canary| {
                // One whose process is gone cannot be looked at.
                peek(planted.pid, planted.address, expected.len()).is_ok_and(|now| now != expected)
            };
            if self.witness.canaries(number).into_iter().any(changed) {
                hit.push(name.clone());
            }
        }
        hit
    }

    fn notes(&self) -> Notes {
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
