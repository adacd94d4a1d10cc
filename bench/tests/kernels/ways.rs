//! The ways in which a dead driver comes back, and the policies that decide whether it does.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::{Event, What};
use kd_boot::manifest::Manifest;
use kd_boot::policy::{Policy, Restart, Way};
use kd_faults::Fault;
use kernel_debate::boot::{Boot, RunningApp};
use kernel_debate::experiments::faults::subjects;
use kernel_debate::holdings::Holdings;

use crate::PROCESS;
use crate::restarts::{goes_on, load, until};

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

fn finish(app: &RunningApp) {
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5]);
}

/// What the host says of a process behind its name: its state, its parent, and more.
fn status_words(pid: i32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit(')').next()?.split_whitespace().map(String::from).collect())
}

fn state(pid: i32) -> Option<char> {
    status_words(pid)?.first()?.chars().next()
}

fn parent(pid: i32) -> Option<i32> {
    status_words(pid)?.get(1)?.parse().ok()
}

/// The root of the boot that an app is of.
fn root_of(app: &RunningApp) -> i32 {
    parent(app.pid).expect("the app lives")
}

/// The living processes of a boot that bear a name.
fn processes(app: &RunningApp, name: &str) -> BTreeSet<i32> {
    let root = Some(root_of(app));
    let all = std::fs::read_dir("/proc").expect("it is there").flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let bears = |pid: &i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name);
    pids.filter(|&pid| parent(pid) == root && state(pid) != Some('Z')).filter(bears).collect()
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

fn events_of(boot: &Boot, who: &str) -> Vec<What> {
    boot.events()
        .expect("the root lives")
        .into_iter()
        .filter(|event| event.who == who)
        .map(|event| event.what)
        .collect()
}

#[test]
fn who_was_asked_to_end_comes_back_only_where_the_policy_always_wants_it() {
    for (restart, way, comes_back) in [
        (Restart::Always, Way::Warm, true),
        (Restart::OnFailure, Way::Warm, false),
        // The host would hand the place over whatever the signal.
        (Restart::OnFailure, Way::Standby, false),
        (Restart::Never, Way::Warm, false),
    ] {
        let boot = boot("ramdisk", 2, Policy { restart, way, ..Policy::default() });
        let (disk, other) = (load(&boot, 1, "ram0_read_4k"), load(&boot, 2, "read_64"));
        if way == Way::Standby {
            handed_over_soon(&boot, "ramdisk");
        }
        boot.signal("ramdisk", TERMINATE).expect("it runs");
        let mut whats = Vec::new();
        until("a decision", || {
            whats.extend(events_of(&boot, "ramdisk"));
            whats.iter().any(|what| matches!(what, What::Restarted | What::Stays))
        });
        assert_eq!(whats.contains(&What::Restarted), comes_back, "{restart:?}: {whats:?}");
        goes_on(&other);
        if comes_back {
            goes_on(&disk);
            finish(&disk);
        } else {
            let failed = disk.board.get(Field::Failed);
            assert!(disk.wait_until(LIMIT, |board| board.get(Field::Failed) > failed + 10), "calls fail, none hangs");
            assert_eq!(disk.board.get(Field::LastErrno), kd_api::Errno::EIO as u64);
            disk.stop();
        }
        finish(&other);
    }
}

#[test]
fn a_failure_is_followed_by_a_restart_unless_there_never_is_one() {
    for (restart, comes_back) in [(Restart::OnFailure, true), (Restart::Never, false)] {
        let boot = boot("ramdisk", 1, Policy { restart, ..Policy::default() });
        boot.signal("ramdisk", KILL).expect("it runs");
        let mut whats = Vec::new();
        until("a decision", || {
            whats.extend(events_of(&boot, "ramdisk"));
            whats.iter().any(|what| matches!(what, What::Restarted | What::Stays))
        });
        assert_eq!(whats.contains(&What::Restarted), comes_back, "{restart:?}: {whats:?}");
    }
}

