//! A place is handed over without the supervisor: by the dying server, or by the host.

use std::time::{Duration, Instant};

use kd_boot::board::Field;
use kd_boot::control::What;
use kd_boot::policy::{Policy, Way};
use kd_faults::Fault;
use kernel_debate::boot::RunningApp;

use super::{LIMIT, boot, events_of, finish, handed_over_soon, root_of, state};
use crate::restarts::{fails, goes_on, load, until};

/// With its supervisor stopped: nobody else can have told the standby.
#[test]
fn a_dying_server_hands_its_place_over_by_itself() {
    let boot = boot("ramdisk", 1, Policy { way: Way::Standby, ..Policy::default() });
    let app = load(&boot, 1, "ram0_write_4k");
    handed_over_soon(&boot, "ramdisk");
    let Some(victim) = fails(&boot, "ramdisk", Fault::NullDereference, 5_000) else { return };
    without_its_supervisor(&app, victim, || {});
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
