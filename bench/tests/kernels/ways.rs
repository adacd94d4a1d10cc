//! The ways in which a dead driver comes back, and the policies that decide whether it does.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Entry, Event, Task, What};
use kd_boot::manifest::Manifest;
use kd_boot::policy::{Policy, Restart, Way};
use kd_faults::Fault;
use kernel_debate::boot::{Boot, RunningApp};
use kernel_debate::experiments::faults::subjects;

use crate::PROCESS;

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;
const TERMINATE: i32 = 15;

fn boot(component: &str, apps: u32, policy: Policy) -> Boot {
    let mut manifest = PROCESS.manifest(apps);
    set(&mut manifest, component, policy);
    Boot::new(&manifest).expect("boots")
}

fn set(manifest: &mut Manifest, component: &str, policy: Policy) {
    let entry = manifest.entries.iter_mut().find(|entry| entry.name == component);
    entry.expect("it is in the manifest").policy = policy;
}

fn load(boot: &Boot, app: u32, workload: &str) -> RunningApp {
    let rounds = Task::Rounds { workload: workload.into(), rate: 0, entry: Entry::Call };
    let app = boot.start(app, true, rounds).expect("starts");
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > 10), "{workload} starts");
    app
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn goes_on(app: &RunningApp) {
    let good = app.board.get(Field::Good);
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 10), "calls are answered again");
}

fn finish(app: &RunningApp) {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5]);
}

/// The processes of a boot by their names: the children of the root that started `app`.
fn processes(app: &RunningApp, name: &str) -> BTreeSet<i32> {
    let stat = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent =
        |pid| stat(pid).rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
    let root = parent(app.pid);
    let all = std::fs::read_dir("/proc").expect("it is there").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let state = |pid| stat(pid).rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    pids.filter(|&pid| parent(pid) == root && state(pid) != Some('Z'))
        .filter(|&pid| stat(pid).contains(&format!("({name})")))
        .collect()
}

#[test]
fn a_driver_comes_back_in_each_way_and_no_call_fails() {
    for (driver, workload) in [("ramdisk", "ram0_write_4k"), ("vdisk", "vda_write_4k")] {
        for way in Way::ALL {
            let boot = boot(driver, 1, Policy { way, ..Policy::default() });
            let app = load(&boot, 1, workload);
            for round in 1..=4 {
                let before = boot.component(driver).expect("it runs").pid;
                boot.signal(driver, KILL).expect("it runs");
                until("a restart", || {
                    boot.component(driver).is_ok_and(|now| now.restarts == round && now.pid != before)
                });
                goes_on(&app);
            }
            finish(&app);
            let events = boot.events().expect("the root lives");
            let restarts = events.iter().filter(|event| event.what == What::Restarted).count();
            assert_eq!(restarts, 4, "{way:?}: {events:?}");
        }
    }
}

#[test]
fn a_standby_takes_the_place_and_another_stands_by() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    for round in 1..=3 {
        let two = || processes(&app, "kd-ramdisk");
        until("a standby", || two().len() == 2);
        let pid = boot.component("ramdisk").expect("it runs").pid;
        let standby = *two().iter().find(|other| **other != pid).expect("there are two");
        boot.signal("ramdisk", KILL).expect("it runs");
        until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == round));
        assert_eq!(boot.component("ramdisk").expect("it runs").pid, standby, "who stood by answers");
        goes_on(&app);
    }
    finish(&app);
}

#[test]
fn a_fault_is_told_by_the_dying_process_itself() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    let driver = subjects(false).into_iter().find(|subject| subject.name == "ramdisk").expect("it has a load");
    let target = driver.target(&boot).expect("it has a function to fail");
    let at = NonZeroU64::new(20).expect("executions count from one");
    if let Err(why) = kd_faults::inject(target.pid, &target.site, target.room, Fault::StackOverflow, at, None) {
        eprintln!("nothing injected: {why}");
        return;
    }
    let mut events: Vec<Event> = Vec::new();
    until("a restart", || {
        events.extend(boot.events().expect("the root lives"));
        events.iter().any(|event| event.what == What::Restarted)
    });
    let whats: Vec<&What> = events.iter().map(|event| &event.what).collect();
    let signal = "SIGSEGV".to_owned();
    assert_eq!(whats, [&What::Faulted(signal.clone()), &What::Died(signal), &What::Restarted]);
    assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at), "in the order of time: {events:?}");
    goes_on(&app);
    finish(&app);
}
