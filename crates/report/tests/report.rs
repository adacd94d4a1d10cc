//! The report says what the records say: each verdict both ways, instability, gaps, newcomers, and nothing unescaped.

mod sample;

use kd_report::schema::{Experiment, Kernel, Record, Results};
use kd_report::{headline_svg, restart_svg, summary_table, write_report};
use std::fs;
use std::path::Path;

fn page(results: &Results, name: &str) -> String {
    let dir = std::env::temp_dir().join(format!("kd-report-page-{name}-{}", std::process::id()));
    let path = write_report(results, None, &dir, &dir).expect("rendered");
    assert_eq!(path, dir.join("index.html"));
    let html = fs::read_to_string(&path).expect("readable");
    fs::remove_dir_all(&dir).expect("removed");
    html
}

fn with(records: Vec<kd_report::Record>) -> Results {
    Results { meta: sample::meta(), records }
}

/// The sentence under a heading of the answer.
fn answer<'a>(html: &'a str, head: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<dt>{head}</dt><dd>")).expect("the answer has the sentence");
    rest.split_once("</dd>").expect("it ends").0
}

#[test]
fn the_page_is_one_file_without_network() {
    let html = page(&sample::results(), "alone");
    for forbidden in ["<link", "<img", "@import", "url(", "src=", "http://localhost", "https://"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    // The only address is the name of the SVG format.
    assert_eq!(html.matches("http://").count(), html.matches("http://www.w3.org/2000/svg").count());
    assert!(html.contains("../../bench/METHODOLOGY.md") && html.contains("../../bench/BIAS.md"));
    assert!(html.contains("prefers-color-scheme: dark"));
}

#[test]
fn every_chart_has_a_title_and_follows_the_theme() {
    let html = page(&sample::results(), "charts");
    let charts = html.matches("role=\"img\"").count();
    // Placements 2; latency 4 and ratios 6, each for two groups; programs 3 and 3 curves; scales 4; restart 1, parts 2.
    assert_eq!(charts, 35);
    assert_eq!(html.matches("<title id=").count(), charts);
    assert_eq!(html.matches("<desc id=").count(), charts);
    assert!(!html.contains("#0102"), "a stand-in colour is left");
    for picture in [headline_svg(&sample::results()), restart_svg(&sample::results())] {
        assert!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"));
        assert!(!picture.contains("var(--") && !picture.contains("#0102"));
    }
}

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
    let html = page(&with(records), "one");
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
fn isolation_comes_out_either_way() {
    let isolation = |records: Vec<kd_report::Record>, name: &str| {
        let html = page(&with(records), name);
        answer(&html, "Isolation").to_owned()
    };
    let more = isolation(sample::faults(12), "more");
    assert!(more.starts_with("The microkernel contained more: on 2 cores"), "{more}");
    assert!(more.contains("88 of 100"), "{more}");
    let same = isolation(sample::faults(0), "same");
    assert!(same.starts_with("No difference is shown"), "{same}");
    let mut swapped = sample::faults(12);
    swapped.retain(|r| r.placement != "thread");
    for r in &mut swapped {
        r.kernel = if r.kernel == Kernel::Monolithic { Kernel::Microkernel } else { Kernel::Monolithic };
    }
    let less = isolation(swapped, "less");
    assert!(less.starts_with("The monolith contained more"), "{less}");
}

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
fn power_failures_come_out_either_way() {
    let sound = with(sample::crash(0));
    let html = page(&sound, "sound");
    let sentence = answer(&html, "Crashes");
    assert!(sentence.starts_with("No power failure that was tried cost"), "{sentence}");
    assert!(sentence.ends_with("none of 9000 states failed (sample); 2 of 2 planted mistakes found."), "{sentence}");
    assert!(html.contains("✓ found</b> in state 210") && !html.contains("class=\"bad\""));
    assert!(summary_table(&sound).contains("\nPower failures: none of 9000 states failed (sample); 2 of 2"));

    let torn = with(sample::crash(3));
    let html = page(&torn, "torn");
    let (_, sentence) = html.split_once("<dt>Crashes</dt><dd class=\"bad\">").expect("it is shown in red");
    assert!(sentence.starts_with("The journalling file system lost or tore"), "{sentence}");
    let again = "cargo debate crashcheck --seed 12 --state 345";
    assert!(sentence.contains(&format!("3 of 9000 states failed (sample); again: {again}; 1 of 2 planted")));
    assert!(html.contains(&format!("<li><code>{again}</code></li>")) && html.contains("<td class=\"bad\">3</td>"));
    assert!(html.contains("<td class=\"bad\">n/a<sup>a</sup></td>") && html.contains("not found in 20000 states"));
    assert!(summary_table(&torn).contains(again));
}

#[test]
fn the_text_table_sums_a_campaign_up() {
    let table = summary_table(&sample::results());
    assert!(table.contains("Campaign: reached others: monolithic 2 of 50, microkernel (process) 0 of 40\n"), "{table}");
    assert!(!summary_table(&with(sample::crash(0))).contains("Campaign"));
}

#[test]
fn what_was_not_run_is_said() {
    let html = page(&with(sample::primitives()), "partly");
    assert!(html.contains("Not part of this run:</b> latency, macro, scaling, faults, campaign, restart, crash."));
    for head in ["Latency", "Programs", "Isolation", "Restart", "Crashes"] {
        assert_eq!(answer(&html, head), "No verdict: the experiment was not part of this run.");
    }
    let gone: Vec<_> =
        sample::faults(12).into_iter().map(|r| sample::unavailable(r, "no fault could be injected")).collect();
    let html = page(&with(gone), "gone");
    let sentence = answer(&html, "Isolation");
    assert!(sentence.starts_with("No verdict") && sentence.contains("no fault could be injected"), "{sentence}");
    // Nothing at all is still a page, a table and a picture.
    let empty = with(Vec::new());
    assert!(page(&empty, "empty").ends_with("</html>\n"));
    assert!(summary_table(&empty).lines().count() >= 5);
    assert!(headline_svg(&empty).contains("no figures in this run"));
}

#[test]
fn peers_stand_beside_ours_in_one_table() {
    let html = page(&with(sample::primitives()), "peers");
    let (_, table) = html.split_once("The same exchange by other means</h3>").expect("it has a heading");
    let (table, _) = table.split_once("</table>").expect("and a table");
    let row = |head: &str| {
        let rest = table.split_once(&format!("<th scope=\"row\">{head}</th>")).expect("it has a row").1;
        rest.split("</tr>").next().expect("that ends").matches("<td").count()
    };
    assert!(table.contains("ipc_64, 2 cores"), "{table}");
    assert_eq!((row("microkernel (process, spin)"), row("linux (peer, spin)")), (3, 3));
    assert!(!html.contains("<section id=\"other\">"), "no figure of it is shown a second time");
    // A run without it says nothing of it.
    let without = sample::primitives().into_iter().filter(|r| !r.workload.starts_with("ipc_")).collect();
    assert!(!page(&with(without), "alone").contains("other means"));
}

#[test]
fn where_grants_win_is_said_and_shown() {
    let html = page(&with(sample::primitives()), "grants");
    let (_, part) = html.split_once("Where grants start to win</h3>").expect("it has a heading");
    assert!(part.contains("<li>one server, 1 core: looked at in place, grants win from 64 KiB on.</li>"), "{part}");
    let nowhere = "<li>one server, 1 core: copied out for private use, grants win nowhere up to 64 KiB.</li>";
    assert!(part.contains(nowhere) && part.contains("<th scope=\"row\">4 KiB</th>"), "{part}");
    let (_, part) = html.split_once("Several calls under way</h3>").expect("and the other");
    assert!(part.contains("batch_depth_4") && part.contains("0.300"), "{part}");
    assert!(!html.contains("<section id=\"other\">"), "no figure of it is shown a second time");
    let without =
        |r: &kd_report::schema::Record| !r.workload.starts_with("batch_") && !r.workload.starts_with("payload_");
    let without = sample::primitives().into_iter().filter(without).collect();
    let html = page(&with(without), "none");
    assert!(!html.contains("under way</h3>") && !html.contains("Where grants"));
}

#[test]
fn newcomers_appear_without_a_change_here() {
    let mut results = sample::results();
    let put =
        |what: [&str; 4], experiment| sample::record(experiment, Kernel::Microkernel, "pkey", "none", what, 123.0);
    results.records.push(put(["kv_get", "latency", "median", "ns"], Experiment::Latency));
    results.records.push(put(["kv_get", "cache_misses", "median", "count"], Experiment::Latency));
    results.records.push(put(["gate", "page_walks", "p99", "walks"], Experiment::Primitives));
    results.records.push(put(["kv/abort", "heat", "mean", "W"], Experiment::Faults));
    results.records.push(put(["kv/kill", "first_answer_time", "p75", "us"], Experiment::Restart));
    let mut outcome = put(["kv/abort", "took_a_detour", "rate", "share"], Experiment::Faults);
    (outcome.value, outcome.n) = (Some(1.0), Some(6));
    results.records.push(outcome);
    let html = page(&results, "newcomers");
    let (sections, other) = html.split_once("<section id=\"other\">").expect("there are other figures");
    for word in ["cache_misses", "page_walks", "heat", "p75"] {
        assert!(other.contains(word) && !sections.contains(word), "{word}");
    }
    for word in [">kv_get<", "took a detour</b> 6/6", "microkernel (pkey)"] {
        assert!(sections.contains(word), "{word}");
    }
    assert!(!page(&sample::results(), "known").contains("id=\"other\""), "the sample has only known figures");
}

#[test]
fn text_from_records_is_escaped() {
    let evil = "<img src=x onerror=\"a('&')\">";
    let mut results = sample::results();
    for r in &mut results.records {
        r.workload = format!("{evil}{}", r.workload);
        r.reason = r.reason.as_ref().map(|_| evil.to_owned());
        r.wait = evil.into();
    }
    for text in [&mut results.meta.cpu, &mut results.meta.commit, &mut results.meta.command_line] {
        *text = evil.into();
    }
    results.meta.mitigations.insert(evil.into(), evil.into());
    let html = page(&results, "evil");
    assert!(!html.contains("<img") && !headline_svg(&results).contains("<img"));
    assert!(html.contains("&lt;img"));
}

#[test]
fn the_matrix_reads_without_colour() {
    let html = page(&with(sample::faults(12)), "matrix");
    for words in ["✗ spread</b> 12/12", "! app killed</b> 12/12", "✓ contained</b> 11/12", "75.8 to 100 %"] {
        assert!(html.contains(words), "{words}");
    }
}

/// The sample's faults, with what `process` contained of one fault turned into lost data.
fn with_lost_data() -> Vec<kd_report::Record> {
    let mut records = sample::faults(12);
    let is_it = |r: &&mut kd_report::Record| {
        r.placement == "process" && r.workload == "ramdisk/abort" && r.metric == "contained"
    };
    for r in records.iter_mut().filter(is_it) {
        r.metric = "data_lost".into();
    }
    records
}

#[test]
fn lost_data_is_neither_contained_nor_without_effect() {
    let html = page(&with(with_lost_data()), "lost");
    assert!(html.contains("<td class=\"hurt\"><div><b>! data lost</b> 11/12"), "a class of its own in the grid");
    assert!(html.contains("! the calling app was killed, or data is gone and it was told"));
    let sentence = answer(&html, "Isolation");
    assert!(sentence.contains("77 of 100 (68 to 84 %)"), "{sentence}");
    assert!(sentence.contains("and lost the component&#39;s own data in 11 more; the monolith 0 of 108"), "{sentence}");
    let none = page(&with(sample::faults(12)), "none-lost");
    assert!(!answer(&none, "Isolation").contains("own data"));
}

#[test]
fn wrong_data_is_named_wherever_it_passed_and_nowhere_else() {
    let sentence = |records: Vec<kd_report::Record>, name: &str| {
        let html = page(&with(records), name);
        answer(&html, "Isolation").to_owned()
    };
    let all = sentence(sample::faults(12), "silent");
    let expected = "Wrong data passed unnoticed: 24 of 108 in the monolith on 2 cores, 12 of 100 in the microkernel \
                    (process) on 2 cores, 24 of 103 in the microkernel (thread) on 2 cores.";
    assert!(all.ends_with(expected), "{all}");
    let mut one = sample::faults(12);
    one.retain(|r| r.metric != "silent_wrong_data" || r.kernel == Kernel::Monolithic);
    let one = sentence(one, "silent-one");
    assert!(one.ends_with("Wrong data passed unnoticed: 24 of 108 in the monolith on 2 cores."), "{one}");
    let mut none = sample::faults(12);
    none.retain(|r| r.metric != "silent_wrong_data");
    assert!(!sentence(none, "silent-none").contains("Wrong data"));
}

/// The part of the page from a caption to the end of its table.
fn table_of<'a>(html: &'a str, caption: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<caption>{caption}</caption>")).expect("the page has the table");
    rest.split_once("</table>").expect("it ends").0
}

