//! What if: the programs of this run with crossings that others published, and the cost at which isolation stops mattering.
//!
//! The tables read without a script. Where scripts run, a slider moves the cost of a crossing; it starts hidden, so that a
//! page without scripts has nothing that does nothing.

use super::html::{Cell, Group, Notes, escape, fold, table};
use super::number::show;
use super::series::{GROUPS, Series};
use crate::model::published::{self, Published, matters_from, overhead};
use crate::model::{Costs, Load, counted, loads, transport};
use crate::schema::{Experiment, Kernel, Record, Results};
use std::collections::BTreeSet;
use std::fmt::Write;

const SCRIPT: &str = include_str!("whatif.js");
/// The core budget of the times without boundaries: an IPC switches on the core that it is on.
const CORES: u32 = 1;
/// Overheads that are asked for.
const SHARES: [f64; 2] = [0.1, 0.01];
/// The placement that stands for isolation.
const ISOLATED: &str = "process";

fn is_frequency(r: &Record) -> bool {
    r.metric == "tsc_frequency"
}

/// Whether the section shows a record.
pub fn shows(r: &Record) -> bool {
    is_frequency(r)
}

/// The programs of a placement; operations on a disk are not among them.
fn programs(results: &Results, placement: &str) -> Vec<Load> {
    let is_program = |load: &Load| results.meta.groups.get(&load.workload).is_some_and(|group| group == GROUPS[3].0);
    loads(results, placement, CORES).into_iter().filter(is_program).collect()
}

/// The section without its heading.
pub fn section(results: &Results) -> String {
    let isolated = programs(results, ISOLATED);
    if isolated.is_empty() {
        return String::from("<p class=\"empty\">No program was both timed and counted in this run.</p>");
    }
    let frequency = results.records.iter().filter(|r| is_frequency(r)).find_map(|r| r.value);
    let byte = Costs::measured(results, transport(ISOLATED), "adaptive", CORES).byte;
    let copies = match byte {
        Some(byte) => format!("A copied byte counts as measured here ({}).", show(byte, "ns/B")),
        None => "What a copied byte costs was not measured in this run, and is left out.".into(),
    };
    let clock = match frequency {
        Some(megahertz) => format!(
            "Cycles are turned into time by the frequency of this machine's time-stamp counter, {}.",
            show(megahertz, "MHz")
        ),
        None => {
            "This machine's time-stamp counter could not be read, so that published cycles have no time here.".into()
        }
    };
    let all = published::all();
    let byte = byte.unwrap_or(0.0);
    let mut out = format!(
        "<p>What each program would take longer than in the monolithic kernel if a crossing cost what others have published: \
         the crossings are those counted here, the costs are <b>published, not measured here</b>. {clock} {copies} At the \
         right: the cost of a crossing from which isolation takes 10 % and 1 % of a program's time, unless copied bytes alone \
         take more.</p>"
    );
    out += &dial(&isolated, byte);
    let own =
        |r: &&Record| r.experiment == Experiment::Macro && r.metric == "crossings" && r.kernel == Kernel::Microkernel;
    let placements: BTreeSet<&str> = results.records.iter().filter(own).map(|r| r.placement.as_str()).collect();
    let label = |placement: &str| {
        Series { kernel: Kernel::Microkernel, placement: placement.into(), wait: String::new() }.label()
    };
    let one = |placement: &str, loads: &[Load]| {
        let caption = format!("Overhead at each published crossing, {}", label(placement));
        (caption.clone(), costs(&caption, loads, &all, frequency, byte))
    };
    out += &one(ISOLATED, &isolated).1;
    // What is counted there stands for every transport between the same domains.
    let counted_here = |placement: &&str| *placement != ISOLATED && counted(placement) == *placement;
    for placement in placements.into_iter().filter(counted_here) {
        let (caption, table) = one(placement, &programs(results, placement));
        out += &fold(&caption, false, &table);
    }
    out + &sources(&all)
}

