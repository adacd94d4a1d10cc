//! Servers that die under load: restarted, reconnected, and what cannot be repeated reported as unknown.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Task, What};
use kd_boot::layout::Layout;
use kd_boot::manifest::{Manifest, Placement, Source};
use kd_faults::Fault;
use kernel_debate::boot::{Boot, RunningApp};
use kernel_debate::experiments::faults::subjects;

use crate::{COARSE, Config, MONOLITHIC, PROCESS};

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;
const STOP: i32 = 19;

pub fn load(boot: &Boot, app: u32, workload: &str) -> RunningApp {
    load_on(PROCESS, boot, app, workload)
}

fn load_on(config: Config, boot: &Boot, app: u32, workload: &str) -> RunningApp {
    let rounds = Task::Rounds { workload: workload.into(), rate: 0, entry: Entry::Call };
    let app = config.start(boot, app, rounds);
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > 10), "{workload} starts");
    app
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Has a component have a real fault when its code is executed for the so manieth time from now; the process that this is in, or
/// `None` where the host lets nobody do that.
pub fn fails(boot: &Boot, component: &str, fault: Fault, at: u64) -> Option<i32> {
    let subject = subjects(false).into_iter().find(|subject| subject.name == component).expect("it has a load");
    let target = subject.target(boot).expect("it has a function to fail");
    let at = NonZeroU64::new(at).expect("executions count from one");
    match kd_faults::inject(target.pid, &target.site, target.room, fault, at, None) {
        Ok(_) => Some(target.pid),
        Err(why) => {
            eprintln!("nothing injected: {why}");
            None
        }
    }
}

pub fn goes_on(app: &RunningApp) {
    let good = app.board.get(Field::Good);
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 10), "calls are answered again");
}

fn finish(app: &RunningApp) {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
}

#[test]
fn a_monolithic_kernel_refuses_a_boundary() {
    let mut manifest = MONOLITHIC.manifest(1);
    manifest.entries[0].placement = Some(Placement::Process);
    let Err(error) = Boot::new(&manifest) else { panic!("it booted") };
    let error = error.to_string();
    assert!(error.contains(&manifest.entries[0].name) && error.contains("called directly"), "{error}");
}

#[test]
fn placement_is_each_components_own() {
    let mut manifest = PROCESS.manifest(1);
    for entry in manifest.entries.iter_mut().filter(|entry| entry.source == Source::Subsystem) {
        // Drivers stay apart; ramfs is behind threads of the domain that the others share.
        entry.placement = Some(if entry.name == "ramfs" { Placement::Thread } else { Placement::Direct });
    }
    let boot = Boot::new(&manifest).expect("boots");
    let pid = |name: &str| boot.component(name).expect("it runs").pid;
    assert_eq!((pid("vfs"), pid("proc")), (pid("ramfs"), pid("pipe")));
    assert!(pid("ramdisk") != pid("vfs") && pid("nullblk") != pid("ramdisk"));
    let disk = load(&boot, 1, "ram0_write_4k");
    let core = pid("vfs");
    boot.signal("ramdisk", KILL).expect("it runs");
    until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == 1));
    goes_on(&disk);
    finish(&disk);
    assert_eq!((pid("vfs"), disk.board.get(Field::Failed)), (core, 0), "its neighbours live on");
}

#[test]
fn a_killed_domain_of_several_comes_back_and_apps_go_on() {
    let boot = COARSE.boot(2);
    let pid = |name: &str| boot.component(name).expect("it runs").pid;
    let members = ["vfs", "ramfs", "jfs", "procfs", "pipe", "blk"];
    assert!(members.iter().all(|member| pid(member) == pid("vfs")), "they share a domain");
    assert!(pid("vfs") != pid("vdisk") && pid("vfs") != pid("proc"));
    let (files, disk) = (load_on(COARSE, &boot, 1, "write_4k"), load_on(COARSE, &boot, 2, "vda_write_4k"));
    for round in 1..=3 {
        let (before, driver) = (pid("vfs"), pid("vdisk"));
        // By any of its members.
        boot.signal(members[round as usize], KILL).expect("it runs");
        let back = |name: &&str| boot.component(name).is_ok_and(|now| now.restarts == round && now.pid != before);
        until("a restart of all members", || members.iter().all(back));
        assert!(members.iter().all(|member| pid(member) == pid("vfs")), "they share their successor");
        assert_eq!(pid("vdisk"), driver, "its neighbours live on");
        goes_on(&files);
        goes_on(&disk);
    }
    let events = boot.events().expect("the root lives");
    let restarted = |event: &&kd_boot::control::Event| event.who == "files" && event.what == What::Restarted;
    assert_eq!(events.iter().filter(restarted).count(), 3, "told by its domain's name: {events:?}");
    finish(&files);
    finish(&disk);
    // What lay in memory is gone with the domain, and missed; nothing of it comes back changed. What a device had is there.
    assert_eq!(files.board.get(Field::Corrupted), 0);
    let bad = [Field::Wrong, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| disk.board.get(field)), [0; 3]);
}