#[test]
fn what_still_works_is_a_table_of_its_own() {
    let caption = "What still works after the oops, for an app that starts afterwards";
    let html = page(&with(sample::restart(1_300.0)), "works");
    let works = table_of(&html, caption);
    assert_eq!(works.matches("<th scope=\"col\">").count(), 2, "one cause, on the monolith");
    assert!(works.contains("<th scope=\"col\">monolithic, ramdisk/null dereference</th>"), "{works}");
    assert_eq!(works.matches("<td class=\"good\"><b>✓ works</b> 5/5</td>").count(), 2);
    assert_eq!(works.matches("<td class=\"bad\"><b>✗ hangs or fails</b> 0/5</td>").count(), 1);
    assert!(
        !table_of(&html, "What the app saw: median with 95 % interval, and totals over all trials").contains("works")
    );

    let mut records = sample::restart(1_300.0);
    let mut probes = records.iter_mut().filter(|r| r.metric == "still_works");
    probes.next().expect("a first probe").value = Some(0.4);
    let second = probes.next().expect("a second probe");
    *second = sample::unavailable(second.clone(), "no app could be started");
    let html = page(&with(records), "works-partly");
    let works = table_of(&html, caption);
    assert!(works.contains("<td class=\"hurt\"><b>! works at times</b> 2/5</td>"), "{works}");
    assert!(works.contains("n/a<sup>a</sup>") && html.contains("<li>no app could be started</li>"), "{works}");

    let none = sample::restart(1_300.0).into_iter().filter(|r| r.metric != "still_works").collect();
    assert!(!page(&with(none), "works-none").contains(caption));
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

#[test]
fn crossings_stand_beside_both_limits_and_the_clock_beside_latency() {
    let html = page(&sample::results(), "ruler");
    let caption = "Ratios of crossings, both sides measured in the same run";
    let ratios = table_of(&html, caption);
    for words in
        ["limit_ratio: ", "1.19×", "one_line_ratio: ", "2.38×", "adaptive_ratio: the adaptive", "1.07×", "1.04×"]
    {
        assert_eq!(ratios.matches(words).count(), 1, "{words} in {ratios}");
    }
    let at = |words: &str| html.find(words).expect("on the page");
    assert!(at("id=\"prim-0-t\"") < at(caption) && at(caption) < at("<caption>Cost of one part"), "next to the chart");
    assert!(table_of(&html, "Cost of reading the clock, not subtracted").contains("24 ns"));
    assert!(!html.contains("clock is subtracted"));
}

#[test]
fn the_summary_is_short_and_carries_intervals() {
    let table = summary_table(&sample::results());
    let lines = table.lines().count();
    assert!((12..=30).contains(&lines), "{lines} lines:\n{table}");
    for words in ["1 core, entry by trap", "slower 15", "88 of 100", "panic reboot", "42 ms [35.7 to 48.3]"] {
        assert!(table.contains(words), "{words} in\n{table}");
    }
    assert!(table.lines().all(|l| l.chars().count() <= 110), "{table}");
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

/// The part of the page that is one section.
fn section<'a>(html: &'a str, id: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<section id=\"{id}\">")).expect("the page has the section");
    rest.split_once("</section>").expect("it ends").0
}