/// The table of one placement.
fn costs(caption: &str, loads: &[Load], all: &[Published], frequency: Option<f64>, byte: f64) -> String {
    let head = |one: &Published| match frequency {
        Some(megahertz) => format!("{}, published: {}", one.name, show(one.nanoseconds(megahertz), "ns")),
        None => format!("{}, published: {} cycles", one.name, one.round_trip()),
    };
    let heads: Vec<String> = ["program".to_owned(), "crossings".to_owned()]
        .into_iter()
        .chain(all.iter().map(head))
        .chain(SHARES.map(|share| format!("{} from", show(share, "share"))))
        .collect();
    let row = |load: &Load| {
        let mut cells = vec![Cell::text(&show(load.crossings, "count"))];
        cells.extend(all.iter().map(|one| match frequency {
            Some(megahertz) => overhead_cell(overhead(load, one.nanoseconds(megahertz), byte)),
            None => Cell { html: "n/a".into(), class: "none" },
        }));
        cells.extend(SHARES.map(|share| match matters_from(load, share, byte) {
            Some(nanos) => Cell::text(&show(nanos, "ns")),
            None if load.crossings > 0.0 => Cell { html: "copies alone".into(), class: "none" },
            None => Cell { html: "nothing crosses".into(), class: "none" },
        }));
        (load.workload.clone(), cells)
    };
    let rows = loads.iter().map(row).collect();
    table(caption, &heads, &[Group { head: String::new(), rows }], &Notes::default())
}

fn overhead_cell(share: f64) -> Cell {
    let class = if share <= SHARES[1] { "good" } else { "" };
    Cell { html: show(share, "share"), class }
}

/// Where each figure stands.
fn sources(all: &[Published]) -> String {
    let text = Cell::text;
    let row = |one: &Published| {
        let cycles = match one.ipcs {
            1 => one.cycles.to_string(),
            ipcs => format!("{ipcs} × {}", one.cycles),
        };
        let wide = |words: &str| Cell { html: escape(words), class: "wide" };
        (one.name.clone(), vec![text(&cycles), wide(&one.boundary), wide(&one.measures), wide(&one.source)])
    };
    let heads = ["system", "cycles, call and reply", "boundary", "what was measured", "source"].map(str::to_owned);
    let rows = all.iter().map(row).collect();
    let caption = "Published crossings and their sources: none was measured here";
    fold(caption, false, &table(caption, &heads, &[Group { head: String::new(), rows }], &Notes::default()))
}

/// The slider, with the loads as data; hidden until its script runs.
fn dial(loads: &[Load], byte: f64) -> String {
    let mut out = String::from(
        "<div class=\"dial\" id=\"dial\" hidden><label for=\"dial-range\">Cost of a crossing: <output id=\"dial-cost\" \
         for=\"dial-range\"></output></label><input type=\"range\" id=\"dial-range\" min=\"10\" max=\"50\" value=\"30\" \
         step=\"1\"><p id=\"dial-words\" role=\"status\"></p><table><caption>Overhead over the monolithic kernel at that \
         cost</caption><tbody>",
    );
    for load in loads {
        // Writing to a string can't fail.
        let _ = write!(
            out,
            "<tr data-time=\"{}\" data-crossings=\"{}\" data-copies=\"{}\"><th scope=\"row\">{}</th><td></td><td \
             class=\"bar\"><span></span></td></tr>",
            load.monolithic,
            load.crossings,
            load.bytes * byte,
            escape(&load.workload)
        );
    }
    let _ = write!(out, "</tbody></table></div><script>{SCRIPT}</script>");
    out
}

/// What was done, in a paragraph.
pub const METHOD: &str = "Arithmetic, not measurement: monolithic time on one core with the entry trap, plus crossings times \
    the published cost, plus copied bytes times the cost measured here. A real system would also differ in what it copies, \
    how it schedules, and how many crossings it needs. Figures and citations are in \
    <code>crates/report/data/published.json</code>.";
