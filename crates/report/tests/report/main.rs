//! The report says what the records say: each verdict both ways, instability, gaps, newcomers, and nothing unescaped.

mod isolation;
mod latency;
mod restart;
#[path = "../sample/mod.rs"]
mod sample;
mod spectrum;
mod whole;

use kd_report::schema::Results;
use kd_report::write_report;
use std::fs;

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

/// The part of the page from a caption to the end of its table.
fn table_of<'a>(html: &'a str, caption: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<caption>{caption}</caption>")).expect("the page has the table");
    rest.split_once("</table>").expect("it ends").0
}

/// The part of the page that is one section.
fn section<'a>(html: &'a str, id: &str) -> &'a str {
    let (_, rest) = html.split_once(&format!("<section id=\"{id}\">")).expect("the page has the section");
    rest.split_once("</section>").expect("it ends").0
}