#[test]
fn who_dies_more_often_than_its_policy_allows_is_given_up_whatever_the_way() {
    for way in Way::ALL {
        let boot = boot("ramdisk", 1, Policy { way, deaths: 2, within_ms: 100_000, ..Policy::default() });
        let app = load(&boot, 1, "ram0_read_4k");
        for death in 1..=3 {
            if way == Way::Standby {
                until("a standby", || boot.component("ramdisk").is_ok_and(|now| now.standby.is_some()));
            }
            boot.signal("ramdisk", KILL).expect("it runs");
            if death < 3 {
                until("a restart", || boot.component("ramdisk").is_ok_and(|now| now.restarts == death));
            }
        }
        until("the end of patience", || events_of(&boot, "ramdisk").contains(&What::GivenUp));
        until("nobody is left", || processes(&app, "kd-ramdisk").is_empty());
        let failed = app.board.get(Field::Failed);
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Failed) > failed + 10), "calls fail, none hangs");
        assert_eq!(app.board.get(Field::LastErrno), kd_api::Errno::EIO as u64);
    }
}

#[test]
fn who_backs_off_is_not_back_before() {
    const BACK_OFF: u64 = 200;
    let boot = boot("ramdisk", 1, Policy { back_off_ms: BACK_OFF, within_ms: 100_000, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    for death in 1..=2 {
        boot.events().expect("the root lives");
        boot.signal("ramdisk", KILL).expect("it runs");
        let mut events: Vec<Event> = Vec::new();
        until("a restart", || {
            events.extend(boot.events().expect("the root lives"));
            events.iter().any(|event| event.what == What::Restarted)
        });
        let at = |of: fn(&What) -> bool| events.iter().find(|event| of(&event.what)).expect("it happened").at;
        let waited = at(|what| *what == What::Restarted) - at(|what| matches!(what, What::Died(_)));
        // A lower bound holds on any machine.
        assert!(waited >= BACK_OFF * 1_000_000 * death, "death {death}: {waited} ns");
        goes_on(&app);
    }
    finish(&app);
}

#[test]
fn who_follows_is_restarted_after_what_it_imports_and_others_are_not() {
    let mut manifest = PROCESS.manifest(1);
    set(&mut manifest, "blk", Policy { follow: true, ..Policy::default() });
    let boot = Boot::new(&manifest).expect("boots");
    let app = load(&boot, 1, "vda_write_4k");
    let restarts = |name: &str| boot.component(name).map(|now| now.restarts).ok();
    boot.signal("vdisk", KILL).expect("it runs");
    until("both are back", || restarts("vdisk") == Some(1) && restarts("blk") == Some(1));
    goes_on(&app);
    let events = boot.events().expect("the root lives");
    let names = |event: &Event| (event.who.clone(), event.what.clone());
    let seen: Vec<(String, What)> = events.iter().map(names).collect();
    let (vdisk, blk) = ("vdisk".to_owned(), "blk".to_owned());
    let expected = [
        (vdisk.clone(), What::Died("SIGKILL".into())),
        (vdisk.clone(), What::Restarted),
        (blk.clone(), What::Followed(vdisk)),
        (blk, What::Restarted),
    ];
    assert_eq!(seen, expected);
    assert_eq!((restarts("jfs"), restarts("vfs")), (Some(0), Some(0)), "who does not ask to follow stays");
    finish(&app);
}

#[test]
fn two_that_die_at_once_come_back_in_the_order_of_their_imports() {
    let mut manifest = PROCESS.manifest(1);
    for (name, back_off_ms) in [("vdisk", 150), ("blk", 0)] {
        set(&mut manifest, name, Policy { back_off_ms, ..Policy::default() });
    }
    let boot = Boot::new(&manifest).expect("boots");
    let app = load(&boot, 1, "vda_write_4k");
    boot.signal("vdisk", KILL).expect("it runs");
    until("its death", || events_of(&boot, "vdisk").contains(&What::Died("SIGKILL".into())));
    boot.signal("blk", KILL).expect("it runs");
    let mut back: Vec<String> = Vec::new();
    until("both are back", || {
        let events = boot.events().expect("the root lives");
        back.extend(events.into_iter().filter(|event| event.what == What::Restarted).map(|event| event.who));
        back.len() == 2
    });
    assert_eq!(back, ["vdisk", "blk"], "`blk` has no back-off, but its disk has");
    goes_on(&app);
    finish(&app);
}

#[test]
fn a_stopped_server_that_nobody_calls_is_noticed() {
    const STOP: i32 = 19;
    let boot = PROCESS.boot(1);
    boot.signal("nullblk", STOP).expect("it runs");
    until("a restart", || boot.component("nullblk").is_ok_and(|now| now.restarts == 1));
    let whats = events_of(&boot, "nullblk");
    assert!(matches!(&whats[..], [What::Hung(why), What::Restarted] if why.contains("bell")), "{whats:?}");
}

/// Its device does not answer, so its driver never gets ready.
#[test]
fn a_server_that_hangs_while_it_starts_is_noticed_and_given_up_in_the_end() {
    const STOP: i32 = 19;
    const CONTINUE: i32 = 18;
    for comes_back in [true, false] {
        let boot = PROCESS.boot(2);
        let other = load(&boot, 1, "read_64");
        let device = boot.component("vdisk").expect("it runs");
        let disks = processes(&other, "kd-disk");
        assert_eq!(disks.len(), 1, "one device has a ring");
        let tell = |signal: i32| {
            let mut kill = std::process::Command::new("kill");
            kill.arg(format!("-{signal}")).args(disks.iter().map(ToString::to_string));
            assert!(kill.status().expect("there is a kill").success());
        };
        tell(STOP);
        boot.signal("vdisk", KILL).expect("it runs");
        let mut whats = Vec::new();
        until("a start that hangs", || {
            whats.extend(events_of(&boot, "vdisk"));
            whats.iter().any(|what| matches!(what, What::Hung(why) if why.contains("does not get ready")))
        });
        if comes_back {
            tell(CONTINUE);
            until("a start that does not", || boot.component("vdisk").is_ok_and(|now| now.restarts == 1));
            assert_ne!(boot.component("vdisk").expect("it runs").pid, device.pid);
            let disk = load(&boot, 2, "vda_write_4k");
            goes_on(&disk);
            finish(&disk);
        } else {
            until("the end of patience", || {
                whats.extend(events_of(&boot, "vdisk"));
                whats.contains(&What::GivenUp)
            });
            let hung = whats.iter().filter(|what| matches!(what, What::Hung(_))).count();
            assert_eq!(hung, 3, "{whats:?}");
            tell(CONTINUE);
        }
        goes_on(&other);
        finish(&other);
    }
}

#[test]
fn idle_servers_that_are_well_are_left_alone() {
    let boot = PROCESS.boot(1);
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(boot.events().expect("the root lives").len(), 0);
    let restarts: Vec<u32> = boot.status().expect("the root lives").iter().map(|status| status.restarts).collect();
    assert!(restarts.iter().all(|&restarts| restarts == 0), "{restarts:?}");
}

#[test]
fn a_slow_disk_gets_nobody_shot() {
    use kd_boot::devices::Order;
    let boot = PROCESS.boot(1);
    let app = load(&boot, 1, "vda_write_4k");
    // Longer than a hang would take to be noticed.
    boot.device("vdisk", Order::Latency(800_000_000)).expect("it has a ring");
    let good = app.board.get(Field::Good);
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 1), "slow, but alive");
    boot.device("vdisk", Order::Latency(0)).expect("it has a ring");
    goes_on(&app);
    assert_eq!(boot.events().expect("the root lives").len(), 0);
    finish(&app);
}

