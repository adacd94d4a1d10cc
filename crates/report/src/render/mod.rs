//! Rendering: the HTML page, the short text table at the end of a run, and the picture for the README.
//!
//! The page is one file: style, charts and one small script are inside, nothing is fetched. All of it is computed from the
//! records; the fixed words say only what was asked and how it was measured. Without scripts it lacks a slider, no figure.

mod answer;
mod availability;
mod campaign;
mod components;
mod crash;
mod curve;
mod delays;
mod disclosure;
mod dots;
mod edges;
mod facts;
mod faults;
mod figures;
mod headline;
mod html;
mod ink;
mod latency;
mod number;
mod other;
mod pareto;
mod payload;
mod peers;
mod placements;
mod prediction;
mod primitives;
mod programs;
mod restart;
mod scaling;
mod series;
mod summary;
mod targets;
mod timeline;
mod upgrades;
mod whatif;
mod works;

pub use headline::headline_svg;
pub use restart::restart_svg;
pub use summary::summary_table;

use crate::campaign::Summary;
use crate::schema::{Experiment, Mode, Results};
use crate::store::{ReportError, missing_experiments, write_whole};
use html::escape;
use std::path::{Path, PathBuf};

const STYLE: &str = include_str!("page.css");

/// Writes `index.html` into `dir`, whole or not at all, and gives its path; with a section on a fault campaign, if there was one.
/// Its links lead on from `home`, the folder that it is read in, if it is not written there.
///
/// # Errors
/// [`ReportError::Write`] when the host refuses, [`ReportError::Chart`] when a chart can't be drawn.
pub fn write_report(
    results: &Results,
    campaign: Option<&Summary>,
    dir: &Path,
    home: &Path,
) -> Result<PathBuf, ReportError> {
    let path = dir.join("index.html");
    write_whole(&path, &page(results, campaign)?.replace(BENCH, &bench_from(home)))?;
    Ok(path)
}

/// Where the papers on methods and bias are, from a folder as deep as that of the latest report.
const BENCH: &str = "../../bench/";

/// The same from another one; from outside of a checkout there is no way.
fn bench_from(home: &Path) -> String {
    let home = home.canonicalize().unwrap_or_default();
    let up = home.ancestors().position(|above| above.join("bench/METHODOLOGY.md").is_file());
    up.map_or_else(|| BENCH.into(), |up| "../".repeat(up) + "bench/")
}

/// The sections that stand for experiments: their names on the page and in its list, and whose figures they show.
const SECTIONS: [(&str, &str, Experiment); 11] = [
    ("placements", "Placements", Experiment::Macro),
    ("latency", "Latency", Experiment::Latency),
    ("macro", "Programs", Experiment::Macro),
    ("scaling", "Scaling", Experiment::Scaling),
    ("model", "Model", Experiment::Macro),
    ("whatif", "What if", Experiment::Macro),
    ("faults", "Faults", Experiment::Faults),
    ("campaign", "Campaign", Experiment::Campaign),
    ("restart", "Restart", Experiment::Restart),
    ("crash", "Power failures", Experiment::Crash),
    ("primitives", "Parts", Experiment::Primitives),
];

/// Whether a section has a place on this page: in a run of one experiment the others' would be empty.
fn is_shown(id: &str, results: &Results) -> bool {
    let missing = missing_experiments(results);
    let alone = missing.len() + 1 == Experiment::ALL.len();
    !alone || SECTIONS.iter().any(|(other, _, experiment)| *other == id && !missing.contains(experiment))
}

