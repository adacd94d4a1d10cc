//! Trials of a fault campaign: what each kernel makes of faults whose outcome is known, and that nothing of a trial hangs
//! on the kernel, on other trials, or on how many are made at once.
//!
//! Where the host does not let one process write another's memory, no fault can be made: the tests then say so and pass.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::str::FromStr;

use kd_boot::control::{Event, What, canary};
use kd_boot::sabotage::{How, Witness};
use kd_campaign::{Class, Identity, Log, Record, Runner, Shard, Trial};
use kd_faults::mutation::Mutation;
use kd_faults::{Fault, InjectError, Room, Site, inject, lay_breakpoint};
use kd_nucleus::module::ModuleFile;
use kd_nucleus::mutant::{Deed, Mutant};
use kernel_debate::boot::Boot;
use kernel_debate::campaign::choice::Choice;
use kernel_debate::campaign::notes::Notes;
use kernel_debate::campaign::session::{Options, Session};
use kernel_debate::campaign::subject::{Subject, Subjects};
use kernel_debate::campaign::trial::{Obstacle, TrialRunner};
use kernel_debate::campaign::{kernels, seen::Seen};
use kernel_debate::meta;

const SEED: u64 = 5;

fn runner() -> TrialRunner {
    TrialRunner::new(SEED, Vec::new()).expect("this program has code, and the host memory")
}

fn trial(kernel: &str, subject: &str, kind: &str, number: u64) -> Trial {
    let (kernel, subject, kind) = (kernel.into(), subject.into(), kind.into());
    Trial { id: number, kernel, subject, kind, number, permanent: false }
}

/// Whether an obstacle is this host's and no mistake of ours.
fn is_hosts(why: &Obstacle) -> bool {
    matches!(why.downcast_ref::<InjectError>(), Some(InjectError::Host { .. } | InjectError::Unavailable))
}

/// What a trial came to; `None` if this host lets nobody make it.
fn made(runner: &mut TrialRunner, trial: &Trial) -> Option<Seen> {
    match runner.observe(trial) {
        Ok(made) => Some(made.expect("this kernel can have this fault").1),
        Err(why) if is_hosts(&why) => {
            eprintln!("no fault is made: {why}");
            None
        }
        Err(why) => panic!("{trial:?}: {why}"),
    }
}

/// Whether this host lets faults be made.
fn can_be_made() -> bool {
    made(&mut runner(), &trial("monolithic", "ramdisk", "dropped", 0)).is_some()
}

/// The first fault of a kind that is executed under the load in these kernels: what a component does to keep its state, and
/// finds it again by, it does where its state can be kept.
fn executed(kernels: &[&str], kind: &str, subject: &str) -> Option<u64> {
    first(kernels, kind, subject, |_, seen| seen.activated)
}

/// The first fault of a kind of which this holds in these kernels.
fn first(kernels: &[&str], kind: &str, subject: &str, holds: impl Fn(&str, &Seen) -> bool) -> Option<u64> {
    let mut runner = runner();
    for number in 0..40 {
        let mut all = true;
        for kernel in kernels {
            all = all && holds(kernel, &made(&mut runner, &trial(kernel, subject, kind, number))?);
        }
        if all {
            return Some(number);
        }
    }
    panic!("none of 40 faults is such a one");
}

#[test]
fn the_same_faults_are_drawn_for_every_kernel_and_executed_in_all_or_none() {
    let mut runner = runner();
    for (kind, number) in [("source_register", 0), ("dropped", 1), ("bit_flip", 2), ("stack_bit", 3)] {
        let mut seen = Vec::new();
        for kernel in kernels().0 {
            let trial = trial(&kernel, "ramdisk", kind, number);
            let fault = runner.fault(&trial).expect("a component").expect("a fault");
            let Some(of) = made(&mut runner, &trial) else { return };
            seen.push((fault, of.activated));
        }
        assert!(seen.iter().all(|one| *one == seen[0]), "{seen:?}");
    }
}

#[test]
fn a_loop_without_end_is_noticed_where_somebody_watches() {
    let Some(number) = executed(&["monolithic"], "endless_loop", "ramdisk") else { return };
    let mut runner = runner();
    for (kernel, class, restarts) in [
        ("monolithic", Class::HangUnnoticed, 0),
        ("process", Class::HangNoticed, 1),
        ("drivers-isolated", Class::HangNoticed, 1),
    ] {
        let Some(seen) = made(&mut runner, &trial(kernel, "ramdisk", "endless_loop", number)) else { return };
        assert_eq!((seen.class(), seen.restarts), (class, restarts), "{kernel}: {seen:?}");
    }
    let permanent = Trial { permanent: true, ..trial("process", "ramdisk", "endless_loop", number) };
    let Some(seen) = made(&mut runner, &permanent) else { return };
    assert!(seen.hang_noticed && seen.restarts > 1, "its successors loop as well: {seen:?}");
}

