//! System calls, programs, scale and disks.

use kd_report::schema::{Experiment, Kernel};
use kd_report::summary_table;

use super::{answer, page, sample, table_of, with};

#[test]
fn latency_comes_out_either_way() {
    let slow = page(&with(sample::latency(1.0, 1.0)), "slow");
    let slow = answer(&slow, "Latency");
    assert!(slow.contains("on 1 core, slower than the monolith"), "{slow}");
    assert!(slow.contains("on 2 cores, slower than the monolith"), "{slow}");
    assert!(slow.contains("15 of 15 workloads slower"), "{slow}");

    let ratio = |value: f64| {
        let mut records = sample::latency(1.0, 1.0);
        for r in records.iter_mut().filter(|r| r.metric == "latency_ratio") {
            (r.value, r.ci_low, r.ci_high) = (Some(value), Some(value - 0.02), Some(value + 0.02));
        }
        let html = page(&with(records), &format!("ratio-{value}"));
        answer(&html, "Latency").to_owned()
    };
    assert!(ratio(0.5).contains("on 2 cores, faster than the monolith"), "{}", ratio(0.5));
    assert!(ratio(1.01).contains("on 2 cores, not shown to differ"), "{}", ratio(1.01));
}

#[test]
fn entries_that_disagree_give_no_common_verdict() {
    let mut records = sample::latency(1.0, 1.0);
    for r in records.iter_mut().filter(|r| r.metric == "latency_ratio" && r.entry == kd_report::schema::Entry::Call) {
        (r.value, r.ci_low, r.ci_high) = (Some(0.5), Some(0.4), Some(0.6));
    }
    let html = page(&with(records), "disagree");
    assert!(answer(&html, "Latency").contains("judged differently by the two entries"));
}

#[test]
fn an_aa_pair_that_differs_raises_a_banner_and_stops_verdicts() {
    let steady = page(&sample::results(), "steady");
    assert!(!steady.contains("This run is unstable"));
    let results = with(sample::latency(1.0, 1.2));
    let html = page(&results, "unstable");
    assert!(html.contains("This run is unstable") && html.contains("60 of 60 A/A pairs"));
    let sentence = answer(&html, "Latency");
    assert!(sentence.contains("given no verdict, because the run is unstable"), "{sentence}");
    assert!(!sentence.contains("slower than"), "{sentence}");
    let table = summary_table(&results);
    assert!(
        table.contains("Unstable run") && table.lines().filter(|l| l.ends_with("] unstable")).count() == 5,
        "{table}"
    );
}

#[test]
fn one_unsteady_pair_takes_out_its_own_cells_alone() {
    let mut records = sample::latency(1.0, 1.0);
    let aa = |r: &&mut kd_report::Record| r.metric == "aa_ratio" && r.workload == "stat" && r.cores == 1;
    for r in records.iter_mut().filter(aa) {
        (r.value, r.ci_low, r.ci_high) = (Some(1.2), Some(1.1), Some(1.3));
    }
    let results = with(records);
    let html = page(&results, "one");
    assert!(
        !html.contains("This run is unstable") && html.contains("2 of 60 A/A pairs exclude 1"),
        "no more than by chance"
    );
    assert!(!summary_table(&results).contains("Unstable run"));
    let sentence = answer(&html, "Latency");
    assert!(sentence.contains("14 of 14 workloads slower, 1 unstable and left out"), "{sentence}");
    assert!(sentence.contains("15 of 15 workloads slower"), "{sentence}");
}

#[test]
fn programs_are_summed_up_for_each_share_of_computation() {
    let sentence = |records: Vec<kd_report::Record>, name: &str| {
        let html = page(&with(records), name);
        answer(&html, "Programs").to_owned()
    };
    let dear = sentence(sample::programs(240_000.0), "dear");
    assert!(
        dear.contains("on 1 core and over 2 programs, 41.0× (33× to 51×), 21.0× with 50 % user computation"),
        "{dear}"
    );
    assert!(dear.contains("Of its messages, 57.7 % go to ramfs"), "{dear}");
    let cheap = sentence(sample::programs(0.0), "cheap");
    assert!(cheap.contains("on 2 cores and over 1 program, 1× (1× to 1×)"), "{cheap}");
    // Means are over the same programs at every share.
    let mut records = sample::programs(240_000.0);
    records.retain(|r| r.workload != "source_tree/user_80" || r.cores == 2);
    let part = sentence(records, "part-of-a-curve");
    assert!(part.contains("on 1 core and over 1 program, 51× (51× to 51×), 26.0× with 50 %"), "{part}");
    // A cell whose A/A pair is unsteady is left out, and a disk's operation is no program.
    let mut records = sample::programs(240_000.0);
    let aa = |r: &&mut kd_report::Record| r.metric == "aa_ratio" && r.workload == "source_tree" && r.cores == 1;
    for r in records.iter_mut().filter(aa) {
        (r.value, r.ci_low, r.ci_high) = (Some(1.2), Some(1.1), Some(1.3));
    }
    let one = sentence(records, "one-program");
    assert!(one.contains("on 1 core and over 1 program, 51× (51× to 51×)"), "{one}");
}

#[test]
fn edges_are_a_table_with_the_busiest_in_bold() {
    let html = page(&with(sample::programs(1.0)), "edges");
    let caption =
        "Messages for each operation, and bytes copied with them, by the component that they went to; most in bold";
    let table = table_of(&html, caption);
    assert_eq!(table.matches("<b>90</b>").count(), 2, "{table}");
    assert!(table.contains("<td>66<small>") && table.contains("<th scope=\"col\">to vfs</th>"), "{table}");
    assert!(table.contains("Whole programs") && !table.contains("Single calls"), "{table}");
    let none: Vec<_> = sample::programs(1.0).into_iter().filter(|r| !r.metric.starts_with("edge_")).collect();
    assert!(!page(&with(none), "no-edges").contains(caption));
}

