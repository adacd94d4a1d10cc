//! A campaign's summary as a file, and its section of the page.

mod sample;

use kd_report::ReportError;
use kd_report::campaign::{Class, FILE, Summary};
use kd_report::stats::{difference, wilson};

fn folder(name: &str) -> std::path::PathBuf {
    let folder =
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("campaign-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn section(summary: &Summary, name: &str) -> String {
    let folder = folder(name);
    let page = kd_report::write_report(&sample::results(), Some(summary), &folder, &folder).unwrap();
    let html = std::fs::read_to_string(page).unwrap();
    let (_, rest) = html.split_once("<section id=\"campaign\">").unwrap();
    rest.split_once("</section>").unwrap().0.to_owned()
}

#[test]
fn a_summary_comes_back_as_it_was() {
    let path = folder("file").join(FILE);
    let summary = sample::campaign();
    summary.write(&path).unwrap();
    assert_eq!(Summary::read(&path).unwrap(), summary);
    let text = std::fs::read_to_string(&path).unwrap();
    for bad in [text[..text.len() / 2].into(), text.replace("\"version\": 1", "\"version\": 9"), "{}".to_string()] {
        std::fs::write(&path, bad).unwrap();
        let refused = Summary::read(&path).unwrap_err();
        assert!(matches!(refused, ReportError::ForeignCampaign { .. }), "{refused}");
        assert!(refused.to_string().contains("debate campaign"), "{refused}");
    }
}

#[test]
fn the_section_says_what_was_counted() {
    let mut summary = sample::campaign();
    let html = section(&summary, "counted");
    assert!(html.contains("monolithic 280 of 1088, thread 272 of 888, process 0 of 992"));
    assert!(html.contains("pkey: unavailable here (this processor has no protection keys)"));
    assert!(html.contains("jb +0x3f") && html.contains("trial 17") && html.contains("3,400,000"));
    assert_eq!(html.matches("class=\"stack\"").count(), 4 * 3, "a bar for each kind and kernel");
    assert!(
        html.contains("3 of 50") && html.contains("In 1 of these a limit of time") && html.contains("unexplained: 1.")
    );
    assert!(html.contains("trial 4711: masked, then hang noticed; a limit of time was reached<"));
    assert!(html.contains("trial 4712: masked, then spread; made 100 times more: masked 90, spread 10<"));
    // And the other way round.
    for cell in summary.cells.iter_mut().filter(|cell| cell.kernel == "process") {
        cell.classes.insert(Class::Spread, 1);
    }
    assert!(section(&summary, "otherwise").contains("process 16 of 1008"));
}

#[test]
fn what_a_file_says_is_escaped() {
    let mut summary = sample::campaign();
    summary.examples[0].story = "<script>".into();
    summary.cells[0].kind = "<b>".into();
    summary.reach[0].hit.insert("<i>".into(), 1);
    let html = section(&summary, "escaped");
    assert!(html.contains("&lt;script&gt;") && !html.contains("<script>") && !html.contains("<i>"));
}

#[test]
fn without_a_campaign_the_page_says_how_to_make_one() {
    let page = kd_report::write_report(&sample::results(), None, &folder("none"), &folder("none")).unwrap();
    assert!(std::fs::read_to_string(page).unwrap().contains("cargo debate campaign"));
}

#[test]
fn differences_have_newcombes_interval() {
    // His example (a) in table II: 56 of 70 less 48 of 80, by method 10: 0.0524 to 0.3339.
    let (at, interval) = difference((56, 70), (48, 80));
    assert!((at - 0.2).abs() < 1e-9);
    assert!((interval.low - 0.0524).abs() < 5e-5 && (interval.high - 0.3339).abs() < 5e-5, "{interval:?}");
    let (_, none) = difference((0, 10), (0, 10));
    assert!((none.high - wilson(0, 10).high).abs() < 1e-9 && none.low < 0.0);
}
