//! The command line as a user meets it: help, bad input, kills by hand, and what is left behind.

#[path = "../../../crates/report/tests/sample/mod.rs"]
mod sample;
mod support;

use std::fs;
use std::path::Path;

use support::{Debate, Scratch, alive, debate, gone, signal};

const RUN: &[&str] = &["run", "--kernel", "microkernel", "--workload", "ram0_read_4k"];

/// Exit code, output and errors of a command that ends by itself.
fn outcome(arguments: &[&str], scratch: &Scratch) -> (Option<i32>, String, String) {
    let output = debate(scratch).args(arguments).output().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it writes text");
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn every_help_has_examples_and_list_names_what_there_is() {
    let scratch = Scratch::new();
    for command in [
        &["--help"][..],
        &["bench", "--help"],
        &["run", "--help"],
        &["crashcheck", "-h"],
        &["report", "--help"],
        &["list", "-h"],
    ] {
        let (code, out, _) = outcome(command, &scratch);
        assert_eq!(code, Some(0), "{command:?}");
        assert!(out.contains("Examples:\n  cargo debate "), "{command:?}: {out}");
    }
    let (code, placements, _) = outcome(&["list", "placements"], &scratch);
    assert_eq!(code, Some(0));
    for words in ["  monolithic ", "  all-isolated ", " files: pipe, ramfs, ", " alone: "] {
        assert!(placements.contains(words), "{words}: {placements}");
    }
    assert!(!placements.contains("read_4k"), "nothing else is told");
    let (code, out, err) = outcome(&["list"], &scratch);
    assert_eq!(code, Some(0), "{err}");
    let workloads: Vec<&str> = kd_workloads::workloads().iter().map(|workload| workload.name()).collect();
    let known = ["microkernel", "process", "adaptive", "BlockDevice", "max_kb=", "MIT OR Apache-2.0", "SHA-256"];
    for word in workloads.iter().chain(&known) {
        assert!(out.contains(word), "{word} is missing: {out}");
    }
}

#[test]
fn bad_input_is_answered_with_one_message_and_its_remedy() {
    let scratch = Scratch::new();
    fs::write(scratch.path("file"), "").expect("the folder is ours");
    let circle =
        r#"{ "about": "", "boundary": "process", "domains": [{ "name": "x", "components": ["jfs", "vdisk"] }] }"#;
    let files = Scratch::new();
    fs::write(files.path("circle.json"), circle).expect("the folder is ours");
    let circle = files.path("circle.json").to_string_lossy().into_owned();
    for (arguments, expected) in [
        (&["bench", "--quik"][..], "a similar argument exists: '--quick'"),
        (
            &["bench", "--only", "everything"],
            "[possible values: primitives, latency, macro, scaling, faults, campaign, restart, crash]",
        ),
        (&["bench", "--seed", "x"], "'x' for '--seed <N>'"),
        (&["bench", "--long"], "say `--only restart --long`, or leave `--long` out"),
        (&["bench", "--only", "faults", "--long"], "`--long` is for one of the experiments"),
        (&["bench", "--only", "restart", "--quick", "--long"], "cannot be used with"),
        (&["bench", "--out", "file/out"], "cannot write to file/out"),
        (&["bench", "--out", "file"], "choose another output folder with `--out DIR`"),
        (&["campaign", "--kernels", "hurd"], "no kernel `hurd` in a campaign: there are monolithic, "),
        (&["campaign", "--components", "ramdisk,floppy"], "no component `floppy` in a campaign: there are ramdisk, "),
        (&["run", "--kernel", "hurd", "--workload", "stat"], "[possible values: monolithic, microkernel, linux]"),
        (&["run", "--kernel", "linux", "--workload", "nap"], "there is no workload `nap`; there are: null_core, "),
        (&["run", "--kernel", "linux", "--workload", "stat", "--placement", "thread"], "`--placement` says nothing"),
        (&["run", "--kernel", "linux", "--workload", "stat", "--wait", "block"], "`--wait` says nothing"),
        (&["run", "--workload", "stat"], "--kernel <K>"),
        (
            &["run", "--placement", "nooks", "--workload", "stat"],
            "there is no placement `nooks`: use monolithic, drivers-iso",
        ),
        (
            &["run", "--placement", "coarse/pkeys", "--workload", "stat"],
            "the boundary cannot be `pkeys`: use thread, pkey-integrity, pkey, process",
        ),
        (&["run", "--placement", "none.json", "--workload", "stat"], "cannot read none.json: No such file"),
        (
            &["run", "--placement", &circle, "--workload", "stat"],
            "`domains`: domains need each other: `jfs` in `x` imports `blk`",
        ),
        (
            &["run", "--kernel", "monolithic", "--placement", "coarse", "--workload", "stat"],
            "the placement `coarse` belongs to the microkernel, and `--kernel` asks for monolithic: leave",
        ),
        (&["run", "--kernel", "linux"], "--workload <W>"),
        (&["run", "--kernel", "linux", "--workload", "disk_create", "--host-disk", "no"], "can be made in no: No such"),
        (
            &["run", "--kernel", "monolithic", "--workload", "disk_create", "--host-disk", "no"],
            "name a folder that exists",
        ),
        (&["crashcheck", "--states", "0"], "0 is not in 1.."),
        (&["crashcheck", "--state", "1000000"], "workload 1 has states 0 to "),
        (&["crashcheck", "--state", "1", "--results", "."], "cannot be used with '--results <DIR>'"),
        (&["crashcheck", "--results", "nowhere"], "nowhere/results.json: No such file or directory"),
        (&["report", "nowhere"], "nowhere/results.json: No such file or directory"),
    ] {
        let (code, out, err) = outcome(arguments, &scratch);
        assert!(code.is_some_and(|code| code != 0), "{arguments:?} ended with {code:?}");
        assert_eq!((out.as_str(), err.matches("error: ").count()), ("", 1), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
        assert_eq!(scratch.names(), ["file"], "{arguments:?} left something behind");
    }
}

#[test]
fn a_results_file_that_is_none_is_told_apart_and_nothing_is_written() {
    for (text, expected) in [
        ("{\"meta\": {\"seed\":", "results file is truncated"),
        ("{\"name\": \"kernel-debate\"}", "not a results file"),
        ("no JSON", "not a results file"),
        ("{\"meta\": {\"schema_version\": 0}, \"records\": []}", "schema version 0"),
    ] {
        let scratch = Scratch::new();
        fs::write(scratch.path("results.json"), text).expect("the folder is ours");
        let (code, out, err) = outcome(&["report", "."], &scratch);
        assert_eq!((code, out.as_str(), err.matches("error: ").count()), (Some(1), "", 1), "{text}: {err}");
        assert!(err.contains(expected), "{text}: {err}");
        assert_eq!(scratch.names(), ["results.json"], "{text}");
    }
}

#[test]
fn a_report_is_made_anew_and_other_files_stay() {
    let scratch = Scratch::new();
    sample::results().write(&scratch.path("results.json")).expect("the folder is ours");
    let before = fs::read(scratch.path("results.json")).expect("just written");
    fs::write(scratch.path("index.html"), "old").expect("the folder is ours");
    fs::write(scratch.path("notes"), "mine").expect("the folder is ours");
    let (code, out, err) = outcome(&["report", "."], &scratch);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.ends_with("/index.html\n"), "{out}");
    assert!(fs::read_to_string(scratch.path("index.html")).expect("written").starts_with("<!doctype html>"));
    assert_eq!(fs::read(scratch.path("results.json")).expect("still there"), before);
    assert_eq!(scratch.names(), ["headline.svg", "index.html", "notes", "restart.svg", "results.json"]);
}

#[test]
fn a_full_crash_check_is_taken_into_the_results_of_its_commit() {
    let scratch = Scratch::new();
    let mut results = sample::results();
    results.meta.commit = kernel_debate::meta::commit();
    let path = scratch.path("results.json");
    results.write(&path).expect("the folder is ours");
    // The second run's count stands in place of the first's, and beside those of the main job.
    for states in ["300", "200"] {
        let (code, out, err) = outcome(&["crashcheck", "--states", states, "--results", "."], &scratch);
        assert_eq!(code, Some(0), "{err}");
        assert!(out.contains(&format!("{states} crash states of ")) && out.ends_with("/index.html\n"), "{out}");
    }
    let merged = kd_report::Results::read(&path).expect("it is a results file still");
    let (full, others): (Vec<_>, Vec<_>) = merged.records.into_iter().partition(|r| r.workload == "full_run");
    assert!(others == results.records && merged.meta == results.meta);
    let of = |metric: &str| full.iter().find(|r| r.metric == metric).and_then(|r| r.value);
    assert_eq!((full.len(), of("states"), of("states_failed")), (5, Some(200.0), Some(0.0)));
    let page = fs::read_to_string(scratch.path("index.html")).expect("written");
    assert!(page.contains("none of 9000 states failed (sample), none of 200 states failed (full run)"));
}

#[test]
fn a_full_crash_check_is_not_taken_into_other_results() {
    for (results, expected) in [
        (sample::results(), "check out that commit, or make results of this one with `cargo bench`"),
        (
            kd_report::Results { meta: kd_report::Meta { schema_version: 0, ..sample::meta() }, records: Vec::new() },
            "schema version 0",
        ),
    ] {
        let scratch = Scratch::new();
        let path = scratch.path("results.json");
        results.write(&path).expect("the folder is ours");
        let before = fs::read(&path).expect("just written");
        let (code, out, err) = outcome(&["crashcheck", "--states", "100", "--results", "."], &scratch);
        assert_eq!((code, out.as_str(), err.matches("error: ").count()), (Some(1), "", 1), "{err}");
        assert!(err.contains(expected), "{err}");
        assert_eq!((fs::read(&path).expect("kept"), scratch.names()), (before, vec!["results.json".into()]));
    }
}

/// The operations and failures of a line of progress.
fn progress(line: &str) -> Option<(u64, u64)> {
    let (_, line) = line.split_once(" s  ")?;
    let (operations, rest) = line.split_once(" operations (")?;
    let failures = rest.split_once("), ")?.1.strip_suffix(" failures")?;
    Some((operations.parse().ok()?, failures.parse().ok()?))
}

/// Hits the driver's process by hand while a workload runs: it is noticed and restarted, and the app goes on.
fn survives(by_hand: &str, noticed: &str) {
    survives_on(RUN, by_hand, noticed);
}

fn survives_on(run: &[&str], by_hand: &str, noticed: &str) {
    let scratch = Scratch::new();
    let mut run = Debate::start(run, &scratch);
    let driver = run.process("kd-ramdisk");
    let (before, _) = run.find(progress);
    signal(by_hand, driver);
    run.find(|line| line.contains(noticed).then_some(()));
    let successor: i32 = run.find(|line| line.split_once("ramdisk restarted as process ")?.1.parse().ok());
    assert_ne!(successor, driver);
    assert!(alive(successor));
    // It is ended when that is in nobody's way.
    gone(driver);
    run.find(progress);
    let (after, failures) = run.find(progress);
    // A read may be repeated, so the app never learns of it.
    assert!(after > before && failures == 0, "{before} operations, then {after} and {failures} failures");
}

#[test]
fn a_driver_killed_by_hand_is_restarted_and_the_app_goes_on() {
    survives("KILL", "ramdisk died: SIGKILL");
}

#[test]
fn a_driver_killed_by_hand_in_a_shipped_placement_is_restarted() {
    survives_on(
        &["run", "--placement", "drivers-isolated", "--workload", "ram0_read_4k"],
        "KILL",
        "ramdisk died: SIGKILL",
    );
}

#[test]
fn a_driver_stopped_by_hand_is_restarted_and_the_app_goes_on() {
    survives("STOP", "ramdisk hung and was ended: stopped");
}

#[test]
fn an_app_killed_by_hand_ends_the_run_with_an_error() {
    let scratch = Scratch::new();
    let mut run = Debate::start(RUN, &scratch);
    signal("KILL", run.process("kd-app-1"));
    let (code, err) = run.end();
    assert_eq!(code, Some(1));
    assert!(err.contains("error: nothing is left to run: app 1 died: SIGKILL"), "{err}");
}

/// Ends the harness and asserts that nothing of it stays.
fn leaves_nothing(arguments: &[&str], by: &str, ready: impl Fn(&mut Debate), left: &[&str]) {
    let scratch = Scratch::new();
    if let Some(name) = left.first() {
        fs::create_dir_all(scratch.path(name)).expect("the folder is ours");
        fs::write(scratch.path(name).join("index.html"), "old").expect("the folder is ours");
    }
    let shared = || -> Vec<_> {
        let entries = fs::read_dir(Path::new("/dev/shm")).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    let before = shared();
    let mut run = Debate::start(arguments, &scratch);
    ready(&mut run);
    let family = run.descendants();
    assert!(family.len() >= 3, "a zygote, a root and more: {family:?}");
    signal(by, run.pid());
    let (code, _) = run.end();
    assert_eq!(code, None, "it is ended by the signal");
    support::until("every descendant is gone", || family.iter().all(|&process| !process.runs()));
    assert!(shared().iter().all(|name| before.contains(name)), "shared memory is left: {:?}", shared());
    assert_eq!(scratch.names(), left);
    for name in left {
        assert_eq!(fs::read_to_string(scratch.path(name).join("index.html")).expect("kept"), "old");
        assert_eq!(fs::read_dir(scratch.path(name)).expect("kept").count(), 1, "{name} holds the old report alone");
    }
}

/// Waits until the app has done something.
fn works(run: &mut Debate) {
    run.find(progress);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    leaves_nothing(RUN, "INT", works, &[]);
}

#[test]
fn a_killed_run_leaves_nothing() {
    leaves_nothing(RUN, "KILL", works, &[]);
}

#[test]
fn a_killed_run_of_a_workload_with_a_partner_leaves_nothing() {
    let pipe = &["run", "--kernel", "microkernel", "--workload", "pipe_pingpong"];
    leaves_nothing(pipe, "KILL", works, &[]);
}

#[test]
fn a_killed_or_interrupted_run_on_a_disk_of_the_host_leaves_nothing() {
    let of = |kernel| ["run", "--kernel", kernel, "--workload", "disk_mail_server", "--host-disk", "."];
    for by in ["INT", "KILL"] {
        leaves_nothing(&of("monolithic"), by, works, &[]);
    }
    let (code, ..) =
        outcome(&["run", "--kernel", "linux", "--workload", "null_core", "--seconds", "1"], &Scratch::new());
    if code == Some(0) {
        ["INT", "KILL"].into_iter().for_each(|by| leaves_nothing(&of("linux"), by, works, &[]));
    }
}

#[test]
fn a_killed_run_with_a_stopped_driver_leaves_nothing() {
    leaves_nothing(RUN, "KILL", |run| signal("STOP", run.process("kd-proc")), &[]);
}

#[test]
fn an_interrupted_bench_leaves_the_earlier_report() {
    let bench = &["bench", "--quick", "--only", "latency", "--out", "out"];
    let booted = |run: &mut Debate| support::until("a kernel is up", || run.descendants().len() >= 4);
    leaves_nothing(bench, "INT", booted, &["out"]);
}
