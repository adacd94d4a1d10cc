//! Power that fails under whole kernels: what was synced is there after the next boot, whatever stands between components.
//!
//! What a failure at any moment may leave is tried out in `crates/crash`, on the file system alone; here the same promise is
//! kept through system calls, domains and the device.

use std::os::fd::AsRawFd;

use kd_api::interfaces::vfs::open;
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::devices::Order;
use kd_boot::manifest::{MediumName, VDISK_BYTES};
use kd_boot::script::{Call, Data, Outcome};
use kd_machine::memory::Memory;
use kernel_debate::boot::Boot;

use crate::survival::kill;
use crate::{COARSE, Config, DRIVERS, DRIVERS_APART, OURS, PROCESS, outcomes};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(120);
/// Files that are synced, and whose last piece is not.
const FILES: u8 = 6;

fn path(number: u8) -> String {
    format!("f{number}")
}

/// Writes, syncs, and writes again without.
fn written() -> Vec<Call> {
    let file = |number: u8| {
        let data = |start, length| Data { start, length };
        [
            Call::Open { path: path(number), flags: open::CREAT | open::WRONLY, mode: 0o644 },
            Call::Write(0, data(number, 9_000)),
            Call::Fsync(0),
            Call::Write(0, data(number + 100, 500)),
            Call::Close(0),
        ]
    };
    (0..FILES).flat_map(file).collect()
}

/// Reads what was synced.
fn read() -> Vec<Call> {
    let file = |number: u8| {
        [Call::Open { path: path(number), flags: open::RDONLY, mode: 0 }, Call::Pread(0, 0, 9_000), Call::Close(0)]
    };
    (0..FILES).flat_map(file).collect()
}

/// Cuts the power while another app's files are being written, and looks after the next boot.
pub fn fails(on: Config) {
    fails_after(on, |_| {}, &[]);
}

/// The same after `trouble`, and with kills of `victims` while files are written.
fn fails_after(on: Config, trouble: fn(&Boot), victims: &[&str]) {
    let disk = Memory::new("kd-test-disk", VDISK_BYTES).expect("memory for a disk").into_fd();
    let medium = MediumName::Named(format!("/proc/{}/fd/{}", std::process::id(), disk.as_raw_fd()).into());
    let boot = || {
        let mut manifest = on.manifest(2);
        manifest
            .entries
            .iter_mut()
            .filter_map(|entry| entry.ring.as_mut())
            .for_each(|ring| ring.medium = medium.clone());
        Boot::new(&manifest).unwrap_or_else(|why| panic!("{on:?}: {why}"))
    };
    let first = boot();
    let mail = Task::Rounds { workload: "disk_mail_server".into(), rate: 0, entry: Entry::Call };
    let mail = on.start(&first, 2, mail);
    assert!(mail.wait_until(LIMIT, |board| board.get(Field::Good) > 2), "{on:?}");
    trouble(&first);
    let mut writer = on.script_under(&first, 1, "/mnt", &written());
    victims.iter().for_each(|victim| kill(&first, &[victim]));
    let done = outcomes(&mut writer);
    assert_eq!(done.len(), written().len(), "{on:?}: {done:?}");
    assert!(done.iter().all(|outcome| matches!(outcome, Outcome::Number(_))), "{on:?}: {done:?}");
    let before = outcomes(&mut on.script_under(&first, 1, "/mnt", &read()));
    let good = mail.board.get(Field::Good);
    assert!(mail.wait_until(LIMIT, |board| board.get(Field::Good) > good + 2), "{on:?}");
    let failed = mail.board.get(Field::Failed);
    first.device("vdisk", Order::FailPower).expect("it has a device");
    assert!(mail.wait_until(LIMIT, |board| board.get(Field::Failed) > failed), "{on:?}: calls fail, none hangs");
    drop((mail, first));
    let second = boot();
    let after = outcomes(&mut on.script_under(&second, 1, "/mnt", &read()));
    assert_eq!(after, before, "{on:?}");
    assert!(matches!(after[1], Outcome::Bytes(9_000, _)), "{on:?}: {after:?}");
    let again = Task::Rounds { workload: "disk_mail_server".into(), rate: 0, entry: Entry::Call };
    let again = on.start(&second, 2, again);
    assert!(again.wait_until(LIMIT, |board| board.get(Field::Good) > 2), "{on:?}: it is a file system still");
}

#[test]
fn what_was_synced_outlives_deaths_of_servers_and_a_power_failure_after_them() {
    for _ in 0..3 {
        fails_after(PROCESS, |boot| kill(boot, &["jfs"]), &["vdisk", "blk", "vdisk", "blk"]);
        fails_after(PROCESS, |boot| kill(boot, &["jfs", "vdisk", "vfs"]), &["blk"]);
    }
}

#[test]
fn what_was_synced_outlives_a_power_failure() {
    OURS.into_iter().chain([COARSE, DRIVERS, DRIVERS_APART]).for_each(fails);
}
