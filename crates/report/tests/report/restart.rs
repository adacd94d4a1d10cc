//! Restarts.

use kd_report::restart_svg;
use kd_report::schema::{Experiment, Kernel, Record};

use super::{answer, page, sample, section, table_of, with};

#[test]
fn restart_comes_out_either_way() {
    let restart = |answer_us: f64| {
        let html = page(&with(sample::restart(answer_us)), &format!("restart-{answer_us}"));
        answer(&html, "Restart").to_owned()
    };
    assert!(restart(1_300.0).starts_with("The microkernel was back sooner"), "{}", restart(1_300.0));
    assert!(restart(900_000.0).starts_with("The monolith was back sooner"));
    assert!(restart(42_000.0).starts_with("No difference in time is shown"));
    assert!(restart(1_300.0).contains("2 of 3 probes still worked"));
}

#[test]
fn the_ways_of_a_restart_stand_side_by_side() {
    let caption = "What the app saw: median with 95 % interval, and totals over all trials";
    let mut records = sample::restart(1_300.0);
    let ways = ["cold", "warm", "standby"];
    let kills: Vec<Record> = records.iter().filter(|r| r.workload == "ramdisk/kill").cloned().collect();
    records.retain(|r| r.kernel == Kernel::Monolithic);
    let of = |way: &str| {
        let named = format!("ramdisk/kill/{way}");
        let mut own: Vec<Record> = kills.iter().map(|r| Record { workload: named.clone(), ..r.clone() }).collect();
        own.push(Record {
            metric: "over_bare".into(),
            statistic: "ratio".into(),
            unit: "ratio".into(),
            ..own[0].clone()
        });
        own
    };
    for way in ways {
        let fault = Record { workload: format!("ramdisk/null_dereference/{way}"), ..kills[0].clone() };
        records.extend(of(way).into_iter().chain([fault]));
    }
    let html = page(&with(records), "ways");
    let table = table_of(&html, caption);
    assert_eq!(table.matches("ramdisk/kill").count(), 1, "one group, whatever stands between its ways: {table}");
    for way in ways {
        let row = format!("microkernel (process, adaptive), {way}, ");
        assert_eq!(table.matches(&row).count(), 2, "{row} in {table}");
        let label = format!("microkernel (process, adaptive), {way}, killed</li>");
        assert!(section(&html, "restart").contains(&label), "a line of its own");
    }
    assert!(table.contains("<th scope=\"col\">over bare</th>"), "{table}");
    assert!(!table_of(&page(&with(sample::restart(1_300.0)), "no-ways"), caption).contains("over bare"));
}

/// The fault that every kernel can suffer; kills only where there are no faults.
#[test]
fn all_kernels_stand_on_one_axis() {
    let html = page(&with(sample::restart(1_300.0)), "one-axis");
    let restart = section(&html, "restart");
    assert_eq!(restart.matches("role=\"img\"").count(), 1, "one panel for the component");
    let labels = ["monolithic, oops", "monolithic, reboot", "microkernel (thread, adaptive), null_dereference"];
    for label in labels {
        assert_eq!(restart.matches(&format!("{label}</li>")).count(), 1, "{label}");
    }
    assert!(!restart.contains("adaptive), kill</li>"), "what a fault shows needs no kill");
    let picture = restart_svg(&with(sample::restart(1_300.0)));
    assert!(labels.iter().all(|label| picture.contains(label)), "{picture}");
    assert!(restart_svg(&with(Vec::new())).contains("no figures in this run"));
}

#[test]
fn targets_are_judged_by_intervals_and_by_how_many_died() {
    let verdicts = |throughput, leaked, kills| {
        let html = page(&with(sample::at_length(throughput, leaked, kills)), &format!("targets-{throughput}-{kills}"));
        table_of(&html, "Targets, and what this run shows of them").to_owned()
    };
    let long = verdicts(0.98, 0.0, 10_000);
    assert_eq!(long.matches("✓ met").count(), 5, "{long}");
    let short = verdicts(0.98, 0.0, 4);
    assert_eq!(short.matches("✓ so far").count(), 5, "few deaths show little: {short}");
    let near = verdicts(0.95, 0.0, 10_000);
    assert_eq!(near.matches("! not shown").count(), 1, "{near}");
    let missed = verdicts(0.8, 3.0, 10_000);
    assert_eq!(missed.matches("✗ missed").count(), 3, "{missed}");
}

#[test]
fn a_restart_at_length_has_tables_and_a_chart_of_delays() {
    let html = page(&with(sample::at_length(0.98, 0.0, 600)), "at-length");
    let restart = section(&html, "restart");
    let components =
        table_of(&html, "What the death of each component took with it: medians, and totals over all deaths");
    for row in ["jfs, warm", "jfs and vdisk, warm", "vfs, warm", "vfs and jfs and vdisk, warm"] {
        assert_eq!(components.matches(&format!("<th scope=\"row\">{row}</th>")).count(), 1, "{row} in {components}");
    }
    assert!(components.contains("12 ms") && components.contains("met amid a start"), "{components}");
    assert!(restart.contains("id=\"delays-t\"") && restart.contains("seconds in which vdisk is killed (standby)</li>"));
    assert!(!html.contains("id=\"other\""), "every figure has its place");
}

#[test]
fn a_year_of_failures_names_its_inputs() {
    let caption = "If a driver fails so often: time without an answer, and calls failed, in a year";
    let mut records = sample::restart(1_300.0);
    assert!(!page(&with(records.clone()), "no-rate").contains(caption), "without a rate there is no sum");
    let what = ["ramdisk/panic_reboot", "rate_due", "stated", "1/s"];
    records.push(sample::record(Experiment::Restart, Kernel::Monolithic, "direct", "none", what, 1_000.0));
    let html = page(&with(records), "year");
    let table = table_of(&html, caption);
    // 42 ms each hour: 8766 times, and 43 calls each time.
    assert!(table.contains("hosted, the lower bound") && table.contains("<td>6.14 min<small>376"), "{table}");
    assert!(table.contains("ramdisk, under 1 k/s"), "{table}");
    let inputs = section(&html, "restart");
    for words in ["Firecracker, SPECIFICATION.md", "coreboot mailing list", "as others published it"] {
        assert!(inputs.contains(words), "{words}");
    }
    assert!(!html.contains("id=\"other\""), "every figure has its place");
}

#[test]
fn restart_counts_have_a_column_where_somebody_counted() {
    let columns = ["<th scope=\"col\">deaths</th>", "<th scope=\"col\">other apps interrupted</th>"];
    let html = page(&with(sample::restart(1_300.0)), "columns");
    assert!(columns.iter().all(|c| html.matches(c).count() == 1));
    let mut records = sample::restart(1_300.0);
    records.retain(|r| r.metric != "deaths" && r.metric != "other_apps_interrupted");
    let html = page(&with(records), "no-columns");
    assert!(columns.iter().all(|c| !html.contains(c)));
}
