//! What is noticed, and what is not taken for a failure.

use std::time::Duration;

use kd_boot::board::Field;
use kd_boot::control::{Event, What};
use kd_boot::policy::{Policy, Way};
use kd_faults::Fault;

use super::{KILL, LIMIT, boot, events_of, finish, processes};
use crate::PROCESS;
use crate::restarts::{fails, goes_on, load, until};

#[test]
fn a_fault_is_told_by_the_dying_process_itself() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    let Some(_) = fails(&boot, "ramdisk", Fault::StackOverflow, 20) else { return };
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
