//! One trial: a fresh boot, two apps in turn, one fault, and a look at everything from outside.

use std::error::Error;
use std::io;

use kd_boot::board::Board;
use kd_boot::control::{Load, Task};
use kd_boot::manifest::{MediumName, RingDevice};
use kd_boot::misdeed::Place;
use kd_boot::sabotage::{How, Sabotage, Witness};
use kd_campaign::{Class, Record, Runner, Trial};
use kd_faults::lay_breakpoint;
use kd_faults::mutation::Kind;
use kd_faults::victim::{Region, regions};
use kd_machine::memory::Memory;
use kd_nucleus::zygote::Zygote;
use kd_report::campaign::Example;

use super::disk::{self, TrialDisk};
use super::notes::Notes;
use super::secrets;
use super::seen::Seen;
use super::session::CampaignError;
use super::stage::{Actor, Stage};
use super::subject::{self, Fault, Subject, Subjects};
use super::wild;
use crate::boot::Boot;

/// Why a trial could not be made.
pub type Obstacle = Box<dyn Error>;

/// Makes trials. Each job has one, which keeps its pages from trial to trial.
pub struct TrialRunner {
    seed: u64,
    cores: Vec<usize>,
    subjects: &'static Subjects,
    shared: Shared,
}

/// What a trial's processes share with us.
struct Shared {
    page: Memory,
    witness: Witness,
    boards: [Memory; 2],
    disk: TrialDisk,
}

impl Shared {
    fn new() -> io::Result<Shared> {
        let (page, witness) = Witness::new()?;
        Ok(Shared { page, witness, boards: [Board::new()?.0, Board::new()?.0], disk: TrialDisk::new()? })
    }
}

impl TrialRunner {
    /// One that draws its faults from a seed; its boots are bound to these cores, or to none.
    ///
    /// # Errors
    /// No code to change, or no memory.
    pub fn new(seed: u64, cores: Vec<usize>) -> Result<TrialRunner, CampaignError> {
        let subjects = Subjects::get()?;
        let zygote = Zygote::steady()?;
        for subject in subjects.iter().filter(|subject| subject.module.is_some()) {
            zygote.keep(subject.name)?;
        }
        Ok(TrialRunner { seed, cores, subjects, shared: Shared::new()? })
    }

    /// The fault of a trial, if its component can have it.
    ///
    /// # Errors
    /// There is no such component.
    pub fn fault(&self, trial: &Trial) -> Result<Option<Fault>, Obstacle> {
        Ok(self.subjects.find(&trial.subject)?.fault(&trial.kind, self.seed, trial.number))
    }