#[test]
fn one_small_script_moves_a_slider_that_is_hidden_without_it() {
    let html = page(&sample::results(), "script");
    assert_eq!((html.matches("<script>").count(), html.matches("<script").count()), (1, 1));
    let (_, script) = html.split_once("<script>").expect("there is one");
    let script = script.split_once("</script>").expect("it ends").0;
    assert!(
        script.len() < 2_000 && !["fetch", "http", "import", "eval", "innerHTML"].iter().any(|w| script.contains(w))
    );
    assert!(html.contains("<div class=\"dial\" id=\"dial\" hidden>"));
    // Data for the slider are those of the table: 40 us alone, 156 crossings, 0.05 ns for each of 512,000 bytes.
    assert!(html.contains("<tr data-time=\"40000\" data-crossings=\"156\" data-copies=\"25600\">"));
    assert!(!page(&with(sample::latency(1.0, 1.0)), "no-script").contains("<script"), "nothing to move, no script");
}

#[test]
fn placements_come_first_and_only_what_was_tried_has_a_share() {
    let html = page(&sample::results(), "placements");
    let at = |words: &str| html.find(words).expect("on the page");
    assert!(at("id=\"pareto-0-t\"") < at("<section id=\"answer\">"), "the chart comes first");
    let own = section(&html, "placements");
    let rows: Vec<&str> = own.split("<tr><th scope=\"row\">").skip(1).collect();
    let row = |name: &str| *rows.iter().find(|row| row.starts_with(&format!("{name}</th>"))).expect(name);
    assert!(row("monolithic").contains("<td>1×</td>"), "{}", row("monolithic"));
    // By the wait that stands for it, not by the dearer one.
    assert!(row("all-isolated (process)").contains("<td>10×"), "{}", row("all-isolated (process)"));
    assert!(row("coarse").contains("<td>4×") && row("coarse").contains("11 of 12"), "{}", row("coarse"));
    assert!(row("drivers-isolated").contains("not tried"), "{}", row("drivers-isolated"));
    let chart = own.split("</svg>").next().expect("a chart");
    assert!(chart.contains("not tried") && chart.contains("drivers-isolated"), "{chart}");
    // Elsewhere hybrids have one colour and would hide each other: they stand in tables.
    let programs = section(&html, "macro");
    let charts: String = programs.split("<svg ").skip(1).filter_map(|svg| svg.split("</svg>").next()).collect();
    assert!(!charts.contains("var(--other)") && charts.contains("var(--process)"));
    assert!(programs.contains("microkernel (coarse, adaptive)"));
    // A hybrid was tried with drivers alone, so that the pooled shares of all faults do not count it.
    assert!(!section(&html, "answer").contains("coarse"));
    let empty = page(&with([sample::latency(1.0, 1.0), sample::crash(0)].concat()), "no-placements");
    assert!(section(&empty, "placements").contains("No placement was measured"));
}

