//! The crash section: how many states the checker tried, how many failed, how to see one again, and whether it finds
//! mistakes that were made on purpose.

use super::answer::nothing;
use super::html::{Cell, Group, Notes, escape, table};
use super::number::show;
use super::series::{all_workloads, pick};
use crate::schema::{Experiment, Record, Results};

/// Totals of a run, each a column.
const TOTALS: [(&str, &str); 5] = [
    ("states", "crash states"),
    ("workloads", "workloads"),
    ("operations", "operations"),
    ("requests", "requests to the disk"),
    ("states_failed", "failed"),
];
const PLANT: &str = "plant/";

fn is_total(r: &Record) -> bool {
    r.statistic == "total" && TOTALS.iter().any(|(metric, _)| *metric == r.metric)
}

fn is_plant(r: &Record) -> bool {
    r.metric == "found_after" && r.workload.starts_with(PLANT)
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    r.experiment == Experiment::Crash && (is_total(r) || is_plant(r) || again(r).is_some())
}

/// The command that checks a state which failed once more.
fn again(r: &Record) -> Option<String> {
    let (_, seed) = r.workload.rsplit_once("/seed_")?;
    let state = r.value.filter(|_| r.metric == "failed_state")?;
    Some(format!("cargo debate crashcheck --seed {seed} --state {state:.0}"))
}

/// What the section, the answer and the text table rest on.
pub struct Crash<'a> {
    /// Each run, with the states that it tried and those that failed.
    runs: Vec<(String, f64, f64)>,
    /// Planted mistakes, found or not.
    plants: Vec<&'a Record>,
    /// How to repeat failures.
    again: Vec<String>,
}

impl<'a> Crash<'a> {
    /// Reads them off.
    pub fn of(results: &'a Results) -> Crash<'a> {
        let own = pick(results, Experiment::Crash, |r| r.value.is_some());
        let totals: Vec<&Record> = own.iter().filter(|r| is_total(r)).copied().collect();
        let of = |workload: &str, metric: &str| {
            totals.iter().find(|r| r.workload == workload && r.metric == metric).and_then(|r| r.value)
        };
        let run =
            |name: String| Some((of(&name, "states")?, of(&name, "states_failed")?)).map(|(all, bad)| (name, all, bad));
        let runs = all_workloads(&totals).into_iter().filter_map(run).collect();
        let again = own.iter().filter_map(|r| again(r)).collect();
        Crash { runs, plants: pick(results, Experiment::Crash, is_plant), again }
    }

    /// Whether a state failed.
    pub fn failed(&self) -> bool {
        self.runs.iter().any(|(_, _, failed)| *failed > 0.0)
    }

    /// One line: what was tried, what failed and how to see it again, which planted mistakes were found.
    pub fn line(&self) -> Option<String> {
        let run = |(name, states, failed): &(String, f64, f64)| {
            let failed = if *failed > 0.0 { show(*failed, "count") } else { "none".into() };
            format!("{failed} of {} states failed ({})", show(*states, "count"), name.replace('_', " "))
        };
        let runs: Vec<String> = self.runs.iter().map(run).collect();
        let found = self.plants.iter().filter(|r| r.value.is_some()).count();
        let again = self.again.first().map(|command| format!("; again: {command}")).unwrap_or_default();
        let plants = format!("{found} of {} planted mistakes found", self.plants.len());
        (!runs.is_empty()).then(|| format!("{}{again}; {plants}", runs.join(", ")))
    }
}

/// The sentence of the answer.
pub fn sentence(results: &Results) -> String {
    let crash = Crash::of(results);
    let Some(line) = crash.line() else { return nothing(results, Experiment::Crash, is_total) };
    let verdict = match crash.failed() {
        true => "The journalling file system lost or tore what it had promised to keep",
        false => "No power failure that was tried cost the journalling file system what it had promised to keep",
    };
    format!("{verdict}: {line}.")
}

/// The section without its heading.
pub fn section(results: &Results) -> String {
    let crash = Crash::of(results);
    let totals = pick(results, Experiment::Crash, is_total);
    if totals.is_empty() && crash.plants.is_empty() {
        return "<p class=\"empty\">No crash was tried in this run.</p>".into();
    }
    let mut notes = Notes::default();
    let heads = |first: &str, rest: &[&str]| {
        std::iter::once(first).chain(rest.iter().copied()).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut row = |name: String| {
        let cell = |(metric, _): &(&str, &str)| {
            let r = totals.iter().find(|r| r.workload == name && r.metric == *metric).copied();
            let class = match r.and_then(|r| r.value).filter(|_| *metric == "states_failed") {
                Some(failed) if failed > 0.0 => "bad",
                Some(_) => "good",
                None => "",
            };
            Cell { class, ..Cell::figure(r, &mut notes) }
        };
        let cells = TOTALS.iter().map(cell).collect();
        (name.replace('_', " "), cells)
    };
    let rows = all_workloads(&totals).into_iter().map(&mut row).collect();
    let group = Group { head: String::new(), rows };
    let columns = TOTALS.map(|(_, head)| head);
    let mut out = table("Power failures tried", &heads("run", &columns), &[group], &notes);
    if !crash.again.is_empty() {
        let item = |command: &String| format!("<li><code>{}</code></li>", escape(command));
        let items: String = crash.again.iter().map(item).collect();
        out += &format!(
            "<p class=\"bad\">States failed. Each can be seen again, with all that led to it:</p><ul>{items}</ul>"
        );
    }
    let mut notes = Notes::default();
    let mut row = |r: &&Record| {
        let name = r.workload.trim_start_matches(PLANT).replace('_', " ");
        let cell = match r.value {
            Some(states) => {
                Cell { html: format!("<b>✓ found</b> in state {}", escape(&show(states, "count"))), class: "good" }
            }
            None => Cell { class: "bad", ..Cell::figure(Some(r), &mut notes) },
        };
        (name, vec![cell])
    };
    let rows = crash.plants.iter().map(&mut row).collect();
    let group = Group { head: String::new(), rows };
    out + &table(
        "Mistakes made on purpose, which the checker must find",
        &heads("mistake", &["found"]),
        &[group],
        &notes,
    )
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Numbered workloads run on the journalling file system over a disk that notes every write and \
    flush. From the log follow the states that the disk may be in when power fails: each moment, with everything written \
    since the last flush there, missing, in part, or torn. Each is mounted, compared with what had been acknowledged, \
    checked by fsck and written to. The same is done with mistakes made on purpose. No kernel takes part.";