#[test]
fn a_domain_has_limits_of_its_own() {
    let boot = PROCESS.boot(1);
    let pid = boot.component("ramdisk").expect("it runs").pid;
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).expect("the host has it").to_owned();
    assert!(limit("Max open files").contains(" 128 "), "{limits}");
    assert!(limit("Max core file size").contains(" 0 "), "{limits}");
    assert!(!limit("Max address space").contains("unlimited"), "{limits}");
}

#[test]
fn policies_that_make_no_sense_are_refused_at_boot() {
    let refused = |manifest: &Manifest| Boot::new(manifest).err().expect("it is refused").to_string();
    let mut manifest = PROCESS.manifest(1);
    set(&mut manifest, "ramdisk", Policy { deaths: 0, ..Policy::default() });
    let error = refused(&manifest);
    assert!(error.contains("`ramdisk`") && error.contains("`deaths` is 0"), "{error}");
    let mut manifest = crate::COARSE.manifest(1);
    set(&mut manifest, "jfs", Policy { follow: true, ..Policy::default() });
    let error = refused(&manifest);
    assert!(error.contains("`jfs`") && error.contains("share a domain"), "{error}");
}

/// With its supervisor stopped: nobody else can have told the standby.
#[test]
fn a_dying_server_hands_its_place_over_by_itself() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    handed_over_soon(&boot, "ramdisk");
    let driver = subjects(false).into_iter().find(|subject| subject.name == "ramdisk").expect("it has a load");
    let target = driver.target(&boot).expect("it has a function to fail");
    let at = NonZeroU64::new(5_000).expect("executions count from one");
    if let Err(why) = kd_faults::inject(target.pid, &target.site, target.room, Fault::NullDereference, at, None) {
        eprintln!("nothing injected: {why}");
        return;
    }
    without_its_supervisor(&app, target.pid, || {});
    until("it is told of", || boot.component("ramdisk").is_ok_and(|now| now.restarts == 1));
    goes_on(&app);
    finish(&app);
    let whats = events_of(&boot, "ramdisk");
    let signal = "SIGSEGV".to_owned();
    assert_eq!(whats, [What::Faulted(signal.clone()), What::Died(signal), What::Restarted]);
}