#[test]
fn predictions_stand_beside_what_was_measured() {
    let html = page(&sample::results(), "model");
    let own = section(&html, "model");
    assert!(own.contains("microkernel (coarse, adaptive)") && own.contains("How far predictions are off"));
    assert!(own.contains("the parts") && own.contains("fitted on"), "{own}");
    assert!(own.contains("What a byte costs") && own.contains("0.05"), "{own}");
    let empty = page(&with([sample::latency(1.0, 1.0), sample::crash(0)].concat()), "no-model");
    assert!(section(&empty, "model").contains("No placement was both measured and counted"));
}

#[test]
fn published_crossings_are_called_published_and_become_time_here() {
    let html = page(&sample::results(), "whatif");
    let own = section(&html, "whatif");
    // 109 cycles at 2 GHz, 156 times, and copies of 25.6 us, over 40 us.
    for words in [
        "UnderBridge, published: 54.5 ns",
        "<td>85.3 %</td>",
        "seL4, published: 417 ns",
        "not measured here",
        "2000 MHz",
    ] {
        assert!(own.contains(words), "{words} in {own}");
    }
    assert!(own.contains(">copies alone<"), "64 % is more than 10 %");
    assert!(own.contains("Overhead at each published crossing, microkernel (coarse)"));
    assert!(own.contains("USENIX ATC 2020"));
    let mut records = sample::results().records;
    records.retain(|r| r.metric != "tsc_frequency");
    let html = page(&with(records), "no-clock");
    assert!(section(&html, "whatif").contains("published: 109 cycles") && section(&html, "whatif").contains(">n/a<"));
}

