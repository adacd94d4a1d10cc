//! The model finds what was planted: costs come back exactly, an error is reported as big as it is, and a half that costs
//! were fitted on does not judge them.

mod sample;

use kd_report::model::judge::{error, judge};
use kd_report::model::{Costs, Load, fit, loads, published};
use kd_report::schema::{Entry, Experiment, Kernel, Record, Results};

/// Programs: nanoseconds without boundaries, crossings (half of them the app's), bytes.
const PROGRAMS: [(&str, f64, f64, f64); 6] = [
    ("source_tree", 40_000.0, 66.0, 260_000.0),
    ("mail_server", 6_000.0, 30.0, 9_000.0),
    ("kv_log", 20_000.0, 70.0, 40_000.0),
    ("pipeline", 15_000.0, 40.0, 500_000.0),
    ("disk_kv_log", 90_000.0, 160.0, 100_000.0),
    ("disk_mail_server", 200_000.0, 90.0, 30_000.0),
];

fn record(kernel: Kernel, place: [&str; 2], what: [&str; 4], value: f64) -> Record {
    let of = sample::record(Experiment::Macro, kernel, place[0], place[1], what, value);
    Record { cores: 1, entry: Entry::Trap, ..of }
}

/// A run in which a crossing took `crossing` ns and a byte `byte` ns in every program, times `off`.
fn planted(crossing: f64, byte: f64, off: f64) -> Results {
    let mut results = Results { meta: sample::meta(), records: Vec::new() };
    for (program, monolithic, crossings, bytes) in PROGRAMS {
        results.meta.groups.insert(program.into(), "macro".into());
        let mut put = |kernel, place, what, value| results.records.push(record(kernel, place, what, value));
        put(Kernel::Monolithic, ["direct", "none"], [program, "latency", "median", "ns"], monolithic);
        let time = (monolithic + crossings * crossing + bytes * byte) * off;
        put(Kernel::Microkernel, ["coarse", "adaptive"], [program, "latency", "median", "ns"], time);
        for (edge, crossings, bytes) in [("app>vfs", crossings / 2.0, bytes), ("vfs>ramdisk", crossings / 2.0, 0.0)] {
            put(Kernel::Microkernel, ["coarse", "none"], [program, "edge_crossings", edge, "count"], crossings);
            put(Kernel::Microkernel, ["coarse", "none"], [program, "edge_bytes", edge, "bytes"], bytes);
        }
    }
    // Alone, a crossing in a chain of two takes what was planted, and one by itself half of it.
    for (chain, nanos) in [("process_chain_1", crossing / 2.0), ("process_chain_2", crossing * 2.0)] {
        let what = [chain, "round_trip", "median", "ns"];
        let of = sample::record(Experiment::Primitives, Kernel::Microkernel, "process", "adaptive", what, nanos);
        results.records.push(Record { cores: 1, ..of });
    }
    let what = ["copy", "byte_cost", "median", "ns/B"];
    let of = sample::record(Experiment::Primitives, Kernel::Microkernel, "process", "adaptive", what, byte);
    results.records.push(Record { cores: 1, ..of });
    results
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * b.abs().max(1.0)
}

#[test]
fn planted_costs_are_recovered_from_half_of_the_programs() {
    let judgements = judge(&planted(5_000.0, 0.25, 1.0));
    let [one] = &judgements[..] else { panic!("one placement was measured: {judgements:?}") };
    assert_eq!((one.placement.as_str(), one.wait.as_str(), one.cores), ("coarse", "adaptive", 1));
    let (crossing, byte) = one.fitted.expect("something crosses");
    assert!(close(crossing, 5_000.0) && close(byte, 0.25), "{crossing}, {byte}");
    assert_eq!(one.cases.iter().filter(|case| case.fitted_on).count(), 3, "{one:?}");
    let (wrong, judged) = one.error_from_fit().expect("the other half judges");
    assert!(wrong < 1e-9 && judged == 3, "{wrong} over {judged}");
    // Nothing is fitted to the parts, so all programs judge them; the depth of two is found from the counts.
    let (wrong, judged) = one.error_from_parts().expect("parts were measured");
    assert!(wrong < 1e-9 && judged == 6, "{wrong} over {judged}");
}

#[test]
fn a_planted_error_is_reported_as_big_as_it_is() {
    // The parts say 30 % more than was measured.
    let one = &judge(&planted(5_000.0, 0.25, 1.0 / 1.3))[0];
    let (wrong, _) = one.error_from_parts().expect("parts were measured");
    assert!(close(wrong, 0.3), "{wrong}");
    // One program takes longer than its crossings explain. If costs were fitted on it, they are wrong for the others; if
    // not, it is among those that judge: either way the run says so.
    let mut results = planted(5_000.0, 0.25, 1.0);
    let latency = |r: &&mut Record| r.placement == "coarse" && r.metric == "latency" && r.workload == "pipeline";
    let slow = results.records.iter_mut().find(latency).expect("it is there");
    slow.value = slow.value.map(|time| time * 1.3);
    let one = &judge(&results)[0];
    let worst = one.cases.iter().filter_map(|case| Some(error(case.from_fit?, case.measured))).fold(0.0, f64::max);
    assert!(worst > 0.05, "{one:?}");
    let parts = one.cases.iter().find(|case| case.load.workload == "pipeline").and_then(|case| case.from_parts);
    let measured = one.cases.iter().find(|case| case.load.workload == "pipeline").expect("it is there").measured;
    assert!(close(error(parts.expect("parts were measured"), measured), 1.0 - 1.0 / 1.3));
}

