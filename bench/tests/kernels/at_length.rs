//! The parts of the restart experiment that take long when one lets them, each at its shortest: what they must not find, and
//! that they find what there is.

use std::time::Duration;

use kd_report::schema::Record;
use kd_report::stats::Random;
use kernel_debate::experiments::Plan;
use kernel_debate::experiments::restart::each_second::{EachSecond, Pace};
use kernel_debate::experiments::restart::in_turn::InTurn;
use kernel_debate::experiments::restart::random_kills::RandomKills;
use kernel_debate::host_disk;

fn plan() -> Plan {
    let cores = kernel_debate::meta::cores();
    Plan { quick: true, long: false, seed: 1, cores, host_disk: host_disk::find(&std::env::temp_dir()) }
}

/// The total of a metric, of the workloads that end so.
fn totals(records: &[Record], metric: &str, workload: &str) -> Vec<(String, f64)> {
    let wanted = |r: &&Record| r.metric == metric && r.statistic == "total" && r.workload.ends_with(workload);
    let value = |r: &Record| (r.workload.clone(), r.value.unwrap_or_else(|| panic!("{r:?}")));
    records.iter().filter(wanted).map(value).collect()
}

#[test]
fn whoever_dies_in_turn_comes_back_and_takes_along_what_the_table_says() {
    let mut random = Random::new(1, 1);
    let mut in_turn = InTurn::new(true);
    for number in in_turn.numbers() {
        in_turn.boot(number, &mut random).expect("it boots");
    }
    let records = in_turn.records(&plan());
    let refused: Vec<&Record> = records.iter().filter(|r| r.metric == "back_time" && r.value.is_none()).collect();
    assert!(refused.is_empty(), "{refused:?}");
    assert_eq!(totals(&records, "deaths", "/in_turn/warm").len(), 11, "every component");
    assert_eq!(totals(&records, "deaths", "/at_once/warm").len(), 3);
    assert_eq!(totals(&records, "killed_in_recovery", "/in_recovery/warm").len(), 3);
    for metric in ["executed_twice", "loads_lost", "other_apps_interrupted"] {
        let some: Vec<_> = totals(&records, metric, "").into_iter().filter(|(_, count)| *count > 0.0).collect();
        assert!(some.is_empty(), "{metric}: {some:?}");
    }
    for (workload, lost) in totals(&records, "acknowledged_bytes_lost", "") {
        assert_eq!(lost, 0.0, "{workload} lost {lost} bytes");
    }
}

/// `KD_KILLS` says how many.
#[test]
fn kills_at_random_moments_lose_nothing_and_do_nothing_twice() {
    let most: u64 = std::env::var("KD_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(60);
    let mut kills = RandomKills::default();
    kills.run(most, Duration::from_secs(60), &mut Random::new(1, 2), &mut |_| ()).expect("it boots");
    let records = kills.records(&plan());
    assert!(records.iter().all(|r| r.reason.is_none()), "{records:?}");
    let total = |metric| totals(&records, metric, "/random_kills/warm")[0].1;
    assert!(total("deaths") > 0.0 && total("deaths") <= most as f64 && total("rounds") > 0.0, "{records:?}");
    assert_eq!((total("acknowledged_bytes_lost"), total("executed_twice")), (0.0, 0.0));
}

#[test]
fn a_kill_each_second_leaves_nothing_behind() {
    let mut each_second = EachSecond::default();
    let pace = Pace { cycles: 2, kills: 1 };
    assert_eq!(pace.seconds(), 4);
    let mut steps = Vec::new();
    each_second.run(pace, &mut Random::new(1, 3), &mut |second| steps.push(second)).expect("it boots");
    assert_eq!(steps, [0, 1, 2, 3]);
    let records = each_second.records(&plan());
    let total = |metric: &str| totals(&records, metric, "/each_second/standby")[0].1;
    assert_eq!(total("deaths"), 2.0, "{records:?}");
    for what in ["processes", "threads", "descriptors", "memory_objects"] {
        assert!(total(&format!("leaked_{what}")) <= 0.0, "{what}: {records:?}");
    }
    let lost = ["acknowledged_bytes_lost", "executed_twice", "calls_unknown", "other_apps_interrupted"];
    assert_eq!(lost.map(total), [0.0; 4]);
    let ratio = records.iter().find(|r| r.metric == "throughput_ratio").expect("it is told");
    assert!(ratio.value.is_some_and(|ratio| ratio > 0.0), "{ratio:?}");
    let first = |end: &str| records.iter().find(|r| r.metric == "delayed" && r.workload.ends_with(end));
    for end in ["standby", "undisturbed"] {
        assert_eq!(first(end).expect("delays are told").value, Some(1.0), "all are later than the least: {end}");
    }
}
