//! Real faults in real boots: what each kernel makes of them, seen from outside.
//!
//! Where the host does not let one process trace another, no fault can be injected: the tests then say so and pass.

use kd_boot::control::{Task, What};
use kd_faults::Fault;
use kernel_debate::boot::Boot;
use kernel_debate::experiments::faults::{Outcome, Seen, Subject, configurations, run_trial, subjects};
use kernel_debate::experiments::latency::Configuration;

const MONOLITHIC: usize = 0;
const THREAD: usize = 1;
const PROCESS: usize = 2;

fn subject(name: &str) -> Subject {
    subjects(false).into_iter().find(|subject| subject.name == name).expect("a shipped component with a load")
}

/// One trial; `None` if this host does not let us inject.
fn trial(kernel: usize, component: &str, fault: Fault) -> Option<Seen> {
    let seen = run_trial(configurations()[kernel], &subject(component), fault, 30, 11);
    if let Some(why) = &seen.obstacle {
        assert!(why.contains("the host refused") || why.contains("x86-64"), "{why}");
        eprintln!("nothing injected: {why}");
        return None;
    }
    assert!(seen.activated, "{fault:?} did not happen: {seen:?}");
    Some(seen)
}

#[test]
fn a_wild_write_changes_its_victim_unless_a_process_stands_between() {
    for (kernel, intact, outcome) in
        [(MONOLITHIC, false, Outcome::Spread), (THREAD, false, Outcome::Spread), (PROCESS, true, Outcome::Contained)]
    {
        let Some(seen) = trial(kernel, "ramdisk", Fault::WildWrite) else { return };
        assert_eq!((seen.victim_intact, seen.outcome()), (intact, outcome), "{seen:?}");
    }
}

#[test]
fn a_null_dereference_kills_an_app_a_kernel_or_a_server() {
    let cases = [
        (MONOLITHIC, Outcome::AppKilled, "oops"),
        (THREAD, Outcome::KernelDead, "nobody"),
        (PROCESS, Outcome::Contained, "supervisor"),
    ];
    for (kernel, outcome, noticed_by) in cases {
        let Some(seen) = trial(kernel, "ramdisk", Fault::NullDereference) else { return };
        assert_eq!((seen.outcome(), seen.noticed_by), (outcome, noticed_by), "{seen:?}");
    }
}

#[test]
fn a_panic_stays_inside_a_thread_and_a_process() {
    let cases = [(MONOLITHIC, Outcome::AppKilled), (THREAD, Outcome::Contained), (PROCESS, Outcome::Contained)];
    // The successor of a driver of a ring resets the device under requests of other threads.
    for driver in ["ramdisk", "vdisk"] {
        for (kernel, outcome) in cases {
            let Some(seen) = trial(kernel, driver, Fault::Panic) else { return };
            assert_eq!(seen.outcome(), outcome, "{driver}: {seen:?}");
        }
    }
}

#[test]
fn an_endless_loop_is_noticed_where_somebody_watches() {
    let Some(monolithic) = trial(MONOLITHIC, "ramdisk", Fault::EndlessLoop) else { return };
    assert_eq!(monolithic.outcome(), Outcome::HangUnnoticed, "{monolithic:?}");
    let Some(process) = trial(PROCESS, "ramdisk", Fault::EndlessLoop) else { return };
    assert_eq!((process.outcome(), process.noticed_by), (Outcome::Contained, "supervisor"), "{process:?}");
}

#[test]
fn wrong_data_passes_every_boundary() {
    for kernel in [MONOLITHIC, THREAD, PROCESS] {
        let Some(seen) = trial(kernel, "ramdisk", Fault::WrongData) else { return };
        assert_eq!(seen.outcome(), Outcome::SilentWrongData, "{seen:?}");
    }
}

#[test]
fn a_restarted_server_has_its_state_where_that_outlives_it_and_else_its_app_is_told() {
    let Some(kept) = trial(PROCESS, "kv", Fault::Abort) else { return };
    assert_eq!((kept.outcome(), kept.caller.lost), (Outcome::Contained, 0), "{kept:?}");
    let Some(seen) = trial(THREAD, "kv", Fault::Panic) else { return };
    assert_eq!(seen.outcome(), Outcome::DataLost, "{seen:?}");
    assert!(seen.caller.failed > 0 && seen.caller.lost > 0 && seen.other_alive(), "{seen:?}");
}

#[test]
fn a_kernel_that_ends_itself_is_rebooted_and_its_apps_are_gone() {
    let mut manifest = Configuration::MONOLITHIC.manifest();
    manifest.panic_on_oops = true;
    let boot = Boot::new(&manifest).expect("boots");
    let canary = boot.start(1, true, Task::Canary(5)).expect("starts");
    let good = |board: &kd_boot::board::Board| board.get(kd_boot::board::Field::Good) > 0;
    assert!(canary.wait_until(std::time::Duration::from_secs(5), good));
    boot.signal("kernel", 9).expect("the kernel has a process");
    let mut events = Vec::new();
    let begin = std::time::Instant::now();
    while !events.contains(&What::Restarted) {
        assert!(begin.elapsed().as_secs() < 10, "no reboot: {events:?}");
        events.extend(boot.events().expect("the machine goes on").into_iter().map(|event| event.what));
    }
    assert!(matches!(events[0], What::Panic(_)), "{events:?}");
    // Its file went with the old kernel: an app of the new one finds nothing of it, and works.
    let again = boot.start(1, true, Task::Canary(5)).expect("starts");
    assert!(again.wait_until(std::time::Duration::from_secs(5), good));
    assert_eq!(again.board.get(kd_boot::board::Field::Acknowledged), 0);
}
