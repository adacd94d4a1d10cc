//! The same random calls on every kernel, from several apps at once: results, errors and contents must agree with Linux's.
//!
//! proptest makes the calls and shrinks a failure to few, which it prints so that they can be pasted into `regressions.rs`.
//! Each app works in a directory of its own, so that answers do not depend on who comes first. `KD_SEED=n` takes other
//! calls, `KD_CASES=n` more of them. What may differ is in `bench/DIFFERENCES.md`. Where the host allows no private tmpfs
//! our kernels are compared with each other.

mod calls;
mod kills;
mod regressions;

use std::cell::{Cell, RefCell};
use std::env;

use kd_boot::script::{Call, Outcome};
use kernel_debate::boot::Boot;
use proptest::test_runner::{Config as Search, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::{COARSE, Config, DRIVERS, DRIVERS_APART, LINUX, OURS, outcomes, pkey};

/// Calls of one app in one case, at most.
const LONGEST: usize = 400;
/// Apps of one case, at most.
const APPS: u32 = 3;
/// The directory that scripts' own are in: of `ramfs` and of `jfs`; of the host's tmpfs both.
const RAMFS: &str = "";
const JFS: &str = "/mnt";

/// Linux and kernels of ours, booted, with numbers for so many apps: a case takes the next ones.
struct Kernels {
    booted: Vec<(Config, Boot)>,
    next: u32,
}

impl Kernels {
    fn boot(ours: &[Config], apps: u32) -> Kernels {
        let booted = [LINUX].iter().chain(ours).map(|config| (*config, config.boot(apps))).collect();
        Kernels { booted, next: 1 }
    }

    /// Runs scripts everywhere, one for each app, all at once: how many calls there were and how many of them succeeded,
    /// or the first that differs.
    fn agree(&mut self, under: &str, scripts: &[Vec<Call>]) -> Result<(usize, usize), String> {
        let whole = |calls: &Vec<Call>| calls.iter().cloned().chain([Call::Tree]).collect();
        let scripts: Vec<Vec<Call>> = scripts.iter().map(whole).collect();
        let first = self.next;
        self.next += scripts.len() as u32;
        let run = |(config, boot): &(Config, Boot)| -> Vec<Vec<Outcome>> {
            let start = |(app, calls): (u32, &Vec<Call>)| config.script_under(boot, app, under, calls);
            let mut apps: Vec<_> = (first..).zip(&scripts).map(start).collect();
            apps.iter_mut().map(outcomes).collect()
        };
        let all: Vec<Vec<Vec<Outcome>>> = self.booted.iter().map(run).collect();
        let silent = all[0].iter().all(Vec::is_empty);
        if silent {
            eprintln!("Linux is not compared: the host refuses a private tmpfs");
        }
        let reference = usize::from(silent);
        for (config, seen) in self.booted.iter().map(|(config, _)| config).zip(&all).skip(reference + 1) {
            for (app, calls) in scripts.iter().enumerate() {
                for (number, call) in calls.iter().enumerate() {
                    let (seen, expected) = (seen[app].get(number), all[reference][app].get(number));
                    if seen != expected {
                        let other = self.booted[reference].0;
                        return Err(format!(
                            "app {app}, call {number}, {call:?}: {seen:?} on {config:?}, {expected:?} on {other:?}"
                        ));
                    }
                }
            }
        }
        let good = |outcome: &&Outcome| !matches!(outcome, Outcome::Failed(_) | Outcome::Skipped);
        let outcomes = all[reference].iter().flatten();
        Ok((outcomes.clone().count(), outcomes.filter(good).count()))
    }
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"));
    env::var(name).map_or(otherwise, parse)
}

/// Every kernel of ours that this machine can boot.
fn all() -> Vec<Config> {
    let keys: &[Config] = if pkey::no_keys() { &[] } else { &pkey::PKEY };
    [&OURS[..], &[COARSE, DRIVERS, DRIVERS_APART], keys].concat()
}

/// Looks for scripts on which kernels disagree; `least` calls are to be made.
fn search(under: &str, cases: u64, least: usize, change: fn(Call) -> Call) {
    search_on(&all(), under, setting("KD_CASES", cases) as u32, least, change);
}

/// The same few random scripts on Linux and these kernels, on either file system, and what once differed.
pub fn agree_on(ours: &[Config], cases: u32) {
    search_on(ours, RAMFS, cases, 0, |call| call);
    search_on(ours, JFS, 1, 0, calls::modest);
    what_differed_agrees_on(ours);
}

fn search_on(ours: &[Config], under: &str, cases: u32, least: usize, change: fn(Call) -> Call) {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&setting("KD_SEED", 1).to_le_bytes());
    // All cases share their kernels, which have seen something by then; each step of shrinking boots new ones.
    let shared = RefCell::new(Some(Kernels::boot(ours, APPS * cases)));
    let limits = Search { cases, failure_persistence: None, max_shrink_time: 90_000, ..Search::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let (made, good) = (Cell::new(0), Cell::new(0));
    let changed = |scripts: Vec<Vec<Call>>| {
        scripts.into_iter().map(|calls| calls.into_iter().map(change).collect()).collect::<Vec<Vec<Call>>>()
    };
    let found = TestRunner::new_with_rng(limits, rng).run(&calls::scripts(LONGEST), |scripts| {
        let scripts = changed(scripts);
        let mut shared = shared.borrow_mut();
        let answer = match &mut *shared {
            Some(kernels) => kernels.agree(under, &scripts),
            None => Kernels::boot(ours, APPS).agree(under, &scripts),
        };
        let (calls, successes) = answer.map_err(|why| {
            if shared.take().is_some() {
                eprintln!("shrinking: {why}");
            }
            TestCaseError::fail(why)
        })?;
        made.set(made.get() + calls);
        good.set(good.get() + successes);
        Ok(())
    });
    match found {
        Ok(()) => {}
        Err(TestError::Fail(why, scripts)) => panic!("{why}\n{}", calls::literal(&changed(scripts))),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
    println!("{} calls, {} of which succeed", made.get(), good.get());
    assert!(made.get() >= least || cases < 8, "{} calls are few", made.get());
    assert!(good.get() > made.get() / 16, "{} of {} calls succeed: this tests little", good.get(), made.get());
}

#[test]
fn apps_at_once_see_the_same_on_every_kernel() {
    search(RAMFS, 20, 4_000, |call| call);
}

#[test]
fn apps_at_once_see_the_same_on_the_journalling_file_system() {
    search(JFS, 10, 1_500, calls::modest);
}

#[test]
fn what_once_differed_agrees() {
    what_differed_agrees_on(&all());
}

fn what_differed_agrees_on(ours: &[Config]) {
    let regressions = regressions::all();
    let mut kernels = Kernels::boot(ours, 2 * APPS * regressions.len() as u32);
    for under in [RAMFS, JFS] {
        for (what, scripts) in &regressions {
            if let Err(why) = kernels.agree(under, scripts) {
                panic!("{what}, under {under:?}: {why}");
            }
        }
    }
}
