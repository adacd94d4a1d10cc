//! An invented campaign, for tests of the report alone.

use std::collections::BTreeMap;

use kd_report::campaign::{
    Class, Count, Example, Inapplicable, Notice, Otherwise, Reach, Recheck, SUMMARY_VERSION, Summary, Wild, activated,
};
use kd_report::schema::{Experiment, Kernel, Record};

const KINDS: [&str; 4] = ["dropped_instruction", "inverted_condition", "heap_flip", "completion_late"];
const KERNELS: [&str; 3] = ["monolithic", "thread", "process"];
const SUBJECTS: [&str; 2] = ["jfs", "vdisk"];

/// Three kernels, two components, four kinds of fault; in `process` none spreads.
pub fn campaign() -> Summary {
    let mut cells = Vec::new();
    for (k, kernel) in KERNELS.into_iter().enumerate() {
        for subject in SUBJECTS {
            for (f, kind) in KINDS.into_iter().enumerate() {
                for permanent in [false, true] {
                    cells.push(Count {
                        kernel: kernel.into(),
                        subject: subject.into(),
                        kind: kind.into(),
                        permanent,
                        classes: classes(k as u64, f as u64, permanent),
                    });
                }
            }
        }
    }
    let reach = KERNELS.into_iter().flat_map(|kernel| SUBJECTS.map(|subject| reach(kernel, subject, &cells))).collect();
    let notice = |(kernel, at): (&str, u64)| Notice {
        kernel: kernel.into(),
        faults: 100,
        noticed: (0..10).map(|step| (at * (1 << step), 8)).collect(),
    };
    let example = Example {
        trial: 17,
        kernel: "monolithic".into(),
        subject: "jfs".into(),
        kind: "inverted_condition".into(),
        class: Class::Spread,
        function: "<kd_subsystems::jfs::Jfs as FileSystem>::read".into(),
        before: "jb +0x3f".into(),
        after: "jae +0x3f".into(),
        story: "app 2 read wrong bytes".into(),
    };
    let otherwise = |trial, after, timed, again: &[(Class, u64)]| Otherwise {
        trial,
        before: Class::Masked,
        after,
        timed,
        again: again.iter().copied().collect(),
    };
    let otherwise = vec![
        otherwise(4711, Class::HangNoticed, true, &[]),
        otherwise(4712, Class::Spread, false, &[(Class::Masked, 90), (Class::Spread, 10)]),
        otherwise(4713, Class::Spread, false, &[(Class::Spread, 100)]),
    ];
    Summary {
        version: SUMMARY_VERSION,
        seed: 1,
        commit: "0123456".into(),
        build: "b".repeat(64),
        modules: BTreeMap::from([("vdisk".into(), "m".repeat(64))]),
        machine: "an invented processor, 2 cores".into(),
        date: "2026-01-02".into(),
        kernels: KERNELS.map(String::from).to_vec(),
        unavailable: BTreeMap::from([("pkey".into(), "this processor has no protection keys".into())]),
        trials: cells.iter().flat_map(|cell| cell.classes.values()).sum(),
        seconds: 10.0,
        trials_in_seconds: 1234,
        cells,
        inapplicable: vec![Inapplicable {
            kind: "completion_late".into(),
            reason: "there is no message".into(),
            kernel: "monolithic".into(),
            subject: "jfs".into(),
        }],
        reach,
        notice: [("monolithic", 20_000), ("thread", 90_000), ("process", 400_000)].map(notice).into(),
        wild: KERNELS.map(|kernel| Wild { kernel: kernel.into(), pointers: 200, mapped: 20 }).to_vec(),
        examples: vec![example],
        recheck: Some(Recheck { trials: 50, otherwise }),
    }
}

fn classes(kernel: u64, kind: u64, permanent: bool) -> BTreeMap<Class, u64> {
    let mut classes =
        BTreeMap::from([(Class::NotActivated, 40), (Class::Masked, 30), (Class::ErrorReturned, 5 + kind)]);
    match kernel {
        0 => classes.extend([
            (Class::SecretRead, 5),
            (Class::Spread, 12 + kind),
            (Class::KernelDead, 4),
            (Class::AppKilled, 9),
        ]),
        1 => classes.extend([(Class::Spread, 6), (Class::KernelDead, 11), (Class::HangUnnoticed, 2)]),
        _ if permanent => classes.extend([(Class::RestartedAware, 20), (Class::AppKilled, 6), (Class::HangNoticed, 2)]),
        _ => classes.extend([(Class::RestartedUnaware, 16), (Class::RestartedAware, 4), (Class::WrongData, 3)]),
    }
    classes
}

fn reach(kernel: &str, subject: &str, cells: &[Count]) -> Reach {
    let own = cells.iter().filter(|cell| cell.kernel == kernel && cell.subject == subject);
    let activated = own.map(|cell| activated(&cell.classes)).sum();
    let hit =
        if kernel == "process" { BTreeMap::new() } else { BTreeMap::from([("ramfs".into(), 20), ("app 2".into(), 3)]) };
    Reach { kernel: kernel.into(), subject: subject.into(), activated, hit }
}

/// What sums a campaign up among a run's records.
pub fn records() -> Vec<Record> {
    let share = |kernel, place, class: Class, count: f64, n| Record {
        n: Some(n),
        ..super::record(
            Experiment::Campaign,
            kernel,
            place,
            "none",
            ["all", class.name(), "rate", "share"],
            count / n as f64,
        )
    };
    vec![
        share(Kernel::Monolithic, "direct", Class::Spread, 1.0, 50),
        share(Kernel::Monolithic, "direct", Class::KernelDead, 1.0, 50),
        share(Kernel::Microkernel, "process", Class::Spread, 0.0, 40),
        share(Kernel::Microkernel, "process", Class::Masked, 40.0, 40),
    ]
}
