//! Invented figures with every experiment, entry, placement and status: for tests of the report alone, no result.
#![allow(dead_code, reason = "each user takes its part")]

mod campaign;

#[allow(unused_imports, reason = "as above")]
pub use campaign::campaign;

use kd_report::schema::{Entry, Experiment, Kernel, Meta, Mode, Record, Results, SCHEMA_VERSION, Status};
use kd_report::stats::{Random, wilson};

/// A record with a value and no interval.
pub fn record(experiment: Experiment, kernel: Kernel, place: &str, wait: &str, what: [&str; 4], value: f64) -> Record {
    let [workload, metric, statistic, unit] = what.map(str::to_owned);
    Record {
        experiment,
        kernel,
        placement: place.into(),
        wait: wait.into(),
        entry: Entry::None,
        cores: 2,
        workload,
        metric,
        statistic,
        unit,
        value: Some(value),
        ci_low: None,
        ci_high: None,
        n: Some(10),
        status: Status::Ok,
        reason: None,
    }
}

/// The same with an interval of `spread` to each side, as a share.
pub fn within(mut r: Record, spread: f64) -> Record {
    r.ci_low = r.value.map(|v| v * (1.0 - spread));
    r.ci_high = r.value.map(|v| v * (1.0 + spread));
    r
}

/// The same without a figure.
pub fn unavailable(mut r: Record, reason: &str) -> Record {
    (r.value, r.ci_low, r.ci_high, r.n) = (None, None, None, None);
    (r.status, r.reason) = (Status::Unavailable, Some(reason.into()));
    r
}

/// Circumstances.
pub fn meta() -> Meta {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Meta {
        schema_version: SCHEMA_VERSION,
        seed: 7,
        date: "2000-01-02T03:04:05Z".into(),
        commit: "0000000-sample".into(),
        modules: map(&[("ramdisk", &"ab".repeat(32)), ("nullblk", &"cd".repeat(32))]),
        cpu: "Invented CPU <X> & Sons".into(),
        cpu_features: vec!["constant_tsc".into(), "avx2".into()],
        mitigations: map(&[("meltdown", "Not affected"), ("spectre_v2", "Mitigation: Retpolines; IBPB: conditional")]),
        host_kernel: "Linux 6.1.0-sample".into(),
        cores: 2,
        governor: "unknown (no cpufreq)".into(),
        clock_source: "tsc".into(),
        command_line: "an example, not a run".into(),
        duration_seconds: 83.4,
        mode: Mode::Quick,
        boots: 5,
        budgets: [("latency".to_owned(), 40.0), ("faults".to_owned(), 25.0)].into(),
        groups: map(&[
            ("stat", "file"),
            ("open_close", "file"),
            ("getdents_100", "file"),
            ("disk_create", "storage"),
            ("filedisk_create", "filedisk"),
            ("source_tree", "macro"),
            ("mail_server", "macro"),
        ]),
        host_file_system: Some("ext9 (rw,invented)".into()),
        stolen_percent: Some(0.12),
    }
}

const WORKLOADS: [(&str, f64); 15] = [
    ("null_core", 12.0),
    ("null_proc", 16.0),
    ("stat", 140.0),
    ("open_close", 420.0),
    ("read_1", 70.0),
    ("read_64", 74.0),
    ("read_4k", 190.0),
    ("read_64k", 4200.0),
    ("write_1", 80.0),
    ("write_64", 84.0),
    ("write_4k", 260.0),
    ("write_64k", 5100.0),
    ("ram0_read_4k", 320.0),
    ("getdents_100", 3100.0),
    ("pipe_pingpong", 6100.0),
];

const MICRO: [(&str, &str, f64); 7] = [
    ("thread", "yield", 3200.0),
    ("thread", "block", 9000.0),
    ("thread", "adaptive", 3300.0),
    ("process", "spin", 260.0),
    ("process", "yield", 2600.0),
    ("process", "block", 5600.0),
    ("process", "adaptive", 2700.0),
];

