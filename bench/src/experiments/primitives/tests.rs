//! Ratios pair the right cells, and criterion's figures are taken only from the run that made them.

use std::fs;
use std::time::{Duration, SystemTime};

use kd_report::schema::Status;

use kd_api::interfaces::block::SECTOR;
use kd_boot::manifest::WaitName;

use super::batching::Batching;
use super::copying::Between;
use super::granting::By;
use super::handover::{figure, record};
use super::parts::TIMED;
use super::*;
use crate::experiments::no_keys;

/// Cells as measured by a machine on which a part's time depends on its kind alone.
fn measured(cores: usize) -> Vec<Cell> {
    let mut cells = cells(cores, false);
    // On a machine with protection keys or without.
    if no_keys().is_some() {
        let parts = [Part::LimitKeys, Part::Gate, Part::Keys(1), Part::Keys(2), Part::Keys(3)];
        let copies = [SECTOR, 64 << 10].map(|bytes| Part::Copy(Between::Keys, bytes));
        cells.extend(parts.into_iter().chain(copies).map(|part| Cell {
            part,
            cores: 1,
            load: false,
            samples: Vec::new(),
        }));
    }
    for cell in &mut cells {
        let nanos = match cell.part {
            Part::LimitSpin => 100.0,
            Part::LimitOneLine => 60.0,
            Part::LimitFutex => 4_000.0,
            Part::Thread | Part::Batch(_) | Part::Payload(..) => unreachable!("has no limit"),
            Part::LimitKeys => 30.0,
            Part::Gate => 36.0,
            Part::Keys(servers) => 60.0 * f64::from(servers),
            Part::Copy(Between::Keys, bytes) => 70.0 + 0.5 * bytes as f64,
            // A byte more takes 0.25 ns directly, 0.5 ns between threads and 1 ns between processes.
            Part::Copy(Between::Nothing, bytes) => 10.0 + 0.25 * bytes as f64,
            Part::Copy(Between::Threads, bytes) => 700.0 + 0.5 * bytes as f64,
            Part::Copy(Between::Processes(_), bytes) => 5_000.0 + bytes as f64,
            Part::Process(wait, servers) => {
                let one = match (wait.0, cell.cores) {
                    (Wait::Spin, _) => 120.0,
                    (Wait::Yield, 1) | (Wait::Block, 2) => 20_000.0,
                    (Wait::Yield, _) => 1_000.0,
                    (Wait::Block, _) => 5_000.0,
                    (Wait::Adaptive, 1) => 5_500.0,
                    (Wait::Adaptive, _) => 1_100.0,
                };
                one * f64::from(servers)
            }
        };
        let slower = match (cell.load, cell.part) {
            (true, Part::Process(WaitName(Wait::Adaptive), _)) => 4.0,
            (true, _) => 2.0,
            (false, _) => 1.0,
        };
        cell.samples = vec![vec![nanos * slower; 3]; 4];
    }
    cells
}

fn values(records: &[Record], metric: &str) -> Vec<Option<f64>> {
    let of = records.iter().filter(|record| record.metric == metric);
    of.map(|record| record.value.map(|value| (value * 1e6).round() / 1e6)).collect()
}

#[test]
fn ratios_pair_each_crossing_with_its_limit_and_adaptive_with_the_better() {
    let records = analyse(&measured(2), 1);
    // Spinning, blocking; a gate and a call through it over the bare instructions.
    assert_eq!(values(&records, "limit_ratio"), [Some(1.2), Some(1.25), Some(1.2), Some(2.0)]);
    assert_eq!(values(&records, "one_line_ratio"), [Some(2.0)]);
    assert_eq!(values(&records, "adaptive_ratio"), [Some(1.1); 6]);
    // Beside load each takes longer by as much as the times above say, and only cells beside load are compared.
    assert_eq!(values(&records, LOADED), [Some(2.2); 6]);
    // Chains of one to three servers, three waits, one and two cores; one that spins; threads; and by keys, where the bare
    // pair and the bare gate are besides.
    assert_eq!(values(&records, "round_trip").len(), 21 + 5);
    let ticks = |nanos: f64| Some(nanos * values(&records, "tsc_frequency")[0]? / 1e3);
    for (seen, nanos) in values(&records, "round_trip_ticks").into_iter().zip([30.0, 36.0, 60.0, 120.0, 180.0]) {
        assert!(seen.zip(ticks(nanos)).is_none_or(|(seen, ticks)| (seen - ticks).abs() < 1e-3), "{seen:?}");
    }
    // Half of what a byte takes more than directly: it is counted once into the window and once out of it.
    assert_eq!(values(&records, "byte_cost"), [Some(0.125), Some(0.125), Some(0.375), Some(0.375), Some(0.125)]);
}

#[test]
fn one_core_leaves_the_rest_unavailable() {
    let records = analyse(&measured(1), 1);
    assert_eq!(values(&records, "limit_ratio"), [None, Some(1.25), Some(1.2), Some(2.0)]);
    assert_eq!(values(&records, "adaptive_ratio"), [Some(1.1), None, Some(1.1), None, Some(1.1), None]);
    assert_eq!(values(&records, LOADED), [Some(2.2), None, Some(2.2), None, Some(2.2), None]);
    assert_eq!(values(&records, "byte_cost"), [Some(0.125), None, Some(0.375), None, Some(0.125)]);
    assert!(records.iter().all(|record| (record.status == Status::Unavailable) == record.value.is_none()));
}

