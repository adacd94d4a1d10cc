//! Crossings, peers, placements, and what they are predicted to cost.

use super::{page, sample, section, table_of, with};

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