#[test]
fn a_component_that_dies_comes_back_clean_unless_its_fault_is_permanent() {
    // A function that calls itself may also come to an error before it comes to the end of its stack.
    let fatal = |kernel: &str, seen: &Seen| seen.activated && (kernel == "monolithic" || seen.restarts > 0);
    let Some(number) = first(&["monolithic", "process"], "recursion", "ramfs", fatal) else { return };
    let mut runner = runner();
    // What was seen, and how often the component died: a successor that dies at once may not have been seen to live.
    let mut observe = |kernel: &str, permanent| {
        let made = runner.observe(&Trial { permanent, ..trial(kernel, "ramfs", "recursion", number) });
        let (_, seen, notes) = made.expect("it was made a moment ago").expect("this kernel can have this fault");
        let died = |event: &&Event| event.who == "ramfs" && matches!(event.what, What::Died(_));
        (seen, notes.events.iter().filter(died).count())
    };
    // How many rounds the app needs to find its feet hangs on when the successor is there: once in three trials is enough.
    let mut good = false;
    for _ in 0..3 {
        let (transient, deaths) = observe("process", false);
        assert_eq!((transient.restarts, deaths), (1, 1), "{transient:?}");
        good |= transient.caller.good_at_last;
    }
    assert!(good, "the app never goes on");
    let (permanent, deaths) = observe("process", true);
    assert!(deaths > 1, "its successors have the fault as well: {permanent:?}");
    let (monolithic, _) = observe("monolithic", false);
    let lives = !monolithic.caller.killed && !monolithic.caller.hung && !monolithic.kernel_dead;
    assert_eq!((monolithic.restarts, lives), (0, false), "{monolithic:?}");
}

/// A store that really happens over another component's bytes, where a boundary stands between and where none does.
#[test]
fn what_is_written_over_another_component_is_spread_unless_a_boundary_stands_between() {
    let subject = Subjects::get().expect("components").find("ramdisk").expect("a component");
    let any = subject.mutation("dropped", SEED, 0).expect("a fault").mutant;
    let harmless = Mutant { new: any.original.clone(), deed: Deed::Nothing, ..any };
    let strike = |boot: &Boot, witness: &Witness, _: (i32, usize)| -> Result<(), Obstacle> {
        let victim = boot.status()?.iter().position(|one| one.name == "proc").ok_or("no proc")?;
        let target = *witness.canaries(victim).first().ok_or("no canary")?;
        let ramdisk = boot.component("ramdisk")?;
        let patch = ramdisk.patch.ok_or("no room")?;
        let site = Site::in_file(ModuleFile::find("ramdisk")?.bytes(), patch.base, "Ramdisk::locate")?;
        let room = Room { code: patch.code, data: patch.data };
        let middle = target.address + canary(0).len() / 2;
        inject(ramdisk.pid, &site, room, Fault::WildWrite, NonZeroU64::MIN, Some(middle))?;
        Ok(())
    };
    for (kernel, spread) in [("monolithic", true), ("thread", true), ("process", false)] {
        let seen = match runner().attempt(
            &trial(kernel, "ramdisk", "dropped", 0),
            subject,
            How::Mutant(harmless.clone()),
            strike,
        ) {
            Ok((seen, _)) => Seen { activated: true, ..seen },
            Err(why) if is_hosts(&why) => return eprintln!("no fault is made: {why}"),
            Err(why) => panic!("{kernel}: {why}"),
        };
        assert_eq!(seen.canaries == ["proc"], spread, "{kernel}: {seen:?}");
        assert_eq!(seen.class() == Class::Spread, spread, "{kernel}: {seen:?}");
    }
}

/// A mutant of a component in place of an instruction that its load executes, and the trial's number: this code, and what
/// is left of the instruction does nothing.
fn crafted(subject: &Subject, code: &[u8]) -> Option<Mutant> {
    const NOP: u8 = 0x90;
    let mut runner = runner();
    for number in 0..200 {
        let Some(Mutation { mutant, .. }) = subject.mutation("dropped", SEED, number) else { continue };
        if mutant.original.len() < code.len() {
            continue;
        }
        if made(&mut runner, &trial("monolithic", subject.name, "dropped", number))?.activated {
            let rest = vec![NOP; mutant.original.len() - code.len()];
            return Some(Mutant { new: [code, &rest[..]].concat(), deed: Deed::Nothing, ..mutant });
        }
    }
    panic!("no instruction that is long enough was executed");
}