#[test]
fn the_halves_follow_from_the_seed() {
    let on = |seed| -> Vec<bool> {
        let mut results = planted(5_000.0, 0.25, 1.0);
        results.meta.seed = seed;
        judge(&results)[0].cases.iter().map(|case| case.fitted_on).collect()
    };
    assert_eq!(on(7), on(7));
    assert!((0..20).any(|seed| on(seed) != on(7)), "another seed chooses other halves");
}

#[test]
fn costs_are_never_negative_and_none_is_made_up() {
    let load =
        |crossings, bytes| Load { workload: "w".into(), monolithic: 1_000.0, crossings, entries: crossings, bytes };
    let (few, many, bulky) = (load(1.0, 0.0), load(10.0, 0.0), load(1.0, 4096.0));
    assert_eq!(fit::fit(&[]), None);
    assert_eq!(fit::fit(&[(&load(0.0, 0.0), 1_500.0)]), None, "nothing crosses");
    let (crossing, byte) = fit::fit(&[(&few, 1_100.0), (&many, 2_000.0)]).expect("a crossing has a cost");
    assert!(close(crossing, 100.0) && byte == 0.0, "no bytes, no cost of bytes: {crossing}, {byte}");
    // Faster than without boundaries: that is no cost below nothing.
    assert_eq!(fit::fit(&[(&few, 900.0), (&many, 800.0)]), Some((0.0, 0.0)));
    let (crossing, byte) = fit::fit(&[(&few, 1_200.0), (&bulky, 1_100.0)]).expect("a crossing has a cost");
    assert!(crossing > 0.0 && byte == 0.0, "{crossing}, {byte}");
    let results = planted(5_000.0, 0.25, 1.0);
    assert_eq!(Costs::measured(&results, "process", "block", 1).crossing(1.0), None, "not measured");
}

#[test]
fn a_crossing_costs_what_a_chain_of_its_depth_does() {
    let costs = Costs::measured(&planted(5_000.0, 0.25, 1.0), "process", "adaptive", 1);
    for (depth, nanos) in [(0.5, 2_500.0), (1.0, 2_500.0), (1.5, 3_750.0), (2.0, 5_000.0), (9.0, 5_000.0)] {
        assert_eq!(costs.crossing(depth), Some(nanos), "{depth}");
    }
    assert_eq!(costs.byte, Some(0.25));
}

#[test]
fn counts_hold_for_the_same_domains_behind_another_boundary() {
    let results = planted(5_000.0, 0.25, 1.0);
    assert_eq!(loads(&results, "coarse/thread", 1), loads(&results, "coarse", 1));
    assert_eq!(loads(&results, "coarse", 1).len(), 6);
    assert_eq!(loads(&results, "thread", 1), []);
    assert_eq!(loads(&results, "coarse", 2), []);
}

#[test]
fn published_figures_have_sources_and_become_time_by_the_clock() {
    let schema = serde_json::from_str(include_str!("../data/published.schema.json")).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("and a schema");
    let file = serde_json::from_str(include_str!("../data/published.json")).expect("the file is JSON");
    let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    let all = published::all();
    let of = |name: &str| all.iter().find(|one| one.name == name).expect("it is cited").clone();
    assert_eq!(
        (of("UnderBridge").round_trip(), of("seL4").round_trip(), of("L4Re, N100").round_trip()),
        (109, 834, 780)
    );
    assert!(close(of("seL4").nanoseconds(2_000.0), 417.0));
    assert!(all.windows(2).all(|two| two[0].round_trip() <= two[1].round_trip()));
}

#[test]
fn isolation_stops_mattering_where_the_overhead_is_the_share() {
    let load = Load { workload: "w".into(), monolithic: 10_000.0, crossings: 20.0, entries: 20.0, bytes: 400.0 };
    let at = published::matters_from(&load, 0.1, 0.5).expect("copies alone are 2 %");
    assert!(close(at, 40.0) && close(published::overhead(&load, at, 0.5), 0.1), "{at}");
    assert_eq!(published::matters_from(&load, 0.01, 0.5), None, "copies alone exceed it");
    assert_eq!(published::matters_from(&Load { crossings: 0.0, bytes: 0.0, ..load }, 0.1, 0.5), None);
}
