//! Who comes back, when, how often, and who follows.

use kd_boot::board::Field;
use kd_boot::control::{Event, What};
use kd_boot::manifest::Manifest;
use kd_boot::policy::{Policy, Restart, Way};
use kernel_debate::boot::Boot;

use super::{KILL, LIMIT, TERMINATE, boot, events_of, finish, handed_over_soon, processes, set};
use crate::PROCESS;
use crate::restarts::{goes_on, load, until};

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