#[test]
fn batches_are_compared_with_calls_and_grants_with_copies() {
    let parts = batching::parts(false).chain(granting::parts(false));
    let mut cells: Vec<Cell> =
        parts.map(|(part, cores)| Cell { part, cores, load: false, samples: Vec::new() }).collect();
    for cell in &mut cells {
        let nanos = match cell.part {
            Part::Batch(Batching::Calls) => 1_600.0,
            Part::Batch(Batching::Depth(depth)) => 1_600.0 / depth as f64,
            Part::Batch(Batching::Vectored(_)) => 160.0,
            // A grant costs 10 microseconds more to begin with, and half of what a copied byte does.
            Part::Payload(By::Copy, bytes, servers) => f64::from(servers) * bytes as f64,
            Part::Payload(By::Grant, bytes, servers) => 10_000.0 + f64::from(servers) * bytes as f64 / 2.0,
            Part::Payload(By::GrantOut, bytes, servers) => f64::from(servers) * bytes as f64 * 0.97,
            _ => unreachable!("no such part"),
        };
        cell.samples = vec![vec![nanos; 3]; 4];
    }
    let batched = batching::records(&cells, 2, 1);
    assert_eq!(values(&batched, "block_time"), [100.0, 100.0, 50.0, 25.0, 10.0, 10.0].map(Some));
    assert_eq!(values(&batched, "batch_ratio"), [1.0, 0.5, 0.25, 0.1, 0.1].map(Some));
    let granted = granting::records(&cells, false, 2, 1);
    assert_eq!(values(&granted, "granted").len(), 3 * granting::SIZES.len());
    assert_eq!(values(&granted, "grants_win_from"), [Some(65536.0), Some(16384.0), Some(65536.0)]);
    assert_eq!(values(&granted, "grants_out_win_from"), [None; 3], "3 % are no difference");
    let nowhere = granted.iter().find(|record| record.metric == "grants_out_win_from").expect("it is one");
    assert_eq!(nowhere.reason.as_deref(), Some("nowhere for certain up to 1024 KiB"));
    assert_eq!(values(&granting::records(&cells, false, 1, 1), "grants_win_from").len(), 2, "with one core");
}

#[test]
fn only_estimates_of_this_run_are_read() {
    let home = std::env::temp_dir().join(format!("kernel-debate-criterion-{}", std::process::id()));
    let folder = home.join("trap/new");
    fs::create_dir_all(&folder).expect("a temporary folder");
    let estimates = r#"{"mean":{},"median":{"confidence_interval":{"confidence_level":0.95,"lower_bound":80.0,
        "upper_bound":95.5},"point_estimate":90.25,"standard_error":1.0}}"#;
    fs::write(folder.join("estimates.json"), estimates).expect("a file in it");
    fs::write(folder.join("sample.json"), r#"{"iters":[1,2],"times":[90.0,181.0]}"#).expect("another");
    let begun = SystemTime::now() - Duration::from_secs(60);
    let found = figure(&home, "trap".into(), begun);
    let stale = figure(&home, "trap".into(), SystemTime::now() + Duration::from_secs(60));
    let missing = figure(&home, "direct_call".into(), begun);
    fs::remove_dir_all(&home).expect("removable");

    assert!(stale.is_none() && missing.is_none());
    let figures = [found.expect("a fresh estimate is taken")];
    let trap = TIMED.iter().find(|timed| timed.workload == "trap").expect("it is timed");
    let full = record(trap, &figures, false);
    assert_eq!((full.value, full.ci_low, full.ci_high, full.n), (Some(90.25), Some(80.0), Some(95.5), Some(2)));
    let quick = record(trap, &figures, true);
    assert_eq!((quick.value, quick.ci_low, quick.ci_high), (Some(90.25), None, None));
    assert_eq!(record(&TIMED[0], &figures, false).status, Status::Unavailable);
}

#[test]
fn every_part_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<String> = TIMED.iter().map(|timed| timed.id()).collect();
    assert_eq!(names.len(), TIMED.len());
}

#[test]
fn a_rig_goes_round_and_leaves_nothing() {
    let copies = [Between::Nothing, Between::Threads, Between::Processes(WaitName(Wait::Block))];
    let copies = copies.map(|between| Part::Copy(between, 64 << 10));
    let ways = [Batching::Calls, Batching::Depth(1), Batching::Depth(4), Batching::Vectored(4)].map(Part::Batch);
    let payloads = [(By::Copy, 1), (By::Grant, 1), (By::GrantOut, 2), (By::Grant, 2)];
    let payloads = payloads.map(|(by, servers)| Part::Payload(by, 256 << 10, servers));
    for part in copies.into_iter().chain(ways).chain(payloads).chain([
        Part::LimitFutex,
        Part::Thread,
        Part::chain(Wait::Block, 3),
        Part::chain(Wait::Adaptive, 1),
    ]) {
        // Every answer is asserted inside the rig: one that is wrong ends it.
        let rig = Rig::new(part, &[0]).expect("it starts");
        rig.run(100).expect("it goes round");
    }
    let loaded = Rig::beside_load(Part::chain(Wait::Adaptive, 2), &[0]).expect("it starts");
    loaded.run(3).expect("it goes round");
}