/// What is seen and noted of a trial with such a mutant.
fn made_of(runner: &mut TrialRunner, kernel: &str, subject: &Subject, mutant: &Mutant) -> (Seen, Notes) {
    let strike = |_: &Boot, _: &Witness, (pid, base): (i32, usize)| -> Result<(), Obstacle> {
        Ok(lay_breakpoint(pid, base + mutant.at, &mutant.original)?)
    };
    let made = runner.attempt(&trial(kernel, subject.name, "dropped", 0), subject, How::Mutant(mutant.clone()), strike);
    made.unwrap_or_else(|why| panic!("{kernel}: {why}"))
}

/// The number of a user is nothing that a kernel here asks for, and nobody is harmed where it is told.
#[test]
fn broken_code_asks_the_host_for_nothing_and_has_a_fault_instead() {
    // push 102; pop rax; syscall
    const GETUID: [u8; 5] = [0x6A, 102, 0x58, 0x0F, 0x05];
    let subject = Subjects::get().expect("components").find("ramdisk").expect("a component");
    let Some(mutant) = crafted(subject, &GETUID) else { return };
    for kernel in kernels().0 {
        let (seen, notes) = made_of(&mut runner(), &kernel, subject, &mutant);
        assert!(seen.activated, "{kernel}: {seen:?}");
        assert!(notes.story().contains("SIGSYS"), "{kernel}: {}", notes.story());
        let dead = matches!(kernel.as_str(), "thread");
        assert_eq!(
            (seen.kernel_dead, seen.restarts > 0),
            (dead, !dead && kernel != "monolithic"),
            "{kernel}: {seen:?}"
        );
    }
}

/// Until the host has buried it, a dead server's threads sleep on its successor's bell.
#[test]
fn a_ring_that_a_dead_server_took_along_is_rung_again() {
    const UD2: [u8; 2] = [0x0F, 0x0B];
    let subject = Subjects::get().expect("components").find("ramdisk").expect("a component");
    let Some(mutant) = crafted(subject, &UD2) else { return };
    // One core, so that the dead wait for it as well.
    let cores = meta::cores().into_iter().take(1).collect();
    let mut runner = TrialRunner::new(SEED, cores).expect("this program has code, and the host memory");
    for round in 0..40 {
        let (seen, _) = made_of(&mut runner, "coarse", subject, &mutant);
        assert_eq!((seen.restarts, seen.hang_noticed, seen.caller.hung), (1, false, false), "{round}: {seen:?}");
    }
}

#[test]
fn the_same_fault_meets_the_same_addresses_again() {
    let Some(number) = executed(&["monolithic"], "dropped", "ramdisk") else { return };
    /// More than a stack has in use, and less than lies between two.
    const NEAR: u64 = 1 << 16;
    // On whose stack it is met hangs on which thread takes the call up: where there, does not. Flags may be of a sum with that.
    let place = |runner: &mut TrialRunner| {
        let made = runner.observe(&trial("process", "ramdisk", "dropped", number)).expect("a boot");
        let (_, _, notes) = made.expect("every driver has code to drop");
        let value = |of: &str| notes.registers.iter().find(|(name, _)| *name == of).map(|(_, value)| *value);
        let stack = value("rsp").expect("it was executed, as in the monolith");
        assert!(value("rip").is_some_and(|at| at.abs_diff(stack) > NEAR));
        let relative = |at: u64| if at.abs_diff(stack) < NEAR { at.wrapping_sub(stack) } else { at };
        let addresses = notes.registers.iter().filter(|(name, _)| *name != "eflags");
        addresses.map(|&(name, value)| (name, relative(value))).collect::<Vec<_>>()
    };
    let mut first = runner();
    let met = place(&mut first);
    assert_eq!(place(&mut first), met);
    assert_eq!(place(&mut runner()), met, "whoever makes the trial");
}

/// What is on file is planted here: of one trial what it came to, of the other what it never comes to.
#[test]
fn a_recheck_tells_what_never_comes_out_again_from_what_does() {
    let log = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("recheck.log");
    let _ = std::fs::remove_file(&log);
    // A third of the faults in ramfs are never executed; whatever the build, some are not.
    let (choice, shard) = (
        Choice { kernels: vec!["monolithic".into()], components: vec!["ramfs".into()] },
        Shard::from_str("0/1").expect("the whole"),
    );
    let options = Options { trials: 200, seed: SEED, jobs: 4, shard, choice, log: log.clone() };
    let session = Session::new(options).expect("a kernel, a component and its code");
    let calm = |id| match session.replay(id) {
        Ok((record, _)) => (record.class == Class::NotActivated).then_some(record),
        Err(why) => panic!("{why}"),
    };
    if !can_be_made() {
        return;
    }
    let calm: Vec<Record> = (0..200).filter_map(calm).take(2).collect();
    let [true_one, planted] = &calm[..] else { panic!("all of 200 faults are executed") };
    let modules = meta::modules().expect("they were built");
    let modules = modules.into_iter().map(|module| (module.info().name.clone(), module.sha256())).collect();
    let program = meta::program().expect("it runs");
    let identity = Identity::new(program, meta::commit(), modules, session.plan().clone(), shard);
    let (mut file, _) = Log::open(&log, &identity).expect("a new log");
    let planted = Record { class: Class::KernelDead, ..planted.clone() };
    for record in [true_one, &planted] {
        file.append(record).expect("room");
    }
    drop(file);
    let recheck = session.recheck(2, |_, _| {}).expect("they are made again");
    let [other] = &recheck.otherwise[..] else { panic!("{recheck:?}") };
    assert_eq!((other.trial, other.before, other.after), (planted.trial, Class::KernelDead, Class::NotActivated));
    assert_eq!(other.again, [(Class::NotActivated, 100)].into());
    assert!(!other.timed && !other.varies(), "unexplained: {other}");
}

