//! The ways back: `cold`, `warm`, `standby`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kd_boot::control::What;
use kd_boot::policy::{Policy, Way};
use kernel_debate::boot::Boot;
use kernel_debate::holdings::Holdings;

use super::{KILL, LIMIT, boot, finish, processes, set};
use crate::PROCESS;
use crate::restarts::{goes_on, load, until};

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

/// Each is what it says: one begins as the host's loader begins a program, the other as a copy of the supervisor.
#[test]
fn who_comes_back_cold_was_executed_and_who_comes_back_warm_was_not() {
    for (way, executed) in [(Way::Cold, true), (Way::Warm, false)] {
        for component in ["ramdisk", "vdisk", "vfs"] {
            let boot = boot(component, 1, Policy { way, ..Policy::default() });
            boot.signal(component, KILL).expect("it runs");
            until("a restart", || boot.component(component).is_ok_and(|now| now.restarts == 1));
            let pid = boot.component(component).expect("it runs").pid;
            let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("it lives");
            let asked = String::from_utf8_lossy(&environment).contains("KERNEL_DEBATE_PURPOSE=");
            assert_eq!(asked, executed, "{component}, {way:?}");
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).expect("it lives");
            assert_eq!(name.trim(), format!("kd-{component}"));
            goes_on(&load(&boot, 1, "ram0_write_4k"));
        }
    }
}

#[test]
fn a_standby_takes_the_place_and_another_stands_by() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    for round in 1..=3 {
        let mut standby = None;
        // A process of that name may not be ready yet: then it is passed over.
        until("a standby", || {
            standby = boot.component("ramdisk").ok().and_then(|now| now.standby);
            standby.is_some()
        });
        // On a busy machine the host takes its time to bury the dead.
        until("it and its standby alone", || processes(&app, "kd-ramdisk").len() == 2);
        boot.signal("ramdisk", KILL).expect("it runs");
        until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == round));
        assert_eq!(boot.component("ramdisk").ok().map(|now| now.pid), standby, "who stood by answers");
        goes_on(&app);
    }
    finish(&app);
}

/// The memory objects that a process maps, named in one of these ways, by their inodes.
fn mapped(pid: i32, names: [&str; 2]) -> BTreeSet<String> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives");
    let named = |line: &&str| names.iter().any(|name| line.contains(&format!("memfd:{name} ")));
    // Address, rights, offset, device, inode, path.
    maps.lines().filter(named).filter_map(|line| Some(line.split_whitespace().nth(4)?.to_string())).collect()
}

/// By its page a domain is shut, by its place it is replaced: a wild store elsewhere must not reach either.
#[test]
fn nobody_has_the_page_or_the_place_of_anothers_domain() {
    let mut manifest = PROCESS.manifest(1);
    set(&mut manifest, "ramdisk", Policy { way: Way::Standby, ..Policy::default() });
    set(&mut manifest, "vdisk", Policy { way: Way::Cold, ..Policy::default() });
    let boot = Boot::new(&manifest).expect("boots");
    boot.signal("vdisk", KILL).expect("it runs");
    until("a restart", || boot.component("vdisk").is_ok_and(|now| now.restarts == 1));
    // Forked in the boot, or executed, or forked while all the others were there.
    let app = load(&boot, 1, "ram0_write_4k");
    for restarts in 1..=2 {
        boot.signal("ramdisk", KILL).expect("it runs");
        until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == restarts));
        until("a standby", || boot.component("ramdisk").is_ok_and(|now| now.standby.is_some()));
    }
    let status = boot.status().expect("the root lives");
    let of = |pid| mapped(pid, ["kd-domain", "kd-berth"]);
    for one in &status {
        // Its page and its place; who was promoted still has the page of the one before.
        let own = if one.name == "ramdisk" { 3 } else { 2 };
        assert_eq!(of(one.pid).len(), own, "{}", one.name);
        for other in status.iter().filter(|other| other.pid != one.pid) {
            assert!(of(one.pid).is_disjoint(&of(other.pid)), "{} has what is of {}", one.name, other.name);
        }
    }
    assert_eq!(of(app.pid).len(), 0, "an app has none");
}

/// Kills each of the two drivers at random moments, so often in each way: `KD_KILLS` says how often.
#[test]
fn thousands_of_kills_lose_nothing_and_leak_nothing() {
    let kills: u32 = std::env::var("KD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(350);
    for way in Way::ALL {
        let mut manifest = PROCESS.manifest(2);
        for driver in ["vdisk", "ramdisk"] {
            set(&mut manifest, driver, Policy { way, deaths: u32::MAX, ..Policy::default() });
        }
        let boot = Boot::new(&manifest).expect("boots");
        let (files, disk) = (load(&boot, 1, "disk_append_fsync"), load(&boot, 2, "ram0_write_4k"));
        let settled = || {
            ["vdisk", "ramdisk"]
                .iter()
                .all(|driver| boot.component(driver).is_ok_and(|now| now.standby.is_some() || way != Way::Standby))
        };
        // What those hold who came after the first: that one was there before the apps were.
        for restarts in 1..=2 {
            until("all stand by", settled);
            for driver in ["vdisk", "ramdisk"] {
                boot.signal(driver, KILL).expect("it runs");
            }
            let back = |driver: &&str| boot.component(driver).is_ok_and(|now| now.restarts == restarts);
            until("both are back", || ["vdisk", "ramdisk"].iter().all(back));
        }
        until("all stand by", settled);
        let held = || Holdings::of_boot(files.pid).expect("the boot lives");
        let before = Holdings::at_rest(files.pid).expect("the boot lives");
        let mut random = 0x9E37_79B9_7F4A_7C15u64;
        for kill in 1..=kills {
            for driver in ["vdisk", "ramdisk"] {
                // Xorshift (Marsaglia, 2003): some moment within two milliseconds.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                std::thread::sleep(Duration::from_nanos(random % 2_000_000));
                boot.signal(driver, KILL).expect("it runs");
            }
            let back = |driver: &&str| boot.component(driver).is_ok_and(|now| now.restarts >= kill + 2);
            until("both are back", || ["vdisk", "ramdisk"].iter().all(back));
            boot.events().expect("the root lives");
        }
        goes_on(&files);
        goes_on(&disk);
        until("all stand by", settled);
        let begin = Instant::now();
        while !held().is_within(&before) {
            assert!(begin.elapsed() < LIMIT, "{way:?}: {before:?} were held before, {:?} are now", held());
            std::thread::sleep(Duration::from_millis(10));
        }
        for driver in ["vdisk", "ramdisk", "blk", "jfs", "vfs"] {
            assert_eq!(boot.component(driver).expect("it runs").counters[2], 0, "{driver}: no outcome is unknown");
        }
        let restarts = ["vdisk", "ramdisk"].map(|driver| boot.component(driver).expect("it runs").restarts);
        assert_eq!(restarts, [kills + 2; 2], "{way:?}: each death is followed by one restart");
        finish(&files);
        finish(&disk);
    }
}