#[test]
fn a_curve_has_a_line_for_each_kernel_and_the_shares_below() {
    let html = page(&with(sample::programs(240_000.0)), "curve");
    let (_, curve) = html.split_once("<title id=\"curve-0-t\">").expect("there is a first curve");
    let curve = curve.split_once("</svg>").expect("it ends").0;
    for words in [
        "mail_server, 1 core, entry by trap",
        "50 %",
        "80 %",
        "95 %",
        "var(--linux)",
        "var(--thread)",
        "var(--process)",
    ] {
        assert!(curve.contains(words), "{words} in {curve}");
    }
    assert!(!curve.contains("var(--mono)"), "the monolith is the line at 1");
}

#[test]
fn a_scale_has_a_curve_for_each_workload_and_its_points_below() {
    let html = page(&with(sample::scaling(0.5)), "scales");
    let curve = |id: &str| {
        let (_, rest) = html.split_once(&format!("<title id=\"{id}-t\">")).expect("there is such a curve");
        rest.split_once("</svg>").expect("it ends").0.to_owned()
    };
    let files = curve("scale-files-0");
    for words in ["Number of files: dir_stat, 1 core, entry by trap", "100\u{202f}000", "var(--mono)", "var(--process)"]
    {
        assert!(files.contains(words), "{words} in {files}");
    }
    assert!(!files.contains("var(--linux)"), "no figure, no line");
    // The curve of the tree ends where its own points do.
    let tree = curve("scale-files-1");
    assert!(tree.contains("tree_stat") && tree.contains("1000") && !tree.contains("100\u{202f}000"), "{tree}");
    assert!(curve("scale-mib-0").contains("MiB"));
    let apps = curve("scale-apps-0");
    assert!(apps.contains("M/s") && apps.contains("2 cores"), "{apps}");
    let times = table_of(&html, "Time of an operation, as one app sees it: median and 95 % interval");
    assert!(times.contains("dir_stat/files_100000") && times.contains("n/a<sup>a</sup>"), "{times}");
    let at = |point: &str| times.find(point).unwrap_or_else(|| panic!("{point} in {times}"));
    assert!(at("disk_file_read/mib_64<") < at("disk_file_read/mib_1024<"), "by number, not by letter");
    assert!(html.contains("<li>n/a: no file system mounted at /mnt here</li>"));
    assert!(!html.contains("id=\"other\""), "every figure has its place");
    let none = page(&with([sample::programs(1.0), sample::crash(0)].concat()), "no-scales");
    assert!(!none.contains("scale-files-0") && none.contains("No figures for this chart in this run."));
}

/// A steeper line is another picture.
#[test]
fn a_curve_follows_its_figures() {
    let curve = |slope: f64| {
        let html = page(&with(sample::scaling(slope)), &format!("slope-{slope}"));
        let (_, rest) = html.split_once("<title id=\"scale-files-0-t\">").expect("there is such a curve");
        rest.split_once("</svg>").expect("it ends").0.to_owned()
    };
    assert_eq!(curve(0.5), curve(0.5));
    assert_ne!(curve(0.5), curve(3.0));
}

#[test]
fn a_disk_of_the_host_has_a_group_of_its_own_and_names_the_file_system() {
    let mut records = sample::programs(1.0);
    let on_disk: Vec<_> = records.iter().filter(|r| r.workload == "disk_create").cloned().collect();
    assert!(!on_disk.is_empty());
    records.extend(on_disk.into_iter().map(|mut r| {
        r.workload.insert_str(0, "file");
        r
    }));
    let before = page(&with(sample::programs(1.0)), "without-a-host-disk");
    let html = page(&with(records), "host-disk");
    let heading = "<h4>On a disk of the host: the same with real flushes</h4>";
    assert_eq!((before.matches(heading).count(), html.matches(heading).count()), (0, 1));
    assert!(html.contains("The file system of the host's disk: ext9 (rw,invented)."));
    // Programs alone are summed up, and those in memory.
    assert_eq!(answer(&html, "Programs"), answer(&before, "Programs"));
    let mut none = sample::results();
    none.meta.host_file_system = None;
    assert!(page(&none, "no-host-disk").contains("The file system of the host's disk: none was used."));
}

#[test]
fn the_disk_has_tables_of_its_own() {
    let time = |metric: &str, statistic: &str, value| {
        let what = ["vda_read_4k", metric, statistic, "ns"];
        sample::within(sample::record(Experiment::Macro, Kernel::Microkernel, "process", "block", what, value), 0.1)
    };
    let rate = ["vda_read_4k_qd32", "throughput", "median", "MiB/s"];
    let share = ["vda_read_4k", "interrupt_unneeded", "rate", "share"];
    let records = vec![
        time("interrupt_to_driver", "median", 7_100.0),
        time("interrupt_to_driver", "p99", 71_000.0),
        time("driver_to_app", "median", 8_200.0),
        sample::record(Experiment::Macro, Kernel::Microkernel, "process", "block", rate, 512.0),
        sample::record(Experiment::Macro, Kernel::Microkernel, "process", "block", share, 0.25),
    ];
    let html = page(&with(records), "disk");
    for text in ["from interrupt to app", "7.10 µs", "71 µs", "99th percentile", "8.20 µs", "512 MiB/s", "25 %"] {
        assert!(html.contains(text), "{text}");
    }
    assert!(!html.contains("id=\"other\""), "all have their place");
    assert!(!page(&sample::results(), "no-disk").contains("from interrupt to app"), "no heading without figures");
}