/// Latency over every setting; `factor` scales the microkernel, `aa` is the A/A ratio.
pub fn latency(factor: f64, aa: f64) -> Vec<Record> {
    let (mut out, mut once) = (Vec::new(), Vec::new());
    let random = &mut Random::new(1, 0);
    for (cores, entry) in [(1, Entry::Trap), (1, Entry::Call), (2, Entry::Trap), (2, Entry::Call)] {
        let trap = if entry == Entry::Trap { 90.0 } else { 0.0 };
        let mut put = |mut r: Record| {
            (r.cores, r.entry) = (cores, entry);
            out.push(r);
        };
        for (w, base) in WORKLOADS {
            let mut wobble = |x: f64| x * (0.97 + 0.06 * random.unit());
            let of = |kernel, place: &str, wait: &str, metric: &str, unit: &str, v: f64| {
                record(Experiment::Latency, kernel, place, wait, [w, metric, "median", unit], v)
            };
            let mono = wobble(base + trap);
            put(within(of(Kernel::Monolithic, "direct", "none", "latency", "ns", mono), 0.03));
            put(within(of(Kernel::Monolithic, "direct", "none", "aa_ratio", "ratio", aa), 0.02));
            put(within(of(Kernel::Monolithic, "direct", "none", "cpu_time", "ns", mono), 0.03));
            put(of(Kernel::Monolithic, "direct", "none", "crossings", "count", 0.0));
            let linux = of(Kernel::Linux, "host", "none", "latency", "ns", wobble(base * 0.9 + 110.0));
            match entry {
                Entry::Trap => put(within(linux, 0.04)),
                _ => put(unavailable(linux, "n/a: Linux is entered by trap alone")),
            }
            for (place, wait, crossing) in MICRO {
                let cell = of(Kernel::Microkernel, place, wait, "latency", "ns", 1.0);
                if wait == "spin" && (cores == 1 || w == "pipe_pingpong") {
                    put(unavailable(cell, &format!("n/a: 3 actors on {cores} core(s)")));
                    continue;
                }
                let time = wobble((base + crossing) * factor + trap);
                put(within(Record { value: Some(time), ..cell }, 0.08));
                let ratio = |m: &str, over: f64| of(Kernel::Microkernel, place, wait, m, "ratio", time / over);
                put(within(ratio("latency_ratio", mono), 0.1));
                if entry == Entry::Call {
                    let r = within(ratio("latency_ratio", mono + 90.0), 0.1);
                    once.push(Record { entry: Entry::Once, cores, ..r });
                }
                put(of(
                    Kernel::Microkernel,
                    place,
                    wait,
                    "crossings",
                    "count",
                    if w == "null_core" { 1.0 } else { 3.0 },
                ));
                put(of(Kernel::Microkernel, place, wait, "copied_bytes", "bytes", base.round()));
                put(of(Kernel::Microkernel, place, wait, "context_switches", "count", 2.01));
            }
        }
    }
    out.extend(once);
    let clock = ["clock", "timer_cost", "mean", "ns"];
    out.push(Record { cores: 1, ..record(Experiment::Latency, Kernel::Limit, "host", "none", clock, 24.0) });
    out
}