/// Who is killed does nothing any more: the host hands its place over.
#[test]
fn the_place_of_a_server_that_is_killed_is_handed_over_by_the_host() {
    let boot = boot("vdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "vda_write_4k");
    for restarts in 1..=3 {
        handed_over_soon(&boot, "vdisk");
        let victim = boot.component("vdisk").expect("it runs").pid;
        without_its_supervisor(&app, victim, || assert!(tell("-KILL", victim)));
        until("it is told of", || boot.component("vdisk").is_ok_and(|now| now.restarts == restarts));
        goes_on(&app);
        assert_eq!(events_of(&boot, "vdisk"), [What::Died("SIGKILL".into()), What::Restarted]);
    }
    finish(&app);
}

/// Waits until a server may hand its place over.
fn handed_over_soon(boot: &Boot, component: &str) {
    until("a standby", || boot.component(component).is_ok_and(|now| now.standby.is_some()));
    // The supervisor lets the server hand over at the look after that.
    std::thread::sleep(Duration::from_millis(200));
}

fn tell(signal: &str, pid: i32) -> bool {
    let mut kill = std::process::Command::new("kill");
    kill.args([signal, &pid.to_string()]).status().expect("there is a kill").success()
}

/// Stops an app's supervisor until a server has died and the app went on.
fn without_its_supervisor(app: &RunningApp, server: i32, dies: impl FnOnce()) {
    let root = root_of(app);
    assert!(tell("-STOP", root));
    dies();
    // One that faulted is stopped until the supervisor buries it.
    let dead = || matches!(state(server), None | Some('Z' | 'T'));
    let begin = Instant::now();
    while !dead() && begin.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(1));
    }
    let good = app.board.get(Field::Good);
    let went_on = app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 10);
    // Before anything fails: the boot is waited for when it is dropped.
    assert!(tell("-CONT", root));
    assert!(dead() && went_on, "without its supervisor");
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
        let before = held();
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
