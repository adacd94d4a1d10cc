//! The same random calls on a kernel that is left alone and on one whose servers are killed at random moments meanwhile:
//! every answer is the same, until an app is told that the outcome of a call is unknown.
//!
//! Killed is what ARCHITECTURE.md ("What a restart loses") says loses nothing of this. From an unknown outcome on the two
//! kernels may hold different things, so that the rest of that app's script is not compared.

use std::time::Duration;

use kd_boot::policy::Policy;
use kd_boot::script::{Call, Outcome};
use kernel_debate::boot::Boot;

use super::{APPS, JFS, RAMFS, calls};
use crate::random::Random;
use crate::survival::kill;
use crate::{Config, PROCESS, failed, outcomes};

/// Scripts of each app, and calls of each script.
const SCRIPTS: u32 = 12;
const CALLS: usize = 400;

/// What kills and comparisons there were.
#[derive(Debug, Default)]
struct Seen {
    kills: usize,
    compared: usize,
    unknown: usize,
}

/// A kernel that gives none of its servers up, however often they die.
fn boot() -> Boot {
    let mut manifest = PROCESS.manifest(APPS * SCRIPTS);
    manifest.entries.iter_mut().for_each(|entry| entry.policy = Policy { deaths: u32::MAX, ..Policy::default() });
    Boot::new(&manifest).unwrap_or_else(|why| panic!("{why}"))
}

/// Runs scripts, one for each app, while `meanwhile` goes on until they are done.
fn run(boot: &Boot, first: u32, under: &str, scripts: &[Vec<Call>], mut meanwhile: impl FnMut()) -> Vec<Vec<Outcome>> {
    let start = |(app, calls): (u32, &Vec<Call>)| Config::script_under(PROCESS, boot, app, under, calls);
    let mut apps: Vec<_> = (first..).zip(scripts).map(start).collect();
    std::thread::scope(|scope| {
        let readers: Vec<_> = apps.iter_mut().map(|app| scope.spawn(|| outcomes(app))).collect();
        while readers.iter().any(|reader| !reader.is_finished()) {
            meanwhile();
        }
        readers.into_iter().map(|reader| reader.join().expect("outcomes are read")).collect()
    })
}

/// The same scripts on both, with kills of `victims` on one.
fn agree(under: &str, victims: &[&str], change: fn(Call) -> Call) -> Seen {
    let (calm, troubled) = (boot(), boot());
    let (mut random, mut seen) = (Random(1), Seen::default());
    for script in 0..SCRIPTS {
        let first = 1 + script * APPS;
        let scripts: Vec<Vec<Call>> = (0..APPS)
            .map(|_| calls::some(&mut random, CALLS).into_iter().map(change).chain([Call::Tree]).collect())
            .collect();
        let expected = run(&calm, first, under, &scripts, || std::thread::sleep(Duration::from_millis(1)));
        let found = run(&troubled, first, under, &scripts, || {
            kill(&troubled, &[victims[random.below(victims.len())]]);
            seen.kills += 1;
            std::thread::sleep(Duration::from_micros(random.below(2_000) as u64));
        });
        for (app, calls) in scripts.iter().enumerate() {
            let unknown = found[app].iter().position(|outcome| *outcome == failed("EUNKNOWN"));
            let until = unknown.unwrap_or(calls.len());
            seen.unknown += usize::from(unknown.is_some());
            seen.compared += until;
            for (number, call) in calls[..until].iter().enumerate() {
                let (found, expected) = (found[app].get(number), expected[app].get(number));
                assert_eq!(found, expected, "script {script}, app {app}, call {number}, {call:?}");
            }
        }
    }
    println!("{under:?}, {victims:?}: {seen:?}");
    // Whoever is killed between two instructions has spoiled nothing.
    let log = troubled.log().expect("the root lives");
    assert!(log.iter().all(|(_, line)| !line.contains("spoiled")), "{log:?}");
    seen
}

#[test]
fn kills_of_drivers_and_the_block_layer_change_no_answer() {
    let seen = agree(JFS, &["blk", "vdisk"], calls::modest);
    assert_eq!(seen.unknown, 0, "requests to a device may be repeated");
    assert_eq!(seen.compared, (SCRIPTS * APPS) as usize * (CALLS + 1));
    assert!(seen.kills >= SCRIPTS as usize, "{seen:?}");
}

#[test]
fn kills_of_the_vfs_change_no_answer_but_to_unknown() {
    for (under, change) in [(RAMFS, (|call| call) as fn(Call) -> Call), (JFS, calls::modest)] {
        let seen = agree(under, &["vfs", "procfs", "proc"], change);
        assert!(seen.kills >= SCRIPTS as usize && seen.compared >= SCRIPTS as usize * CALLS / 4, "{seen:?}");
    }
}

#[test]
fn kills_of_the_file_system_in_memory_change_no_answer_but_to_unknown() {
    let seen = agree(RAMFS, &["ramfs"], |call| call);
    assert!(seen.kills >= SCRIPTS as usize && seen.compared >= SCRIPTS as usize * CALLS / 4, "{seen:?}");
}