/// The whole page.
fn page(results: &Results, campaign: Option<&Summary>) -> Result<String, ReportError> {
    let machine = escape(&disclosure::machine(&results.meta));
    let section = |id: &str, title: &str, method: &str, body: String| {
        if !is_shown(id, results) {
            return String::new();
        }
        format!(
            "<section id=\"{id}\"><h2>{title}</h2>{body}<p class=\"method\"><b>Method.</b> {method} More in \
             <a href=\"../../bench/METHODOLOGY.md\">bench/METHODOLOGY.md</a>.</p>\
             <p class=\"method\"><b>Machine.</b> {machine}.</p></section>"
        )
    };
    let answer = answer::answer(results);
    let [a, p, b, c, d] =
        [&answer.latency, &answer.programs, &answer.isolation, &answer.restart, &answer.crash].map(|s| escape(s));
    let alarm = if crash::Crash::of(results).failed() { " class=\"bad\"" } else { "" };
    Ok([
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
             <title>Kernel Debate: results</title><style>{STYLE}</style></head><body><main>"
        ),
        head(results),
        banners(results),
        section("placements", "What isolation costs, and what it keeps in", placements::METHOD, placements::section(results)?),
        format!(
            "<section id=\"answer\"><h2>The answer of this run</h2><dl><dt>Latency</dt><dd>{a}</dd><dt>Programs</dt><dd>{p}</dd><dt>Isolation</dt>\
             <dd>{b}</dd><dt>Restart</dt><dd>{c}</dd><dt>Crashes</dt><dd{alarm}>{d}</dd></dl></section>"
        ),
        section("latency", "Latency of system calls", latency::METHOD, latency::section(results)?),
        section("macro", "Whole programs and storage", programs::METHOD, programs::section(results)?),
        section("scaling", "How it scales", scaling::METHOD, scaling::section(results)?),
        section("model", "A model of the cost", prediction::METHOD, prediction::section(results)),
        section("whatif", "What if a crossing cost less", whatif::METHOD, whatif::section(results)),
        section("faults", "Fault isolation", faults::METHOD, faults::section(results)),
        section("campaign", "Fault campaign", campaign::METHOD, campaign::section(campaign)?),
        section("restart", "Driver restart", restart::METHOD, restart::section(results)?),
        section("crash", "Power failures", crash::METHOD, crash::section(results)),
        section("primitives", "Parts on their own", primitives::METHOD, primitives::section(results)?),
        other::section(results),
        format!("<section id=\"machine\"><h2>Full disclosure</h2>{}</section>", disclosure::section(results)),
        "</main></body></html>\n".into(),
    ]
    .concat())
}

/// Title, question, and where to go from here.
fn head(results: &Results) -> String {
    let m = &results.meta;
    let quick = match m.mode {
        Mode::Quick => " This was a quick run: fewer boots, wider intervals.",
        Mode::Full => "",
        Mode::Long => " This was one experiment at length.",
    };
    let shown = SECTIONS.iter().filter(|(id, ..)| is_shown(id, results));
    let nav = shown.map(|(id, name, _)| format!("<a href=\"#{id}\">{name}</a>")).collect::<Vec<_>>().join(" ");
    format!(
        "<header><h1>Kernel Debate</h1><p class=\"lead\">What does a protection boundary between two kernel subsystems \
         cost, and what does it buy?</p><p>The same subsystems, the same system calls, the same workloads and the same \
         virtual hardware run on a direct-call monolithic core and on a message-passing microkernel core; the boundary \
         alone changes. Linux, the host's own kernel, stands beside them. All intervals are at 95 %.{quick}</p>\
         <p class=\"method\">{} · commit {} · <a href=\"results.json\">results.json</a> · how it was measured: \
         <a href=\"../../bench/METHODOLOGY.md\">bench/METHODOLOGY.md</a> · where we may favour one side: \
         <a href=\"../../bench/BIAS.md\">bench/BIAS.md</a></p><nav>{nav} <a href=\"#machine\">Disclosure</a></nav></header>",
        escape(&m.date),
        escape(&m.commit)
    )
}

/// What makes the figures suspect, with advice.
fn banners(results: &Results) -> String {
    let mut out = String::new();
    if let Some(facts::Unrest { is_real, count, first, reason }) = facts::unrest(results) {
        let cell = escape(&format!("{}, {}", first.workload, series::setting_label((first.cores, first.entry))));
        let told =
            format!("{count}; first: {cell}, {}. No verdict is given on the cells they belong to.", escape(&reason));
        out += &match is_real {
            true => format!(
                "<aside class=\"banner\"><b>⚠ This run is unstable.</b> {told} Close other programs, fix the clock rate, or \
                 run longer.</aside>"
            ),
            false => format!("<p>{told}</p>"),
        };
    }
    let missing: Vec<String> = missing_experiments(results).iter().map(ToString::to_string).collect();
    if !missing.is_empty() {
        let list = escape(&missing.join(", "));
        out += &format!("<aside class=\"banner\"><b>⚠ Not part of this run:</b> {list}.</aside>");
    }
    out
}