/// Whole programs and one operation on a disk: the microkernel takes `extra` ns more for each operation.
pub fn programs(extra: f64) -> Vec<Record> {
    let mut out = Vec::new();
    for (cores, w, base) in [(1, "source_tree", 40_000.0), (2, "source_tree", 38_000.0), (1, "mail_server", 6_000.0)] {
        for user in [0, 50, 80, 95] {
            let name = if user == 0 { w.to_owned() } else { format!("{w}/user_{user}") };
            let mono = base / (1.0 - f64::from(user) / 100.0);
            let mut put = |kernel, place: &str, wait: &str, metric: &str, unit: &str, v: f64| {
                let r = record(Experiment::Macro, kernel, place, wait, [&name, metric, "median", unit], v);
                out.push(within(Record { cores, entry: Entry::Trap, ..r }, 0.04));
            };
            put(Kernel::Monolithic, "direct", "none", "latency", "ns", mono);
            if user == 0 {
                put(Kernel::Monolithic, "direct", "none", "aa_ratio", "ratio", 1.002);
            }
            put(Kernel::Linux, "host", "none", "latency_ratio", "ratio", 1.0 + 0.4 * base / mono);
            for (place, wait, factor) in
                [("thread", "none", 2.4), ("process", "block", 1.3), ("process", "adaptive", 1.0)]
            {
                let calls = if w == "source_tree" { base * 0.8 } else { base * 1.25 };
                let time = mono + extra * factor * calls / 6_000.0;
                put(Kernel::Microkernel, place, wait, "latency", "ns", time);
                put(Kernel::Microkernel, place, wait, "latency_ratio", "ratio", time / mono);
            }
            if user > 0 && cores == 1 {
                let rounds = record(
                    Experiment::Macro,
                    Kernel::Monolithic,
                    "direct",
                    "none",
                    [&name, "user_rounds", "total", "count"],
                    (mono - base) / 20.0,
                );
                out.push(Record { cores, entry: Entry::Trap, ..rounds });
            }
        }
        for (component, crossings, bytes) in [("app>vfs", 66.0, 260_000.0), ("vfs>ramfs", 90.0, 252_000.0)] {
            for (metric, unit, v) in [("edge_crossings", "count", crossings), ("edge_bytes", "bytes", bytes)] {
                let what = [w, metric, component, unit];
                let r = record(Experiment::Macro, Kernel::Microkernel, "process", "none", what, v);
                if cores == 1 {
                    out.push(Record { entry: Entry::Call, ..r });
                }
            }
        }
    }
    let disk = record(
        Experiment::Macro,
        Kernel::Microkernel,
        "process",
        "adaptive",
        ["disk_create", "latency_ratio", "median", "ratio"],
        9.0,
    );
    out.push(within(Record { cores: 1, entry: Entry::Trap, ..disk.clone() }, 0.1));
    out.push(unavailable(Record { entry: Entry::Trap, ..disk }, "n/a: no file system mounted at /mnt here"));
    out
}

/// Scales: the microkernel's time grows `slope` times as fast as the monolith's over the files; its apps get nowhere.
pub fn scaling(slope: f64) -> Vec<Record> {
    let mut out = Vec::new();
    let mut put = |kernel, what: [&str; 4], cores, v: f64| {
        let (place, wait) = match kernel {
            Kernel::Monolithic => ("direct", "none"),
            Kernel::Linux => ("host", "none"),
            _ => ("process", "adaptive"),
        };
        let r = record(Experiment::Scaling, kernel, place, wait, what, v);
        out.push(within(Record { cores, entry: Entry::Trap, ..r }, 0.05));
    };
    for (base, unit, points) in [
        ("dir_stat", "files", &[10u32, 1_000, 100_000][..]),
        ("tree_stat", "files", &[10, 1_000]),
        ("disk_file_read", "mib", &[1, 64]),
        ("read_4k", "apps", &[1, 2, 4]),
    ] {
        for at in points {
            let name = format!("{base}/{unit}_{at}");
            let times = f64::from(*at).log10() + 1.0;
            let cores = if unit == "apps" { 2 } else { 1 };
            for (kernel, time, growth) in [(Kernel::Monolithic, 200.0, 1.0), (Kernel::Microkernel, 9_000.0, slope)] {
                let time = time * (1.0 + growth * (times - 1.0));
                put(kernel, [&name, "latency", "median", "ns"], cores, time);
                if unit == "apps" {
                    let rate = 1e9 / time * if kernel == Kernel::Monolithic { f64::from(*at) } else { 1.0 };
                    put(kernel, [&name, "throughput", "median", "1/s"], cores, rate);
                    put(kernel, [&name, "speedup", "median", "ratio"], cores, f64::from(*at));
                } else {
                    put(kernel, [&name, "growth", "median", "ratio"], cores, times);
                }
            }
            put(Kernel::Monolithic, [&name, "aa_ratio", "median", "ratio"], cores, 1.001);
        }
    }
    let what = ["disk_file_read/mib_1024", "latency", "median", "ns"];
    let gone = record(Experiment::Scaling, Kernel::Linux, "host", "none", what, 1.0);
    out.push(unavailable(Record { cores: 1, entry: Entry::Trap, ..gone }, "n/a: no file system mounted at /mnt here"));
    out
}