#[test]
fn a_fault_that_a_component_cannot_have_is_not_applicable() {
    let made = runner().run(&trial("process", "proc", "lock_held", 0)).expect("nothing is booted for it");
    assert_eq!((made.class, made.class.is_activated()), (Class::NotApplicable, false), "it has no lock");
}

#[test]
fn a_wrong_answer_passes_every_boundary_and_no_answer_is_noticed_where_somebody_watches() {
    let mut runner = runner();
    let mut class = |kernel: &str, kind| made(&mut runner, &trial(kernel, "ramdisk", kind, 0)).map(|seen| seen.class());
    for kernel in ["monolithic", "process"] {
        let Some(wrong) = class(kernel, "reply_wrong_data") else { return };
        assert_eq!(wrong, Class::WrongData, "{kernel}: no boundary stops it");
    }
    assert_eq!(class("process", "reply_never"), Some(Class::HangNoticed));
    assert_eq!(class("monolithic", "reply_never"), Some(Class::HangUnnoticed));
}

#[test]
fn outcomes_hang_neither_on_order_nor_on_how_many_trials_are_made_at_once() {
    let kinds = ["destination_register", "condition", "off_by_one", "address"];
    let trials: Vec<Trial> = (0..24u64)
        .map(|id| {
            let (kernel, kind) = (["monolithic", "process"][id as usize % 2], kinds[id as usize / 2 % 4]);
            Trial { id, ..trial(kernel, ["ramdisk", "ramfs"][id as usize / 8 % 2], kind, id / 8) }
        })
        .collect();
    let classes = |jobs: usize| -> Option<Vec<Option<Class>>> {
        let mine = |job: usize| trials.iter().rev().skip(job).step_by(jobs);
        let make = |job: usize| {
            let mut runner = runner();
            mine(job).map(|trial| runner.run(trial)).collect::<Result<Vec<Record>, String>>()
        };
        let made: Vec<_> = std::thread::scope(|scope| {
            let make = &make;
            let jobs: Vec<_> = (0..jobs).map(|job| scope.spawn(move || make(job))).collect();
            jobs.into_iter().map(|job| job.join().expect("a job ends")).collect()
        });
        let mut records = Vec::new();
        for made in made {
            match made {
                Ok(made) => records.extend(made),
                Err(why) if why.contains("the host refused") => return None,
                Err(why) => panic!("{why}"),
            }
        }
        records.sort_by_key(|record| record.trial);
        Some(records.into_iter().map(|record| Some(record.class).filter(|_| !record.timed)).collect())
    };
    let Some(alone) = classes(1) else { return eprintln!("no fault is made on this host") };
    assert!(alone.iter().flatten().any(|class| class.is_activated()), "{alone:?}");
    for jobs in [2, 4] {
        let together = classes(jobs).expect("faults were made a moment ago");
        // What hung on time in either is no evidence.
        let pairs = trials.iter().zip(alone.iter().zip(&together));
        let pairs: Vec<_> = pairs.filter_map(|(trial, (one, other))| Some((trial, (*one)?, (*other)?))).collect();
        assert!(pairs.len() >= alone.len() - 4, "too many hang on time: {alone:?}, {together:?}");
        let otherwise: Vec<_> = pairs.into_iter().filter(|(_, one, other)| one != other).collect();
        assert!(otherwise.len() <= 2, "with {jobs} jobs: {otherwise:?}");
        // A few of a thousand come out one way or another, by the thread that takes a request up or by the clock: alone as well.
        let mut runner = runner();
        for (trial, _, other) in otherwise {
            let mut again = std::iter::repeat_with(|| runner.run(trial).expect("it was made a moment ago").class);
            assert!(
                again.by_ref().take(100).any(|class| class == other),
                "only with {jobs} jobs: {trial:?}: {other:?}"
            );
        }
    }
}
