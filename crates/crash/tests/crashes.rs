//! Crash states of a sound file system, and of unsound ones.

use kd_crash::{Plant, Subject, Summary, run};

fn planted(plant: Plant, journal_checksum: bool) -> Summary {
    let mut subject = Subject { plant: Some(plant), ..Subject::default() };
    subject.options.journal_checksum = journal_checksum;
    run(subject, 1, 3_000, |_| ())
}

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
fn a_disk_that_swallows_flushes_is_found() {
    assert_ne!(planted(Plant::SwallowFlushes, true).failed, 0);
}

#[test]
fn a_mount_without_barriers_is_found() {
    let mut subject = Subject::default();
    subject.options.barriers = false;
    assert_ne!(run(subject, 1, 3_000, |_| ()).failed, 0);
}

#[test]
fn a_commit_without_checksum_is_found_where_nothing_else_protects_it() {
    assert_eq!(planted(Plant::AsyncCommit, true).failures, []);
    assert_ne!(planted(Plant::AsyncCommit, false).failed, 0);
}

#[test]
fn a_rename_in_two_steps_is_found() {
    assert_ne!(planted(Plant::SplitRename, true).failed, 0);
}
