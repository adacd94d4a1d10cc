//! The block layer in whole kernels, and what `/proc` tells of it: counts add up, a dead queue costs nobody anything.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kd_api::interfaces::vfs::open;
use kd_boot::board::Field;
use kd_boot::control::{Entry, Task};
use kd_boot::devices::Order;
use kd_boot::manifest::Manifest;
use kd_boot::script::{Call, Data, Outcome};
use kernel_debate::app::interrupts::Interrupts;
use kernel_debate::boot::Boot;

use crate::proc::texts;
use crate::{Config, OURS, PROCESS, failed, outcomes};

const LIMIT: Duration = Duration::from_secs(20);
const KILL: i32 = 9;

/// The columns of `/proc/diskstats` for `vda`, from the fourth on, and the interrupts that its driver took.
fn vda(config: Config, boot: &Boot, app: u32) -> (Vec<u64>, u64) {
    let texts = texts(config, boot, app, &["/proc/diskstats".into(), "/proc/interrupts".into()]);
    let line = |text: &str| {
        let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|line| line[2] == "vda").unwrap_or_else(|| panic!("{config:?}: {text}"));
        line.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let number = |column: &String| column.parse().expect("a number");
    (line(&texts[0])[3..].iter().map(number).collect(), number(&line(&texts[1])[1]))
}

#[test]
fn disk_statistics_are_what_was_asked_for() {
    const PAGE: usize = 4096;
    for config in OURS {
        let boot = config.boot(3);
        let device = || boot.device("vdisk", Order::Count).expect("it has a device");
        let (device_before, before) = (device(), vda(config, &boot, 2));
        let flags = open::RDWR;
        let mut calls = vec![Call::Open { path: "/../../../../dev/vda".into(), flags, mode: 0 }];
        calls.extend((0..8).map(|i| Call::Pwrite(0, i * PAGE as i64, Data { start: 1, length: PAGE })));
        calls.extend((0..5).map(|i| Call::Pread(0, i * PAGE as i64, PAGE)));
        calls.extend([Call::Fsync(0), Call::Close(0)]);
        let outcomes = outcomes(&mut config.script(&boot, 1, &calls));
        assert!(outcomes.len() == calls.len(), "{config:?}: {outcomes:?}");
        assert!(!outcomes.iter().any(|outcome| matches!(outcome, Outcome::Failed(_))), "{config:?}: {outcomes:?}");
        let after = vda(config, &boot, 3);
        let seen: Vec<u64> = after.0.iter().zip(&before.0).map(|(now, then)| now - then).collect();
        // Reads, merges, sectors, time; the same of writes; what is under way; discards; flushes, errors.
        assert_eq!(seen, [5, 0, 5 * 8, 0, 8, 0, 8 * 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], "{config:?}");
        assert!(after.1 > before.1, "{config:?}: the device interrupts when it is done");
        // The device counts for itself, and no component can reach its count.
        let device_after = device();
        let (now, then) = (device_after, device_before);
        let counted = [now.read - then.read, now.written - then.written, now.syncs - then.syncs];
        assert_eq!(counted, [512 * seen[2], 512 * seen[6], seen[15]], "{config:?}: bytes read and written, flushes");
        assert_eq!(now.requests - then.requests, seen[0] + seen[4] + seen[15], "{config:?}: {now:?}");
        assert_eq!(now.interrupts - then.interrupts, after.1 - before.1, "{config:?}: none is lost or made up");
    }
}

#[test]
fn a_vectored_request_fills_the_ring_at_once() {
    const PAGE: usize = 4096;
    for config in OURS {
        let boot = config.boot(1);
        let at: Vec<u64> = (0..32).map(|i| (i * 7 % 32) * 3 * PAGE as u64).collect();
        let whole = 32 * PAGE;
        let calls = [
            Call::Open { path: "/../../../../dev/vda".into(), flags: open::RDWR, mode: 0 },
            Call::PwriteMany(0, at.clone(), PAGE, Data { start: 3, length: whole }),
            Call::PreadMany(0, at.clone(), PAGE),
            Call::Pread(0, at[5] as i64, PAGE),
            Call::PwriteMany(0, vec![0, 100], 512, Data { start: 3, length: 1024 }),
            Call::PreadMany(0, vec![0; 33], 512),
            Call::PreadMany(0, vec![0, u64::MAX, 0], 512),
            Call::PreadMany(0, vec![u64::MAX], 512),
        ];
        let count = || boot.device("vdisk", Order::Count).expect("it has a ring");
        let before = count();
        let seen = outcomes(&mut config.script(&boot, 1, &calls));
        let after = count();
        assert!(matches!(seen[1], Outcome::Number(bytes) if bytes == whole as u64), "{config:?}: {seen:?}");
        assert!(matches!(seen[2], Outcome::Bytes(bytes, _) if bytes == whole), "{config:?}: {seen:?}");
        assert!(matches!(seen[6], Outcome::Bytes(512, _)), "{config:?}: the second has no place: {seen:?}");
        let refused = [4, 5, 7].map(|call: usize| seen[call].clone());
        assert_eq!(refused, ["EINVAL", "EINVAL", "EINVAL"].map(failed), "{config:?}");
        // Two that fill the ring, and two of one page.
        assert_eq!((after.requests - before.requests, after.deepest), (66, 32), "{config:?}");
        assert_eq!(after.interrupts - before.interrupts, 4, "{config:?}: one for each request");
    }
}