/// Faults: `spread` of 12 trials spread in the monolith, none in the microkernel.
pub fn faults(spread: u64) -> Vec<Record> {
    let mut out = Vec::new();
    let kinds = [
        "null_dereference",
        "wild_write",
        "readonly_write",
        "stack_overflow",
        "abort",
        "panic",
        "endless_loop",
        "heap_smashed",
        "wrong_data",
    ];
    for kind in kinds {
        let workload = format!("ramdisk/{kind}");
        for (kernel, place) in
            [(Kernel::Monolithic, "direct"), (Kernel::Microkernel, "thread"), (Kernel::Microkernel, "process")]
        {
            let of = |metric: &str, statistic: &str, unit: &str, v: f64| {
                record(Experiment::Faults, kernel, place, "none", [&workload, metric, statistic, unit], v)
            };
            let rate = |metric: &str, k: u64| {
                let i = wilson(k, 12);
                let r = of(metric, "rate", "share", k as f64 / 12.0);
                Record { n: Some(12), ci_low: Some(i.low), ci_high: Some(i.high), ..r }
            };
            let bad = match (kernel, place, kind) {
                (_, _, "wrong_data") => 12,
                (Kernel::Monolithic, ..) => spread,
                (_, "thread", "wild_write" | "heap_smashed" | "stack_overflow") => 12,
                _ => 0,
            };
            let class = match kind {
                "wild_write" => "spread",
                "wrong_data" | "heap_smashed" => "silent_wrong_data",
                "endless_loop" => "hang_unnoticed",
                _ if kernel == Kernel::Monolithic => "app_killed",
                _ => "kernel_dead",
            };
            out.push(rate("contained", if bad < 12 { 11 - bad.min(11) } else { 0 }));
            out.push(rate(class, bad));
            out.push(rate("not_activated", if bad < 12 { 1 } else { 0 }));
            let noticer = if kernel == Kernel::Monolithic { "oops" } else { "supervisor" };
            out.push(of("noticed_by", noticer, "count", 12.0 - bad as f64));
            out.push(of("noticed_by", "nobody", "count", bad as f64));
            out.push(within(of("notice_time", "median", "us", 85.0), 0.2));
            for state in ["kernel_alive", "calling_app_alive", "other_app_alive", "bytes_right"] {
                out.push(rate(state, if state == "kernel_alive" { 12 } else { 12 - bad }));
            }
        }
    }
    out
}

