//! Kernels behind protection keys. On a machine without keys these tests say so and pass; `cargo debate vm-test` runs them
//! where an emulated processor has them.

mod campaign;
mod figures;
mod reach;

use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Task, What};
use kd_boot::layout::Layout;
use kd_boot::manifest::{Kernel, Manifest, Placement, Source};
use kd_boot::script::{Call, Outcome};
use kd_faults::{Fault, inject};
use kernel_debate::boot::{Boot, RunningApp};
use kernel_debate::experiments::faults::{Subject, configurations, run_trial, subjects};

use crate::{Config, config, differential, outcome, power, survival};

/// Both strengths, apps in both places, and components that share a domain.
pub const PKEY: [Config; 5] = [
    config(Kernel::Microkernel, Placement::Pkey, false),
    config(Kernel::Microkernel, Placement::Pkey, true),
    config(Kernel::Microkernel, Placement::PkeyIntegrity, false),
    COARSE,
    DRIVERS,
];
const COARSE: Config = Config { layout: Some("coarse/pkey"), ..config(Kernel::Microkernel, Placement::Pkey, false) };
const DRIVERS: Config =
    Config { layout: Some("drivers-isolated/pkey"), ..config(Kernel::Microkernel, Placement::Pkey, false) };
/// Faults in a driver module and in a component that is compiled in. All kinds of them end calls in the same way, which
/// is tested closer to the gates; an emulated processor takes half a minute for each of these.
const FAULTS: [(&str, Fault); 3] =
    [("ramdisk", Fault::WildWrite), ("ramdisk", Fault::Panic), ("kv", Fault::NullDereference)];
/// An emulated processor is slow.
const LIMIT: Duration = Duration::from_secs(120);

pub fn no_keys() -> bool {
    let missing = kd_nucleus::pkey::available();
    if let Err(why) = &missing {
        eprintln!("skipped: {why}");
    }
    missing.is_err()
}

fn nothing_in_the_log(boot: &Boot) {
    let log = boot.log().expect("the root lives");
    assert!(log.iter().all(|(_, line)| line.starts_with("pkey: ")), "{log:#?}");
}

fn until(app: &RunningApp, done: impl Fn(&kd_boot::board::Board) -> bool) {
    let begin = Instant::now();
    assert!(app.wait_until(LIMIT, done), "waited in vain for {:?}", begin.elapsed());
}

#[test]
fn without_keys_the_first_entry_and_the_reason_are_named() {
    let manifest = PKEY[0].manifest(1);
    match Boot::new(&manifest) {
        Ok(_) => assert!(!no_keys()),
        Err(error) => {
            let error = error.to_string();
            assert!(error.contains(&manifest.entries[0].name) && error.contains("no protection keys"), "{error}");
        }
    }
}

#[test]
fn apps_see_the_same_behind_keys() {
    if !no_keys() {
        differential::agree_on(&PKEY, 2);
    }
}

#[test]
fn what_was_synced_outlives_a_power_failure_behind_keys() {
    if !no_keys() {
        PKEY.into_iter().for_each(power::fails);
    }
}

/// Two loads run, one of which uses a driver, and end without a failure, and without a fault in the log.
fn loads_run(on: Config, manifest: &Manifest) {
    let boot = Boot::new(manifest).expect("boots");
    let load = |app, workload: &str| {
        on.start(&boot, app, Task::Rounds { workload: workload.into(), rate: 0, entry: Entry::Call })
    };
    let apps = [load(1, "vda_write_4k"), load(2, "pipe_pingpong")];
    for app in &apps {
        until(app, |board| board.get(Field::Good) > 50);
        app.stop();
        until(app, |board| board.get(Field::Audited) == 1);
        let bad = [Field::Failed, Field::Wrong, Field::Lost, Field::Corrupted, Field::Unknown];
        assert_eq!(bad.map(|field| app.board.get(field)), [0; 5], "{on:?}: {:#?}", boot.log());
    }
    nothing_in_the_log(&boot);
}

#[test]
fn loads_run_and_nothing_faults() {
    if !no_keys() {
        PKEY.into_iter().for_each(|on| loads_run(on, &on.manifest(2)));
    }
}

#[test]
fn drivers_alone_can_be_behind_keys() {
    if no_keys() {
        return;
    }
    let mut manifest = PKEY[0].manifest(2);
    for entry in manifest.entries.iter_mut().filter(|entry| entry.source == Source::Subsystem) {
        entry.placement = Some(Placement::Direct);
    }
    loads_run(PKEY[0], &manifest);
}

/// What came of a call that needs the host to let one process change another, if it does.
fn allowed<T, E: std::fmt::Display>(result: Result<T, E>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(why) => {
            let why = why.to_string();
            assert!(why.contains("the host refused"), "{why}");
            eprintln!("nothing injected: {why}");
            None
        }
    }
}

#[test]
fn a_fault_stays_in_its_domain_and_the_supervisor_notices() {
    if no_keys() {
        return;
    }
    let on = *configurations().last().expect("the last is behind keys");
    for (name, fault) in FAULTS {
        let seen = run_trial(on, &subject(name), fault, 30, 11);
        if allowed(seen.obstacle.as_ref().map_or(Ok(()), Err)).is_none() {
            return;
        }
        // How soon apps go on is no question for an emulated processor.
        assert!(seen.activated && seen.kernel_alive && seen.victim_intact, "{name}, {fault:?}: {seen:?}");
        assert_eq!((seen.noticed_by, seen.caller.lost), ("supervisor", 0), "{name}, {fault:?}: {seen:?}");
    }
}