    /// Makes one, and tells all that was seen, or why there is no such fault.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn observe(&mut self, trial: &Trial) -> Result<Result<Made, &'static str>, Obstacle> {
        let subject = self.subjects.find(&trial.subject)?;
        let Some(fault) = self.fault(trial)? else { return Ok(Err("the component has nothing that can fail so")) };
        if let Some(why) = subject.inapplicable(&fault, &subject.manifest(&trial.kernel)?) {
            return Ok(Err(why));
        }
        let (mut base, mut mapped): (usize, Vec<Region>) = (0, Vec::new());
        let (seen, mut notes) = self.attempt(trial, subject, fault.how(), |boot, witness, (pid, at)| {
            let Fault::Mutation(mutation) = &fault else { return secrets::point_out(boot, witness, subject, &fault) };
            base = at;
            if mutation.kind == Kind::Address {
                mapped = regions(pid)?;
            }
            Ok(lay_breakpoint(pid, base + mutation.mutant.at, &mutation.mutant.original)?)
        })?;
        if let Fault::Mutation(mutation) = &fault {
            notes.mark = wild::mark(mutation, base, &notes.registers, &mapped);
        }
        Ok(Ok((fault, seen, notes)))
    }

    /// Makes one, and tells it in full.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn tell(&mut self, trial: &Trial) -> Result<(Record, Example), Obstacle> {
        let made = self.observe(trial)?;
        let record = record(trial, &made);
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
        if let Ok((fault, _, notes)) = made {
            example.story = notes.story();
            (example.function, example.before, example.after) = fault.text();
        }
        Ok((record, example))
    }

    /// Makes a trial of any fault. `strike` makes the first instance one, in this boot and this process, whose code begins
    /// there.
    ///
    /// # Errors
    /// What keeps the trial from being made.
    pub fn attempt(
        &mut self,
        trial: &Trial,
        subject: &Subject,
        how: How,
        strike: impl FnOnce(&Boot, &Witness, (i32, usize)) -> Result<(), Obstacle>,
    ) -> Result<(Seen, Notes), Obstacle> {
        let made = self.attempt_with(trial, subject, how, strike);
        if made.is_err() {
            // Processes of that boot may still write to what was theirs.
            self.shared = Shared::new()?;
        }
        made
    }

    fn attempt_with(
        &self,
        trial: &Trial,
        subject: &Subject,
        how: How,
        strike: impl FnOnce(&Boot, &Witness, (i32, usize)) -> Result<(), Obstacle>,
    ) -> Result<(Seen, Notes), Obstacle> {
        let Shared { page, witness, boards, disk: medium } = &self.shared;
        let mut manifest = subject.manifest(&trial.kernel)?;
        manifest.cores = self.cores.clone();
        let place = subject::place(&how);
        let iommu = place != Some(Place::Device(false));
        manifest.sabotage = Some(Sabotage { component: subject.name.into(), permanent: trial.permanent, how });
        witness.clear();
        let disk = manifest.entries.iter_mut().find(|entry| entry.ring.is_some());
        let has_disk = disk.is_some();
        if let Some(entry) = disk {
            medium.clear()?;
            entry.disk = disk::BYTES;
            entry.ring = Some(RingDevice { medium: MediumName::Named(medium.path()), iommu, ..RingDevice::memory() });
        }
        let boot = Boot::sabotaged(&manifest, page)?;
        let start = |number: u32, load: &Load, probes: &[String]| -> Result<Actor, Obstacle> {
            let memory = &boards[number as usize - 1];
            let board = Board::map(memory)?;
            board.clear();
            let task = Task::Steps { load: load.clone(), probes: probes.into() };
            let app = boot.start_on(number, true, task, memory, board)?;
            Ok(Actor::new(app, number))
        };
        let other = start(2, &subject.other, &subject.probes)?;
        let caller = start(1, &subject.caller, &[])?;
        let (dma, domain) = (subject.has_ring(), subject.domain(&manifest));
        let names: Vec<String> = manifest.entries.iter().map(|entry| entry.name.clone()).collect();
        let mut stage = Stage::new(&boot, witness, (names.clone(), domain), (caller, other));
        stage.forged = place == Some(Place::Message);
        stage.warm_up()?;
        let at = witness.subject().ok_or("the component did not say where its code is")?;
        witness.begin();
        strike(&boot, witness, at)?;
        stage.work_on();
        let mut seen = stage.judge(subject);
        let notes = stage.notes();
        let stable = stage.stable();
        boot.end()?;
        if dma {
            // What a device was told to write out is on the disk, whosever memory it was.
            seen.leaked.extend(secrets::owners(&medium.head()?, &names, subject));
        }
        if has_disk && subject.caller == Load::Files("/mnt".into()) {
            seen.disk = medium.check(1, stable)?;
        }
        Ok((seen, notes))
    }
}

impl Runner for TrialRunner {
    fn run(&mut self, trial: &Trial) -> Result<Record, String> {
        let made = self.observe(trial).map_err(|error| error.to_string())?;
        Ok(record(trial, &made))
    }
}

/// A fault, what was seen of it, and what goes with that.
pub type Made = (Fault, Seen, Notes);

fn record(trial: &Trial, made: &Result<Made, &'static str>) -> Record {
    let (fault, seen, notes) = match made {
        Ok(made) => made,
        Err(why) => {
            let (class, detail) = (Class::NotApplicable, why.to_string());
            return Record { trial: trial.id, class, notice_ns: None, timed: false, hit: Vec::new(), detail };
        }
    };
    let (function, before, after) = fault.text();
    Record {
        trial: trial.id,
        class: seen.class(),
        notice_ns: notes.notice_ns.filter(|_| seen.activated),
        timed: notes.timed,
        hit: seen.reached(),
        detail: format!("{}{before} -> {after} in {function}", notes.mark),
    }
}
