//! The device with a ring under whole kernels: its driver killed, its sectors bad, its power gone, its process ended.

use std::time::{Duration, Instant};

use kd_api::Errno;
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task, What};
use kd_boot::devices::{DeviceCounts, Order};
use kd_boot::layout::Layout;
use kd_boot::manifest::{RingDevice, VDISK_BYTES};
use kernel_debate::boot::{Boot, RunningApp};

use crate::{Config, MONOLITHIC, OURS, PROCESS};

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;
const DRIVER: &str = "vdisk";
const BAD: [Field; 5] = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];

fn load(config: Config, boot: &Boot, app: u32) -> RunningApp {
    let task = Task::Rounds { workload: "vda_write_4k".into(), rate: 0, entry: Entry::Call };
    let app = config.start(boot, app, task);
    good(&app, 50);
    app
}

/// Waits for so many more good rounds.
fn good(app: &RunningApp, more: u64) {
    let before = app.board.get(Field::Good);
    let seen = BAD.map(|field| app.board.get(field));
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) >= before + more), "{seen:?}");
}

fn finish(app: &RunningApp) -> [u64; 5] {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    BAD.map(|field| app.board.get(field))
}

fn order(boot: &Boot, order: Order) -> DeviceCounts {
    boot.device(DRIVER, order).expect("it has a device")
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Kills the driver and waits for its successor.
fn restart(boot: &Boot) {
    let before = boot.component(DRIVER).expect("it runs").restarts;
    boot.signal(DRIVER, KILL).expect("it runs");
    until("a restart", || boot.component(DRIVER).is_ok_and(|now| now.restarts > before));
}

#[test]
fn every_kernel_reaches_it_and_nothing_is_asked_in_vain() {
    for config in OURS {
        let boot = config.boot(2);
        // The file system on its other half has been made.
        let fresh = order(&boot, Order::Count);
        let apps = [load(config, &boot, 1), load(config, &boot, 2)];
        for app in &apps {
            assert_eq!(finish(app), [0; 5], "{config:?}");
        }
        let counts = order(&boot, Order::Count);
        assert_eq!((counts.requests, counts.faults, counts.refused), (counts.completed, 0, 0), "{config:?}");
        assert!(counts.written - fresh.written >= 100 * 4096 && counts.dirty > 0, "{config:?}: {counts:?}");
        assert_eq!(counts.syncs, fresh.syncs, "{config:?}: {counts:?}");
    }
}

#[test]
fn a_file_of_the_host_serves_as_well_and_its_driver_may_die() {
    for config in OURS {
        let mut manifest = config.manifest(1);
        let driver = manifest.entries.iter_mut().find(|entry| entry.name == DRIVER).expect("it is standard");
        driver.ring = Some(RingDevice::file(&std::env::temp_dir()));
        manifest.add_driver("filedisk", VDISK_BYTES, Some(RingDevice::file(&std::env::temp_dir())));
        let boot = Boot::new(&manifest).unwrap_or_else(|why| panic!("{config:?}: {why}"));
        let app = load(config, &boot, 1);
        if config.placement == PROCESS.placement {
            restart(&boot);
            good(&app, 50);
        }
        assert_eq!(finish(&app), [0; 5], "{config:?}");
        assert_eq!(boot.device("filedisk", Order::Count).expect("it is there").completed, 0, "{config:?}");
    }
}

#[test]
fn each_process_maps_its_own_side_and_no_more() {
    for config in [MONOLITHIC, PROCESS] {
        let boot = config.boot(1);
        let app = load(config, &boot, 1);
        let driver = boot.component(DRIVER).expect("it runs").pid;
        let disk = process(app.pid, "kd-disk");
        let maps = |pid: i32| {
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
            ["kd-registers", "kd-frames", "kd-panel", "kd-channel"].map(|name| maps.contains(name))
        };
        assert_eq!(maps(driver), [true, true, false, config.placement == PROCESS.placement], "{config:?}");
        assert_eq!(maps(disk), [true, true, true, false], "{config:?}");
        if config.placement == PROCESS.placement {
            for other in [boot.component("vfs").expect("it runs").pid, app.pid] {
                assert_eq!(maps(other), [false, false, false, true], "{config:?}");
            }
        }
    }
}

#[test]
fn a_machine_without_iommu_runs_and_restarts_what_dies() {
    for config in [MONOLITHIC, PROCESS] {
        let mut manifest = config.manifest(1);
        let driver = manifest.entries.iter_mut().find(|entry| entry.name == DRIVER).expect("it is standard");
        driver.ring = Some(RingDevice { iommu: false, ..RingDevice::memory() });
        let boot = Boot::new(&manifest).unwrap_or_else(|why| panic!("{config:?}: {why}"));
        let app = load(config, &boot, 1);
        if config.placement == PROCESS.placement {
            // Its successor's arena is the same part of the machine's memory, emptied.
            restart(&boot);
            good(&app, 50);
        }
        assert_eq!(finish(&app), [0; 5], "{config:?}");
    }
}

#[test]
fn a_killed_driver_loses_nothing_that_its_device_has() {
    let boot = PROCESS.boot(2);
    let apps = [load(PROCESS, &boot, 1), load(PROCESS, &boot, 2)];
    // Requests are in hand when it dies.
    order(&boot, Order::Latency(200_000));
    for _ in 0..5 {
        restart(&boot);
        apps.iter().for_each(|app| good(app, 10));
    }
    for app in &apps {
        assert_eq!(finish(app), [0; 5], "what was written lies in the device's cache, not in the driver");
    }
    let counts = order(&boot, Order::Count);
    assert_eq!((counts.requests, counts.refused, counts.faults), (counts.completed, 0, 0), "{counts:?}");
    assert_eq!(boot.component(DRIVER).expect("it runs").counters[0], 0, "no violation");
}

#[test]
fn a_slow_device_gets_no_driver_shot() {
    // By itself, and in one domain with all that call it.
    let text = r#"{ "about": "All in one.", "boundary": "process",
        "domains": [{ "name": "one", "components": ["subsystems", "drivers"] }] }"#;
    let together = Layout::parse("one.json", text).and_then(|layout| layout.manifest(&kd_subsystems::components()));
    for manifest in [PROCESS.manifest(1), together.expect("it fits")] {
        let boot = Boot::new(&manifest).expect("boots");
        let app = load(PROCESS, &boot, 1);
        // A request takes longer than any idle server is granted.
        order(&boot, Order::Latency(1_500_000_000));
        good(&app, 1);
        order(&boot, Order::Latency(0));
        good(&app, 10);
        let events = boot.events().expect("the root lives");
        assert!(events.iter().all(|event| event.who.starts_with("app")), "{events:?}");
        assert_eq!(finish(&app), [0; 5]);
    }
}

