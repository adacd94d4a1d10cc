//! The page as a whole.

use kd_report::schema::{Experiment, Kernel};
use kd_report::{headline_svg, restart_svg, summary_table, write_report};
use std::fs;
use std::path::Path;

use super::{answer, page, sample, with};

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

#[test]
fn the_text_table_sums_a_campaign_up() {
    let table = summary_table(&sample::results());
    assert!(table.contains("Campaign: reached others: monolithic 2 of 50, microkernel (process) 0 of 40\n"), "{table}");
    assert!(!summary_table(&with(sample::crash(0))).contains("Campaign"));
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