#[test]
fn an_interrupt_is_seen_on_its_way_to_the_app() {
    const OPERATIONS: u64 = 30;
    for (config, trace) in OURS.into_iter().map(|config| (config, true)).chain([(PROCESS, false)]) {
        let boot = Boot::new(&Manifest { trace, ..config.manifest(1) }).expect("boots");
        let budgets = vec![vec![0]];
        let task = Task::Interrupts { workload: "vda_read_4k".into(), budgets, operations: OPERATIONS };
        let mut app = config.start(&boot, 1, task);
        let found: Interrupts = app.line().expect("a line").expect("the app lives");
        assert_eq!((found.failed, found.cores, found.to_app.len()), (None, 1, found.to_driver.len()), "{config:?}");
        assert_eq!(found.to_driver.len() as u64 + found.unneeded, OPERATIONS, "{config:?}");
        // On one core the device runs when the driver waits.
        assert_eq!(found.to_driver.is_empty(), !trace, "{config:?}: only a tracing boot notes moments");
    }
}

#[test]
fn a_journalling_file_system_is_mounted_over_it() {
    const LENGTH: usize = 100_000;
    for config in OURS {
        let boot = config.boot(2);
        let create = open::CREAT | open::RDWR;
        let calls = [
            Call::Mkdir("/../../../../mnt/d".into(), 0o755),
            Call::Open { path: "/../../../../mnt/d/f".into(), flags: create, mode: 0o644 },
            Call::Pwrite(0, 0, Data { start: 9, length: LENGTH }),
            Call::Fsync(0),
            Call::Pread(0, 0, LENGTH),
            Call::Close(0),
            Call::Rename("/../../../../mnt/d/f".into(), "/../../../../mnt/g".into(), 0),
            Call::Stat("/../../../../mnt/g".into()),
            Call::Unlink("/../../../../mnt/g".into()),
        ];
        let seen = outcomes(&mut config.script(&boot, 1, &calls));
        assert_eq!(seen.len(), calls.len(), "{config:?}: {seen:?}");
        assert!(!seen.iter().any(|outcome| matches!(outcome, Outcome::Failed(_))), "{config:?}: {seen:?}");
        assert!(matches!(seen[4], Outcome::Bytes(LENGTH, _)), "{config:?}: {seen:?}");
        let mounts = texts(config, &boot, 2, &["/proc/mounts".into()]).concat();
        assert!(mounts.contains("jfs /mnt jfs rw"), "{config:?}: {mounts}");
    }
}

#[test]
fn components_tell_what_became_of_them() {
    let manifest = PROCESS.manifest(1);
    let boot = PROCESS.boot(1);
    let before = boot.component("blk").expect("it runs").pid;
    boot.signal("blk", KILL).expect("it runs");
    let begin = Instant::now();
    while boot.component("blk").is_ok_and(|now| now.restarts == 0) || boot.component("blk").is_err() {
        assert!(begin.elapsed() < LIMIT, "it is never restarted");
        std::thread::sleep(Duration::from_millis(1));
    }
    let paths = manifest.entries.iter().map(|entry| format!("/proc/components/{}", entry.name));
    let paths: Vec<String> = paths.chain(["/proc/kmsg".into()]).collect();
    let texts = texts(PROCESS, &boot, 1, &paths);
    for (entry, text) in manifest.entries.iter().zip(&texts) {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once(":\t")).collect();
        let status = boot.component(&entry.name).expect("it runs");
        assert_eq!((fields["Name"], fields["State"]), (&*entry.name, "running"));
        assert_eq!(fields["Domain"], status.pid.to_string(), "{text}");
        assert_eq!(fields["Restarts"], u32::from(entry.name == "blk").to_string(), "{text}");
    }
    assert_ne!(boot.component("blk").expect("it runs").pid, before);
    let log = texts.last().expect("it was read");
    assert!(log.contains("blk: Died(\"SIGKILL\")"), "{log}");
}

#[test]
fn a_killed_queue_is_restarted_and_no_call_fails() {
    let boot = PROCESS.boot(1);
    let task = Task::Rounds { workload: "vda_write_4k".into(), rate: 0, entry: Entry::Call };
    let app = PROCESS.start(&boot, 1, task);
    for round in 0..4 {
        let good = app.board.get(Field::Good);
        assert!(app.wait_until(LIMIT, |board| board.get(Field::Good) > good + 20), "round {round}");
        boot.signal("blk", KILL).expect("it runs");
        let begin = Instant::now();
        while !boot.component("blk").is_ok_and(|now| now.restarts > round) {
            assert!(begin.elapsed() < LIMIT, "it is never restarted");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    app.stop();
    assert!(app.wait_until(LIMIT, |board| board.get(Field::Audited) == 1));
    let bad = [Field::Failed, Field::Wrong, Field::Unknown, Field::Lost, Field::Corrupted];
    assert_eq!(bad.map(|field| app.board.get(field)), [0; 5], "every call of a block device may be repeated");
}
