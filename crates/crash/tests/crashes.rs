//! Crash states of a sound file system, and of unsound ones.

use kd_crash::{PLANTS, Plant, Subject, first_failure, run, run_while};

/// States within which each planted mistake shows.
const PLANTED: u64 = 3_000;

#[test]
fn ten_thousand_states_hold_what_was_promised() {
    let summary = run(Subject::default(), 1, 10_000, |_| ());
    assert_eq!((summary.states, summary.failed), (10_000, 0), "{summary:#?}");
    assert!(summary.workloads > 5, "{summary:#?}");
}

#[test]
fn a_number_stands_for_the_same_run() {
    let again = || run(Subject { plant: Some(Plant::SwallowFlushes), ..Subject::default() }, 7, 500, |_| ());
    assert_eq!(again(), again());
}

#[test]
fn every_planted_mistake_is_found() {
    for (name, about, subject) in PLANTS {
        let found = first_failure(subject(), 1, PLANTED);
        assert!(found.is_ok(), "{name} ({about}) is not found in {found:?} states");
    }
}

#[test]
fn a_checksum_makes_the_same_commit_safe() {
    let subject = Subject { plant: Some(Plant::AsyncCommit), ..Subject::default() };
    assert_eq!(first_failure(subject, 1, PLANTED), Err(PLANTED));
}

#[test]
fn the_first_failure_is_counted_exactly() {
    let (_, _, subject) = PLANTS[0];
    let found = first_failure(subject(), 1, PLANTED).expect("it is found");
    assert_eq!((run(subject(), 1, found - 1, |_| ()).failed, run(subject(), 1, found, |_| ()).failed), (0, 1));
}

#[test]
fn a_run_ends_when_it_is_told_to() {
    let summary = run_while(Subject::default(), 1, u64::MAX, |summary| summary.workloads < 2);
    assert_eq!((summary.workloads, summary.failed), (2, 0));
}
