//! What measures domains behind keys goes its way where there are keys: each means and each experiment yields figures. From
//! an emulated processor they say nothing, and nobody looks at them.

use std::time::Duration;

use kd_boot::control::{Cell, Entry, Measured, Task};
use kd_faults::Fault;
use kd_report::stats::Random;
use kernel_debate::experiments::faults::run_trial;
use kernel_debate::experiments::latency::{Configuration, crossings};
use kernel_debate::experiments::primitives::copying::Between;
use kernel_debate::experiments::primitives::rig::{Part, Rig};
use kernel_debate::experiments::restart::keyed;

use super::{LIMIT, PKEY, no_keys, subject};

#[test]
fn crossings_by_gates_go_round() {
    if no_keys() {
        return;
    }
    let bytes = Part::Copy(Between::Keys, 64 << 10);
    for part in [Part::LimitKeys, Part::Gate, Part::Keys(1), Part::Keys(3), bytes] {
        // Every answer is asserted inside the rig: one that is wrong ends it.
        let rig = Rig::new(part, &[0]).unwrap_or_else(|why| panic!("{part:?}: {why}"));
        rig.run(100).unwrap_or_else(|why| panic!("{part:?}: {why}"));
    }
}

/// Counted where it happens, a kernel behind keys sends the messages that one of processes does, over the same edges.
#[test]
fn behind_keys_the_same_edges_are_crossed() {
    if no_keys() {
        return;
    }
    let process = Configuration::all().into_iter().find(|c| c.wait == Some("adaptive")).expect("it is measured");
    let keys = Configuration::all().into_iter().find(|c| c.placement.is_pkey()).expect("it is measured");
    let names = ["open_close", "read_4k", "ram0_read_4k", "vda_read_4k", "null_proc"];
    let of = |configuration| {
        let counts = crossings::count_these(configuration, names.map(String::from).into()).expect("it boots");
        assert!(counts.iter().all(|count| count.failed.is_none()), "{counts:?}");
        counts
    };
    assert_eq!(of(keys), of(process));
    for (keyed, layout) in Configuration::KEYED.into_iter().zip(["drivers-isolated", "coarse"]) {
        assert_eq!(of(Configuration::keyed(keyed)), of(Configuration::hybrid(layout)), "{keyed}");
    }
}

#[test]
fn every_placement_behind_keys_is_measured() {
    if no_keys() {
        return;
    }
    for on in PKEY {
        let boot = on.boot(1);
        let cell = |workload: &str, entry| {
            let budget = Duration::from_millis(20).as_nanos() as u64;
            Cell { workload: workload.into(), entry, cores: vec![0], compute: 0, budget }
        };
        let cells = vec![cell("read_4k", Entry::Call), cell("open_close", Entry::Trap), cell("kv_log", Entry::Trap)];
        let wanted = cells.len();
        let mut app = on.start(&boot, 1, Task::Measure(cells));
        for _ in 0..wanted {
            let seen = app.line_within::<Measured>(LIMIT).expect("it answers").expect("with a line");
            assert!(seen.failed.is_none() && seen.batches.len() >= 5 && seen.cpu > 0.0, "{on:?}: {seen:?}");
        }
    }
}

#[test]
fn a_drivers_fault_stays_inside_in_hybrids() {
    if no_keys() {
        return;
    }
    for layout in Configuration::KEYED {
        let seen = run_trial(Configuration::keyed(layout), &subject("ramdisk"), Fault::WildWrite, 30, 11);
        if let Some(why) = &seen.obstacle {
            assert!(why.contains("the host refused"), "{layout}: {why}");
            return;
        }
        assert!(seen.activated && seen.kernel_alive && seen.victim_intact, "{layout}: {seen:?}");
    }
}

#[test]
fn restarts_of_a_driver_behind_keys_are_timed() {
    if no_keys() {
        return;
    }
    let mut samples = keyed::Keyed::default();
    samples.boots(&subject("ramdisk"), 3, &mut Random::new(1, 1)).expect("it boots");
    match samples.timed() {
        Ok(restarts) => assert_eq!(restarts, 3),
        Err(why) => assert!(why.contains("the host refused"), "{why}"),
    }
}
