//! A kernel in one process that ends itself, and the one that was loaded and waited.

use std::time::Duration;

use kd_api::interfaces::vfs::open;
use kd_boot::Manifest;
use kd_boot::control::What;
use kd_boot::script::{Call, Data, Outcome};
use kernel_debate::boot::Boot;

use crate::restarts::until;
use crate::{MONOLITHIC, outcomes};

const KILL: i32 = 9;

fn pid(boot: &Boot) -> i32 {
    boot.component("vfs").expect("it runs").pid
}

fn waiting(boot: &Boot) -> Option<i32> {
    boot.component("vfs").ok()?.standby
}

#[test]
fn the_kernel_that_waits_takes_over_and_mounts_what_was_synced() {
    let boot = Boot::new(&Manifest { kexec: true, panic_on_oops: true, ..MONOLITHIC.manifest(1) }).expect("boots");
    let data = Data { start: 3, length: 5000 };
    let file = |flags| Call::Open { path: "/f".into(), flags, mode: 0o644 };
    let look = Call::Pread(0, 0, 8192);
    // What is written later is of no account: the boot that mounts has the journal to replay.
    let calls = [file(open::CREAT | open::RDWR), Call::Write(0, data), Call::Fsync(0), look.clone()];
    let made = outcomes(&mut MONOLITHIC.script_under(&boot, 1, "/mnt", &calls));
    assert!(matches!(made[3], Outcome::Bytes(5000, _)), "{made:?}");
    for round in 1..=3 {
        until("a kernel that waits", || waiting(&boot).is_some());
        let (before, next) = (pid(&boot), waiting(&boot));
        boot.signal("kernel", KILL).expect("it runs");
        until("a reboot", || boot.component("vfs").is_ok_and(|now| now.restarts == round));
        assert!(Some(pid(&boot)) == next && pid(&boot) != before, "who waited runs now");
        let whats: Vec<What> = boot.events().expect("the root lives").into_iter().map(|event| event.what).collect();
        assert!(matches!(&whats[..], [What::Panic(_), What::Restarted]), "{whats:?}");
        let found = outcomes(&mut MONOLITHIC.script_under(&boot, 1, "/mnt", &[file(open::RDONLY), look.clone()]));
        assert_eq!(found[1], made[3], "the journal was replayed, and what was synced is there");
    }
}

/// It may be killed as it waits; then a reboot is what it is without one.
#[test]
fn a_kernel_that_died_as_it_waited_is_no_loss() {
    let boot = Boot::new(&Manifest { kexec: true, panic_on_oops: true, ..MONOLITHIC.manifest(1) }).expect("boots");
    until("a kernel that waits", || waiting(&boot).is_some());
    let spare = waiting(&boot).expect("it waits").to_string();
    let killed = std::process::Command::new("kill").args(["-9", &spare]).status().expect("there is a kill");
    assert!(killed.success());
    std::thread::sleep(Duration::from_millis(50));
    boot.signal("kernel", KILL).expect("it runs");
    until("a reboot", || boot.component("vfs").is_ok_and(|now| now.restarts == 1));
    assert_ne!(pid(&boot).to_string(), spare);
}

/// A device that reaches all memory reaches one arena; two kernels would have it at once.
#[test]
fn beside_a_device_without_an_iommu_no_kernel_waits() {
    let mut manifest = Manifest { kexec: true, panic_on_oops: true, ..MONOLITHIC.manifest(1) };
    manifest.entries.iter_mut().filter_map(|entry| entry.ring.as_mut()).for_each(|ring| ring.iommu = false);
    let boot = Boot::new(&manifest).expect("boots");
    let before = pid(&boot);
    // A root looks whether one is to be loaded before each answer; one is there after some milliseconds.
    for _ in 0..100 {
        assert_eq!(waiting(&boot), None);
        std::thread::sleep(Duration::from_millis(2));
    }
    boot.signal("kernel", KILL).expect("it runs");
    until("a reboot", || boot.component("vfs").is_ok_and(|now| now.restarts == 1));
    assert_ne!(pid(&boot), before);
    let look = [Call::Open { path: "/f".into(), flags: open::CREAT | open::RDWR, mode: 0o600 }];
    let made = outcomes(&mut MONOLITHIC.script_under(&boot, 1, "/mnt", &look));
    assert_eq!(made, [Outcome::Number(0)], "its disk is mounted again");
}