/// Restarts: the microkernel answers after `answer` us, the monolith after 42 ms.
pub fn restart(answer: f64) -> Vec<Record> {
    let mut out = Vec::new();
    let cases = [
        ("ramdisk/kill", Kernel::Microkernel, "process", "adaptive", answer),
        ("ramdisk/null_dereference", Kernel::Microkernel, "process", "adaptive", answer * 1.1),
        ("ramdisk/null_dereference", Kernel::Microkernel, "thread", "adaptive", answer * 0.6),
        ("ramdisk/null_dereference", Kernel::Monolithic, "direct", "none", 0.0),
        ("ramdisk/panic_reboot", Kernel::Monolithic, "direct", "none", 42_000.0),
    ];
    for (workload, kernel, place, wait, time) in cases {
        let of = |metric: &str, statistic: &str, unit: &str, v: f64| {
            record(Experiment::Restart, kernel, place, wait, [workload, metric, statistic, unit], v)
        };
        for (metric, part) in
            [("notice_time", 0.1), ("restart_time", 0.7), ("first_answer_time", 1.0), ("longest_gap", 1.1)]
        {
            let r = of(metric, "median", "us", time * part);
            if time == 0.0 {
                out.push(unavailable(r, "n/a: the driver is not restarted after an oops"));
                continue;
            }
            out.push(within(r, 0.15));
            out.push(of(metric, "p99", "us", time * part * 1.8));
            out.push(of(metric, "max", "us", time * part * 2.0));
        }
        for (metric, n) in [
            ("calls_failed", 3.0),
            ("calls_repeated", 5.0),
            ("calls_unknown", 1.0),
            ("acknowledged_bytes_lost", 4096.0),
        ] {
            out.push(of(metric, "total", "count", if kernel == Kernel::Monolithic { n * 10.0 } else { n }));
        }
        // Only what goes on after the fault is probed.
        if kernel == Kernel::Monolithic && time == 0.0 {
            for (probe, share) in [("null_proc", 1.0), ("ramfs_read", 1.0), ("ram0_read", 0.0)] {
                out.push(Record { n: Some(5), ..of("still_works", probe, "share", share) });
            }
        }
        match kernel {
            Kernel::Monolithic => out.push(of("other_apps_interrupted", "total", "count", 2.0)),
            _ => out.push(of("deaths", "total", "count", 7.0)),
        }
        for ms in -20i32..=60 {
            let down = ms >= 0 && (f64::from(ms) < (time / 1000.0).ceil() || time == 0.0);
            let rate = if down { 0.0 } else { 10.0 + f64::from((ms * 7 % 3).abs()) };
            out.push(of("completed", &format!("at_{ms}"), "1/ms", rate));
        }
    }
    out
}

/// A restart at length: the throughput ratio with its interval, so many leaked threads, and so many kills of each kind. The way
/// back grows by a tenth where threads leak.
pub fn at_length(throughput: f64, leaked: f64, kills: u64) -> Vec<Record> {
    let of = |workload: &str, metric: &str, statistic: &str, unit: &str, v: f64| {
        let what = [workload, metric, statistic, unit];
        Record { n: Some(kills), ..record(Experiment::Restart, Kernel::Microkernel, "process", "adaptive", what, v) }
    };
    let second = "vdisk/each_second/standby";
    let mut out = vec![
        within(of(second, "throughput_ratio", "ratio", "ratio", throughput), 0.01),
        within(of(second, "restart_drift", "ratio", "ratio", if leaked > 0.0 { 1.1 } else { 0.7 }), 0.05),
        of(second, "leaked_threads", "total", "count", leaked),
        of("vfs+jfs+vdisk/random_kills/warm", "acknowledged_bytes_lost", "total", "bytes", 0.0),
        of("vfs+jfs+vdisk/random_kills/warm", "executed_twice", "total", "count", 0.0),
        of("jfs/in_turn/warm", "back_time", "median", "us", 12_000.0),
        of("jfs/in_turn/warm", "deaths", "total", "count", 3.0),
        of("jfs+vdisk/at_once/warm", "calls_failed", "total", "count", 4.0),
        of("vfs/in_recovery/warm", "killed_in_recovery", "total", "count", 2.0),
    ];
    for (workload, tail) in [(second, 0.01), ("vdisk/each_second/undisturbed", 0.001)] {
        for (at, share) in [(20_000, 1.0), (100_000, 0.5), (2_000_000, tail)] {
            out.push(of(workload, "delayed", &format!("over_{at}"), "share", share));
        }
    }
    out
}