#[test]
fn media_errors_are_the_apps_to_see_and_pass() {
    for config in OURS {
        let boot = config.boot(1);
        let app = load(config, &boot, 1);
        order(&boot, Order::Bad(0, u64::MAX));
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Failed) > 10), "{config:?}");
        assert_eq!(app.board.get(Field::LastErrno), Errno::EIO as u64, "{config:?}");
        order(&boot, Order::Bad(0, 0));
        good(&app, 10);
        finish(&app);
        assert_eq!([Field::Wrong, Field::Corrupted].map(|field| app.board.get(field)), [0; 2], "{config:?}");
        assert!(order(&boot, Order::Count).media_errors > 10, "{config:?}");
    }
}

#[test]
fn a_power_failure_loses_what_nobody_flushed() {
    let boot = PROCESS.boot(1);
    let fresh = order(&boot, Order::Count);
    let app = load(PROCESS, &boot, 1);
    let before = order(&boot, Order::Count);
    assert!(before.dirty > 0 && before.syncs == fresh.syncs, "{before:?}");
    order(&boot, Order::FailPower);
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Failed) > 0), "calls fail, none hangs");
    assert_eq!(app.board.get(Field::LastErrno), Errno::EIO as u64);
    restart(&boot);
    // What it reads back of earlier rounds is as it was before the first of them.
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Wrong) > 0));
}

#[test]
fn a_device_that_is_pulled_out_fails_every_request() {
    for config in [MONOLITHIC, PROCESS] {
        let boot = config.boot(1);
        let app = load(config, &boot, 1);
        let disk = process(app.pid, "kd-disk");
        let kill = std::process::Command::new("kill").args(["-9", &disk.to_string()]).status();
        assert!(kill.expect("a host has it").success());
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Failed) > 10), "{config:?}: calls fail, none hangs");
        assert_eq!(app.board.get(Field::LastErrno), Errno::EIO as u64);
        let events = boot.events().expect("the root lives");
        let died = |what: &What| *what == What::Died("SIGKILL".into());
        assert!(events.iter().any(|event| event.who == "device of vdisk" && died(&event.what)), "{events:?}");
    }
}

/// The process of a name in the boot that another one belongs to.
fn process(of: i32, name: &str) -> i32 {
    let comm = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let mut family = kd_boot::app::family(root_of(of)).into_iter();
    family.find(|pid| comm(pid).trim_end() == name).unwrap_or_else(|| panic!("no {name} runs"))
}

/// The root process of the boot that a process belongs to.
fn root_of(pid: i32) -> i32 {
    let mut pid = pid;
    loop {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives");
        if comm == "kd-root\n" {
            return pid;
        }
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it lives");
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        pid = parent.expect("every process of a boot descends from its root");
    }
}

#[test]
fn a_kernel_that_reboots_finds_its_device_as_it_was() {
    let boot = MONOLITHIC.boot(1);
    let app = load(MONOLITHIC, &boot, 1);
    let written = order(&boot, Order::Count).written;
    boot.panic_on_oops().expect("the root lives");
    // The driver's process is the kernel's.
    boot.signal(DRIVER, KILL).expect("it runs");
    until("a reboot", || boot.component(DRIVER).is_ok_and(|now| now.restarts == 1));
    drop(app);
    let again = load(MONOLITHIC, &boot, 1);
    assert_eq!(finish(&again), [0; 5]);
    assert!(order(&boot, Order::Count).written > written, "it is the same device, and counts on");
}