/// Of a run of one experiment the page has that one's section, and no list of what is not there.
#[test]
fn a_run_of_one_experiment_has_no_empty_sections() {
    let html = page(&with(sample::restart(1.0)), "alone-restart");
    let ids = ["answer", "restart", "machine"].map(|id| format!("<section id=\"{id}\">"));
    assert!(ids.iter().all(|id| html.contains(id)), "{html}");
    assert_eq!(html.matches("<section ").count(), ids.len());
    let nav = html.split_once("<nav>").and_then(|(_, rest)| rest.split_once("</nav>")).expect("there is one").0;
    assert_eq!(nav, "<a href=\"#restart\">Restart</a> <a href=\"#machine\">Disclosure</a>");
}

/// From wherever a report is kept in a checkout.
#[test]
fn the_papers_are_found_from_folders_of_any_depth() {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let dir = checkout.join("target/reports-of-tests/a/b/c");
    let staging = dir.join("unfinished");
    fs::create_dir_all(&staging).expect("a folder");
    let path = write_report(&sample::results(), None, &staging, &dir).expect("rendered");
    let html = fs::read_to_string(path).expect("written");
    let linked: Vec<&str> =
        html.split("href=\"").filter_map(|rest| rest.split_once(".md\"")).map(|(to, _)| to).collect();
    assert!(!linked.is_empty() && linked.iter().all(|to| dir.join(format!("{to}.md")).is_file()), "{linked:?}");
}