/// Parts.
pub fn primitives() -> Vec<Record> {
    let mut out = Vec::new();
    let mut put = |kernel, place: &str, wait: &str, workload: &str, metric: &str, unit: &str, cores: u32, v: f64| {
        let r = record(Experiment::Primitives, kernel, place, wait, [workload, metric, "median", unit], v);
        out.push(within(Record { cores, ..r }, 0.05));
    };
    put(Kernel::Monolithic, "direct", "none", "direct_call", "cost", "ns", 1, 1.9);
    put(Kernel::Monolithic, "direct", "none", "trap", "cost", "ns", 1, 91.0);
    put(Kernel::Microkernel, "process", "none", "encode_decode", "cost", "ns", 1, 14.0);
    for (wait, one, two) in [("block", 5200.0, 16_000.0), ("adaptive", 2700.0, 310.0)] {
        for (cores, v) in [(1, one), (2, two)] {
            put(Kernel::Microkernel, "thread", wait, "thread_crossing", "round_trip", "ns", cores, v * 1.3);
            put(Kernel::Microkernel, "process", wait, "process_crossing", "round_trip", "ns", cores, v);
        }
    }
    put(Kernel::Microkernel, "process", "spin", "process_crossing", "round_trip", "ns", 2, 190.0);
    put(Kernel::Limit, "process", "spin", "limit_spin", "round_trip", "ns", 2, 160.0);
    put(Kernel::Limit, "process", "block", "limit_futex", "round_trip", "ns", 1, 4600.0);
    put(Kernel::Microkernel, "process", "spin", "process_crossing", "limit_ratio", "ratio", 2, 1.19);
    put(Kernel::Microkernel, "process", "spin", "process_crossing", "one_line_ratio", "ratio", 2, 2.38);
    put(Kernel::Microkernel, "process", "adaptive", "process_chain_3", "adaptive_ratio", "ratio", 2, 1.07);
    put(Kernel::Microkernel, "process", "adaptive", "process_chain_2", "loaded_adaptive_ratio", "ratio", 1, 1.04);
    for (kernel, means, wait, v) in
        [(Kernel::Microkernel, "process", "spin", 250.0), (Kernel::Linux, "peer", "spin", 500.0)]
    {
        put(kernel, means, wait, "ipc_64", "latency", "ns", 2, v);
        put(kernel, means, wait, "ipc_64", "cpu_time", "ns", 2, 2.0 * v);
    }
    put(Kernel::Linux, "peer", "spin", "ipc_64", "latency_ratio", "ratio", 2, 2.0);
    let mut own = |workload: &str, metric: &str, unit: &str, v| {
        put(Kernel::Microkernel, "process", "adaptive", workload, metric, unit, 1, v);
    };
    own("batch_calls", "block_time", "ns", 5_000.0);
    own("batch_depth_4", "block_time", "ns", 1_500.0);
    own("batch_depth_4", "batch_ratio", "ratio", 0.3);
    for (workload, ratio) in [("payload_hops_1/kib_4", 1.1), ("payload_hops_1/kib_64", 0.7)] {
        own(workload, "copied", "ns", 6_000.0);
        own(workload, "granted", "ns", 6_000.0 * ratio);
        own(workload, "granted_ratio", "ratio", ratio);
    }
    let what = ["payload_hops_1", "grants_win_from", "threshold", "bytes"];
    let wins = record(Experiment::Primitives, Kernel::Microkernel, "process", "adaptive", what, 65_536.0);
    out.push(Record { cores: 1, ..wins });
    let what = ["payload_hops_1", "grants_out_win_from", "threshold", "bytes"];
    let wins = record(Experiment::Primitives, Kernel::Microkernel, "process", "adaptive", what, 0.0);
    out.push(unavailable(Record { cores: 1, ..wins }, "nowhere up to 64 KiB"));
    out
}

/// Power failures: of 9000 states so many failed; one mistake made on purpose was found, the other if none failed.
pub fn crash(failed: u32) -> Vec<Record> {
    let of = |what| record(Experiment::Crash, Kernel::None, "direct", "none", what, 0.0);
    let total = |metric, value| {
        let r = of(["sample", metric, "total", "count"]);
        Record { value: Some(value), n: Some(9_000), ..r }
    };
    let mut out: Vec<Record> = [
        ("states", 9_000.0),
        ("workloads", 6.0),
        ("operations", 360.0),
        ("requests", 700.0),
        ("states_failed", failed.into()),
    ]
    .map(|(metric, value)| total(metric, value))
    .into();
    if failed > 0 {
        out.push(Record { value: Some(345.0), ..of(["sample/seed_12", "failed_state", "first", "count"]) });
    }
    out.push(Record { value: Some(210.0), ..of(["plant/journal_skips_flush", "found_after", "first", "count"]) });
    let other = Record { value: Some(1_400.0), ..of(["plant/rename_in_wrong_order", "found_after", "first", "count"]) };
    out.push(if failed > 0 { unavailable(other, "not found in 20000 states") } else { other });
    out
}