/// They hold each other, so one fault restarts all of them, and nobody else.
#[test]
fn a_fault_restarts_all_members_of_a_domain() {
    if no_keys() {
        return;
    }
    let text = r#"{ "about": "The VFS and the RAM disk in one.", "boundary": "pkey",
        "domains": [{ "name": "one", "components": ["vfs", "procfs", "ramdisk"] }] }"#;
    let layout = Layout::parse("one.json", text).and_then(|layout| layout.manifest(&kd_subsystems::components()));
    let boot = Boot::new(&layout.expect("it fits")).expect("boots");
    let task = Task::Rounds { workload: "ram0_write_4k".into(), rate: 0, entry: Entry::Call };
    let app = boot.start(1, true, task).expect("starts");
    until(&app, |board| board.get(Field::Good) > 10);
    let target = subject("ramdisk").target(&boot).expect("its function is there");
    let tenth = 10.try_into().expect("not zero");
    if allowed(inject(target.pid, &target.site, target.room, Fault::NullDereference, tenth, None)).is_none() {
        return;
    }
    let names = ["vfs", "procfs", "ramdisk", "ramfs"];
    let restarts = || names.map(|name| boot.component(name).expect("the kernel lives").restarts);
    let begin = Instant::now();
    while restarts() != [1, 1, 1, 0] {
        assert!(begin.elapsed() < LIMIT, "{:?}: {:#?}", restarts(), boot.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    let good = app.board.get(Field::Good);
    until(&app, |board| board.get(Field::Good) > good + 10);
    let events = boot.events().expect("the root lives");
    let restarted = events.iter().filter(|event| event.who == "one" && event.what == What::Restarted);
    assert_eq!(restarted.count(), 1, "told once, by the domain's name: {events:?}");
    app.stop();
    until(&app, |board| board.get(Field::Audited) == 1);
    assert_eq!((app.board.get(Field::Wrong), app.board.get(Field::Lost)), (0, 0), "the disk is the machine's");
}

/// A domain that keeps everything there is to keep, and a fault in one of its components: all of them find what they had.
#[test]
fn what_a_domain_keeps_outlives_its_faults() {
    if no_keys() {
        return;
    }
    let text = r#"{ "about": "All that keeps something in one.", "boundary": "pkey",
        "domains": [{ "name": "one", "components": ["vfs", "ramfs", "pipe", "kv"] }] }"#;
    let layout = Layout::parse("one.json", text).and_then(|layout| layout.manifest(&kd_subsystems::components()));
    let boot = Boot::new(&Manifest { apps: 2, ..layout.expect("it fits") }).expect("boots");
    let (state, belongings) = (survival::state(), survival::belongings());
    let asked = belongings.iter().map(|had| had.ask.clone());
    let calls: Vec<_> = state.iter().cloned().chain([Call::Pause]).chain(asked).collect();
    let mut app = PKEY[0].script(&boot, 1, &calls);
    for call in &state {
        let made = outcome(&mut app);
        assert!(matches!(made, Outcome::Number(_)), "{call:?}: {made:?}");
    }
    let load = boot.start(2, true, Task::Rounds { workload: "kv_get".into(), rate: 0, entry: Entry::Call });
    let load = load.expect("starts");
    until(&load, |board| board.get(Field::Good) > 10);
    let target = subject("kv").target(&boot).expect("its function is there");
    let tenth = 10.try_into().expect("not zero");
    if allowed(inject(target.pid, &target.site, target.room, Fault::NullDereference, tenth, None)).is_none() {
        return;
    }
    let begin = Instant::now();
    while boot.component("ramfs").expect("the kernel lives").restarts == 0 {
        assert!(begin.elapsed() < LIMIT, "{:#?}", boot.log());
        std::thread::sleep(Duration::from_millis(10));
    }
    app.board.set(Field::Stop, 1);
    assert_eq!(outcome(&mut app), Outcome::Skipped, "the pause");
    for had in belongings {
        assert_eq!(outcome(&mut app), had.told, "{}", had.what);
    }
    load.stop();
    until(&load, |board| board.get(Field::Audited) == 1);
    assert_eq!([Field::Wrong, Field::Lost].map(|field| load.board.get(field)), [0; 2], "its values");
}

#[test]
fn an_endless_loop_is_cut_and_no_call_of_the_driver_fails() {
    if no_keys() {
        return;
    }
    let on = PKEY[1];
    let boot = on.boot(1);
    let app = on.start(&boot, 1, Task::Rounds { workload: "ram0_write_4k".into(), rate: 0, entry: Entry::Call });
    until(&app, |board| board.get(Field::Good) > 10);
    let target = subject("ramdisk").target(&boot).expect("its function is there");
    let tenth = 10.try_into().expect("not zero");
    let Some(armed) = allowed(inject(target.pid, &target.site, target.room, Fault::EndlessLoop, tenth, None)) else {
        return;
    };
    let begin = Instant::now();
    while boot.component("ramdisk").expect("the kernel lives").restarts == 0 {
        assert!(begin.elapsed() < LIMIT, "nobody noticed; it happened: {:?}", armed.fired());
        std::thread::sleep(Duration::from_millis(10));
    }
    let good = app.board.get(Field::Good);
    until(&app, |board| board.get(Field::Good) > good + 10);
    app.stop();
    until(&app, |board| board.get(Field::Audited) == 1);
    let bad = [Field::Failed, Field::Wrong, Field::Lost, Field::Corrupted, Field::Unknown];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5], "every call of a block device may be repeated");
    let events = boot.events().expect("the root lives");
    assert!(events.iter().any(|event| event.who == "ramdisk" && matches!(event.what, What::Hung(_))), "{events:?}");
}

fn subject(name: &str) -> Subject {
    subjects(false).into_iter().find(|subject| subject.name == name).expect("it has a load")
}