/// In a domain of threads as well, since its members hold each other: a panic of a driver on the thread of the VFS, which
/// called it directly, takes both.
#[test]
fn a_panic_restarts_all_members_of_a_domain_of_threads() {
    let text = r#"{ "about": "The VFS and the RAM disk in one.", "boundary": "thread",
        "domains": [{ "name": "one", "components": ["vfs", "procfs", "ramdisk"] }] }"#;
    let layout = Layout::parse("one.json", text).and_then(|layout| layout.manifest(&kd_subsystems::components()));
    let boot = Boot::new(&Manifest { apps: 2, ..layout.expect("it fits") }).expect("boots");
    // The app enters by a port of its own, so that the panic is not on its thread.
    let rounds = Task::Rounds { workload: "ram0_write_4k".into(), rate: 0, entry: Entry::Call };
    let disk = boot.start(1, true, rounds).expect("starts");
    goes_on(&disk);
    let Some(_) = fails(&boot, "ramdisk", Fault::Panic, 20) else { return };
    let names = ["vfs", "procfs", "ramdisk", "ramfs"];
    until("a restart of all members, and of nobody else", || {
        let paths = names.map(|name| format!("/proc/components/{name}")).to_vec();
        let mut reader = boot.start(2, true, Task::Text(paths)).expect("starts");
        let restarts = names.map(|_| match reader.line::<Result<String, String>>() {
            Ok(Some(Ok(text))) => {
                text.contains("Restarts:\t1\n").then_some(1).or(text.contains("Restarts:\t0\n").then_some(0))
            }
            _ => None,
        });
        restarts == [Some(1), Some(1), Some(1), Some(0)]
    });
    goes_on(&disk);
    finish(&disk);
    assert_eq!((disk.board.get(Field::Wrong), disk.board.get(Field::Lost)), (0, 0), "the disk is the machine's");
}

#[test]
fn a_killed_driver_is_restarted_and_no_call_fails() {
    let boot = PROCESS.boot(2);
    let (disk, other) = (load(&boot, 1, "ram0_write_4k"), load(&boot, 2, "write_4k"));
    for round in 1..=5 {
        let before = boot.component("ramdisk").expect("it runs").pid;
        boot.signal("ramdisk", KILL).expect("it runs");
        until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == round && now.pid != before));
        goes_on(&disk);
    }
    for app in [&disk, &other] {
        finish(app);
        let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
        assert_eq!(bad.map(|field| app.board.get(field)), [0; 5], "every call of a block device may be repeated");
    }
    let events = boot.events().expect("the root lives");
    let count = |what: &dyn Fn(&What) -> bool| events.iter().filter(|event| what(&event.what)).count();
    assert_eq!(count(&|what| *what == What::Died("SIGKILL".into())), 5, "{events:?}");
    assert_eq!(count(&|what| *what == What::Restarted), 5, "{events:?}");
    assert_eq!(boot.component("ramdisk").expect("it runs").counters[0], 0, "no violation");
}

#[test]
fn a_stopped_driver_is_taken_for_hung() {
    let boot = PROCESS.boot(1);
    let disk = load(&boot, 1, "ram0_read_4k");
    boot.signal("ramdisk", STOP).expect("it runs");
    until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == 1));
    goes_on(&disk);
    let events = boot.events().expect("the root lives");
    assert!(events.iter().any(|event| event.who == "ramdisk" && matches!(event.what, What::Hung(_))), "{events:?}");
    finish(&disk);
    assert_eq!((disk.board.get(Field::Failed), disk.board.get(Field::Wrong)), (0, 0));
}

#[test]
fn calls_that_may_not_be_repeated_fail_as_unknown_and_are_counted() {
    let boot = PROCESS.boot(1);
    // `pwrite` on a descriptor may append, so it is not repeated.
    let app = load(&boot, 1, "write_4k");
    until("a kill that hits a call in hand", || {
        let restarts = boot.component("vfs").expect("it runs").restarts;
        boot.signal("vfs", KILL).expect("it runs");
        until("a restart", || boot.component("vfs").is_ok_and(|now| now.restarts > restarts));
        goes_on(&app);
        // Not so often in a second that it is given up.
        std::thread::sleep(Duration::from_millis(60));
        app.board.get(Field::Unknown) > 0
    });
    finish(&app);
    assert_eq!((app.board.get(Field::Wrong), app.board.get(Field::Corrupted)), (0, 0));
    assert!(boot.component("vfs").expect("it runs").counters[2] >= app.board.get(Field::Unknown));
}

#[test]
fn a_component_that_dies_again_and_again_is_given_up_and_the_others_live() {
    let mut manifest = PROCESS.manifest(2);
    // Within whatever time a busy machine takes for them.
    manifest.entries.iter_mut().for_each(|entry| entry.policy.within_ms = 100_000);
    let boot = Boot::new(&manifest).expect("boots");
    let (disk, other) = (load(&boot, 1, "ram0_read_4k"), load(&boot, 2, "read_64"));
    // More deaths than it may die; what is dead already answers that it does not run.
    until("the end of patience", || {
        let _ = boot.signal("ramdisk", KILL);
        let events = boot.events().expect("the root lives");
        events.iter().any(|event| event.who == "ramdisk" && event.what == What::GivenUp)
    });
    assert!(boot.component("ramdisk").is_err(), "it stays dead");
    let failed = disk.board.get(Field::Failed);
    assert!(disk.wait_until(LIMIT, |board| board.get(Field::Failed) > failed + 10), "calls fail, none hangs");
    assert_eq!(disk.board.get(Field::LastErrno), kd_api::Errno::EIO as u64);
    goes_on(&other);
    disk.stop();
    finish(&other);
    assert_eq!((other.board.get(Field::Failed), other.board.get(Field::Wrong)), (0, 0));
}

#[test]
fn a_busy_machine_gets_nobody_shot() {
    let boot = PROCESS.boot(1);
    let app = load(&boot, 1, "ram0_read_4k");
    let end = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| while Instant::now() < end {});
        }
    });
    goes_on(&app);
    finish(&app);
    let events = boot.events().expect("the root lives");
    assert!(events.iter().all(|event| event.who.starts_with("app")), "{events:?}");
    assert_eq!((app.board.get(Field::Failed), app.board.get(Field::Wrong)), (0, 0));
}