/// Placements as wholes: means over programs, a hybrid that nobody tried with faults and one that somebody did, its counts,
/// and the two costs that only the model asks for.
pub fn placements() -> Vec<Record> {
    let mut out = Vec::new();
    let means = [
        ("thread", "none", 9.0),
        ("process", "block", 12.0),
        ("process", "adaptive", 10.0),
        ("drivers-isolated", "adaptive", 2.5),
        ("coarse", "adaptive", 4.0),
    ];
    for (place, wait, value) in means {
        for (metric, value) in [("mean_ratio", value), ("mean_cpu_ratio", value * 1.1)] {
            let what = ["all_programs", metric, "geometric", "ratio"];
            let r = record(Experiment::Macro, Kernel::Microkernel, place, wait, what, value);
            out.push(within(Record { cores: 1, entry: Entry::Trap, ..r }, 0.08));
        }
    }
    for (w, time) in [("source_tree", 300_000.0), ("mail_server", 90_000.0)] {
        for (metric, unit, v) in [("latency", "ns", time), ("latency_ratio", "ratio", time / 40_000.0)] {
            let what = [w, metric, "median", unit];
            let r = record(Experiment::Macro, Kernel::Microkernel, "coarse", "adaptive", what, v);
            out.push(within(Record { cores: 1, entry: Entry::Trap, ..r }, 0.04));
        }
        for (metric, unit, v) in
            [("crossings", "count", 66.0), ("edge_crossings", "count", 66.0), ("edge_bytes", "bytes", 260_000.0)]
        {
            let statistic = if metric == "crossings" { "mean" } else { "app>vfs" };
            let r = record(Experiment::Macro, Kernel::Microkernel, "coarse", "none", [w, metric, statistic, unit], v);
            out.push(Record { cores: 2, entry: Entry::Call, ..r });
        }
        let what = [w, "crossings", "mean", "count"];
        let r = record(Experiment::Macro, Kernel::Microkernel, "process", "none", what, 156.0);
        out.push(Record { cores: 2, entry: Entry::Call, ..r });
    }
    for (outcome, n) in [("contained", 11.0), ("silent_wrong_data", 1.0)] {
        let what = ["ramdisk/null_dereference", outcome, "rate", "share"];
        let r = record(Experiment::Faults, Kernel::Microkernel, "coarse", "adaptive", what, n / 12.0);
        let i = wilson(n as u64, 12);
        out.push(Record { n: Some(12), ci_low: Some(i.low), ci_high: Some(i.high), ..r });
    }
    let what = ["copy", "byte_cost", "median", "ns/B"];
    let byte = record(Experiment::Primitives, Kernel::Microkernel, "process", "adaptive", what, 0.05);
    out.push(within(Record { cores: 1, ..byte }, 0.1));
    let what = ["clock", "tsc_frequency", "mean", "MHz"];
    out.push(Record { cores: 1, ..record(Experiment::Macro, Kernel::Limit, "host", "none", what, 2_000.0) });
    out
}

/// The whole sample: the microkernel slower, its faults contained, its driver back sooner; the run steady.
pub fn results() -> Results {
    let mut records = primitives();
    records.extend(latency(1.0, 1.001));
    records.extend(programs(240_000.0));
    records.extend(scaling(0.5));
    records.extend(placements());
    records.extend(faults(12));
    records.extend(campaign::records());
    records.extend(restart(1_300.0));
    records.extend(crash(0));
    Results { meta: meta(), records }
}
