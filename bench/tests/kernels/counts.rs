//! What a call costs in crossings, copied bytes and allocations, counted exactly.

use kd_boot::board::Field;
use kd_boot::control::Task;
use kd_workloads::Group;
use kernel_debate::app::count::{Counted, OPERATIONS};
use kernel_debate::experiments::latency::{Configuration, crossings};

use crate::{Config, MONOLITHIC, PROCESS};

/// For each workload: crossings and bytes copied per operation, and allocations during all of them.
fn count(on: Config, trace: bool, workloads: &[&str]) -> Vec<(f64, f64, u64)> {
    let manifest = kd_boot::Manifest { trace, ..on.manifest(1) };
    let boot = kernel_debate::boot::Boot::new(&manifest).expect("boots");
    let names = workloads.iter().map(|name| name.to_string()).collect();
    let mut app = on.start(&boot, 1, Task::Count(names));
    let mut step = 0;
    let mut read = || {
        let line: Counted = app.line().expect("a line").expect("the app lives");
        assert_eq!(line.failed, None, "{}", line.workload);
        let all = boot.counts().expect("the root lives");
        step += 1;
        app.board.set(Field::Stop, step);
        let sum = all.iter().fold((0, 0), |sum, (_, crossings, bytes)| (sum.0 + crossings, sum.1 + bytes));
        (line, sum)
    };
    let each = |name: &&str| {
        let (begin, before) = read();
        let (end, after) = read();
        assert_eq!((begin.done, end.done, &*end.workload), (false, true, *name));
        let per = |before: u64, after: u64| (after - before) as f64 / OPERATIONS as f64;
        (per(before.0, after.0), per(before.1, after.1), end.allocations)
    };
    workloads.iter().map(each).collect()
}

#[test]
fn crossings_and_copies_are_what_the_path_says() {
    // A byte that crosses is copied into a window and out of it, at each of the boundaries it crosses.
    let copied = |bytes: usize, boundaries: usize| (2 * bytes * boundaries) as f64;
    let expected = [
        ("null_core", 0.0, 0.0),
        ("null_proc", 1.0, 0.0),
        // The VFS knows the name and who may use it; it asks for the attributes, or for a hold and its release.
        ("stat", 2.0, 0.0),
        ("open_close", 4.0, 0.0),
        // The table asks the VFS, the VFS the file system, or the driver.
        ("read_1", 2.0, copied(1, 2)),
        ("read_64", 2.0, copied(64, 2)),
        ("read_4k", 2.0, copied(4096, 2)),
        ("read_64k", 2.0, copied(65_536, 2)),
        ("write_1", 2.0, copied(1, 2)),
        ("write_4k", 2.0, copied(4096, 2)),
        ("write_64k", 2.0, copied(65_536, 2)),
        ("ram0_read_4k", 2.0, copied(4096, 2)),
        ("ram0_write_4k", 2.0, copied(4096, 2)),
        // The disk behind a ring has a queue before its driver.
        ("vda_read_4k", 3.0, copied(4096, 3)),
        ("vda_read_64k", 3.0, copied(65_536, 3)),
        ("vda_write_4k", 3.0, copied(4096, 3)),
        // One message carries 32 blocks.
        ("vda_read_4k_qd32", 3.0 / 32.0, copied(4096, 3)),
        ("vda_rand_write_4k_qd32", 3.0 / 32.0, copied(4096, 3)),
        ("fstat", 2.0, 0.0),
        ("copy_64k", 4.0, copied(2 * 65_536, 2)),
    ];
    let names: Vec<&str> = expected.iter().map(|(name, ..)| *name).collect();
    for ((name, crossings, bytes), seen) in expected.iter().zip(count(PROCESS, true, &names)) {
        assert_eq!((seen.0, seen.1), (*crossings, *bytes), "{name}: crossings and bytes per operation");
    }
}

#[test]
fn warm_calls_of_the_monolithic_kernel_allocate_nothing() {
    let names = [
        "null_core",
        "null_proc",
        "stat",
        "fstat",
        "read_1",
        "read_4k",
        "read_64k",
        "write_4k",
        "copy_64k",
        "ram0_read_4k",
        "vda_read_4k",
        "vda_read_4k_qd32",
        "vda_rand_write_4k_qd32",
    ];
    for (name, seen) in names.iter().zip(count(MONOLITHIC, false, &names)) {
        assert_eq!(seen.2, 0, "{name} allocates");
    }
    // What allocates is seen: a descriptor is made anew by each open.
    assert!(count(MONOLITHIC, false, &["open_close"])[0].2 >= OPERATIONS);
}

/// As each program's description says; `pipeline` is not here, because its reads come in as many pieces as they do.
#[test]
fn a_program_makes_the_calls_that_it_says() {
    let process = Configuration::all().into_iter().find(|c| c.wait == Some("adaptive")).expect("it is measured");
    let counts = crossings::count(process, &[Group::Macro]).expect("it boots");
    // The log turns to its next segment every 16th operation: fdatasync, close, unlink, open.
    for (name, expected) in [("source_tree", 66.0), ("mail_server", 15.0), ("kv_log", 33.25)] {
        let count = counts.iter().find(|count| count.workload == name).expect("it was counted");
        assert_eq!(count.failed, None, "{name}");
        let to_vfs: Vec<f64> = count.edges.iter().filter(|edge| edge.0 == "app>vfs").map(|edge| edge.1).collect();
        assert_eq!(to_vfs, [expected], "{name}: {:?}", count.edges);
        assert_eq!(count.crossings, count.edges.iter().map(|edge| edge.1).sum::<f64>(), "{name}");
    }
}

/// Its ends, messages and bytes.
type Edge = (String, f64, f64);

/// In a hybrid exactly those edges are left that lead from one domain into another, with as many messages.
#[test]
fn a_hybrid_crosses_the_edges_between_its_domains() {
    let process = Configuration::all().into_iter().find(|c| c.wait == Some("adaptive")).expect("it is measured");
    let names = ["open_close", "read_4k", "ram0_read_4k", "vda_read_4k", "null_proc"];
    let of = |configuration: Configuration| -> Vec<(&str, Vec<Edge>)> {
        let counts = crossings::count_these(configuration, names.map(String::from).into()).expect("it boots");
        assert!(counts.iter().all(|count| count.failed.is_none()), "{counts:?}");
        names.into_iter().zip(counts.into_iter().map(|count| count.edges)).collect()
    };
    let all = of(process);
    for layout in Configuration::HYBRIDS {
        let hybrid = Configuration::hybrid(layout);
        let manifest = hybrid.manifest();
        let domain = |name: &str| {
            let entry = manifest.entries.iter().find(|entry| entry.name == name);
            entry.map_or(name, |entry| manifest.domain_of(entry)).to_owned()
        };
        let crosses = |edge: &&Edge| {
            let (from, to) = edge.0.split_once('>').expect("an edge has two ends");
            domain(from) != domain(to)
        };
        let left: Vec<_> =
            all.iter().map(|(name, edges)| (*name, edges.iter().filter(crosses).cloned().collect())).collect();
        // MINIX's servers have pipes and queues with them; what this asks of files and disks crosses as often as ever.
        assert_eq!(left == all, layout == "servers", "{layout}");
        assert_eq!(of(hybrid), left, "{layout}");
    }
}
